import type { DeliveryState } from '../../audit/history/delivery.ts';
import { differenceOf, lastChange } from '../../audit/history/diff.ts';
import { createFold, type Fold } from '../../audit/history/fold.ts';
import { placeOf, type Past } from '../../audit/history/history.ts';
import { shownDelivery, shownDevice, shownLink, shownUser, type Shown } from '../../audit/history/states.ts';
import { lastChangeOfStatus } from '../../audit/history/why.ts';
import type { DeviceState } from '../../domain/device/state.ts';
import { deviceStream } from '../../domain/device/stream.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { UserState } from '../../domain/user/state.ts';
import { userStream } from '../../domain/user/stream.ts';
import type { UnlockRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { invalid, notFound } from '../errors.ts';
import { endView, eventsByRevision, eventsOf, linkOf, momentOf, notReady, notYet, nowOf, pastOf, saidOf, there, unlockOf, type Asked } from '../past.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, DeviceId, Id, UserId } from '../schemas/common.ts';
import { AsOf, Between, Difference, PastDelivery, PastDevice, PastLink, PastUser, type DeliveryThen, type DeviceThen, type LinkThen, type UserThen } from '../schemas/history.ts';

/**
 * States of the past, and what changed between two of them (docs/decisions/0119). An answer always says of when it is; what is
 * asked of now is asked of the routes without `state`.
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
];

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
