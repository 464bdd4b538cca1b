import { LRUCache } from 'lru-cache';
import type { Clock } from '../platform/clock.ts';
import { tooMany } from './errors.ts';
import type { RateLimitSettings } from './settings.ts';

export interface Verdict {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Whole seconds until the window starts anew. */
  readonly resetSeconds: number;
}

/** Counts what one source does in a window. One process's own, or shared. */
export interface RateLimiter {
  take(bucket: string, source: string, limit: number, windowSeconds: number): Verdict | Promise<Verdict>;
}

interface Window {
  startedAt: number;
  count: number;
}

const MAX_SOURCES = 100_000;

/** Fixed windows in memory; the longest unused source is forgotten first. */
export function inMemoryRateLimiter(clock: Clock): RateLimiter {
  const windows = new LRUCache<string, Window>({ max: MAX_SOURCES });
  return {
    take(bucket, source, limit, windowSeconds) {
      const key = `${bucket}|${windowSeconds}|${source}`;
      const now = clock.now();
      const length = windowSeconds * 1_000;
      let window = windows.get(key);
      if (window === undefined || now - window.startedAt >= length || now < window.startedAt) {
        window = { startedAt: now, count: 0 };
        windows.set(key, window);
      }
      const allowed = window.count < limit;
      if (allowed) window.count++;
      return {
        allowed,
        limit,
        remaining: limit - window.count,
        resetSeconds: Math.ceil((window.startedAt + length - now) / 1_000),
      };
    },
  };
}

export type LimitClass = 'anonymous' | 'account' | 'login' | 'pin';

const MINUTE = 60;
const DAY = 86_400;

/**
 * Counts one request of `source` and answers the headers that say how many are left.
 *
 * @throws ApiError 429 with Retry-After
 */
export async function limit(
  limiter: RateLimiter,
  settings: RateLimitSettings,
  kind: LimitClass,
  source: string,
): Promise<readonly string[]> {
  if (!settings.enabled) return [];
  const { perMinute } = settings[kind];
  const minute = await limiter.take(kind, source, perMinute, MINUTE);
  if (!minute.allowed) throw refusedBy(minute);
  if (kind === 'anonymous' || kind === 'account') {
    const day = await limiter.take(kind, source, settings[kind].perDay, DAY);
    if (!day.allowed) throw refusedBy(day);
  }
  return headersOf(minute);
}

function refusedBy(verdict: Verdict) {
  const [, limitValue, , remaining, , reset] = headersOf(verdict);
  return tooMany(`Too many requests. Try again in ${verdict.resetSeconds} s`, verdict.resetSeconds, {
    'X-RateLimit-Limit': limitValue ?? '',
    'X-RateLimit-Remaining': remaining ?? '',
    'X-RateLimit-Reset': reset ?? '',
  });
}

function headersOf({ limit: most, remaining, resetSeconds }: Verdict): readonly string[] {
  return ['X-RateLimit-Limit', `${most}`, 'X-RateLimit-Remaining', `${Math.max(0, remaining)}`, 'X-RateLimit-Reset', `${resetSeconds}`];
}
