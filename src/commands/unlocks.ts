import { deviceAggregate } from '../domain/registry.ts';
import type { DeviceCommandOf } from '../domain/device/commands.ts';
import type { DeviceState } from '../domain/device/state.ts';
import { currentUnlock, findUnlock } from '../domain/device/unlock.ts';
import type { Recorded } from '../domain/events.ts';
import type { Refusal } from '../domain/kernel.ts';
import { localTimeIn } from './local-time.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { Metrics } from '../platform/metrics.ts';
import { unlockIdOf } from './command-ids.ts';
import { RECALL_MS, type Aggregates } from './handle.ts';
import type { Joins } from './idempotency.ts';
import { createAwaitInFlight } from './in-flight.ts';
import { KeyUsedLongAgo, type CommandContext, type CommandOutcome, type UnlockAsk, type UnlockProgress, type UnlockReply, type UnlockService } from './port.ts';
import type { RefusalLog } from './refusals.ts';
import type { UnlockWatches } from './unlock-watch.ts';

/** Requests that may wait their turn at one box; beyond it the answer is "busy" at once. */
const MAX_WAITING = 64;

export interface UnlockSettings {
  readonly ttlMs: number;
  /** Bounds the whole wait of one request: its turn and its result. */
  readonly waitMs: number;
  /** Couriers may open boxes of old firmware (development). */
  readonly level0Deliveries: boolean;
}

export interface Presence {
  /** As the device protocol says: a hello of the newest connection, a report on it lately, no will or bye. */
  reachable(deviceId: string): Promise<boolean>;
}

/** One request at a busy box. */
interface Waiter {
  /** Decides anew. */
  attempt(): Promise<void>;
}

/** Who waits at one box, first come first served. */
interface Queue {
  readonly waiters: Set<Waiter>;
  /** Set while those who wait decide anew, one after another; `again`: something changed meanwhile. */
  turn: { again: boolean } | undefined;
  readonly stopListening: () => void;
}

type Command = DeviceCommandOf<'RequestUnlock'>;

export function createUnlockService(deps: {
  readonly bus: Aggregates;
  readonly watches: UnlockWatches;
  readonly presence: Presence;
  readonly refusals: RefusalLog;
  readonly joins: Joins;
  readonly settings: UnlockSettings;
  readonly clock: Clock;
  readonly metrics: Metrics;
}): UnlockService {
  const { bus, watches, presence, refusals, joins, settings, clock, metrics } = deps;
  const queues = new Map<string, Queue>();
  const waiting = metrics.gauge('loqey_unlock_requests_waiting', 'Requests that wait their turn at a busy box');

  /** Made for each attempt: a link's hours may end while its courier waits. */
  function commandOf(ask: UnlockAsk, unlockId: string): Command {
    const { ttlMs, level0Deliveries } = settings;
    const { deviceId, cause, courier, reason, timeZone } = ask;
    const data: Command['data'] = {
      deviceId,
      unlockId,
      cause,
      ttlMs,
      level0Deliveries,
      ...(courier === undefined ? {} : { courier }),
      ...(reason === undefined ? {} : { reason }),
      ...(cause.kind !== 'link' || timeZone === undefined ? {} : { localTime: localTimeIn(timeZone, clock.now()) }),
    };
    return { type: 'RequestUnlock', data };
  }

  /** @throws KeyUsedLongAgo where it is no repeat: its key was another request's, a day ago and more */
  function repeated(unlock: UnlockProgress | undefined, unlockId: string, { seenBefore }: CommandContext): UnlockReply {
    const longAgo = unlock === undefined || clock.now() - Date.parse(unlock.requestedAt) > RECALL_MS;
    if (seenBefore === false && longAgo) throw new KeyUsedLongAgo(`Unlock ${unlockId} was asked for more than a day ago`);
    if (unlock === undefined) throw new Error(`Unlock ${unlockId} is not in the stream of its box`);
    return { kind: 'progress', unlock, repeated: true };
  }

  /** A repeat is answered as before; a refusal that names the right comes before "offline". */
  async function refusedOffline(ask: UnlockAsk, unlockId: string, context: CommandContext): Promise<UnlockReply> {
    const command = commandOf(ask, unlockId);
    const { state } = await bus.load<DeviceState>(deviceAggregate, ask.deviceId);
    if (state.kind === 'registered' && findUnlock(state, unlockId) !== undefined) {
      const unlock = await watches.read(ask.deviceId, unlockId);
      if (unlock !== undefined) return repeated(unlock, unlockId, context);
    }
    const { refusal } = deviceAggregate.decider.decide(state, command, instant(clock.now()));
    const answer: Refusal = refusal === undefined || refusal.code === 'device_busy' ? { code: 'device_offline' } : refusal;
    refusals.record(command, answer, context);
    return { kind: 'refused', refusal: answer };
  }

  /** Everyone who waits decides anew, in order, each time the box comes free or someone joins. */
  async function pump(queue: Queue): Promise<void> {
    if (queue.turn !== undefined) {
      queue.turn.again = true;
      return;
    }
    const turn = { again: true };
    queue.turn = turn;
    while (turn.again) {
      turn.again = false;
      for (const waiter of queue.waiters) await waiter.attempt();
    }
    queue.turn = undefined;
  }

  function join(deviceId: string, waiter: Waiter): Queue {
    let queue = queues.get(deviceId);
    if (queue === undefined) {
      const made: Queue = { waiters: new Set(), turn: undefined, stopListening: watches.onEnded(deviceId, () => void pump(made)) };
      queues.set(deviceId, (queue = made));
    }
    queue.waiters.add(waiter);
    waiting.inc();
    return queue;
  }

  function leave(deviceId: string, queue: Queue, waiter: Waiter): void {
    if (!queue.waiters.delete(waiter)) return;
    waiting.dec();
    if (queue.waiters.size > 0) return;
    queue.stopListening();
    if (queues.get(deviceId) === queue) queues.delete(deviceId);
  }

  /** The command's outcome once the box is free for it; still `device_busy` when the deadline came first. */
  async function inTurn(ask: UnlockAsk, unlockId: string, context: CommandContext, deadline: number): Promise<CommandOutcome> {
    const { deviceId } = ask;
    const execute = () => bus.execute(commandOf(ask, unlockId), { ...context, lane: 'urgent', unrecorded: 'device_busy' });
    // Whoever finds others waiting does not overtake them.
    if (!queues.has(deviceId)) {
      const first = await execute();
      if (!isBusy(first)) return first;
    }
    const busy: CommandOutcome = { kind: 'refused', refusal: { code: 'device_busy' }, position: undefined };
    if ((queues.get(deviceId)?.waiters.size ?? 0) >= MAX_WAITING) return busy;

    return new Promise((resolve, reject) => {
      // Once the deadline is there no new attempt begins, and one under way is waited for: what it gets accepted is its caller's.
      let late = false;
      let attempting = false;
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        leave(deviceId, queue, waiter);
        finish();
      };
      const waiter: Waiter = {
        async attempt() {
          if (late || !queue.waiters.has(waiter)) return;
          attempting = true;
          try {
            const outcome = await execute();
            if (!isBusy(outcome) || late) settle(() => resolve(outcome));
          } catch (error) {
            settle(() => reject(error as Error));
          }
          attempting = false;
        },
      };
      const queue = join(deviceId, waiter);
      const timer = setTimeout(() => {
        late = true;
        if (!attempting) settle(() => resolve(busy));
      }, Math.max(0, deadline - clock.monotonic()));
      void pump(queue);
    });
  }

  /** The same request again, or the same owner's request that is under way: nothing new is asked of the box. */
  async function joined({ deviceId, cause }: UnlockAsk, context: CommandContext, first: Recorded | undefined, until: 'accepted' | 'outcome', deadline: number): Promise<UnlockReply> {
    const { commandId } = context;
    const unlockId = unlockIdOf(commandId);
    const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
    const own = first !== undefined || (state.kind === 'registered' && findUnlock(state, unlockId) !== undefined);
    // The one that it joined may have come to its end in between, and the next may be somebody else's: then it is the last of theirs.
    const current = currentUnlock(state);
    const followedId = own ? unlockId : current?.cause.id === cause.id ? current.unlockId : await watches.latest(deviceId, cause.id);
    if (followedId === undefined) throw new Error(`Unlock ${unlockId} was accepted before, but its box does not know it`);
    // Before the answer: whoever repeats the request after that opening has ended must not open the box a second time.
    if (!own) await joins.keep(commandId, followedId);
    return follow(deviceId, followedId, context, first?.revision, until, deadline);
  }

  async function follow(deviceId: string, unlockId: string, context: CommandContext, from: bigint | undefined, until: 'accepted' | 'outcome', deadline: number): Promise<UnlockReply> {
    const watch = watches.open(deviceId, unlockId, from);
    try {
      const unlock = await (until === 'accepted' ? watch.now() : watch.untilOver(deadline - clock.monotonic()));
      return repeated(unlock, unlockId, context);
    } finally {
      watch.close();
    }
  }

  return {
    async request(ask, context, until) {
      const deadline = clock.monotonic() + settings.waitMs;
      const unlockId = unlockIdOf(context.commandId);
      const joinedBefore = context.seenBefore === true ? await joins.of(context.commandId) : undefined;
      if (joinedBefore !== undefined) return follow(ask.deviceId, joinedBefore, context, undefined, until, deadline);
      if (!(await presence.reachable(ask.deviceId))) return refusedOffline(ask, unlockId, context);

      // Before the request, so that no step of it goes by unheard.
      const watch = watches.open(ask.deviceId, unlockId);
      try {
        const outcome = await inTurn(ask, unlockId, context, deadline);
        if (outcome.kind === 'refused') {
          if (isBusy(outcome)) refusals.record(commandOf(ask, unlockId), outcome.refusal, context);
          return { kind: 'refused', refusal: outcome.refusal };
        }
        if (outcome.events.length > 0 && !outcome.repeated) {
          const unlock = await (until === 'accepted' ? watch.now() : watch.untilOver(deadline - clock.monotonic()));
          if (unlock === undefined) throw new Error('An accepted unlock has no UnlockRequested');
          return { kind: 'progress', unlock, repeated: false };
        }
        return await joined(ask, context, outcome.events[0], until, deadline);
      } finally {
        watch.close();
      }
    },

    awaitInFlight: createAwaitInFlight(bus, watches),
  };
}

function isBusy(outcome: CommandOutcome): boolean {
  return outcome.kind === 'refused' && outcome.refusal.code === 'device_busy';
}
