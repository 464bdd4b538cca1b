import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { compare, hash } from 'bcryptjs';
import express from 'express';
import pg from 'pg';
import { migrations } from '../../migrations/index.ts';
import { deriveKeys, mqttPassword } from '../../src/bridge/protocol/keys.ts';
import type { EventStore, EventToAppend } from '../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createClientBroker } from '../../src/platform/mqtt/client.ts';
import { createEmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import type { DeviceBroker } from '../../src/platform/mqtt/port.ts';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';
import type { BoxLogin } from './boxes.ts';
import { serve } from './program.ts';

/**
 * What the parts can do by themselves: Express without anything, a statement, an append, a message, a password. No rules, no
 * signatures, no read models. In a process of its own, on stores and brokers of its own of the same kind.
 */
const dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-limits-'));
chmodSync(dataDir, 0o755); // PostgreSQL runs as another user where this runs as root
const metrics = new Metrics();
const postgres = createEmbeddedPostgres({ dataDir, logger });
const url = await postgres.start();
await migrate({ url, migrations, programVersion: '0.0.0-bench', logger });
const client = new pg.Client({ connectionString: url });
await client.connect();
await client.query('CREATE TABLE raw_report (device_id uuid NOT NULL, received_at timestamptz NOT NULL, body bytea NOT NULL)');
await client.query('CREATE TABLE raw_event (position bigserial PRIMARY KEY, stream text NOT NULL, body jsonb NOT NULL)');

const store = await openStore();
await store.start();

const boxes = new Map<string, string>();
const broker = openBroker();
/** What the box of the tap has sent back. */
let cameBack: (() => void) | undefined;
let received = 0;
broker.uplink.onMessage(async () => {
  received++;
  cameBack?.();
});
await broker.start();

const app = express();
app.get('/empty', (_req, res) => void res.json({ ok: true }));
let select: { readonly pool: pg.Pool; readonly name: string; readonly text: string; readonly values: readonly unknown[] } | undefined;
app.get('/select', async (_req, res) => {
  const { rows } = await select!.pool.query({ name: select!.name, text: select!.text, values: [...select!.values] });
  res.json(rows);
});
const TAP_TOPIC = 'limit/down';
const payload = Buffer.alloc(554, 'x');
const taps = createServer((req, res) => {
  req.resume();
  void (async () => {
    await store.append(`limit-${randomUUID()}`, 'no_stream', [event(1)], { lane: 'urgent' });
    const back = new Promise<void>((resolve) => (cameBack = resolve));
    await broker.downlink.publish(TAP_TOPIC, payload, { qos: 1, ttlMs: 5_000 });
    await back;
    res.end('{}');
  })().catch((error: unknown) => res.destroy(error as Error));
});
const plain = app.listen(0, '127.0.0.1');
taps.listen(0, '127.0.0.1');
for (const server of [plain, taps]) if (!server.listening) await once(server, 'listening');
const portOf = (server: { address(): string | AddressInfo | null }) => (server.address() as AddressInfo).port;

async function openStore(): Promise<EventStore> {
  const connectionString = process.env['LIMIT_EVENTSTORE_URL'];
  if (connectionString === undefined) return createPostgresEventStore({ url, logger, metrics });
  const { createEventStoreDb } = await import('../../src/platform/event-store/eventstoredb.ts');
  return createEventStoreDb({ connectionString, logger, metrics });
}

function openBroker(): DeviceBroker & { address?(): { readonly port: number } } {
  const external = process.env['LIMIT_MQTT_URL'];
  const login = (name: string) => ({ clientId: `limit-${name}`, username: name, password: name });
  if (external !== undefined) return createClientBroker({ url: external, uplink: login('up'), downlink: login('down'), filters: ['limit/up', 'loqey/devices/+/+'] });
  return createEmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    limits: { messagesPerSecond: Infinity },
    authenticate: async (username) => {
      const passwordHash = boxes.get(username);
      if (passwordHash === undefined) return undefined;
      const publishTopics = ['limit/up', ...['status', 'heartbeat'].map((kind) => `loqey/devices/${username}/${kind}`)];
      return { deviceId: username, username, clientId: `device_${username}`, passwordHashes: [passwordHash], publishTopics, subscribeTopics: [TAP_TOPIC] };
    },
  });
}

function event(n: number): EventToAppend {
  const id = randomUUID();
  const actor = { kind: 'courier', id } as const;
  return {
    eventId: id,
    type: 'UnlockRequested',
    data: { unlockId: id, cause: { kind: 'link', id }, n, expiresAt: '2026-11-21T10:30:30.000Z' },
    metadata: { schemaVersion: 1, commandId: id, correlationId: id, causationId: id, actor, source: 'delivery_link', occurredAt: '2026-11-21T10:30:00.000Z' },
  };
}

interface Rate {
  readonly rate: number;
  readonly waits: readonly number[];
}

/** So many at once, each one after another, for so long. */
async function repeatedly(writers: number, ms: number, one: (writer: number, n: number) => Promise<unknown>): Promise<Rate> {
  const waits: number[] = [];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let n = 0; performance.now() - began < ms; n++) {
        const since = performance.now();
        await one(writer, n);
        waits.push(performance.now() - since);
      }
    }),
  );
  return { rate: waits.length / ((performance.now() - began) / 1_000), waits };
}

let run = 0;
const hashed = await hash('bench password', 12);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const calls = {
  addresses: () => ({ http: `http://127.0.0.1:${portOf(plain)}`, taps: `http://127.0.0.1:${portOf(taps)}`, mqtt: process.env['LIMIT_MQTT_URL'] ?? `mqtt://127.0.0.1:${broker.address?.().port}` }),
  memory() {
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, held: heapUsed + external };
  },
  received: () => received,
  /** Lets a box in; its password. */
  admit(deviceId: string): string {
    const password = randomBytes(16).toString('hex');
    boxes.set(deviceId, createHash('sha256').update(password).digest('hex'));
    return password;
  },
  admitBoxes(logins: readonly BoxLogin[]): void {
    for (const { deviceId, master } of logins) {
      const password = mqttPassword(deriveKeys(Buffer.from(master, 'hex'), deviceId, 1));
      boxes.set(deviceId, createHash('sha256').update(password).digest('hex'));
    }
  },
  /** One event each to streams of their own, as many writers as there are connections. */
  append(writers: number, ms: number): Promise<Rate> {
    const streams = Array.from({ length: writers }, () => `limit-${++run}-${randomUUID()}`);
    const revisions = new Map<string, bigint>();
    return repeatedly(writers, ms, async (writer, n) => {
      const stream = streams[writer]!;
      revisions.set(stream, (await store.append(stream, revisions.get(stream) ?? 'no_stream', [event(n)])).revision);
    });
  },
  /** A row and a commit each, over as many connections: what an append is without batching. */
  async insertEach(writers: number, ms: number): Promise<Rate> {
    const pool = new pg.Pool({ connectionString: url, max: writers });
    try {
      return await repeatedly(writers, ms, (writer, n) => pool.query({ name: 'raw', text: 'INSERT INTO raw_event (stream, body) VALUES ($1, $2)', values: [`limit-${writer}`, event(n)] }));
    } finally {
      await pool.end();
    }
  },
  /** Rows of reports a second, in durable batches of so many. */
  async insertBatches(size: number, ms: number): Promise<number> {
    const [ids, bodies] = [Array.from({ length: size }, () => randomUUID()), Array.from({ length: size }, () => randomBytes(450))];
    const { rate } = await repeatedly(1, ms, () =>
      client.query({ name: 'reports', text: 'INSERT INTO raw_report SELECT id, now(), body FROM unnest($1::uuid[], $2::bytea[]) AS made (id, body)', values: [ids, bodies] }),
    );
    return rate * size;
  },
  /** Right passwords compared a second, one after another. */
  async comparePasswords(ms: number): Promise<number> {
    return (await repeatedly(1, ms, () => compare('bench password', hashed))).rate;
  },
  /** What `/select` runs, and where. */
  async prepareSelect(query: { readonly url: string; readonly name: string; readonly text: string; readonly values: readonly unknown[] }): Promise<void> {
    await select?.pool.end();
    select = { ...query, pool: new pg.Pool({ connectionString: query.url, max: 10 }) };
    select.pool.on('error', () => undefined);
    await setImmediate();
  },
};
export type LimitsCalls = typeof calls;

serve(calls, async () => {
  for (const server of [plain, taps]) server.closeAllConnections();
  await select?.pool.end();
  await broker.stop();
  await store.stop();
  await client.end();
  await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
});
