import { Type } from 'typebox';
import type { CommandOutcome } from '../../commands/port.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { UserRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import type { Call } from '../call.ts';
import { notFound, refused } from '../errors.ts';
import { listRoute } from '../paging.ts';
import type { AccountPrincipal } from '../principal.ts';
import { admin, route, type Route } from '../route.ts';
import { AdminReason, AdminUser, AdminUserRow, Suspended } from '../schemas/admin.ts';
import { Closed, Message, Text, UserId } from '../schemas/common.ts';
import { deliveryView, deviceView, linkView, userView } from '../views.ts';

/** Rows of each kind on a user's page. */
const SHOWN = 100;

export const adminUserRoutes: readonly Route[] = [
  listRoute({
    id: 'adminUsers',
    tag: 'admin',
    summary: 'Every account',
    path: '/admin/users',
    access: admin('users:read'),
    filters: { active: Type.Optional(Type.Boolean()), search: Type.Optional(Text(100)) },
    row: AdminUserRow,
    size: 50,
  })(async ({ query: { active, search } }, { deps }, page) => {
    const filter = { ...(active === undefined ? {} : { active }), ...(search === undefined ? {} : { search }) };
    const { rows, total } = await deps.reads.users.list(filter, page);
    return { rows: rows.map((row) => ({ ...userView(row), device_count: row.deviceCount })), total };
  }),

  route({
    id: 'adminUser',
    tag: 'admin',
    summary: 'One account with its boxes, links and deliveries',
    method: 'GET',
    path: '/admin/users/{user_id}',
    access: admin('users:read'),
    params: UserId,
    replies: { 200: AdminUser },
    errors: [404],
  })(async (call, api) => {
    const { reads, clock } = api.deps;
    const user = await anyUser(api, call.params.user_id);
    const page = { limit: SHOWN, offset: 0 };
    const [devices, links, deliveries] = await Promise.all([
      reads.devices.ofOwner(user.userId),
      reads.links.ofOwner(user.userId, {}, page),
      reads.deliveries.ofOwner(user.userId, {}, page),
    ]);
    const now = clock.now();
    return {
      status: 200,
      body: {
        ...userView(user),
        devices: devices.map((row) => deviceView(row, now)),
        // An administrator never sees the address that opens a box.
        access_links: links.rows.map((row) => linkView(row, null)),
        delivery_history: deliveries.rows.map(deliveryView),
      },
    };
  }),

  route({
    id: 'suspendUser',
    tag: 'admin',
    summary: 'Suspend an account: its sessions end and its links stop',
    method: 'PUT',
    path: '/admin/users/{user_id}/suspend',
    access: admin('users:suspend'),
    params: UserId,
    body: AdminReason,
    bodyOptional: true,
    replies: { 200: Suspended },
    errors: [404, 409],
  })(async (call, api) => {
    const { user_id: userId } = call.params;
    mayTouch(api, call, await anyUser(api, userId));
    // Answered after the last box knows: a policy repeats this after a crash.
    await carried(api, call, await api.deps.suspension.suspend(userId, call.body?.reason, call.context()));
    await api.deps.credentials.sessions.endAll(userId);
    api.gate.forget(userId);
    return { status: 200, body: { message: 'User account suspended', ...(await inFlightOf(api, userId)) } };
  }),

  route({
    id: 'activateUser',
    tag: 'admin',
    summary: 'End a suspension; links that it ended stay ended',
    method: 'PUT',
    path: '/admin/users/{user_id}/activate',
    access: admin('users:suspend'),
    params: UserId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: Message },
    errors: [404],
  })(async (call, api) => {
    const { user_id: userId } = call.params;
    mayTouch(api, call, await anyUser(api, userId));
    await carried(api, call, await api.deps.suspension.activate(userId, call.context()));
    api.gate.forget(userId);
    return { status: 200, body: { message: 'User account activated' } };
  }),
];

/** What was under way at any of a user's boxes is waited for together. */
async function inFlightOf(api: Api, userId: Uuid) {
  const boxes = await api.deps.reads.devices.ofOwner(userId);
  const each = await Promise.all(
    boxes.map(async ({ deviceId }) => {
      const { in_flight: inFlight } = await api.inFlight(deviceId);
      return inFlight === undefined ? [] : [{ device_id: deviceId, ...inFlight }];
    }),
  );
  const under = each.flat();
  return under.length === 0 ? {} : { unlocks_in_flight: under };
}

async function anyUser(api: Api, userId: Uuid): Promise<UserRow> {
  const row = await api.deps.reads.users.byId(userId);
  if (row === undefined) throw notFound('User not found');
  return row;
}

/** Whoever may not say who administers does not shut an administrator out either. */
export function mayTouch(api: Api, call: Call<unknown, unknown, unknown, AccountPrincipal>, { userId, adminRole }: UserRow): void {
  if (adminRole === null || call.who.permissions.has('admins:manage')) return;
  const refusal = { code: 'role_missing' } as const;
  api.deps.refusals.recordAs(call.route?.id ?? '', { kind: 'user', id: userId }, refusal, call.context());
  throw refused(refusal);
}

async function carried(api: Api, call: Call, outcome: CommandOutcome): Promise<void> {
  await api.settle(call, outcome.position);
  if (outcome.kind === 'refused') throw refused(outcome.refusal);
}
