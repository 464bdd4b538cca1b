/**
 * Raw rates of the event store: `npx node bench/event-store.ts [url]`. Without a URL an embedded PostgreSQL with its
 * ordinary, durable settings; `postgresql://…` another one (an empty database, it is filled); `esdb://…` EventStoreDB.
 * 300-byte events. Writers append one event each to a stream of their own and wait for it.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../migrations/index.ts';
import type { EventStore, EventToAppend } from '../src/platform/event-store/port.ts';
import { createEventStoreDb } from '../src/platform/event-store/eventstoredb.ts';
import { createPostgresEventStore } from '../src/platform/event-store/postgres.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';

const SECONDS = 4;
const run = randomUUID().slice(0, 8);

function event(n: number): EventToAppend {
  const id = randomUUID();
  return {
    eventId: id,
    type: 'UnlockRequested',
    data: { unlockId: id, cause: { kind: 'link', id }, n, expiresAt: '2026-11-21T10:30:30.000Z' },
    metadata: {
      schemaVersion: 1,
      commandId: id,
      correlationId: id,
      causationId: id,
      actor: { kind: 'courier', id },
      source: 'delivery_link',
      occurredAt: '2026-11-21T10:30:00.000Z',
    },
  };
}

interface Row {
  readonly what: string;
  readonly rate: number;
  readonly latencies?: readonly number[];
}

async function appends(store: EventStore, writers: number, size: number): Promise<Row> {
  const latencies: number[] = [];
  const start = performance.now();
  const end = start + SECONDS * 1000;
  await Promise.all(
    Array.from({ length: writers }, async (_, w) => {
      const stream = `bench-${run}-${writers}x${size}-${w}`;
      let expected: bigint | 'no_stream' = 'no_stream';
      for (let n = 0; performance.now() < end; n++) {
        const began = performance.now();
        const { revision } = await store.append(stream, expected, Array.from({ length: size }, () => event(n)));
        expected = revision;
        latencies.push(performance.now() - began);
      }
    }),
  );
  const what = size === 1 ? `append, ${writers} writer${writers > 1 ? 's' : ''}` : `append of ${size} events, ${writers} writers`;
  return { what, rate: (latencies.length * size) / ((performance.now() - start) / 1000), latencies };
}

async function catchUp(store: EventStore): Promise<Row> {
  const head = await store.head();
  let count = 0;
  const stop = new AbortController();
  const start = performance.now();
  for await (const batch of store.subscribeAll({ after: undefined, signal: stop.signal })) {
    count += batch.events.length;
    if (head === undefined || batch.position >= head) break;
  }
  stop.abort();
  const seconds = (performance.now() - start) / 1000;
  return { what: `catch-up of all, ${count.toLocaleString('en')} events`, rate: count / seconds };
}

/** From calling append to holding the event in a live subscription. */
async function tapToSubscriber(store: EventStore): Promise<Row> {
  const stop = new AbortController();
  const arrived = new Map<string, () => void>();
  const after = await store.head();
  const consumer = (async () => {
    for await (const { events } of store.subscribeAll({ after, signal: stop.signal })) {
      for (const { eventId } of events) arrived.get(eventId)?.();
    }
  })();
  const latencies: number[] = [];
  const start = performance.now();
  for (let n = 0; performance.now() < start + SECONDS * 1000; n++) {
    const one = event(n);
    const began = performance.now();
    await Promise.all([
      new Promise<void>((resolve) => arrived.set(one.eventId, resolve)),
      store.append(`bench-${run}-tap`, 'any', [one], { lane: 'urgent' }),
    ]);
    latencies.push(performance.now() - began);
  }
  stop.abort();
  await consumer;
  return { what: 'urgent append → live subscriber', rate: latencies.length / SECONDS, latencies };
}

function line({ what, rate, latencies }: Row): string {
  const sorted = latencies?.toSorted((a, b) => a - b);
  const at = (q: number) => (sorted === undefined ? '' : `${(sorted[Math.floor(q * (sorted.length - 1))] ?? 0).toFixed(2)} ms`);
  return `${what.padEnd(40)} ${Math.round(rate).toLocaleString('en').padStart(10)}/s ${at(0.5).padStart(10)} ${at(0.99).padStart(10)}\n`;
}

async function openStore(url: string | undefined): Promise<{ store: EventStore; name: string; close: () => Promise<void> }> {
  const metrics = new Metrics();
  const logger = silentLogger;
  if (url?.startsWith('esdb')) {
    const store = createEventStoreDb({ connectionString: url, logger, metrics });
    await store.start();
    return { store, name: 'EventStoreDB', close: () => store.stop() };
  }
  let server: { stop(): Promise<void> } | undefined;
  let dataDir: string | undefined;
  if (url === undefined) {
    dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-'));
    chmodSync(dataDir, 0o755);
    const embedded = createEmbeddedPostgres({ dataDir, logger });
    url = await embedded.start();
    server = embedded;
  }
  await migrate({ url, migrations, programVersion: '0.0.0-bench', logger });
  const store = createPostgresEventStore({ url, logger, metrics });
  await store.start();
  return {
    store,
    name: dataDir === undefined ? 'PostgreSQL' : 'embedded PostgreSQL',
    async close() {
      await store.stop();
      await server?.stop();
      if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

const { store, name, close } = await openStore(process.argv[2]);
try {
  process.stdout.write(`${name}, Node ${process.version}\n${''.padEnd(40)} ${'rate'.padStart(12)} ${'p50'.padStart(10)} ${'p99'.padStart(10)}\n`);
  await appends(store, 8, 1); // warms up, not shown
  for (const writers of [1, 10, 32]) process.stdout.write(line(await appends(store, writers, 1)));
  process.stdout.write(line(await appends(store, 4, 50)));
  process.stdout.write(line(await tapToSubscriber(store)));
  process.stdout.write(line(await catchUp(store)));
} finally {
  await close();
}
