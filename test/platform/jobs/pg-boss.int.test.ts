import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../src/platform/ids.ts';
import { createPgBossQueue } from '../../../src/platform/jobs/pg-boss.ts';
import type { JobHandler, JobQueue, QueueSpec, TakenJob } from '../../../src/platform/jobs/port.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { Database } from '../../../src/platform/postgres/db.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { until } from '../../support/until.ts';

let server: TestPostgres;
let db: Database;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(() => server.stop());

const spec = (over: Partial<QueueSpec> = {}): QueueSpec => ({ name: 'work', exclusive: false, retries: 2, retrySeconds: 1, limitSeconds: 60, ...over });
const quick = { poll: 1, schedule: 1, supervise: 1 };

async function process(handlers: Readonly<Record<string, JobHandler>>, queues: readonly QueueSpec[] = [spec()], works = true): Promise<JobQueue> {
  const queue = createPgBossQueue({ db, queues, logger: silentLogger, works, intervals: quick });
  for (const [name, handler] of Object.entries(handlers)) queue.work(name, handler);
  await queue.start();
  stops.push(() => queue.stop());
  return queue;
}
const fresh = async () => {
  db = server.connect(await server.migratedDatabase());
};
const stateOf = async (id: string) => (await db.pool.query<{ state: string }>('SELECT state FROM pgboss.job WHERE id = $1', [id])).rows[0]?.state;

describe('runs', () => {
  beforeAll(fresh);
  afterEach(() => db.pool.query('DELETE FROM pgboss.job'));

  it('go to one of several processes, once each', async () => {
    const done: string[] = [];
    const handler = async ({ id }: TakenJob) => void done.push(id);
    const first = await process({ work: handler });
    await process({ work: handler });
    await process({ work: handler });
    const ids = Array.from({ length: 30 }, () => newId());
    await Promise.all(ids.map((id) => first.send('work', { id })));
    await until('all', () => done.length >= ids.length);
    expect([...done].sort()).toEqual([...ids].sort());
  });

  it('of one id are put in once, also after they were done', async () => {
    let runs = 0;
    const queue = await process({ work: async () => void runs++ });
    const id = newId();
    expect([await queue.send('work', { id }), await queue.send('work', { id })]).toEqual([true, false]);
    await until('done', async () => (await stateOf(id)) === 'completed');
    expect(await queue.send('work', { id })).toBe(false);
    expect(runs).toBe(1);
  });

  it('that fail come again, later each time, and are kept once they are given up', async () => {
    const tries: { attempt: number; isLast: boolean }[] = [];
    const id = newId();
    const queue = await process({
      async work({ attempt, isLast }) {
        tries.push({ attempt, isLast });
        throw new Error('no');
      },
    });
    await queue.send('work', { id });
    await until('given up', async () => (await stateOf(id)) === 'failed', 30_000);
    expect(tries).toEqual([
      { attempt: 0, isLast: false },
      { attempt: 1, isLast: false },
      { attempt: 2, isLast: true },
    ]);
    expect((await queue.counts()).get('work')).toEqual({ waiting: 0, active: 0, failed: 1 });
  });

  it('of an exclusive queue: one waits or is under way, in all processes together', async () => {
    let under = 0;
    let most = 0;
    let end: (() => void) | undefined;
    const handler = async () => {
      most = Math.max(most, ++under);
      await new Promise<void>((resolve) => (end = resolve));
      under--;
    };
    const queues = [spec({ name: 'alone', exclusive: true })];
    const first = await process({ alone: handler }, queues);
    const second = await process({ alone: handler }, queues);
    expect(await first.send('alone')).toBe(true);
    await until('under way', () => under === 1);
    expect([await first.send('alone'), await second.send('alone')]).toEqual([false, false]);
    end?.();
    await until('free again', () => second.send('alone'));
    await until('again', () => under === 1);
    end?.();
    expect(most).toBe(1);
  });

  it('one that fails for ever holds up no other', async () => {
    const done: string[] = [];
    const queue = await process({
      async work({ id, data }) {
        if (data['bad'] === true) throw new Error('for ever');
        done.push(id);
      },
    });
    for (let n = 0; n < 20; n++) await queue.send('work', { data: { bad: true } });
    const id = newId();
    await queue.send('work', { id });
    await until('the good one', () => done.includes(id));
  });

  it('of a process that died are given to another', async () => {
    const id = newId();
    const sender = await process({}, [spec()], false);
    await sender.send('work', { id });
    // As a process leaves it that was killed in the middle of it, an hour ago.
    await db.pool.query(
      `UPDATE pgboss.job SET state = 'active', started_on = now() - interval '1 hour', heartbeat_on = now() - interval '1 hour' WHERE id = $1`,
      [id],
    );
    const done: string[] = [];
    const queue = await process({ work: async (job) => void done.push(job.id) });
    await until('taken over', async () => {
      await queue.supervise();
      return done.includes(id);
    });
    expect(done).toEqual([id]);
  });

  it('under way are waited for by a stop', async () => {
    const id = newId();
    let end: (() => void) | undefined;
    const queue = await process({ work: () => new Promise<void>((resolve) => (end = resolve)) });
    await queue.send('work', { id });
    await until('under way', () => end);
    const stopped = queue.stop();
    expect(await stateOf(id)).toBe('active');
    end?.();
    await stopped;
    expect(await stateOf(id)).toBe('completed');
  });

  it('go on when the database has thrown every connection out', async () => {
    const done: string[] = [];
    const queue = await process({ work: async ({ id }) => void done.push(id) });
    const { rows } = await db.pool.query<{ ended: boolean }>(
      `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'loqey-jobs'`,
    );
    expect(rows.length).toBeGreaterThan(0);
    const id = newId();
    await until('it is put in', async () => queue.send('work', { id }).catch(() => false));
    await until('it runs', () => done.includes(id));
  });

  it('wait for their time', async () => {
    const done: string[] = [];
    const [soon, late] = [newId(), newId()];
    const queue = await process({ work: async ({ id }) => void done.push(id) });
    await queue.send('work', { id: late, after: 3_600 });
    await queue.send('work', { id: soon, after: 1 });
    await until('the near one', () => done.length > 0);
    expect(done).toEqual([soon]);
    expect((await queue.counts()).get('work')).toMatchObject({ waiting: 1, failed: 0 });
  });
});

describe('schedules', () => {
  beforeAll(fresh);

  it('are kept by any number of processes, once for each time', async () => {
    const times: number[] = [];
    const queues = [spec({ name: 'often', cron: '* * * * * *', exclusive: true })];
    const handler = async () => void times.push(Math.floor(Date.now() / 1_000));
    await process({ often: handler }, queues);
    await process({ often: handler }, queues);
    await until('it runs by itself', () => times.length >= 1, 90_000);
  }, 120_000);

  it('that are no longer wanted are forgotten', async () => {
    await process({}, [spec({ name: 'other', cron: '0 * * * *' })]);
    const { rows } = await db.pool.query<{ name: string }>('SELECT name FROM pgboss.schedule');
    expect(rows.map(({ name }) => name)).toEqual(['other']);
  });

  it('tell their next time', async () => {
    const queue = await process({}, [], false);
    expect(queue.next('*/5 * * * *', new Date('2026-11-21T10:02:00Z')).toISOString()).toBe('2026-11-21T10:05:00.000Z');
    expect(queue.next('20 * * * *', new Date('2026-11-21T10:20:00Z')).toISOString()).toBe('2026-11-21T11:20:00.000Z');
  });
});
