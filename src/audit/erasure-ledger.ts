import { join } from 'node:path';
import { receiptOf, type SignedReceipt } from './erasure-receipt.ts';
import { appendLines, readLines } from './lines.ts';

export const LEDGER_FILE = 'erasures.ndjson';

/**
 * Receipts in a file outside the database, one a line, beside the heads of the log. A backup of log and vault that is older
 * than an erasure knows nothing of it: this file does, and whoever starts on the restored data carries it out again.
 * Read as a whole: a receipt is about 900 bytes.
 */
export function createErasureLedger(folder: string) {
  const path = join(folder, LEDGER_FILE);
  return {
    path,
    /** Lines that are no receipts are passed over. @throws where the file is there and cannot be read */
    read: () => readLedger(path),
    /** Once for each erasure; on disk when it resolves. */
    async add(receipt: SignedReceipt): Promise<void> {
      if ((await readLedger(path)).some(({ event }) => event.id === receipt.event.id)) return;
      await appendLines(path, [receipt]);
    },
  };
}

export const readLedger = (path: string): Promise<SignedReceipt[]> => readLines(path, receiptOf);
