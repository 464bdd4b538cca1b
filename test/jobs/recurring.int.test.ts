import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CommandOutcome } from '../../src/commands/port.ts';
import type { DomainEvent } from '../../src/domain/events.ts';
import { createJobBoard } from '../../src/jobs/board.ts';
import { jobNames, queues, type JobName } from '../../src/jobs/catalogue.ts';
import { cleanup } from '../../src/jobs/cleanup.ts';
import { linksSweep } from '../../src/jobs/links-sweep.ts';
import { failingJobs, runJobs, type JobRun } from '../../src/jobs/runner.ts';
import { instant, systemClock } from '../../src/platform/clock.ts';
import { newId } from '../../src/platform/ids.ts';
import { createPgBossQueue } from '../../src/platform/jobs/pg-boss.ts';
import type { JobHandler, JobQueue } from '../../src/platform/jobs/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createOverdueLinks } from '../../src/projections/links/overdue.ts';
import { asSystem } from '../support/backend.ts';
import { personal, startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

let server: TestPostgres;
let side: ReadSide;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
  side = await startReadSide(server);
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await side.db.pool.query('DELETE FROM work.jobs');
});
afterAll(async () => {
  await side.stop();
  await server.stop();
});

const never = new AbortController().signal;
const nothing: JobRun = async () => ({});
const all = (over: Partial<Record<JobName, JobRun>> = {}): Record<JobName, JobRun> => ({ ...(Object.fromEntries(jobNames.map((name) => [name, nothing])) as Record<JobName, JobRun>), ...over });

async function worker(runs: Partial<Record<JobName, JobRun>>): Promise<{ readonly queue: JobQueue; readonly metrics: Metrics; readonly board: ReturnType<typeof createJobBoard> }> {
  const metrics = new Metrics();
  // Without their times: a test asks for each run.
  const specs = queues.map(({ cron: _times, ...spec }) => ({ ...spec, retrySeconds: 1 }));
  const queue = createPgBossQueue({ db: side.db, queues: specs, logger: silentLogger, works: true, intervals: { poll: 0.5, schedule: 30, supervise: 30 } });
  runJobs({ queue, db: side.db, runs: all(runs), clock: systemClock, logger: silentLogger, metrics });
  await queue.start();
  stops.push(() => queue.stop());
  return { queue, metrics, board: createJobBoard({ queue, db: side.db, store: side.store, sealer: side.vault, clock: systemClock }) };
}

const viewOf = async (board: ReturnType<typeof createJobBoard>, name: JobName) => (await board.list()).find((job) => job.name === name);

describe('a job', () => {
  it('is seen with its last run, its result and its next time', async () => {
    const { board, metrics } = await worker({ 'links.sweep': async () => ({ success: true, expired_count: 3 }) });
    expect(await viewOf(board, 'links.sweep')).toMatchObject({ state: 'idle', lastRun: null, result: null, runs: 0, schedule: '0 * * * *' });
    expect(await board.run('links.sweep', asSystem())).toEqual({ started: true });
    const view = await until('done', async () => {
      const found = await viewOf(board, 'links.sweep');
      return found?.runs === 1 && found.state === 'idle' ? found : undefined;
    });
    expect(view).toMatchObject({ result: { success: true, expired_count: 3 }, failures: 0, failuresInARow: 0, lastRun: { error: null } });
    expect(Date.parse(view.nextRun ?? '')).toBeGreaterThan(Date.now());
    expect(view.nextRun).toMatch(/:00:00\.000Z$/);
    expect(await metrics.registry.metrics()).toContain('loqey_job_runs_total{job="links.sweep",outcome="done"} 1');
  });

  it('that is asked for is in the log with who asked, and a name that is none is not', async () => {
    const { board } = await worker({});
    const context = { ...asSystem(), actor: { kind: 'admin', id: newId() }, source: 'web_dashboard', origin: { ip: '192.0.2.1' } } as const;
    await board.run('cleanup', context);
    expect(await board.run('no.such', context)).toBeUndefined();
    const events = [];
    for await (const event of side.store.readStream('system-log', { direction: 'backwards', limit: 1 })) events.push(event);
    expect(events).toMatchObject([{ type: 'JobRequested', data: { job: 'cleanup' }, metadata: { actor: context.actor, source: 'web_dashboard', origin: { sub: `user:${context.actor.id}` } } }]);
  });

  it('that fails is tried again, then seen as failed, and no other waits for it; its next success clears that', async () => {
    let broken = true;
    let tries = 0;
    const { board } = await worker({
      async cleanup() {
        tries++;
        if (broken) throw new Error('the disk is full');
        return { removed: 1 };
      },
    });
    await board.run('cleanup', asSystem());
    await until('the first failure', async () => (await viewOf(board, 'cleanup'))?.state === 'retrying');
    await board.run('devices.health', asSystem());
    await until('the other', async () => (await viewOf(board, 'devices.health'))?.runs === 1);
    await until('given up', async () => (await viewOf(board, 'cleanup'))?.state === 'failed', 40_000);
    expect(tries).toBe(4);
    expect(await viewOf(board, 'cleanup')).toMatchObject({ failuresInARow: 4, givenUp: 1, lastRun: { error: 'the disk is full' } });
    expect(await failingJobs(side.db)).toEqual(['cleanup: the disk is full']);
    broken = false;
    await board.run('cleanup', asSystem());
    await until('well again', async () => (await viewOf(board, 'cleanup'))?.state === 'idle');
    expect(await failingJobs(side.db)).toEqual([]);
  }, 60_000);

  it('that waits or runs already is not put in again', async () => {
    let end: (() => void) | undefined;
    const { board } = await worker({ cleanup: () => new Promise((resolve) => (end = () => resolve({}))) });
    expect(await board.run('cleanup', asSystem())).toEqual({ started: true });
    await until('running', async () => (await viewOf(board, 'cleanup'))?.state === 'running' && end);
    expect(await board.run('cleanup', asSystem())).toEqual({ started: false });
    end?.();
  });
});

describe('the sweep of links', () => {
  const link = (assignmentId: string, expiresAt: string): Extract<DomainEvent, { type: 'LinkCreated' }> => {
    const linkId = newId();
    return { type: 'LinkCreated', data: { linkId, assignmentId, tokenHash: linkId, token: personal('user:x', 'x'.repeat(32)), expiresAt, maxUses: 3, requireIdentity: false } };
  };

  it('finds what its deadline left behind: over, not ended otherwise, not void', async () => {
    const [deviceId, assignmentId, userId] = [newId(), newId(), newId()];
    const stream = `device-${deviceId}`;
    const registered = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: personal(`device:${deviceId}`, '1'), pinTag: 't', pinExpiresAt: '2037-01-01T00:00:00.000Z' } as const;
    await side.happened(stream, [{ type: 'DeviceRegistered', data: registered }, { type: 'DeviceAssigned', data: { assignmentId, userId, name: personal(`user:${userId}`, 'Door') } }]);
    const past = '2026-11-21T11:00:00.000Z';
    const [gone, over, revoked, recorded, young] = [link(assignmentId, past), link(assignmentId, past), link(assignmentId, past), link(assignmentId, past), link(assignmentId, '2036-01-01T00:00:00.000Z')];
    await side.happened(stream, [gone, { type: 'OwnerSuspended', data: { assignmentId, userId } }, { type: 'OwnerActivated', data: { assignmentId, userId } }]);
    await side.happened(stream, [over, revoked, recorded, young, { type: 'LinkRevoked', data: { linkId: revoked.data.linkId } }, { type: 'LinkExpired', data: { linkId: recorded.data.linkId } }]);
    const links = createOverdueLinks(side.reader);
    expect(await links.overdue('2026-11-21T12:00:00.000Z', 10)).toEqual([{ linkId: over.data.linkId, deviceId, expiresAt: past }]);
    expect(await links.overdue('2026-11-21T10:00:00.000Z', 10)).toEqual([]);
    expect(await links.overdue('2026-11-21T12:00:00.000Z', 10, over.data.linkId)).toEqual([]);
  });

  it('records each, tells how many, and lets none hold up the others', async () => {
    const rows = Array.from({ length: 1_203 }, (_, n) => ({ linkId: String(n).padStart(6, '0'), deviceId: newId(), expiresAt: instant(0) }));
    const asked: string[] = [];
    const outcome = (n: number): CommandOutcome =>
      n % 100 === 7
        ? { kind: 'refused', refusal: { code: 'link_not_found' }, position: undefined }
        : ({ kind: 'accepted', events: n % 100 === 8 ? [] : [{ type: 'LinkExpired' }], revision: 0n, position: 0n, repeated: false } as unknown as CommandOutcome);
    const run = linksSweep({
      links: { overdue: async (_now, limit, after) => rows.filter(({ linkId }) => after === undefined || linkId > after).slice(0, limit) },
      bus: { execute: async (command) => outcome(asked.push(JSON.stringify(command)) - 1) },
      clock: systemClock,
    });
    expect(await run(never)).toEqual({ success: true, expired_count: 1_203 - 24, refused_count: 12 });
    expect(asked).toHaveLength(1_203);
  });

  it('with nothing to do says so', async () => {
    const bus = { execute: async (): Promise<CommandOutcome> => Promise.reject(new Error('nothing to ask')) };
    expect(await linksSweep({ links: { overdue: async () => [] }, bus, clock: systemClock })(never)).toEqual({ success: true, expired_count: 0 });
  });
});

describe('the clean-up', () => {
  it('goes on after a task that fails, and says so at the end', async () => {
    const done: string[] = [];
    const run = cleanup(
      [
        { name: 'idempotency keys', run: async () => done.push('a') },
        { name: 'broken', run: async () => Promise.reject(new Error('no')) },
        { name: 'couriers', run: async () => ({ keys: done.push('b') }) },
      ],
      silentLogger,
    );
    await expect(run(never)).rejects.toThrow('broken: no');
    expect(done).toEqual(['a', 'b']);
    expect(await cleanup([{ name: 'idempotency keys', run: async () => 4 }, { name: 'couriers', run: async () => ({ keys: 2 }) }, { name: 'telemetry', run: async () => undefined }], silentLogger)(never)).toEqual({
      idempotency_keys: 4,
      couriers: 2,
      telemetry: true,
    });
  });
});

it('every job has a run, its own times and a sentence', () => {
  const handled: string[] = [];
  const queue = { work: (name: string, _handler: JobHandler) => void handled.push(name) } as JobQueue;
  runJobs({ queue, db: side.db, runs: all(), clock: systemClock, logger: silentLogger, metrics: new Metrics() });
  expect(handled).toEqual(jobNames);
  expect(new Set(queues.flatMap(({ cron }) => cron ?? [])).size).toBe(jobNames.length);
});
