import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Instant, Sealed } from '../../domain/kernel.ts';
import { fullJitter, pause } from '../backoff.ts';
import { boundedCache } from '../bounded-cache.ts';
import type { Json } from '../event-store/port.ts';
import { newId } from '../ids.ts';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { retryTransient, type Database } from '../postgres/db.ts';
import type { Notifications } from '../postgres/notifications.ts';
import { takeRandomBytes } from '../random.ts';
import { LoadingCache } from './loading-cache.ts';
import type { MasterKey } from './master-key.ts';

/**
 * Seals personal data under a data key of its subject (`user:<id>`, `delivery:<id>`, …: kind, colon, id). Destroying the
 * key is erasure: from then on every copy of the log, backups included, yields nothing for that subject.
 */
export interface Sealer extends Component {
  /**
   * Answers at once where the key is at hand. The key's row is committed before anything sealed with it is returned. For
   * a destroyed subject it answers a value that nobody can open, so that an append never fails for an erased person.
   */
  seal(subject: string, eventType: string, path: string, value: Json): Sealed | Promise<Sealed>;
  /** undefined: erased. @throws SealBroken when the value is not what was sealed under this type and path */
  open<T extends Json = Json>(sealed: Sealed, eventType: string, path: string): Promise<T | undefined>;
  /** Same order, one query for all keys that are not at hand. */
  openMany(items: readonly SealedAt[]): Promise<(Json | undefined)[]>;
  /** For ever: in this process at once, in every other within a minute, usually at once. Idempotent. */
  destroy(subject: string): Promise<{ readonly keys: number }>;
  /** The same for all that belongs to one person, at once or not at all. Answers how many keys of theirs are destroyed by now, by this call or before. */
  destroyAll(subjects: readonly string[]): Promise<{ readonly keys: number }>;
  /** Of kinds made in advance: those for which no key is written down, as after a crash just after its use. */
  unbound(subjects: readonly string[]): Promise<readonly string[]>;
  /** Those that can be read: a restored vault may have brought keys back. */
  living(subjects: readonly string[]): Promise<readonly string[]>;
  /** By the ids that sealed values carry, for keys whose subject was never written down (a crash just after use). */
  destroyKeys(keyIds: readonly string[]): Promise<{ readonly keys: number }>;
  /** Retention: all keys of a kind made before `before`, those without a subject included. At least a day ago. */
  destroyOlderThan(kind: string, before: Instant): Promise<{ readonly keys: number }>;
}

export interface SealedAt {
  readonly sealed: Sealed;
  readonly eventType: string;
  readonly path: string;
}

export class SealBroken extends Error {
  override readonly name = 'SealBroken';

  constructor(sealed: Sealed, eventType: string, path: string, cause: unknown) {
    super(`The sealed value of ${sealed.sub} in ${eventType}, ${path}, is not what was sealed there`, { cause });
  }
}

export interface SealerOptions {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly master: MasterKey;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Kinds with a new subject for each use (`delivery`): they take a key made in advance instead of waiting for an INSERT. */
  readonly inAdvance: readonly string[];
  /** Keys in advance, for each of those kinds. Default 64. */
  readonly reserve?: number;
  /** How long an opened key is kept, in milliseconds: bounds how late a destruction is noticed. Default 45,000. */
  readonly keyTtlMs?: number;
}

interface DataKey {
  readonly id: string;
  /** Kept as a key object: with the same bytes as a buffer each use costs twice as much. */
  readonly key: KeyObject;
}

const CHANNEL = 'vault_data_keys';
const KEYS_KEPT = 10_000;
const MAX_UNBOUND = 10_000;
const BIND_EVERY_MS = 50;
const STOP_TIMEOUT_MS = 5_000;
const DAY_MS = 86_400_000;
/** A key made in advance is used within this time, so that retention, a day behind, never meets one still in use. */
const RESERVE_AGE_MS = 3_600_000;

export function createSealer(options: SealerOptions): Sealer {
  const { db, master, metrics, reserve = 64, keyTtlMs = 45_000 } = options;
  const logger = options.logger.child({ component: 'sealer' });
  const missing = metrics.counter('loqey_vault_data_keys_missing_total', 'Sealed values whose key the vault never had or has lost');
  const unboundLost = metrics.counter('loqey_vault_data_keys_unbound_total', 'Used keys whose subject could not be written down');
  const waited = metrics.counter('loqey_vault_reserve_empty_total', 'Seals that waited because no key made in advance was left');

  /** By key id. A destroyed key is absent. */
  const keys = new LoadingCache<DataKey>({ max: KEYS_KEPT, ttlMs: keyTtlMs, load: loadKeys });
  const bySubject = boundedCache<string, DataKey>({ max: KEYS_KEPT, ttlMs: keyTtlMs });
  const making = new Map<string, Promise<DataKey>>();
  const reserves = new Map(options.inAdvance.map((kind) => [kind, createReserve(kind)]));
  const binding = createBinding();

  const forget = () => {
    keys.clear();
    bySubject.clear();
  };
  // Rare, so everything is dropped; keys in use come back with one query.
  options.notifications.on(CHANNEL, forget);
  options.notifications.onGap(forget);

  async function loadKeys(ids: readonly string[]): Promise<Map<string, DataKey>> {
    const { rows } = await retryTransient(() =>
      db.pool.query<{ key_id: string; wrapped: Buffer | null }>({
        name: 'vault-data-keys',
        text: 'SELECT key_id, wrapped FROM vault.data_keys WHERE key_id = ANY($1)',
        values: [ids],
      }),
    );
    if (rows.length < ids.length) missing.inc(ids.length - rows.length);
    return new Map(rows.flatMap((row) => (row.wrapped === null ? [] : [[row.key_id, unwrap(row.key_id, row.wrapped)] as const])));
  }

  const unwrap = (id: string, wrapped: Buffer): DataKey => ({ id, key: createSecretKey(master.unwrap('data-key', id, wrapped)) });
  const keep = (subject: string, key: DataKey): DataKey => {
    keys.set(key.id, key);
    bySubject.set(subject, key);
    return key;
  };

  /** The subject's key, made on first use. */
  function keyOf(subject: string): DataKey | Promise<DataKey> {
    const known = bySubject.get(subject);
    if (known !== undefined) return known;
    const ready = reserves.get(kindOf(subject));
    if (ready !== undefined) {
      const taken = ready.take();
      if (taken instanceof Promise) return taken.then((key) => bind(subject, key));
      return bind(subject, taken);
    }
    const under = making.get(subject);
    if (under !== undefined) return under;
    const made = retryTransient(() => findOrMake(subject)).finally(() => making.delete(subject));
    making.set(subject, made);
    return made;
  }

  function bind(subject: string, key: DataKey): DataKey {
    const known = bySubject.get(subject); // another seal of the same subject, while this one waited
    if (known !== undefined) return known;
    binding.add(key.id, subject);
    return keep(subject, key);
  }

  async function findOrMake(subject: string): Promise<DataKey> {
    const find = () =>
      db.pool.query<{ key_id: string; wrapped: Buffer | null }>({
        name: 'vault-data-key-of',
        text: 'SELECT key_id, wrapped FROM vault.data_keys WHERE subject = $1 AND NOT in_advance',
        values: [subject],
      });
    let [row] = (await find()).rows;
    if (row === undefined) {
      const fresh = makeKey();
      const { rowCount } = await db.pool.query(
        `INSERT INTO vault.data_keys (key_id, subject, kind, in_advance, wrapped) VALUES ($1, $2, $3, false, $4)
         ON CONFLICT (subject) WHERE NOT in_advance DO NOTHING`,
        [fresh.id, subject, kindOf(subject), master.wrap('data-key', fresh.id, fresh.key.export())],
      );
      if (rowCount === 1) return keep(subject, fresh);
      [row] = (await find()).rows; // another process was first
      if (row === undefined) throw new Error(`The data key of ${subject} vanished`);
    }
    // Destroyed: a key that is written down nowhere.
    return row.wrapped === null ? makeKey() : keep(subject, unwrap(row.key_id, row.wrapped));
  }

  function createReserve(kind: string) {
    let ready: { readonly key: DataKey; readonly madeAt: number }[] = [];
    let filling: Promise<void> | undefined;

    async function insertBatch(): Promise<void> {
      const madeAt = performance.now();
      const batch: DataKey[] = [];
      const wrapped: Buffer[] = [];
      while (ready.length + batch.length < reserve) {
        if (batch.length % 8 === 0) await setImmediate(); // the seal that noticed goes first, and others in between
        const key = makeKey();
        batch.push(key);
        wrapped.push(master.wrap('data-key', key.id, key.key.export()));
      }
      if (batch.length === 0) return;
      await db.pool.query(
        `INSERT INTO vault.data_keys (key_id, kind, in_advance, wrapped)
         SELECT id, $1, true, wrapped FROM unnest($2::text[], $3::bytea[]) AS made (id, wrapped)`,
        [kind, batch.map((key) => key.id), wrapped],
      );
      ready.push(...batch.map((key) => ({ key, madeAt })));
    }
    const fill = () =>
      (filling ??= retryTransient(insertBatch).finally(() => {
        filling = undefined;
      }));
    const takeReady = (): DataKey | undefined => {
      const oldest = performance.now() - RESERVE_AGE_MS;
      if (ready[0] !== undefined && ready[0].madeAt < oldest) ready = ready.filter((entry) => entry.madeAt >= oldest);
      const taken = ready.pop()?.key;
      if (ready.length <= reserve / 2) void fill().catch((error: unknown) => logger.warn({ err: error, kind }, 'Keys in advance could not be made'));
      return taken;
    };
    return {
      fill,
      take(): DataKey | Promise<DataKey> {
        const taken = takeReady();
        if (taken !== undefined) return taken;
        waited.inc();
        return (async () => {
          for (;;) {
            await fill();
            const key = takeReady();
            if (key !== undefined) return key;
          }
        })();
      },
      settled: async () => filling?.catch(() => undefined),
    };
  }

  /** Writes down, a little later, whose a key made in advance became. `open` does not need it: it finds keys by id. */
  function createBinding() {
    const unbound = new Map<string, string>();
    let running: Promise<void> | undefined;
    let deadline = Infinity;

    async function writeBatch(): Promise<void> {
      const batch = [...unbound].slice(0, 500);
      // A subject that was destroyed in the meantime takes this key with it.
      const { rows } = await db.pool.query<{ destroyed: boolean }>(
        `UPDATE vault.data_keys AS k
            SET subject = b.subject,
                wrapped = CASE WHEN gone.at IS NULL THEN k.wrapped END,
                destroyed_at = coalesce(k.destroyed_at, gone.at)
           FROM unnest($1::text[], $2::text[]) AS b (key_id, subject)
           LEFT JOIN LATERAL (SELECT t.destroyed_at AS at FROM vault.data_keys t
                               WHERE t.subject = b.subject AND NOT t.in_advance AND t.destroyed_at IS NOT NULL) AS gone ON true
          WHERE k.key_id = b.key_id
          RETURNING gone.at IS NOT NULL AS destroyed`,
        [batch.map(([id]) => id), batch.map(([, subject]) => subject)],
      );
      for (const [id] of batch) unbound.delete(id);
      if (rows.some((row) => row.destroyed)) await announce();
    }
    async function run(): Promise<void> {
      for (let attempt = 0; unbound.size > 0; ) {
        if (deadline === Infinity) await pause(BIND_EVERY_MS);
        try {
          await writeBatch();
          attempt = 0;
        } catch (error) {
          logger.warn({ err: error, keys: unbound.size }, 'Subjects of data keys are not written down yet');
          if (performance.now() > deadline) break;
          await pause(fullJitter(attempt++));
        }
      }
    }
    const start = () => {
      running ??= run().finally(() => {
        running = undefined;
        if (unbound.size > 0 && deadline === Infinity) void start();
      });
      return running;
    };
    return {
      add(keyId: string, subject: string) {
        if (unbound.size >= MAX_UNBOUND) {
          unboundLost.inc();
          return;
        }
        unbound.set(keyId, subject);
        void start();
      },
      async flush(timeoutMs: number) {
        deadline = performance.now() + timeoutMs;
        while (unbound.size > 0 && performance.now() < deadline) await start();
        deadline = Infinity;
        if (unbound.size > 0) unboundLost.inc(unbound.size);
      },
    };
  }

  async function announce(): Promise<void> {
    forget();
    await db.pool.query('SELECT pg_notify($1, $2)', [CHANNEL, '']);
  }

  /** Marks keys destroyed; what this and other processes still hold of them is dropped. */
  async function destroyWhere(condition: string, values: readonly unknown[], tombstones: readonly string[] = []): Promise<{ keys: number }> {
    const keysDestroyed = await db.transaction(async (client) => {
      // Against a binding or a first key of the same subject that is being written right now.
      await client.query('LOCK TABLE vault.data_keys IN SHARE ROW EXCLUSIVE MODE');
      const { rowCount } = await client.query(
        `UPDATE vault.data_keys SET wrapped = NULL, destroyed_at = now() WHERE destroyed_at IS NULL AND ${condition}`,
        [...values],
      );
      if (tombstones.length > 0) {
        await client.query(
          `INSERT INTO vault.data_keys (key_id, subject, kind, in_advance, destroyed_at)
           SELECT id, subject, kind, false, now() FROM unnest($1::text[], $2::text[], $3::text[]) AS gone (id, subject, kind)
           ON CONFLICT (subject) WHERE NOT in_advance DO NOTHING`,
          [tombstones.map(() => newId()), tombstones, tombstones.map(kindOf)],
        );
      }
      await client.query('SELECT pg_notify($1, $2)', [CHANNEL, '']);
      return rowCount ?? 0;
    });
    forget();
    return { keys: keysDestroyed };
  }

  const lifecycle = component(
    async () => {
      await Promise.all([...reserves.values()].map((each) => each.fill()));
    },
    async () => {
      await binding.flush(STOP_TIMEOUT_MS);
      await Promise.all([...reserves.values()].map((each) => each.settled()));
      forget();
    },
  );

  return {
    ...lifecycle,
    seal(subject, eventType, path, value) {
      const key = keyOf(subject);
      return key instanceof Promise
        ? key.then((made) => sealWith(made, subject, eventType, path, value))
        : sealWith(key, subject, eventType, path, value);
    },
    async open<T extends Json = Json>(sealed: Sealed, eventType: string, path: string): Promise<T | undefined> {
      const key = keys.cached(sealed.k) ?? (await keys.get(sealed.k));
      return key === undefined ? undefined : (unseal(key, sealed, eventType, path) as T);
    },
    async openMany(items) {
      const found = await keys.getMany([...new Set(items.map((item) => item.sealed.k))]);
      return items.map(({ sealed, eventType, path }) => {
        const key = found.get(sealed.k);
        return key === undefined ? undefined : unseal(key, sealed, eventType, path);
      });
    },
    async destroy(subject) {
      await binding.flush(STOP_TIMEOUT_MS);
      return destroyWhere('subject = $1', [subject], [subject]);
    },
    async destroyAll(subjects) {
      await binding.flush(STOP_TIMEOUT_MS);
      await destroyWhere('subject = ANY($1)', [subjects], subjects);
      const { rows } = await db.pool.query<{ keys: number }>(
        // What stands for a subject that never had a key is no key.
        'SELECT count(*)::integer AS keys FROM vault.data_keys WHERE subject = ANY($1) AND destroyed_at > created_at',
        [subjects],
      );
      return { keys: rows[0]?.keys ?? 0 };
    },
    async unbound(subjects) {
      const { rows } = await db.pool.query<{ subject: string }>(
        `SELECT subject FROM unnest($1::text[]) AS asked (subject) WHERE split_part(subject, ':', 1) = ANY($2)
         EXCEPT SELECT subject FROM vault.data_keys WHERE subject = ANY($1) AND in_advance`,
        [subjects, options.inAdvance],
      );
      return rows.map(({ subject }) => subject);
    },
    async living(subjects) {
      const { rows } = await db.pool.query<{ subject: string }>('SELECT DISTINCT subject FROM vault.data_keys WHERE subject = ANY($1) AND wrapped IS NOT NULL', [subjects]);
      return rows.map(({ subject }) => subject);
    },
    destroyKeys: (keyIds) => destroyWhere('key_id = ANY($1)', [keyIds]),
    destroyOlderThan(kind, before) {
      if (Date.parse(before) > Date.now() - DAY_MS) throw new Error('Data keys are kept for a day at least');
      return destroyWhere('kind = $1 AND created_at < $2', [kind, before]);
    },
  };
}

function makeKey(): DataKey {
  return { id: newId(), key: createSecretKey(randomBytes(32)) };
}

function kindOf(subject: string): string {
  const colon = subject.indexOf(':');
  if (colon <= 0) throw new Error(`"${subject}" is not a subject: kind, colon, id`);
  return subject.slice(0, colon);
}

const associated = (eventType: string, path: string, subject: string) => Buffer.from(`${eventType}|${path}|${subject}`);

const NONCE_BYTES = 12;
function sealWith(key: DataKey, subject: string, eventType: string, path: string, value: Json): Sealed {
  const nonce = takeRandomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key.key, nonce).setAAD(associated(eventType, path, subject));
  const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { $s: 1, sub: subject, k: key.id, n: nonce.toString('base64url'), c: text.toString('base64url') };
}

function unseal(key: DataKey, sealed: Sealed, eventType: string, path: string): Json {
  try {
    const text = Buffer.from(sealed.c, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', key.key, Buffer.from(sealed.n, 'base64url'), { authTagLength: 16 })
      .setAAD(associated(eventType, path, sealed.sub))
      .setAuthTag(text.subarray(-16));
    return JSON.parse(Buffer.concat([decipher.update(text.subarray(0, -16)), decipher.final()]).toString('utf8')) as Json;
  } catch (error) {
    throw new SealBroken(sealed, eventType, path, error);
  }
}
