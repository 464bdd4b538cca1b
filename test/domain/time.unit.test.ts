import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { addMs, dayOf, fromMs, secondsUntil, toMs } from '../../src/domain/time.ts';

const instants = fc.date({ min: new Date('1970-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true }).map((date) => date.toISOString());

describe('instants', () => {
  it('compare as text, and add up', () => {
    fc.assert(
      fc.property(instants, fc.integer({ min: -86_400_000, max: 86_400_000 }), (instant, ms) => {
        fc.pre(toMs(instant) + ms >= 0 && toMs(instant) + ms < toMs('9999-12-31T00:00:00.000Z'));
        const moved = addMs(instant, ms);
        expect(toMs(moved) - toMs(instant)).toBe(ms);
        expect(moved > instant).toBe(ms > 0);
        expect(fromMs(toMs(instant))).toBe(instant);
      }),
    );
  });
  it('are counted in whole seconds for people, never zero', () => {
    expect(secondsUntil('2026-11-21T10:30:01.001Z', '2026-11-21T10:30:00.000Z')).toBe(2);
    expect(secondsUntil('2026-11-21T10:30:00.000Z', '2026-11-21T10:30:09.000Z')).toBe(1);
    expect(dayOf('2026-11-21T10:30:00.000Z')).toBe('20261121');
  });
  it('that are none are an error', () => {
    expect(() => toMs('yesterday')).toThrow(RangeError);
  });
});
