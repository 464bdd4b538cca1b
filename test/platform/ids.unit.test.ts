import fc from 'fast-check';
import { v5, validate, version } from 'uuid';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { derivedCommandId, deviceIdOfSerial, eventIdOf, newId, timeOf } from '../../src/platform/ids.ts';

describe('derived ids', () => {
  it('are what they were when the first log was written', () => {
    expect(deviceIdOfSerial(' lq-00012345 ')).toBe(v5('LQ-00012345', '5f7d2c4e-6a1b-5c3d-9e8f-10a2b3c4d5e6'));
    expect(derivedCommandId('unlock', 'a')).toBe(v5('unlock|a', '0b9c8d7e-1f2a-5b3c-8d4e-5f60718293a4'));
  });

  it('are UUIDv5 as the library makes them, of any name in any namespace', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.uuid(), fc.nat({ max: 1_000 }), (name, commandId, index) => {
        expect(derivedCommandId(name)).toBe(v5(name, '0b9c8d7e-1f2a-5b3c-8d4e-5f60718293a4'));
        expect(eventIdOf(commandId, index)).toBe(v5(`${index}`, commandId));
      }),
    );
  });
});

describe('new ids', () => {
  afterEach(() => void vi.useRealTimers());

  it('are UUIDv7 of now', () => {
    const before = Date.now();
    const id = newId();
    expect([validate(id), version(id)]).toEqual([true, 7]);
    expect(timeOf(id)).toBeGreaterThanOrEqual(before);
    expect(timeOf(id)).toBeLessThanOrEqual(Date.now());
  });

  it('grow, within a millisecond and while the clock goes back', () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 1_000 });
    const ids: string[] = [];
    for (let i = 0; i < 3_000; i++) {
      if (i === 1_000) vi.setSystemTime(Date.now() - 5_000);
      if (i === 2_000) vi.setSystemTime(Date.now() + 10_000);
      ids.push(newId());
    }
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
