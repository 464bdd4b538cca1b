import type { Clock } from '../platform/clock.ts';
import type { JobQueue, TakenJob } from '../platform/jobs/port.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Database } from '../platform/postgres/db.ts';
import { jobNames, type JobName } from './catalogue.ts';

/** What a run found and did, in figures. */
export type JobResult = Readonly<Record<string, number | boolean | string>>;

/** Idempotent: a run that died in the middle is repeated from its beginning. */
export type JobRun = (signal: AbortSignal) => Promise<JobResult>;

export interface JobRunnerDeps {
  readonly queue: JobQueue;
  readonly db: Database;
  readonly runs: Readonly<Record<JobName, JobRun>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Every try of a run until it is given up. */
const TRIES = 4;

/** Carries out the recurring jobs of this process and writes down how each went. Before the queue starts. */
export function runJobs({ queue, db, runs, clock, logger: parent, metrics }: JobRunnerDeps): void {
  const logger = parent.child({ component: 'jobs' });
  const total = metrics.counter('loqey_job_runs_total', 'Runs of jobs', ['job', 'outcome']);
  const took = metrics.histogram('loqey_job_duration_seconds', 'From the beginning of a run to its end', ['job']);
  const succeeded = metrics.gauge('loqey_job_last_success_timestamp_seconds', 'When a job last succeeded in this process', ['job']);
  const failing = metrics.gauge('loqey_job_failures_in_a_row', 'Failed tries since the last success', ['job']);

  async function run(name: JobName, { attempt, isLast, signal }: TakenJob): Promise<void> {
    const since = clock.monotonic();
    await record(BEGIN, [name]);
    let result: JobResult;
    try {
      result = await runs[name](signal);
    } catch (error) {
      const ms = Math.round(clock.monotonic() - since);
      total.inc({ job: name, outcome: 'failed' });
      const [row] = await record<{ failures_in_a_row: number }>(FAIL, [name, ms, (error as Error).message.slice(0, 1_000)]);
      failing.set({ job: name }, row?.failures_in_a_row ?? 1);
      logger.warn({ err: error, job: name, attempt }, isLast ? 'A job failed for good; its next time is as planned' : 'A job failed; it is tried again');
      throw error;
    }
    const ms = Math.round(clock.monotonic() - since);
    total.inc({ job: name, outcome: 'done' });
    took.observe({ job: name }, ms / 1_000);
    succeeded.set({ job: name }, clock.now() / 1_000);
    failing.set({ job: name }, 0);
    await record(SUCCEED, [name, ms, JSON.stringify(result)]);
    logger.debug({ job: name, result, ms }, 'A job is done');
  }

  async function record<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    return (await db.pool.query<Row>(text, [...values])).rows;
  }

  for (const name of jobNames) queue.work(name, (job) => run(name, job));
}

const BEGIN = 'INSERT INTO work.jobs (name, started_at) VALUES ($1, now()) ON CONFLICT (name) DO UPDATE SET started_at = now()';
const SUCCEED = `
  UPDATE work.jobs SET finished_at = now(), succeeded_at = now(), duration_ms = $2, result = $3, error = NULL, runs = runs + 1, failures_in_a_row = 0
   WHERE name = $1`;
const FAIL = `
  UPDATE work.jobs SET finished_at = now(), duration_ms = $2, error = $3, runs = runs + 1, failures = failures + 1, failures_in_a_row = failures_in_a_row + 1
   WHERE name = $1 RETURNING failures_in_a_row`;

/** Jobs whose runs fail with every try. @returns `name: error` */
export async function failingJobs(db: Database): Promise<readonly string[]> {
  const { rows } = await db.pool.query<{ name: string; error: string | null }>(
    'SELECT name, error FROM work.jobs WHERE failures_in_a_row >= $1 AND name = ANY($2::text[]) ORDER BY name',
    [TRIES, jobNames],
  );
  return rows.map(({ name, error }) => `${name}: ${error ?? 'failed'}`);
}
