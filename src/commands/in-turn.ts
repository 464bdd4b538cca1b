import { EventStoreUnavailable } from '../platform/event-store/port.ts';

/** Work waited too long for what is before it, or more is waiting than may wait. Nothing of it was begun: it may be asked for again. */
export class TooManyWaiting extends EventStoreUnavailable {
  override readonly name = 'TooManyWaiting';
}

interface Turns {
  /** Settles when all that was asked for so far is over. */
  last: Promise<unknown>;
  /** Begun, or not begun and still wanted. */
  waiting: number;
}

/**
 * Runs work for the same key one after another, in the order asked; work for different keys side by side. Commands to
 * one stream go through it, so that conflicts come only from other processes.
 *
 * Nobody waits here longer than one read of the store may take: while the store does not answer, each in the line would
 * find that out anew, and what was asked for first would keep out all that comes after the store is back.
 */
export class InTurn {
  readonly #turns = new Map<string, Turns>();
  readonly #maxWaiting: number;
  readonly #maxWaitMs: number;

  constructor({ maxWaiting = 1_000, maxWaitMs = 10_000 }: { readonly maxWaiting?: number; readonly maxWaitMs?: number } = {}) {
    this.#maxWaiting = maxWaiting;
    this.#maxWaitMs = maxWaitMs;
  }

  /** @throws TooManyWaiting */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turns = this.#turns.get(key);
    if (turns === undefined) {
      const first: Turns = { last: Promise.resolve(), waiting: 1 };
      this.#turns.set(key, first);
      const result = work();
      this.#follow(key, first, result);
      return result;
    }
    if (turns.waiting >= this.#maxWaiting) return Promise.reject(new TooManyWaiting(`${turns.waiting} commands wait for ${key}`));
    turns.waiting++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let wanted = true;
    const timer = setTimeout(() => {
      wanted = false;
      turns.waiting--;
      reject(new TooManyWaiting(`${key} was busy with other commands for ${this.#maxWaitMs} ms`));
    }, this.#maxWaitMs);
    const begin = async () => {
      clearTimeout(timer);
      if (!wanted) return;
      const result = work();
      resolve(result);
      await result;
    };
    this.#follow(key, turns, turns.last.then(begin), () => wanted);
    return promise;
  }

  #follow(key: string, turns: Turns, result: Promise<unknown>, counted = () => true): void {
    const done = () => {
      if (counted()) turns.waiting--;
      if (turns.last === ended) this.#turns.delete(key);
    };
    const ended: Promise<void> = result.then(done, done);
    turns.last = ended;
  }
}
