import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventStoreUnavailable, type EventStore, type RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { createPostgresEventStore, type PostgresEventStoreOptions } from '../../../src/platform/event-store/postgres.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { all, event, eventStoreContract, eventually, failure, newStream } from '../../contract/event-store.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

function createStore(url: string, options: Partial<PostgresEventStoreOptions> = {}): EventStore {
  return createPostgresEventStore({ url, logger: silentLogger, metrics: new Metrics(), ...options });
}

async function proxyTo(url: string) {
  const proxied = new URL(url);
  const proxy = await startTcpProxy({ host: proxied.hostname, port: Number(proxied.port) });
  proxied.host = `127.0.0.1:${proxy.port}`;
  proxied.search = ''; // not through the server's socket
  return { proxy, url: proxied.href };
}

eventStoreContract('PostgreSQL', async () => {
  const postgres = await startPostgres();
  const direct = await postgres.migratedDatabase();
  const { proxy, url } = await proxyTo(direct);
  const store = createStore(url);
  const other = createStore(direct);
  await Promise.all([store.start(), other.start()]);
  return {
    store,
    proxy,
    other,
    async stop() {
      await Promise.all([store.stop(), other.stop()]);
      await proxy.close();
      await postgres.stop();
    },
  };
});

describe('event store in PostgreSQL', () => {
  let postgres: TestPostgres;
  let url: string;
  let store: EventStore;
  beforeAll(async () => {
    postgres = await startPostgres();
    url = await postgres.migratedDatabase();
    store = createStore(url);
    await store.start();
  });
  afterAll(async () => {
    await store?.stop();
    await postgres?.stop();
  });

  it('does not store the same ids twice at a later, correct revision either', async () => {
    const stream = newStream();
    const events = [event(), event()];
    const first = await store.append(stream, 'no_stream', events);
    await store.append(stream, 1n, [event()]);
    expect(await store.append(stream, 2n, events)).toEqual(first);
    expect(await store.append(stream, 9n, events)).toEqual(first);
    const [one] = events;
    expect(await store.append(stream, 2n, one === undefined ? [] : [one])).toMatchObject({ revision: 0n });
    expect(await failure(store.append(stream, 2n, [...events, event()]))).toMatchObject({ actual: 2n });
    expect(await all(store.readStream(stream))).toHaveLength(3);
  });

  it('recognises a repeat that is under way at the same time', async () => {
    const stream = newStream();
    const events = [event()];
    const results = await Promise.all(Array.from({ length: 8 }, () => store.append(stream, 'no_stream', events)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await all(store.readStream(stream))).toHaveLength(1);
  });

  it('hands a live subscriber the same as a later reader gets', async () => {
    const stop = new AbortController();
    const given = { ...event({ text: '\u0000 ü', n: 1, list: [1, { a: null }], gone: undefined }), type: 'A "quoted" type' };
    const stream = `${newStream()}-"{ü}\\`;
    const seen: RecordedEvent[] = [];
    let appended = false;
    for await (const { events, live } of store.subscribeAll({ after: await store.head(), signal: stop.signal })) {
      seen.push(...events);
      if (seen.length === 3) break;
      if (live && !appended) await store.append(stream, 'no_stream', [given, event(), event()]);
      appended ||= live;
    }
    expect(seen).toStrictEqual(await all(store.readStream(stream)));
    expect(seen[0]?.data).not.toBe(given.data);
  });

  it('loses and repeats nothing when the server ends every connection', async () => {
    const admin = new pg.Client({ connectionString: url });
    admin.on('error', () => undefined);
    await admin.connect();
    const after = await store.head();
    const prefix = newStream();
    const signal = AbortSignal.timeout(30_000);
    const reading = (async () => {
      const seen: RecordedEvent[] = [];
      for await (const { events } of store.subscribeAll({ after, signal, maxBatch: 50 })) {
        seen.push(...events);
        if (seen.length >= 10 * 60) break;
      }
      return seen;
    })();
    const endAll = () =>
      admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1', ['loqey-events-%']);
    let through = 0;
    await Promise.all(
      Array.from({ length: 10 }, async (_, w) => {
        for (let n = 0; n < 60; n++) {
          const result = await store.append(`${prefix}-${w}`, n === 0 ? 'no_stream' : BigInt(n - 1), [event()], { timeoutMs: 20_000 });
          expect(result.revision).toBe(BigInt(n));
          if (++through % 25 === 0) await endAll(); // in the middle of the other writers' appends
        }
      }),
    );
    await admin.end();
    const log = await eventually(() => all(store.readAll(after === undefined ? {} : { after })));
    expect(log).toHaveLength(600);
    expect((await reading).map((each) => each.eventId)).toEqual(log.map((each) => each.eventId));
  });

  it('tells subscribers of another process also when the hint is lost', async () => {
    const other = createStore(url, { pollMs: 20 });
    await other.start();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const stream = newStream();
    let appended = false;
    for await (const { events, live } of other.subscribeAll({ after: await store.head(), signal: AbortSignal.timeout(20_000) })) {
      if (events.some((each) => each.stream === stream)) break;
      if (!live || appended) continue;
      appended = true;
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loqey-events-listen'");
      await store.append(stream, 'no_stream', [event()]);
    }
    expect(appended).toBe(true);
    await admin.end();
    await other.stop();
  });

  it('that takes itself for the only writer listens to nobody, and finds by looking what another one appends', async () => {
    const alone = createStore(url, { soleWriter: true, pollMs: 20 });
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const listening = async () => (await admin.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'loqey-events-listen' AND datname = current_database()")).rowCount;
    const before = await eventually(async () => ((await listening()) === 1 ? 1 : Promise.reject(new Error('The other store does not listen'))));
    await alone.start();
    const stream = newStream();
    let appended = false;
    for await (const { events, live } of alone.subscribeAll({ after: await store.head(), signal: AbortSignal.timeout(20_000) })) {
      if (events.some((each) => each.stream === stream)) break;
      if (!live || appended) continue;
      appended = true;
      await store.append(stream, 'no_stream', [event()]);
    }
    expect(appended).toBe(true);
    expect(await listening()).toBe(before);
    await admin.end();
    await alone.stop();
  });

  it('refuses what is beyond its queue, at once', async () => {
    const { proxy, url: proxied } = await proxyTo(url);
    const small = createStore(proxied, { maxWaitingAppends: 5 });
    await small.start();
    proxy.stall();
    const outcomes = Promise.allSettled(Array.from({ length: 20 }, () => small.append(newStream(), 'no_stream', [event()])));
    const sixth = await failure(small.append(newStream(), 'no_stream', [event()]));
    expect(sixth).toBeInstanceOf(EventStoreUnavailable);
    proxy.pass();
    expect((await outcomes).filter((each) => each.status === 'fulfilled')).toHaveLength(5);
    await small.stop();
    await proxy.close();
  });

  it('lets an append that the server cannot take fail alone', async () => {
    let deep: object = {};
    for (let depth = 0; depth < 20_000; depth++) deep = { deep };
    const outcomes = await Promise.allSettled([
      store.append(newStream(), 'no_stream', [event()]),
      store.append(newStream(), 'no_stream', [event({ deep: { ...deep } })]),
      store.append(newStream(), 'no_stream', [event(), event()]),
    ]);
    expect(outcomes.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('lets an urgent append pass a long queue of others', async () => {
    let answered = 0;
    const others = Array.from({ length: 3_000 }, () => store.append(newStream(), 'no_stream', [event()]).then(() => answered++));
    await store.append(newStream(), 'no_stream', [event()], { lane: 'urgent' });
    expect(answered).toBeLessThan(3_000);
    await Promise.all(others);
  });

  it('gives up at its stop on what nobody answers', async () => {
    const { proxy, url: proxied } = await proxyTo(url);
    const short = createStore(proxied, { drainMs: 100 });
    await short.start();
    proxy.stall();
    const outcome = failure(short.append(newStream(), 'no_stream', [event()]));
    await Promise.resolve();
    await short.stop();
    expect(await outcome).toMatchObject({ name: 'AppendOutcomeUnknown' });
    await proxy.close();
  });
});
