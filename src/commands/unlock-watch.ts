import type { DomainEvent, Recorded } from '../domain/events.ts';
import { deviceStream } from '../domain/device/stream.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import type { Logger } from '../platform/logger.ts';
import { recordedOf } from '../domain/registry.ts';
import type { UnlockProgress } from './port.ts';
import { advance, isOver, unlockIdOf } from './unlock-progress.ts';

/** How far back a box's stream is read for one unlock. */
const LOOK_BACK = 300;

export interface UnlockWatch {
  /** How far it has come: as heard, or read from the log where the watch began in the middle. */
  now(): Promise<UnlockProgress | undefined>;
  /** Resolves when it is over, or after `timeoutMs`, with how far it came. */
  untilOver(timeoutMs: number): Promise<UnlockProgress | undefined>;
  close(): void;
}

export interface UnlockWatches {
  /** `from`: the revision of its request, where it is known to be far back. */
  open(deviceId: string, unlockId: string, from?: bigint): UnlockWatch;
  /** As the log has it now. Undefined: none of that id lately. */
  read(deviceId: string, unlockId: string, from?: bigint): Promise<UnlockProgress | undefined>;
  /** The id of the box's last request. */
  latest(deviceId: string): Promise<string | undefined>;
  /** Called when an unlock of this box came to its end. */
  onEnded(deviceId: string, listener: () => void): () => void;
}

/** Where other processes append too: what tells that a box's stream moved on. */
export interface ForeignChanges {
  on(topic: string, listener: () => void): () => void;
}

interface Watched {
  readonly unlockId: string;
  progress: UnlockProgress | undefined;
  readonly waiters: Set<() => void>;
}

/** Follows unlocks through this process's own appends, and through the live feed where others append as well. */
export function createUnlockWatches(deps: {
  readonly store: EventStore;
  readonly onAppended: (listener: (events: readonly Recorded<DomainEvent>[]) => void) => () => void;
  readonly foreign: ForeignChanges | undefined;
  readonly logger: Logger;
}): UnlockWatches {
  const { store, foreign } = deps;
  const logger = deps.logger.child({ component: 'unlock-watch' });
  const byUnlock = new Map<string, Set<Watched>>();
  const endListeners = new Map<string, Set<() => void>>();

  deps.onAppended((events) => {
    for (const event of events) {
      const unlockId = unlockIdOf(event);
      if (unlockId === undefined) continue;
      const over = endsUnlock(event);
      for (const watched of byUnlock.get(unlockId) ?? []) {
        watched.progress = advance(watched.progress, event);
        if (over) wake(watched);
      }
      if (over) for (const listener of endListeners.get(event.stream.slice('device-'.length)) ?? []) listener();
    }
  });

  async function read(deviceId: string, unlockId: string, from?: bigint): Promise<UnlockProgress | undefined> {
    const stream = deviceStream(deviceId);
    const events: Recorded<DomainEvent>[] = [];
    if (from !== undefined) {
      for await (const wire of store.readStream(stream, { from, limit: LOOK_BACK })) events.push(recordedOf(wire));
    } else {
      for await (const wire of store.readStream(stream, { direction: 'backwards', limit: LOOK_BACK })) {
        const event = recordedOf(wire);
        if (unlockIdOf(event) !== unlockId) continue;
        events.unshift(event);
        if (event.type === 'UnlockRequested') break;
      }
    }
    return events.reduce<UnlockProgress | undefined>((progress, event) => (unlockIdOf(event) === unlockId ? advance(progress, event) : progress), undefined);
  }

  function listenToForeign(deviceId: string, changed: () => void): () => void {
    return foreign === undefined ? () => undefined : foreign.on(`device:${deviceId}`, changed);
  }

  return {
    read,

    async latest(deviceId) {
      for await (const wire of store.readStream(deviceStream(deviceId), { direction: 'backwards', limit: LOOK_BACK })) {
        const event = recordedOf(wire);
        if (event.type === 'UnlockRequested') return event.data.unlockId;
      }
      return undefined;
    },

    open(deviceId, unlockId, from) {
      const watched: Watched = { unlockId, progress: undefined, waiters: new Set() };
      const others = byUnlock.get(unlockId) ?? new Set();
      others.add(watched);
      byUnlock.set(unlockId, others);
      /** One read at a time, however often the box's stream moves on meanwhile: a store that is slow is not asked the more. */
      let reading = false;
      let moved = false;
      const follow = async (): Promise<void> => {
        moved = true;
        if (reading) return;
        reading = true;
        while (moved && others.has(watched)) {
          moved = false;
          try {
            const progress = await read(deviceId, unlockId, from);
            // A read that was overtaken by what this process appended itself does not take it back.
            if (progress === undefined || (watched.progress !== undefined && isOver(watched.progress) && !isOver(progress))) continue;
            watched.progress = progress;
            if (isOver(progress)) wake(watched);
          } catch (error) {
            logger.warn({ err: error, deviceId }, 'An unlock could not be followed');
          }
        }
        reading = false;
      };
      const stopForeign = listenToForeign(deviceId, () => void follow());
      const now = async () => watched.progress ?? (await read(deviceId, unlockId, from));
      return {
        now,
        async untilOver(timeoutMs) {
          // Listens first and reads then: an end between the two is not missed.
          const woken = new Promise<void>((resolve) => {
            const done = () => {
              clearTimeout(timer);
              watched.waiters.delete(done);
              resolve();
            };
            const timer = setTimeout(done, Math.max(0, timeoutMs));
            watched.waiters.add(done);
          });
          const progress = await now();
          if (progress !== undefined && isOver(progress)) {
            wake(watched);
            return progress;
          }
          await woken;
          // Heard to be over, or the time is up: then as the log has it, for not every step is heard here.
          return watched.progress !== undefined && isOver(watched.progress) ? watched.progress : ((await read(deviceId, unlockId, from)) ?? watched.progress);
        },
        close() {
          stopForeign();
          others.delete(watched);
          if (others.size === 0 && byUnlock.get(unlockId) === others) byUnlock.delete(unlockId);
        },
      };
    },

    onEnded(deviceId, listener) {
      const listeners = endListeners.get(deviceId) ?? new Set();
      listeners.add(listener);
      endListeners.set(deviceId, listeners);
      const stopForeign = listenToForeign(deviceId, listener);
      return () => {
        stopForeign();
        listeners.delete(listener);
        if (listeners.size === 0 && endListeners.get(deviceId) === listeners) endListeners.delete(deviceId);
      };
    },
  };
}

function wake(watched: Watched): void {
  for (const waiter of watched.waiters) waiter();
}

/** Frees the box for the next request. */
function endsUnlock({ type }: DomainEvent): boolean {
  return type === 'UnlockConfirmed' || type === 'UnlockFailed' || type === 'UnlockOutcomeUnknown' || type === 'UnlockCancelled' || type === 'UnlockExpired';
}
