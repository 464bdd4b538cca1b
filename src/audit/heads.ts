import { createPrivateKey, createPublicKey, hash, sign, verify, type KeyObject } from 'node:crypto';
import type { Instant, Uuid } from '../domain/kernel.ts';

/** What the log was, in one line: a tree of `size` leaves with this root, at this time. */
export interface TreeHead {
  readonly size: number;
  /** 64 lower hex digits. */
  readonly root: string;
  readonly time: Instant;
}

export interface SignedHead extends TreeHead {
  /** Which key signed it. */
  readonly kid: string;
  /** Ed25519 over `statementOf`, base64url. */
  readonly signature: string;
}

/** The bytes that are signed. The log's id is in them, so that a head of one log says nothing of another. For ever. */
export function statementOf(logId: Uuid, { size, root, time }: TreeHead): Buffer {
  return Buffer.from(`loqey-audit-head-1\n${logId}\n${size}\n${root}\n${time}\n`);
}

export interface HeadSigner {
  readonly publicKey: KeyObject;
  readonly kid: string;
  sign(logId: Uuid, head: TreeHead): SignedHead;
  /** Ed25519, base64url. The bytes begin with the name of their format, so that no statement passes for another. */
  signBytes(statement: Buffer): string;
}

/** PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410 §7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** @param seed AUDIT_SIGNING_KEY, 32 bytes */
export function createHeadSigner(seed: Uint8Array): HeadSigner {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const kid = kidOf(publicKey);
  const signBytes = (statement: Buffer) => sign(null, statement, privateKey).toString('base64url');
  return { publicKey, kid, signBytes, sign: (logId, head) => ({ ...head, kid, signature: signBytes(statementOf(logId, head)) }) };
}

export function isSignedBy(publicKey: KeyObject, logId: Uuid, head: SignedHead): boolean {
  return head.kid === kidOf(publicKey) && verify(null, statementOf(logId, head), publicKey, Buffer.from(head.signature, 'base64url'));
}

/** The first 16 hex digits of the SHA-256 of the public key's 32 bytes. */
export function kidOf(publicKey: KeyObject): string {
  return hash('sha256', Buffer.from(rawOf(publicKey), 'base64url'), 'hex').slice(0, 16);
}

/** Its 32 bytes, base64url: `x` of a JWK. */
export function rawOf(publicKey: KeyObject): string {
  return publicKey.export({ format: 'jwk' }).x ?? '';
}

/** A public key as others take it. */
export interface PublicKey {
  readonly kid: string;
  readonly x: string;
  readonly pem: string;
}

/** @param x the key's 32 bytes, base64url */
export function keyOf(x: string): PublicKey {
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return { kid: kidOf(publicKey), x, pem: publicKey.export({ format: 'pem', type: 'spki' }).toString() };
}
