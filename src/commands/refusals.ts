import type { Actor, Instant, Origin, Refusal, Source } from '../domain/kernel.ts';
import type { RefusalTarget } from '../domain/system/events.ts';
import { originSubjectOfRefusal, refusalStream } from '../domain/system/stream.ts';
import { fullJitter } from '../platform/backoff.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { EventStore, EventToAppend, JsonObject } from '../platform/event-store/port.ts';
import { eventIdOf, newId } from '../platform/ids.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import type { AnyCommand, CommandContext } from './port.ts';

/** Refusals of one source for one reason that are written out in a minute; the rest are one count. */
const PER_MINUTE = 20;
const BATCH_EVERY_MS = 50;
const MAX_BATCH = 200;
const MAX_QUEUED = 10_000;
const MAX_SOURCES = 20_000;

interface Pending {
  readonly event: EventToAppend;
  readonly stream: string;
}

interface Count {
  minute: number;
  written: number;
  suppressed: number;
  readonly command: string;
  readonly reason: Refusal['code'];
  readonly actor: Actor;
  readonly source: Source;
}

export interface RefusalLog extends Component {
  /** Never throws and never waits: a refusal is answered at once, its record follows within a moment. */
  record(command: AnyCommand, refusal: Refusal, context: CommandContext): void;
  recordAs(command: string, target: RefusalTarget, refusal: Refusal, context: CommandContext): void;
}

/**
 * Every refusal of a known actor, in the refusal streams; bounded per source and reason, so that a flood of refused
 * requests is a count in the log and not a second flood.
 */
export function createRefusalLog(deps: {
  readonly store: EventStore;
  readonly sealer: Pick<Sealer, 'seal'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}): RefusalLog {
  const { store, sealer, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'refusals' });
  const counts = new Map<string, Count>();
  const sealing = new Set<Promise<void>>();
  let queue: Pending[] = [];
  let timer: NodeJS.Timeout | undefined;
  let minuteTimer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
  let failures = 0;

  const waiting = metrics.gauge('loqey_refusals_waiting', 'Refusals not yet in the log');
  const suppressed = metrics.counter('loqey_refusals_suppressed_total', 'Refusals beyond the limit, counted only');
  const dropped = metrics.counter('loqey_refusals_dropped_total', 'Refusals that a full queue could not take');

  function enqueue(type: string, data: JsonObject, now: Instant, actor: Actor, source: Source, ids: { commandId: string; correlationId: string; causationId: string }, origin?: Origin): void {
    if (queue.length + sealing.size >= MAX_QUEUED) {
      dropped.inc();
      return;
    }
    const put = (sealed?: Awaited<ReturnType<Sealer['seal']>>) => {
      queue.push({
        stream: refusalStream(now, actor.id),
        event: {
          eventId: eventIdOf(ids.commandId, 0),
          type,
          data,
          metadata: { schemaVersion: 1, ...ids, actor, source, occurredAt: now, ...(sealed === undefined ? {} : { origin: sealed }) },
        },
      });
      waiting.set(queue.length);
      flushIn(BATCH_EVERY_MS);
    };
    if (origin === undefined) {
      put();
      return;
    }
    const sealed = Promise.resolve(sealer.seal(originSubjectOfRefusal(actor, now), type, 'metadata.origin', origin as JsonObject))
      .then(put, (error: unknown) => {
        logger.warn({ err: error }, 'A refusal is recorded without its origin: it could not be sealed');
        put();
      })
      .finally(() => sealing.delete(sealed));
    sealing.add(sealed);
  }

  /** A timer that has run is none: one that runs out during a flush must not keep the next from being set. */
  function flushIn(ms: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      void flush();
    }, ms);
  }

  /** One flush at a time; what cannot be written stays queued and is tried again with back-off. */
  function flush(): Promise<void> {
    flushing ??= (async () => {
      clearTimeout(timer);
      timer = undefined;
      endMinutes();
      while (queue.length > 0) {
        // As far as one stream goes: what is written leaves the queue, so that only what is not is tried again.
        const { stream } = queue[0]!;
        const batch = queue.slice(0, MAX_BATCH).filter((pending) => pending.stream === stream);
        try {
          await store.append(stream, 'any', batch.map(({ event }) => event));
        } catch (error) {
          failures++;
          logger.warn({ err: error, waiting: queue.length }, 'Refusals could not be recorded; trying again');
          clearTimeout(timer);
          timer = undefined;
          flushIn(fullJitter(failures, { baseMs: 100 }));
          return;
        }
        failures = 0;
        queue = queue.filter((pending) => !batch.includes(pending));
        waiting.set(queue.length);
      }
    })().finally(() => {
      flushing = undefined;
    });
    return flushing;
  }

  /** Writes the count of what was left out in minutes that are over, and forgets their sources. */
  function endMinutes(all = false): void {
    const current = minuteOf(clock.now());
    for (const [key, count] of counts) {
      if (count.minute === current && !all) continue;
      counts.delete(key);
      if (count.suppressed === 0) continue;
      const commandId = newId();
      const data = { command: count.command, reason: count.reason, count: count.suppressed, minute: instant(count.minute * 60_000) };
      enqueue('RefusalsSuppressed', data, instant(clock.now()), count.actor, count.source, { commandId, correlationId: commandId, causationId: commandId });
    }
  }

  function recordAs(command: string, target: RefusalTarget, refusal: Refusal, context: CommandContext): void {
    // The system's own attempts (deadlines, dispatcher) are no one's refusals: they are decided again by design.
    if (context.actor.kind === 'system') return;
    const now = clock.now();
    const minute = minuteOf(now);
    const key = `${context.actor.kind}|${context.actor.id}|${refusal.code}`;
    let count = counts.get(key);
    if (count === undefined || count.minute !== minute) {
      endMinutes();
      if (counts.size >= MAX_SOURCES) endMinutes(true);
      count = { minute, written: 0, suppressed: 0, command, reason: refusal.code, actor: context.actor, source: context.source };
      counts.set(key, count);
    }
    if (count.written >= PER_MINUTE) {
      count.suppressed++;
      suppressed.inc();
      // The count is written when its minute is over, whether or not anyone is refused then.
      minuteTimer ??= setTimeout(() => {
        minuteTimer = undefined;
        void flush();
      }, (minute + 1) * 60_000 - now + 1).unref();
      return;
    }
    count.written++;
    const data = { command, target: { ...target }, reason: refusal.code, ...(refusal.details === undefined ? {} : { details: refusal.details }) };
    // An id of its own: a repeat of the request is another refusal.
    const ids = { commandId: newId(), correlationId: context.correlationId, causationId: context.commandId };
    enqueue('CommandRefused', data, instant(now), context.actor, context.source, ids, context.origin);
  }

  const lifecycle = component(
    async () => undefined,
    async () => {
      clearTimeout(minuteTimer);
      endMinutes(true);
      await Promise.all(sealing);
      await flush();
      clearTimeout(timer);
      if (queue.length > 0) logger.error({ lost: queue.length }, 'Refusals could not be recorded before the stop');
    },
  );

  return {
    ...lifecycle,
    recordAs,
    record: (command, refusal, context) => recordAs(command.type, targetOf(command), refusal, context),
  };
}

function minuteOf(ms: number): number {
  return Math.floor(ms / 60_000);
}

function targetOf({ type, data }: AnyCommand): RefusalTarget {
  if (type === 'RequestUnlock') return data.cause.kind === 'link' ? { kind: 'link', id: data.cause.id } : { kind: 'device', id: data.deviceId };
  if ('unlockId' in data) return { kind: 'unlock', id: data.unlockId };
  if ('linkId' in data) return { kind: 'link', id: data.linkId };
  if ('deviceId' in data) return { kind: 'device', id: data.deviceId };
  return { kind: 'user', id: data.userId };
}
