import { deviceAggregate } from '../domain/registry.ts';
import type { DeviceCommandOf } from '../domain/device/commands.ts';
import type { DeviceState } from '../domain/device/state.ts';
import type { Refusal } from '../domain/kernel.ts';
import { localTimeIn } from './local-time.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Aggregates } from './handle.ts';
import type { CommandContext, CommandOutcome, UnlockAsk, UnlockProgress, UnlockReply, UnlockService } from './port.ts';
import type { RefusalLog } from './refusals.ts';
import { advance, isOver } from './unlock-progress.ts';
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
  /** Decides anew; true when it has its answer and leaves the queue. */
  attempt(): Promise<boolean>;
}

export function createUnlockService(deps: {
  readonly bus: Aggregates;
  readonly watches: UnlockWatches;
  readonly presence: Presence;
  readonly refusals: RefusalLog;
  readonly settings: UnlockSettings;
  readonly clock: Clock;
  readonly metrics: Metrics;
}): UnlockService {
  const { bus, watches, presence, refusals, settings, clock, metrics } = deps;
  const queues = new Map<string, Waiter[]>();
  const pumping = new Map<string, { again: boolean }>();
  const waiting = metrics.gauge('loqey_unlock_requests_waiting', 'Requests that wait their turn at a busy box');

  type Command = DeviceCommandOf<'RequestUnlock'>;

  function commandOf(ask: UnlockAsk, unlockId: string): Command {
    const { ttlMs, level0Deliveries } = settings;
    const { deviceId, cause, courier, reason } = ask;
    const data: Command['data'] = {
      deviceId,
      unlockId,
      cause,
      ttlMs,
      level0Deliveries,
      ...(courier === undefined ? {} : { courier }),
      ...(reason === undefined ? {} : { reason }),
    };
    const timeZone = cause.kind === 'link' && ask.timeZone !== undefined ? ask.timeZone : undefined;
    return { type: 'RequestUnlock', data: timeZone === undefined ? data : { ...data, localTime: localTimeIn(timeZone, clock.now()) } };
  }

  /** What the box's rules say, without asking for it: a refusal that names the link comes before "offline". */
  async function refusalOf(command: Command): Promise<Refusal | undefined> {
    const { state } = await bus.load<DeviceState>(deviceAggregate, command.data.deviceId);
    return deviceAggregate.decider.decide(state, command, instant(clock.now())).refusal;
  }

  async function refusedOffline(command: Command, context: CommandContext): Promise<UnlockReply> {
    const known = await bus.recall(deviceAggregate.streamOf(command.data.deviceId), context.commandId);
    const progress = known.reduce<UnlockProgress | undefined>(advance, undefined);
    if (progress !== undefined) {
      const now = await watches.read(command.data.deviceId, progress.unlockId);
      return { kind: 'progress', unlock: now ?? progress, repeated: true };
    }
    const refusal = await refusalOf(command);
    const answer: Refusal = refusal === undefined || refusal.code === 'device_busy' ? { code: 'device_offline' } : refusal;
    refusals.record(command, answer, context);
    return { kind: 'refused', refusal: answer };
  }

  /** First come, first served: everyone who waits decides anew, in order, each time the box comes free or someone joins. */
  async function pump(deviceId: string): Promise<void> {
    const running = pumping.get(deviceId);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const state = { again: false };
    pumping.set(deviceId, state);
    try {
      do {
        state.again = false;
        for (const waiter of [...(queues.get(deviceId) ?? [])]) {
          if (await waiter.attempt()) leave(deviceId, waiter);
        }
      } while (state.again);
    } finally {
      pumping.delete(deviceId);
    }
  }

  function leave(deviceId: string, waiter: Waiter): void {
    const queue = queues.get(deviceId);
    const index = queue?.indexOf(waiter) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.splice(index, 1);
    waiting.dec();
    if (queue.length === 0) queues.delete(deviceId);
  }

  /** The command's outcome once the box is free for it; still `device_busy` when the deadline came first. */
  async function inTurn(command: Command, context: CommandContext, deadline: number): Promise<CommandOutcome> {
    const { deviceId } = command.data;
    const execute = () => bus.execute(command, { ...context, lane: 'urgent', unrecorded: 'device_busy' });
    const queue = queues.get(deviceId) ?? [];
    if (queue.length === 0) {
      const first = await execute();
      if (!isBusy(first)) return first;
    }
    const busy: CommandOutcome = { kind: 'refused', refusal: { code: 'device_busy' }, position: undefined };
    if ((queues.get(deviceId)?.length ?? 0) >= MAX_WAITING) return busy;

    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (finish: () => void) => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        stopListening();
        leave(deviceId, waiter);
        finish();
      };
      const waiter: Waiter = {
        async attempt() {
          if (settled) return true;
          try {
            const outcome = await execute();
            // The deadline may have passed meanwhile; an accepted request is still the caller's.
            if (isBusy(outcome)) return settled;
            settle(() => resolve(outcome));
          } catch (error) {
            settle(() => reject(error as Error));
          }
          return true;
        },
      };
      const timer = setTimeout(() => void lastAttempt(), Math.max(0, deadline - clock.monotonic()));
      // The decision at the deadline goes through the queue like all others: none runs beside it for this request.
      const lastAttempt = async () => {
        await pump(deviceId).catch((error: unknown) => settle(() => reject(error as Error)));
        settle(() => resolve(busy));
      };
      const stopListening = watches.onEnded(deviceId, () => void pump(deviceId));
      const waiters = queues.get(deviceId) ?? [];
      waiters.push(waiter);
      waiting.inc();
      queues.set(deviceId, waiters);
      void pump(deviceId);
    });
  }

  /** The same request again, or the same owner's request that is under way: nothing new is asked of the box. */
  async function joined(deviceId: string, unlockId: string, until: 'accepted' | 'outcome', deadline: number): Promise<UnlockReply> {
    const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
    const own = await watches.read(deviceId, unlockId);
    const followedId = own?.unlockId ?? (state.kind === 'registered' ? state.unlocks.current?.unlockId : undefined);
    if (followedId === undefined) throw new Error(`Unlock ${unlockId} was accepted before, but its box does not know it`);
    const watch = watches.open(deviceId, followedId);
    try {
      const unlock = await (until === 'accepted' ? watch.now() : watch.untilOver(deadline - clock.monotonic()));
      if (unlock === undefined) throw new Error(`Unlock ${followedId} is too far back in its box's stream`);
      return { kind: 'progress', unlock, repeated: true };
    } finally {
      watch.close();
    }
  }

  return {
    async request(ask, context, until) {
      const deadline = clock.monotonic() + settings.waitMs;
      const unlockId = derivedCommandId('unlock', context.commandId);
      const command = commandOf(ask, unlockId);
      if (!(await presence.reachable(ask.deviceId))) return refusedOffline(command, context);

      // Before the request, so that no step of it goes by unheard.
      const watch = watches.open(ask.deviceId, unlockId);
      try {
        const outcome = await inTurn(command, context, deadline);
        if (outcome.kind === 'refused') {
          if (outcome.refusal.code === 'device_busy') refusals.record(command, outcome.refusal, context);
          return { kind: 'refused', refusal: outcome.refusal };
        }
        if (outcome.events.length > 0 && !outcome.repeated) {
          const unlock = await (until === 'accepted' ? watch.now() : watch.untilOver(deadline - clock.monotonic()));
          if (unlock === undefined) throw new Error('An accepted unlock has no UnlockRequested');
          return { kind: 'progress', unlock, repeated: false };
        }
        return await joined(ask.deviceId, unlockId, until, deadline);
      } finally {
        watch.close();
      }
    },

    async awaitInFlight(deviceId, linkId, timeoutMs) {
      const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
      if (state.kind !== 'registered') return undefined;
      const { current } = state.unlocks;
      if (current === null || current.phase === 'requested') return undefined;
      if (linkId !== undefined && (current.cause.kind !== 'link' || current.cause.id !== linkId)) return undefined;
      const watch = watches.open(deviceId, current.unlockId);
      try {
        const last = await watch.untilOver(timeoutMs);
        return last === undefined || isOver(last) ? undefined : { unlockId: current.unlockId, expiresAt: current.expiresAt };
      } finally {
        watch.close();
      }
    },
  };
}

function isBusy(outcome: CommandOutcome): boolean {
  return outcome.kind === 'refused' && outcome.refusal.code === 'device_busy';
}
