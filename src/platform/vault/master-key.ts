import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM: nonce, ciphertext, tag. `context` is bound to it and not stored. */
export function encrypt(key: Uint8Array, context: string, plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** @throws when key, context or bytes are not the ones of `encrypt` */
export function decrypt(key: Uint8Array, context: string, sealed: Uint8Array): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('Too short to be encrypted');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)), decipher.final()]);
}

/** DATA_KEY_MASTER, never used itself: each purpose has a key of its own. */
export interface MasterKey {
  /** Wraps a key for storage; `context` names its row, so that a wrapped key moved to another row does not open. */
  wrap(purpose: WrapPurpose, context: string, key: Uint8Array): Buffer;
  unwrap(purpose: WrapPurpose, context: string, wrapped: Uint8Array): Buffer;
  /** A keyed hash to compare by, lower hex. */
  tag(purpose: TagPurpose, value: string): string;
}

export type WrapPurpose = 'data-key' | 'device-key';
export type TagPurpose = 'device-pin' | 'email' | 'refresh-successor' | 'rate-limit' | 'unknown-login' | 'login-source';

export function createMasterKey(secret: Uint8Array): MasterKey {
  if (secret.length !== 32) throw new Error('DATA_KEY_MASTER must have 32 bytes');
  const keys = new Map<string, Buffer>();
  const derived = (purpose: string) => {
    const known = keys.get(purpose);
    if (known !== undefined) return known;
    const key = Buffer.from(hkdfSync('sha256', secret, '', `loqey/vault/v1/${purpose}`, 32));
    keys.set(purpose, key);
    return key;
  };
  return {
    wrap: (purpose, context, key) => encrypt(derived(`wrap/${purpose}`), context, key),
    unwrap: (purpose, context, wrapped) => decrypt(derived(`wrap/${purpose}`), context, wrapped),
    tag: (purpose, value) => createHmac('sha256', derived(`tag/${purpose}`)).update(value).digest('hex'),
  };
}
