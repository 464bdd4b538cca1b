import type { Instant } from '../domain/kernel.ts';
import type { DeviceRow, LinkRow, UnlockRow } from '../projections/read-models.ts';
import { statusOfCode, refusalWords } from '../api/errors.ts';
import { AFTERGLOW_MS, problemCodes, type Problem } from '../api/routes/delivery.ts';
import { cancelCodes } from '../api/words.ts';
import type { Pair, Saying, Words } from './words.ts';

/** What one visit shows, before it is HTML. Everything on it follows from facts; nothing here waits or asks. */
export interface Screen {
  readonly name: string;
  readonly status: number;
  readonly tone: Tone;
  readonly heading: Line;
  readonly text: readonly Line[];
  /** Which box and where, only while that may be shown. */
  readonly box?: Place;
  readonly steps?: readonly Step[];
  readonly form?: Form;
  readonly asides?: readonly Aside[];
  readonly receipt?: Receipt;
  /** Seconds after which the page looks again by itself. */
  readonly lookAgain?: number;
  /** `lookAgain` is told and counted down. */
  readonly counts?: boolean;
  /** Facts may still come: worth a socket, and a screen that stays on. */
  readonly live?: boolean;
  /** The key whose attempt is shown. */
  readonly attempt?: string;
  /** Until when the box may still begin: the ring runs out with it. */
  readonly until?: Instant;
  /** The link opens more: how to begin anew. */
  readonly another?: boolean;
}

export type Tone = 'plain' | 'busy' | 'good' | 'warn' | 'bad' | 'wait';
/** Filled in where `{name}` stands; an instant is shown in the zone of the box, or of the phone. */
export type Value = string | number | { readonly at: Instant };
export interface Line {
  readonly words: string;
  readonly values?: Readonly<Record<string, Value>>;
  /** True only where a script runs. */
  readonly scripted?: boolean;
}
export interface Place {
  readonly name: string | null;
  readonly address: string | null;
}
export interface Step {
  readonly words: string;
  readonly state: 'done' | 'now' | 'next' | 'failed' | 'unsure';
  readonly at?: Instant | null;
}
export interface Aside {
  readonly summary: string;
  readonly text: string;
  readonly tryAgain?: boolean;
}
export interface Receipt {
  readonly box: string | null;
  readonly openedAt: Instant;
  /** Null: not reported closed. Undefined: no longer known. */
  readonly closedAt: Instant | null | undefined;
  readonly reference: string;
  readonly folded: boolean;
}
export interface Form {
  readonly key: string;
  readonly submit: string;
  readonly identity: boolean;
  readonly values: Values;
  readonly missing: readonly (keyof Values)[];
  /** The details were asked before: the button comes first. */
  readonly folded: boolean;
  /** A parcel is inside: the button confirms, beside one that does not. */
  readonly decline?: string;
  readonly confirmed: boolean;
}
export interface Values {
  readonly name: string;
  readonly company: string;
  readonly number: string;
  readonly phone: string;
  readonly note: string;
}
export const noValues: Values = { name: '', company: '', number: '', phone: '', note: '' };

/** What happened to the door since an opening. */
export interface Door {
  readonly openSince: Instant | undefined;
  readonly closedAt: Instant | undefined;
}

/** One press of the button, by its idempotency key. */
export interface Attempt {
  readonly key: string;
  readonly unlock: Pick<UnlockRow, 'unlockId' | 'state' | 'reason' | 'useReturned' | 'requestedAt' | 'expiresAt' | 'dispatchedAt' | 'acknowledgedAt' | 'openedAt'>;
  readonly door: Door;
}

export interface Situation {
  readonly words: Words;
  readonly now: number;
  readonly link: LinkRow;
  readonly device: DeviceRow | undefined;
  /** Why the link would not open now. */
  readonly problem: Problem | undefined;
  /** The key that the form gets. */
  readonly key: string;
  readonly values: Values;
  /** The courier knows that a parcel is inside. */
  readonly confirmed: boolean;
}

/** Why a request was refused, with what is known of it. */
export interface Refused {
  readonly code: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

const MINUTE = 60_000;
/** A door that is open for longer is worth a word. */
const DOOR_OPEN_MS = MINUTE;
/** So long a delivery that is done is thanked for; later the page says when it was. */
const THANKS_MS = 2 * MINUTE;
const SOON_MS = 60 * MINUTE;
const BUSY_SECONDS = 5;

const line = (words: string, values?: Line['values']): Line => (values === undefined ? { words } : { words, values });
const said = (saying: Saying, values?: Line['values']) => ({ heading: line(saying.heading, values), text: [line(saying.text, values)] });

/** What the courier finds who has not pressed yet. */
export function linkScreen(situation: Situation): Screen {
  const { link, problem } = situation;
  if (problem === undefined) return readyScreen(situation);
  const screen = refusedScreen(situation, { code: problemCodes[problem], details: {} });
  // The page about a link is there, whatever the link is good for; only what does not exist is not found.
  return { ...screen, status: 200, live: link.status === 'active' };
}

function readyScreen(situation: Situation): Screen {
  const { words, link, device, now } = situation;
  const { name, address } = placeOf(device);
  const left = Date.parse(link.expiresAt) - now;
  const values = { time: { at: link.expiresAt }, n: link.maxUses - link.currentUses };
  const terms = left < SOON_MS
    ? line(words.ready.soon, { n: Math.max(1, Math.ceil(left / MINUTE)) })
    : line(values.n === 1 ? words.ready.once : words.ready.uses, values);
  return {
    name: 'ready',
    status: 200,
    tone: left < SOON_MS ? 'warn' : 'plain',
    heading: line(name ?? words.ready.box),
    text: [...(address === null ? [] : [line(address)]), terms],
    form: formOf(situation, words.buttons.open),
    live: true,
  };
}

export function formOf({ words, link, key, values, confirmed }: Situation, submit: string, missing: Form['missing'] = []): Form {
  const identity = link.requireIdentity;
  const complete = !identity || (values.name !== '' && values.company !== '');
  const folded = submit !== words.buttons.open && complete;
  const confirming = submit === words.buttons.anyway;
  return { key, submit, identity, values, missing, folded, confirmed: confirmed || confirming, ...(confirming ? { decline: words.buttons.not } : {}) };
}

const placeOf = (device: DeviceRow | undefined): Place => ({ name: device?.name ?? null, address: device?.address ?? null });

/** Why nothing was asked of the box, or nothing would be. */
export function refusedScreen(situation: Situation, { code, details }: Refused): Screen {
  const { words, link, device } = situation;
  const status = code in refusalWords ? statusOfCode[refusalWords[code as keyof typeof refusalWords].code] : 409;
  const at = (name: string, otherwise: Instant | null) => ({ at: typeof details[name] === 'string' ? details[name] : (otherwise ?? link.createdAt) });
  const ended = (name: string, tone: Tone, saying: Saying, values?: Line['values']): Screen => ({ name, status, tone, ...said(saying, values) });
  /** The link is as good as before: the same details, the same button. */
  const open = (name: string, tone: Tone, saying: Saying, submit = words.buttons.again): Screen => ({
    ...ended(name, tone, saying),
    box: placeOf(device),
    form: formOf(situation, submit),
  });

  switch (code) {
    case 'link_not_found':
      return ended('unknown-link', 'bad', words.unknownToken);
    case 'link_expired':
      return ended('expired', 'wait', words.expired, { time: at('expires_at', link.expiresAt) });
    case 'link_used':
      return {
        ...ended('used', 'wait', words.used, { time: at('used_at', link.usedAt) }),
        asides: [{ summary: words.asides.doorDidNotOpen, text: words.asides.doorDidNotOpenText }],
      };
    case 'link_revoked': {
      const when = details['revoked_at'] ?? link.endedAt;
      return typeof when === 'string' ? ended('cancelled', 'bad', words.cancelled, { time: { at: when } }) : ended('cancelled', 'bad', words.cancelledUndated);
    }
    case 'link_not_yet_valid': {
      const starts = at('starts_at', link.startsAt);
      const seconds = Math.ceil((Date.parse(starts.at) - situation.now) / 1_000);
      return { ...ended('not-yet', 'wait', words.notYet, { time: starts }), ...(seconds <= 3_600 ? { lookAgain: Math.max(1, seconds), counts: true } : {}) };
    }
    case 'link_outside_hours': {
      const { window } = link;
      const { from = window?.from ?? '', to = window?.to ?? '' } = details;
      const screen = ended('outside-hours', 'wait', words.outsideHours, { from: String(from), to: String(to) });
      return window === null || window.days.length === 7 ? screen : { ...screen, text: [...screen.text, line(words.days, { days: window.days.join(',') })] };
    }
    case 'device_busy': {
      const screen = open('busy', 'busy', words.busy, words.buttons.check);
      return { ...screen, text: [...screen.text, { ...line(words.checksAgain, { n: BUSY_SECONDS }), scripted: true }], lookAgain: BUSY_SECONDS, counts: true };
    }
    case 'device_offline':
      return open('offline', 'warn', words.offline);
    case 'device_in_maintenance':
      return ended('maintenance', 'wait', words.maintenance);
    case 'identity_required': {
      const missing = (['name', 'company'] as const).filter((field) => situation.values[field] === '');
      const screen = open('identity', 'warn', missing.length === 1 ? words.identityOne : words.identity, words.buttons.open);
      // The owner may have asked for it after this page was opened.
      return { ...screen, form: { ...formOf(situation, words.buttons.open, missing), identity: true } };
    }
    case 'validation_error': {
      const screen = readyScreen(situation);
      return { ...screen, name: 'invalid', status: 400, tone: 'warn', text: [line(words.form.invalid)] };
    }
    case 'parcel_inside':
      return open('parcel-inside', 'warn', words.parcelInside, words.buttons.anyway);
    case 'link_void':
    case 'device_not_found':
    case 'device_not_assigned':
    case 'device_decommissioned':
    case 'owner_suspended':
    case 'level0_no_deliveries':
      return ended('gone', 'bad', words.gone);
    default:
      return open('not-opened', 'bad', words.notOpened);
  }
}

/** How far an opening has come, or how it ended. */
export function attemptScreen(situation: Situation, attempt: Attempt, reference: (unlockId: string) => string): Screen {
  const { words, problem, device } = situation;
  const { unlock, key } = attempt;
  const box = placeOf(device);
  const steps = stepsOf(words, attempt);
  const shared = { status: 200, box, attempt: key, steps };
  const { state, reason, openedAt } = unlock;

  switch (state) {
    case 'requested':
    case 'dispatched':
      return { name: 'asking', tone: 'busy', ...said(words.asking), ...shared, live: true, lookAgain: 2, until: unlock.expiresAt };
    case 'published':
    case 'acknowledged':
      return { name: 'opening', tone: 'busy', ...said(words.opening), ...shared, live: true, lookAgain: 2, until: unlock.expiresAt };
    case 'unknown':
      return {
        name: 'unsure',
        tone: 'warn',
        ...said(words.unsure),
        ...shared,
        live: true,
        lookAgain: 15,
        asides: [
          { summary: words.asides.itIsOpen, text: words.asides.itIsOpenText },
          { summary: words.asides.itIsClosed, text: words.asides.itIsClosedText, ...(problem === undefined ? { tryAgain: true } : {}) },
        ],
      };
    case 'opened':
      return openedScreen(situation, attempt, openedAt ?? unlock.requestedAt, shared, reference);
    case 'failed':
    case 'expired':
    case 'cancelled': {
      const again = problem === undefined ? { form: formOf(situation, words.buttons.again) } : {};
      const use = line(unlock.useReturned ? words.notUsedUp : words.usedUp);
      const ended = (name: string, saying: Saying, tone: Tone = 'bad'): Screen => {
        const { heading, text } = said(saying);
        return { name, tone, heading, text: [...text, ...(unlock.useReturned || problem !== undefined ? [use] : [])], ...shared, ...again };
      };
      if (reason === 'jammed') return ended('jammed', words.jammed, 'warn');
      if (reason === 'low_battery') return ended('battery', words.battery, 'warn');
      if (reason === 'service_mode') return { ...refusedScreen(situation, { code: 'device_in_maintenance', details: {} }), status: 200, attempt: key, steps };
      const code = state === 'cancelled' ? cancelCodes[reason ?? ''] : undefined;
      if (code !== undefined) {
        const ending = refusedScreen(situation, { code, details: {} });
        // A refusal that leaves the link good is worth another try only where the link still is.
        const { form: _form, box: _box, ...bare } = ending;
        return { ...bare, ...(ending.form === undefined ? {} : { box, ...again }), status: 200, attempt: key, steps };
      }
      return ended('not-opened', words.notOpened);
    }
  }
}

/** Accepted, and not yet seen by the read models. */
export function askedScreen(words: Words, key: string): Screen {
  return { name: 'asking', status: 200, tone: 'busy', ...said(words.asking), attempt: key, live: true, lookAgain: 2 };
}

function openedScreen(
  { words, now, problem }: Situation,
  { unlock, door }: Attempt,
  openedAt: Instant,
  shared: Pick<Screen, 'status' | 'attempt' | 'steps'> & { readonly box: Place },
  reference: (unlockId: string) => string,
): Screen {
  const since = now - Date.parse(openedAt);
  const closedFor = door.closedAt === undefined ? undefined : now - Date.parse(door.closedAt);
  const closed = closedFor !== undefined;
  const receipt = (folded: boolean): Receipt => ({
    box: shared.box.name,
    openedAt,
    closedAt: door.closedAt ?? (since < AFTERGLOW_MS || door.openSince !== undefined ? null : undefined),
    reference: reference(unlock.unlockId),
    folded,
  });
  const another = problem === undefined;

  if (since >= AFTERGLOW_MS || (closedFor !== undefined && closedFor > THANKS_MS)) {
    const { steps: _steps, box: _box, ...rest } = shared;
    return { name: 'earlier', tone: 'good', ...said(words.earlier, { time: { at: openedAt } }), ...rest, receipt: receipt(true), another };
  }
  if (closed) return { name: 'delivered', tone: 'good', ...said(words.delivered), ...shared, receipt: receipt(false), another };
  const openFor = door.openSince === undefined ? 0 : now - Date.parse(door.openSince);
  const wait = { live: true, lookAgain: 5, ...shared };
  if (openFor >= DOOR_OPEN_MS) return { name: 'door-open', tone: 'warn', ...said(words.doorOpen), ...wait };
  return { name: 'open', tone: 'good', ...said(words.open), ...wait };
}

/** Facts alone: a step is done when the box said so, not when it is likely. */
function stepsOf(words: Words, { unlock, door }: Attempt): readonly Step[] {
  const { state, requestedAt, acknowledgedAt, openedAt } = unlock;
  const opened = state === 'opened';
  const over = state === 'failed' || state === 'expired' || state === 'cancelled';
  const unsure = state === 'unknown';
  // A final answer of the box is proof that it took the command, also where it did not say so first.
  const took = acknowledgedAt !== null || opened || (state === 'failed' && unlock.dispatchedAt !== null);
  const pending = (reached: boolean): Step['state'] => (unsure ? 'unsure' : over ? (reached ? 'failed' : 'next') : reached ? 'now' : 'next');
  return [
    { words: words.steps.asked, state: 'done', at: requestedAt },
    step(words.steps.took, took ? 'done' : pending(true), acknowledgedAt),
    step(words.steps.moved, opened ? 'done' : pending(took), openedAt),
    step(words.steps.closed, door.closedAt !== undefined ? 'done' : opened ? 'now' : 'next', door.closedAt ?? null),
  ];
}

function step([done, open]: Pair, state: Step['state'], at: Instant | null): Step {
  return { words: state === 'done' ? done : open, state, at };
}

/** Nothing is known of a link: too many requests, or our own fault. */
export function bareScreen(words: Words, kind: 'unknown-link' | 'too-many' | 'fault' | 'no-link', status: number, values: Line['values'] = {}): Screen {
  switch (kind) {
    case 'unknown-link':
      return { name: kind, status, tone: 'bad', ...said(words.unknownToken) };
    case 'no-link':
      return { name: kind, status, tone: 'wait', ...said(words.noLink) };
    case 'too-many':
      return { name: kind, status, tone: 'wait', ...said(words.tooMany, values), lookAgain: Number(values['n'] ?? 60), counts: true };
    case 'fault':
      return { name: kind, status, tone: 'bad', ...said(words.fault, values) };
  }
}
