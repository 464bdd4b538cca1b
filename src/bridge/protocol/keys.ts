import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';

/**
 * The five keys of one device and key version, one purpose each (docs/device-protocol.md, "Keys").
 * 32 bytes each. Secret: never in an event, a log line, the relay or the broker. The two that sign are key objects: an
 * HMAC under one costs a fifth of one under the same bytes.
 */
export interface DeviceKeys {
  readonly version: number;
  /** Broker password, see `mqttPassword`. */
  readonly mqtt: Buffer;
  /** Signs what the server sends. */
  readonly cmd: KeyObject;
  /** Signs what the device sends. */
  readonly rpt: KeyObject;
  /** AES-256-GCM of secret fields. */
  readonly enc: Buffer;
  /** Bearer of the HTTP fallback, see `httpBearer`. */
  readonly http: Buffer;
}

const MASTER_KEY_BYTES = 32;

const noSalt = createSecretKey(Buffer.alloc(32));
const firstBlock = Buffer.from([1]);

/**
 * HKDF-SHA256 with an empty salt and one output block, written as the two HMACs it is: a firmware does the same.
 * Callers on the hot path keep the result per (device, key version).
 */
export function deriveKeys(masterKey: Buffer, deviceId: string, keyVersion: number): DeviceKeys {
  if (masterKey.length !== MASTER_KEY_BYTES) throw new Error(`A device master key has ${MASTER_KEY_BYTES} bytes, not ${masterKey.length}`);
  const prk = createSecretKey(createHmac('sha256', noSalt).update(masterKey).digest());
  const expand = (purpose: string): Buffer =>
    createHmac('sha256', prk).update(`loqey/v1/${purpose}/${deviceId}/${keyVersion}`).update(firstBlock).digest();
  return {
    version: keyVersion,
    mqtt: expand('mqtt'),
    cmd: createSecretKey(expand('cmd')),
    rpt: createSecretKey(expand('rpt')),
    enc: expand('enc'),
    http: expand('http'),
  };
}

export function mqttPassword(keys: DeviceKeys): string {
  return keys.mqtt.toString('hex');
}

export function httpBearer(keys: DeviceKeys): string {
  return keys.http.toString('hex');
}
