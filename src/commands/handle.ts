import { LRUCache } from 'lru-cache';
import { decodeEvent, type Aggregate } from '../domain/registry.ts';
import type { DomainEvent, Recorded } from '../domain/events.ts';
import { isSealed, type EventMetadata, type Refusal, type Sealed } from '../domain/kernel.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { AppendOutcomeUnknown, WrongExpectedRevision, type EventStore, type EventToAppend, type JsonObject, type RecordedEvent } from '../platform/event-store/port.ts';
import { eventIdOf } from '../platform/ids.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import { InTurn } from './in-turn.ts';
import { ConcurrencyConflict, type AnyCommand, type CommandBus, type CommandContext, type CommandOutcome } from './port.ts';
import { routeOf, type CommandRoute } from './registry.ts';

/** Command ids that a fold remembers, so that a repeat after a crash is recognised without another table. */
const REMEMBERED_COMMANDS = 64;
/** How long conflicts with other processes are retried. */
const CONFLICT_DEADLINE_MS = 2_000;
/** How far back a repeat looks for the events it made the first time. */
const RECALL_LIMIT = 1_000;
const CACHE_BYTES = 128 * 1024 * 1024;

/** One stream folded up to `revision`. Changed only by whoever has the stream's turn. */
interface Folded {
  state: unknown;
  revision: bigint | undefined;
  readonly commandIds: string[];
  /** Which conversation each of the last unlocks belongs to, so that all its events carry one correlation id. */
  readonly conversations: Map<string, string>;
}

export interface CommandBusDeps {
  readonly store: EventStore;
  readonly sealer: Pick<Sealer, 'seal'>;
  readonly refusals: { record(command: AnyCommand, refusal: Refusal, context: CommandContext): void };
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Called right after an append of this process, before its command answers. Must not throw or block. */
export type AppendListener = (events: readonly Recorded<DomainEvent>[]) => void;

export interface Aggregates extends CommandBus {
  /** The state now: reads forward first. */
  load<State>(aggregate: Aggregate<State>, id: string): Promise<{ readonly state: State; readonly revision: bigint | undefined }>;
  /** The events that a command id made, if it was carried out. */
  recall(stream: string, commandId: string): Promise<readonly Recorded<DomainEvent>[]>;
  onAppended(listener: AppendListener): () => void;
}

export function createCommandBus(deps: CommandBusDeps): Aggregates {
  const { store, sealer, refusals, clock, metrics } = deps;
  const turns = new InTurn();
  const listeners = new Set<AppendListener>();
  const cache = new LRUCache<string, Folded>({ maxSize: CACHE_BYTES, sizeCalculation: () => 6_000 });
  const outcomes = metrics.counter('loqey_commands_total', 'Commands by type and outcome', ['command', 'outcome']);
  const durations = metrics.histogram('loqey_command_duration_seconds', 'From execute to outcome', ['command']);
  const conflicts = metrics.counter('loqey_command_conflicts_total', 'Appends that another process was ahead of');

  /** Folds what the stream has beyond `folded`, in place. */
  async function readForward(aggregate: Aggregate, stream: string, folded: Folded): Promise<void> {
    const from = folded.revision === undefined ? 0n : folded.revision + 1n;
    for await (const event of store.readStream(stream, { from })) {
      take(aggregate, folded, decodeEvent(event), event.metadata);
      folded.revision = event.revision;
    }
  }

  function take(aggregate: Aggregate, folded: Folded, event: DomainEvent, { commandId, correlationId, occurredAt }: EventMetadata): void {
    folded.state = aggregate.decider.evolve(folded.state, event as never, occurredAt);
    if (event.type === 'UnlockRequested') {
      folded.conversations.set(event.data.unlockId, correlationId);
      if (folded.conversations.size > REMEMBERED_COMMANDS) folded.conversations.delete(folded.conversations.keys().next().value!);
    }
    if (folded.commandIds.at(-1) === commandId) return;
    folded.commandIds.push(commandId);
    if (folded.commandIds.length > REMEMBERED_COMMANDS) folded.commandIds.shift();
  }

  async function fold(aggregate: Aggregate, stream: string): Promise<Folded> {
    const folded: Folded = { state: aggregate.decider.initialState, revision: undefined, commandIds: [], conversations: new Map() };
    await readForward(aggregate, stream, folded);
    cache.set(stream, folded);
    return folded;
  }

  async function decideAndAppend(route: CommandRoute, command: AnyCommand, context: CommandContext): Promise<CommandOutcome> {
    const { aggregate, stream } = route;
    const deadline = clock.monotonic() + CONFLICT_DEADLINE_MS;
    const cached = cache.get(stream);
    let folded = cached ?? (await fold(aggregate, stream));
    // Cached state may decide only what ends in an append at its revision; everything else reads forward first.
    let fresh = cached === undefined;

    for (let attempt = 0; ; attempt++) {
      if (folded.commandIds.includes(context.commandId)) return repeated(route, folded, context.commandId);
      const now = instant(clock.now());
      const { events, refusal } = aggregate.decider.decide(folded.state, command as never, now);
      if (events.length === 0) {
        if (!fresh) {
          await readForward(aggregate, stream, folded);
          fresh = true;
          continue;
        }
        if (refusal !== undefined) {
          if (refusal.code !== context.unrecorded) refusals.record(command, refusal, context);
          return { kind: 'refused', refusal, position: undefined };
        }
        return route.creates ? repeated(route, folded, context.commandId) : quiet(folded);
      }

      const wire = await toWire(route, events, folded, context, now);
      const expected = folded.revision ?? 'no_stream';
      try {
        const result = await store.append(stream, expected, wire, { lane: context.lane ?? 'normal' });
        const first = (folded.revision ?? -1n) + 1n;
        if (result.revision !== first + BigInt(wire.length) - 1n) {
          // The store knows these ids from an earlier append: a repeat older than the fold's memory.
          await readForward(aggregate, stream, folded);
          return repeated(route, folded, context.commandId);
        }
        const recorded = wire.map((event, index) => ({
          ...event,
          stream,
          revision: first + BigInt(index),
          position: result.position,
          recordedAt: now,
        })) as unknown as Recorded<DomainEvent>[];
        for (const event of recorded) take(aggregate, folded, event, event.metadata);
        folded.revision = result.revision;
        cache.set(stream, folded);
        for (const listener of listeners) listener(recorded);
        if (refusal !== undefined) return { kind: 'refused', refusal, position: result.position };
        return { kind: 'accepted', events: recorded, revision: result.revision, position: result.position, repeated: false };
      } catch (error) {
        if (error instanceof AppendOutcomeUnknown) {
          // It may be there: whoever comes next must not decide from a fold that does not know.
          cache.delete(stream);
          throw error;
        }
        if (!(error instanceof WrongExpectedRevision)) throw error;
        conflicts.inc();
        if (clock.monotonic() >= deadline) throw new ConcurrencyConflict(`${stream} kept changing for ${CONFLICT_DEADLINE_MS} ms`);
        if (attempt > 0) await pause(fullJitter(attempt, { baseMs: 5, capMs: 200 }));
        if (error.actual === undefined || (folded.revision !== undefined && error.actual < folded.revision)) {
          // The stream is shorter than our fold of it: another log. Start over.
          folded = await fold(aggregate, stream);
        } else {
          await readForward(aggregate, stream, folded);
        }
        fresh = true;
      }
    }
  }

  function quiet(folded: Folded): CommandOutcome {
    return { kind: 'accepted', events: [], revision: folded.revision, position: undefined, repeated: false };
  }

  /** What a command made the first time is looked up only where its answer is made of it. */
  async function repeated(route: CommandRoute, folded: Folded, commandId: string): Promise<CommandOutcome> {
    if (!route.creates) return { kind: 'accepted', events: [], revision: folded.revision, position: undefined, repeated: true };
    const events = await recall(route.stream, commandId);
    return { kind: 'accepted', events, revision: folded.revision, position: events.at(-1)?.position, repeated: events.length > 0 };
  }

  async function recall(stream: string, commandId: string): Promise<readonly Recorded<DomainEvent>[]> {
    const found: Recorded<DomainEvent>[] = [];
    for await (const event of store.readStream(stream, { direction: 'backwards', limit: RECALL_LIMIT })) {
      if (event.metadata.commandId === commandId) found.push(recordedOf(event));
      else if (found.length > 0) break;
    }
    return found.reverse();
  }

  async function toWire(
    { aggregate }: CommandRoute,
    events: readonly DomainEvent[],
    { state, conversations }: Folded,
    context: CommandContext,
    now: string,
  ): Promise<EventToAppend[]> {
    const wire: EventToAppend[] = [];
    for (const [index, event] of events.entries()) {
      const data: Record<string, unknown> = { ...event.data };
      for (const { path, subject } of aggregate.codec.sealedPaths(state as never, event as never)) {
        const value = data[path];
        if (value !== undefined && !isSealed(value)) data[path] = await sealer.seal(subject, event.type, path, value as JsonObject);
      }
      let origin: Sealed | undefined;
      const originSubject = aggregate.codec.originSubject(context.actor, event as never, now);
      if (context.origin !== undefined && originSubject !== undefined) {
        origin = await sealer.seal(originSubject, event.type, 'metadata.origin', context.origin as JsonObject);
      }
      const metadata: EventMetadata = {
        schemaVersion: aggregate.codec.schemaVersionOf(event.type as never),
        commandId: context.commandId,
        correlationId: conversations.get((event.data as { unlockId?: string }).unlockId ?? '') ?? context.correlationId,
        causationId: context.causationId ?? context.commandId,
        actor: context.actor,
        source: context.source,
        occurredAt: now,
        ...(context.receivedAt === undefined ? {} : { receivedAt: context.receivedAt }),
        ...(context.deviceTime === undefined ? {} : { deviceTime: context.deviceTime }),
        ...(context.traceparent === undefined ? {} : { traceparent: context.traceparent }),
        ...(origin === undefined ? {} : { origin }),
      };
      wire.push({ eventId: eventIdOf(context.commandId, index), type: event.type, data: data as JsonObject, metadata });
    }
    return wire;
  }

  return {
    async execute(command, context) {
      const route = routeOf(command);
      const since = clock.monotonic();
      try {
        const outcome = await turns.run(route.stream, () => decideAndAppend(route, command, context));
        outcomes.inc({ command: command.type, outcome: outcome.kind });
        return outcome;
      } catch (error) {
        outcomes.inc({ command: command.type, outcome: 'error' });
        throw error;
      } finally {
        durations.observe({ command: command.type }, (clock.monotonic() - since) / 1_000);
      }
    },

    load<State>(aggregate: Aggregate<State>, id: string) {
      const stream = aggregate.streamOf(id);
      return turns.run(stream, async () => {
        const cached = cache.get(stream);
        if (cached === undefined) {
          const { state, revision } = await fold(aggregate as Aggregate, stream);
          return { state: state as State, revision };
        }
        await readForward(aggregate as Aggregate, stream, cached);
        return { state: cached.state as State, revision: cached.revision };
      });
    },

    recall,

    onAppended(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function recordedOf(event: RecordedEvent): Recorded<DomainEvent> {
  return { ...event, ...decodeEvent(event) } as unknown as Recorded<DomainEvent>;
}
