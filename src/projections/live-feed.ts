import type { EventStore } from '../platform/event-store/port.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Notifications } from '../platform/postgres/notifications.ts';
import { changeColumns, changeOf, LIVE_CHANNEL, PROJECTIONS_CHANNEL, readChanges, type StoredChange } from './checkpoints.ts';
import type { LiveChange, LiveFeed } from './read-models.ts';

export interface LiveFeedOptions {
  readonly db: Database;
  /** Asked for its end, where somebody speaks of a place that the group has not reached. */
  readonly store: Pick<EventStore, 'head'>;
  /** Projections of the background group: how far they are does not count. */
  readonly background: readonly string[];
  /** Where another process runs the live group, or may come to: its commits are heard by these. Handlers are added before its start. */
  readonly notifications?: Notifications;
  /** Awaited before anything after a switch counts as reached: reads must not meet the old generation then. */
  readonly onSwitched?: () => Promise<void>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Milliseconds between two looks, for notifications that got lost. Default 500. */
  readonly pollMs?: number;
}

/** Changes of the live group for this process: pushed by the runner where it leads here, else read when told. */
export interface LiveFeedComponent extends LiveFeed, Component {
  /** For the runner of this process: no round trip. */
  push(changes: readonly LiveChange[], position: bigint): void;
  /** How far the group is, as far as this process knows. */
  readonly position: bigint;
}

/** After a push the runner of this process leads: for so long its next one is waited for, with the poll as safety. */
const PUSHED_LATELY_MS = 2_000;
/** Requests that wait for a position at one time; further ones are told at once that it was not reached. */
const MAX_WAITING = 10_000;
/** Changes that one socket may resume over. */
const MAX_RESUMED = 10_000;

interface Waiter {
  readonly position: bigint;
  readonly done: (reached: boolean) => void;
}

export function createLiveFeed(options: LiveFeedOptions): LiveFeedComponent {
  const { db, store, notifications, pollMs = 500 } = options;
  const logger = options.logger.child({ component: 'live-feed' });
  const notReached = options.metrics.counter('loqey_live_not_reached_total', 'Requests answered before their own change was readable');
  const listeners = new Map<string, Set<(change: LiveChange) => void>>();
  const waiting = new Set<Waiter>();
  let position = -1n;
  let told = -1n;
  let reading: Promise<void> | undefined;
  /** A read model may have been switched: nothing that comes after counts as reached until that was looked up. */
  let mayBeSwitched = false;
  /** Of the read models, as the last look found them. A switch that is told while nobody hears it is seen by them. */
  let generations: string | undefined;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let pushedAt = -Infinity;

  function deliver(changes: readonly LiveChange[], at: bigint): void {
    if (at <= position) return; // the same batch was told and read before its runner came to push it
    for (const change of changes) {
      for (const topic of change.topics) {
        for (const listener of listeners.get(topic) ?? []) {
          try {
            listener(change);
          } catch (error) {
            logger.error({ err: error, topic }, 'A listener to live changes failed');
          }
        }
      }
    }
    position = at;
    for (const waiter of waiting) if (waiter.position <= at) waiter.done(true);
  }

  /** Reads what was committed elsewhere. One at a time; what is told meanwhile is read by the next turn. */
  function read(): Promise<void> {
    reading ??= (async () => {
      await Promise.resolve(); // what is told in the same turn is read together, and nothing ends before `reading` is set
      try {
        while (!stopped && (told > position || mayBeSwitched)) {
          const upTo = told; // what comes after a switch is told after it
          if (mayBeSwitched) await lookUpSwitched();
          if (upTo <= position) continue;
          // The first look only finds where the group is: nobody here has listened to anything earlier.
          const changes = position < 0n || listeners.size === 0 ? [] : await readChanges(db, position, upTo);
          deliver(changes.filter((change) => change.position > position), upTo); // some may have been pushed meanwhile
        }
      } catch (error) {
        logger.warn({ err: error }, 'Live changes could not be read; the next look comes soon');
      } finally {
        reading = undefined; // in the same turn as the last look at what was told: nothing can come in between and be left
      }
    })();
    return reading;
  }

  /** @throws what the database says: then it stays to be done */
  async function lookUpSwitched(): Promise<void> {
    mayBeSwitched = false;
    try {
      await options.onSwitched?.();
    } catch (error) {
      mayBeSwitched = true;
      throw error;
    }
  }

  function tell(at: bigint): void {
    if (at > told) told = at;
    if (told > position || mayBeSwitched) void read();
  }

  async function look(): Promise<void> {
    try {
      const { rows } = await db.pool.query<{ position: string | null; generations: string | null }>({
        name: 'live.position',
        text: `SELECT min(position) FILTER (WHERE state = 'running' AND name <> ALL($1)) AS position,
                      string_agg(name || ' ' || generation, ',' ORDER BY name) AS generations
                 FROM work.projections`,
        values: [options.background],
      });
      const { position: at = null, generations: found = null } = rows[0] ?? {};
      if (generations !== undefined && (found ?? '') !== generations) mayBeSwitched = true;
      generations = found ?? '';
      tell(at === null ? told : BigInt(at));
    } catch (error) {
      logger.warn({ err: error }, 'The position of the live group could not be read; the next look comes soon');
    }
  }

  notifications?.on(LIVE_CHANNEL, (payload) => {
    if (/^\d+$/.test(payload) && performance.now() - pushedAt > PUSHED_LATELY_MS) tell(BigInt(payload));
  });
  notifications?.on(PROJECTIONS_CHANNEL, () => {
    mayBeSwitched = true;
    void read();
  });
  notifications?.onGap(() => {
    mayBeSwitched = true; // one may have been missed
    void look();
  });

  const lifecycle = component(
    async () => {
      stopped = false;
      await look();
      if (notifications === undefined) return;
      timer = setInterval(() => void look(), pollMs);
    },
    async () => {
      stopped = true;
      clearInterval(timer);
      for (const waiter of waiting) waiter.done(false);
      await reading;
    },
  );

  /** What the group has passed is there; the log itself may be ahead of it, but not behind. */
  const has = async (at: bigint) => at <= position || at <= ((await store.head()) ?? -1n);

  function reached(at: bigint, timeoutMs: number): Promise<boolean> {
    if (at <= position) return Promise.resolve(true);
    if (stopped || waiting.size >= MAX_WAITING) {
      notReached.inc();
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      const waiter: Waiter = {
        position: at,
        done(reached) {
          clearTimeout(timeout);
          waiting.delete(waiter);
          if (!reached) notReached.inc();
          resolve(reached);
        },
      };
      const timeout = setTimeout(() => waiter.done(false), timeoutMs);
      waiting.add(waiter);
    });
  }

  return {
    ...lifecycle,
    has,
    push(changes, at) {
      pushedAt = performance.now();
      deliver(changes, at);
    },
    get position() {
      return position;
    },

    reached,

    async current(timeoutMs) {
      const head = await store.head();
      return head === undefined || (await reached(head, timeoutMs));
    },

    on(topic, listener) {
      const known = listeners.get(topic) ?? new Set();
      const own = (change: LiveChange) => listener(change); // the same function may listen twice
      listeners.set(topic, known.add(own));
      return () => {
        known.delete(own);
        if (known.size === 0 && listeners.get(topic) === known) listeners.delete(topic);
      };
    },

    async since(topic, after) {
      // A log that was put back to an older backup: nothing can be told of what came between its end and that place.
      if (!(await has(after))) return undefined;
      const { rows } = await db.pool.query<StoredChange & { floor: string }>({
        name: 'live.since',
        // The floor in the same statement: what it says of the rows is true of this snapshot.
        text: `SELECT f.position AS floor, c.* FROM work.live_floor f LEFT JOIN LATERAL (
                 SELECT ${changeColumns} FROM work.live_changes WHERE topic = $1 AND position > $2::numeric ORDER BY position, seq LIMIT ${MAX_RESUMED + 1}
               ) c ON true`,
        values: [topic, String(after)],
      });
      const floor = rows[0]?.floor;
      if (floor === undefined || BigInt(floor) > after || rows.length > MAX_RESUMED) return undefined;
      return rows.filter((row) => row.eventId !== null).map(changeOf);
    },
  };
}
