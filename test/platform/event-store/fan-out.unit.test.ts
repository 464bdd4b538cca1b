import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fanOut } from '../../../src/platform/event-store/fan-out.ts';
import type { EventBatch, RecordedEvent, SubscribeOptions } from '../../../src/platform/event-store/port.ts';
import { event } from '../../contract/event-store.ts';

const recorded = (position: bigint): RecordedEvent => ({ ...event(), stream: 's', revision: position, position, recordedAt: '' });
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A log of positions 1, 2, 3, … that counts who is subscribed to it, and what it handed out. */
function fakeLog() {
  const log: RecordedEvent[] = [];
  const listeners = new Set<() => void>();
  let broken: Error | undefined;
  const counts = { open: 0, handedOut: 0 };
  const wakeAll = () => [...listeners].forEach((wake) => wake());

  async function* subscribe({ after, signal, maxBatch = 1_000 }: Omit<SubscribeOptions, 'filter'>): AsyncGenerator<EventBatch> {
    let position = after ?? 0n;
    let told = false;
    counts.open++;
    try {
      while (!signal.aborted) {
        if (broken !== undefined) throw broken;
        const events = log.slice(Number(position), Number(position) + maxBatch);
        if (events.length === 0 && told) {
          await new Promise<void>((resolve) => {
            const wake = () => (listeners.delete(wake), signal.removeEventListener('abort', wake), resolve());
            listeners.add(wake);
            signal.addEventListener('abort', wake);
          });
          continue;
        }
        position += BigInt(events.length);
        told = Number(position) === log.length;
        counts.handedOut += events.length;
        yield { events, position, live: told };
      }
    } finally {
      counts.open--;
    }
  }

  return {
    counts,
    subscribe,
    append(count: number) {
      for (let n = 0; n < count; n++) log.push(recorded(BigInt(log.length + 1)));
      wakeAll();
    },
    break(error: Error) {
      broken = error;
      wakeAll();
    },
  };
}

/** Follows until it has seen `upTo`, with so many turns of the event loop for each batch. */
async function collect(follow: ReturnType<typeof fanOut>, { after, upTo, turns = 0, ...options }: Partial<SubscribeOptions> & { upTo: bigint; turns?: number }) {
  const stop = new AbortController();
  const seen: bigint[] = [];
  for await (const batch of follow({ after, signal: stop.signal, ...options })) {
    seen.push(...batch.events.map(({ position }) => position));
    expect(batch.events.length).toBeLessThanOrEqual(options.maxBatch ?? 1_000);
    expect(batch.position).toBeGreaterThanOrEqual(seen.at(-1) ?? 0n);
    if (batch.position >= upTo) break;
    for (let n = 0; n < turns; n++) await turn();
  }
  return seen;
}

const range = (after: bigint, upTo: bigint) => Array.from({ length: Number(upTo - after) }, (_, n) => after + 1n + BigInt(n));

describe('subscriptions that share one', () => {
  it('each see everything after their position once and in order, however slow they are and however little is kept', { timeout: 30_000 }, async () => {
    const follower = fc.record({ after: fc.bigInt(0n, 30n), turns: fc.integer({ min: 0, max: 6 }), maxBatch: fc.integer({ min: 1, max: 9 }), joins: fc.integer({ min: 0, max: 20 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(follower, { minLength: 1, maxLength: 6 }), fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 20 }), async (followers, appends, kept) => {
        const log = fakeLog();
        log.append(30);
        const follow = fanOut(log.subscribe, kept);
        const upTo = 30n + BigInt(appends.reduce((sum, count) => sum + count, 0));
        const seen = followers.map(async ({ after, turns, maxBatch, joins }) => {
          for (let n = 0; n < joins; n++) await turn();
          return collect(follow, { after, upTo, turns, maxBatch });
        });
        for (const count of appends) {
          await turn();
          log.append(count);
        }
        for (const [n, positions] of (await Promise.all(seen)).entries()) expect(positions).toEqual(range(followers[n]!.after, upTo));
        await turn();
        expect(log.counts.open).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  it('ask the log once for what all of them get', async () => {
    const log = fakeLog();
    const follow = fanOut(log.subscribe);
    const seen = Promise.all(Array.from({ length: 8 }, () => collect(follow, { after: 0n, upTo: 200n })));
    for (let n = 0; n < 200; n++) {
      await turn();
      log.append(1);
      if (n > 20) expect(log.counts.open).toBe(1); // all have caught up
    }
    for (const positions of await seen) expect(positions).toEqual(range(0n, 200n));
    expect(log.counts.handedOut).toBeLessThan(200 + 8 * 4);
  });

  it('filter for themselves, and move on where nothing matches', async () => {
    const log = fakeLog();
    const follow = fanOut(log.subscribe);
    const others = collect(follow, { after: 0n, upTo: 20n });
    const mine = collect(follow, { after: 0n, upTo: 20n, filter: { eventTypes: ['NoSuchEvent'] } });
    for (let n = 0; n < 20; n++) {
      await turn();
      log.append(1);
    }
    expect(await mine).toEqual([]);
    expect(await others).toHaveLength(20);
  });

  it('end by their own signal alone, while they wait, and go on when the one that opened it has left', async () => {
    const log = fakeLog();
    const follow = fanOut(log.subscribe);
    const first = new AbortController();
    const ended = (async () => {
      for await (const _ of follow({ after: 0n, signal: first.signal })) continue;
    })();
    await turn();
    const second = collect(follow, { after: 0n, upTo: 5n });
    await turn();
    first.abort();
    await ended;
    log.append(5);
    expect(await second).toEqual(range(0n, 5n));
    await turn();
    expect(log.counts.open).toBe(0);
  });

  it('all fail with what the one fails with', async () => {
    const log = fakeLog();
    const follow = fanOut(log.subscribe);
    const all = Array.from({ length: 3 }, () => collect(follow, { after: 0n, upTo: 5n }).catch((error: unknown) => error));
    for (let n = 0; n < 5; n++) await turn();
    const error = new Error('stopped');
    log.break(error);
    expect(await Promise.all(all)).toEqual([error, error, error]);
  });
});
