import type { RateLimiter, Verdict } from '../platform/rate-limits.ts';
import { networkOf } from './client.ts';
import { tooMany, unavailable } from './errors.ts';
import type { RateLimitSettings } from './settings.ts';

/** What is counted. Accounts and links by their id; everything else by the network that it comes from. */
export type LimitClass = keyof Omit<RateLimitSettings, 'enabled'>;

const MINUTE = 60;
const DAY = 86_400;

/**
 * Those that guard what can be guessed are counted where all processes count, before anything else is done, and need
 * PostgreSQL, as what they guard does. The others are decided in this process and never wait.
 */
const exact: ReadonlySet<LimitClass> = new Set(['login', 'registration', 'pin']);
const byId: ReadonlySet<LimitClass> = new Set(['account', 'pin', 'unlock']);

/**
 * Counts one request of `source` and answers the headers that say how many are left.
 *
 * @throws ApiError 429 with Retry-After · 503 where what must be counted exactly cannot be counted
 */
export function limit(limiter: RateLimiter, settings: RateLimitSettings, kind: LimitClass, source: string): readonly string[] | Promise<readonly string[]> {
  if (!settings.enabled) return [];
  const who = byId.has(kind) ? source : networkOf(source);
  const { perMinute, perDay } = settings[kind];
  if (exact.has(kind)) return exactly(limiter, kind, who, perMinute, perDay);
  const minute = limiter.take(kind, who, perMinute, MINUTE);
  if (!minute.allowed) throw refusedBy(minute, MINUTE);
  if (perDay !== undefined) {
    const day = limiter.take(kind, who, perDay, DAY);
    if (!day.allowed) throw refusedBy(day, DAY);
  }
  return headersOf(minute, MINUTE);
}

async function exactly(limiter: RateLimiter, kind: LimitClass, who: string, perMinute: number, perDay: number | undefined): Promise<readonly string[]> {
  const minute = await counted(limiter, kind, who, perMinute, MINUTE);
  if (!minute.allowed) throw refusedBy(minute, MINUTE);
  if (perDay !== undefined) {
    const day = await counted(limiter, kind, who, perDay, DAY);
    if (!day.allowed) throw refusedBy(day, DAY);
  }
  return headersOf(minute, MINUTE);
}

async function counted(limiter: RateLimiter, kind: LimitClass, who: string, most: number, windowSeconds: number): Promise<Verdict> {
  try {
    return await limiter.takeExactly(kind, who, most, windowSeconds);
  } catch (error) {
    throw Object.assign(unavailable('The service is not available right now. Try again'), { cause: error });
  }
}

function refusedBy(verdict: Verdict, windowSeconds: number) {
  const headers: Record<string, string> = {};
  const list = headersOf(verdict, windowSeconds);
  for (let i = 0; i < list.length; i += 2) headers[list[i] ?? ''] = list[i + 1] ?? '';
  return tooMany(`Too many requests. Try again in ${verdict.resetSeconds} s`, verdict.resetSeconds, headers);
}

/** Of S1-29, and the same in the names that most clients read (draft-ietf-httpapi-ratelimit-headers-06). */
function headersOf({ limit: most, remaining, resetSeconds }: Verdict, windowSeconds: number): readonly string[] {
  return [
    'X-RateLimit-Limit', `${most}`,
    'X-RateLimit-Remaining', `${remaining}`,
    'X-RateLimit-Reset', `${resetSeconds}`,
    'RateLimit-Policy', `${most};w=${windowSeconds}`,
    'RateLimit-Limit', `${most}`,
    'RateLimit-Remaining', `${remaining}`,
    'RateLimit-Reset', `${resetSeconds}`,
  ];
}

/** Wrong guesses of one source within the window; then it waits for the window to end, right or wrong. */
export interface GuessLimit {
  /** Seconds to wait, undefined when it may try. */
  locked(source: string): Promise<number | undefined>;
  wrong(source: string): Promise<void>;
}

/** Not switched off with the rest: this is no limit of load. */
export function guessLimit(limiter: RateLimiter, bucket: string, tries: number, windowSeconds: number): GuessLimit {
  return {
    async locked(source) {
      const { allowed, resetSeconds } = await limiter.look(bucket, source, tries, windowSeconds);
      return allowed ? undefined : resetSeconds;
    },
    async wrong(source) {
      await limiter.takeExactly(bucket, source, tries, windowSeconds);
    },
  };
}
