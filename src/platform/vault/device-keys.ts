import { randomBytes } from 'node:crypto';
import type { Database } from '../postgres/db.ts';
import { retryTransient } from '../postgres/db.ts';
import type { Notifications } from '../postgres/notifications.ts';
import { LoadingCache } from './loading-cache.ts';
import type { MasterKey } from './master-key.ts';

/** 32 random bytes per device and version, from which the device protocol derives all others. */
export interface DeviceKey {
  readonly keyVersion: number;
  readonly key: Buffer;
}

export interface DeviceKeyring {
  readonly current: DeviceKey | undefined;
  /** During a rotation: the one that the device has been sent and not yet used. */
  readonly pending: DeviceKey | undefined;
}

export interface DeviceKeys {
  /**
   * The key of this version, made on the first call: the device's first is its current one, every other is pending until
   * it is promoted. @throws KeyRotationRunning when another version is pending
   */
  create(deviceId: string, keyVersion: number): Promise<DeviceKey>;
  keyring(deviceId: string): Promise<DeviceKeyring>;
  keyrings(deviceIds: readonly string[]): Promise<ReadonlyMap<string, DeviceKeyring>>;
  /** Not from memory: what another process did a moment ago counts. */
  stored(deviceId: string): Promise<DeviceKeyring>;
  current(deviceId: string): Promise<DeviceKey | undefined>;
  pending(deviceId: string): Promise<DeviceKey | undefined>;
  /** The pending key of this version becomes current and the old one is erased. False: there is no such key. Idempotent. */
  promote(deviceId: string, keyVersion: number): Promise<boolean>;
  discardPending(deviceId: string): Promise<void>;
  /** A new key of this version instead of all that the device has. Idempotent: the same one each time. */
  replace(deviceId: string, keyVersion: number): Promise<void>;
  /** All keys of the device: it can neither be commanded nor believed any more. */
  erase(deviceId: string): Promise<void>;
}

export class KeyRotationRunning extends Error {
  override readonly name = 'KeyRotationRunning';

  constructor(deviceId: string, pendingVersion: number) {
    super(`Device ${deviceId} already has a pending key, version ${pendingVersion}`);
  }
}

interface Row {
  readonly device_id: string;
  readonly key_version: number;
  readonly state: 'current' | 'pending';
  readonly wrapped: Buffer;
}

const CHANNEL = 'vault_device_keys';
const KEPT = 20_000;
/** The notification is what makes a rotation known; this is for a lost one. */
const TTL_MS = 300_000;

export function createDeviceKeys(deps: { readonly db: Database; readonly notifications: Notifications; readonly master: MasterKey }): DeviceKeys {
  const { db, notifications, master } = deps;
  const cache = new LoadingCache<DeviceKeyring>({ max: KEPT, ttlMs: TTL_MS, load });
  notifications.on(CHANNEL, (deviceId) => cache.invalidate(deviceId));
  notifications.onGap(() => cache.clear());

  const context = (deviceId: string, keyVersion: number) => `${deviceId}|${keyVersion}`;
  const none: DeviceKeyring = { current: undefined, pending: undefined };

  async function load(deviceIds: readonly string[]): Promise<Map<string, DeviceKeyring>> {
    const { rows } = await retryTransient(() =>
      db.pool.query<Row>({
        name: 'vault-device-keys',
        text: 'SELECT device_id, key_version, state, wrapped FROM vault.device_keys WHERE device_id = ANY($1)',
        values: [deviceIds],
      }),
    );
    const keyrings = new Map<string, DeviceKeyring>();
    for (const row of rows) {
      const key = { keyVersion: row.key_version, key: master.unwrap('device-key', context(row.device_id, row.key_version), row.wrapped) };
      keyrings.set(row.device_id, { ...(keyrings.get(row.device_id) ?? none), [row.state]: key });
    }
    return keyrings;
  }

  /** Runs a statement that returns the device ids it changed, and tells every process. */
  async function change(text: string, values: readonly unknown[], deviceId: string): Promise<boolean> {
    const { rowCount } = await db.pool.query(`WITH changed AS (${text}) SELECT pg_notify('${CHANNEL}', device_id) FROM changed`, [...values]);
    cache.invalidate(deviceId);
    return (rowCount ?? 0) > 0;
  }

  const keyring = async (deviceId: string) => cache.cached(deviceId) ?? (await cache.get(deviceId)) ?? none;

  return {
    async create(deviceId, keyVersion) {
      const key = randomBytes(32);
      await change(
        `INSERT INTO vault.device_keys (device_id, key_version, state, wrapped)
         SELECT $1, $2, CASE WHEN EXISTS (SELECT 1 FROM vault.device_keys WHERE device_id = $1) THEN 'pending' ELSE 'current' END, $3
         ON CONFLICT DO NOTHING RETURNING device_id`,
        [deviceId, keyVersion, master.wrap('device-key', context(deviceId, keyVersion), key)],
        deviceId,
      );
      const { current, pending } = await keyring(deviceId);
      const made = [current, pending].find((each) => each?.keyVersion === keyVersion);
      if (made === undefined) throw new KeyRotationRunning(deviceId, pending?.keyVersion ?? 0);
      return made;
    },
    keyring,
    keyrings: (deviceIds) => cache.getMany(deviceIds),
    stored: async (deviceId) => (await load([deviceId])).get(deviceId) ?? none,
    current: async (deviceId) => (await keyring(deviceId)).current,
    pending: async (deviceId) => (await keyring(deviceId)).pending,
    async promote(deviceId, keyVersion) {
      const promoted = await db.transaction(async (client) => {
        const { rows } = await client.query<{ key_version: number; state: string }>(
          'SELECT key_version, state FROM vault.device_keys WHERE device_id = $1 FOR UPDATE',
          [deviceId],
        );
        const row = rows.find((each) => each.key_version === keyVersion);
        if (row === undefined) return false;
        if (row.state === 'current') return true;
        await client.query(`DELETE FROM vault.device_keys WHERE device_id = $1 AND state = 'current'`, [deviceId]);
        await client.query(`UPDATE vault.device_keys SET state = 'current' WHERE device_id = $1 AND key_version = $2`, [deviceId, keyVersion]);
        await client.query('SELECT pg_notify($1, $2)', [CHANNEL, deviceId]);
        return true;
      });
      cache.invalidate(deviceId);
      return promoted;
    },
    async discardPending(deviceId) {
      await change(`DELETE FROM vault.device_keys WHERE device_id = $1 AND state = 'pending' RETURNING device_id`, [deviceId], deviceId);
    },
    async replace(deviceId, keyVersion) {
      await db.transaction(async (client) => {
        const { rows } = await client.query<{ key_version: number }>('SELECT key_version FROM vault.device_keys WHERE device_id = $1 FOR UPDATE', [deviceId]);
        if (rows.length === 1 && rows[0]?.key_version === keyVersion) return;
        await client.query('DELETE FROM vault.device_keys WHERE device_id = $1', [deviceId]);
        await client.query(`INSERT INTO vault.device_keys (device_id, key_version, state, wrapped) VALUES ($1, $2, 'current', $3)`, [
          deviceId,
          keyVersion,
          master.wrap('device-key', context(deviceId, keyVersion), randomBytes(32)),
        ]);
        await client.query('SELECT pg_notify($1, $2)', [CHANNEL, deviceId]);
      });
      cache.invalidate(deviceId);
    },
    async erase(deviceId) {
      await change('DELETE FROM vault.device_keys WHERE device_id = $1 RETURNING device_id', [deviceId], deviceId);
    },
  };
}
