import { describe, expect, it } from 'vitest';
import type { LiveDevice } from '../../src/bridge/live-devices.ts';
import { createUnsettled } from '../../src/bridge/unsettled.ts';
import type { DeviceState, Dispatch, OpenUnlock } from '../../src/domain/device/state.ts';
import { TestClock } from '../support/backend.ts';

const HOUR = 3_600_000;
const [hello, heartbeat, answer] = [{ kind: 'hello' }, { kind: 'heartbeat' }, { kind: 'answer', commandId: 'another' }] as const;
const device = { deviceId: 'd', journalId: 'j' } as LiveDevice;

function setUp(over: Partial<Dispatch> = {}) {
  const clock = new TestClock();
  const dispatch = { seq: 7, journalId: 'j', reportSeq: 3, ...over } as Dispatch;
  const unlock = { unlockId: 'u', expiresAt: new Date(clock.now()).toISOString(), dispatch } as OpenUnlock;
  const withUnknown = (...unknown: OpenUnlock[]) => ({ kind: 'registered', unlocks: { unknown } }) as unknown as DeviceState;
  return { clock, unsettled: createUnsettled({ clock }), unlock, withUnknown, open: withUnknown(unlock), none: withUnknown() };
}

describe('whether to ask a box about an opening of unknown outcome', () => {
  it('with what is heard of it, less and less often, and not after a day', () => {
    const { clock, unsettled, open } = setUp();
    const asked: number[] = [];
    for (let second = 0; second < 86_400 + 60; second++) {
      if (unsettled.isWorthAsking(device, open, second % 60 === 0 ? heartbeat : answer)) asked.push(second);
      clock.advance(1_000);
    }
    expect(asked.slice(0, 8)).toEqual([0, 1, 2, 4, 8, 16, 32, 64]);
    expect(asked.every((second, index) => index === 0 || second - asked[index - 1]! <= 3_600)).toBe(true);
    expect(asked.at(-1)).toBeLessThanOrEqual(86_400);
    expect(asked).toHaveLength(36);
  });

  it('with the answer after the one that left it open: nine more, and the list of the box would not reach back', () => {
    const { clock, unsettled, open } = setUp();
    expect(unsettled.isWorthAsking(device, open, { kind: 'answer', commandId: 'u' })).toBe(false);
    clock.advance(30);
    expect(unsettled.isWorthAsking(device, open, answer)).toBe(true);
  });

  // Asked a moment ago, before the box could prove anything; and eight openings may take no two seconds.
  it('with its next two answers, however lately it was asked', () => {
    const { clock, unsettled, open } = setUp();
    const heard = [heartbeat, answer, heartbeat, answer, answer, heartbeat];
    expect(heard.map((each) => (clock.advance(30), unsettled.isWorthAsking(device, open, each)))).toEqual([true, true, false, true, false, false]);
  });

  it('when it is back, as if it were the first time, and never twice at once', () => {
    const { clock, unsettled, open } = setUp();
    for (const each of [answer, answer]) unsettled.isWorthAsking(device, open, each);
    for (let n = 0; n < 12; n++) {
      unsettled.isWorthAsking(device, open, heartbeat);
      clock.advance(HOUR);
    }
    unsettled.isWorthAsking(device, open, heartbeat);
    clock.advance(5_000);
    expect([answer, hello, hello, answer].map((heard) => unsettled.isWorthAsking(device, open, heard))).toEqual([false, true, false, false]);
  });

  it('at once about the next one, however long the last one has been asked about', () => {
    const { clock, unsettled, open, withUnknown, unlock } = setUp();
    for (let n = 0; n < 12; n++) {
      unsettled.isWorthAsking(device, open, heartbeat);
      clock.advance(HOUR);
    }
    expect(unsettled.isWorthAsking(device, withUnknown(unlock, { ...unlock, unlockId: 'v' }), answer)).toBe(true);
  });

  it('not where nothing is unknown, nothing is at hand, or no status can tell', () => {
    const { unsettled, none } = setUp();
    expect(unsettled.isWorthAsking(device, none, answer)).toBe(false);
    expect(unsettled.isWorthAsking(device, undefined, answer)).toBe(false);
    for (const over of [{ journalId: 'another' }, { journalId: null }, { seq: null }, { reportSeq: null }]) {
      const { unsettled: other, open } = setUp(over);
      expect(other.isWorthAsking(device, open, answer)).toBe(false);
    }
  });
});
