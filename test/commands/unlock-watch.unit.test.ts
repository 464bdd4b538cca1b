import { expect, it } from 'vitest';
import { createUnlockWatches } from '../../src/commands/unlock-watch.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { toAppend } from '../support/read-side.ts';

it('a store that does not answer is asked once for each who waits, however much other processes append meanwhile', async () => {
  const store = createMemoryStore(Date.now);
  const deviceId = newId();
  const unlockId = newId();
  const now = '2026-11-21T10:00:00.000Z';
  const cause = { kind: 'owner', id: newId() } as const;
  const append = (...events: Parameters<typeof toAppend>[0][]) => store.append(`device-${deviceId}`, 'any', events.map((event) => toAppend(event, now)));
  await append({ type: 'UnlockRequested', data: { unlockId, cause, issuedAt: now, expiresAt: '2026-11-21T10:00:30.000Z' } });

  let reads = 0;
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const stalled = {
    ...store,
    async *readStream(...asked: Parameters<typeof store.readStream>) {
      reads++;
      await opened;
      yield* store.readStream(...asked);
    },
  };
  let changed = () => {};
  const foreign = { on: (_topic: string, listener: () => void) => ((changed = listener), () => undefined) };
  const watches = createUnlockWatches({ store: stalled, onAppended: () => () => undefined, foreign, logger: silentLogger });
  const watch = watches.open(deviceId, unlockId);

  for (let times = 0; times < 50; times++) changed();
  expect(reads).toBe(1);
  await append({ type: 'UnlockExpired', data: { unlockId } });
  changed();
  open();
  expect((await watch.untilOver(20_000))?.state).toBe('expired');
  expect(reads).toBeLessThan(5); // that one, one for what changed during it, and those of who asks
  watch.close();
});
