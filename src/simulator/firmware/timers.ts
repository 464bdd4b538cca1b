import type { BoxTime, Cancel } from '../time.ts';

export type TimerName = 'heartbeat' | 'status' | 'repeat' | 'relock' | 'challenge' | 'accepted' | 'reconnect';

/** One of each name; setting it again replaces it. */
export class Timers {
  readonly #time: BoxTime;
  readonly #running = new Map<TimerName, Cancel>();

  constructor(time: BoxTime) {
    this.#time = time;
  }

  set(name: TimerName, ms: number, run: () => void): void {
    this.clear(name);
    this.#running.set(
      name,
      this.#time.after(Math.max(0, ms), () => {
        this.#running.delete(name);
        run();
      }),
    );
  }

  clear(...names: readonly TimerName[]): void {
    for (const name of names) {
      this.#running.get(name)?.();
      this.#running.delete(name);
    }
  }

  stop(): void {
    for (const cancel of this.#running.values()) cancel();
    this.#running.clear();
  }
}
