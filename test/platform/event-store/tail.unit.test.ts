import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { Tail } from '../../../src/platform/event-store/tail.ts';
import { event } from '../../contract/event-store.ts';

const recorded = (position: bigint): RecordedEvent => ({ ...event(), stream: 's', revision: 0n, position, recordedAt: '' });

describe('the tail of the log in memory', () => {
  it('yields an unbroken run right after a position and never what lies behind a gap', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.bigInt(1n, 30n)), fc.bigInt(0n, 30n), fc.integer({ min: 1, max: 40 }), (known, after, limit) => {
        const tail = new Tail();
        for (const position of known) tail.remember(recorded(position), 10);
        const run = tail.after(after, limit).map((each) => each.position);
        expect(run).toEqual(run.map((_, i) => after + 1n + BigInt(i)));
        expect(run.length === limit || !known.includes(after + 1n + BigInt(run.length))).toBe(true);
      }),
    );
  });

  it('forgets the oldest beyond its size', () => {
    const tail = new Tail();
    for (let position = 1n; position <= 20n; position++) tail.remember(recorded(position), 1024 * 1024);
    expect(tail.after(0n, 1)).toEqual([]);
    expect(tail.after(11n, 100)).toEqual([]);
    expect(tail.after(12n, 100)).toHaveLength(8);
  });

  it('wakes who waits beyond a position, and nobody for an older one', async () => {
    const tail = new Tail();
    tail.advance(5n);
    await tail.beyond(4n);
    let woken = false;
    const waiting = tail.beyond(5n).then(() => (woken = true));
    tail.advance(3n);
    tail.advance(5n);
    await Promise.resolve();
    expect([woken, tail.hasWaiting]).toEqual([false, true]);
    tail.advance(6n);
    await waiting;
    expect([tail.seen, tail.hasWaiting]).toEqual([6n, false]);
  });
});
