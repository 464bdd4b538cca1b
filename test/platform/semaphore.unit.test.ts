import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createSemaphore } from '../../src/platform/semaphore.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('gives a free place at once, and the next free one to who has waited longest', async () => {
  const semaphore = createSemaphore({ places: 1, maxWaiting: 10, maxWaitMs: 1_000 });
  const release = semaphore.acquire() as () => void;
  expect(release).toBeTypeOf('function');
  const order: string[] = [];
  const [first, second] = ['first', 'second'].map(async (name) => {
    const done = await semaphore.acquire();
    order.push(name);
    return done;
  });
  expect(semaphore.waiting).toBe(2);
  release();
  release(); // the same place is not given twice
  await vi.advanceTimersByTimeAsync(0);
  expect(order).toEqual(['first']);
  (await first!)();
  (await second!)();
  expect(order).toEqual(['first', 'second']);
  expect(semaphore.acquire()).toBeTypeOf('function');
});

it('lets nobody wait longer than they may, and takes no place for who has gone', async () => {
  const semaphore = createSemaphore({ places: 1, maxWaiting: 10, maxWaitMs: 1_000 });
  const release = semaphore.acquire() as () => void;
  const gone = expect(semaphore.acquire()).rejects.toThrow('All 1 places were taken for 1000 ms');
  await vi.advanceTimersByTimeAsync(1_000);
  await gone;
  expect(semaphore.waiting).toBe(0);
  release();
  expect(semaphore.acquire()).toBeTypeOf('function');
});

it('refuses more than may wait', async () => {
  const semaphore = createSemaphore({ places: 1, maxWaiting: 1, maxWaitMs: 1_000 });
  void semaphore.acquire();
  const waiting = semaphore.acquire();
  await expect(semaphore.acquire()).rejects.toThrow('1 are waiting already');
  await Promise.all([expect(waiting).rejects.toThrow(), vi.advanceTimersByTimeAsync(1_000)]);
});

it('whatever comes, never are more in than there are places, and in the end all places are free', async () => {
  vi.useRealTimers();
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat({ max: 3 }), { maxLength: 20 }), async (places, turns) => {
      const semaphore = createSemaphore({ places, maxWaiting: 100, maxWaitMs: 60_000 });
      let inside = 0;
      await Promise.all(
        turns.map(async (long) => {
          const release = await semaphore.acquire();
          expect(++inside).toBeLessThanOrEqual(places);
          for (let turn = 0; turn < long; turn++) await new Promise(setImmediate);
          inside--;
          release();
        }),
      );
      for (let place = 0; place < places; place++) expect(semaphore.acquire()).toBeTypeOf('function');
    }),
    { numRuns: 50 },
  );
});
