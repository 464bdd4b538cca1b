import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { liveConformance } from '../support/live-conformance.ts';
import { cleanUp, dataFolder, startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { until } from '../support/until.ts';
import { accounts, administration, claims, deliveries, links, opening, partings, reports, type Ask, type Row, type Who } from './script.ts';

// A program that knows the old description alone and none of this repository: fetch, mqtt.js and ws against the program as
// a person starts it. Each row of the script is a test, in order.

const admin = { email: 'admin@example.com', password: 'a password of this test' };
let server: ServerProcess;
let box: MqttClient;
const described = liveConformance();
const commands: Record<string, unknown>[] = [];
/** Messages that are not as they are described. */
const unlike: string[] = [];
const sockets = new Map<string, { readonly ws: WebSocket; readonly messages: unknown[] }>();
/** What answers gave, by the names that the script calls it. */
const known = new Map<string, string>([
  ['admin email', admin.email],
  ['admin password', admin.password],
  ['today', new Date().toISOString().slice(0, 10)],
]);

beforeAll(async () => {
  server = await startServerProcess({
    DATA_DIR: await dataFolder(),
    PORT: '0',
    MQTT_BROKER_PORT: '0',
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
  });
});
afterAll(async () => {
  for (const { ws } of sockets.values()) ws.terminate();
  await box?.endAsync(true);
  server.signal('SIGTERM');
  await server.exited;
  await cleanUp();
});

describe('accounts', () => play(accounts));

describe('a box is registered and claimed', () => {
  play(claims.slice(0, -5));
  test('a wrong PIN is made up', () => void known.set('wrong pin', known.get('pin') === '000000' ? '000001' : '000000'));
  play(claims.slice(-5));
});

describe('the box reports', () => {
  test('it connects with what its registration gave', async () => {
    box = await mqtt.connectAsync(name('mqtt url'), {
      clientId: name('mqtt client'),
      username: name('mqtt user'),
      password: name('mqtt password'),
      keepalive: 60,
      connectTimeout: 10_000,
      reconnectPeriod: 0,
    });
    box.on('message', (_topic, payload) => {
      const command = JSON.parse(payload.toString()) as Record<string, unknown>;
      commands.push(command);
      if (command['command'] !== 'unlock') return;
      const answer = { device_id: name('box'), command: 'unlock', success: true, message: 'Device unlocked successfully', new_status: 'unlocked', timestamp: new Date().toISOString(), battery_level: 76 };
      void box.publishAsync(topic('responses'), JSON.stringify(answer), { qos: 1 });
    });
    await box.subscribeAsync(topic('commands/unlock'), { qos: 1 });
  });
  play(reports);
  test('S0-76 what is no JSON is dropped, and the next word counts', async () => {
    await box.publishAsync(topic('status'), 'no { json', { qos: 1 });
    await box.publishAsync(topic('battery'), JSON.stringify({ battery: 75 }), { qos: 1 });
    await asked({ line: 'S0-75', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { battery_level: 75 } });
  });
});

describe('its owner opens it', () => play(opening));
describe('links', () => play(links));
describe('couriers', () => {
  play(deliveries.slice(0, -5));
  test('a moment is two seconds from now', () => void known.set('a moment', new Date(Date.now() + 2_000).toISOString()));
  play(deliveries.slice(-5));
});
describe('administrators', () => play(administration));
test('what was heard over WebSockets is as it is described', () => expect(unlike).toEqual([]));
describe('partings', () => {
  play(partings);
  test('S0-20 an error has its code, its words and a number to find it by', async () => {
    const { body } = await ask({ line: 'S0-20', ask: 'GET /api/v1/nothing', status: 404 });
    expect(body).toEqual({ error: 'not_found', message: expect.any(String) as string, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
  });
});

function play(rows: readonly Row[]): void {
  rows.forEach((row, index) => {
    const what = 'ask' in row ? `${row.ask} ${row.status}` : 'says' in row ? `the box says ${row.says}` : 'got' in row ? 'the box got a command' : 'listens' in row ? `WS ${row.listens}` : `${row.hears} is heard`;
    test(`${row.line} ${what} (${index + 1})`, () => step(row));
  });
}

async function step(row: Row): Promise<void> {
  if ('ask' in row) return asked(row);
  if ('says' in row) return void (await box.publishAsync(topic(row.says), JSON.stringify(filled(row.payload)), { qos: 1 }));
  if ('got' in row) {
    const wanted = expect.objectContaining(filled(row.got)) as { asymmetricMatch(value: unknown): boolean };
    await until(`the box to get ${JSON.stringify(row.got)}; got ${JSON.stringify(commands)}`, () => wanted.asymmetricMatch(commands.at(-1)));
    // The right to open is the server's alone: neither the PIN nor the secret of a link is told to the box.
    for (const secret of ['pin', 'link', 'spare link']) if (known.has(secret)) expect(JSON.stringify(commands)).not.toContain(name(secret));
    return;
  }
  if ('listens' in row) return listen(row.called, row.listens, row.as);
  const { messages } = sockets.get(row.hears)!;
  const wanted = expect.objectContaining(filled(row.message)) as { asymmetricMatch(value: unknown): boolean };
  await until(`${row.hears} to hear ${JSON.stringify(row.message)}; heard ${JSON.stringify(messages)}`, () => messages.some((message) => wanted.asymmetricMatch(message)));
}

async function asked(row: Ask): Promise<void> {
  for (const deadline = performance.now() + 10_000; ; ) {
    const { status, body, headers } = await ask(row);
    try {
      expect({ status, body }).toMatchObject({ status: row.status });
      if (row.answer !== undefined) expect(body).toMatchObject(filled(row.answer));
      if (row.row !== undefined) {
        expect(Array.isArray(body), 'a bare array').toBe(true);
        expect(body).toEqual(expect.arrayContaining([expect.objectContaining(filled(row.row))]));
      }
      for (const [header, value] of Object.entries(row.answerHeaders ?? {})) expect(headers.get(header), header).toEqual(value);
    } catch (error) {
      if (row.soon !== true || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
      continue;
    }
    for (const [as, path] of Object.entries(row.keep ?? {})) {
      const value = path.split('.').reduce<unknown>((at, member) => (at as Record<string, unknown> | undefined)?.[member], body);
      expect(value, path).toBeTypeOf('string');
      known.set(as, value as string);
    }
    return;
  }
}

async function ask({ ask: what, as, body, headers }: Ask): Promise<{ status: number; body: unknown; headers: Headers }> {
  const method = what.split(' ', 1)[0] ?? '';
  const path = what.slice(method.length + 1);
  const response = await fetch(server.url + fill(path), {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(as === undefined ? {} : { authorization: `Bearer ${name(as)}` }),
      ...(headers === undefined ? {} : filled(headers)),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(filled(body)) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && text !== '';
  return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
}

async function listen(called: string, path: string, as: Who | undefined): Promise<void> {
  const ws = new WebSocket(server.url.replace('http', 'ws') + fill(path), { headers: as === undefined ? {} : { authorization: `Bearer ${name(as)}` } });
  const messages: unknown[] = [];
  sockets.set(called, { ws, messages });
  ws.on('message', (data) => {
    const message: unknown = JSON.parse((data as Buffer).toString());
    unlike.push(...described(fill(path), message));
    messages.push(message);
  });
  await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
  // What happens from here on is heard: older clients do not wait for a word that they are listening, this test does.
  await until(`${called} to be listened to`, () => messages.length > 0);
}

function topic(kind: string): string {
  return `loqey/devices/${name('box')}/${kind}`;
}

function name(key: string): string {
  const value = known.get(key);
  if (value === undefined) throw new Error(`An earlier row did not give "${key}"`);
  return value;
}

function fill(text: string): string {
  return text.replace(/\{([a-z ]+)\}/g, (_, key: string) => name(key));
}

/** With names filled in, and what is to be compared otherwise (a matcher) left as it is. */
function filled<T>(value: T): T {
  if (typeof value === 'string') return fill(value) as T;
  if (Array.isArray(value)) return value.map((each) => filled<unknown>(each)) as T;
  if (typeof value !== 'object' || value === null || 'asymmetricMatch' in value) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filled<unknown>(each)])) as T;
}

