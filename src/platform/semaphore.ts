/** So many at once, and the others in the order in which they came. */
export interface Semaphore {
  /**
   * Takes a place; the answer gives it back, and doing that twice does nothing.
   *
   * @throws Error where none became free in time, or too many wait already
   */
  acquire(): (() => void) | Promise<() => void>;
  readonly waiting: number;
}

export interface SemaphoreOptions {
  readonly places: number;
  readonly maxWaiting: number;
  /** Milliseconds that one may wait. */
  readonly maxWaitMs: number;
}

export function createSemaphore({ places, maxWaiting, maxWaitMs }: SemaphoreOptions): Semaphore {
  let free = places;
  const queue = new Set<(release: () => void) => void>();

  function place(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = queue;
      if (next === undefined) free++;
      else next(place()); // handed on: nobody who comes later is before who waits
    };
  }

  return {
    acquire() {
      if (free > 0) {
        free--;
        return place();
      }
      if (queue.size >= maxWaiting) return Promise.reject(new Error(`${queue.size} are waiting already`));
      return new Promise((resolve, reject) => {
        const take = (release: () => void) => {
          clearTimeout(timer);
          queue.delete(take);
          resolve(release);
        };
        const timer = setTimeout(() => {
          queue.delete(take);
          reject(new Error(`All ${places} places were taken for ${maxWaitMs} ms`));
        }, maxWaitMs);
        queue.add(take);
      });
    },
    get waiting() {
      return queue.size;
    },
  };
}
