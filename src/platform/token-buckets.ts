import { boundedCache } from './bounded-cache.ts';
import type { Clock } from './clock.ts';

export interface TokenBucketsOptions {
  /** On average; `Infinity` = no limit. */
  readonly perSecond: number;
  readonly burst: number;
  /** Keys that are remembered; the longest unused one is forgotten, which by then is a full bucket. Default 50,000. */
  readonly maxKeys?: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** How much each key may do, on average and at once. False: it had its share. */
export function tokenBuckets({ perSecond, burst, maxKeys = 50_000, clock }: TokenBucketsOptions): (key: string) => boolean {
  const buckets = boundedCache<string, Bucket>({ max: maxKeys });
  return (key) => {
    if (perSecond === Infinity) return true;
    const now = clock.monotonic();
    let bucket = buckets.get(key);
    if (bucket === undefined) buckets.set(key, (bucket = { tokens: burst, at: now }));
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1_000) * perSecond);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  };
}
