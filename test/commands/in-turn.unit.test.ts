import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InTurn, TooManyWaiting } from '../../src/commands/in-turn.ts';
import { EventStoreUnavailable } from '../../src/platform/event-store/port.ts';

/** Work that ends when it is told to. */
function held<T>() {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { work: vi.fn<() => Promise<T>>(() => promise), resolve, reject };
}

describe('work in turn', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is begun at once where nothing is before it, and one after another where it is for the same key', async () => {
    const turns = new InTurn();
    const [first, second, other] = [held<number>(), held<number>(), held<number>()];
    const results = [turns.run('a', first.work), turns.run('a', second.work), turns.run('b', other.work)];
    expect([first.work, second.work, other.work].map((work) => work.mock.calls.length)).toEqual([1, 0, 1]);
    first.resolve(1);
    await results[0];
    await vi.advanceTimersByTimeAsync(0);
    expect(second.work).toHaveBeenCalledOnce();
    second.resolve(2);
    other.resolve(3);
    expect(await Promise.all(results)).toEqual([1, 2, 3]);
  });

  it('goes on after work that failed, and tells only whom it failed for', async () => {
    const turns = new InTurn();
    const failing = held<number>();
    const failed = turns.run('a', failing.work);
    const next = turns.run('a', async () => 'next');
    failing.reject(new Error('broken'));
    await expect(failed).rejects.toThrow('broken');
    expect(await next).toBe('next');
  });

  it('gives up who has waited too long, and never begins what was given up', async () => {
    const turns = new InTurn({ maxWaitMs: 1_000 });
    const slow = held<string>();
    const first = turns.run('a', slow.work);
    const late = held<string>();
    const given = turns.run('a', late.work);
    const outcome = expect(given).rejects.toBeInstanceOf(TooManyWaiting);
    await vi.advanceTimersByTimeAsync(1_000);
    await outcome;
    await expect(given).rejects.toBeInstanceOf(EventStoreUnavailable); // whoever asks again after one asks again after the other
    const after = turns.run('a', async () => 'after');
    slow.resolve('slow');
    expect(await Promise.all([first, after])).toEqual(['slow', 'after']);
    expect(late.work).not.toHaveBeenCalled();
  });

  it('does not limit how long work takes that was begun', async () => {
    const turns = new InTurn({ maxWaitMs: 1_000 });
    const [first, second] = [held<string>(), held<string>()];
    const results = [turns.run('a', first.work), turns.run('a', second.work)];
    await vi.advanceTimersByTimeAsync(900);
    first.resolve('first');
    await vi.advanceTimersByTimeAsync(60_000);
    second.resolve('second');
    expect(await Promise.all(results)).toEqual(['first', 'second']);
  });

  it('refuses more than may wait; who was given up leaves a place', async () => {
    const turns = new InTurn({ maxWaiting: 2, maxWaitMs: 1_000 });
    const slow = held<string>();
    void turns.run('a', slow.work);
    const waiting = turns.run('a', async () => 'second');
    await expect(turns.run('a', async () => 'third')).rejects.toThrow('2 commands wait for a');
    const outcome = expect(waiting).rejects.toBeInstanceOf(TooManyWaiting);
    await vi.advanceTimersByTimeAsync(1_000);
    await outcome;
    const again = turns.run('a', async () => 'again');
    slow.resolve('slow');
    expect(await again).toBe('again');
  });

  it('makes nobody wait for a key of which all is over', async () => {
    const turns = new InTurn({ maxWaitMs: 1_000 });
    await Promise.allSettled([turns.run('a', async () => 1), turns.run('a', async () => 2), turns.run('b', () => Promise.reject(new Error('no')))]);
    await vi.advanceTimersByTimeAsync(0);
    const begun = vi.fn<() => Promise<number>>(async () => 3);
    void turns.run('a', begun);
    expect(begun).toHaveBeenCalledOnce(); // at once: nothing is before it
  });
});
