import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deviceRow, linkRow, sealed, startApi, unlockRow, type TestApi } from '../support/api.ts';
import { newId } from '../../src/platform/ids.ts';

let api: TestApi;
let ana: { userId: string; token: string };
beforeEach(async () => {
  api = await startApi();
  ana = api.signIn();
  api.world.passwords.set(ana.userId, 'hash:correct horse');
});
afterEach(() => api.stop());

const receipt = {
  format: 'loqey-erasure-receipt-1',
  log_id: newId(),
  subject: `user:${newId()}`,
  requested_by: 'owner',
  requested_at: '2026-11-21T10:00:00.000Z',
  event: { id: newId(), stream: 'user-x', revision: '3', position: '12' },
  completed_at: '2026-11-21T10:00:01.000Z',
  destroyed: { data_keys: 1, deliveries: 0, boxes: 0, statement: 's' },
  backups: { retention_days: 30, until: '2026-12-21T10:00:01.000Z', statement: 's' },
  kid: 'k',
  signature: 's',
};
const own = (body: object) => api.ask('POST', '/api/v1/auth/me/erase', { token: ana.token, body });
const good = { password: 'correct horse', confirm: 'Ana@Example.com ' };

describe('one’s own erasure', () => {
  test('is told before, asked for with password and address, and answered with a receipt', async () => {
    const device = deviceRow({ ownerId: ana.userId });
    api.world.devices.set(device.deviceId, device);
    api.world.links.set('l', linkRow({ ownerId: ana.userId, deviceId: device.deviceId }));
    const preview = await api.ask('GET', '/api/v1/auth/me/erase', { token: ana.token });
    expect(preview).toMatchObject({
      status: 200,
      body: { email: 'ana@example.com', devices: [{ id: device.deviceId, name: 'Mill Lane 12' }], active_links: 1, deliveries: 0, needs: ['password', 'confirm'], backups: { retention_days: 30, until: '2026-12-21T10:00:00.000Z' } },
    });
    expect(api.world.commands).toEqual([]);

    api.world.receipt = receipt;
    const answer = await own({ ...good, confirm: 'Ana@Example.com' });
    expect(answer).toMatchObject({ status: 200, body: { status: 'completed', receipt } });
    expect(api.world.commands.at(-1)).toMatchObject({ command: { type: 'EraseSubject', data: { userId: ana.userId, requestedBy: 'owner', passwordMatched: true } }, context: { actor: { kind: 'user', id: ana.userId } } });
    const { status_url: url } = answer.body as { status_url: string };
    expect((await api.ask('GET', url)).body).toEqual(answer.body);
  });

  test('that takes longer says where its receipt will be', async () => {
    const answer = await own({ ...good, confirm: 'ana@example.com' });
    expect(answer).toMatchObject({ status: 202, body: { status: 'under_way', receipt: null, status_url: expect.stringMatching(/^\/api\/v1\/erasures\/[0-9a-f-]{36}$/) as string } });
    expect((await api.ask('GET', `/api/v1/erasures/${newId()}`)).status).toBe(404);
  });

  test('is refused without the right address or password, under the limits of a login, and to the last super_admin', async () => {
    expect(await own({ password: 'correct horse', confirm: 'eve@example.com' })).toMatchObject({ status: 400, body: { error: 'validation_error', message: 'Not confirmed', details: { confirm: 'must be the e-mail address of the account' } } });
    expect(await own({ password: 'correct horse' })).toMatchObject({ status: 400, body: { details: { confirm: expect.any(String) as string } } });
    expect(api.world.commands).toEqual([]);
    api.world.refuse = { EraseSubject: { code: 'credentials_invalid' } };
    expect(await own({ password: 'wrong', confirm: 'ana@example.com' })).toMatchObject({ status: 403, body: { message: 'The password is not right', details: { reason: 'credentials_invalid' } } });
    expect(api.world.commands.at(-1)?.command.data).toMatchObject({ passwordMatched: false });
    api.world.refuse = { EraseSubject: { code: 'login_locked', details: { retry_after: 900 } } };
    expect(await own({ password: 'x', confirm: 'ana@example.com' })).toMatchObject({ status: 429, body: { details: { retry_after: 900 } } });
    api.world.refuse = { EraseSubject: { code: 'last_super_admin' } };
    expect(await own({ ...good, confirm: 'ana@example.com' })).toMatchObject({ status: 409, body: { details: { reason: 'last_super_admin' } } });
  });
});

describe('an administrator', () => {
  const erase = (userId: string, token: string, body: object = { confirm: 'ana@example.com', ground: 'requested' }) => api.ask('POST', `/api/v1/admin/users/${userId}/erase`, { token, body });

  test('with the right erases an account, and says why in a word', async () => {
    const root = api.signIn({ adminRole: 'super_admin' });
    expect(await erase(ana.userId, root.token)).toMatchObject({ status: 202 });
    expect(api.world.commands.at(-1)).toMatchObject({ command: { data: { userId: ana.userId, requestedBy: 'admin', ground: 'requested' } }, context: { actor: { kind: 'admin', id: root.userId } } });
    expect(await erase(ana.userId, root.token, { confirm: 'ana@example.com', ground: 'Ana asked for it' })).toMatchObject({ status: 400, body: { details: { ground: expect.any(String) as string } } });
    expect(await erase(ana.userId, root.token, { confirm: 'eve@example.com', ground: 'requested' })).toMatchObject({ status: 400 });
    expect(await erase(newId(), root.token)).toMatchObject({ status: 404, body: { message: 'User not found' } });
    expect(await api.ask('GET', `/api/v1/admin/users/${ana.userId}/erase`, { token: root.token })).toMatchObject({ status: 200, body: { needs: ['confirm', 'ground'], export_path: `/api/v1/admin/users/${ana.userId}/export` } });
    expect((await api.ask('GET', `/api/v1/admin/users/${newId()}/erase`, { token: root.token })).status).toBe(404);
  });

  test('needs it granted, and for an administrator’s account the right to manage those', async () => {
    const plain = api.signIn({ adminRole: 'admin' });
    expect((await erase(ana.userId, plain.token)).status).toBe(403);
    const granted = api.signIn({ adminRole: 'admin', permissions: ['users:erase'] });
    expect((await erase(ana.userId, granted.token)).status).toBe(202);
    const other = api.signIn({ adminRole: 'support' });
    expect(await erase(other.userId, granted.token)).toMatchObject({ status: 403, body: { details: { reason: 'role_missing' } } });
    expect((await api.ask('GET', `/api/v1/admin/users/${other.userId}/export`, { token: granted.token })).status).toBe(403);
    expect((await api.ask('GET', `/api/v1/admin/users/${ana.userId}/export`, { token: api.signIn({ adminRole: 'support' }).token })).status).toBe(403);
    expect((await api.ask('GET', `/api/v1/admin/users/${newId()}/export`, { token: granted.token })).status).toBe(404);
  });
});

describe('a copy of everything', () => {
  test('is one document, whole, with where one’s links lead; an administrator’s is without that', async () => {
    const device = deviceRow({ ownerId: ana.userId });
    const link = linkRow({ ownerId: ana.userId, deviceId: device.deviceId, token: sealed('A'.repeat(32)) });
    const unlock = unlockRow({ deviceId: device.deviceId });
    api.world.devices.set(device.deviceId, device);
    api.world.links.set(link.linkId, link);
    api.world.deliveries.set(unlock.unlockId, { ...unlock, linkId: link.linkId, linkName: null, ownerId: ana.userId, courier: { name: 'Jo' } });
    for (let n = 0; n < 450; n++) {
      const ref = `00000000-0000-4000-8000-${`${n}`.padStart(12, '0')}`;
      api.world.personal.push({ subject: `user:${ana.userId}`, ref, kind: 'origin', fields: { ip: '203.0.113.7' }, since: '2026-11-21T10:00:00.000Z' });
    }
    const own = await api.ask('GET', '/api/v1/auth/me/export', { token: ana.token });
    expect([own.status, own.headers.get('content-type'), own.headers.get('content-disposition'), own.headers.get('cache-control')]).toEqual([200, 'application/json; charset=utf-8', 'attachment; filename="loqey-personal-data-2026-11-21.json"', 'no-store']);
    expect(own.body).toMatchObject({ format: 'loqey-personal-data-1', account: { email: 'ana@example.com' }, devices: [{ id: device.deviceId }], links: [{ access_url: `https://app.loqey.com/unlock/${'A'.repeat(32)}` }], deliveries: [{ delivery_person_name: 'Jo' }], sessions: [{ current: true }], complete: true });
    expect((own.body as { personal: unknown[] }).personal).toHaveLength(450);
    const root = api.signIn({ adminRole: 'super_admin' });
    expect((await api.ask('GET', `/api/v1/admin/users/${ana.userId}/export`, { token: root.token })).body).toMatchObject({ links: [{ access_url: null }], sessions: [{ current: false }] });
    // That it left, and to whom, is in the person's own history.
    const started = { type: 'StartPersonalDataExport', data: { userId: ana.userId } };
    expect(api.world.commands.slice(-2)).toMatchObject([{ command: started, context: { actor: { kind: 'user', id: ana.userId } } }, { command: started, context: { actor: { kind: 'admin', id: root.userId } } }]);
  });
});
