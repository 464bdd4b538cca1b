import type pg from 'pg';
import type { DomainEvent, DomainEventType, Recorded } from '../../domain/events.ts';
import { fullJitter, pause } from '../../platform/backoff.ts';
import type { Clock } from '../../platform/clock.ts';
import type { EventStore, RecordedEvent } from '../../platform/event-store/port.ts';
import { component, type Component } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { recordedOf } from '../../domain/registry.ts';

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
  /** Streams whose events are reacted to at the same time; those of one stream always one after another. Default 1. */
  readonly sideBySide?: number;
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
/** How far the checkpoint may be behind: so much comes again after a crash. */
const SAVE_EVERY_MS = 200;
/** The same for what only moved the position: most events are of no concern to this reactor. */
const SAVE_IDLE_EVERY_MS = 5_000;

export interface RunningReactor extends Component {
  health(): { readonly name: string; readonly healthy: boolean; readonly detail: string };
}

/** Runs one reactor: each event until it succeeded. */
export function runReactor(reactor: Reactor, deps: ReactorDeps): RunningReactor {
  const { store, pool, logId, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'reactor', reactor: reactor.name });
  const reacted = metrics.counter('loqey_reactor_events_total', 'Events reacted to', ['reactor', 'outcome']);
  const failing = new Map<string, string>();
  let abort = new AbortController();
  let running: Promise<void> | undefined;
  /** Resolved once it knows from where it goes on, or could not find out and tries again. */
  let begun = Promise.withResolvers<void>();

  async function checkpoint(): Promise<bigint | undefined> {
    const { rows } = await pool.query<{ position: string; log_id: string }>('SELECT position, log_id FROM work.reactors WHERE name = $1', [reactor.name]);
    const row = rows[0];
    const head = await store.head();
    if (row !== undefined && row.log_id === logId) {
      const position = BigInt(row.position);
      if (head !== undefined && position <= head) return position;
      // A log that was restored from a backup: what it will hold at these positions is not what was reacted to.
      logger.warn({ position: row.position, head: String(head) }, 'The checkpoint is beyond the end of the log; going on from its end');
      if (head !== undefined) await save(head);
      return head;
    }
    if (row !== undefined) logger.warn({ was: row.log_id, now: logId }, 'The checkpoint is of another log; starting anew');
    if (reactor.startFrom === 'start' || head === undefined) return undefined;
    await save(head);
    return head;
  }

  async function save(position: bigint): Promise<void> {
    await pool.query({
      name: 'save-reactor',
      text: `INSERT INTO work.reactors (name, log_id, position) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, position = excluded.position, updated_at = now()`,
      values: [reactor.name, logId, position.toString()],
    });
  }

  /** False: stopped before it was done. */
  async function reactUntilDone(wire: RecordedEvent, signal: AbortSignal): Promise<boolean> {
    if (reactor.maxAgeMs !== undefined && clock.now() - Date.parse(wire.metadata.occurredAt) > reactor.maxAgeMs) {
      reacted.inc({ reactor: reactor.name, outcome: 'too_old' });
      return true;
    }
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await reactor.react(recordedOf(wire));
        failing.delete(wire.eventId);
        reacted.inc({ reactor: reactor.name, outcome: 'done' });
        return true;
      } catch (error) {
        reacted.inc({ reactor: reactor.name, outcome: 'failed' });
        logger.warn({ err: error, stream: wire.stream, eventType: wire.type, attempt }, 'A reaction failed; trying again');
        if (attempt >= STUCK_AFTER) failing.set(wire.eventId, `${wire.type} at ${wire.position}: ${(error as Error).message}`);
        await pause(fullJitter(attempt, { baseMs: 100, capMs: 10_000 }), signal);
      }
    }
    return false;
  }

  async function reactToAll(events: readonly RecordedEvent[], signal: AbortSignal): Promise<boolean> {
    const streams = [...Map.groupBy(events, ({ stream }) => stream).values()];
    const lane = async (): Promise<boolean> => {
      for (let one = streams.shift(); one !== undefined; one = streams.shift()) {
        for (const event of one) if (!(await reactUntilDone(event, signal))) return false;
      }
      return true;
    };
    const lanes = await Promise.all(Array.from({ length: Math.min(reactor.sideBySide ?? 1, streams.length) }, lane));
    return !lanes.includes(false);
  }

  async function follow(signal: AbortSignal): Promise<void> {
    const after = await checkpoint();
    begun.resolve();
    let saved = after;
    let done = after;
    let savedAt = clock.monotonic();
    let reactedSince = false;
    let timer: NodeJS.Timeout | undefined;
    let saving = Promise.resolve();
    const keep = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const position = done;
      if (position === undefined || position === saved) return;
      saving = saving
        .then(() => save(position))
        .then(() => {
          saved = position;
        })
        .catch((error: unknown) => logger.warn({ err: error }, 'A checkpoint could not be kept; the next one is'));
      savedAt = clock.monotonic();
      reactedSince = false;
    };
    try {
      for await (const { events, position } of store.subscribeAll({ after, filter: { eventTypes: reactor.eventTypes }, signal })) {
        if (!(await reactToAll(events, signal))) return;
        done = position;
        reactedSince ||= events.length > 0;
        if (clock.monotonic() - savedAt >= (reactedSince ? SAVE_EVERY_MS : SAVE_IDLE_EVERY_MS)) keep();
        else if (reactedSince) timer ??= setTimeout(keep, SAVE_EVERY_MS);
      }
    } finally {
      keep();
      await saving;
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const since = clock.monotonic();
      try {
        await follow(signal);
      } catch (error) {
        begun.resolve();
        if (signal.aborted) return;
        logger.error({ err: error }, 'A reactor was interrupted; starting it again');
        if (clock.monotonic() - since > 60_000) attempt = 0;
        await pause(fullJitter(attempt), signal);
      }
    }
  }

  const lifecycle = component(
    async () => {
      abort = new AbortController();
      begun = Promise.withResolvers();
      running = run(abort.signal);
      // A reactor that begins now misses nothing that happens once it was started.
      await begun.promise;
    },
    async () => {
      abort.abort();
      await running;
    },
  );
  return {
    ...lifecycle,
    health() {
      const [first] = failing.values();
      return { name: reactor.name, healthy: first === undefined, detail: first ?? 'running' };
    },
  };
}
