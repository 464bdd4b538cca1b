import { verify, type KeyObject } from 'node:crypto';
import type { Instant, Uuid } from '../domain/kernel.ts';
import { canonicalJson } from './canonical.ts';
import { kidOf, type HeadSigner } from './heads.ts';

export const RECEIPT_FORMAT = 'loqey-erasure-receipt-1';

/**
 * That a person was erased: who (an id that means nothing any more), when, by which event, what was destroyed, and what
 * backups still hold. Nothing personal. Wire form of format 1, for ever.
 */
export interface ErasureReceipt {
  readonly format: typeof RECEIPT_FORMAT;
  readonly log_id: Uuid;
  readonly subject: string;
  readonly requested_by: 'owner' | 'admin';
  readonly requested_at: Instant;
  /** `SubjectErased` in the log. Revision and position in decimal. */
  readonly event: { readonly id: Uuid; readonly stream: string; readonly revision: string; readonly position: string };
  readonly completed_at: Instant;
  readonly destroyed: {
    /** Data keys of the person and of what couriers told at the person's boxes. */
    readonly data_keys: number;
    readonly deliveries: number;
    /** Boxes that were taken off the account. */
    readonly boxes: number;
    readonly statement: string;
  };
  readonly backups: {
    readonly retention_days: number;
    /** The last one that was made before is gone by then. */
    readonly until: Instant;
    readonly statement: string;
  };
}

export interface SignedReceipt extends ErasureReceipt {
  /** Which key signed it: that of the heads of the log. */
  readonly kid: string;
  /** Ed25519 over `receiptStatement`, base64url. */
  readonly signature: string;
}

/** The bytes that are signed: the format's name on a line, then everything but the signature as RFC 8785 JSON, then a line's end. */
export function receiptStatement({ signature: _left, ...receipt }: SignedReceipt | (ErasureReceipt & { readonly kid: string; readonly signature?: undefined })): Buffer {
  return Buffer.from(`${RECEIPT_FORMAT}\n${canonicalJson(receipt)}\n`);
}

export function signReceipt(signer: Pick<HeadSigner, 'kid' | 'signBytes'>, receipt: ErasureReceipt): SignedReceipt {
  const named = { ...receipt, kid: signer.kid };
  return { ...named, signature: signer.signBytes(receiptStatement(named)) };
}

export function isReceiptSignedBy(publicKey: KeyObject, receipt: SignedReceipt): boolean {
  return receipt.kid === kidOf(publicKey) && verify(null, receiptStatement(receipt), publicKey, Buffer.from(receipt.signature, 'base64url'));
}

const SUBJECT = /^user:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** undefined: it is no receipt of this format. Says nothing of its signature. */
export function receiptOf(value: unknown): SignedReceipt | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { format, log_id: logId, subject, event, signature, kid } = value as Partial<SignedReceipt>;
  const whole =
    format === RECEIPT_FORMAT &&
    typeof logId === 'string' &&
    typeof subject === 'string' &&
    SUBJECT.test(subject) &&
    typeof event?.id === 'string' &&
    typeof signature === 'string' &&
    typeof kid === 'string';
  return whole ? (value as SignedReceipt) : undefined;
}
