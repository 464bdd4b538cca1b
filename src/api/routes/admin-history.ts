import { createFold, type Fold, type Place } from '../../audit/history/fold.ts';
import type { DeliveryState } from '../../audit/history/delivery.ts';
import { differenceOf, lastChange } from '../../audit/history/diff.ts';
import { HistoryBusy, HistoryNotReady, placeOf, type AggregateCategory, type Past, type Until } from '../../audit/history/history.ts';
import { shownDelivery, shownDevice, shownLink, shownUser, type Shown } from '../../audit/history/states.ts';
import { lastChangeOfStatus, whyOpening, type Opening, type Reason } from '../../audit/history/why.ts';
import { localTimeIn } from '../../commands/local-time.ts';
import type { DeviceState } from '../../domain/device/state.ts';
import type { UnlockCause } from '../../domain/device/events.ts';
import { deviceStream } from '../../domain/device/stream.ts';
import { isSealed, type RefusalCode, type Uuid } from '../../domain/kernel.ts';
import type { UserState } from '../../domain/user/state.ts';
import { userStream } from '../../domain/user/stream.ts';
import { instant } from '../../platform/clock.ts';
import type { RecordedEvent } from '../../platform/event-store/port.ts';
import type { LinkRow, UnlockRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { ApiError, invalid, notFound, refusalWords, unavailable } from '../errors.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, DeviceId, Id, UserId } from '../schemas/common.ts';
import {
  AsOf,
  Between,
  Difference,
  PastDelivery,
  PastDevice,
  PastLink,
  PastUser,
  RefusalPosition,
  Why,
  WhyDevice,
  type DeliveryThen,
  type DeviceThen,
  type LinkThen,
  type UserThen,
} from '../schemas/history.ts';
import { instantFrom } from '../time.ts';

/**
 * States of the past (docs/decisions/0119). An answer always says of when it is; what is asked of now is asked of the
 * routes without `state`.
 */

const access = admin('audit:read');
const LinkUuid = Closed({ link_id: Id });
const UnlockUuid = Closed({ unlock_id: Id });

export const adminHistoryRoutes: readonly Route[] = [
  route({
    id: 'deviceThen',
    tag: 'admin',
    summary: 'A box as it was at an instant or a position',
    method: 'GET',
    path: '/admin/devices/{device_id}/state',
    access,
    params: DeviceId,
    query: AsOf,
    replies: { 200: PastDevice },
    errors: [404, 503],
  })(async ({ params, query, who }, api) => {
    const id = params.device_id.toLowerCase();
    const asked = momentOf(api, 'as_of', query.as_of);
    const { fold, end } = there(await pastOf(api, 'device', id, asked), 'box', 'Device not found');
    const state = shownDevice(fold.state as DeviceState) as unknown as DeviceThen;
    return { status: 200, body: { ...saidOf(api, asked, end), device_id: id, owner_email: await emailOf(api, who, state.assignment?.user_id), state } };
  }),

  route({
    id: 'deviceDifference',
    tag: 'admin',
    summary: 'What changed of a box between two instants or positions, and by which events',
    method: 'GET',
    path: '/admin/devices/{device_id}/diff',
    access,
    params: DeviceId,
    query: Between,
    replies: { 200: Difference },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const id = params.device_id.toLowerCase();
    return {
      status: 200,
      body: await difference(api, query, id, 'Device not found', {
        stream: deviceStream(id),
        at: (moment) => pastOf(api, 'device', id, moment),
        shown: (fold) => shownDevice(fold.state as DeviceState),
        changedBy: (fold, path) => lastChange(fold.since, path),
      }),
    };
  }),

  route({
    id: 'whyDevice',
    tag: 'admin',
    summary: 'Whether a person could open a box at an instant, by which rule, and since which event',
    method: 'GET',
    path: '/admin/devices/{device_id}/why',
    access,
    params: DeviceId,
    query: WhyDevice,
    replies: { 200: Why },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const deviceId = params.device_id.toLowerCase();
    const asked = momentOf(api, 'as_of', query.as_of);
    const past = there(await pastOf(api, 'device', deviceId, asked), 'box', 'Device not found');
    const state = past.fold.state as DeviceState;
    const owner = state.kind === 'registered' ? state.assignment?.userId : undefined;
    const cause = { kind: 'owner', id: query.user_id?.toLowerCase() ?? owner ?? NOBODY } as const;
    const reason = await explained(api, past.fold, { deviceId, cause, now: nowOf(asked, past.end) });
    return { status: 200, body: await whyView(api, asked, past.end, { deviceId, cause, reason, assumed: [HEARD_OF] }) };
  }),

  route({
    id: 'linkThen',
    tag: 'admin',
    summary: 'A link as it was at an instant or a position',
    method: 'GET',
    path: '/admin/links/{link_id}/state',
    access,
    params: LinkUuid,
    query: AsOf,
    replies: { 200: PastLink },
    errors: [404, 503],
  })(async ({ params, query, who }, api) => {
    const asked = momentOf(api, 'as_of', query.as_of);
    const { linkId, deviceId, createdAt } = await linkOf(api, params.link_id);
    const { fold, end } = there(await pastOf(api, 'device', deviceId, asked, [linkId]), 'link', 'Access link not found');
    const state = shownLink(fold.state as DeviceState, linkId, nowOf(asked, end)) as unknown as LinkThen | null;
    if (state === null) throw notYet('link', createdAt);
    return { status: 200, body: { ...saidOf(api, asked, end), link_id: linkId, device_id: deviceId, owner_email: await emailOf(api, who, state.user_id), state } };
  }),

  route({
    id: 'linkDifference',
    tag: 'admin',
    summary: 'What changed of a link between two instants or positions, and by which events',
    method: 'GET',
    path: '/admin/links/{link_id}/diff',
    access,
    params: LinkUuid,
    query: Between,
    replies: { 200: Difference },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const { linkId, deviceId } = await linkOf(api, params.link_id);
    return {
      status: 200,
      body: await difference(api, query, linkId, 'Access link not found', {
        stream: deviceStream(deviceId),
        at: (moment) => pastOf(api, 'device', deviceId, moment, [linkId]),
        shown: (fold, now) => shownLink(fold.state as DeviceState, linkId, now),
        changedBy: (fold, path, now) => (path === '/status' ? lastChangeOfStatus(fold, linkId, now) : lastChange(fold.sinceOfLink(linkId) ?? {}, path)),
      }),
    };
  }),

  route({
    id: 'whyLink',
    tag: 'admin',
    summary: 'Whether a link would have opened its box at an instant, by which rule, and since which event',
    method: 'GET',
    path: '/admin/links/{link_id}/why',
    access,
    params: LinkUuid,
    query: AsOf,
    replies: { 200: Why },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const asked = momentOf(api, 'as_of', query.as_of);
    const { linkId, deviceId } = await linkOf(api, params.link_id);
    const past = there(await pastOf(api, 'device', deviceId, asked, [linkId]), 'link', 'Access link not found');
    const cause = { kind: 'link', id: linkId } as const;
    const reason = await explained(api, past.fold, { deviceId, cause, now: nowOf(asked, past.end), courier: SOMEBODY });
    return { status: 200, body: await whyView(api, asked, past.end, { deviceId, cause, reason, assumed: [KNOWN_COURIER, HEARD_OF] }) };
  }),

  route({
    id: 'userThen',
    tag: 'admin',
    summary: 'An account as it was at an instant or a position',
    method: 'GET',
    path: '/admin/users/{user_id}/state',
    access,
    params: UserId,
    query: AsOf,
    replies: { 200: PastUser },
    errors: [404, 503],
  })(async ({ params, query, who }, api) => {
    const id = params.user_id.toLowerCase();
    const asked = momentOf(api, 'as_of', query.as_of);
    const { fold, end } = there(await pastOf(api, 'user', id, asked), 'account', 'User not found');
    return { status: 200, body: { ...saidOf(api, asked, end), user_id: id, email: await emailOf(api, who, id), state: shownUser(fold.state as UserState) as unknown as UserThen } };
  }),

  route({
    id: 'userDifference',
    tag: 'admin',
    summary: 'What changed of an account between two instants or positions, and by which events',
    method: 'GET',
    path: '/admin/users/{user_id}/diff',
    access,
    params: UserId,
    query: Between,
    replies: { 200: Difference },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const id = params.user_id.toLowerCase();
    return {
      status: 200,
      body: await difference(api, query, id, 'User not found', {
        stream: userStream(id),
        at: (moment) => pastOf(api, 'user', id, moment),
        shown: (fold) => shownUser(fold.state as UserState),
        changedBy: (fold, path) => lastChange(fold.since, path),
      }),
    };
  }),

  route({
    id: 'deliveryThen',
    tag: 'admin',
    summary: 'How far an opening had come at an instant or a position',
    method: 'GET',
    path: '/admin/deliveries/{unlock_id}/state',
    access,
    params: UnlockUuid,
    query: AsOf,
    replies: { 200: PastDelivery },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const asked = momentOf(api, 'as_of', query.as_of);
    const unlock = await unlockOf(api, params.unlock_id);
    const { fold, end } = there(await deliveryAt(api, unlock, asked), 'opening', 'Command not found');
    return { status: 200, body: { ...saidOf(api, asked, end), unlock_id: unlock.unlockId, device_id: unlock.deviceId, state: shownDelivery(fold.state as DeliveryState) as unknown as DeliveryThen } };
  }),

  route({
    id: 'deliveryDifference',
    tag: 'admin',
    summary: 'What became of an opening between two instants or positions, and by which events',
    method: 'GET',
    path: '/admin/deliveries/{unlock_id}/diff',
    access,
    params: UnlockUuid,
    query: Between,
    replies: { 200: Difference },
    errors: [404, 503],
  })(async ({ params, query }, api) => {
    const unlock = await unlockOf(api, params.unlock_id);
    return {
      status: 200,
      body: await difference(api, query, unlock.unlockId, 'Command not found', {
        stream: deviceStream(unlock.deviceId),
        at: (moment) => deliveryAt(api, unlock, moment),
        shown: (fold) => shownDelivery(fold.state as DeliveryState),
        changedBy: (fold, path) => lastChange(fold.since, path),
      }),
    };
  }),

  route({
    id: 'whyUnlock',
    tag: 'admin',
    summary: 'Why an opening was allowed: the rule, what it looked at, and the event since which it was allowed',
    method: 'GET',
    path: '/admin/deliveries/{unlock_id}/why',
    aliases: [{ method: 'GET', path: '/admin/unlocks/{unlock_id}/why' }],
    access,
    params: UnlockUuid,
    replies: { 200: Why },
    errors: [404, 503],
  })(async ({ params }, api) => {
    const { unlockId, deviceId, cause } = await unlockOf(api, params.unlock_id);
    const request = (await eventsOf(api, deviceId, unlockId)).find(({ type }) => type === 'UnlockRequested');
    if (request === undefined) throw notReady();
    const now = request.metadata.occurredAt;
    // It was decided on everything before the request.
    const asked: Asked = { until: { kind: 'revision', revision: request.revision - 1n }, instant: now };
    const past = there(await pastOf(api, 'device', deviceId, asked, linksOf(cause)), 'box', 'Command not found');
    const reason = await explained(api, past.fold, { deviceId, cause, now, courier: SOMEBODY });
    const recorded = { outcome: 'allowed' as const, reason: null, agrees: reason.outcome === 'allowed', event: request };
    return { status: 200, body: await whyView(api, asked, past.end, { deviceId, cause, reason, unlockId, recorded, assumed: [] }) };
  }),

  route({
    id: 'whyRefused',
    tag: 'admin',
    summary: 'Why a request to open was refused: the rule, what it looked at, and the event since which it refused',
    method: 'GET',
    path: '/admin/refusals/{position}/why',
    access,
    params: RefusalPosition,
    replies: { 200: Why },
    errors: [404, 422, 503],
  })(async ({ params }, api) => {
    const { refusal, target, reason: said, deviceId } = await refusalAt(api, params.position);
    const { actor, occurredAt: now } = refusal.metadata;
    const cause: UnlockCause = { kind: target.kind === 'link' ? 'link' : actor.kind === 'admin' ? 'admin' : 'owner', id: target.kind === 'link' ? target.id : actor.id };

    const question = async (until: Until) => {
      const past = there(await pastOf(api, 'device', deviceId, { until, instant: now }, linksOf(cause)), 'box', 'Device not found');
      const reason = await explained(api, past.fold, { deviceId, cause, now, ...(said === 'identity_required' ? {} : { courier: SOMEBODY }) });
      return { ...past, reason, agrees: sameRefusal(said, reason) };
    };
    // It is recorded a moment after it was decided: what happened meanwhile is not what it was decided on, or is, within a millisecond.
    const byTime = await question({ kind: 'instant', at: now });
    const answer = byTime.agrees ? byTime : await question({ kind: 'position', position: refusal.position });
    const { end, reason, agrees } = answer.agrees ? answer : byTime;
    const recorded = { outcome: 'refused' as const, reason: said, agrees, event: refusal };
    const assumed = said === 'device_offline' ? [OFFLINE] : said === 'identity_required' ? [] : [KNOWN_COURIER];
    return { status: 200, body: await whyView(api, { until: { kind: 'instant', at: now }, instant: now }, end, { deviceId, cause, reason, recorded, assumed: cause.kind === 'link' || said === 'device_offline' ? assumed : [] }) };
  }),
];

/** A refused request to open. @throws ApiError 404 · 422 */
export async function refusalAt(api: Api, token: string) {
  const position = api.positions.decode(token);
  // Positions are not numbered without gaps: the audit log is asked which event has this one.
  const { rows } = position === undefined ? { rows: [] } : await api.deps.reads.audit.list({ after: position - 1n, before: position + 1n }, { limit: 1, offset: 0 });
  const refusal = rows[0]?.type === 'CommandRefused' ? await api.deps.history.event(rows[0].stream, rows[0].revision) : undefined;
  if (refusal === undefined) throw notFound('There is no refusal at this position');
  const { command, target, reason } = refusal.data as unknown as { command: string; target: { kind: string; id: Uuid }; reason: RefusalCode };
  if (command !== 'RequestUnlock') throw new ApiError('unprocessable', 'Only a refused opening can be explained', { command, reason });
  return { refusal, target, reason, deviceId: target.kind === 'link' ? (await linkOf(api, target.id)).deviceId : target.id };
}

const NOBODY = '00000000-0000-0000-0000-000000000000';
/** A courier who says what a link may ask for. */
const SOMEBODY = { name: 'somebody', company: 'somebody' };
const KNOWN_COURIER = 'The courier gives a name and a company, where the link asks for them.';
const HEARD_OF = 'The box is heard of: heartbeats are no events.';
const OFFLINE = 'The box was not heard of at that moment: heartbeats are no events. Its rules alone would have said what is said here.';

/** What a caller means by a moment. */
interface Asked {
  readonly until: Until;
  /** Undefined: that of the event at the position. */
  readonly instant: string | undefined;
}

interface There {
  readonly fold: Fold;
  readonly end: Place;
}

/** @throws ApiError 400 */
function momentOf(api: Api, field: string, text: string | undefined): Asked {
  const now = instant(api.deps.clock.now());
  if (text === undefined) return { until: { kind: 'instant', at: now }, instant: now };
  const position = api.positions.decode(text);
  if (position !== undefined) return { until: { kind: 'position', position }, instant: undefined };
  if (!/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:?\d{2})$/i.test(text) || Number.isNaN(Date.parse(text))) {
    throw invalid(field, 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log');
  }
  const at = instantFrom(text);
  if (at > now) throw invalid(field, 'is in the future');
  return { until: { kind: 'instant', at }, instant: at };
}

const nowOf = (asked: Asked, end: Place): string => asked.instant ?? end.occurredAt;

async function pastOf(api: Api, category: AggregateCategory, id: Uuid, { until }: Asked, links: readonly Uuid[] = []): Promise<Past> {
  try {
    return await api.deps.history.at(category, id.toLowerCase(), until, links);
  } catch (error) {
    if (error instanceof HistoryBusy) throw unavailable('Too many ask for states of the past. Try again');
    if (error instanceof HistoryNotReady) throw notReady();
    throw error;
  }
}

const notReady = () => unavailable('This history is being prepared. Try again', 5);

/** @throws ApiError 404 */
function there(past: Past, what: string, never: string): There {
  if (past.kind === 'state') return past;
  throw past.kind === 'never' ? notFound(never) : notYet(what, past.begins.occurredAt);
}

const notYet = (what: string, since: string) => new ApiError('not_found', `There was no such ${what} yet`, { exists_since: since });

async function linkOf({ deps }: Api, linkId: string): Promise<LinkRow> {
  const link = await deps.reads.links.byId(linkId.toLowerCase());
  if (link === undefined) throw notFound('Access link not found');
  return link;
}

async function unlockOf({ deps }: Api, unlockId: string): Promise<UnlockRow> {
  const unlock = await deps.reads.unlocks.byId(unlockId.toLowerCase());
  if (unlock === undefined) throw notFound('Command not found');
  return unlock;
}

const linksOf = (cause: UnlockCause): readonly Uuid[] => (cause.kind === 'link' ? [cause.id] : []);

/** More than any opening has: request, dispatch, answers, settlement. */
const EVENTS_OF_ONE = 100;

/** The events of one opening: where they are says the audit log, what they are the log. */
async function eventsOf({ deps }: Api, deviceId: Uuid, unlockId: Uuid): Promise<readonly RecordedEvent[]> {
  const { rows } = await deps.reads.audit.list({ unlockId, deviceId }, { limit: EVENTS_OF_ONE, offset: 0 });
  const own = rows.filter(({ stream }) => stream === deviceStream(deviceId));
  const events = await Promise.all(own.map(async ({ stream, revision, data }) => withWords(await deps.history.event(stream, revision), data)));
  return events.filter((event) => event !== undefined).sort((a, b) => Number(a.revision - b.revision));
}

/** What an administrator said is sealed in the log; the audit log has it as long as it can be read. */
function withWords(event: RecordedEvent | undefined, shown: Readonly<Record<string, unknown>>): RecordedEvent | undefined {
  if (event === undefined) return undefined;
  const words = Object.entries(event.data).flatMap(([name, value]) => (isSealed(value) && typeof shown[name] === 'string' ? [[name, shown[name]] as const] : []));
  return words.length === 0 ? event : { ...event, data: { ...event.data, ...Object.fromEntries(words) } };
}

/** Its own events of the prefix of its box's stream. */
async function deliveryAt(api: Api, { unlockId, deviceId }: UnlockRow, asked: Asked): Promise<Past> {
  const [box, events] = [await pastOf(api, 'device', deviceId, asked), await eventsOf(api, deviceId, unlockId)];
  const [first] = events;
  // The audit log follows the log a moment later.
  if (first === undefined) throw notReady();
  const last = box.kind === 'state' ? box.end.revision : -1n;
  const fold = createFold('delivery');
  for (const event of events) if (event.revision <= last) fold.take(event);
  return fold.end === undefined ? { kind: 'not_yet', begins: placeOf(first) } : { kind: 'state', fold, end: fold.end };
}

async function emailOf({ deps }: Api, { permissions }: { readonly permissions: ReadonlySet<string> }, userId: Uuid | undefined): Promise<string | null> {
  if (userId === undefined || !permissions.has('users:read')) return null;
  return (await deps.reads.users.byId(userId))?.profile?.email ?? null;
}

function endView(api: Api, { eventId, type, occurredAt, position }: Place) {
  return { event_id: eventId, type, at: occurredAt, position: api.positions.encode(position) };
}

function saidOf(api: Api, asked: Asked, end: Place) {
  return { past: true as const, as_of: nowOf(asked, end), ends_with: endView(api, end) };
}

function eventView(api: Api, { eventId, type, metadata, position }: RecordedEvent) {
  const { kind, id } = metadata.actor;
  return { event_id: eventId, type, at: metadata.occurredAt, actor: { kind, id }, position: api.positions.encode(position) };
}

/** Each event is read once, however many facts are of it. */
function eventsByRevision(api: Api, stream: string) {
  const read = new Map<number, Promise<RecordedEvent | undefined>>();
  return async (revision: number | undefined) => {
    if (revision === undefined || revision < 0) return null;
    let event = read.get(revision);
    if (event === undefined) read.set(revision, (event = api.deps.history.event(stream, BigInt(revision))));
    const found = await event;
    return found === undefined ? null : eventView(api, found);
  };
}

interface Subject {
  /** That it is in. */
  readonly stream: string;
  readonly at: (moment: Asked) => Promise<Past>;
  readonly shown: (fold: Fold, now: string) => Shown | null;
  readonly changedBy: (fold: Fold, path: string, now: string) => number | undefined;
}

async function difference(api: Api, query: { readonly from: string; readonly to?: string }, id: Uuid, never: string, { stream, at, shown, changedBy }: Subject) {
  const [from, to] = [momentOf(api, 'from', query.from), momentOf(api, 'to', query.to)];
  const [before, after] = [await at(from), await at(to)];
  if (before.kind === 'never' || after.kind === 'never') throw notFound(never);
  const lastBefore = before.kind === 'state' ? before.end.revision : -1n;
  const lastAfter = after.kind === 'state' ? after.end.revision : -1n;
  if (lastBefore > lastAfter || (from.instant ?? '') > (to.instant ?? '~')) throw invalid('to', 'is before from');
  const pointOf = (asked: Asked, past: Exclude<Past, { kind: 'never' }>) => {
    const state = past.kind === 'state' ? shown(past.fold, nowOf(asked, past.end)) : null;
    const point = { as_of: asked.instant ?? (past.kind === 'state' ? past.end.occurredAt : past.begins.occurredAt), exists: state !== null };
    return { state, point: { ...point, ends_with: past.kind === 'state' ? endView(api, past.end) : null } };
  };
  const [first, second] = [pointOf(from, before), pointOf(to, after)];
  const eventAt = eventsByRevision(api, stream);
  const changes = [];
  for (const { path, before: was, after: is } of differenceOf(first.state, second.state)) {
    const changed = after.kind === 'state' ? changedBy(after.fold, path, second.point.as_of) : undefined;
    // What no event after the first moment changed, the clock did.
    const event = changed === undefined || BigInt(changed) <= lastBefore ? null : await eventAt(changed);
    changes.push({ path, before: was, after: is, event });
  }
  return { past: true as const, id, from: first.point, to: second.point, changes };
}

function explained({ deps }: Api, fold: Fold, opening: Pick<Opening, 'deviceId' | 'cause' | 'now' | 'courier'>): Promise<Reason> {
  return whyOpening(deps.history, fold, { ...opening, level0Deliveries: deps.settings.level0 === 'full', localTime: localTimeIn });
}

/** Whoever is not heard of is refused so only where nothing else is to be said. */
function sameRefusal(said: RefusalCode, { outcome }: Reason): boolean {
  return outcome === said || (said === 'device_offline' && ['allowed', 'joined', 'device_busy'].includes(outcome));
}

interface Explained {
  readonly deviceId: Uuid;
  readonly cause: UnlockCause;
  readonly reason: Reason;
  readonly unlockId?: Uuid;
  readonly recorded?: { readonly outcome: 'allowed' | 'refused'; readonly reason: RefusalCode | null; readonly agrees: boolean; readonly event: RecordedEvent };
  readonly assumed: readonly string[];
}

async function whyView(api: Api, asked: Asked, end: Place, { deviceId, cause, reason, unlockId, recorded, assumed }: Explained) {
  const { outcome, refusal, facts, decidedBy } = reason;
  const eventAt = eventsByRevision(api, deviceStream(deviceId));
  const decided = decidedBy === undefined ? null : await eventAt(Number(decidedBy.revision));
  const looked = [];
  for (const { path, value, revision } of facts) looked.push({ path, value, event: await eventAt(revision) });
  return {
    ...saidOf(api, asked, end),
    device_id: deviceId,
    link_id: cause.kind === 'link' ? cause.id : null,
    unlock_id: unlockId ?? null,
    asked_by: { ...cause },
    outcome: outcome === 'allowed' || outcome === 'joined' ? outcome : ('refused' as const),
    reason: refusal?.code ?? null,
    message: refusal === undefined ? (outcome === 'joined' ? 'An opening of the same person was under way' : 'The box would have been told to open') : refusalWords[refusal.code].message,
    details: { ...refusal?.details },
    decided_by: decided === null || decidedBy === undefined ? null : { event: decided, before: decidedBy.before },
    facts: looked,
    recorded: recorded === undefined ? null : { ...recorded, event: eventView(api, recorded.event) },
    assumed: [...assumed],
  };
}
