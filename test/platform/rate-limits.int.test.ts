import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createSharedRateLimiter, type SharedRateLimiter } from '../../src/platform/postgres/shared-rate-limits.ts';
import { inMemoryRateLimiter, type RateLimiter } from '../../src/platform/rate-limits.ts';
import { createUnknownLogins } from '../../src/commands/unknown-logins.ts';
import type { Database } from '../../src/platform/postgres/db.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

let postgres: TestPostgres;
let db: Database;
let now = Date.parse('2026-11-21T10:00:00.000Z');
const clock = { now: () => now, monotonic: () => performance.now() };
const keyOf = (text: string) => createHmac('sha256', 'key').update(text).digest().subarray(0, 16);
const made: SharedRateLimiter[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  db = postgres.connect(await postgres.migratedDatabase());
});
afterAll(async () => {
  for (const limiter of made) await limiter.stop();
  await postgres.stop();
});

/** As another process: its own memory, the same database. */
async function another(pool = db.pool, over: Partial<Parameters<typeof createSharedRateLimiter>[0]> = {}): Promise<SharedRateLimiter> {
  const limiter = createSharedRateLimiter({ pool, keyOf, clock, logger: silentLogger, metrics: new Metrics(), tellEveryMs: 5, ...over });
  await limiter.start();
  made.push(limiter);
  return limiter;
}

let sources = 0;
const source = () => `source-${sources++}`;

describe.each([
  ['in memory', async () => inMemoryRateLimiter(clock)],
  ['shared', () => another()],
] as const)('%s', (_name, make: () => Promise<RateLimiter>) => {
  test('so many in a window, which begins with the first; then anew', async () => {
    const limiter = await make();
    const who = source();
    for (const take of [async () => limiter.take('a', who, 2, 60), () => limiter.takeExactly('b', who, 2, 60)]) {
      expect(await take()).toEqual({ allowed: true, limit: 2, remaining: 1, resetSeconds: 60 });
      now += 10_000;
      expect(await take()).toEqual({ allowed: true, limit: 2, remaining: 0, resetSeconds: 50 });
      expect(await take()).toEqual({ allowed: false, limit: 2, remaining: 0, resetSeconds: 50 });
      now += 49_999;
      expect((await take()).allowed).toBe(false);
      now += 1;
      expect(await take()).toEqual({ allowed: true, limit: 2, remaining: 1, resetSeconds: 60 });
    }
  });

  test('buckets, sources and windows are counted apart; looking counts nothing', async () => {
    const limiter = await make();
    const who = source();
    expect((await limiter.takeExactly('a', who, 1, 60)).allowed).toBe(true);
    expect((await limiter.takeExactly('b', who, 1, 60)).allowed).toBe(true);
    expect((await limiter.takeExactly('a', `${who}'`, 1, 60)).allowed).toBe(true);
    expect((await limiter.takeExactly('a', who, 1, 3_600)).allowed).toBe(true);
    expect((await limiter.look('a', who, 1, 60)).allowed).toBe(false);
    for (let i = 0; i < 3; i++) expect((await limiter.look('c', who, 1, 60)).allowed).toBe(true);
  });

  test('a clock that was set back does not keep anybody out', async () => {
    const limiter = await make();
    const who = source();
    limiter.take('a', who, 1, 60);
    now -= 3_600_000;
    expect(limiter.take('a', who, 1, 60).allowed).toBe(true);
    now += 3_600_000;
  });
});

describe('over processes', () => {
  test('exact ones let through exactly the limit, however many ask at once', async () => {
    const limiters = await Promise.all([another(), another(), another()]);
    const who = source();
    const verdicts = await Promise.all(Array.from({ length: 60 }, (_, i) => limiters[i % 3]!.takeExactly('login', who, 5, 60)));
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(5);
  });

  test('the others hear of it, and never let through more than a limit each', async () => {
    const [one, two] = [await another(), await another()];
    const who = source();
    let through = 0;
    for (let i = 0; i < 100; i++) for (const limiter of [one, two]) if (limiter.take('x', who, 10, 60).allowed) through++;
    expect(through).toBe(20);
    const late = await another();
    await until('a new process to hear of it', () => !late.take('x', who, 25, 60).allowed);
  });

  test('what one process counts, the other knows soon', async () => {
    const [one, two] = [await another(), await another()];
    const who = source();
    for (let i = 0; i < 9; i++) one.take('x', who, 10, 60);
    await until('the nine to be known', async () => (await two.look('x', who, 10, 60)).remaining === 1);
    expect(two.take('x', who, 10, 60).allowed).toBe(true);
    await until('the other process to refuse', () => !two.take('x', who, 10, 60).allowed);
  });

  test('a window that begins as another process’s ends is a new one for all', async () => {
    const [one, two] = [await another(), await another()];
    const who = source();
    for (let i = 0; i < 10; i++) one.take('x', who, 10, 60);
    await until('the ten to be known', async () => !(await two.look('x', who, 10, 60)).allowed);
    now += 59_990;
    const late = await another();
    // Its own window begins before the other has ended, and is told after.
    late.take('x', who, 10, 60);
    now += 20;
    for (let i = 0; i < 3; i++) late.take('x', who, 10, 60);
    await until('the new ones to be known', async () => {
      const { remaining, resetSeconds } = await two.look('x', who, 10, 60);
      return remaining < 10 && remaining > 0 && resetSeconds > 50;
    });
    expect(two.take('x', who, 10, 60).allowed).toBe(true);
  });

  test('many sources at once in two processes never wait for each other in a circle', async () => {
    const [one, two] = [await another(), await another()];
    const names = Array.from({ length: 800 }, () => source());
    for (const name of names) one.take('many', name, 5, 60);
    for (const name of names.toReversed()) two.take('many', name, 5, 60);
    await until('all to be counted twice', async () => {
      const { rows } = await db.pool.query<{ n: string }>('SELECT count(*) AS n FROM work.rate_limits WHERE count = 2');
      return Number(rows[0]?.n) >= names.length;
    });
  });

  test('a restart does not hand out new allowances', async () => {
    const one = await another(db.pool, { tellEveryMs: 60_000 });
    const who = source();
    for (let i = 0; i < 10; i++) one.take('day', who, 10, 86_400);
    await one.stop();
    expect((await (await another()).look('day', who, 10, 86_400)).allowed).toBe(false);
  });

  test('without PostgreSQL each holds its own limits, tells when it is back, and exact ones fail', async () => {
    let down = true;
    const pool = { query: (...args: unknown[]) => (down ? Promise.reject(new Error('no connection')) : (db.pool.query as (...args: unknown[]) => unknown)(...args)) } as never;
    const one = await another(pool);
    const who = source();
    const verdicts = Array.from({ length: 20 }, () => one.take('x', who, 10, 60));
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(10);
    await expect(one.takeExactly('x', who, 10, 60)).rejects.toThrow('no connection');
    down = false;
    const two = await another();
    await until('what was counted to be told', async () => (await two.look('x', who, 10, 60)).remaining === 0);
  });

  test('nothing that is kept tells whose it is, and what is over is removed', async () => {
    const limiter = await another();
    await limiter.takeExactly('login', '203.0.113.99', 5, 60);
    const dump = await db.pool.query<{ row: string }>('SELECT known::text AS row FROM work.rate_limits AS known');
    expect(dump.rows.some(({ row }) => row.includes('203.0.113'))).toBe(false);
    now += 86_400_000 * 2;
    expect(await limiter.prune()).toBeGreaterThan(0);
    expect((await db.pool.query('SELECT FROM work.rate_limits')).rowCount).toBe(0);
  });
});

test('an address without an account counts its failed logins like an account, also when many come at once', async () => {
  const logins = [1, 2].map(() => createUnknownLogins({ pool: db.pool, keyOf, clock }));
  const refusals = await Promise.all(Array.from({ length: 12 }, (_, i) => logins[i % 2]!.refuse('nobody@example.com')));
  expect(refusals.filter(({ code }) => code === 'credentials_invalid')).toHaveLength(5);
  expect(refusals.filter(({ code }) => code === 'login_locked')).toHaveLength(7);
  expect(await logins[0]!.refuse('somebody@example.com')).toEqual({ code: 'credentials_invalid' });
  now += 15 * 60_000;
  expect(await logins[1]!.refuse('nobody@example.com')).toEqual({ code: 'credentials_invalid' });
  expect(await logins[0]!.prune()).toBe(0);
});
