/** More work for one key is waiting than may wait; nothing of it was begun. */
export class TooManyWaiting extends Error {
  override readonly name = 'TooManyWaiting';
}

/**
 * Runs work for the same key one after another, in the order asked; work for different keys side by side. Commands to
 * one stream go through it, so that conflicts come only from other processes.
 */
export class InTurn {
  readonly #tails = new Map<string, { last: Promise<unknown>; waiting: number }>();
  readonly #maxWaiting: number;

  constructor(maxWaiting = 1_000) {
    this.#maxWaiting = maxWaiting;
  }

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const tail = this.#tails.get(key);
    if (tail === undefined) {
      const entry = { last: Promise.resolve() as Promise<unknown>, waiting: 1 };
      this.#tails.set(key, entry);
      return this.#settle(key, entry, work());
    }
    if (tail.waiting >= this.#maxWaiting) return Promise.reject(new TooManyWaiting(`${tail.waiting} commands wait for ${key}`));
    tail.waiting++;
    return this.#settle(key, tail, tail.last.then(work, work));
  }

  #settle<T>(key: string, entry: { last: Promise<unknown>; waiting: number }, result: Promise<T>): Promise<T> {
    const done = () => {
      if (--entry.waiting === 0) this.#tails.delete(key);
    };
    entry.last = result.then(done, done);
    return result;
  }
}
