import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { refusalWords } from '../../src/api/errors.ts';
import { routeTable } from '../../src/api/table.ts';
import { ConcurrencyConflict } from '../../src/commands/port.ts';
import type { RefusalCode } from '../../src/domain/kernel.ts';
import { AppendOutcomeUnknown, EventStoreUnavailable } from '../../src/platform/event-store/port.ts';
import { startApi, type Asking, type TestApi } from '../support/api.ts';

let api: TestApi;
let token: string;
beforeAll(async () => {
  api = await startApi();
  ({ token } = api.signIn());
});
afterAll(() => api.stop());
beforeEach(() => {
  api.world.throws = undefined;
  api.world.refuse = {};
});

const login = '/api/v1/auth/login';

describe('what bad input gets', () => {
  type Case = readonly [name: string, method: string, path: string, asking: Omit<Asking, 'token'> & { readonly token?: true }, status: number, error: string];
  test.each<Case>([
    ['an unknown path', 'GET', '/api/v1/nothing', {}, 404, 'not_found'],
    ['an unknown path outside the API', 'GET', '/favicon.ico', {}, 404, 'not_found'],
    ['another method', 'DELETE', login, {}, 405, 'method_not_allowed'],
    ['broken JSON', 'POST', login, { raw: '{"email":' }, 400, 'validation_error'],
    ['a body that is no object', 'POST', login, { raw: '"text"' }, 400, 'validation_error'],
    ['an array', 'POST', login, { body: [] }, 400, 'validation_error'],
    ['bytes that are not UTF-8', 'POST', login, { raw: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) }, 400, 'validation_error'],
    ['another charset', 'POST', login, { raw: '{}', headers: { 'content-type': 'application/json; charset=utf-16' } }, 415, 'unsupported_media_type'],
    ['an unknown charset', 'POST', login, { raw: '{}', headers: { 'content-type': 'application/json; charset=klingon' } }, 415, 'unsupported_media_type'],
    ['a compressed body', 'POST', login, { raw: '{}', headers: { 'content-encoding': 'gzip' } }, 415, 'unsupported_media_type'],
    ['a form', 'POST', login, { raw: 'email=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415, 'unsupported_media_type'],
    ['33 KiB', 'POST', login, { raw: JSON.stringify({ email: 'x'.repeat(33 * 1_024) }) }, 413, 'payload_too_large'],
    ['deep nesting', 'POST', login, { raw: '['.repeat(15_000) + ']'.repeat(15_000) }, 400, 'validation_error'],
    ['no body', 'POST', login, {}, 400, 'validation_error'],
    ['a broken escape in the path', 'GET', '/api/v1/devices/%E0%A4%A', {}, 400, 'validation_error'],
    ['an id that is none', 'GET', '/api/v1/devices/42', { token: true }, 400, 'validation_error'],
  ])('%s', async (_name, method, path, { token: signedIn, ...asking }, status, error) => {
    const answer = await api.ask(method, path, { ...asking, ...(signedIn ? { token } : {}) });
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ error, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    if (status === 405) expect(answer.headers.get('allow')).toBe('POST, OPTIONS');
  });

  test('a name given twice, or as an array or object, is refused by name', async () => {
    for (const query of ['limit=1&limit=2', 'device_id=a&device_id=b', 'surprise=1&surprise=2']) {
      const answer = await api.ask('GET', `/api/v1/access/my-links?${query}`, { token });
      expect(answer.status, query).toBe(400);
      expect(answer.body, query).toMatchObject({ details: { [query.split('=')[0] ?? '']: 'must be given once' } });
    }
    expect(await api.ask('GET', '/api/v1/access/my-links?limit[]=1', { token })).toMatchObject({ status: 400, body: { details: { 'limit[]': 'is not known here' } } });
    expect((await api.ask('GET', '/api/v1/access/my-links?limit=1e9', { token })).body).toMatchObject({ error: 'validation_error', details: { limit: expect.any(String) as string } });
    expect((await api.ask('GET', '/api/v1/access/my-links?limit=1000000000', { token })).status).toBe(400);
    for (const name of ['limit', 'offset']) {
      expect(await api.ask('GET', `/api/v1/access/my-links?${name}=${'7'.repeat(400)}`, { token })).toMatchObject({ status: 400, body: { details: { [name]: 'is too large' } } });
    }
    // No database can be asked for it.
    const { token: admin } = api.signIn({ adminRole: 'super_admin' });
    for (const path of ['devices/my-devices?search', 'admin/devices?search', 'admin/logs/audit?q', 'admin/logs/audit?type', 'admin/logs/audit/export?format=csv&actor']) {
      expect(await api.ask('GET', `/api/v1/${path}=a%00b`, { token: path.startsWith('admin') ? admin : token }), path).toMatchObject({ status: 400, body: { error: 'validation_error' } });
    }
  });

  test('a name of another server', async () => {
    const { status, body } = await hostless(api.url, 'evil.example');
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: 'validation_error', message: 'Invalid host header' });
  });

  test('a mistyped or repeated slash and case', async () => {
    expect((await api.ask('GET', '/api/v1/auth/me/', { token })).status).toBe(200);
    expect((await api.ask('GET', '/api/v1//auth/me', { token })).status).toBe(404);
    expect((await api.ask('GET', '/API/V1/auth/me', { token })).status).toBe(404);
  });

  test('HEAD answers like GET, without a body; OPTIONS says what is possible', async () => {
    const head = await api.ask('HEAD', '/api/v1/auth/me', { token });
    expect([head.status, head.text]).toEqual([200, '']);
    const options = await api.ask('OPTIONS', '/api/v1/auth/me');
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
  });
});

describe('what is wrong on our side', () => {
  const unlink = (key?: string) => api.ask('DELETE', '/api/v1/devices/00000000-0000-4000-8000-000000000001/unlink', { token, headers: key === undefined ? {} : { 'idempotency-key': key } });

  test.each([
    [new ConcurrencyConflict('x'), 409, 'conflict'],
    [new EventStoreUnavailable('x'), 503, 'unavailable'],
    [new AppendOutcomeUnknown('device-x', undefined), 503, 'unavailable'],
    [Object.assign(new Error('x'), { name: 'UnknownEvent' }), 503, 'unavailable'],
    [new Error('connection terminated'), 503, 'unavailable'],
    [new Error('a secret detail'), 500, 'internal_error'],
  ])('%s', async (error, status, code) => {
    api.world.throws = error;
    const answer = await unlink();
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ error: code, trace_id: expect.any(String) as string });
    expect(answer.text).not.toContain('secret');
  });

  test('the trace id is that of the caller', async () => {
    api.world.throws = new Error('x');
    const answer = await api.ask('DELETE', '/api/v1/devices/00000000-0000-4000-8000-000000000001/unlink', {
      token,
      headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    });
    expect(answer.body).toMatchObject({ trace_id: '0af7651916cd43dd8448eb211c80319c', message: 'An unexpected error occurred' });
  });
});

describe('refusals', () => {
  test('each has its status and words', () => {
    const table = Object.fromEntries(Object.entries(refusalWords).map(([code, { code: error, message }]) => [code, `${error}: ${message}`]));
    expect(table).toMatchInlineSnapshot(`
      {
        "conflict": "conflict: The device is being changed by others. Try again",
        "credentials_invalid": "unauthorized: Invalid email or password",
        "device_assigned": "conflict: Device already assigned to another user",
        "device_busy": "conflict: The box is busy",
        "device_decommissioned": "unprocessable: This device is out of service for good",
        "device_exists": "conflict: A device with this serial number is already registered",
        "device_in_maintenance": "unprocessable: The device is in maintenance",
        "device_not_assigned": "unprocessable: The device is not assigned to a user",
        "device_not_found": "not_found: Device not found",
        "device_offline": "conflict: Device is offline",
        "hardware_id_taken": "conflict: A device with this hardware id is already registered",
        "identity_required": "validation_error: Name and company are required",
        "key_rotation_unsupported": "unprocessable: The firmware of this device cannot take a new key",
        "last_super_admin": "conflict: The last super_admin cannot be removed: make another one first",
        "level0_no_deliveries": "unprocessable: This box cannot take deliveries",
        "link_exists": "conflict: This access link already exists",
        "link_expired": "unprocessable: Access link has expired",
        "link_expiry_invalid": "validation_error: Invalid expires_at",
        "link_not_found": "not_found: Access link not found",
        "link_not_yet_valid": "unprocessable: Access link is not valid yet",
        "link_outside_hours": "unprocessable: The device cannot be opened with this link at this hour",
        "link_revoked": "unprocessable: Access link was cancelled",
        "link_used": "unprocessable: Access link has already been used",
        "link_uses_invalid": "validation_error: Invalid max_uses",
        "link_void": "unprocessable: Access link is no longer valid",
        "lock_not_supported": "unprocessable: Devices can only be unlocked; lock state is reported by the device",
        "login_locked": "rate_limited: Too many failed logins. Try again later",
        "not_the_owner": "not_found: Device not found or access denied",
        "owner_suspended": "unprocessable: The owner's account is suspended",
        "pin_expired": "unprocessable: This PIN has expired. Ask support for a new one",
        "pin_invalid": "forbidden: Invalid PIN",
        "pin_locked": "rate_limited: Too many wrong PINs. Try again later",
        "pin_void": "unprocessable: This PIN is no longer valid. Ask support for a new one",
        "profile_changed": "conflict: The profile was changed meanwhile. Read it and try again",
        "role_missing": "forbidden: Insufficient permissions",
        "session_not_found": "unauthorized: Invalid or expired token",
        "settings_invalid": "validation_error: Invalid settings",
        "unlock_not_found": "not_found: Command not found",
        "unlock_not_open": "conflict: This command has already ended",
        "user_erased": "not_found: User not found",
        "user_exists": "conflict: This email address is already registered",
        "user_not_found": "not_found: User not found",
        "user_suspended": "forbidden: User account is suspended",
      }
    `);
  });

  test('the words of the primary source', async () => {
    const say = async (code: RefusalCode, details?: Record<string, string | number>) => {
      api.world.refuse = { AssignDevice: details === undefined ? { code } : { code, details } };
      return api.ask('POST', '/api/v1/devices/assign', { token, body: { serial_number: 'LB-004471', pin: '123456' } });
    };
    expect(await say('device_assigned')).toMatchObject({ status: 409, body: { error: 'conflict', message: 'Device already assigned to another user' } });
    expect(await say('pin_invalid', { tries_left: 4 })).toMatchObject({
      status: 403,
      body: { error: 'forbidden', message: 'Invalid PIN', details: { reason: 'pin_invalid', tries_left: 4 } },
    });
    expect(await say('device_not_found')).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Device not found' } });
    const locked = await say('pin_locked', { retry_after: 600 });
    expect([locked.status, locked.headers.get('retry-after')]).toEqual([429, '600']);
    expect(await api.ask('POST', '/api/v1/devices/assign', { token, body: { serial_number: 'LB-004471', pin: '12a456' } })).toMatchObject({
      status: 400,
      body: { error: 'validation_error', message: 'Invalid PIN format', details: { pin: 'PIN must be 6 digits' } },
    });
  });
});

describe('headers of every answer', () => {
  test('security', async () => {
    for (const path of ['/api/v1/auth/me', '/nothing', '/health', '/openapi.json']) {
      const { headers } = await api.ask('GET', path);
      expect(Object.fromEntries(['strict-transport-security', 'x-frame-options', 'x-content-type-options', 'referrer-policy', 'cache-control', 'x-powered-by', 'etag'].map((name) => [name, headers.get(name)]))).toEqual({
        'strict-transport-security': expect.stringMatching(/^max-age=31536000/) as string,
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'same-origin',
        'cache-control': 'no-store',
        'x-powered-by': null,
        etag: null,
      });
      expect(headers.get('content-security-policy')).toContain("default-src 'self'");
    }
  });

  test('cross-origin: known origins only, with what they may read', async () => {
    const from = (origin: string) => api.ask('GET', '/health', { headers: { origin } });
    const known = await from('https://app.loqey.com');
    expect(known.headers.get('access-control-allow-origin')).toBe('https://app.loqey.com');
    expect(known.headers.get('access-control-allow-credentials')).toBe('true');
    expect(known.headers.get('access-control-expose-headers')).toContain('Loqey-Position');
    for (const origin of ['https://evil.example', 'null', 'https://app.loqey.com.evil.example', 'http://localhost:3000']) {
      expect((await from(origin)).headers.get('access-control-allow-origin'), origin).toBeNull();
    }
    const preflight = await api.ask('OPTIONS', '/api/v1/access/create-link', {
      headers: { origin: 'https://app.loqey.com', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,idempotency-key' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('authorization,idempotency-key');
  });
});

describe('validation of every route', () => {
  const withBody = routeTable.flatMap((route) => (route.body === undefined ? [] : [[`${route.method} ${route.path}`, route] as const]));

  test.each(withBody)('%s: unknown, missing and mistyped members are named', async (_name, route) => {
    const admin = api.signIn({ adminRole: 'super_admin' }).token;
    const path = `/api/v1${route.path.replace('{link_id}', 'x').replace('{link_token}', 'x').replaceAll(/\{\w+\}/g, '00000000-0000-4000-8000-000000000001')}`;
    // Whose link or box must exist: see there.
    if (route.access.kind === 'link' || route.access.kind === 'device') return;
    const ask = (body: unknown) => api.ask(route.method, path, { token: admin, body });
    const schema = route.body as unknown as { properties: Record<string, { type?: string }>; required?: string[] };

    for (const extra of ['surprise', 'is_admin', 'owner_id', '__proto__', 'constructor']) {
      const answer = await api.ask(route.method, path, { token: admin, raw: `{"${extra}":1}` });
      expect(answer.status, extra).toBe(400);
      expect(Object.keys((answer.body as { details: object }).details)[0], extra).toBeTypeOf('string');
    }
    for (const missing of schema.required ?? []) {
      const answer = await ask({});
      expect(answer.status).toBe(400);
      expect(schema.required, missing).toContain(Object.keys((answer.body as { details: object }).details)[0]);
    }
    for (const [name, { type }] of Object.entries(schema.properties)) {
      const wrong = type === 'string' || type === undefined ? 42 : 'text';
      const rest = Object.fromEntries((schema.required ?? []).filter((each) => each !== name).map((each) => [each, example(each)]));
      const answer = await ask({ ...rest, [name]: wrong });
      expect(answer.status, name).toBe(400);
      expect((answer.body as { details: Record<string, string> }).details, name).toHaveProperty([name]);
    }
  });

  function example(name: string): unknown {
    const examples: Record<string, unknown> = {
      email: 'a@example.com',
      password: 'long enough',
      serial_number: 'LB-004471',
      pin: '123456',
      old_password: 'long enough',
      new_password: 'longer still',
      confirm: 'a@example.com',
      ground: 'requested',
      position: '42',
      reason: 'a row that is not needed',
      device_id: '00000000-0000-4000-8000-000000000001',
    };
    return examples[name];
  }

  test('what cannot be stored is not let in', async () => {
    for (const name of ['a\u0000b', 'a\nb', '\ud800', ' '.repeat(101)]) {
      const answer = await api.ask('PUT', '/api/v1/devices/00000000-0000-4000-8000-000000000001', { token, raw: JSON.stringify({ name }) });
      expect(answer.status, JSON.stringify(name)).toBe(400);
    }
  });
});

/** `fetch` sets the host itself. */
async function hostless(url: string, host: string): Promise<{ status: number | undefined; body: unknown }> {
  const { get } = await import('node:http');
  return new Promise((resolve, reject) => {
    get(`${url}/health`, { headers: { host } }, (res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => (text += chunk.toString()));
      res.on('end', () => resolve({ status: res.statusCode, body: JSON.parse(text) }));
    }).on('error', reject);
  });
}
