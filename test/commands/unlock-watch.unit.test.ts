import { expect, it } from 'vitest';
import { createUnlockWatches } from '../../src/commands/unlock-watch.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { toAppend } from '../support/read-side.ts';

const now = '2026-11-21T10:00:00.000Z';
const cause = { kind: 'owner', id: newId() } as const;

/** Watches over a store whose reads are counted and, while it is held, not answered. */
function watching() {
  const store = createMemoryStore(Date.now);
  const deviceId = newId();
  let reads = 0;
  let held = Promise.withResolvers<void>();
  const counted = {
    ...store,
    async *readStream(...asked: Parameters<typeof store.readStream>) {
      reads++;
      await held.promise;
      yield* store.readStream(...asked);
    },
  };
  const listeners = new Set<() => void>();
  const foreign = {
    on(_topic: string, listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  return {
    deviceId,
    listeners,
    watches: createUnlockWatches({ store: counted, onAppended: () => () => undefined, foreign, logger: silentLogger }),
    append: (...events: Parameters<typeof toAppend>[0][]) => store.append(`device-${deviceId}`, 'any', events.map((event) => toAppend(event, now))),
    requested: (unlockId: string) => ({ type: 'UnlockRequested', data: { unlockId, cause, issuedAt: now, expiresAt: '2026-11-21T10:00:30.000Z' } }) as const,
    changed: () => listeners.forEach((listener) => listener()),
    reads: () => reads,
    answer: () => held.resolve(),
    hold: () => (held = Promise.withResolvers()),
  };
}

it('a store that does not answer is asked once for each who waits, however much other processes append meanwhile', async () => {
  const { deviceId, watches, append, requested, changed, reads, answer } = watching();
  const unlockId = newId();
  await append(requested(unlockId));
  const watch = watches.open(deviceId, unlockId);

  for (let times = 0; times < 50; times++) changed();
  expect(reads()).toBe(1);
  await append({ type: 'UnlockExpired', data: { unlockId } });
  changed();
  answer();
  expect((await watch.untilOver(20_000))?.state).toBe('expired');
  expect(reads()).toBeLessThan(5); // that one, one for what changed during it, and those of who asks
  watch.close();
});

it('what others append to a box is read once for all who wait for it, and nobody listens any more once they have gone', async () => {
  const { deviceId, watches, append, requested, changed, reads, answer, hold, listeners } = watching();
  const ids = Array.from({ length: 40 }, () => newId());
  const early = newId();
  const { revision } = await append(requested(early));
  await append(...ids.map(requested));
  const all = [...ids.map((id) => watches.open(deviceId, id)), watches.open(deviceId, early, revision)];
  expect(listeners.size).toBe(1);
  answer();
  expect((await Promise.all(all.map((watch) => watch.now()))).map((unlock) => unlock?.state)).toEqual(all.map(() => 'requested'));

  const outcomes = all.map((watch) => watch.untilOver(20_000));
  await Promise.all(all.map((watch) => watch.now()));
  hold();
  const before = reads();
  changed();
  changed();
  expect(reads() - before).toBe(1);
  await append(...[...ids, early].map((unlockId) => ({ type: 'UnlockExpired', data: { unlockId } }) as const));
  changed();
  answer();
  expect((await Promise.all(outcomes)).map((unlock) => unlock?.state)).toEqual(all.map(() => 'expired'));
  expect(reads() - before).toBeLessThanOrEqual(4); // twice: the newest, and from where the early one was asked for
  for (const watch of all) watch.close();
  expect(listeners.size).toBe(0);
});
