import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { receiptOf, type SignedReceipt } from './erasure-receipt.ts';

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
      await mkdir(dirname(path), { recursive: true });
      const before = await readFile(path, 'utf8').catch(() => '');
      // A line that a crash cut off is left as it is, on a line of its own; its receipt comes again.
      const start = before === '' || before.endsWith('\n') ? '' : '\n';
      const file = await open(path, 'a', 0o644);
      try {
        await file.write(`${start}${JSON.stringify(receipt)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

export async function readLedger(path: string): Promise<SignedReceipt[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => receiptIn(line) ?? []);
}

function receiptIn(line: string): SignedReceipt | undefined {
  try {
    return receiptOf(JSON.parse(line));
  } catch {
    return undefined;
  }
}
