import { afterEach, describe, expect, test } from 'vitest';
import { createLiveFeed, type LiveFeedComponent } from '../../src/projections/live-feed.ts';
import { LIVE_CHANNEL, PROJECTIONS_CHANNEL } from '../../src/projections/checkpoints.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import type { Database } from '../../src/platform/postgres/db.ts';
import { until } from '../support/until.ts';

/** A process that hears of the group through the database, which is what this says it is. */
function rig() {
  const database = { position: 5n, generation: 1 };
  const seen = { generation: 0, failing: false, looks: 0 };
  const handlers = new Map<string, (payload: string) => void>();
  let onGap = (): void => undefined;
  const feed = createLiveFeed({
    db: { pool: { query: async () => ({ rows: [{ position: String(database.position), generations: `links ${database.generation}` }] }) } } as unknown as Database,
    store: { head: async () => database.position },
    background: [],
    notifications: { start: async () => undefined, stop: async () => undefined, on: (channel, handler) => void handlers.set(channel, handler), onGap: (handler) => void (onGap = handler) },
    async onSwitched() {
      seen.looks++;
      if (seen.failing) throw new Error('Connection terminated unexpectedly');
      seen.generation = database.generation;
    },
    logger: silentLogger,
    metrics: new Metrics(),
    pollMs: 5,
  });
  const commit = (position: bigint) => {
    database.position = position;
    handlers.get(LIVE_CHANNEL)?.(String(position));
  };
  return { feed, database, seen, commit, told: (channel: string) => handlers.get(channel)?.(''), gap: () => onGap() };
}

describe('what comes after a switch', () => {
  let feed: LiveFeedComponent | undefined;
  afterEach(() => feed?.stop());
  const started = async () => {
    const each = rig();
    ({ feed } = each);
    await feed.start();
    await until('the group is found', () => feed!.position === 5n);
    return each;
  };

  test('counts as reached once the new generation was looked up', async () => {
    const { feed: own, database, seen, commit, told } = await started();
    database.generation = 2;
    told(PROJECTIONS_CHANNEL);
    commit(6n);
    expect(await own.reached(6n, 1_000)).toBe(true);
    expect(seen.generation).toBe(2);
  });

  // A server that comes back ends connections of the pool that nobody has used since: the first look may fail.
  test('after a gap, too, however often the look fails', async () => {
    const { feed: own, database, seen, commit, gap } = await started();
    database.generation = 2;
    seen.failing = true;
    gap();
    commit(6n);
    await until('it was looked for', () => seen.looks >= 3);
    expect(own.position).toBe(5n);
    expect(await own.reached(6n, 20)).toBe(false);
    seen.failing = false;
    expect(await own.reached(6n, 1_000)).toBe(true);
    expect(seen.generation).toBe(2);
  });

  test('is found by looking where nobody was told', async () => {
    const { feed: own, database, seen } = await started();
    Object.assign(database, { generation: 2, position: 6n });
    expect(await own.reached(6n, 1_000)).toBe(true);
    expect(seen.generation).toBe(2);
  });
});
