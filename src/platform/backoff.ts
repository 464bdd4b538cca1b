import { setTimeout as delay } from 'node:timers/promises';

export interface BackoffOptions {
  /** First ceiling in milliseconds; doubles with each attempt. Default 50. */
  readonly baseMs?: number;
  /** Highest ceiling in milliseconds. Default 5,000. */
  readonly capMs?: number;
  readonly random?: () => number;
}

/** Full jitter: anything from 0 to the ceiling, so that many that failed together do not come back together. */
export function fullJitter(attempt: number, { baseMs = 50, capMs = 5_000, random = Math.random }: BackoffOptions = {}): number {
  return Math.floor(random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30)));
}

/** Waits `ms`; ends early, without an error, when `signal` aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error;
  });
}
