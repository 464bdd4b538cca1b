import type { CredentialRegistry, DeviceCredential } from '../mqtt/port.ts';
import { retryTransient, type Database } from '../postgres/db.ts';
import type { Notifications } from '../postgres/notifications.ts';
import { LoadingCache } from './loading-cache.ts';

/** Who may connect to the embedded broker. Mosquitto has its own store, filled by the same calls. */
export interface DeviceCredentials extends CredentialRegistry {
  /** By MQTT username; from memory where it was asked for lately. */
  credential(username: string): Promise<DeviceCredential | undefined>;
  /** Runs for each device whose credential changed in any process, and with undefined when some may have been missed. */
  onChange(handler: (deviceId: string | undefined) => void): void;
}

interface Row {
  readonly device_id: string;
  readonly username: string;
  readonly client_id: string;
  readonly password_hashes: string[];
  readonly publish_topics: string[];
  readonly subscribe_topics: string[];
}

const CHANNEL = 'vault_device_credentials';
const KEPT = 20_000;
const TTL_MS = 300_000;
const columns = 'device_id, username, client_id, password_hashes, publish_topics, subscribe_topics';

export function createDeviceCredentials(deps: { readonly db: Database; readonly notifications: Notifications }): DeviceCredentials {
  const { db, notifications } = deps;
  const cache = new LoadingCache<DeviceCredential>({ max: KEPT, ttlMs: TTL_MS, load });
  const listeners = new Set<(deviceId: string | undefined) => void>();

  notifications.on(CHANNEL, changed);
  notifications.onGap(() => {
    cache.clear();
    for (const listener of listeners) listener(undefined);
  });

  function changed(deviceId: string): void {
    cache.invalidate(deviceId);
    for (const listener of listeners) listener(deviceId);
  }

  async function load(usernames: readonly string[]): Promise<Map<string, DeviceCredential>> {
    const { rows } = await retryTransient(() =>
      db.pool.query<Row>({
        name: 'vault-device-credentials',
        text: `SELECT ${columns} FROM vault.device_credentials WHERE device_id = ANY($1)`,
        values: [usernames],
      }),
    );
    return new Map(
      rows.map((row) => [
        row.username,
        {
          deviceId: row.device_id,
          username: row.username,
          clientId: row.client_id,
          passwordHashes: row.password_hashes,
          publishTopics: row.publish_topics,
          subscribeTopics: row.subscribe_topics,
        },
      ]),
    );
  }

  return {
    // A username from the wire may hold what PostgreSQL cannot store, a NUL for one.
    credential: async (username) => (username.length > 100 || username.includes('\0') ? undefined : cache.get(username)),
    onChange: (handler) => void listeners.add(handler),
    // The broker hashes with SHA-256 as the vault does: passwords in clear are not needed here.
    async provision({ deviceId, username, clientId, passwordHashes, publishTopics, subscribeTopics }) {
      if (username !== deviceId) throw new Error('The MQTT username of a device is its id'); // what the cache relies on
      await db.pool.query(
        `WITH changed AS (
           INSERT INTO vault.device_credentials (${columns}) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (device_id) DO UPDATE SET username = excluded.username, client_id = excluded.client_id,
             password_hashes = excluded.password_hashes, publish_topics = excluded.publish_topics,
             subscribe_topics = excluded.subscribe_topics, updated_at = now()
           RETURNING device_id)
         SELECT pg_notify('${CHANNEL}', device_id) FROM changed`,
        [deviceId, username, clientId, passwordHashes, publishTopics, subscribeTopics],
      );
      changed(deviceId);
    },
    async revoke(deviceId) {
      await db.pool.query(
        `WITH changed AS (DELETE FROM vault.device_credentials WHERE device_id = $1 RETURNING device_id)
         SELECT pg_notify('${CHANNEL}', device_id) FROM changed`,
        [deviceId],
      );
      changed(deviceId);
    },
  };
}
