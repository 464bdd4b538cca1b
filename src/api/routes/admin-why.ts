import type { Fold, Place } from '../../audit/history/fold.ts';
import type { Until } from '../../audit/history/history.ts';
import { whyOpening, type Opening, type Reason } from '../../audit/history/why.ts';
import { localTimeIn } from '../../commands/local-time.ts';
import type { UnlockCause } from '../../domain/device/events.ts';
import type { DeviceState } from '../../domain/device/state.ts';
import { deviceStream } from '../../domain/device/stream.ts';
import type { RefusalCode, Uuid } from '../../domain/kernel.ts';
import type { RecordedEvent } from '../../platform/event-store/port.ts';
import type { Api } from '../api.ts';
import { ApiError, notFound, refusalWords } from '../errors.ts';
import { eventsByRevision, eventsOf, eventView, linkOf, momentOf, notReady, nowOf, pastOf, saidOf, there, unlockOf, type Asked } from '../past.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, DeviceId, Id } from '../schemas/common.ts';
import { AsOf, RefusalPosition, Why, WhyDevice } from '../schemas/history.ts';

/**
 * Why a box opened, or did not, or would have: the rule that decides today is asked on the state of then, so no answer can be
 * another one than the decision's (docs/decisions/0119).
 */

const access = admin('audit:read');
const LinkUuid = Closed({ link_id: Id });
const UnlockUuid = Closed({ unlock_id: Id });

export const adminWhyRoutes: readonly Route[] = [
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

const linksOf = (cause: UnlockCause): readonly Uuid[] => (cause.kind === 'link' ? [cause.id] : []);

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
