import { Type } from 'typebox';
import { localTimeIn } from '../../commands/local-time.ts';
import type { CourierDetails } from '../../domain/device/events.ts';
import { isWithin } from '../../domain/link/link.ts';
import type { DeviceRow, LinkRow, UnlockRow } from '../../projections/read-models.ts';
import { forCourier, endedWithoutOpening, outcomeWords, stateWords } from '../words.ts';
import type { Api } from '../api.ts';
import { refused, refusalWords } from '../errors.ts';
import { linkBearer, route, type Route } from '../route.ts';
import { Closed, Id, LinkToken } from '../schemas/common.ts';
import { Courier, DeliveryDone, DeliveryStatus, DeliveryUnderWay, LinkInfo } from '../schemas/links.ts';
import type { LinkProblem } from '../schemas/links.ts';
import { windowView } from '../views.ts';

/** So long after an opening its courier still sees the box that it was. */
export const AFTERGLOW_MS = 10 * 60_000;

/** What a courier does, with nothing but the link. GET and HEAD never take a use: preview bots open shared links. */
export const publicDeliveryRoutes: readonly Route[] = [
  route({
    id: 'linkInfo',
    tag: 'delivery',
    summary: 'Whether a link works, and for which box',
    method: 'GET',
    path: '/delivery/link/{link_token}/info',
    aliases: [{ method: 'GET', path: '/delivery/{link_token}' }],
    access: linkBearer,
    params: LinkToken,
    replies: { 200: LinkInfo },
    errors: [404],
  })(async (call, api) => {
    const { link } = call.who;
    const device = await api.deps.reads.devices.byId(link.deviceId);
    const problem = problemOf(link, device, api.deps.clock.now());
    return {
      status: 200,
      body: {
        is_valid: problem === undefined,
        reason: problem ?? null,
        message: problem === undefined ? 'Access link is valid' : refusalWords[problemCodes[problem]].message,
        expires_at: link.expiresAt,
        starts_at: link.startsAt,
        already_used: link.currentUses >= link.maxUses,
        require_identity: link.requireIdentity,
        uses_left: Math.max(0, link.maxUses - link.currentUses),
        window: windowView(link),
        device_id: problem === undefined ? link.deviceId : null,
        device_name: problem === undefined ? (device?.name ?? null) : null,
        device_location: problem === undefined ? (device?.address ?? null) : null,
      },
    };
  }),

  route({
    id: 'linkUnlock',
    tag: 'delivery',
    summary: 'Open the box and deliver',
    method: 'POST',
    path: '/delivery/link/{link_token}/unlock',
    aliases: [{ method: 'POST', path: '/delivery/{link_token}/unlock' }],
    access: linkBearer,
    limit: 'unlock',
    params: LinkToken,
    body: Courier,
    bodyOptional: true,
    replies: { 200: DeliveryDone, 202: DeliveryUnderWay },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { link } = call.who;
    const ask = {
      deviceId: link.deviceId,
      cause: { kind: 'link', id: link.linkId } as const,
      courier: courierOf(call.body),
      ...(link.window === null ? {} : { timeZone: link.window.timeZone }),
    };
    const reply = await api.deps.unlocks.request(ask, { ...call.context(), lane: 'urgent' }, 'outcome');
    if (reply.kind === 'refused') throw forCourier(refused(reply.refusal));
    api.told(reply.unlock.position);
    const { unlockId, state, reason, useReturned, at, expiresAt } = reply.unlock;
    switch (state) {
      case 'opened':
        return {
          status: 200,
          body: {
            message: 'Device unlocked successfully',
            status: 'opened',
            device_id: link.deviceId,
            unlocked_at: at,
            delivery_complete: true,
            command_id: unlockId,
          },
        };
      case 'failed':
      case 'unknown':
      case 'cancelled':
      case 'expired':
        throw endedWithoutOpening(state, reason, useReturned, unlockId);
      default:
        return {
          status: 202,
          body: {
            message: stateWords(state).message,
            status: 'unlocking',
            delivery_complete: false,
            command_id: unlockId,
            expires_at: expiresAt,
            status_url: `/api/v1/delivery/link/${call.params.link_token}/status?command_id=${unlockId}`,
          },
        };
    }
  }),

  route({
    id: 'linkStatus',
    tag: 'delivery',
    summary: 'How far the opening has come',
    method: 'GET',
    path: '/delivery/link/{link_token}/status',
    aliases: [{ method: 'GET', path: '/delivery/{link_token}/status' }],
    access: linkBearer,
    params: LinkToken,
    query: Closed({ command_id: Type.Optional(Id) }),
    replies: { 200: DeliveryStatus },
    errors: [404],
  })(async (call, api) => {
    const { link } = call.who;
    const { reads, clock } = api.deps;
    const now = clock.now();
    const [device, unlock] = await Promise.all([reads.devices.byId(link.deviceId), unlockOf(api, link, call.query.command_id)]);
    const recent = unlock !== undefined && now - Date.parse(unlock.requestedAt) < AFTERGLOW_MS;
    // After the opening, as long as the box is still whose it was: what it does for its next owner is nobody's business here.
    const shown = (recent && device?.assignmentId === link.assignmentId) || problemOf(link, device, now) === undefined;
    return {
      status: 200,
      body: {
        link_status: link.status,
        device_status: shown ? (device?.lockStatus ?? 'unknown') : 'unknown',
        unlocked_at: unlock?.openedAt ?? null,
        delivery_complete: unlock?.openedAt != null,
        command:
          unlock === undefined
            ? null
            : {
                command_id: unlock.unlockId,
                status: unlock.state,
                message: stateWords(unlock.state, unlock.reason).message,
                ...outcomeWords(unlock.state, unlock.reason, unlock.useReturned),
                use_returned: unlock.useReturned,
                expires_at: unlock.expiresAt,
              },
      },
    };
  }),
];

/** The opening that a courier asks about: theirs by its id, else the last one of the link. */
async function unlockOf(api: Api, link: LinkRow, commandId: string | undefined): Promise<UnlockRow | undefined> {
  const { unlocks } = api.deps.reads;
  if (commandId === undefined) return unlocks.lastOfLink(link.linkId);
  const row = await unlocks.byId(commandId.toLowerCase());
  return row?.cause.kind === 'link' && row.cause.id === link.linkId ? row : undefined;
}

export type Problem = (typeof LinkProblem)['enum'][number];

export const problemCodes = {
  expired: 'link_expired',
  used: 'link_used',
  revoked: 'link_revoked',
  not_yet_valid: 'link_not_yet_valid',
  outside_hours: 'link_outside_hours',
  device_in_maintenance: 'device_in_maintenance',
  device_unavailable: 'link_void',
} as const satisfies Record<Problem, keyof typeof refusalWords>;

/** Why a link would not open now, for display: the box's stream decides when it is asked. */
export function problemOf(link: LinkRow, device: DeviceRow | undefined, nowMs: number): Problem | undefined {
  if (link.deleted || link.status === 'revoked') return 'revoked';
  const now = new Date(nowMs).toISOString();
  if (link.status === 'expired' || link.expiresAt <= now) return 'expired';
  if (link.status === 'used') return 'used';
  if (device === undefined || device.assignmentId !== link.assignmentId || device.ownerSuspended || device.lifecycle === 'decommissioned') {
    return 'device_unavailable';
  }
  if (device.lifecycle === 'maintenance') return 'device_in_maintenance';
  if (link.startsAt !== null && link.startsAt > now) return 'not_yet_valid';
  if (link.window !== null && !isWithin(link.window, localTimeIn(link.window.timeZone, nowMs))) return 'outside_hours';
  return undefined;
}

function courierOf(body: {
  delivery_person_name?: string;
  delivery_person_id?: string;
  courier_company?: string;
  delivery_person_phone?: string;
  delivery_notes?: string;
}): CourierDetails {
  return {
    ...(body.delivery_person_name === undefined ? {} : { name: body.delivery_person_name }),
    ...(body.delivery_person_id === undefined ? {} : { personId: body.delivery_person_id }),
    ...(body.courier_company === undefined ? {} : { company: body.courier_company }),
    ...(body.delivery_person_phone === undefined ? {} : { phone: body.delivery_person_phone }),
    ...(body.delivery_notes === undefined ? {} : { notes: body.delivery_notes }),
  };
}
