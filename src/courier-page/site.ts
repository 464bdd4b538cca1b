import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Api } from '../api/api.ts';
import type { Call } from '../api/call.ts';
import { toApiError, type ApiError } from '../api/errors.ts';
import { referenceOf } from '../api/reference.ts';
import { problemOf } from '../api/routes/delivery.ts';
import type { Page, PageReply, Site, Visit } from '../api/site.ts';
import { commandIdOfKey, unlockIdOf } from '../commands/command-ids.ts';
import type { LinkRow, UnlockRow } from '../projections/read-models.ts';
import { loadAssets } from './assets.ts';
import { documentOf, mainOf, type Frame } from './document.ts';
import { doorSince, untouched } from './door.ts';
import { askedScreen, attemptScreen, bareScreen, formOf, linkScreen, noValues, refusedScreen, type Attempt, type Screen, type Situation, type Values } from './screen.ts';
import { timesOf } from './times.ts';
import { catalogues, isLanguage, preferredLanguage, type Language } from './words.ts';

/** The route that opens a box: its name is part of what an idempotency key stands for. */
const UNLOCK_ROUTE = 'linkUnlock';
const KEY = /^[\w-]{16,64}$/;
/** What a request appended may be on its way to the read models for so long. */
const SETTLING_MS = 1_000;
/** More than a box says of itself in ten minutes. */
const ACTIVITY = { limit: 100, offset: 0 };

const compressors = { br: promisify(brotliCompress), gzip: promisify(gzip) };
const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } };

/** The page of a courier at `/unlock/{token}`: HTML over the public routes of a link. Looking at it never uses a link. */
export function createCourierPage(api: Api): Site {
  const { reads, live, clock, unlocks, settings, isTransient } = api.deps;
  const logger = api.deps.logger.child({ component: 'courier-page' });
  const assets = loadAssets();
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': assets.contentSecurityPolicy,
    'Referrer-Policy': 'no-referrer',
    'X-Robots-Tag': 'noindex, nofollow, noarchive',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
    Vary: 'Accept-Language, Accept-Encoding, Loqey-Part',
  };

  async function reply(call: Call, frame: Frame, screen: Screen, error?: unknown): Promise<PageReply> {
    const { req } = call;
    const text = req.headers['loqey-part'] === 'main' ? mainOf(frame, screen).text : documentOf(frame, screen);
    const shared = { ...headers, 'Content-Language': frame.language };
    const accepted = String(req.headers['accept-encoding'] ?? '');
    const coding = /\bbr\b/.test(accepted) ? 'br' : /\bgzip\b/.test(accepted) ? 'gzip' : undefined;
    const result = { status: screen.status, ...(error === undefined ? {} : { error }) };
    if (coding === undefined) return { ...result, headers: shared, body: text };
    const body = await compressors[coding](text, coding === 'br' ? quality : {});
    return { ...result, headers: { ...shared, 'Content-Encoding': coding }, body };
  }

  /** What was pressed with this key, as far as the read models know. `expected`: it is on its way to them at the latest. */
  async function attemptOf(link: LinkRow, key: string, expected: boolean): Promise<Attempt | undefined> {
    const unlockId = unlockIdOf(commandIdOfKey(link.linkId, UNLOCK_ROUTE, key));
    const unlock = (await reads.unlocks.byId(unlockId)) ?? (expected ? await soon(unlockId) : undefined);
    if (unlock === undefined || unlock.cause.kind !== 'link' || unlock.cause.id !== link.linkId) return undefined;
    const rows = unlock.openedAt === null ? [] : (await reads.activity.ofDevice(link.deviceId, unlock.requestedAt, ACTIVITY)).rows;
    return { key, unlock, door: rows.length === 0 ? untouched : doorSince(rows) };
  }

  async function soon(unlockId: string): Promise<UnlockRow | undefined> {
    let told = (): void => undefined;
    const news = new Promise<void>((resolve) => (told = resolve));
    const stop = live.on(`unlock:${unlockId}`, told);
    const timer = setTimeout(told, SETTLING_MS);
    try {
      // It may have come between the first look and the listening.
      const row = await reads.unlocks.byId(unlockId);
      if (row !== undefined) return row;
      await news;
      return await reads.unlocks.byId(unlockId);
    } finally {
      clearTimeout(timer);
      stop();
    }
  }

  async function situationOf(frame: Frame, link: LinkRow, key: string, values: Values = noValues, confirmed = false): Promise<Situation> {
    const device = await reads.devices.byId(link.deviceId);
    const now = clock.now();
    return { words: frame.words, now, link, device, problem: problemOf(link, device, now), key, values, confirmed };
  }

  /** GET and HEAD: nothing here takes a use. */
  async function look(frame: Frame, link: LinkRow, query: URLSearchParams): Promise<Screen> {
    const key = keyOf(query.get('try'));
    const attempt = key === undefined ? undefined : await attemptOf(link, key, query.has('sent'));
    // A key whose outcome is open, or that nothing came of yet, stays the key of the next press.
    const situation = await situationOf(frame, link, attempt === undefined && key !== undefined ? key : newKey());
    if (attempt !== undefined) return attemptScreen(situation, attempt, referenceOf);
    const busy = key !== undefined && situation.problem === undefined && (await unlocks.awaitInFlight(link.deviceId, undefined, 0)) !== undefined;
    return busy ? { ...refusedScreen(situation, { code: 'device_busy', details: {} }), status: 200 } : linkScreen(situation);
  }

  async function press(call: Call, visit: Visit, frame: Frame, link: LinkRow, token: string, form: URLSearchParams): Promise<Screen | { readonly see: string }> {
    const values = valuesOf(form);
    const key = keyOf(form.get('key')) ?? newKey();
    const situation = await situationOf(frame, link, key, values, form.get('confirmed') === 'yes');
    // Whoever sent the form from a page shows the outcome there; the address after a form without a script is one to come back to.
    const see = async () => {
      if (call.req.headers['loqey-part'] !== 'main') return { see: `${frame.address(frame.language, key)}&sent=1` };
      const attempt = await attemptOf(link, key, true);
      return attempt === undefined ? askedScreen(frame.words, key) : attemptScreen(await situationOf(frame, link, newKey()), attempt, referenceOf);
    };
    // Asked here alone: a program is told by the box's own sensors. A repeat is not asked about the parcel that it brought.
    if (situation.device?.parcelPresent === true && situation.problem === undefined && !situation.confirmed && (await attemptOf(link, key, false)) === undefined) {
      return refusedScreen(situation, { code: 'parcel_inside', details: {} });
    }
    try {
      await visit.ask('POST', `/api/v1/delivery/link/${token}/unlock`, bodyOf(values), key);
      return await see();
    } catch (thrown) {
      const error = toApiError(thrown, isTransient);
      // Something was asked of the box, and ended; or this very key was sent with other details before.
      if (error.details?.['command_id'] !== undefined) return see();
      if (error.details?.['Idempotency-Key'] !== undefined) return (await attemptOf(link, key, false)) === undefined ? refusedScreen({ ...situation, key: newKey() }, { code: 'conflict', details: {} }) : see();
      pass(call, error);
      return refusedAnew(situation, error, thrown, call);
    }
  }

  function refusedAnew(situation: Situation, error: ApiError, thrown: unknown, call: Call): Screen {
    const { status, code, details = {} } = error;
    if (status === 429) return { ...bareScreen(situation.words, 'too-many', 429, { n: Number(details['retry_after'] ?? 60) }), ...again(situation) };
    if (status >= 500) return { ...fault(situation.words, status, thrown, call), ...again(situation) };
    // Refused is proven: nothing was asked of the box, and the details may be others the next time.
    return refusedScreen({ ...situation, key: newKey() }, { code: typeof details['reason'] === 'string' ? details['reason'] : code, details });
  }

  const again = (situation: Situation): Pick<Screen, 'form'> => ({ form: formOf(situation, situation.words.buttons.again) });

  function fault(words: Frame['words'], status: number, thrown: unknown, call: Call): Screen {
    const reference = referenceOf(call.traceId);
    logger.error({ reference, traceId: call.traceId, err: thrown }, 'A courier was told that something went wrong');
    return bareScreen(words, 'fault', status, { ref: reference });
  }

  async function answer(call: Call, visit: Visit, token: string | undefined): Promise<PageReply> {
    const query = new URL(call.req.url, 'http://page').searchParams;
    const chosen = query.get('lang');
    const language = isLanguage(chosen) ? chosen : preferredLanguage(call.req.headers['accept-language']);
    const words = catalogues[language];
    const frame = (link?: LinkRow): Frame => {
      const path = token === undefined ? '/unlock/' : `/unlock/${encodeURIComponent(token)}`;
      const zone = link?.window?.timeZone;
      return {
        assets,
        brand: 'Loqey',
        language,
        words,
        times: timesOf(language, zone ?? settings.timeZone, zone !== undefined, clock.now()),
        address: (code: Language, key?: string) => `${path}?lang=${code}${key === undefined ? '' : `&try=${key}`}`,
        plain: query.has('sent'),
        here: isLanguage(chosen) ? `${path}?lang=${language}` : path,
      };
    };
    if (token === undefined) return reply(call, frame(), bareScreen(words, 'no-link', 200));
    try {
      const { link } = await visit.courier(token);
      const here = frame(link);
      if (call.req.method !== 'POST') return await reply(call, here, await look(here, link, query));
      const screen = await press(call, visit, here, link, token, await visit.form());
      if ('see' in screen) return { status: 303, headers: { ...headers, Location: screen.see }, body: '' };
      return await reply(call, here, screen);
    } catch (thrown) {
      const error = toApiError(thrown, isTransient);
      const { status, details = {} } = error;
      pass(call, error);
      const screen =
        status === 404 ? bareScreen(words, 'unknown-link', 404)
        : status === 429 ? bareScreen(words, 'too-many', 429, { n: Number(details['retry_after'] ?? 60) })
        : fault(words, status < 500 ? 400 : status, thrown, call);
      return reply(call, frame(), screen, error === thrown ? undefined : thrown);
    }
  }

  return {
    find(path): Page | undefined {
      const [, room, token = '', ...rest] = path.split('/');
      if (room !== 'unlock' || rest.some((each) => each !== '')) return undefined;
      const methods = token === '' ? (['GET'] as const) : (['GET', 'POST'] as const);
      return {
        pattern: token === '' ? '/unlock' : '/unlock/{link_token}',
        methods,
        answer: (call, visit) => answer(call, visit, token === '' ? undefined : token),
      };
    },
  };
}

/** When to come back, among others. */
function pass(call: Call, { headers = {} }: ApiError): void {
  for (const [name, value] of Object.entries(headers)) call.headers.push(name, value);
}

const newKey = (): string => randomBytes(16).toString('base64url');
const keyOf = (key: string | null): string | undefined => (key !== null && KEY.test(key) ? key : undefined);

function valuesOf(form: URLSearchParams): Values {
  const value = (name: string): string => (form.get(name) ?? '').trim();
  return { name: value('name'), company: value('company'), number: value('number'), phone: value('phone'), note: value('note') };
}

/** What was left empty was not said. */
function bodyOf({ name, company, number, phone, note }: Values): Record<string, string> {
  const said = { delivery_person_name: name, courier_company: company, delivery_person_id: number, delivery_person_phone: phone, delivery_notes: note };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ''));
}
