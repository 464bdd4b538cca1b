import { LRUCache } from 'lru-cache';
import { decodeEvent, recordedOf, type Aggregate } from '../domain/registry.ts';
import type { DomainEvent, Recorded } from '../domain/events.ts';
import { isSealed, type EventMetadata, type Refusal, type Sealed } from '../domain/kernel.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { WrongExpectedRevision, type EventStore, type EventToAppend, type JsonObject, type RecordedEvent } from '../platform/event-store/port.ts';
import { eventIdOf } from '../platform/ids.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import { InTurn } from './in-turn.ts';
import { ConcurrencyConflict, KeyUsedLongAgo, type AnyCommand, type CommandBus, type CommandContext, type CommandOutcome } from './port.ts';
import { countedRefusal, routeOf, type CommandRoute } from './registry.ts';
import type { SnapshotStore } from './snapshots.ts';

/** Command ids that a fold remembers, so that a repeat after a crash is recognised without another table. */
const REMEMBERED_COMMANDS = 64;
/** How long conflicts with other processes are retried. */
const CONFLICT_DEADLINE_MS = 2_000;
/** How far back a repeat looks for the events it made the first time: as long as an idempotency key lives, and so many. */
export const RECALL_MS = 25 * 3_600_000;
const RECALL_LIMIT = 10_000;
const CACHE_BYTES = 128 * 1024 * 1024;
/** A cold fold reads one snapshot and at most about so many events. */
const SNAPSHOT_EVERY = 500n;
/** A fold is weighed again after so many events; a heavy one after as many as its weight makes worth it. */
const WEIGH_EVERY = 64n;
const WEIGHING_BYTES_PER_EVENT = 2_000;

/** One stream folded up to `revision`. Changed only by whoever has the stream's turn. */
interface Folded {
  state: unknown;
  revision: bigint | undefined;
  lastEventId: string;
  readonly commandIds: string[];
  /** Which conversation each of the last unlocks belongs to, so that all its events carry one correlation id. */
  readonly conversations: Map<string, string>;
  /** The revision of the snapshot that was loaded or offered last; -1 without one. */
  snapshotAt: bigint;
  /** About what it takes in memory, and at which revision that was measured. */
  bytes: number;
  weighedAt: bigint;
}

export interface CommandBusDeps {
  readonly store: EventStore;
  readonly sealer: Pick<Sealer, 'seal'>;
  readonly refusals: { record(command: AnyCommand, refusal: Refusal, context: CommandContext): void };
  /** Without them each cold fold reads its whole stream. */
  readonly snapshots?: SnapshotStore;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/**
 * Called right after an append of this process, before its command answers. Must not block. `position` is that of the
 * append's last event in all of them.
 */
export type AppendListener = (events: readonly Recorded<DomainEvent>[]) => void;

export interface Aggregates extends CommandBus {
  /** The state now: reads forward first. */
  load<State>(aggregate: Aggregate<State>, id: string): Promise<{ readonly state: State; readonly revision: bigint | undefined }>;
  /** The state as last seen by this process, if it is at hand. A hint: nothing is refused or done because of it alone. */
  peek<State>(aggregate: Aggregate<State>, id: string): State | undefined;
  /** The events that a command id made lately, if it was carried out. */
  recall(stream: string, commandId: string): Promise<readonly Recorded<DomainEvent>[]>;
  onAppended(listener: AppendListener): () => void;
  /** At most one per bus: what may be decided with a command and stored in the same append. */
  continueWith(continuation: Continuation): void;
}

/** What was decided and is about to be appended. */
export type Decided = DomainEvent & Pick<EventToAppend, 'eventId' | 'metadata'>;

/**
 * A command that follows from a decision at once, on the same stream: decided on the state that the decision leads to,
 * and appended with it or not at all. Where it decides nothing, the first is appended alone.
 */
export type Continuation = (
  decided: readonly Decided[],
  stream: string,
) => Promise<{ readonly command: AnyCommand; readonly context: CommandContext } | undefined>;

export function createCommandBus(deps: CommandBusDeps): Aggregates {
  const { store, sealer, refusals, snapshots, clock, metrics } = deps;
  const turns = new InTurn();
  const listeners = new Set<AppendListener>();
  let continuation: Continuation | undefined;
  const cache = new LRUCache<string, Folded>({ maxSize: CACHE_BYTES, sizeCalculation: ({ bytes }) => bytes });
  const outcomes = metrics.counter('loqey_commands_total', 'Commands by type and outcome', ['command', 'outcome']);
  const durations = metrics.histogram('loqey_command_duration_seconds', 'From execute to outcome', ['command']);
  const conflicts = metrics.counter('loqey_command_conflicts_total', 'Appends that another process was ahead of');
  const deaf = metrics.counter('loqey_append_listener_failures_total', 'Listeners to appends that failed');

  /** Folds what the stream has beyond `folded`, in place. */
  async function readForward(aggregate: Aggregate, stream: string, folded: Folded): Promise<void> {
    const from = nextOf(folded);
    for await (const event of store.readStream(stream, { from })) take(aggregate, folded, decodeEvent(event), event);
    if (nextOf(folded) > from) keep(aggregate, stream, folded);
  }

  function take(aggregate: Aggregate, folded: Folded, event: DomainEvent, { revision, eventId, metadata }: RecordedEvent): void {
    const { commandId, correlationId, occurredAt } = metadata;
    folded.state = aggregate.decider.evolve(folded.state, event as never, occurredAt);
    folded.revision = revision;
    folded.lastEventId = eventId;
    if (event.type === 'UnlockRequested') {
      folded.conversations.set(event.data.unlockId, correlationId);
      if (folded.conversations.size > REMEMBERED_COMMANDS) folded.conversations.delete(folded.conversations.keys().next().value!);
    }
    if (folded.commandIds.at(-1) === commandId) return;
    folded.commandIds.push(commandId);
    if (folded.commandIds.length > REMEMBERED_COMMANDS) folded.commandIds.shift();
  }

  async function fold(aggregate: Aggregate, stream: string): Promise<Folded> {
    const folded = (await fromSnapshot(aggregate, stream)) ?? blank(aggregate);
    await readForward(aggregate, stream, folded);
    if (!cache.has(stream)) keep(aggregate, stream, folded);
    return folded;
  }

  function blank(aggregate: Aggregate): Folded {
    const state = aggregate.decider.initialState;
    return { state, revision: undefined, lastEventId: '', commandIds: [], conversations: new Map(), snapshotAt: -1n, bytes: 0, weighedAt: -WEIGH_EVERY };
  }

  /** Believed only where the log has, at the snapshot's revision, the very event it ends with. */
  async function fromSnapshot(aggregate: Aggregate, stream: string): Promise<Folded | undefined> {
    const snapshot = await snapshots?.load(stream, aggregate.stateVersion);
    if (snapshot === undefined) return undefined;
    const { state, revision, eventId, commandIds, conversations } = snapshot;
    for await (const event of store.readStream(stream, { from: revision, limit: 1 })) {
      if (event.revision !== revision || event.eventId !== eventId) break;
      return {
        ...blank(aggregate),
        state,
        revision,
        lastEventId: eventId,
        commandIds: [...commandIds],
        conversations: new Map(conversations),
        snapshotAt: revision,
        weighedAt: revision - WEIGH_EVERY,
      };
    }
    snapshots?.forget(stream);
    return undefined;
  }

  /** Into the cache, by its weight; and its snapshot is due every so often. */
  function keep(aggregate: Aggregate, stream: string, folded: Folded): void {
    const at = folded.revision ?? 0n;
    const patience = BigInt(Math.floor(folded.bytes / WEIGHING_BYTES_PER_EVENT));
    if (at - folded.weighedAt >= (patience > WEIGH_EVERY ? patience : WEIGH_EVERY)) {
      folded.bytes = 4_000 + 2 * JSON.stringify(folded.state).length;
      folded.weighedAt = at;
    }
    cache.set(stream, folded);
    if (snapshots === undefined || folded.revision === undefined || folded.revision - folded.snapshotAt < SNAPSHOT_EVERY) return;
    folded.snapshotAt = folded.revision;
    const { state, revision, lastEventId: eventId, commandIds, conversations } = folded;
    snapshots.offer(stream, aggregate.stateVersion, { state, revision, eventId, commandIds: [...commandIds], conversations: [...conversations] });
  }

  async function decideAndAppend(route: CommandRoute, command: AnyCommand, context: CommandContext): Promise<CommandOutcome> {
    const { aggregate, stream } = route;
    const { commandId } = context;
    const deadline = clock.monotonic() + CONFLICT_DEADLINE_MS;
    const cached = cache.get(stream);
    let folded = cached ?? (await fold(aggregate, stream));
    // Cached state may decide only what ends in an append at its revision; everything else reads forward first.
    let fresh = cached === undefined;
    if (context.seenBefore === true && !folded.commandIds.includes(commandId)) {
      const events = await recall(stream, commandId);
      if (events.length > 0) return answerOf(events, folded);
    }

    for (let attempt = 0; ; attempt++) {
      if (folded.commandIds.includes(commandId)) return repeated(route, folded, context);
      const now = instant(clock.now());
      const { events, refusal } = aggregate.decider.decide(folded.state, command as never, now);
      if (events.length === 0) {
        if (!fresh) {
          await readForward(aggregate, stream, folded);
          fresh = true;
          continue;
        }
        if (refusal === undefined) return { kind: 'accepted', events: [], revision: folded.revision, position: undefined, repeated: false };
        if (refusal.code !== context.unrecorded) refusals.record(command, refusal, context);
        return { kind: 'refused', refusal, position: undefined };
      }

      const own = await toWire(route, events, folded, context, now);
      const wire = own.concat(await continued(route, own, folded, now));
      const first = nextOf(folded);
      const last = first + BigInt(wire.length) - 1n;
      try {
        const { revision, position } = await store.append(stream, folded.revision ?? 'no_stream', wire, { lane: context.lane ?? 'normal' });
        if (revision !== last) {
          // The store knows these ids from an earlier append: a repeat older than the fold's memory.
          return await repeated({ ...route, creates: true }, folded, context);
        }
        // Another process may have carried out the same request at the same revision: what is stored is what happened.
        const recorded = context.seenBefore === true ? await read(stream, first, wire.length) : wire.map((event, index) => ({ ...event, stream, revision: first + BigInt(index), position, recordedAt: now }));
        const decoded = recorded.map(recordedOf);
        for (const [index, event] of decoded.entries()) take(aggregate, folded, event, recorded[index]!);
        keep(aggregate, stream, folded);
        tell(decoded);
        if (refusal !== undefined) return { kind: 'refused', refusal, position };
        return { kind: 'accepted', events: decoded.slice(0, own.length), revision, position, repeated: false };
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision)) {
          // It may be there: whoever comes next must not decide from a fold that does not know.
          cache.delete(stream);
          throw error;
        }
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

  /** The events of what follows at once from `decided`, on the state that those lead to. */
  async function continued(route: CommandRoute, decided: readonly EventToAppend[], folded: Folded, now: string): Promise<EventToAppend[]> {
    const next = await continuation?.(decided as unknown as readonly Decided[], route.stream);
    if (next === undefined || folded.commandIds.includes(next.context.commandId)) return [];
    const { decider } = route.aggregate;
    let { state } = folded;
    const conversations = new Map(folded.conversations);
    for (const event of decided) {
      const domainEvent = event as unknown as DomainEvent;
      state = decider.evolve(state, domainEvent as never, now);
      if (domainEvent.type === 'UnlockRequested') conversations.set(domainEvent.data.unlockId, event.metadata.correlationId);
    }
    const { events } = decider.decide(state, next.command as never, now);
    return events.length === 0 ? [] : toWire(route, events, { ...folded, state, conversations }, next.context, now);
  }

  /** What was appended is appended: a listener that fails must not make its command fail. */
  function tell(events: readonly Recorded<DomainEvent>[]): void {
    for (const listener of listeners) {
      try {
        listener(events);
      } catch {
        deaf.inc();
      }
    }
  }

  /** What a command made the first time is looked up where its answer is made of it, and where it may be too long ago. */
  async function repeated({ creates, stream }: CommandRoute, folded: Folded, { commandId, seenBefore }: CommandContext): Promise<CommandOutcome> {
    const events = creates || seenBefore === false ? await recall(stream, commandId) : [];
    if (events.length === 0 && seenBefore === false) throw new KeyUsedLongAgo(`Command ${commandId} was carried out more than a day ago`);
    return answerOf(events, folded);
  }

  function answerOf(events: readonly Recorded<DomainEvent>[], { revision }: Folded): CommandOutcome {
    const position = events.at(-1)?.position;
    const refusal = countedRefusal(events);
    return refusal === undefined ? { kind: 'accepted', events, revision, position, repeated: true } : { kind: 'refused', refusal, position };
  }

  async function recall(stream: string, commandId: string): Promise<readonly Recorded<DomainEvent>[]> {
    const since = instant(clock.now() - RECALL_MS);
    const found: Recorded<DomainEvent>[] = [];
    for await (const event of store.readStream(stream, { direction: 'backwards', limit: RECALL_LIMIT })) {
      if (event.metadata.commandId === commandId) found.push(recordedOf(event));
      else if (found.length > 0 || event.metadata.occurredAt < since) break;
    }
    return found.reverse();
  }

  async function read(stream: string, from: bigint, limit: number): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for await (const event of store.readStream(stream, { from, limit })) events.push(event);
    return events;
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
        correlationId: conversations.get(unlockIdIn(event) ?? '') ?? context.correlationId,
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

    peek: <State>(aggregate: Aggregate<State>, id: string) => cache.peek(aggregate.streamOf(id))?.state as State | undefined,

    recall,

    continueWith(next) {
      continuation = next;
    },

    onAppended(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function nextOf({ revision }: Folded): bigint {
  return revision === undefined ? 0n : revision + 1n;
}

/** The opening that an event is about: a box names it as the command it carried out. */
function unlockIdIn({ data }: DomainEvent): string | undefined {
  const { unlockId, commandId } = data as { readonly unlockId?: string; readonly commandId?: string };
  return unlockId ?? commandId;
}
