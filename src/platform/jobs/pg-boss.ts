import { PgBoss, type JobResult, type JobWithMetadata } from 'pg-boss';
import { component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Database } from '../postgres/db.ts';
import type { JobData, JobHandler, JobQueue, QueueCounts, QueueSpec } from './port.ts';

export interface PgBossOptions {
  readonly db: Database;
  readonly queues: readonly QueueSpec[];
  readonly logger: Logger;
  /** True: this process runs jobs, keeps the schedules and cleans up. False: it only sends and counts. */
  readonly works: boolean;
  /** Seconds. Tests shorten them; otherwise nothing here is looked at more often than it needs to be. */
  readonly intervals?: { readonly poll: number; readonly schedule: number; readonly supervise: number };
  /** Milliseconds that a stop waits for runs under way; what is cut off is repeated. Default 5,000. */
  readonly drainMs?: number;
}

const SCHEMA = 'pgboss';
/** A new run wakes a worker at once; these are for what becomes due later. Schedules have minutes. */
const INTERVALS = { poll: 30, schedule: 30, supervise: 60 };
/** A process that has not been heard of for so long is dead: its runs are given to others by the next upkeep. */
const HEARTBEAT_SECONDS = 30;
/** What is done is forgotten after an hour, what failed for good after two weeks. */
const KEEP_DONE_SECONDS = 3_600;
const KEEP_WAITING_SECONDS = 14 * 86_400;

/** Runs in PostgreSQL through pg-boss, with tables and migrations of its own in the schema `pgboss`. */
export function createPgBossQueue(options: PgBossOptions): JobQueue {
  const { db, queues, works, intervals = INTERVALS, drainMs = 5_000 } = options;
  const logger = options.logger.child({ component: 'jobs' });
  const handlers = new Map<string, JobHandler>();
  const boss = new PgBoss({
    connectionString: db.url,
    application_name: 'loqey-jobs',
    options: '-c timezone=UTC -c statement_timeout=60000',
    schema: SCHEMA,
    max: works ? 3 : 1,
    connectionTimeoutMillis: 3_000,
    useListenNotify: works,
    notifyHeartbeatIntervalMs: 30_000,
    supervise: works,
    schedule: works,
    cronMonitorIntervalSeconds: intervals.schedule,
    cronWorkerIntervalSeconds: intervals.schedule,
    superviseIntervalSeconds: intervals.supervise,
    monitorIntervalSeconds: intervals.supervise,
    queueCacheIntervalSeconds: 600,
    // Not used here: dependencies between jobs, and migrations in the background.
    flowIntervalSeconds: 3_600,
    bamIntervalSeconds: 3_600,
  });
  // Without a listener an error of its upkeep would end the process.
  boss.on('error', (error) => logger.warn({ err: error }, 'The job queue had a problem; it goes on'));
  boss.on('warning', ({ message, data }) => logger.warn({ data }, message));

  async function define({ name, exclusive, retries, retrySeconds, limitSeconds }: QueueSpec): Promise<void> {
    const settings = {
      retryLimit: retries,
      retryDelay: retrySeconds,
      retryBackoff: true,
      expireInSeconds: limitSeconds,
      heartbeatSeconds: HEARTBEAT_SECONDS,
      retentionSeconds: KEEP_WAITING_SECONDS,
      deleteAfterSeconds: KEEP_DONE_SECONDS,
      notify: true,
    };
    await boss.createQueue(name, { ...settings, policy: exclusive ? 'exclusive' : 'standard' });
    await boss.updateQueue(name, settings); // one that an earlier version made
  }

  async function keepSchedules(): Promise<void> {
    const wanted = new Map(queues.flatMap(({ name, cron }) => (cron === undefined ? [] : [[name, cron]])));
    for (const { name } of await boss.getSchedules()) if (!wanted.has(name)) await boss.unschedule(name);
    // Missed while no process ran: once, not once for each time.
    await Promise.all([...wanted].map(([name, cron]) => boss.schedule(name, cron, null, { tz: 'UTC', missed: 'once' })));
  }

  async function take({ name, exclusive, sideBySide = 2 }: QueueSpec, handler: JobHandler): Promise<void> {
    const workOptions = {
      includeMetadata: true,
      perJobResults: true,
      // One notification may stand for many runs: after a full batch the next is fetched at once. A batch of one is never
      // taken for full, so two is the least; an exclusive queue has no second run anyway.
      batchSize: exclusive ? 1 : Math.max(2, sideBySide),
      burstWhenBatchFull: !exclusive,
      pollingIntervalSeconds: intervals.poll,
      notifyPollingIntervalSeconds: intervals.poll,
    } as const;
    await boss.work<JobData | null, JobResult[], typeof workOptions>(name, workOptions, (jobs: JobWithMetadata<JobData | null>[]) =>
      Promise.all(
        jobs.map(async ({ id, data, retryCount, retryLimit, signal }): Promise<JobResult> => {
          try {
            await handler({ id, data: data ?? {}, attempt: retryCount, isLast: retryCount >= retryLimit, signal });
            return { id, status: 'completed' };
          } catch (error) {
            return { id, status: 'failed', output: { message: (error as Error).message } };
          }
        }),
      ),
    );
  }

  const lifecycle = component(
    async () => {
      await boss.start();
      await Promise.all(queues.map(define));
      if (!works) return;
      await keepSchedules();
      for (const queue of queues) {
        const handler = handlers.get(queue.name);
        if (handler !== undefined) await take(queue, handler);
      }
    },
    async () => boss.stop({ graceful: true, timeout: drainMs }),
  );

  return {
    ...lifecycle,
    async send(queue, { id, data = {}, after } = {}) {
      const sent = await boss.send(queue, data, { ...(id === undefined ? {} : { id }), ...(after === undefined ? {} : { startAfter: Math.ceil(after) }) });
      return sent !== null;
    },
    work: (queue, handler) => void handlers.set(queue, handler),
    next(cron, from) {
      const [next] = boss.previewSchedule(cron, { tz: 'UTC', from, count: 1 });
      if (next === undefined) throw new Error(`${cron} never comes`);
      return next;
    },
    async counts() {
      // The library's own figures are of its last upkeep; these few rows are counted as they are.
      const { rows } = await db.pool.query<{ name: string } & QueueCounts>(
        `SELECT name, count(*) FILTER (WHERE state IN ('created', 'retry'))::integer AS waiting,
                count(*) FILTER (WHERE state = 'active')::integer AS active, count(*) FILTER (WHERE state = 'failed')::integer AS failed
           FROM ${SCHEMA}.job GROUP BY name`,
      );
      return new Map(rows.map(({ name, ...counts }) => [name, counts]));
    },
    supervise: () => boss.supervise(),
  };
}
