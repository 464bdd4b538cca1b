import { LRUCache } from 'lru-cache';

const one = (): number => 1;

export interface BoundedCacheOptions<K, V> {
  /** Entries. The one that was not asked for longest goes first. */
  readonly max: number;
  readonly ttlMs?: number;
  readonly dispose?: (value: V, key: K) => void;
}

/**
 * A cache that takes the memory of what is in it. With `max` alone lru-cache takes that of a full one at once, which for
 * the dozen caches of an idle server was 20 MB; told sizes it does not, so each entry is one large.
 */
export function boundedCache<K extends {}, V extends {}>({ max, ttlMs, dispose }: BoundedCacheOptions<K, V>): LRUCache<K, V> {
  return new LRUCache({
    maxSize: max,
    sizeCalculation: one,
    ...(ttlMs === undefined ? {} : { ttl: ttlMs }),
    ...(dispose === undefined ? {} : { dispose }),
  });
}
