export type Cancel = () => void;

/** The true time around a simulated box. The box itself is given only `BoxTime`: it has no wall clock it may trust. */
export interface SimTime extends BoxTime {
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface BoxTime {
  /** Milliseconds since some moment, never set back. */
  monotonic(): number;
  after(ms: number, run: () => void): Cancel;
}

export const realTime: SimTime = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

interface Pending {
  readonly due: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that moves only when told to: what takes eight hours in life takes microseconds in a test. */
export class FakeTime implements SimTime {
  readonly #start: number;
  readonly #pending = new Set<Pending>();
  #elapsed = 0;
  #order = 0;

  constructor(start = Date.parse('2026-11-21T10:00:00.000Z')) {
    this.#start = start;
  }

  now(): number {
    return this.#start + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, run: () => void): Cancel {
    const pending = { due: this.#elapsed + Math.max(0, ms), order: this.#order++, run };
    this.#pending.add(pending);
    return () => this.#pending.delete(pending);
  }

  /** Runs what falls due within the next `ms` milliseconds, in order, each at its own moment. */
  advance(ms: number): void {
    const end = this.#elapsed + ms;
    for (;;) {
      let next: Pending | undefined;
      for (const one of this.#pending) {
        if (one.due <= end && (next === undefined || one.due < next.due || (one.due === next.due && one.order < next.order))) next = one;
      }
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.due);
      next.run();
    }
    this.#elapsed = end;
  }

  /** Timers that are set and not yet due. */
  get waiting(): number {
    return this.#pending.size;
  }
}
