import type pg from 'pg';
import { decodeEvent } from '../../domain/registry.ts';
import type { DomainEvent, DomainEventType, Recorded } from '../../domain/events.ts';
import { fullJitter, pause } from '../../platform/backoff.ts';
import type { Clock } from '../../platform/clock.ts';
import type { EventStore, RecordedEvent } from '../../platform/event-store/port.ts';
import { component, type Component } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';

/**
 * From an event to an effect. Its checkpoint is its own, so a rebuild of a read model never repeats an effect. The effect
 * is idempotent by event id: after a crash the last events come again.
 */
export interface Reactor {
  /** The identity of its checkpoint, for ever. */
  readonly name: string;
  readonly eventTypes: readonly DomainEventType[];
  /** `now`: a reactor that is new begins with what happens from then on. `start`: with the whole log. */
  readonly startFrom: 'now' | 'start';
  /** Older events are passed over, in milliseconds; absent = none is too old. */
  readonly maxAgeMs?: number;
  react(event: Recorded<DomainEvent>): Promise<void>;
}

export interface ReactorDeps {
  readonly store: EventStore;
  readonly pool: pg.Pool;
  readonly logId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Tries of one event before the reactor says so in its health; it goes on trying, order is kept. */
const STUCK_AFTER = 5;

export interface RunningReactor extends Component {
  health(): { readonly name: string; readonly healthy: boolean; readonly detail: string };
}

/** Runs one reactor: its events one after another, each until it succeeded. */
export function runReactor(reactor: Reactor, deps: ReactorDeps): RunningReactor {
  const { store, pool, logId, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'reactor', reactor: reactor.name });
  const reacted = metrics.counter('loqey_reactor_events_total', 'Events reacted to', ['reactor', 'outcome']);
  let abort = new AbortController();
  let running: Promise<void> | undefined;
  let failing: string | undefined;

  async function checkpoint(): Promise<bigint | undefined> {
    const { rows } = await pool.query<{ position: string; log_id: string }>('SELECT position, log_id FROM work.reactors WHERE name = $1', [reactor.name]);
    const row = rows[0];
    if (row !== undefined && row.log_id === logId) return BigInt(row.position);
    if (row !== undefined) logger.warn({ was: row.log_id, now: logId }, 'The checkpoint is of another log; starting anew');
    const from = reactor.startFrom === 'now' ? await store.head() : undefined;
    if (from !== undefined) await save(from);
    return from;
  }

  async function save(position: bigint): Promise<void> {
    await pool.query(
      `INSERT INTO work.reactors (name, log_id, position) VALUES ($1, $2, $3)
       ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, position = excluded.position, updated_at = now()`,
      [reactor.name, logId, position.toString()],
    );
  }

  async function reactUntilDone(wire: RecordedEvent, signal: AbortSignal): Promise<void> {
    if (reactor.maxAgeMs !== undefined && clock.now() - Date.parse(wire.metadata.occurredAt) > reactor.maxAgeMs) {
      reacted.inc({ reactor: reactor.name, outcome: 'too_old' });
      return;
    }
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await reactor.react({ ...wire, ...decodeEvent(wire) } as unknown as Recorded<DomainEvent>);
        failing = undefined;
        reacted.inc({ reactor: reactor.name, outcome: 'done' });
        return;
      } catch (error) {
        reacted.inc({ reactor: reactor.name, outcome: 'failed' });
        logger.warn({ err: error, stream: wire.stream, eventType: wire.type, attempt }, 'A reaction failed; trying again');
        if (attempt >= STUCK_AFTER) failing = `${wire.type} at ${wire.position}: ${(error as Error).message}`;
        await pause(fullJitter(attempt, { baseMs: 100, capMs: 10_000 }), signal);
      }
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const after = await checkpoint();
        for await (const batch of store.subscribeAll({ after, filter: { eventTypes: reactor.eventTypes }, signal })) {
          attempt = 0;
          for (const event of batch.events) {
            await reactUntilDone(event, signal);
            if (signal.aborted) return;
          }
          await save(batch.position);
        }
      } catch (error) {
        if (signal.aborted) return;
        logger.error({ err: error }, 'A reactor was interrupted; starting it again');
        await pause(fullJitter(attempt), signal);
      }
    }
  }

  const lifecycle = component(
    async () => {
      abort = new AbortController();
      running = run(abort.signal);
    },
    async () => {
      abort.abort();
      await running;
    },
  );
  return {
    ...lifecycle,
    health: () => ({ name: reactor.name, healthy: failing === undefined, detail: failing ?? 'running' }),
  };
}
