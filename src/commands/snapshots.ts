import type pg from 'pg';
import { fullJitter, pause } from '../platform/backoff.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';

/** A fold up to `revision`, as it is kept beside the log. */
export interface Snapshot {
  readonly revision: bigint;
  /** Of the event at `revision`: a log in which another event has that place is not the one that was folded. */
  readonly eventId: string;
  readonly state: unknown;
  readonly commandIds: readonly string[];
  readonly conversations: readonly (readonly [unlockId: string, correlationId: string])[];
}

/** Only for speed: whoever loads one verifies it against the log and folds what came after. */
export interface SnapshotStore {
  /** Undefined also where it cannot be read: the whole fold is always right. */
  load(stream: string, stateVersion: number): Promise<Snapshot | undefined>;
  /** Kept soon, in the background, or not at all. `snapshot` must not change afterwards. */
  offer(stream: string, stateVersion: number, snapshot: Snapshot): void;
  /** It is not of this log. */
  forget(stream: string): void;
}

export interface Snapshots extends SnapshotStore, Component {
  /** Resolves when all that was offered is written or given up. */
  settled(): Promise<void>;
}

/** Streams that wait to be written; a newer snapshot of the same stream takes the older one's place. */
const MAX_WAITING = 1_000;
const TRIES = 3;

/** Snapshots in `work.snapshots`, one per stream, written one after another. */
export function createSnapshots(deps: { readonly pool: pg.Pool; readonly logger: Logger; readonly metrics: Metrics }): Snapshots {
  const { pool, metrics } = deps;
  const logger = deps.logger.child({ component: 'snapshots' });
  const waiting = new Map<string, { readonly stateVersion: number; readonly snapshot: Snapshot }>();
  const outcomes = metrics.counter('loqey_snapshots_total', 'Snapshots of streams', ['outcome']);
  let writing: Promise<void> | undefined;
  let stopped = false;

  async function write(): Promise<void> {
    for (let next = first(); next !== undefined && !stopped; next = first()) {
      const [stream, { stateVersion, snapshot }] = next;
      // Not in the turn of the append that offered it: serialising a large state takes milliseconds.
      await new Promise(setImmediate);
      const { revision, eventId, ...body } = snapshot;
      for (let attempt = 0; ; attempt++) {
        try {
          await pool.query({
            name: 'keep-snapshot',
            text: `SELECT work.keep_snapshot($1, $2, $3, $4, $5)`,
            values: [stream, stateVersion, revision.toString(), eventId, JSON.stringify(body)],
          });
          outcomes.inc({ outcome: 'kept' });
          break;
        } catch (error) {
          if (attempt + 1 < TRIES && !stopped) {
            await pause(fullJitter(attempt, { baseMs: 200 }));
            continue;
          }
          outcomes.inc({ outcome: 'failed' });
          logger.warn({ err: error, stream }, 'A snapshot could not be kept; the next cold fold of its stream takes longer');
          break;
        }
      }
    }
  }

  function first() {
    for (const entry of waiting) {
      waiting.delete(entry[0]);
      return entry;
    }
    return undefined;
  }

  function wake(): void {
    writing ??= write().finally(() => {
      writing = undefined;
      if (waiting.size > 0 && !stopped) wake();
    });
  }

  return {
    ...component(
      async () => {
        stopped = false;
      },
      async () => {
        stopped = true;
        await writing;
      },
    ),

    async load(stream, stateVersion) {
      try {
        const { rows } = await pool.query<{ revision: string; event_id: string; body: Omit<Snapshot, 'revision' | 'eventId'> }>({
          name: 'load-snapshot',
          text: 'SELECT revision, event_id, body FROM work.snapshots WHERE stream = $1 AND state_version = $2',
          values: [stream, stateVersion],
        });
        const row = rows[0];
        return row === undefined ? undefined : { revision: BigInt(row.revision), eventId: row.event_id, ...row.body };
      } catch (error) {
        outcomes.inc({ outcome: 'unreadable' });
        logger.warn({ err: error, stream }, 'A snapshot could not be read; its stream is folded from the start');
        return undefined;
      }
    },

    offer(stream, stateVersion, snapshot) {
      if (stopped || (waiting.size >= MAX_WAITING && !waiting.has(stream))) return;
      waiting.set(stream, { stateVersion, snapshot });
      wake();
    },

    forget(stream) {
      outcomes.inc({ outcome: 'foreign' });
      pool.query('DELETE FROM work.snapshots WHERE stream = $1', [stream]).catch((error: unknown) => {
        logger.warn({ err: error, stream }, 'A snapshot of another log could not be removed; it is not used');
      });
    },

    async settled() {
      while (writing !== undefined) await writing;
    },
  };
}
