import type pg from 'pg';
import { boundedCache } from '../bounded-cache.ts';
import type { Clock } from '../clock.ts';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { isOver, MAX_SOURCES, verdictOn, type RateLimiter, type Window } from '../rate-limits.ts';
import { retryTransient } from './db.ts';

export interface SharedRateLimiter extends RateLimiter, Component {
  /** Removes windows that are over. Answers how many. */
  prune(): Promise<number>;
}

export interface SharedRateLimiterOptions {
  readonly pool: pg.Pool;
  /** A keyed hash of who is counted: addresses are not kept. */
  readonly keyOf: (text: string) => Buffer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** How long what was counted here may wait to be told. Default 200 ms, for windows of an hour and more 25 times that. */
  readonly tellEveryMs?: number;
}

interface Counted extends Window {
  readonly name: string;
  /** Allowed here and not yet told. */
  untold: number;
  queued: boolean;
}

const LONG_WINDOW_MS = 3_600_000;
const LONG_WINDOWS_EVERY = 25;
/** In one statement; what is beyond goes with the next one. */
const MAX_KEYS = 1_000;
/** Sources that wait to be told while PostgreSQL is away; beyond it the oldest are counted here alone. */
const MAX_QUEUED = 50_000;
const EXACTLY_WITHIN_MS = 2_000;

/**
 * Limits that hold over all processes of one database.
 *
 * `take` decides from what this process knows, which is its own count and what the others had told when it last told its
 * own: no request waits for PostgreSQL, and one statement carries all that was counted in a fifth of a second. So beyond a
 * limit comes at most what the processes take in within that time, and never more than one limit per process. While
 * PostgreSQL is away each process holds its own limits.
 *
 * Keys of one statement are sorted: two processes never wait for each other in a circle.
 */
export function createSharedRateLimiter(options: SharedRateLimiterOptions): SharedRateLimiter {
  const { pool, keyOf, clock, metrics, tellEveryMs = 200 } = options;
  const logger = options.logger.child({ component: 'rate-limits' });
  const windows = boundedCache<string, Counted>({ max: MAX_SOURCES });
  const queues = { short: new Set<Counted>(), long: new Set<Counted>() };
  const failed = metrics.counter('loqey_rate_limits_untold_total', 'Times that counts could not be told to other processes');
  let timer: NodeJS.Timeout | undefined;
  let telling: Promise<void> = Promise.resolve();
  let round = 0;
  let failures = 0;
  let stopped = false;

  function queue(window: Counted): void {
    if (window.queued) return;
    const set = window.lengthMs >= LONG_WINDOW_MS ? queues.long : queues.short;
    if (set.size >= MAX_QUEUED) {
      const oldest = set.values().next().value;
      if (oldest !== undefined) {
        oldest.queued = false;
        set.delete(oldest);
      }
    }
    window.queued = true;
    set.add(window);
    arm();
  }

  function arm(): void {
    if (stopped || timer !== undefined || queues.short.size + queues.long.size === 0) return;
    // After failures less often: PostgreSQL has enough to do when it comes back.
    timer = setTimeout(tick, tellEveryMs * Math.min(2 ** failures, 25)).unref();
  }

  function tick(): void {
    timer = undefined;
    round++;
    telling = tell(round % LONG_WINDOWS_EVERY === 0 ? [queues.short, queues.long] : [queues.short]).finally(arm);
  }

  async function tell(sets: readonly Set<Counted>[]): Promise<void> {
    const now = clock.now();
    const batch: { readonly window: Counted; readonly key: Buffer; readonly untold: number }[] = [];
    for (const set of sets) {
      for (const window of set) {
        if (batch.length >= MAX_KEYS) break;
        set.delete(window);
        window.queued = false;
        if (window.untold > 0 && !isOver(window, now)) batch.push({ window, key: keyOf(window.name), untold: window.untold });
      }
    }
    if (batch.length === 0) return;
    batch.sort((a, b) => Buffer.compare(a.key, b.key));
    try {
      const { rows } = await pool.query<Row>({
        name: 'rate-limits-tell',
        text: `
          INSERT INTO work.rate_limits AS known (key, started_at, ends_at, count)
          SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::int[])
          ON CONFLICT (key) DO UPDATE SET
            started_at = CASE WHEN known.ends_at <= $5 THEN excluded.started_at ELSE known.started_at END,
            ends_at    = CASE WHEN known.ends_at <= $5 THEN excluded.ends_at ELSE known.ends_at END,
            count      = CASE WHEN known.ends_at <= $5 THEN excluded.count ELSE known.count + excluded.count END
          RETURNING key, started_at, count`,
        values: [
          batch.map(({ key }) => key),
          batch.map(({ window }) => window.startedAt),
          batch.map(({ window }) => window.startedAt + window.lengthMs),
          batch.map(({ untold }) => untold),
          now,
        ],
      });
      const counts = new Map(rows.map((row) => [row.key.toString('hex'), row]));
      for (const { window, key, untold } of batch) {
        window.untold -= untold;
        const row = counts.get(key.toString('hex'));
        if (row !== undefined) learn(window, row, clock.now());
      }
      failures = 0;
    } catch (error) {
      failed.inc();
      if (failures++ === 0) logger.warn({ err: error }, 'What was counted could not be told to other processes; each holds its own limits');
      for (const { window } of batch) queue(window);
    }
  }

  function learn(window: Counted, row: Row, now: number): void {
    const startedAt = Number(row.started_at);
    // It ended while it was being told.
    if (startedAt + window.lengthMs <= now) return;
    window.count = row.count + window.untold;
    // A window of a process whose clock is ahead: the count holds, its beginning is not one of ours.
    if (!isOver({ ...window, startedAt }, now)) window.startedAt = startedAt;
  }

  function windowOf(name: string, lengthMs: number, now: number): Counted {
    const known = windows.get(name);
    if (known !== undefined && !isOver(known, now)) return known;
    const window = { name, startedAt: now, lengthMs, count: 0, untold: 0, queued: false };
    windows.set(name, window);
    return window;
  }

  const nameOf = (bucket: string, windowSeconds: number, source: string) => `${bucket}|${windowSeconds}|${source}`;

  async function current(key: Buffer, now: number): Promise<Row | undefined> {
    const { rows } = await pool.query<Row>('SELECT key, started_at, count FROM work.rate_limits WHERE key = $1 AND ends_at > $2', [key, now]);
    return rows[0];
  }

  function windowFrom(row: Row | undefined, lengthMs: number, now: number): Window {
    return { startedAt: row === undefined ? now : Math.min(now, Number(row.started_at)), lengthMs, count: row?.count ?? 0 };
  }

  return {
    take(bucket, source, limit, windowSeconds) {
      const now = clock.now();
      const window = windowOf(nameOf(bucket, windowSeconds, source), windowSeconds * 1_000, now);
      const allowed = window.count < limit;
      if (allowed) {
        window.count++;
        window.untold++;
        queue(window);
      }
      return verdictOn(window, allowed, limit, now);
    },

    async takeExactly(bucket, source, limit, windowSeconds) {
      const now = clock.now();
      const lengthMs = windowSeconds * 1_000;
      const key = keyOf(nameOf(bucket, windowSeconds, source));
      // Not repeated when its outcome is unknown: counted once too often is one try less, never one more.
      const { rows } = await pool.query<Row>({
        name: 'rate-limits-take',
        text: `
          INSERT INTO work.rate_limits AS known (key, started_at, ends_at, count) VALUES ($1, $2, $3, 1)
          ON CONFLICT (key) DO UPDATE SET
            started_at = CASE WHEN known.ends_at <= $2 THEN $2 ELSE known.started_at END,
            ends_at    = CASE WHEN known.ends_at <= $2 THEN $3 ELSE known.ends_at END,
            count      = CASE WHEN known.ends_at <= $2 THEN 1 ELSE known.count + 1 END
          WHERE known.ends_at <= $2 OR known.count < $4
          RETURNING key, started_at, count`,
        values: [key, now, now + lengthMs, limit],
      });
      const taken = rows[0];
      return verdictOn(windowFrom(taken ?? (await current(key, now)), lengthMs, now), taken !== undefined, limit, now);
    },

    async look(bucket, source, limit, windowSeconds) {
      const now = clock.now();
      const key = keyOf(nameOf(bucket, windowSeconds, source));
      const row = await retryTransient(() => current(key, now), { deadlineMs: EXACTLY_WITHIN_MS });
      return verdictOn(windowFrom(row, windowSeconds * 1_000, now), (row?.count ?? 0) < limit, limit, now);
    },

    async prune() {
      const { rowCount } = await pool.query('DELETE FROM work.rate_limits WHERE ends_at <= $1', [clock.now()]);
      return rowCount ?? 0;
    },

    ...component(
      async () => {
        stopped = false;
      },
      async () => {
        stopped = true;
        clearTimeout(timer);
        timer = undefined;
        await telling;
        // Once more, so that a restart does not hand out new allowances.
        await tell([queues.short, queues.long]);
      },
    ),
  };
}

interface Row {
  readonly key: Buffer;
  /** bigint as text. */
  readonly started_at: string;
  readonly count: number;
}
