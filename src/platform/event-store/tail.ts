import type { RecordedEvent } from './port.ts';

/** Enough to hand live subscriptions what this process appended a moment ago; older events are read from the store. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * What this process knows of the end of the log: the highest position seen, and the events that it appended itself.
 * Subscriptions wait here, and are woken by the append they wait for without a round trip.
 */
export class Tail {
  #seen = 0n;
  #bytes = 0;
  readonly #events = new Map<bigint, { event: RecordedEvent; bytes: number }>();
  readonly #waiting = new Set<() => void>();

  /** A position known to be committed. The log may be longer. */
  get seen(): bigint {
    return this.#seen;
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  advance(position: bigint): void {
    if (position <= this.#seen) return;
    this.#seen = position;
    this.wake();
  }

  wake(): void {
    for (const wake of this.#waiting) wake();
  }

  remember(event: RecordedEvent, bytes: number): void {
    this.#events.set(event.position, { event, bytes });
    this.#bytes += bytes;
    for (const [position, oldest] of this.#events) {
      if (this.#bytes <= MAX_BYTES) break;
      this.#events.delete(position);
      this.#bytes -= oldest.bytes;
    }
  }

  /**
   * The unbroken run right after `position`, or nothing when the next event is not known here. Positions are whole
   * numbers: between p and p + 1 there is no room for an event of another process.
   */
  after(position: bigint, limit: number): RecordedEvent[] {
    const run: RecordedEvent[] = [];
    for (let next = position + 1n; run.length < limit; next++) {
      const known = this.#events.get(next);
      if (known === undefined) break;
      run.push(known.event);
    }
    return run;
  }

  /** Resolves when something beyond `position` was seen, and at `wake`. */
  beyond(position: bigint): Promise<void> {
    if (this.#seen > position) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
    });
  }
}
