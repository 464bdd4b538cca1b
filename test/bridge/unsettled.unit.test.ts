import { describe, expect, it } from 'vitest';
import type { LiveDevice } from '../../src/bridge/live-devices.ts';
import { createUnsettled } from '../../src/bridge/unsettled.ts';
import type { DeviceState, Dispatch, OpenUnlock } from '../../src/domain/device/state.ts';
import { TestClock } from '../support/backend.ts';

const MINUTE = 60_000;
const device = { deviceId: 'd', journalId: 'j' } as LiveDevice;

function setUp(over: Partial<Dispatch> = {}) {
  const clock = new TestClock();
  const dispatch = { seq: 7, journalId: 'j', reportSeq: 3, ...over } as Dispatch;
  const unlock = { unlockId: 'u', expiresAt: new Date(clock.now()).toISOString(), dispatch } as OpenUnlock;
  const withUnknown = (...unknown: OpenUnlock[]) => ({ kind: 'registered', unlocks: { unknown } }) as unknown as DeviceState;
  return { clock, unsettled: createUnsettled({ clock }), open: withUnknown(unlock), none: withUnknown() };
}

describe('whether to ask a box about an opening of unknown outcome', () => {
  it('after each answer and each hello of it', () => {
    const { unsettled, open } = setUp();
    for (const heard of ['answer', 'hello', 'answer', 'hello'] as const) expect(unsettled.isWorthAsking(device, open, heard)).toBe(true);
  });

  it('with its heartbeats less and less often, and not after a day', () => {
    const { clock, unsettled, open } = setUp();
    const asked: number[] = [];
    for (let minute = 0; minute < 24 * 60 + 2; minute++) {
      if (unsettled.isWorthAsking(device, open, 'heartbeat')) asked.push(minute);
      clock.advance(MINUTE);
    }
    expect(asked.slice(0, 7)).toEqual([0, 1, 2, 4, 8, 16, 32]);
    expect(asked.slice(7).map((minute, index) => minute - (asked[index + 6] ?? 0)).every((wait) => wait <= 60)).toBe(true);
    expect(asked.at(-1)).toBeLessThanOrEqual(24 * 60);
    expect(asked).toHaveLength(30);
  });

  it('not where nothing is unknown, nothing is at hand, or no status can tell', () => {
    const { unsettled, none } = setUp();
    expect(unsettled.isWorthAsking(device, none, 'answer')).toBe(false);
    expect(unsettled.isWorthAsking(device, undefined, 'answer')).toBe(false);
    for (const over of [{ journalId: 'another' }, { journalId: null }, { seq: null }, { reportSeq: null }]) {
      const { unsettled: other, open } = setUp(over);
      expect(other.isWorthAsking(device, open, 'answer')).toBe(false);
    }
  });
});
