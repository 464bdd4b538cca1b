import type { RefusalCode, Uuid } from '../../domain/kernel.ts';
import { findLink } from '../../domain/link/links.ts';
import type { DeviceState } from '../../domain/device/state.ts';
import { unlockIdOf } from '../../commands/command-ids.ts';
import type { AuditRow, UnlockRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { notFound, refusalWords } from '../errors.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, Id } from '../schemas/common.ts';
import { RefusalPosition } from '../schemas/history.ts';
import { Trace } from '../schemas/trace.ts';
import { requestedAt, stepsOf } from '../trace.ts';
import { millisecondsBetween } from '../views.ts';
import { refusalAt } from './admin-why.ts';

export const adminTraceRoutes: readonly Route[] = [
  route({
    id: 'unlockTrace',
    tag: 'admin',
    summary: 'The cause chain of one opening, from the HTTP request to the bolt, with the time of each hop, and where it broke',
    method: 'GET',
    path: '/admin/unlocks/{unlock_id}/trace',
    access: admin('audit:read'),
    params: Closed({ unlock_id: Id }),
    replies: { 200: Trace },
    errors: [404],
  })(async (call, api) => {
    const unlock = await api.deps.reads.unlocks.byId(call.params.unlock_id);
    if (unlock === undefined) throw notFound('Command not found');
    const chain = await api.deps.reads.audit.chain(unlock.correlationId);
    const asked = chain.find(({ type }) => type === 'UnlockRequested');
    const link = await useOf(api, unlock, asked);
    const { startedAt, steps, standing } = stepsOf(unlock, chain, link === null ? undefined : { use: link.use, maxUses: link.max_uses });
    const last = [unlock.endedAt ?? startedAt, ...chain.map(({ occurredAt }) => occurredAt)].reduce((latest, each) => (each > latest ? each : latest), startedAt);
    return {
      status: 200,
      body: {
        unlock_id: unlock.unlockId,
        device_id: unlock.deviceId,
        status: unlock.state,
        correlation_id: unlock.correlationId,
        started_at: startedAt,
        duration_ms: millisecondsBetween(startedAt, last),
        request: requestView(unlock.correlationId, asked, { kind: unlock.cause.kind === 'link' ? 'courier' : unlock.cause.kind, id: unlock.cause.id }, unlock.requestedAt),
        link,
        steps: [...steps],
        standing,
        hops: chain.map((row) => hopView(api, row, startedAt)),
      },
    };
  }),

  route({
    id: 'refusalTrace',
    tag: 'admin',
    summary: 'The cause chain of a request to open that was refused',
    method: 'GET',
    path: '/admin/refusals/{position}/trace',
    access: admin('audit:read'),
    params: RefusalPosition,
    replies: { 200: Trace },
    errors: [404, 422],
  })(async (call, api) => {
    const { refusal, reason, deviceId } = await refusalAt(api, call.params.position);
    const { correlationId, causationId, occurredAt: decided, actor } = refusal.metadata;
    const chain = await api.deps.reads.audit.chain(correlationId);
    const at = requestedAt(correlationId, decided);
    const startedAt = at ?? decided;
    const since = millisecondsBetween(startedAt, decided);
    const nothing = { state: 'not_reached' as const, at: null, offset_ms: null, latency_ms: null, event_id: null, note: null };
    return {
      status: 200,
      body: {
        unlock_id: unlockIdOf(causationId),
        device_id: deviceId,
        status: 'refused',
        correlation_id: correlationId,
        started_at: startedAt,
        duration_ms: since,
        request: requestView(correlationId, chain.find(({ eventId }) => eventId === refusal.eventId), actor, decided),
        link: null,
        steps: [
          ...(at === undefined ? [] : [{ ...nothing, step: 'request' as const, state: 'done' as const, at, offset_ms: 0 }]),
          { step: 'asked', state: 'broken', at: decided, offset_ms: since, latency_ms: at === undefined ? null : since, event_id: refusal.eventId, note: reason },
          ...(['dispatched', 'published', 'acknowledged', 'confirmed', ...(actor.kind === 'courier' ? (['delivered'] as const) : [])] as const).map((step) => ({ ...nothing, step })),
        ],
        standing: { is: 'broken', step: 'asked', since: decided, text: `It was refused: ${refusalWords[reason as RefusalCode].message}. Nothing was sent to the box.` },
        hops: chain.map((row) => hopView(api, row, startedAt)),
      },
    };
  }),
];

function requestView(id: Uuid, row: AuditRow | undefined, actor: { readonly kind: string; readonly id: string }, askedAt: string) {
  return {
    id,
    at: requestedAt(id, askedAt) ?? null,
    actor: row === undefined ? { ...actor } : { kind: row.actorKind, id: row.actorId },
    source: row?.source ?? null,
    ip_address: row?.ip ?? null,
    user_agent: row?.userAgent ?? null,
  };
}

/** Which use of its link an opening was: as its box had it right after. */
async function useOf({ deps }: Api, { deviceId, cause }: UnlockRow, asked: AuditRow | undefined) {
  if (cause.kind !== 'link') return null;
  // A trace is not worth waiting for: who looks back at much at once is told without.
  const past = asked === undefined ? undefined : await deps.history.at('device', deviceId, { kind: 'revision', revision: asked.revision }, [cause.id]).catch(() => undefined);
  const state = past?.kind === 'state' ? (past.fold.state as DeviceState) : undefined;
  const link = state?.kind === 'registered' ? findLink(state.links, cause.id) : undefined;
  if (link !== undefined) return { link_id: cause.id, use: link.uses, max_uses: link.maxUses };
  const row = await deps.reads.links.byId(cause.id);
  return row === undefined ? null : { link_id: cause.id, use: null, max_uses: row.maxUses };
}

/** What each event is in the life of an opening. */
const hops: Readonly<Record<string, string>> = {
  UnlockRequested: 'request',
  UnlockDispatched: 'dispatch',
  UnlockPublished: 'broker',
  UnlockAcknowledged: 'device',
  UnlockConfirmed: 'bolt',
  UnlockFailed: 'failed',
  UnlockOutcomeUnknown: 'unknown',
  UnlockSettled: 'settled',
  UnlockCancelled: 'cancelled',
  UnlockExpired: 'expired',
  LockStateReported: 'lock state',
  DoorStateReported: 'door',
};

function hopView(api: Api, row: AuditRow, startedAt: string) {
  // The broker's answer may be told together with the box's: then it says itself when it came.
  const { publishedAt } = row.data;
  const at = typeof publishedAt === 'string' ? publishedAt : row.occurredAt;
  return {
    hop: hops[row.type] ?? row.action,
    type: row.type,
    at,
    recorded_at: row.recordedAt,
    offset_ms: millisecondsBetween(startedAt, at),
    actor: { kind: row.actorKind, id: row.actorId },
    source: row.source,
    event_id: row.eventId,
    causation_id: row.causationId,
    position: api.positions.encode(row.position),
    details: { ...row.data },
  };
}
