import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/platform/ids.ts';
import { startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let root: { token: string; userId: string };
beforeEach(async () => {
  api = await startApi();
  root = api.signIn({ adminRole: 'super_admin' });
});
afterEach(() => api.stop());

const ask = (method: string, path: string, body?: unknown, token = root.token) => api.ask(method, `/api/v1/admin${path}`, { token, ...(body === undefined ? {} : { body }) });
const lastCommand = () => api.world.commands.at(-1);

describe('administrators', () => {
  test('are listed with what they may do', async () => {
    const support = api.signIn({ adminRole: 'support', permissions: ['devices:pin'] });
    api.signIn();
    const { body, headers } = await ask('GET', '/admins');
    expect(headers.get('x-total-count')).toBe('2');
    expect(body).toMatchObject([
      { id: root.userId, role: 'super_admin', permissions: [], effective_permissions: expect.arrayContaining(['admins:manage', 'devices:unlock']) as string[] },
      { id: support.userId, role: 'support', permissions: ['devices:pin'], effective_permissions: ['analytics:read', 'audit:read', 'devices:pin', 'devices:read', 'devices:unlink', 'system:read', 'users:read'] },
    ]);
    expect((await ask('GET', `/admins/${support.userId}`)).body).toMatchObject({ id: support.userId, email: 'ana@example.com', is_active: true, last_login_at: null });
    expect((await ask('GET', `/admins/${api.signIn().userId}`)).status).toBe(404);
    expect((await ask('GET', '/roles')).body).toMatchObject([{ role: 'super_admin' }, { role: 'admin' }, { role: 'support' }]);
  });

  test('are made of accounts, changed, and removed', async () => {
    const user = api.signIn();
    expect((await ask('PUT', `/admins/${user.userId}`, { role: 'support', permissions: ['devices:unlock', 'devices:unlock'] })).body).toMatchObject({ id: user.userId, role: 'support', permissions: ['devices:unlock'] });
    expect(lastCommand()).toMatchObject({ command: { type: 'GrantAdminRole', data: { userId: user.userId, role: 'support', permissions: ['devices:unlock'] } }, context: { actor: { kind: 'admin', id: root.userId } } });
    // What is left out is the least that the name says.
    expect((await ask('PUT', `/admins/${user.userId}`, {})).body).toMatchObject({ role: 'admin', permissions: [] });
    expect((await ask('DELETE', `/admins/${user.userId}`)).body).toEqual({ message: 'Administrator removed' });
    expect(lastCommand()?.command).toEqual({ type: 'RevokeAdminRole', data: { userId: user.userId } });
  });

  test('are made with an account of their own, whose password is shown once', async () => {
    const made = await ask('POST', '/admins', { email: 'Sam@Example.com', full_name: 'Sam O Neil', role: 'support' });
    expect(made).toMatchObject({ status: 201, body: { email: 'sam@example.com', full_name: 'Sam O Neil', role: 'support', password: expect.stringMatching(/^\w{5}-\w{4}-\w{5}$/) as string } });
    const { id, password } = made.body as { id: string; password: string };
    expect(api.world.commands.slice(-2)).toMatchObject([
      { command: { type: 'RegisterUser' }, context: { actor: { kind: 'admin', id: root.userId } } },
      { command: { type: 'GrantAdminRole', data: { userId: id, role: 'support' } } },
    ]);
    expect((await api.ask('POST', '/api/v1/admin/auth/login', { body: { email: 'sam@example.com', password } })).body).toMatchObject({ user: { id, role: 'support' } });
    expect((await ask('POST', '/admins', { email: 'kim@example.com', password: 'correct horse' })).body).toMatchObject({ full_name: 'kim', role: 'admin', password: null });
    // Somebody's own account is never made an administrator's by its address alone.
    expect(await ask('POST', '/admins', { email: 'sam@example.com' })).toMatchObject({ status: 409, body: { error: 'conflict', details: { reason: 'user_exists', user_id: id } } });
    expect(await ask('POST', '/admins', { email: 'nobody' })).toMatchObject({ status: 400, body: { details: { email: 'must be a valid email address' } } });
  });

  test('a change that makes no sense is refused by name', async () => {
    const { userId } = api.signIn();
    for (const [body, field] of [[{ role: 'owner' }, 'role'], [{ permissions: ['devices:fly'] }, 'permissions.0'], [{ name: 'x' }, 'name']] as const) {
      expect(await ask('PUT', `/admins/${userId}`, body), field).toMatchObject({ status: 400, body: { error: 'validation_error', details: { [field]: expect.any(String) as string } } });
    }
    api.world.refuse = { GrantAdminRole: { code: 'user_not_found' }, RevokeAdminRole: { code: 'user_not_found' } };
    expect(await ask('PUT', `/admins/${newId()}`, {})).toMatchObject({ status: 404, body: { error: 'not_found', message: 'User not found', details: { reason: 'user_not_found' } } });
    expect(await ask('DELETE', `/admins/${newId()}`)).toMatchObject({ status: 404 });
  });

  test('the last super_admin stays', async () => {
    const last = { code: 'last_super_admin' } as const;
    api.world.refuse = { GrantAdminRole: last, RevokeAdminRole: last, SuspendUser: last };
    const refused = { status: 409, body: { error: 'conflict', message: 'The last super_admin cannot be removed: make another one first', details: { reason: 'last_super_admin' } } };
    expect(await ask('PUT', `/admins/${root.userId}`, { role: 'support' })).toMatchObject(refused);
    expect(await ask('DELETE', `/admins/${root.userId}`)).toMatchObject(refused);
    expect(await ask('PUT', `/users/${root.userId}/suspend`)).toMatchObject(refused);
  });

  test('are made and shut out by whoever may say who administers, and by nobody else', async () => {
    const admin = api.signIn({ adminRole: 'admin' });
    const other = api.signIn({ adminRole: 'support' });
    for (const [method, path] of [['GET', '/admins'], ['GET', '/roles'], ['PUT', `/admins/${admin.userId}`], ['DELETE', `/admins/${root.userId}`], ['PUT', `/users/${root.userId}/suspend`], ['PUT', `/users/${other.userId}/activate`]] as const) {
      expect(await ask(method, path, method === 'PUT' ? {} : undefined, admin.token), path).toMatchObject({ status: 403, body: { error: 'forbidden', message: 'Insufficient permissions' } });
    }
    expect(api.world.commands).toHaveLength(0);
    expect(api.world.refusals.map(({ command, target }) => [command, target.id])).toEqual([
      ['admins', admin.userId],
      ['adminRoles', admin.userId],
      ['changeAdmin', admin.userId],
      ['revokeAdmin', root.userId],
      ['suspendUser', root.userId],
      ['activateUser', other.userId],
    ]);
    expect((await ask('PUT', `/users/${other.userId}/suspend`)).status).toBe(200);
    const trusted = api.signIn({ adminRole: 'admin', permissions: ['admins:manage'] });
    expect((await ask('GET', '/admins', undefined, trusted.token)).status).toBe(200);
  });

  test('sessions that a change ended are proved with nothing', async () => {
    const support = api.signIn({ adminRole: 'support' });
    const events = [{ type: 'AdminRoleRevoked', data: {} }, { type: 'SessionEnded', data: { sessionId: support.sessionId, reason: 'revoked' } }];
    const other = await startApi({ world: api.world, adminRoles: { grant: api.world.deps().adminRoles.grant, revoke: async () => ({ kind: 'accepted', events: events as never, revision: 2n, position: 9n, repeated: false }) } });
    await other.ask('DELETE', `/api/v1/admin/admins/${support.userId}`, { token: root.token });
    expect(api.world.sessions.get(support.sessionId)?.live).toBe(false);
    await other.stop();
  });
});
