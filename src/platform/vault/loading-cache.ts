import type { LRUCache } from 'lru-cache';
import { boundedCache } from '../bounded-cache.ts';

export interface LoadingCacheOptions<V> {
  readonly max: number;
  /** Milliseconds after which a value is read again, should its notification have been lost. */
  readonly ttlMs: number;
  /** One read for all keys that are asked for while the last read is under way. Missing keys: undefined. */
  readonly load: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>;
}

/**
 * What the vault says, kept for a short while, absence included. Many askers make one query: ten thousand devices that
 * reconnect at once cost a few dozen.
 */
export class LoadingCache<V extends object> {
  readonly #values: LRUCache<string, { readonly value: V | undefined }>;
  readonly #load: LoadingCacheOptions<V>['load'];
  readonly #asked = new Map<string, PromiseWithResolvers<V | undefined>>();
  readonly #loading = new Map<string, PromiseWithResolvers<V | undefined>>();
  #running = false;

  constructor({ max, ttlMs, load }: LoadingCacheOptions<V>) {
    this.#values = boundedCache({ max, ttlMs });
    this.#load = load;
  }

  /** Without waiting: the value, `null` where it is known to be absent, undefined where it must be loaded. */
  cached(key: string): V | null | undefined {
    const entry = this.#values.get(key);
    return entry === undefined ? undefined : (entry.value ?? null);
  }

  async get(key: string): Promise<V | undefined> {
    const entry = this.#values.get(key);
    if (entry !== undefined) return entry.value;
    return this.#ask(key);
  }

  async getMany(keys: readonly string[]): Promise<Map<string, V>> {
    const found = new Map<string, V>();
    await Promise.all(
      keys.map(async (key) => {
        const value = await this.get(key);
        if (value !== undefined) found.set(key, value);
      }),
    );
    return found;
  }

  set(key: string, value: V): void {
    this.#values.set(key, { value });
  }

  /** A read under way may have seen the old value: its answer is passed on but not kept. */
  invalidate(key: string): void {
    this.#values.delete(key);
    this.#loading.delete(key);
  }

  clear(): void {
    this.#values.clear();
    this.#loading.clear();
  }

  #ask(key: string): Promise<V | undefined> {
    const pending = this.#loading.get(key) ?? this.#asked.get(key);
    if (pending !== undefined) return pending.promise;
    const asked = Promise.withResolvers<V | undefined>();
    this.#asked.set(key, asked);
    if (!this.#running) {
      this.#running = true;
      queueMicrotask(() => void this.#run()); // whoever asks in this same turn comes along
    }
    return asked.promise;
  }

  async #run(): Promise<void> {
    while (this.#asked.size > 0) {
      const batch = new Map([...this.#asked].slice(0, 1_000));
      for (const [key, asked] of batch) {
        this.#asked.delete(key);
        this.#loading.set(key, asked);
      }
      try {
        const values = await this.#load([...batch.keys()]);
        for (const [key, asked] of batch) {
          const value = values.get(key);
          if (this.#loading.get(key) === asked) this.#values.set(key, { value });
          asked.resolve(value);
        }
      } catch (error) {
        for (const asked of batch.values()) asked.reject(error);
      } finally {
        for (const [key, asked] of batch) if (this.#loading.get(key) === asked) this.#loading.delete(key);
      }
    }
    this.#running = false;
  }
}
