import { afterEach, beforeEach, expect, test } from 'vitest';
import { linkTokenHash } from '../../src/api/link-token.ts';
import type { RateLimitSettings } from '../../src/api/settings.ts';
import { inMemoryRateLimiter } from '../../src/platform/rate-limits.ts';
import { apiSettings, deviceRow, linkRow, startApi, World, type TestApi } from '../support/api.ts';

const limits: RateLimitSettings = {
  enabled: true,
  anonymous: { perMinute: 3, perDay: 5 },
  account: { perMinute: 4, perDay: 100 },
  login: { perMinute: 2 },
  registration: { perMinute: 1 },
  refresh: { perMinute: 2 },
  pin: { perMinute: 1 },
  unlock: { perMinute: 2 },
  unknownLink: { perMinute: 2 },
};

let api: TestApi;
beforeEach(async () => {
  api = await startApi({ settings: { ...apiSettings, rateLimits: limits } });
});
afterEach(() => api.stop());

test('an account has its own allowance, shown in headers', async () => {
  const { token } = api.signIn();
  const first = await api.ask('GET', '/api/v1/devices', { token });
  for (const prefix of ['x-ratelimit-', 'ratelimit-']) expect(['limit', 'remaining', 'reset'].map((name) => first.headers.get(prefix + name))).toEqual(['4', '3', '60']);
  expect(first.headers.get('ratelimit-policy')).toBe('4;w=60');
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
  api.world.now += 60_000;
  const { token } = api.signIn();
  const claim = () => api.ask('POST', '/api/v1/devices/assign', { token, body: { serial_number: 'LB-004471', pin: '123456' } });
  expect([(await claim()).status, (await claim()).status]).toEqual([200, 429]);
  const guess = () => api.ask('GET', `/api/v1/delivery/link/${'G'.repeat(32)}/info`);
  const forge = () => api.ask('GET', '/api/v1/auth/me', { token: 'made up' });
  expect([(await guess()).status, (await forge()).status, (await guess()).status]).toEqual([404, 401, 429]); // the day's
  api.world.now += 86_400_000;
  expect([(await guess()).status, (await guess()).status, (await guess()).status]).toEqual([404, 404, 429]); // links that are not
});

test('a password is no easier to guess where it is changed', async () => {
  const { token } = api.signIn();
  const guess = () => api.ask('POST', '/api/v1/users/change-password', { token, body: { old_password: 'a guess', new_password: 'another horse' } });
  expect([(await guess()).status, (await guess()).status, (await guess()).status]).toEqual([403, 403, 429]);
});

test('new accounts and refresh tokens have limits of their own', async () => {
  const roomy = await startApi({ settings: { ...apiSettings, rateLimits: { ...limits, anonymous: { perMinute: 100 } } } });
  const register = (email: string) => roomy.ask('POST', '/api/v1/auth/register', { body: { email, password: 'a good password', full_name: 'Ada L', state: 'BE' } });
  const refresh = () => roomy.ask('POST', '/api/v1/auth/refresh', { body: { refresh_token: 'x'.repeat(40) } });
  expect([(await register('a@example.com')).status, (await register('b@example.com')).status]).toEqual([201, 429]);
  expect([(await refresh()).status, (await refresh()).status, (await refresh()).status]).toEqual([401, 401, 429]);
  await roomy.stop();
});

test('openings are limited by link, and an opening that is allowed asks nobody', async () => {
  const world = new World();
  const asked: string[] = [];
  const counting = inMemoryRateLimiter(world.clock);
  const rateLimiter = { ...counting, takeExactly: (...which: Parameters<typeof counting.takeExactly>) => (asked.push(which[0]), counting.takeExactly(...which)) };
  const roomy = await startApi({ world, rateLimiter, settings: { ...apiSettings, rateLimits: { ...limits, anonymous: { perMinute: 100 } } } });
  const device = deviceRow({});
  world.devices.set(device.deviceId, device);
  const tokens = ['A', 'B'].map((letter) => letter.repeat(32));
  for (const token of tokens) {
    const link = linkRow({ deviceId: device.deviceId, tokenHash: linkTokenHash(token) });
    world.links.set(link.linkId, link);
  }
  const open = async (token = '') => (await roomy.ask('POST', `/api/v1/delivery/link/${token}/unlock`)).status;
  const first = await open(tokens[0]);
  expect(first).toBeLessThan(429);
  expect([await open(tokens[0]), await open(tokens[0]), await open(tokens[1])]).toEqual([first, 429, first]);
  expect(asked).toEqual([]);
  await roomy.stop();
});

test('wrong serials and PINs of one account lock it over all boxes', async () => {
  const roomy = await startApi({ settings: { ...apiSettings, rateLimits: { ...limits, pin: { perMinute: 100 }, account: { perMinute: 100 } } } });
  roomy.world.refuse = { AssignDevice: { code: 'device_not_found' } };
  const { token } = roomy.signIn();
  const claim = (serial: number) => roomy.ask('POST', '/api/v1/devices/assign', { token, body: { serial_number: `LB-00000${serial}`, pin: '123456' } });
  for (let serial = 0; serial < 5; serial++) expect((await claim(serial)).status).toBe(404);
  roomy.world.refuse = {};
  const locked = await claim(6);
  expect(locked).toMatchObject({ status: 429, body: { error: 'rate_limited', details: { reason: 'pin_locked', retry_after: 900 } } });
  expect(roomy.world.refusals.at(-1)).toMatchObject({ command: 'AssignDevice', refusal: { code: 'pin_locked' } });
  expect((await roomy.ask('POST', '/api/v1/devices/assign', { token: roomy.signIn().token, body: { serial_number: 'LB-000001', pin: '123456' } })).status).toBe(200);
  roomy.world.now += 900_000;
  expect((await claim(6)).status).toBe(200);
  await roomy.stop();
});

test('where what guards a secret cannot be counted, it is not tried', async () => {
  const world = new World();
  const counting = inMemoryRateLimiter(world.clock);
  const rateLimiter = { ...counting, takeExactly: () => Promise.reject(new Error('connection terminated')) };
  const dark = await startApi({ world, rateLimiter, settings: { ...apiSettings, rateLimits: limits } });
  expect(await dark.ask('POST', '/api/v1/auth/login', { body: { email: 'a@example.com', password: 'x' } })).toMatchObject({ status: 503, body: { error: 'unavailable' } });
  expect((await dark.ask('GET', '/api/v1/system/version')).status).toBe(200);
  await dark.stop();
});

test('an address that a client makes up counts for nothing', async () => {
  const ask = (i: number) => api.ask('GET', '/api/v1/system/version', { headers: { 'x-forwarded-for': `10.0.0.${i}` } });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await ask(i)).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
  expect((await api.ask('GET', '/health/live')).status).toBe(200);
});

test('behind a proxy the address is the one that the proxy saw', async () => {
  const proxied = await startApi({ settings: { ...apiSettings, trustedProxies: { hops: 1 }, rateLimits: limits } });
  const ask = (forwarded: string) => proxied.ask('GET', '/api/v1/system/version', { headers: { 'x-forwarded-for': forwarded } });
  for (let i = 0; i < 3; i++) expect((await ask(`10.0.0.${i}, 203.0.113.7`)).status).toBe(200);
  expect((await ask('10.0.0.9, 203.0.113.7')).status).toBe(429);
  expect((await ask('203.0.113.7, 203.0.113.8')).status).toBe(200);
  await proxied.stop();
});

test('a /64 of IPv6 is one source', async () => {
  const proxied = await startApi({ settings: { ...apiSettings, trustedProxies: { networks: ['loopback'] }, rateLimits: limits } });
  const ask = (forwarded: string) => proxied.ask('GET', '/api/v1/system/version', { headers: { 'x-forwarded-for': forwarded } });
  for (let i = 0; i < 3; i++) expect((await ask(`2001:db8::${i}`)).status).toBe(200);
  expect((await ask('2001:db8::ffff:1')).status).toBe(429);
  expect((await ask('2001:db8:0:1::1')).status).toBe(200);
  await proxied.stop();
});
