import type { Clock } from '../platform/clock.ts';
import type { LiveFeed, ReadModels } from './read-models.ts';

/**
 * The read models of a process that answers for everybody: not who writes waits for them, but who reads. What somebody was told
 * that happened is seen by each read that begins later, whoever asks.
 */
export interface FreshReads {
  readonly models: ReadModels;
  /** Somebody is told that the events up to `position` happened. */
  acknowledged(position: bigint): void;
  /** The read models lack what was acknowledged longer ago than anybody waits: what is read now may be old. */
  readonly behind: boolean;
}

/** Milliseconds that a request waits for the read models, whether it wrote or reads. */
export const READ_YOUR_WRITES_MS = 250;

/**
 * @param feed of the live group in this process
 * @param patienceMs longest wait of one read, and age from which the read models count as `behind` and nobody waits for them
 */
export function createFreshReads(models: ReadModels, feed: Pick<LiveFeed, 'reached'> & { readonly position: bigint }, clock: Clock, patienceMs = READ_YOUR_WRITES_MS): FreshReads {
  let last = -1n;
  /** One of those that were acknowledged, and since when the read models lack it: under steady load they always lack the last. */
  let lacking = { position: -1n, since: 0 };

  function isBehind(): boolean {
    if (last <= feed.position) return false;
    if (lacking.position <= feed.position) lacking = { position: last, since: clock.monotonic() };
    return clock.monotonic() - lacking.since > patienceMs;
  }

  function caughtUp(): Promise<boolean> | undefined {
    if (last <= feed.position || isBehind()) return undefined;
    return feed.reached(last, patienceMs);
  }

  type Query = (...given: unknown[]) => Promise<unknown>;
  const waiting = <Queries extends object>(queries: Queries): Queries =>
    Object.fromEntries(
      Object.entries(queries as Record<string, Query>).map(([name, query]): [string, Query] => [
        name,
        (...given) => caughtUp()?.then(() => query(...given)) ?? query(...given),
      ]),
    ) as Queries;

  const { devices, links, deliveries, unlocks, users, people } = models;
  return {
    // The others are of the background group, for which nobody waits.
    models: {
      ...models,
      devices: waiting(devices),
      links: waiting(links),
      deliveries: waiting(deliveries),
      unlocks: waiting(unlocks),
      users: waiting(users),
      people: waiting(people),
    },
    acknowledged(position) {
      if (position <= last) return;
      last = position;
      isBehind(); // from now on the read models may lack it
    },
    get behind() {
      return isBehind();
    },
  };
}
