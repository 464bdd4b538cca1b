import { Type } from 'typebox';
import { readablePassword } from '../../commands/first-admin.ts';
import type { CommandOutcome } from '../../commands/port.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { UserRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import type { Call } from '../call.ts';
import { ApiError, notFound, refused } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { permissionsOf, roles } from '../permissions.ts';
import { admin, route, type Route } from '../route.ts';
import { AdminRoleChange, AdminRoleRow, Administrator, CreatedAdmin, NewAdmin } from '../schemas/admins.ts';
import { Message, Text, UserId } from '../schemas/common.ts';
import { userView } from '../views.ts';
import { emailOf, namesIn } from '../names.ts';

export const adminAdminRoutes: readonly Route[] = [
  listRoute({
    id: 'admins',
    tag: 'admin',
    summary: 'Who administers, and with which rights',
    path: '/admin/admins',
    access: admin('admins:manage'),
    filters: { search: Type.Optional(Text(100)) },
    row: Administrator,
    size: 50,
  })(async ({ query: { search } }, { deps }, page) => {
    const { rows, total } = await deps.reads.users.list({ admins: true, ...(search === undefined ? {} : { search }) }, page);
    return { rows: rows.map(administratorView), total };
  }),

  route({
    id: 'adminRoles',
    tag: 'admin',
    summary: 'What each role brings',
    method: 'GET',
    path: '/admin/roles',
    access: admin('admins:manage'),
    replies: { 200: Type.Array(AdminRoleRow) },
  })(async () => {
    return { status: 200, body: (['super_admin', 'admin', 'support'] as const).map((role) => ({ role, permissions: [...roles[role]] })) };
  }),

  route({
    id: 'admin',
    tag: 'admin',
    summary: 'One administrator',
    method: 'GET',
    path: '/admin/admins/{user_id}',
    access: admin('admins:manage'),
    params: UserId,
    replies: { 200: Administrator },
    errors: [404],
  })(async (call, api) => {
    return { status: 200, body: administratorView(await anAdmin(api, call.params.user_id)) };
  }),

  route({
    id: 'createAdmin',
    tag: 'admin',
    summary: 'Make an administrator with an account of its own; the password is shown once',
    method: 'POST',
    path: '/admin/admins',
    access: admin('admins:manage'),
    body: NewAdmin,
    replies: { 201: CreatedAdmin },
    errors: [409],
    // A second account for the same address is refused: nothing happens twice.
    idempotent: false,
  })(async (call, api) => {
    const { accounts, deps } = api;
    const { role = 'admin', permissions = [], password, full_name: fullName } = call.body;
    const email = emailOf(call.body.email);
    const holder = await deps.credentials.emails.find(email);
    if (holder !== undefined && (await deps.reads.users.byId(holder)) !== undefined) {
      // Never by address alone: who has an account under it need not be whom the address belongs to.
      throw new ApiError('conflict', 'An account with this email address exists: give it a role by its id', { reason: 'user_exists', user_id: holder });
    }
    const chosen = password ?? readablePassword();
    const name = namesIn(fullName ?? email.split('@', 1)[0] ?? email);
    const userId = await accounts.create(call, { email, ...name, residentState: '' }, chosen);
    await carried(api, call, userId, await deps.adminRoles.grant(userId, role, [...new Set(permissions)], call.context('grant')));
    return { status: 201, body: { ...administratorView(await anAdmin(api, userId)), password: password === undefined ? chosen : null } };
  }),

  route({
    id: 'changeAdmin',
    tag: 'admin',
    summary: 'Give an account a role, or change its role and rights; felt by its tokens and sockets at once',
    method: 'PUT',
    path: '/admin/admins/{user_id}',
    access: admin('admins:manage'),
    params: UserId,
    body: AdminRoleChange,
    replies: { 200: Administrator },
    errors: [404, 409],
  })(async (call, api) => {
    const { user_id: userId } = call.params;
    const { role = 'admin', permissions = [] } = call.body;
    await carried(api, call, userId, await api.deps.adminRoles.grant(userId, role, [...new Set(permissions)], call.context()));
    return { status: 200, body: administratorView(await anAdmin(api, userId)) };
  }),

  route({
    id: 'revokeAdmin',
    tag: 'admin',
    summary: 'Take the role away; the account stays, its administrative sessions end',
    method: 'DELETE',
    path: '/admin/admins/{user_id}',
    access: admin('admins:manage'),
    params: UserId,
    replies: { 200: Message },
    errors: [404, 409],
  })(async (call, api) => {
    const { user_id: userId } = call.params;
    await carried(api, call, userId, await api.deps.adminRoles.revoke(userId, call.context()));
    return { status: 200, body: { message: 'Administrator removed' } };
  }),
];

/** Sessions that ended are proved with nothing from now on, in this process and in every other. */
async function carried(api: Api, call: Call, userId: Uuid, outcome: CommandOutcome): Promise<void> {
  if (outcome.kind === 'accepted') {
    for (const event of outcome.events) if (event.type === 'SessionEnded') await api.deps.credentials.sessions.end(event.data.sessionId);
    api.gate.forget(userId);
  }
  await api.settle(call, outcome.position);
  if (outcome.kind === 'refused') throw refused(outcome.refusal);
}

async function anAdmin(api: Api, userId: Uuid): Promise<UserRow> {
  const row = await api.deps.reads.users.byId(userId);
  if (row === undefined || row.adminRole === null) throw notFound('Administrator not found');
  return row;
}

function administratorView(row: UserRow) {
  const { id, email, full_name, role, permissions, is_active, created_at } = userView(row);
  return {
    id,
    email,
    full_name,
    role: role ?? ('support' as const),
    permissions,
    effective_permissions: [...permissionsOf(row.adminRole, row.permissions)].sort(),
    is_active,
    last_login_at: row.lastLoginAt,
    created_at,
  };
}
