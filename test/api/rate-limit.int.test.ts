import { afterEach, beforeEach, expect, test } from 'vitest';
import { inMemoryRateLimiter } from '../../src/api/rate-limit.ts';
import { apiSettings, startApi, World, type TestApi } from '../support/api.ts';

const limits = { enabled: true, anonymous: { perMinute: 3, perDay: 5 }, account: { perMinute: 4, perDay: 100 }, login: { perMinute: 2 }, pin: { perMinute: 1 } };

let api: TestApi;
beforeEach(async () => {
  api = await startApi({ settings: { ...apiSettings, rateLimits: limits } });
});
afterEach(() => api.stop());

test('an account has its own allowance, shown in headers', async () => {
  const { token } = api.signIn();
  const first = await api.ask('GET', '/api/v1/devices', { token });
  expect(['limit', 'remaining', 'reset'].map((name) => first.headers.get(`x-ratelimit-${name}`))).toEqual(['4', '3', '60']);
  for (let i = 0; i < 3; i++) await api.ask('GET', '/api/v1/devices', { token });
  const refused = await api.ask('GET', '/api/v1/devices', { token });
  expect(refused).toMatchObject({ status: 429, body: { error: 'rate_limited', details: { retry_after: 60 } } });
  expect([refused.headers.get('retry-after'), refused.headers.get('x-ratelimit-remaining')]).toEqual(['60', '0']);
  expect((await api.ask('GET', '/api/v1/devices', { token: api.signIn().token })).status).toBe(200);
  api.world.now += 60_000;
  expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(200);
});

test('logins and PINs are stricter; guesses at tokens and links spend the allowance of an address', async () => {
  const login = () => api.ask('POST', '/api/v1/auth/login', { body: { email: 'a@example.com', password: 'x' } });
  expect([(await login()).status, (await login()).status, (await login()).status]).toEqual([401, 401, 429]);
  const { token } = api.signIn();
  const claim = () => api.ask('POST', '/api/v1/devices/assign', { token, body: { serial_number: 'LB-004471', pin: '123456' } });
  expect([(await claim()).status, (await claim()).status]).toEqual([200, 429]);
  const guess = () => api.ask('GET', `/api/v1/delivery/link/${'G'.repeat(32)}/info`);
  const forge = () => api.ask('GET', '/api/v1/auth/me', { token: 'made up' });
  expect([(await guess()).status, (await guess()).status, (await forge()).status, (await forge()).status, (await guess()).status]).toEqual([404, 404, 401, 429, 429]);
  api.world.now += 60_000;
  expect([(await guess()).status, (await guess()).status, (await guess()).status]).toEqual([404, 404, 429]); // the day's
});

test('an address that a client makes up counts for nothing', async () => {
  const ask = (i: number) => api.ask('GET', '/api/v1/system/version', { headers: { 'x-forwarded-for': `10.0.0.${i}` } });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await ask(i)).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
  expect((await api.ask('GET', '/health/live')).status).toBe(200);
});

test('behind a proxy the address is the one that the proxy saw', async () => {
  const proxied = await startApi({ settings: { ...apiSettings, trustProxyHops: 1, rateLimits: limits } });
  const ask = (forwarded: string) => proxied.ask('GET', '/api/v1/system/version', { headers: { 'x-forwarded-for': forwarded } });
  for (let i = 0; i < 3; i++) expect((await ask(`10.0.0.${i}, 203.0.113.7`)).status).toBe(200);
  expect((await ask('10.0.0.9, 203.0.113.7')).status).toBe(429);
  expect((await ask('203.0.113.7, 203.0.113.8')).status).toBe(200);
  await proxied.stop();
});

test('a window starts anew after its length, also when the clock was set back', async () => {
  const world = new World();
  const limiter = inMemoryRateLimiter(world.clock);
  const take = async () => (await limiter.take('x', 'y', 1, 60)).allowed;
  expect([await take(), await take()]).toEqual([true, false]);
  world.now -= 1;
  expect(await take()).toBe(true);
});
