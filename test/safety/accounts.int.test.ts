import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { compose, type App } from '../../src/compose.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

/** Two processes of one installation: what one of them is told holds in the other. */
let postgres: TestPostgres;
let one: RunningApp;
let two: App;
const secrets = testSecrets();

beforeAll(async () => {
  postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  const limits = { rateLimitEnabled: true, rateLimitAnonymousPerMinute: 10_000, rateLimitAnonymousPerDay: 100_000, rateLimitLoginPerMinute: 10_000, rateLimitRegistrationPerMinute: 1_000, rateLimitRegistrationPerDay: 1_000 };
  one = await startApp({ databaseUrl, allowedHosts: ['*'], trustProxy: ['loopback'], ...limits }, { secrets });
  two = await compose({ config: { ...one.config, roles: ['api'], mqttUrl: 'mqtt://127.0.0.1:9' }, secrets, version: '0.0.0-test', logger: silentLogger });
});
afterAll(async () => {
  await two.stop();
  await one.stop();
  await postgres.stop();
});

const password = 'correct horse battery';

interface Asking {
  readonly body?: unknown;
  readonly token?: string;
  readonly from?: string;
}

async function ask(app: { readonly addresses: App['addresses'] }, method: string, path: string, { body, token, from = '203.0.113.1' }: Asking = {}) {
  const response = await fetch(`${app.addresses.http}/api/v1${path}`, {
    method,
    headers: {
      'x-forwarded-for': from,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as unknown, headers: response.headers };
}

async function register(): Promise<{ readonly email: string; readonly userId: string; readonly token: string; readonly refreshToken: string }> {
  const email = `${randomUUID()}@example.com`;
  const answer = await ask(one, 'POST', '/auth/register', { body: { email, password, full_name: 'Ada Test', state: 'BE' } });
  expect(answer.status).toBe(201);
  const { access_token: token, refresh_token: refreshToken, user } = answer.body as { access_token: string; refresh_token: string; user: { id: string } };
  return { email, userId: user.id, token, refreshToken };
}

const logIn = (app: { readonly addresses: App['addresses'] }, email: string, secret: string, from?: string) =>
  ask(app, 'POST', '/auth/login', { body: { email, password: secret }, ...(from === undefined ? {} : { from }) });

describe('what one process is told, the other holds within a second', () => {
  const listen = async (token: string) => {
    const socket = new WebSocket(`${two.addresses.http.replace('http', 'ws')}/ws/device-status`, { headers: { authorization: `Bearer ${token}` } });
    const closed = new Promise<number>((resolve) => socket.once('close', (code) => resolve(code)));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return { closed };
  };

  test('a logout', async () => {
    const { token } = await register();
    await until('the account to be known there', async () => (await ask(two, 'GET', '/auth/me', { token })).status === 200);
    const { closed } = await listen(token);
    expect((await ask(one, 'POST', '/auth/logout', { token })).status).toBe(200);
    await until('the other process to refuse', async () => (await ask(two, 'GET', '/auth/me', { token })).status === 401, 3_000);
    expect(await closed).toBe(4401);
  });

  test('a suspension', async () => {
    const { body } = await ask(one, 'POST', '/admin/auth/login', { body: one.admin });
    const admin = (body as { access_token: string }).access_token;
    const { token, userId, refreshToken } = await register();
    await until('the account to be known there', async () => (await ask(two, 'GET', '/auth/me', { token })).status === 200);
    const { closed } = await listen(token);
    expect((await ask(one, 'PUT', `/admin/users/${userId}/suspend`, { token: admin, body: {} })).status).toBe(200);
    await until('the other process to refuse', async () => [401, 403].includes((await ask(two, 'GET', '/auth/me', { token })).status), 3_000);
    expect([4401, 4403]).toContain(await closed);
    expect([401, 403]).toContain((await ask(two, 'POST', '/auth/refresh', { body: { refresh_token: refreshToken } })).status);
  });

  test('a token of a user is none of an administrator, and the other way round', async () => {
    const { body } = await ask(one, 'POST', '/admin/auth/login', { body: one.admin });
    const admin = (body as { access_token: string }).access_token;
    const { token } = await register();
    expect((await ask(two, 'GET', '/admin/dashboard', { token })).status).toBe(403);
    expect((await ask(two, 'GET', '/admin/dashboard', { token: admin })).status).toBe(200);
    const audience = (jwt: string) => (JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as { aud: string }).aud;
    expect([audience(token), audience(admin)]).toEqual(['loqey-api', 'loqey-admin']);
  });
});

describe('guesses', () => {
  test('an address with an account and one without are told apart by nothing, from one place or many, at whichever process', async () => {
    const { email } = await register();
    const unknown = `${randomUUID()}@example.com`;
    const tell = ({ status, body, headers }: Awaited<ReturnType<typeof ask>>) => {
      const { error, message, details = {} } = body as { error: string; message: string; details?: Record<string, unknown> };
      const { retry_after: wait, ...rest } = details as { retry_after?: number };
      // Two tries are a moment apart: so may be what is left of the wait.
      return { status, error, message, rest, waits: wait !== undefined && wait > 0, retry: headers.has('retry-after') };
    };
    for (let i = 0; i < 14; i++) {
      const app = i % 2 === 0 ? one : two;
      const from = i < 7 ? '198.51.100.7' : `198.51.100.${100 + i}`;
      const [known, nobody] = [await logIn(app, email, 'wrong', from), await logIn(app, unknown, 'wrong', from)];
      expect(tell(known), `try ${i}`).toEqual(tell(nobody));
      expect(known.status, `try ${i}`).toBe(i < 5 ? 401 : 429);
      const [later, laterNobody] = [known, nobody].map(({ headers }) => Number(headers.get('retry-after') ?? 0));
      expect(Math.abs((later ?? 0) - (laterNobody ?? 0))).toBeLessThanOrEqual(3);
    }
  });

  test('keep nobody out at home, and lock everybody else out, right password or not', async () => {
    const { email } = await register();
    const home = '203.0.113.77';
    expect((await logIn(one, email, password, home)).status).toBe(200);
    for (let i = 0; i < 6; i++) await logIn(i % 2 === 0 ? one : two, email, 'wrong', `198.51.100.${i}`);
    expect((await logIn(two, email, password, '198.51.100.200')).status).toBe(429);
    expect((await logIn(two, email, password, home)).status).toBe(200);
  });

  test('at home are limited too, before the password is looked at', async () => {
    const { email } = await register();
    const home = '203.0.113.78';
    for (let i = 0; i < 5; i++) expect((await logIn(i % 2 === 0 ? one : two, email, 'wrong', home)).status).toBe(401);
    const locked = await logIn(two, email, password, home);
    expect(locked).toMatchObject({ status: 429, body: { error: 'rate_limited', details: { reason: 'login_locked' } } });
  });

  test('never end the sessions that there are', async () => {
    const { email, token, refreshToken } = await register();
    for (let i = 0; i < 8; i++) await logIn(one, email, 'wrong', `198.51.100.${i}`);
    expect((await ask(one, 'GET', '/auth/me', { token })).status).toBe(200);
    expect((await ask(two, 'POST', '/auth/refresh', { body: { refresh_token: refreshToken } })).status).toBe(200);
  });

  test('at serials and PINs: five of one account at whichever boxes and processes', async () => {
    const { token } = await register();
    const claim = (app: App | RunningApp, i: number) => ask(app, 'POST', '/devices/assign', { token, body: { serial_number: `LB-NONE-${i}`, pin: '123456' } });
    for (let i = 0; i < 5; i++) expect((await claim(i % 2 === 0 ? one : two, i)).status).toBe(404);
    expect(await claim(two, 6)).toMatchObject({ status: 429, body: { details: { reason: 'pin_locked' } } });
  });
});

test('a process that stops says so to whoever asks whether it is ready', async () => {
  const app = await startApp({ databaseUrl: await postgres.createDatabase() });
  expect((await fetch(`${app.url}/health/ready`)).status).toBe(200);
  const stopped = app.stop();
  expect(await app.health()).toMatchObject({ ready: false, stopping: true });
  await stopped;
});
