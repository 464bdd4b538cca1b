import type { KeyObject } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignedHead } from './heads.ts';
import { appendLines, readLines } from './lines.ts';

/** Read into memory as a whole: a head is about 250 bytes, one every ten minutes makes 13 MB a year. */
export const HEADS_FILE = 'heads.ndjson';
export const PUBLIC_KEY_FILE = 'public-key.pem';

/**
 * Heads in a file, one JSON object a line, oldest first, with the public key beside it. Copy the folder somewhere that
 * nobody who can write to the database can write to: only such a copy reveals a log that was cut or written anew.
 */
export function createHeadFile(folder: string) {
  const path = join(folder, HEADS_FILE);
  return {
    path,
    async publish(publicKey: KeyObject): Promise<void> {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, PUBLIC_KEY_FILE), publicKey.export({ format: 'pem', type: 'spki' }));
    },
    last: async () => (await readHeads(path)).at(-1),
    append: (heads: readonly SignedHead[]): Promise<void> => appendLines(path, heads.map(({ size, root, time, kid, signature }) => ({ size, root, time, kid, signature }))),
  };
}

/** @throws where the file cannot be read, unless there is none. Lines that are no heads are passed over. */
export const readHeads = (path: string): Promise<SignedHead[]> => readLines(path, headOf);

function headOf(value: unknown): SignedHead | undefined {
  const head = value as SignedHead;
  return Number.isSafeInteger(head.size) && typeof head.root === 'string' && typeof head.signature === 'string' ? head : undefined;
}
