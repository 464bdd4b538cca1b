import { matcher } from './filter.ts';
import type { EventBatch, RecordedEvent, SubscribeOptions } from './port.ts';

type Subscribe = (options: Omit<SubscribeOptions, 'filter'>) => AsyncGenerator<EventBatch>;

/** Events kept for who is a little behind; whoever is further behind follows alone until it has caught up. */
const KEPT = 2_000;

/**
 * One subscription to the store for all in this process that are at the end of the log: an event crosses the connection and
 * is decoded once, however many listen. Who has to catch up, first or again, has one of its own until then.
 */
export function fanOut(subscribe: Subscribe, kept = KEPT): (options: SubscribeOptions) => AsyncGenerator<EventBatch> {
  let shared: SharedEnd | undefined;

  return async function* subscribeAll({ after, filter, signal, maxBatch = 1_000 }) {
    const matches = matcher(filter);
    const matching = (batch: EventBatch): EventBatch => ({ ...batch, events: batch.events.filter(matches) });
    let position = after;
    let told = false; // whether the last batch said that it is live

    while (!signal.aborted) {
      if (position !== undefined && shared?.reachesBackTo(position) === true) yield* withOthers(shared, position);
      else yield* alone();
    }

    /** The first that has caught up hands its subscription over, and goes on as one of those that share it. */
    async function* alone(): AsyncGenerator<EventBatch> {
      const over = new AbortController();
      const abort = () => over.abort();
      signal.addEventListener('abort', abort);
      const batches = subscribe({ after: position, signal: over.signal, maxBatch });
      let mine = true;
      try {
        for (let next = await batches.next(); next.done !== true; next = await batches.next()) {
          const batch = next.value;
          ({ position, live: told } = batch);
          yield matching(batch);
          if (signal.aborted) return;
          if (!batch.live) continue;
          if (shared === undefined) {
            mine = false;
            shared = createSharedEnd(batches, over, position, kept);
          }
          if (shared.reachesBackTo(position)) return;
        }
      } finally {
        signal.removeEventListener('abort', abort);
        if (mine) await batches.return(undefined);
      }
    }

    async function* withOthers(end: SharedEnd, from: bigint): AsyncGenerator<EventBatch> {
      const wake = () => end.wake();
      signal.addEventListener('abort', wake);
      end.enter();
      try {
        for (let at = from; !signal.aborted && end.reachesBackTo(at); ) {
          const batch = end.after(at, maxBatch);
          if (batch.position > at || (batch.live && !told)) {
            at = batch.position;
            ({ position, live: told } = batch);
            yield matching(batch);
          } else {
            await end.changed();
          }
        }
      } finally {
        signal.removeEventListener('abort', wake);
        if (end.leave() && shared === end) shared = undefined;
      }
    }
  };
}

type SharedEnd = ReturnType<typeof createSharedEnd>;

/** What `batches` brings after `from`, as far back as it is kept, and those who wait for more. */
function createSharedEnd(batches: AsyncGenerator<EventBatch>, over: AbortController, from: bigint, kept: number) {
  const waiting = new Set<() => void>();
  const events: RecordedEvent[] = [];
  let start = from;
  let reached = from;
  let live = true;
  let followers = 0;
  let failed: { readonly error: unknown } | undefined;

  function wake(): void {
    const woken = [...waiting];
    waiting.clear();
    for (const resolve of woken) resolve();
  }

  void (async () => {
    try {
      for await (const batch of batches) {
        events.push(...batch.events);
        if (events.length > kept) start = events.splice(0, events.length - kept).at(-1)!.position;
        ({ position: reached, live } = batch);
        wake();
      }
    } catch (error) {
      failed = { error };
      wake();
    }
  })();

  return {
    wake,
    /** Whether everything after `position` is here, or comes. */
    reachesBackTo: (position: bigint): boolean => position >= start,
    /** What came after `position`. @throws what the subscription failed with */
    after(position: bigint, limit: number): EventBatch {
      if (failed !== undefined) throw failed.error;
      const first = events.findLastIndex((event) => event.position <= position) + 1;
      const found = events.slice(first, first + limit);
      if (first + found.length < events.length) return { events: found, position: found.at(-1)!.position, live: false };
      // Who comes from a subscription of its own may be ahead of this one.
      return { events: found, position: reached > position ? reached : position, live: live && reached >= position };
    },
    /** Resolves with the next batch, the end of the subscription, or `wake`. */
    changed: () => new Promise<void>((resolve) => waiting.add(resolve)),
    enter(): void {
      followers++;
    },
    /** True: that was the last one, and it is over. */
    leave(): boolean {
      if (--followers > 0) return false;
      over.abort();
      return true;
    },
  };
}
