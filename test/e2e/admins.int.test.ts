import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../support/api-client.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { newOwner, signInAdmin, type Person } from '../support/people.ts';
import { until } from '../support/until.ts';

/** The whole system: what a change of rights does to tokens and sockets that are in use. */
let app: RunningApp;
let root: Person;
beforeAll(async () => {
  app = await startApp();
  root = await signInAdmin(app.url, app.admin);
});
afterAll(() => app.stop());

interface Made {
  readonly id: string;
  readonly email: string;
  readonly password: string;
}

async function newAdmin(role: string, permissions: readonly string[] = []): Promise<Made & { readonly session: Person; readonly refresh: string }> {
  const made = await root.api.post<Made>('/admin/admins', { email: `${role}.${Math.random()}@example.com`, role, permissions });
  const { body } = await createClient(app.url).call<{ refresh_token: string }>('POST', '/admin/auth/login', { email: made.email, password: made.password });
  return { ...made, session: await signInAdmin(app.url, made), refresh: body.refresh_token };
}

async function listen(path: string, token: string): Promise<{ readonly closed: () => number | undefined }> {
  const socket = new WebSocket(`${app.url.replace('http', 'ws')}${path}`, { headers: { authorization: `Bearer ${token}` } });
  let code: number | undefined;
  socket.on('close', (given) => (code = given));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return { closed: () => code };
}

const WITHIN_MS = 1_000;
const gone = (what: string, socket: { closed: () => number | undefined }) => until(`${what}: the socket is closed`, socket.closed, WITHIN_MS + 1_000);

describe('the health of the system', () => {
  test('is measured at each dependency', async () => {
    const health = await root.api.get<{ dependencies: Record<string, { state: string; response_time: string | null }>; read_models: { name: string; state: string; behind: number }[]; api_response_time: string }>('/admin/system/health');
    for (const name of ['database', 'event_store', 'mqtt']) expect(health.dependencies[name], name).toMatchObject({ state: 'healthy', response_time: expect.stringMatching(/^[\d.]+ms$/) as string });
    expect(health.dependencies['relay']).toMatchObject({ state: 'healthy', response_time: null });
    expect(health.read_models.map(({ name }) => name)).toEqual(expect.arrayContaining(['audit', 'devices', 'people', 'unlocks', 'users']));
    expect(health.api_response_time).toMatch(/^[\d.]+ms$/);
  });
});

describe('a file of boxes', () => {
  test('is registered once, and told again to whoever lost the answer', async () => {
    const csv = `serial_number\n${Array.from({ length: 60 }, (_, i) => `LB-PALLET-${i}`).join('\n')}\n`;
    const upload = async (key: string) => {
      const response = await fetch(`${app.url}/api/v1/admin/devices/import`, { method: 'POST', body: csv, headers: { authorization: `Bearer ${root.token}`, 'content-type': 'text/csv', 'idempotency-key': key } });
      return (await response.json()) as { rows: { result: string; pin?: string; provisioning?: { device_key: string; mqtt: { password: string } } }[]; summary: Record<string, number> };
    };
    const first = await upload('pallet-1');
    expect(first.summary).toMatchObject({ rows: 60, registered: 60 });
    expect(new Set(first.rows.map(({ provisioning }) => provisioning?.device_key)).size).toBe(60);
    expect((await upload('pallet-1')).rows).toEqual(first.rows);
    const again = await upload('pallet-2');
    expect(again.summary).toMatchObject({ rows: 60, registered: 0, exists: 60 });
    expect(JSON.stringify(again)).not.toContain('device_key');
    expect((await root.api.get<unknown[]>('/admin/devices?search=pallet-&limit=100')).length).toBe(60);
  });
});

describe('a change of rights is felt at once', () => {
  test('by a token and a socket whose role is taken away', async () => {
    const admin = await newAdmin('admin');
    const socket = await listen('/ws/admin/system', admin.session.token);
    expect((await admin.session.api.call('GET', '/admin/dashboard')).status).toBe(200);
    await root.api.call('DELETE', `/admin/admins/${admin.id}`);
    expect((await admin.session.api.call('GET', '/admin/dashboard')).status).toBe(401);
    expect(await gone('revoked', socket)).toBe(4401);
    expect((await createClient(app.url).call('POST', '/auth/refresh', { refresh_token: admin.refresh })).status).toBe(401);
    expect((await createClient(app.url).call('POST', '/admin/auth/login', admin)).status).toBe(400); // closed schema: only what a login needs
    expect((await createClient(app.url).call('POST', '/admin/auth/login', { email: admin.email, password: admin.password })).status).toBe(403);
  });

  test('by one whose role becomes a lesser one: the next token has the rights of the new role', async () => {
    const admin = await newAdmin('admin');
    await root.api.put(`/admin/admins/${admin.id}`, { role: 'support' });
    expect((await admin.session.api.call('POST', '/admin/devices/register', { serial_number: 'LB-ROLE-1' })).status).toBe(401);
    const { body } = await createClient(app.url).call<{ access_token: string }>('POST', '/auth/refresh', { refresh_token: admin.refresh });
    const again = admin.session.api.as(body.access_token);
    expect((await again.call('POST', '/admin/devices/register', { serial_number: 'LB-ROLE-1' })).status).toBe(403);
    expect((await again.call('GET', '/admin/devices')).status).toBe(200);
  });

  test('by an owner who is suspended, at the socket too, until it is lifted', async () => {
    const owner = await newOwner(app.url);
    const socket = await listen('/api/v1/ws/device-status', owner.token);
    await root.api.put(`/admin/users/${owner.userId}/suspend`, { reason: 'test' });
    expect((await owner.api.call('GET', '/auth/me')).status).toBe(403);
    expect([4401, 4403]).toContain(await gone('suspended', socket));
    await root.api.put(`/admin/users/${owner.userId}/activate`);
    expect((await owner.api.call('GET', '/auth/me')).status).toBe(401);
  });

  test('the last super_admin cannot be removed, lessened or suspended, also not by itself', async () => {
    for (const [method, path, body] of [['DELETE', `/admin/admins/${root.userId}`, undefined], ['PUT', `/admin/admins/${root.userId}`, { role: 'admin' }], ['PUT', `/admin/users/${root.userId}/suspend`, {}]] as const) {
      expect(await root.api.call(method, path, body), path).toMatchObject({ status: 409, body: { error: 'conflict', details: { reason: 'last_super_admin' } } });
    }
    const second = await newAdmin('super_admin');
    expect((await second.session.api.call('DELETE', `/admin/admins/${root.userId}`)).status).toBe(200);
    expect((await root.api.call('GET', '/admin/dashboard')).status).toBe(401);
    expect((await second.session.api.call('DELETE', `/admin/admins/${second.id}`)).status).toBe(409);
    await second.session.api.put(`/admin/admins/${root.userId}`, { role: 'super_admin' });
    root = await signInAdmin(app.url, app.admin);
  });
});
