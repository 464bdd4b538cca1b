import { boundedCache } from './bounded-cache.ts';
import type { Clock } from './clock.ts';

export interface Verdict {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Whole seconds until the window starts anew. */
  readonly resetSeconds: number;
}

/**
 * Counts what one source does in a window, which begins with the first thing it does. What is refused is not counted.
 * `bucket` is what is counted, `source` who does it.
 */
export interface RateLimiter {
  /** Decided in this process at once, told to the others soon after: for what must not wait. */
  take(bucket: string, source: string, limit: number, windowSeconds: number): Verdict;
  /** Decided where all processes count. */
  takeExactly(bucket: string, source: string, limit: number, windowSeconds: number): Promise<Verdict>;
  /** What `takeExactly` would say, without counting. */
  look(bucket: string, source: string, limit: number, windowSeconds: number): Promise<Verdict>;
}

export interface Window {
  /** Milliseconds since the epoch. */
  startedAt: number;
  readonly lengthMs: number;
  count: number;
}

/** Clocks of processes may differ by so much before a window from the future means that ours was set back. */
const CLOCKS_DIFFER_MS = 5_000;
export const MAX_SOURCES = 100_000;

export function isOver({ startedAt, lengthMs }: Window, now: number): boolean {
  return now - startedAt >= lengthMs || startedAt - now > CLOCKS_DIFFER_MS;
}

export function verdictOn({ startedAt, lengthMs, count }: Window, allowed: boolean, limit: number, now: number): Verdict {
  return {
    allowed,
    limit,
    remaining: Math.max(0, limit - count),
    resetSeconds: Math.max(1, Math.ceil((startedAt + lengthMs - now) / 1_000)),
  };
}

/** For one process and for tests; the source that was unused longest is forgotten first. */
export function inMemoryRateLimiter(clock: Clock): RateLimiter {
  const windows = boundedCache<string, Window>({ max: MAX_SOURCES });

  function windowOf(bucket: string, source: string, windowSeconds: number, now: number): Window {
    const key = `${bucket}|${windowSeconds}|${source}`;
    const known = windows.get(key);
    if (known !== undefined && !isOver(known, now)) return known;
    const window = { startedAt: now, lengthMs: windowSeconds * 1_000, count: 0 };
    windows.set(key, window);
    return window;
  }

  const limiter: RateLimiter = {
    take(bucket, source, limit, windowSeconds) {
      const now = clock.now();
      const window = windowOf(bucket, source, windowSeconds, now);
      const allowed = window.count < limit;
      if (allowed) window.count++;
      return verdictOn(window, allowed, limit, now);
    },
    takeExactly: async (...asked) => limiter.take(...asked),
    async look(bucket, source, limit, windowSeconds) {
      const now = clock.now();
      const window = windowOf(bucket, source, windowSeconds, now);
      return verdictOn(window, window.count < limit, limit, now);
    },
  };
  return limiter;
}
