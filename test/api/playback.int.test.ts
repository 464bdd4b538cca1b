import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createHistory } from '../../src/audit/history/history.ts';
import { createPlaybacks } from '../../src/api/playback.ts';
import { createStatesBeside } from '../../src/audit/playback/states.ts';
import type { EventStore, RecordedEvent } from '../../src/platform/event-store/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { memoryMilestones } from '../audit/history/support.ts';
import { history } from '../projections/histories.ts';
import { soon, startApi, World, type TestApi } from '../support/api.ts';
import { liveConformance } from '../support/live-conformance.ts';
import { startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let side: ReadSide;
let api: TestApi;
let token: string;
const events: RecordedEvent[] = [];
const written: string[] = [];
const opened: Playing[] = [];
const isAsDescribed = liveConformance();

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres);
  let position = 0n;
  for (const { stream, events: some } of history(5, 60)) position = (await side.append(stream, some)).position;
  await side.readable(position);
  for await (const event of side.store.readAll()) events.push(event);
});
afterAll(async () => {
  await side?.stop();
  await postgres?.stop();
});
beforeEach(async () => {
  const world = new World();
  // Whatever a playback would write, it would write here.
  const store: EventStore = { ...side.store, append: (stream) => (written.push(stream), Promise.reject(new Error('nothing is written by a playback'))) };
  const states = createHistory({ store, milestones: memoryMilestones(), logger: silentLogger, metrics: new Metrics() });
  api = await startApi({ world, logId: side.logId, reads: { ...world.reads, audit: side.reads.audit }, statesBeside: () => createStatesBeside({ history: states, store }) });
  token = api.signIn({ adminRole: 'support' }).token;
});
afterEach(async () => {
  for (const { ws } of opened.splice(0)) ws.terminate();
  await api.stop();
  expect(written).toEqual([]);
});

interface Heard {
  readonly type: string;
  readonly entry?: { readonly event_id: string; readonly type: string; readonly summary: string };
  readonly states?: readonly { readonly kind: string; readonly id: string; readonly state: Readonly<Record<string, unknown>> | null; readonly changes: readonly unknown[] }[];
  readonly state?: string;
  readonly speed?: unknown;
  readonly position?: string;
  readonly message?: string;
  readonly gap_ms?: number;
}

class Playing {
  readonly ws: WebSocket;
  readonly heard: Heard[] = [];
  closed: { code: number; reason: string } | undefined;
  refused: { status: number; body: string } | undefined;
  private wake = () => {};

  constructor(query: Readonly<Record<string, string>> = {}, withToken: string | null = token) {
    const path = `/api/v1/ws/admin/playback?${new URLSearchParams(query).toString()}`;
    this.ws = new WebSocket(api.url.replace('http', 'ws') + path, withToken === null ? {} : { headers: { authorization: `Bearer ${withToken}` } });
    this.ws.on('message', (data) => {
      const message = JSON.parse((data as Buffer).toString()) as Heard;
      expect(isAsDescribed(path, message)).toEqual([]);
      this.heard.push(message);
      this.wake();
    });
    this.ws.on('close', (code, reason) => ((this.closed = { code, reason: reason.toString() }), this.wake()));
    this.ws.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => ((this.refused = { status: response.statusCode ?? 0, body }), this.wake()));
    });
    this.ws.on('error', () => undefined);
    opened.push(this);
  }

  get frames(): readonly Heard[] {
    return this.heard.filter(({ type }) => type === 'playback_frame');
  }
  get eventIds(): readonly (string | undefined)[] {
    return this.frames.map(({ entry }) => entry?.event_id);
  }
  say(command: object | string): this {
    this.ws.send(typeof command === 'string' ? command : JSON.stringify(command));
    return this;
  }
  async until(what: string, condition: (playing: this) => boolean): Promise<this> {
    const waiting = (async () => {
      while (!condition(this)) await new Promise<void>((resolve) => (this.wake = resolve));
    })();
    await soon(waiting, what, 10_000).catch((error: Error) => {
      throw new Error(`${error.message}; heard ${JSON.stringify(this.heard.slice(-3))}, closed ${JSON.stringify(this.closed)}, refused ${JSON.stringify(this.refused)}`);
    });
    return this;
  }
  ended = () => this.until('ended', ({ heard }) => heard.at(-1)?.state === 'ended');
  /** And leaves. */
  async toItsEnd(): Promise<this> {
    await this.ended();
    this.ws.close();
    return this.until('closed', ({ closed }) => closed !== undefined);
  }
  shows = (count: number) => this.until(`${count} lines`, ({ frames }) => frames.length >= count);
}

describe('a playback', () => {
  test('shows the whole log in its order, each entry once, with what it was about as it was then', async () => {
    const playing = await new Playing({ speed: 'max' }).toItsEnd();
    expect(playing.heard[0]).toEqual({ type: 'subscribed', state: 'playing', speed: 'max', position: null });
    expect(playing.eventIds).toEqual(events.map(({ eventId }) => eventId));
    const made = playing.frames.find(({ entry }) => entry?.type === 'LinkCreated');
    expect(made?.states?.map(({ kind }) => kind)).toEqual(['device', 'link']);
    expect(made?.states?.[1]).toMatchObject({ state: { status: 'active' } });
    const registered = playing.frames.find(({ entry }) => entry?.type === 'DeviceRegistered');
    expect(registered?.states?.[0]?.changes).toContainEqual({ path: '/lifecycle_status', before: null, after: 'available' });
    // Neither what is sealed nor what something is compared by.
    expect(JSON.stringify(playing.heard)).not.toMatch(/"\$s"|tokenHash|token_hash|pinTag|pin_tag|"tag"/);
  });

  test('of a part, filtered: the states are those of the whole past all the same', async () => {
    const unlocks = events.filter(({ type }) => type === 'UnlockRequested');
    const { stream } = unlocks[0]!;
    const own = unlocks.filter((event) => event.stream === stream);
    const [first, last] = [own[0]!, own.at(-1)!];
    const query = { device_id: stream.slice('device-'.length), type: 'UnlockRequested', speed: 'max' };
    const all = await new Playing(query).toItsEnd();
    expect(all.eventIds).toEqual(own.map(({ eventId }) => eventId));
    expect(all.frames.every(({ states }) => states?.[0]?.state?.['serial_number'] !== undefined)).toBe(true);

    const encode = (position: bigint) => api.api.positions.encode(position);
    const between = await new Playing({ speed: 'max', from: encode(first.position), to: encode(last.position) }).toItsEnd();
    expect(between.eventIds).toEqual(events.filter(({ position }) => position >= first.position && position <= last.position).map(({ eventId }) => eventId));
    const { occurredAt } = last.metadata;
    const since = await new Playing({ speed: 'max', from: occurredAt }).toItsEnd();
    expect(since.eventIds[0]).toBe(events.find(({ metadata }) => metadata.occurredAt >= occurredAt)?.eventId);
    const before = await new Playing({ speed: 'max', to: occurredAt }).toItsEnd();
    expect(before.eventIds).not.toContain(last.eventId);
  });

  test('is paused, stepped through, sent elsewhere and given another speed', async () => {
    const ids = events.map(({ eventId }) => eventId);
    const playing = await new Playing({ paused: 'true' }).until('subscribed', ({ heard }) => heard.length > 0);
    await playing.say({ type: 'step', lines: 2 }).shows(2);
    await playing.say({ type: 'step', lines: -1 }).shows(3);
    await playing.say({ type: 'seek', to: api.api.positions.encode(events[20]!.position) }).shows(4);
    expect(playing.eventIds).toEqual([ids[0], ids[1], ids[0], ids[20]]);
    playing.say({ type: 'speed', speed: 'max' }).say({ type: 'play' });
    await playing.ended();
    expect(playing.eventIds.slice(4)).toEqual(ids.slice(21));
    expect(playing.heard.filter(({ type }) => type === 'playback_state').map(({ state, speed }) => [state, speed])).toEqual([
      ['paused', 'max'],
      ['playing', 'max'],
      ['ended', 'max'],
    ]);
    await playing.say({ type: 'pause' }).until('paused', ({ heard }) => heard.at(-1)?.state === 'paused');
  });

  test('goes on as it was after a command that it does not understand, and says so', async () => {
    const playing = await new Playing({ paused: 'true' }).until('subscribed', ({ heard }) => heard.length > 0);
    const commands = ['not json', '[]', '{"type":"rebuild"}', '{"type":"speed","speed":0}', '{"type":"step","lines":-2}', '{"type":"seek","to":"yesterday"}', '{"type":"play","loud":true}'];
    for (const command of commands) playing.say(command);
    await playing.until('refusals', ({ heard }) => heard.length > commands.length);
    expect(playing.heard.slice(1).map(({ type }) => type)).toEqual(commands.map(() => 'playback_refused'));
    await playing.say({ type: 'step', lines: 1 }).shows(1);
  });
});

describe('who may look', () => {
  test('an administrator with the right, in a session of theirs, and nobody else', async () => {
    const cases = [
      [api.signIn().token, {}, 403],
      [api.signIn({ adminRole: 'admin' }, 'user').token, {}, 403],
      [token, { from: 'yesterday' }, 400],
      [token, { speed: '0' }, 400],
      [token, { speed: 'fast' }, 400],
      [token, { after: 'x' }, 400],
      [token, { max_wait: '-1' }, 400],
      [token, { device_id: '42' }, 400],
    ] as const;
    for (const [who, query, status] of cases) {
      const playing = await new Playing(query, who).until(JSON.stringify(query), ({ refused }) => refused !== undefined);
      expect(playing.refused?.status, JSON.stringify([query, playing.refused])).toBe(status);
    }
    const unnamed = new Playing({}, null);
    unnamed.ws.on('open', () => unnamed.say({ type: 'auth', token: 'made up' }));
    await unnamed.until('closed', ({ closed }) => closed !== undefined);
    expect(unnamed.closed?.code).toBe(4401);
  });

  test('three at once, for as long as they have the right', async () => {
    const admin = api.signIn({ adminRole: 'admin' });
    const three = Array.from({ length: 3 }, () => new Playing({ paused: 'true' }, admin.token));
    for (const each of three) await each.until('subscribed', ({ heard }) => heard.length > 0);
    const fourth = await new Playing({}, admin.token).until('closed', ({ closed }) => closed !== undefined);
    expect(fourth.closed).toEqual({ code: 1013, reason: 'You have 3 playbacks open: close one' });
    expect((await new Playing({ paused: 'true' }).until('subscribed', ({ heard }) => heard.length > 0)).closed).toBeUndefined();
    three[0]?.ws.close();
    await three[0]?.until('closed', ({ closed }) => closed !== undefined);
    await new Playing({ paused: 'true' }, admin.token).until('subscribed', ({ heard }) => heard.length > 0);

    const row = api.world.users.get(admin.userId)!;
    api.world.users.set(admin.userId, { ...row, adminRole: null });
    api.world.tell([`user:${admin.userId}`], 'account_update');
    await three[1]?.until('closed', ({ closed }) => closed !== undefined);
    expect([4401, 4403]).toContain(three[1]?.closed?.code);
  });
});

test('a client that takes nothing is waited for, with one line in hand, and cut off when it is stuck', async () => {
  let ms = 0;
  const playbacks = createPlaybacks({ ...api.api, deps: { ...api.api.deps, clock: { now: () => ms, monotonic: () => ms } } });
  const request = playbacks.requestOf(new URLSearchParams({ speed: 'max' }));
  let unsent = 1_000_000;
  const sent: string[] = [];
  const socket = { authorise: async () => undefined, send: ({ type }: { readonly type?: unknown }) => void sent.push(String(type)), unsent: () => unsent, tooSlow: () => void sent.push('too slow'), fail: (error: unknown) => void sent.push(String(error)) };
  const playback = playbacks.open(request, 'somebody', socket);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(sent).toEqual(['subscribed']);
  unsent = 0;
  await expect.poll(() => sent.filter((type) => type === 'playback_frame').length, { timeout: 20_000 }).toBe(events.length);
  unsent = 1_000_000;
  playback.receive(JSON.stringify({ type: 'play' }));
  await expect.poll(() => sent.at(-1)).toBe('playback_state');
  await expect.poll(() => ((ms += 5_000), sent.at(-1)), { timeout: 10_000 }).toBe('too slow');
  playback.stop();
});
