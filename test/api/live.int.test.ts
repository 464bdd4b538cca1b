import { createConnection } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { linkTokenHash } from '../../src/api/link-token.ts';
import { newId } from '../../src/platform/ids.ts';
import { apiSettings, deviceRow, linkRow, soon, startApi, unlockRow, type TestApi } from '../support/api.ts';

let api: TestApi;
let owner: { token: string; userId: string; sessionId: string };
let deviceId: string;
const opened: Socket[] = [];

beforeEach(async () => {
  api = await startApi();
  owner = api.signIn();
  const device = deviceRow({ ownerId: owner.userId });
  ({ deviceId } = device);
  api.world.devices.set(deviceId, device);
});
afterEach(async () => {
  for (const { ws } of opened.splice(0)) ws.terminate();
  await api.stop();
});

interface Received {
  readonly type: string;
  readonly position?: string;
  readonly event_id?: string;
  readonly status?: string;
  readonly [member: string]: unknown;
}

/** A client that keeps what it hears. */
class Socket {
  readonly ws: WebSocket;
  readonly messages: Received[] = [];
  closed: { code: number; reason: string } | undefined;
  refused: number | undefined;
  private wake = () => {};

  constructor(path: string, { token, protocols, origin }: { token?: string; protocols?: string[]; origin?: string } = {}) {
    this.ws = new WebSocket(api.url.replace('http', 'ws') + path, protocols ?? [], {
      ...(origin === undefined ? {} : { origin }),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    this.ws.on('message', (data) => this.note(() => this.messages.push(JSON.parse((data as Buffer).toString()) as Received)));
    this.ws.on('close', (code, reason) => this.note(() => (this.closed = { code, reason: reason.toString() })));
    this.ws.on('unexpected-response', (_req, res) => this.note(() => (this.refused = res.statusCode)));
    this.ws.on('error', () => undefined);
    opened.push(this);
  }

  /** Waits until it is so. */
  async until(what: string, condition: (socket: this) => boolean): Promise<this> {
    await soon(
      (async () => {
        while (!condition(this)) await new Promise<void>((resolve) => (this.wake = resolve));
      })(),
      `${what}; heard ${JSON.stringify(this.messages)}, closed ${JSON.stringify(this.closed)}, refused ${this.refused}`,
    );
    return this;
  }
  subscribed = () => this.until('subscribed', ({ messages }) => messages[0]?.type === 'subscribed');
  hears = (count: number) => this.until(`${count} messages`, ({ messages }) => messages.length > count);

  private note(change: () => void): void {
    change();
    this.wake();
  }
}

interface Listening {
  readonly link: ReturnType<typeof linkRow>;
  readonly socket: Socket;
}

const status = (lock: string, timestamp = '2026-11-21T10:00:00.000Z', ownerId = owner.userId) =>
  api.world.tell([`device:${deviceId}`, `user:${ownerId}`], 'status_update', { device_id: deviceId, status: lock, timestamp });
const device = (options = {}) => new Socket(`/ws/devices/${deviceId}`, { token: owner.token, ...options });

describe('who may listen', () => {
  test('an owner, by header, subprotocol or first message', async () => {
    const byHeader = await device().subscribed();
    const byProtocol = await new Socket(`/api/v1/ws/devices/${deviceId}`, { protocols: ['loqey', `bearer.${owner.token}`] }).subscribed();
    expect(byProtocol.ws.protocol).toBe('loqey');
    const byMessage = new Socket(`/api/v1/ws/device-status/`);
    byMessage.ws.on('open', () => byMessage.ws.send(JSON.stringify({ type: 'auth', token: owner.token })));
    await byMessage.subscribed();
    const { eventId } = status('unlocked');
    for (const socket of [byHeader, byProtocol, byMessage]) {
      await socket.hears(1);
      expect(socket.messages[1]).toEqual({ type: 'status_update', device_id: deviceId, status: 'unlocked', timestamp: '2026-11-21T10:00:00.000Z', position: expect.stringMatching(/^[\w-]{32}$/) as string, event_id: eventId });
    }
  });

  test('nobody else', async () => {
    const stranger = api.signIn().token;
    const cases = [
      [`/ws/devices/${deviceId}`, { token: stranger }, 403],
      [`/ws/devices/${newId()}`, { token: owner.token }, 403],
      [`/ws/devices/${deviceId}`, { token: 'made up' }, 401],
      [`/ws/devices/${deviceId}`, { protocols: ['bearer.made-up'] }, 401],
      ['/ws/admin/system', { token: owner.token }, 403],
      ['/ws/admin/system', { token: api.signIn({ adminRole: 'admin' }, 'user').token }, 403],
      [`/ws/delivery/${'B'.repeat(32)}`, {}, 404],
      ['/ws/nothing', { token: owner.token }, 404],
      ['/ws/devices/42', { token: owner.token }, 404],
      [`/ws/devices/${deviceId}?access_token=${owner.token}`, { token: 'none' }, 401],
      [`/ws/devices/${deviceId}`, { token: owner.token, origin: 'https://evil.example' }, 403],
    ] as const;
    for (const [path, options, expected] of cases) {
      const socket = await new Socket(path, options as object).until(path, ({ refused }) => refused !== undefined);
      expect(socket.refused, path).toBe(expected);
    }
    expect((await device({ origin: 'https://app.loqey.com' }).subscribed()).closed).toBeUndefined();
    // A page that this server gave out, whatever it is called.
    expect((await device({ origin: api.url }).subscribed()).closed).toBeUndefined();
  });

  test('a first message that is not a good token', async () => {
    for (const message of ['{}', 'not json', JSON.stringify({ type: 'auth', token: 'made up' }), JSON.stringify({ type: 'auth', token: api.signIn().token })]) {
      const socket = new Socket(`/ws/devices/${deviceId}`);
      socket.ws.on('open', () => socket.ws.send(message));
      await socket.until(message, ({ closed }) => closed !== undefined);
      expect(socket.closed?.code, message).toBe(message.includes('eyJ') ? 4403 : 4401);
    }
  });
});

describe('for how long', () => {
  test('until the box is no longer theirs', async () => {
    const socket = await device().subscribed();
    const row = api.world.devices.get(deviceId);
    if (row !== undefined) api.world.devices.set(deviceId, { ...row, ownerId: newId() });
    await socket.until('closed', ({ closed }) => closed !== undefined);
    status('unlocked');
    expect([socket.closed?.code, socket.messages.length]).toEqual([4403, 1]);
  });

  test('until the account is suspended, the session ends or the token', async () => {
    const suspended = await device().subscribed();
    const row = api.world.users.get(owner.userId);
    if (row === undefined) throw new Error('no such user');
    api.world.users.set(owner.userId, { ...row, suspended: true });
    api.world.tell([`user:${owner.userId}`], 'account_update');
    await suspended.until('closed', ({ closed }) => closed !== undefined);
    expect(suspended.closed).toEqual({ code: 4403, reason: 'User account is suspended' });

    api.world.users.set(owner.userId, row);
    api.world.tell([`user:${owner.userId}`], 'account_update');
    const loggedOut = await device().subscribed();
    await api.ask('POST', '/api/v1/auth/logout', { token: owner.token });
    await loggedOut.until('closed', ({ closed }) => closed !== undefined);
    expect(loggedOut.closed?.code).toBe(4401);

    owner = { ...api.signIn(row), userId: row.userId };
    const expired = await new Socket('/ws/device-status', { token: owner.token }).subscribed();
    api.world.now += 1_801_000;
    await expired.until('closed', ({ closed }) => closed !== undefined);
    expect(expired.closed?.code).toBe(4401);
  });

  test('until the server stops', async () => {
    const socket = await device().subscribed();
    await api.stop();
    await socket.until('closed', ({ closed }) => closed !== undefined);
    expect(socket.closed?.code).toBe(1001);
  });
});

describe('what is heard', () => {
  test('by a courier: the opening, in words; nothing once more than needed', async () => {
    const TOKEN = 'C'.repeat(32);
    const link = linkRow({ ownerId: owner.userId, deviceId, tokenHash: linkTokenHash(TOKEN) });
    api.world.links.set(link.linkId, link);
    const socket = await new Socket(`/ws/delivery/${TOKEN}`).subscribed();
    const unlockId = newId();
    const tell = (state: string, more = {}) =>
      api.world.tell([`link:${link.linkId}`, `device:${deviceId}`], 'unlock_progress', { unlock_id: unlockId, device_id: deviceId, cause: 'link', link_id: link.linkId, status: state, reason: null, use_returned: false, expires_at: '2026-11-21T10:00:30.000Z', timestamp: '2026-11-21T10:00:01.000Z', ...more });
    status('locked');
    tell('published');
    tell('opened');
    api.world.tell([`link:${link.linkId}`], 'link_update', { link_id: link.linkId, device_id: deviceId, status: 'used', max_uses: 1, usage_count: 1 });
    status('unlocked', '2026-11-21T10:00:01.000Z');
    await socket.hears(4);
    expect(socket.messages.slice(1)).toMatchObject([
      { type: 'unlock_progress', status: 'published', heading: 'The box is opening…', command_id: unlockId },
      { type: 'unlock_confirmation', device_id: deviceId, status: 'unlocked', delivery_complete: true, heading: 'The box is open.' },
      { type: 'link_update', status: 'used' },
      { type: 'door_update', status: 'unlocked' }, // the box itself only to whoever has just opened it
    ]);
    api.world.now += 700_000;
    status('locked');
    tell('failed');
    await socket.hears(5);
    expect(socket.messages.slice(5)).toMatchObject([{ type: 'unlock_progress', status: 'failed' }]);
    expect(socket.messages[3]).not.toHaveProperty('device_id');
  });

  test('of a box that changed hands: by each owner what was in their time, also where it was missed or is settled later', async () => {
    const former = newId();
    const before = status('locked', undefined, former);
    const ofFormer = () => status('unlocked', undefined, former);
    ofFormer();
    api.world.tell([`device:${deviceId}`, `user:${former}`], 'unlock_progress', { device_id: deviceId, unlock_id: newId(), status: 'unknown' });
    const missed = status('locked');
    const socket = await new Socket(`/ws/devices/${deviceId}?after=${api.api.positions.encode(before.position)}`, { token: owner.token }).hears(1);
    ofFormer();
    const { eventId } = status('jammed');
    await socket.hears(2);
    expect(socket.messages.slice(1)).toMatchObject([{ status: 'locked', event_id: missed.eventId }, { status: 'jammed', event_id: eventId }]);
  });

  test('by a courier of the door: since their opening and of the owner who let them in, whatever place they resume from', async () => {
    const TOKEN = 'G'.repeat(32);
    const link = linkRow({ ownerId: owner.userId, deviceId, tokenHash: linkTokenHash(TOKEN) });
    api.world.links.set(link.linkId, link);
    const start = status('locked', '2026-11-21T04:00:00.000Z');
    status('unlocked', '2026-11-21T05:00:00.000Z'); // somebody else, hours ago
    const unlockId = newId();
    const openedAt = new Date(api.world.now - 60_000).toISOString();
    api.world.unlocks.set(unlockId, unlockRow({ unlockId, deviceId, cause: { kind: 'link', id: link.linkId }, state: 'opened', openedAt }));
    const since = status('unlocked', openedAt);
    status('locked', new Date(api.world.now).toISOString(), newId()); // in the hands of the next owner
    const ended = api.world.tell([`link:${link.linkId}`], 'link_update', { link_id: link.linkId, device_id: deviceId, status: 'revoked', timestamp: openedAt });
    const socket = await new Socket(`/ws/delivery/${TOKEN}?after=${api.api.positions.encode(start.position)}`).hears(2);
    expect(socket.messages.slice(1)).toMatchObject([{ type: 'door_update', event_id: since.eventId }, { type: 'link_update', event_id: ended.eventId }]);
  });

  test('that all links of a box ended: an owner once, a courier of their own link', async () => {
    const [mine, other, later] = ['D', 'E', 'F'].map((letter) => {
      const link = linkRow({ ownerId: owner.userId, deviceId, tokenHash: linkTokenHash(letter.repeat(32)), ...(letter === 'E' ? { assignmentId: newId() } : {}) });
      api.world.links.set(link.linkId, link);
      return { link, socket: new Socket(`/ws/delivery/${letter.repeat(32)}`) };
    }) as [Listening, Listening, Listening];
    const app = await new Socket('/ws/device-status', { token: owner.token }).subscribed();
    for (const { socket } of [mine, other, later]) await socket.subscribed();
    api.world.links.set(mine.link.linkId, { ...mine.link, status: 'revoked', isActive: false });
    const word = { device_id: deviceId, reason: 'owner_suspended', timestamp: '2026-11-21T10:00:00.000Z' };
    const told = api.world.tell([`device:${deviceId}`, `user:${owner.userId}`], 'links_revoked', { ...word, assignment_id: mine.link.assignmentId });
    // Behind it, so that what must not be heard of would have been.
    for (const { link } of [other, later]) api.world.tell([`link:${link.linkId}`], 'link_update', { link_id: link.linkId, device_id: deviceId, status: 'used', timestamp: word.timestamp });
    for (const socket of [app, mine.socket, other.socket, later.socket]) await socket.hears(1);
    const place = { position: api.api.positions.encode(told.position), event_id: told.eventId };
    expect(app.messages.slice(1)).toEqual([{ type: 'links_revoked', ...word, ...place }]);
    expect(mine.socket.messages.slice(1)).toEqual([{ type: 'link_update', status: 'revoked', timestamp: word.timestamp, ...place }]);
    for (const { socket } of [other, later]) expect(socket.messages.slice(1)).toMatchObject([{ type: 'link_update', status: 'used' }]);
  });

  test('by an administrator: everything, in the words of old', async () => {
    const socket = await new Socket('/ws/admin/system', { token: api.signIn({ adminRole: 'support' }).token }).subscribed();
    api.world.tell(['admin'], 'unlock_progress', { device_id: deviceId, unlock_id: newId(), cause: 'link', status: 'opened' });
    await socket.hears(1);
    expect(socket.messages[1]).toMatchObject({ type: 'device_activity', device_id: deviceId, action: 'unlocked', user: 'delivery_link' });
  });

  test('in order, also while rights are being looked up', async () => {
    const socket = await device().subscribed();
    for (let i = 0; i < 200; i++) api.world.tell([`device:${deviceId}`, `user:${owner.userId}`], 'status_update', { device_id: deviceId, status: 'locked', n: i });
    await socket.hears(200);
    expect(socket.messages.slice(1).map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test('what was missed, once, then what comes', async () => {
    const first = status('unlocked');
    status('locked');
    const after = api.api.positions.encode(first.position);
    const socket = await new Socket(`/ws/devices/${deviceId}?after=${after}`, { token: owner.token }).hears(1);
    status('jammed');
    await socket.hears(2);
    expect(socket.messages.map(({ type, status: lock }) => lock ?? type)).toEqual(['subscribed', 'locked', 'jammed']);

    api.world.live.since = async () => undefined;
    const late = await new Socket(`/ws/devices/${deviceId}?after=${after}`, { token: owner.token }).hears(1);
    expect(late.messages[1]).toEqual({ type: 'resync' });

    const foreign = await new Socket(`/ws/devices/${deviceId}?after=xyz`, { token: owner.token }).until('closed', ({ closed }) => closed !== undefined);
    expect(foreign.closed?.code).toBe(1008);
  });

  test('from beyond the end of a log that was put back: read anew, then what comes', async () => {
    const lost = status('unlocked');
    api.world.logEnd = lost.position - 1n;
    const socket = await new Socket(`/ws/devices/${deviceId}?after=${api.api.positions.encode(lost.position)}`, { token: owner.token }).hears(1);
    status('jammed');
    await socket.hears(2);
    expect(socket.messages.map(({ type, status: lock }) => lock ?? type)).toEqual(['subscribed', 'resync', 'jammed']);
  });

  test('a change that comes while missed ones are being read is neither lost nor doubled', async () => {
    const first = status('unlocked');
    const since = api.world.live.since.bind(api.world.live);
    api.world.live.since = async (topic, position) => {
      status('locked'); // heard live and read as missed
      const missed = await since(topic, position);
      status('jammed'); // heard live only
      return missed;
    };
    const socket = await new Socket(`/ws/devices/${deviceId}?after=${api.api.positions.encode(first.position)}`, { token: owner.token }).hears(2);
    expect(socket.messages.map(({ type, status: lock }) => lock ?? type)).toEqual(['subscribed', 'locked', 'jammed']);
  });
});

describe('bad clients', () => {
  test('one that reads nothing is cut; the others go on', async () => {
    const slow = await device().subscribed();
    const good = await device().subscribed();
    slow.ws.pause();
    const big = 'x'.repeat(60_000);
    // It reads nothing, not even that it was cut: the server listens for one socket less then.
    for (let i = 0; i < 400 && api.world.listening(`device:${deviceId}`) > 1; i++) {
      api.world.tell([`device:${deviceId}`, `user:${owner.userId}`], 'status_update', { device_id: deviceId, big });
      await good.hears(i + 1);
    }
    expect(await api.api.deps.metrics.registry.metrics()).toContain('loqey_ws_cut_total{code="1013"} 1');
    expect(good.closed).toBeUndefined();
  });

  test('one that sends too much, or too big, is closed', async () => {
    const talker = await device().subscribed();
    for (let i = 0; i < 30; i++) talker.ws.send('{}');
    await talker.until('closed', ({ closed }) => closed !== undefined);
    expect(talker.closed?.code).toBe(1008);
    const big = await device().subscribed();
    big.ws.send('x'.repeat(65 * 1_024));
    await big.until('closed', ({ closed }) => closed !== undefined);
    expect(big.closed?.code).toBe(1009);
  });

  test('a connection that breaks off in the middle of an upgrade hurts nobody', async () => {
    const port = Number(new URL(api.url).port);
    const socket = createConnection(port, '127.0.0.1', () => {
      socket.write(`GET /ws/devices/${deviceId} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
      socket.resetAndDestroy();
    });
    socket.on('error', () => undefined);
    expect((await api.ask('GET', '/health')).status).toBe(200);
  });

  test('a handshake that is none is refused in the words of every other refusal', async () => {
    const port = Number(new URL(api.url).port);
    const shake = (method: string, headers: string) =>
      new Promise<string>((resolve, reject) => {
        let heard = '';
        const socket = createConnection(port, '127.0.0.1', () => socket.write(`${method} /ws/devices/${deviceId} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`));
        socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
        socket.on('error', reject).on('close', () => resolve(heard));
      });
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    expect(await shake('POST', `${key}Sec-WebSocket-Version: 13\r\n`)).toMatch(/^HTTP\/1\.1 405 .*Allow: GET\r\n.*"error":"method_not_allowed"/s);
    expect(await shake('GET', 'Sec-WebSocket-Version: 13\r\n')).toMatch(/^HTTP\/1\.1 400 .*"error":"validation_error","message":"Invalid WebSocket handshake"/s);
    expect(await shake('GET', `${key}Sec-WebSocket-Version: 99\r\n`)).toMatch(/^HTTP\/1\.1 400 .*Sec-WebSocket-Version: 13\r\n.*"error":"validation_error"/s);
  });

  test('nothing is listened to for a socket that is gone', async () => {
    const socket = await device().subscribed();
    expect(api.world.listening(`device:${deviceId}`)).toBe(1);
    socket.ws.terminate();
    await expect.poll(() => api.world.listening(`device:${deviceId}`)).toBe(0);
  });

  test('one network has so many sockets and no more', async () => {
    const proxied = await startApi({ settings: { ...apiSettings, trustedProxies: { networks: ['loopback'] } } });
    const connect = (from: string) =>
      new Promise<{ readonly status: number; close(): void }>((resolve) => {
        const ws = new WebSocket(`${proxied.url.replace('http', 'ws')}/ws/device-status`, { headers: { 'x-forwarded-for': from } });
        ws.on('open', () => resolve({ status: 101, close: () => ws.terminate() }));
        ws.on('unexpected-response', (_req, res) => resolve({ status: res.statusCode ?? 0, close: () => undefined })).on('error', () => undefined);
      });
    // Whoever says nothing yet counts too.
    const many = await Promise.all(Array.from({ length: 200 }, (_, i) => connect(`2001:db8::${i.toString(16)}`)));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([101]));
    expect((await connect('2001:db8::ffff')).status).toBe(429);
    expect((await connect('2001:db8:0:1::1')).status).toBe(101);
    many[0]?.close();
    await expect.poll(async () => (await connect('2001:db8::ffff')).status).toBe(101);
    await proxied.stop();
  });

  test('rates are limited', async () => {
    const limited = await startApi({ world: api.world, settings: { ...apiSettings, rateLimits: { ...apiSettings.rateLimits, enabled: true, anonymous: { perMinute: 1, perDay: 10 } } } });
    const url = limited.url.replace('http', 'ws');
    const code = (path: string) =>
      new Promise<number | undefined>((resolve) => {
        const ws = new WebSocket(url + path);
        ws.on('unexpected-response', (_req, res) => resolve(res.statusCode)).on('error', () => undefined);
      });
    expect([await code(`/ws/delivery/${'X'.repeat(32)}`), await code(`/ws/delivery/${'X'.repeat(32)}`)]).toEqual([404, 429]);
    await limited.stop();
  });
});
