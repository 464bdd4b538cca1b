import { describe, expect, test } from 'vitest';
import { createFreshReads } from '../../src/projections/fresh-reads.ts';
import type { ReadModels } from '../../src/projections/read-models.ts';

const PATIENCE_MS = 250;

/** A live group that is where it is put, and what was asked of it. */
function rig() {
  let now = 0;
  const clock = { now: () => now, monotonic: () => now, advance: (ms: number) => (now += ms) };
  const waits: { readonly position: bigint; readonly timeoutMs: number; end(reached: boolean): void }[] = [];
  const feed = {
    position: 5n,
    reached: (position: bigint, timeoutMs: number) =>
      new Promise<boolean>((resolve) => {
        waits.push({ position, timeoutMs, end: resolve });
      }),
  };
  const asked: unknown[] = [];
  const query = (name: string) => async (...given: unknown[]) => {
    asked.push([name, ...given]);
    return name;
  };
  const models = { devices: { byId: query('device') }, links: {}, deliveries: {}, unlocks: {}, users: { byId: query('user') }, people: {}, audit: { list: query('audit') }, activity: {} } as unknown as ReadModels;
  const fresh = createFreshReads(models, feed, clock, PATIENCE_MS);
  const read = () => fresh.models.devices.byId('box') as unknown as Promise<string>;
  return { clock, feed, waits, asked, fresh, read };
}

describe('reads after something was acknowledged', () => {
  test('wait for nothing where the read models have it', async () => {
    const { fresh, read, waits, asked } = rig();
    await expect(read()).resolves.toBe('device');
    fresh.acknowledged(5n);
    await expect(read()).resolves.toBe('device');
    expect([asked, waits, fresh.behind]).toEqual([[['device', 'box'], ['device', 'box']], [], false]);
  });

  test('are made once the read models have it, of whichever kind they are', async () => {
    const { fresh, feed, read, waits, asked } = rig();
    fresh.acknowledged(7n);
    fresh.acknowledged(6n); // told later, but no further
    const both = [read(), fresh.models.users.byId('user')];
    expect(asked).toEqual([]);
    expect(waits.map(({ position, timeoutMs }) => [position, timeoutMs])).toEqual([[7n, PATIENCE_MS], [7n, PATIENCE_MS]]);
    feed.position = 7n;
    for (const { end } of waits) end(true);
    await expect(Promise.all(both)).resolves.toEqual(['device', 'user']);
    await read();
    expect(waits).toHaveLength(2);
  });

  test('of the audit log never wait: nobody does', async () => {
    const { fresh, waits } = rig();
    fresh.acknowledged(7n);
    await fresh.models.audit.list({}, { limit: 1, offset: 0 });
    expect(waits).toEqual([]);
  });

  test('go on with what there is after the time, and say so; nobody else waits for what stands still', async () => {
    const { clock, fresh, feed, read, waits } = rig();
    fresh.acknowledged(7n);
    const first = read();
    clock.advance(PATIENCE_MS);
    waits[0]?.end(false);
    await expect(first).resolves.toBe('device');
    expect(fresh.behind).toBe(false);
    clock.advance(1);
    expect(fresh.behind).toBe(true);
    fresh.acknowledged(8n);
    await expect(read()).resolves.toBe('device');
    expect(waits).toHaveLength(1);
    // It moves again: what was acknowledged last is waited for anew.
    feed.position = 7n;
    expect(fresh.behind).toBe(false);
    void read();
    expect(waits.map(({ position }) => position)).toEqual([7n, 8n]);
    feed.position = 8n;
    expect(fresh.behind).toBe(false);
  });

  test('under steady load are not called old because the last change is always on its way', () => {
    const { clock, fresh, feed } = rig();
    for (let position = 6n; position < 100n; position++) {
      fresh.acknowledged(position);
      clock.advance(20);
      feed.position = position - 2n; // three changes, 60 ms behind
      expect(fresh.behind).toBe(false);
    }
  });
});
