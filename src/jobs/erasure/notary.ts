import type { KeyObject } from 'node:crypto';
import { RECEIPT_FORMAT, isReceiptSignedBy, receiptOf, signReceipt, type SignedReceipt } from '../../audit/erasure-receipt.ts';
import type { HeadSigner } from '../../audit/heads.ts';
import { backupsSay, type ErasureNotary } from '../../commands/erasure.ts';
import { userSubject } from '../../domain/codec.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { instant, type Clock } from '../../platform/clock.ts';

export interface ErasureLedger {
  read(): Promise<readonly SignedReceipt[]>;
  add(receipt: SignedReceipt): Promise<void>;
}

export interface NotaryDeps {
  readonly signer: HeadSigner;
  readonly ledger: ErasureLedger;
  readonly logId: Uuid;
  /** BACKUP_RETENTION_DAYS. */
  readonly backupDays: number;
  readonly clock: Clock;
}

const DAY_MS = 86_400_000;

const DESTROYED =
  'The keys that the data of this person was sealed with are destroyed, with the password, the sessions, the index of the e-mail address and ' +
  'every readable copy in the read models. The events stay in the log: what is personal in them can no longer be read by anybody.';

export function createErasureNotary({ signer, ledger, logId, backupDays, clock }: NotaryDeps): ErasureNotary {
  return {
    receipt({ eventId, userId, requestedBy, at, revision, position }, { keys, deliveries, boxes }) {
      const now = clock.now();
      const until = instant(now + backupDays * DAY_MS);
      return signReceipt(signer, {
        format: RECEIPT_FORMAT,
        log_id: logId,
        subject: userSubject(userId),
        requested_by: requestedBy,
        requested_at: at,
        event: { id: eventId, stream: `user-${userId}`, revision: String(revision), position: String(position) },
        completed_at: instant(now),
        destroyed: { data_keys: keys, deliveries, boxes, statement: DESTROYED },
        backups: { retention_days: backupDays, until, statement: backupsSay(backupDays, until) },
      });
    },
    async keep(receipt) {
      const signed = receiptOf(receipt);
      if (signed === undefined) throw new Error('The receipt of an erasure is none');
      await ledger.add(signed);
    },
  };
}

/** Receipts of this log that this installation signed: others say nothing here. */
export function trusted(receipts: readonly SignedReceipt[], publicKey: KeyObject, logId: Uuid): { readonly receipts: readonly SignedReceipt[]; readonly strange: number } {
  const good = receipts.filter((receipt) => receipt.log_id === logId && isReceiptSignedBy(publicKey, receipt));
  return { receipts: good, strange: receipts.length - good.length };
}
