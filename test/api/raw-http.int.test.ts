import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/api.ts';
import { createApp } from '../../src/api/app.ts';
import { attachLive } from '../../src/api/live.ts';
import { createHttpServer, type HttpServer } from '../../src/api/server.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { apiSettings, soon, World } from '../support/api.ts';

/** What a client library would never send, on a bare socket. */
let http: HttpServer;
let port = 0;
const world = new World();

beforeAll(async () => {
  const api = createApi(world.deps({}));
  http = createHttpServer(createApp(api), (server) => attachLive(server, api), { host: '127.0.0.1', port: 0, logger: silentLogger, requestTimeoutMs: 800 });
  await http.start();
  port = http.address()?.port ?? 0;
});
afterAll(() => http.stop());

/** Everything that comes back until the other side closes. */
async function say(bytes: string | Buffer, then?: (socket: Socket) => void): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  let heard = '';
  socket.on('data', (chunk) => (heard += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(bytes);
  then?.(socket);
  await soon(closed, `the end after ${bytes.toString('latin1').slice(0, 60)}`, 20_000);
  return heard;
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
const get = (target: string, ...headers: string[]) => ['GET ' + target + ' HTTP/1.1', 'Host: localhost', 'Connection: close', ...headers, '', ''].join('\r\n');
const post = (body: string, ...headers: string[]) =>
  ['POST /api/v1/auth/login HTTP/1.1', 'Host: localhost', 'Connection: close', 'Content-Type: application/json', ...headers, '', body].join('\r\n');
const sized = (body: string) => post(body, `Content-Length: ${Buffer.byteLength(body)}`);
const json = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { error: string; message: string; details?: Record<string, string> };

test('an ordinary request, so that the others mean something', async () => {
  expect(statusOf(await say(get('/health/live')))).toBe(200);
});

test('an expectation that cannot be met is refused in words', async () => {
  const answer = await say(get('/health/live', 'Expect: a miracle'));
  expect(statusOf(answer)).toBe(417);
  expect(json(answer)).toEqual({ error: 'validation_error', message: 'Expect can only be 100-continue' });
});

describe('whose name was asked for', () => {
  test.each([
    ['none', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ['an empty one', get('/health/live').replace('Host: localhost', 'Host: ')],
    ['a stranger’s (DNS rebinding)', get('/health/live').replace('Host: localhost', 'Host: evil.example')],
    ['ours with something before it', get('/health/live').replace('Host: localhost', 'Host: evil.localhost')],
    ['ours as somebody’s password', get('/health/live').replace('Host: localhost', 'Host: localhost@evil.example')],
    ['two', get('/health/live', 'Host: evil.example')],
    ['the same twice', get('/health/live', 'host: localhost')],
  ])('%s', async (_what, request) => {
    const answer = await say(request);
    expect(statusOf(answer)).toBe(400);
    expect(answer).not.toContain('evil');
  });

  test('an upgrade to a WebSocket is asked the same, before anything else', async () => {
    const upgrade = (...headers: string[]) =>
      ['GET /ws/device-status HTTP/1.1', ...headers, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', ''].join('\r\n');
    expect(statusOf(await say(upgrade('Host: evil.example', 'Origin: http://evil.example')))).toBe(400);
    expect(statusOf(await say(upgrade('Host: localhost', 'Host: evil.example')))).toBe(400);
    expect(statusOf(await say(upgrade('Host: localhost', 'Origin: https://evil.example')))).toBe(403);
    expect(statusOf(await say(upgrade('Host: localhost').replace('/ws/device-status', 'http://[')))).toBe(404);
    expect(statusOf(await say(upgrade('Host: localhost').replace('/ws/device-status', '//')))).toBe(404);
  });

  test('an upgrade to anything else is the request that it also is', async () => {
    const answer = await say(get('/health/live', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA').replace('Connection: close', 'Connection: Upgrade, HTTP2-Settings, close'));
    expect(statusOf(answer)).toBe(200);
  });
});

describe('where one request ends and the next begins', () => {
  test.each([
    ['two lengths that differ', post('{}', 'Content-Length: 2', 'Content-Length: 3')],
    ['a length and chunks', post('0\r\n\r\n', 'Content-Length: 2', 'Transfer-Encoding: chunked')],
    ['chunks under a name that only some read', post('0\r\n\r\n', 'Transfer-Encoding: xchunked')],
    ['chunks and something else', post('0\r\n\r\n', 'Transfer-Encoding: chunked, identity')],
    ['a length that is no number', post('{}', 'Content-Length: +2')],
    ['a length in hex', post('{}', 'Content-Length: 0x2')],
    ['a chunk of a negative length', post('-1\r\n\r\n', 'Transfer-Encoding: chunked')],
    ['a space before the colon', get('/health/live', 'X-A : b')],
    ['a folded header', get('/health/live', 'X-A: b\r\n c: d')],
    ['a bare line feed', 'GET /health/live HTTP/1.1\nHost: localhost\n\n'],
    ['a NUL in a header', get('/health/live', 'X-A: \0')],
    ['a method of nobody', get('/health/live').replace('GET', 'GE\x01T')],
  ])('%s', async (_what, request) => {
    expect(statusOf(await say(request))).toBe(400);
  });

  test('a version of the protocol that nobody speaks', async () => {
    expect([400, 505]).toContain(statusOf(await say(get('/health/live').replace('HTTP/1.1', 'HTTP/3.7'))));
  });

  test('a second request hidden in a body is a body', async () => {
    const hidden = get('/api/v1/auth/me');
    const answer = await say(post(hidden, `Content-Length: ${hidden.length}`));
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(statusOf(answer)).toBe(400);
  });
});

describe('what a path can be made to mean', () => {
  test.each([
    '/api/v1/../../etc/passwd',
    '/api/v1/%2e%2e/%2e%2e/etc/passwd',
    '/api/v1/system/version/..%2f..%2fadmin%2fdashboard',
    '//health/live',
    '/health//live',
    '/HEALTH/LIVE',
    '/health/live%00',
    '/health/live;jsessionid=1',
    '/health\\live',
    '/health/live/.',
    'http://evil.example/health/live',
    '*',
    '/__proto__/constructor',
    '/api/v1/constructor',
  ])('%s is nothing', async (path) => {
    const answer = await say(get(path));
    expect([400, 404]).toContain(statusOf(answer));
    expect(answer).not.toContain('root:');
  });

  test('line ends in a path, a query or a value never become a header', async () => {
    for (const target of ['/x%0d%0aSet-Cookie:%20a=b', '/health/live?%0d%0aSet-Cookie:%20a=b=1', '/api/v1/delivery/link/%0d%0aSet-Cookie:%20a=b/info']) {
      const answer = await say(get(target, 'X-Request-Id: %0d%0aSet-Cookie: a=b', 'Origin: https://app.loqey.com%0d%0aSet-Cookie: a=b'));
      expect(answer.slice(0, answer.indexOf('\r\n\r\n'))).not.toMatch(/set-cookie/i);
    }
  });

  test('a name given twice is a guess, so it is refused', async () => {
    world.throws = undefined;
    for (const query of ['a=1&a=2', 'limit=1&limit=2', 'limit[]=1&limit[]=2', '__proto__=1&__proto__=2']) {
      expect(statusOf(await say(get(`/api/v1/system/version?${query}`))), query).toBe(400);
    }
  });
});

describe('bodies', () => {
  test('that are nested too deeply, closed or not', async () => {
    for (const body of ['['.repeat(16_000), `${'['.repeat(40)}${']'.repeat(40)}`, '{"a":'.repeat(40) + '1' + '}'.repeat(40)]) {
      const answer = await say(sized(body));
      expect([statusOf(answer), json(answer).details]).toEqual([400, { body: 'must not be nested deeper than 32' }]);
    }
    const brackets = await say(sized(JSON.stringify({ email: `a@example.com`, password: '[{'.repeat(100) + '"\\' })));
    expect(json(brackets).details).not.toEqual({ body: 'must not be nested deeper than 32' });
  });

  test('that reach for prototypes', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const answer = await say(sized(`{"email":"a@example.com","password":"x","${name}":{"isAdmin":true}}`));
      expect([statusOf(answer), Object.keys(json(answer).details ?? {})], name).toEqual([400, [name]]);
    }
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  test('that are too long, announced or not', async () => {
    expect(statusOf(await say(post('', 'Content-Length: 999999999')))).toBe(413);
    const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`;
    expect(statusOf(await say(post(`${chunk}${chunk}0\r\n\r\n`, 'Transfer-Encoding: chunked')))).toBe(413);
  });

  test('that are far too long are heard to their end, so that their sender is there for the answer', async () => {
    const [megabyte, megabytes] = [Buffer.alloc(1_024 * 1_024, ' '), 24];
    let sent = 0;
    const answer = await say(post('', `Content-Length: ${megabytes * megabyte.length}`), (socket) => {
      const more = () => {
        while (sent < megabytes && socket.write(megabyte)) sent++;
      };
      socket.on('drain', () => {
        sent++;
        more();
      });
      more();
    });
    expect([statusOf(answer), sent]).toEqual([413, megabytes]);
  });

  test('that are compressed, of another kind or in other letters', async () => {
    const body = '{"email":"a@example.com","password":"x"}';
    const length = `Content-Length: ${body.length}`;
    expect(statusOf(await say(post(body, length, 'Content-Encoding: gzip')))).toBe(415);
    expect(statusOf(await say(post(body, length).replace('application/json', 'text/plain')))).toBe(415);
    expect(statusOf(await say(post(body, length).replace('application/json', 'application/json; charset=utf-16')))).toBe(415);
    expect(statusOf(await say(Buffer.concat([Buffer.from(post('', 'Content-Length: 4')), Buffer.from([0x22, 0xff, 0xfe, 0x22])])))).toBe(400);
  });
});

describe('heads and patience', () => {
  test('a head that is too long', async () => {
    expect(statusOf(await say(get('/health/live', `X-A: ${'a'.repeat(20_000)}`)))).toBe(431);
    expect(statusOf(await say(get(`/${'a'.repeat(20_000)}`)))).toBe(431);
  });

  test('a head that never ends (slow loris), a body that never comes, a line now and then', async () => {
    const [head, body, drops] = await Promise.all([
      say('GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: '),
      say(post('{', 'Content-Length: 100')),
      say('GET /health/live HTTP/1.1\r\n', (socket) => {
        const timer = setInterval(() => socket.write('X-A: b\r\n'), 50);
        socket.once('close', () => clearInterval(timer));
      }),
    ]);
    expect([statusOf(head), statusOf(body), statusOf(drops)]).toEqual([408, 408, 408]);
  });

  test('nobody else notices', async () => {
    expect(statusOf(await say(get('/health/live')))).toBe(200);
  });
});

test('one network cannot take all connections; this machine and proxies of ours may', async () => {
  const tight = createHttpServer((_req, res) => void res.end('ok'), undefined, { host: '127.0.0.1', port: 0, logger: silentLogger, connectionsPerNetwork: 2 });
  await tight.start();
  const { server } = tight;
  const knock = (remoteAddress: string) => {
    let destroyed = false;
    const socket = { remoteAddress, once: () => undefined, destroy: () => (destroyed = true), on: () => undefined };
    // Only what counts listens here: the server itself is not asked to serve these.
    for (const listener of server.listeners('connection').slice(1)) (listener as (socket: unknown) => void)(socket);
    return !destroyed;
  };
  expect([knock('203.0.113.1'), knock('203.0.113.1'), knock('203.0.113.1'), knock('203.0.113.2')]).toEqual([true, true, false, true]);
  expect([knock('2001:db8::1'), knock('2001:db8::2'), knock('2001:db8::3')]).toEqual([true, true, false]);
  expect([1, 2, 3].map(() => knock('127.0.0.1'))).toEqual([true, true, true]);
  await tight.stop();
});

test('behind a proxy of ours what came unencrypted is sent to https, in production alone', async () => {
  for (const [production, trustedProxies, expected] of [
    [true, { networks: ['loopback'] }, 308],
    [true, { hops: 0 }, 200],
    [false, { networks: ['loopback'] }, 200],
  ] as const) {
    const api = createApi(world.deps({ settings: { ...apiSettings, production, trustedProxies } }));
    const other = createHttpServer(createApp(api), undefined, { host: '127.0.0.1', port: 0, logger: silentLogger });
    await other.start();
    const answer = await fetch(`http://127.0.0.1:${other.address()?.port}/health/live?a=b`, { redirect: 'manual', headers: { 'x-forwarded-proto': 'http' } });
    expect(answer.status).toBe(expected);
    if (expected === 308) expect(answer.headers.get('location')).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/health\/live\?a=b$/);
    expect(answer.headers.get('strict-transport-security')).toBe(production ? 'max-age=31536000; includeSubDomains' : null);
    await other.stop();
    api.stop();
  }
});
