import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { isTransient, type Database } from '../../../src/platform/postgres/db.ts';
import { createQuickReads, type QuickReads } from '../../../src/platform/postgres/quick-reads.ts';
import { createReader } from '../../../src/projections/schemas.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';

let server: TestPostgres;
let db: Database;
let proxy: TcpProxy;
let reads: QuickReads;

beforeAll(async () => {
  server = await startPostgres();
  db = server.connect(await server.migratedDatabase(), { max: 4 });
  const { hostname, port, pathname } = new URL(db.url);
  proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const through = new URL(db.url);
  through.search = ''; // by TCP, wherever the server's socket is
  through.host = `127.0.0.1:${proxy.port}`;
  through.pathname = pathname;
  proxied = through.href;
});
afterAll(async () => {
  await proxy?.close();
  await server?.stop();
});

let proxied = '';
beforeEach(async () => {
  reads = createQuickReads({ url: proxied, applicationName: 'loqey-quick-test', logger: silentLogger, metrics: new Metrics() });
  await reads.start();
});
afterEach(async () => {
  proxy.pass();
  await reads.stop();
});

/** As taken by a lane. */
const taken = <T>(answer: Promise<T> | undefined): Promise<T> => answer ?? Promise.reject(new Error('Not taken'));
const number = (n: number) => reads.query<{ n: number }>({ name: 'number', text: 'SELECT $1::integer AS n', values: [n] });
const slow = (seconds: number) => reads.query({ text: 'SELECT pg_sleep($1)', values: [seconds] });

describe('quick reads', () => {
  it('asked at once share two connections, and each gets its own answer', async () => {
    const asked = Array.from({ length: 100 }, (_, n) => taken(number(n)).then(({ rows }) => rows[0]?.n));
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    const { rows } = await db.pool.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'loqey-quick-test'`);
    expect(rows).toHaveLength(2);
  });

  it('are no business of one that fails', async () => {
    const asked = [number(1), number(2), reads.query({ text: 'SELECT 1 / 0' }), reads.query({ text: 'SELECT nonsense' }), number(3), number(4)].map((each) => taken<unknown>(each));
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled', 'fulfilled']);
    expect((await number(5))?.rows).toEqual([{ n: 5 }]);
  });

  it('go elsewhere when so many are under way, or while a slow one is in front of a lane', async () => {
    const held = [slow(0.3), slow(0.3)].map((each) => taken<unknown>(each));
    const waiting = Array.from({ length: 126 }, (_, n) => taken(number(n)));
    expect(number(0)).toBeUndefined();
    await Promise.all([...held, ...waiting]);
    expect((await number(7))?.rows).toEqual([{ n: 7 }]);
  });

  it('that were under way fail when the connection breaks, and go on once it is back', async () => {
    const lost = slow(30);
    await number(0);
    proxy.refuse();
    const error = await lost?.catch((reason: unknown) => reason);
    expect(isTransient(error)).toBe(true);
    await until('nothing is taken', () => number(1)?.then(() => false, () => false) ?? true);
    proxy.pass();
    await until('a new connection', () => number(2)?.catch(() => undefined));
  });

  it('are finished before a stop', async () => {
    const last = [slow(0.1), number(1), number(2)].map((each) => taken<unknown>(each));
    await reads.stop();
    expect((await Promise.allSettled(last)).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    expect(number(3)).toBeUndefined();
    await reads.stop();
  });

  it('of a reader are asked of the pool when their connection broke under them', async () => {
    const reader = createReader(db, reads);
    const waits = { name: 'waits', quick: true, text: () => 'SELECT pg_sleep(0.5)::text AS slept' };
    const asked = reader.all(waits, []);
    await until('it runs', async () => (await db.pool.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'loqey-quick-test' AND state = 'active'`)).rows[0]);
    proxy.cut();
    expect(await asked).toEqual([{ slept: '' }]);
  });
});
