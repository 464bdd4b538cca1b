import pg from 'pg';
import decodeQR from 'qr/decode.js';
import { inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type ApiClient } from '../support/api-client.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person, type RegisteredBox } from '../support/people.ts';
import { until } from '../support/until.ts';

/** The whole system as an owner's app uses it, and what an administrator reads of it afterwards. */
let app: RunningApp;
let admin: Person;
let database: pg.Pool;
beforeAll(async () => {
  app = await startApp({ unlockWaitSeconds: 5 });
  admin = await signInAdmin(app.url, app.admin);
  database = new pg.Pool({ connectionString: app.config.databaseUrl ?? '', max: 1 });
});
afterAll(async () => {
  await database.end();
  await app.stop();
});

interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
}

const password = 'correct horse battery';
async function newAccount(): Promise<{ readonly email: string; readonly id: string; readonly tokens: Tokens; readonly api: ApiClient }> {
  const email = `ana.${Math.random()}@example.com`;
  const tokens = await createClient(app.url).post<Tokens & { user: { id: string } }>('/auth/register', { email, password, full_name: 'Ana Silva', state: 'Izmir' });
  return { email, id: tokens.user.id, tokens, api: createClient(app.url).as(tokens.access_token) };
}
const stranger = () => createClient(app.url);
const signIn = (email: string, word = password) => stranger().call<Tokens>('POST', '/auth/login', { email, password: word });
const refresh = (token: string) => stranger().call<Tokens>('POST', '/auth/refresh', { refresh_token: token });

/** What the audit log has of an account, oldest first. */
async function audited(userId: string, ...types: readonly string[]): Promise<readonly { readonly type: string; readonly details: Record<string, unknown> }[]> {
  const rows = await admin.api.get<{ type: string; details: Record<string, unknown> }[]>(`/admin/logs/audit?user_id=${userId}&type=${types.join(',')}`);
  return rows.toReversed();
}

describe('an account', () => {
  test('is changed by its owner; who they are is sealed in the log', async () => {
    const ana = await newAccount();
    expect(await ana.api.put('/users/profile', { full_name: 'Ana Maria Silva', zip_code: '35220', phone_number: '+90 555 000' })).toMatchObject({ full_name: 'Ana Maria Silva', zip_code: '35220' });
    expect(await ana.api.get('/auth/me')).toMatchObject({ id: ana.id, first_name: 'Ana Maria', last_name: 'Silva', phone_number: '+90 555 000', state: 'Izmir' });
    const [changed] = await audited(ana.id, 'ProfileChanged');
    expect(changed?.details).toEqual({});
    const { rows } = await database.query<{ data: string }>(`SELECT data::text AS data FROM log.events WHERE stream = $1 AND type = 'ProfileChanged'`, [`user-${ana.id}`]);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.data).not.toMatch(/Maria|35220|555/);
  });

  test('gets another password: every session ends, and the one who changed it goes on with a new one', async () => {
    const ana = await newAccount();
    const elsewhere = (await signIn(ana.email)).body;
    const wrong = await ana.api.call('POST', '/users/change-password', { old_password: 'not it', new_password: 'another horse battery' });
    expect([wrong.status, wrong.body]).toMatchObject([403, { error: 'forbidden' }]);
    const changed = await ana.api.post<Tokens>('/users/change-password', { old_password: password, new_password: 'another horse battery' });

    expect((await stranger().as(elsewhere.access_token).call('GET', '/auth/me')).status).toBe(401);
    expect((await ana.api.call('GET', '/auth/me')).status).toBe(401);
    expect([(await refresh(elsewhere.refresh_token)).status, (await refresh(ana.tokens.refresh_token)).status]).toEqual([401, 401]);
    expect((await signIn(ana.email)).status).toBe(401);
    expect((await signIn(ana.email, 'another horse battery')).status).toBe(200);

    const fresh = await refresh(changed.refresh_token);
    const sessions = await stranger().as(fresh.body.access_token).get<{ current: boolean; user_agent: string | null }[]>('/auth/sessions');
    expect(sessions.map(({ current }) => current)).toEqual(expect.arrayContaining([false, true]));
    expect(sessions).toHaveLength(2);
    expect(sessions[0]?.user_agent).toEqual(expect.any(String));
    expect((await audited(ana.id, 'PasswordChanged', 'SessionEnded', 'LoginRefused')).map(({ type, details }) => [type, details['reason'] ?? details['by']])).toEqual([
      ['LoginRefused', 'password'],
      ['PasswordChanged', 'owner'],
      ['SessionEnded', 'password_changed'],
      ['SessionEnded', 'password_changed'],
      ['LoginRefused', 'password'],
    ]);
  });

  test('is signed out elsewhere', async () => {
    const ana = await newAccount();
    const elsewhere = (await signIn(ana.email)).body;
    const [other] = (await ana.api.get<{ id: string; current: boolean }[]>('/auth/sessions')).filter(({ current }) => !current);
    expect((await ana.api.call('DELETE', `/auth/sessions/${other?.id}`)).status).toBe(200);
    expect((await stranger().as(elsewhere.access_token).call('GET', '/auth/me')).status).toBe(401);
    expect((await refresh(elsewhere.refresh_token)).status).toBe(401);
    expect((await ana.api.call('DELETE', `/auth/sessions/${other?.id}`)).status).toBe(404);
    expect((await audited(ana.id, 'SessionEnded')).map(({ details }) => details['reason'])).toEqual(['revoked']);
  });

  test('a refresh token that comes again ends its whole family, and is told', async () => {
    const ana = await newAccount();
    const next = (await refresh(ana.tokens.refresh_token)).body;
    const third = (await refresh(next.refresh_token)).body;
    // As if the copy was tried a while later: within seconds it may be the app itself, whose answer got lost.
    await database.query(`UPDATE vault.refresh_tokens SET used_at = used_at - interval '1 minute' WHERE session_id IN (SELECT session_id FROM work.sessions WHERE user_id = $1)`, [ana.id]);
    expect((await refresh(ana.tokens.refresh_token)).status).toBe(401);
    expect((await refresh(third.refresh_token)).status).toBe(401);
    for (const { access_token: token } of [ana.tokens, next, third]) expect((await stranger().as(token).call('GET', '/auth/me')).status).toBe(401);
    expect((await audited(ana.id, 'RefreshTokenReused', 'SessionEnded')).map(({ type, details }) => [type, details['reason']])).toEqual([
      ['RefreshTokenReused', undefined],
      ['SessionEnded', 'token_reused'],
    ]);
  });
});

describe('a box', () => {
  let owner: Person;
  let registered: RegisteredBox;
  let box: Lockbox;
  beforeAll(async () => {
    owner = await newOwner(app.url);
    registered = await registerBox(admin);
    box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 20] });
    await box.start();
    await box.ready();
    await claim(owner, registered);
    await until('the box is online', async () => (await owner.api.get<{ is_online: boolean }>(`/devices/${registered.deviceId}/health`)).is_online);
  });
  afterAll(() => box.stop());

  test('is found by what it is called, and says how it is', async () => {
    await owner.api.put(`/devices/${registered.deviceId}`, { name: 'Garden gate' });
    expect(await owner.api.get('/devices/my-devices?search=garden&is_online=true')).toMatchObject([{ id: registered.deviceId, name: 'Garden gate' }]);
    expect(await owner.api.get('/devices/my-devices?search=garden&is_online=false')).toEqual([]);
    expect(await owner.api.get(`/devices/${registered.deviceId}/health`)).toMatchObject({ health: 'good', problems: [] });
    // It said its level before it was claimed: the history begins with its owner.
    expect(await owner.api.get(`/devices/${registered.deviceId}/battery`)).toMatchObject({ battery_level: expect.any(Number) as number, is_low: false, history: [] });
  });

  test('has links with hours, whose address can be read off an image', async () => {
    const always = { time_zone: 'Europe/Istanbul', days: [1, 2, 3, 4, 5, 6, 7], from: '00:00', to: '23:59' };
    const link = await owner.api.post<{ id: string; link_id: string; access_url: string }>('/access/create-link', { device_id: registered.deviceId, name: 'Nights', window: always });
    const response = await fetch(`${app.url}/api/v1/access/links/${link.id}/qr`, { headers: { authorization: `Bearer ${owner.token}`, accept: 'image/png' } });
    expect([response.headers.get('content-type'), response.headers.get('cache-control')]).toEqual(['image/png', 'no-store']);
    expect(readPng(Buffer.from(await response.arrayBuffer()))).toBe(link.access_url);

    // Hours of a day that is not today, wherever it is.
    const today = new Date().getUTCDay();
    const elsewhen = { ...always, days: [((today + 2) % 7) + 1] };
    expect(await owner.api.put(`/access/links/${link.id}`, { window: elsewhen })).toMatchObject({ link: { window: elsewhen } });
    expect(await tap(app.url, link.link_id)).toMatchObject({ status: 422, body: { details: { reason: 'link_outside_hours' } } });
    expect(await owner.api.put(`/access/links/${link.id}`, { window: null })).toMatchObject({ link: { window: null, is_active: true } });

    await owner.api.post(`/access/links/${link.id}/deactivate`);
    expect(await owner.api.get('/access/my-links?active=true&search=nights')).toEqual([]);
    expect(await owner.api.get('/access/my-links?status=revoked&search=nights')).toMatchObject([{ id: link.id, is_active: false, access_url: null }]);
    expect((await owner.api.call('GET', `/access/links/${link.id}/qr`)).status).toBe(422);
    await owner.api.call('DELETE', `/links/${link.id}`);
    expect(await owner.api.get('/access/my-links?search=nights')).toEqual([]);
  });

  test('has deliveries and a history that stay with whoever had it', async () => {
    const link = await newLink(owner, registered.deviceId, 2);
    expect((await tap(app.url, link.token)).status).toBe(200);
    const deliveries = (query: string) => owner.api.get<{ id: string; link_id: string }[]>(`/deliveries/my-deliveries?${query}`);
    const done = await until('the delivery', async () => (await deliveries(`link_id=${link.id}&outcome=opened`))[0]);
    expect(await owner.api.get(`/deliveries/${done.id}`)).toMatchObject({ id: done.id, link_id: link.id, completed: true });
    expect(await deliveries(`link_id=${link.id}&outcome=not_opened`)).toEqual([]);
    expect(await deliveries('date_to=2020-01-01')).toEqual([]);

    const actions = async (of: Person, path: string) => (await of.api.get<{ action: string }[]>(path)).map(({ action }) => action);
    expect(await actions(owner, `/devices/${registered.deviceId}/activity?source=delivery_link&success=true`)).toContain('unlocked');
    expect((await owner.api.call('DELETE', `/devices/${registered.deviceId}/unlink`)).status).toBe(200);
    expect((await owner.api.call('GET', `/devices/${registered.deviceId}/activity`)).status).toBe(404);
    expect((await actions(owner, `/activities?device_id=${registered.deviceId}`))[0]).toBe('device_unlinked');

    const next = await newOwner(app.url);
    const { new_pin: pin } = await admin.api.put<{ new_pin: string }>(`/admin/devices/${registered.deviceId}/regenerate-pin`);
    await claim(next, { ...registered, pin });
    expect(await actions(next, '/activities')).toEqual(['device_assigned']);
    expect(await next.api.get('/deliveries')).toEqual([]);
    expect((await next.api.call('GET', `/deliveries/${done.id}`)).status).toBe(404);
    expect(await actions(owner, `/activities?action=unlocked`)).toEqual(['unlocked']);
  });
});

function readPng(png: Buffer): string {
  const width = png.readUInt32BE(16);
  const start = png.indexOf('IDAT') + 4;
  const rows = inflateSync(png.subarray(start, start + png.readUInt32BE(start - 8)));
  const data = new Uint8Array(width * width * 4).fill(255);
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      const light = ((rows[y * (1 + width / 8) + 1 + (x >> 3)] ?? 0) & (0x80 >> (x & 7))) !== 0;
      if (!light) data.set([0, 0, 0], (y * width + x) * 4);
    }
  }
  return decodeQR({ width, height: width, data });
}
