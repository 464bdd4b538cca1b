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
  /** The id of the last request that this person or link made of the box. */
  latest(deviceId: string, causeId: string): Promise<string | undefined>;
  /** Called when an unlock of this box came to its end. */
  onEnded(deviceId: string, listener: () => void): () => void;
}

/** Where other processes append too: what tells that a box's stream moved on. */
export interface ForeignChanges {
  on(topic: string, listener: () => void): () => void;
}

interface Watched {
  readonly unlockId: string;
  readonly from: bigint | undefined;
  progress: UnlockProgress | undefined;
  readonly waiters: Set<() => void>;
}

/** A box of which unlocks are watched, where other processes append too. */
interface Followed {
  readonly watched: Set<Watched>;
  /** One read at a time, however often the box's stream moves on and however many wait: a store that is slow is not asked the more. */
  reading: boolean;
  moved: boolean;
  stop(): void;
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
  const byDevice = new Map<string, Followed>();
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
    if (from === undefined) return (await readLatest(deviceId, new Set([unlockId]))).get(unlockId);
    let progress: UnlockProgress | undefined;
    for await (const wire of store.readStream(deviceStream(deviceId), { from, limit: LOOK_BACK })) {
      const event = recordedOf(wire);
      if (unlockIdOf(event) === unlockId) progress = advance(progress, event);
    }
    return progress;
  }

  /** Of those that are among the newest events of the box's stream. */
  async function readLatest(deviceId: string, unlockIds: ReadonlySet<string>): Promise<ReadonlyMap<string, UnlockProgress>> {
    const events: Recorded<DomainEvent>[] = [];
    let unseen = unlockIds.size;
    for await (const wire of store.readStream(deviceStream(deviceId), { direction: 'backwards', limit: LOOK_BACK })) {
      const event = recordedOf(wire);
      if (!unlockIds.has(unlockIdOf(event) ?? '')) continue;
      events.push(event);
      if (event.type === 'UnlockRequested' && --unseen === 0) break;
    }
    const found = new Map<string, UnlockProgress>();
    for (const event of events.toReversed()) {
      const unlockId = unlockIdOf(event)!;
      const progress = advance(found.get(unlockId), event);
      if (progress !== undefined) found.set(unlockId, progress);
    }
    return found;
  }

  /** What other processes appended to this box's stream is read once for all who wait. */
  async function follow(deviceId: string, followed: Followed): Promise<void> {
    followed.moved = true;
    if (followed.reading) return;
    followed.reading = true;
    while (followed.moved && followed.watched.size > 0) {
      followed.moved = false;
      try {
        const waiting = [...followed.watched];
        const near = new Set(waiting.flatMap(({ unlockId, from }) => (from === undefined ? [unlockId] : [])));
        const latest = near.size === 0 ? undefined : await readLatest(deviceId, near);
        for (const watched of waiting) {
          const { unlockId, from } = watched;
          const progress = from === undefined ? latest?.get(unlockId) : await read(deviceId, unlockId, from);
          // A read that was overtaken by what this process appended itself does not take it back.
          if (progress === undefined || (watched.progress !== undefined && isOver(watched.progress) && !isOver(progress))) continue;
          watched.progress = progress;
          if (isOver(progress)) wake(watched);
        }
      } catch (error) {
        logger.warn({ err: error, deviceId }, 'Unlocks of a box could not be followed');
      }
    }
    followed.reading = false;
  }

  function followedOf(deviceId: string): Followed {
    const known = byDevice.get(deviceId);
    if (known !== undefined) return known;
    const followed: Followed = { watched: new Set(), reading: false, moved: false, stop: listenToForeign(deviceId, () => void follow(deviceId, followed)) };
    byDevice.set(deviceId, followed);
    return followed;
  }

  function listenToForeign(deviceId: string, changed: () => void): () => void {
    return foreign === undefined ? () => undefined : foreign.on(`device:${deviceId}`, changed);
  }

  return {
    read,

    async latest(deviceId, causeId) {
      for await (const wire of store.readStream(deviceStream(deviceId), { direction: 'backwards', limit: LOOK_BACK })) {
        const event = recordedOf(wire);
        if (event.type === 'UnlockRequested' && event.data.cause.id === causeId) return event.data.unlockId;
      }
      return undefined;
    },

    open(deviceId, unlockId, from) {
      const watched: Watched = { unlockId, from, progress: undefined, waiters: new Set() };
      const others = byUnlock.get(unlockId) ?? new Set();
      others.add(watched);
      byUnlock.set(unlockId, others);
      const followed = followedOf(deviceId);
      followed.watched.add(watched);
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
          others.delete(watched);
          if (others.size === 0 && byUnlock.get(unlockId) === others) byUnlock.delete(unlockId);
          followed.watched.delete(watched);
          if (followed.watched.size > 0 || byDevice.get(deviceId) !== followed) return;
          byDevice.delete(deviceId);
          followed.stop();
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
