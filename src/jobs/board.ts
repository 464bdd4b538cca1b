import type { CommandContext } from '../commands/port.ts';
import { userSubject } from '../domain/codec.ts';
import { systemLogStream } from '../domain/system/stream.ts';
import type { Instant } from '../domain/kernel.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { appendAction } from '../platform/event-store/actions.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import type { JobQueue } from '../platform/jobs/port.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import { DIGEST_QUEUE, isJobName, jobNames, MAIL_QUEUE, recurring, type JobName } from './catalogue.ts';
import type { JobResult } from './runner.ts';

/** One job as administrators see it. */
export interface JobView {
  readonly name: string;
  readonly summary: string;
  /** Five fields, UTC; null: it runs when there is something to do. */
  readonly schedule: string | null;
  readonly state: 'idle' | 'waiting' | 'running' | 'retrying' | 'failed';
  readonly nextRun: Instant | null;
  readonly lastRun: {
    readonly startedAt: Instant;
    readonly finishedAt: Instant | null;
    readonly durationMs: number | null;
    readonly error: string | null;
  } | null;
  /** Of the last run that succeeded. */
  readonly result: JobResult | null;
  readonly succeededAt: Instant | null;
  readonly runs: number;
  readonly failures: number;
  readonly failuresInARow: number;
  /** Runs that wait, and runs that were given up and are kept to be looked at. */
  readonly waiting: number;
  readonly givenUp: number;
}

export interface JobBoard {
  list(): Promise<readonly JobView[]>;
  /**
   * Asks for a run now; recorded, with who, before it is put into the queue.
   * @returns undefined: there is no such job · started false: a run waits or is under way already
   */
  run(name: string, context: CommandContext): Promise<{ readonly started: boolean } | undefined>;
}

interface Row {
  readonly name: string;
  readonly started_at: Instant;
  readonly finished_at: Instant | null;
  readonly succeeded_at: Instant | null;
  readonly duration_ms: number | null;
  readonly result: JobResult | null;
  readonly error: string | null;
  readonly runs: string;
  readonly failures: string;
  readonly failures_in_a_row: number;
}

export function createJobBoard(deps: { readonly queue: JobQueue; readonly db: Database; readonly store: EventStore; readonly sealer: Pick<Sealer, 'seal'>; readonly clock: Clock }): JobBoard {
  const { queue, db, store, sealer, clock } = deps;

  async function mails(counts: Awaited<ReturnType<JobQueue['counts']>>): Promise<JobView> {
    const { rows } = await db.pool.query<{ last: Instant | null; sent: number; failed: number; failed_lately: boolean; held: number; waiting: number; error: string | null }>(
      `SELECT max(mail_at) FILTER (WHERE mail = 'sent') AS last,
              count(*) FILTER (WHERE mail = 'sent' AND mail_at > now() - interval '1 day')::integer AS sent,
              count(*) FILTER (WHERE mail = 'failed')::integer AS failed,
              coalesce(bool_or(mail = 'failed' AND mail_at > now() - interval '1 day'), false) AS failed_lately,
              count(*) FILTER (WHERE mail = 'held')::integer AS held,
              count(*) FILTER (WHERE mail IN ('waiting', 'sending'))::integer AS waiting,
              (SELECT mail_error FROM work.notifications WHERE mail IN ('waiting', 'sending', 'failed') AND mail_error IS NOT NULL ORDER BY mail_at DESC LIMIT 1) AS error
         FROM work.notifications WHERE mail <> 'none'`,
    );
    const { last = null, sent = 0, failed = 0, failed_lately: failedLately = false, held = 0, waiting = 0, error = null } = rows[0] ?? {};
    const active = [MAIL_QUEUE, DIGEST_QUEUE].reduce((sum, name) => sum + (counts.get(name)?.active ?? 0), 0);
    return {
      name: MAIL_QUEUE,
      summary: 'Sends the mails of notifications',
      schedule: null,
      state: active > 0 ? 'running' : error !== null && waiting > 0 ? 'retrying' : waiting > 0 ? 'waiting' : failedLately ? 'failed' : 'idle',
      nextRun: null,
      lastRun: last === null ? null : { startedAt: last, finishedAt: last, durationMs: null, error },
      result: { sent_last_day: sent, held_back: held },
      succeededAt: last,
      runs: sent,
      failures: failed,
      failuresInARow: 0,
      waiting,
      givenUp: failed,
    };
  }

  return {
    async list() {
      const counts = await queue.counts();
      const { rows } = await db.pool.query<Row>('SELECT * FROM work.jobs');
      const now = clock.now();
      const views = jobNames.map((name) => view(name, rows.find((row) => row.name === name), counts.get(name)));
      return [...views, await mails(counts)];

      function view(name: JobName, row: Row | undefined, count: { waiting: number; active: number; failed: number } | undefined): JobView {
        const { cron, summary } = recurring[name];
        const { waiting = 0, active = 0, failed = 0 } = count ?? {};
        const inARow = row?.failures_in_a_row ?? 0;
        return {
          name,
          summary,
          schedule: cron,
          state: active > 0 ? 'running' : waiting > 0 ? (inARow > 0 ? 'retrying' : 'waiting') : inARow > 0 ? 'failed' : 'idle',
          nextRun: instant(queue.next(cron, new Date(now)).getTime()),
          lastRun: row === undefined ? null : { startedAt: row.started_at, finishedAt: row.finished_at, durationMs: row.duration_ms, error: row.error },
          result: row?.result ?? null,
          succeededAt: row?.succeeded_at ?? null,
          runs: Number(row?.runs ?? 0),
          failures: Number(row?.failures ?? 0),
          failuresInARow: inARow,
          waiting,
          givenUp: failed,
        };
      }
    },

    async run(name, context) {
      if (!isJobName(name)) return undefined;
      await appendAction({ store, clock, sealFor: (userId, ...what) => sealer.seal(userSubject(userId), ...what) }, systemLogStream, 'JobRequested', { job: name }, context);
      return { started: await queue.send(name) };
    },
  };
}
