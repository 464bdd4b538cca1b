import { boundedCache } from '../platform/bounded-cache.ts';
import type { DeviceKey, DeviceKeys as DeviceKeyStore } from '../platform/vault/device-keys.ts';
import { deriveKeys, type DeviceKeys } from './protocol/keys.ts';

/** The derived keys of a box: the current ones, and during a rotation those it was sent. */
export interface BoxKeys {
  readonly current: DeviceKeys;
  readonly pending: DeviceKeys | undefined;
}

export interface Keyring {
  of(deviceId: string): Promise<BoxKeys | undefined>;
  ofMany(deviceIds: readonly string[]): Promise<ReadonlyMap<string, BoxKeys>>;
}

const KEPT = 20_000;

/** Derives once per device and key version; master keys come from the vault's own cache, which knows of rotations. */
export function createKeyring(store: Pick<DeviceKeyStore, 'keyring' | 'keyrings'>): Keyring {
  const derived = boundedCache<string, { readonly master: Buffer; readonly keys: DeviceKeys }>({ max: KEPT });

  function derive(deviceId: string, { keyVersion, key }: DeviceKey): DeviceKeys {
    const id = `${deviceId}|${keyVersion}`;
    const known = derived.get(id);
    // The same version with another master key: the box was provisioned anew.
    if (known !== undefined && known.master.equals(key)) return known.keys;
    const keys = deriveKeys(key, deviceId, keyVersion);
    derived.set(id, { master: key, keys });
    return keys;
  }

  const boxKeys = (deviceId: string, ring: { readonly current: DeviceKey | undefined; readonly pending: DeviceKey | undefined }): BoxKeys | undefined =>
    ring.current === undefined
      ? undefined
      : { current: derive(deviceId, ring.current), pending: ring.pending === undefined ? undefined : derive(deviceId, ring.pending) };

  return {
    async of(deviceId) {
      return boxKeys(deviceId, await store.keyring(deviceId));
    },
    async ofMany(deviceIds) {
      const found = new Map<string, BoxKeys>();
      for (const [deviceId, ring] of await store.keyrings(deviceIds)) {
        const keys = boxKeys(deviceId, ring);
        if (keys !== undefined) found.set(deviceId, keys);
      }
      return found;
    },
  };
}
