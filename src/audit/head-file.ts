import type { KeyObject } from 'node:crypto';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SignedHead } from './heads.ts';

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
    async append(heads: readonly SignedHead[]): Promise<void> {
      if (heads.length === 0) return;
      await mkdir(dirname(path), { recursive: true });
      const before = await readFile(path, 'utf8').catch(() => '');
      // A line that a crash cut off is left as it is, on a line of its own; its head comes again.
      const start = before === '' || before.endsWith('\n') ? '' : '\n';
      const file = await open(path, 'a', 0o644);
      try {
        await file.write(start + heads.map((head) => `${lineOf(head)}\n`).join(''));
        await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

/** @throws where the file cannot be read, unless there is none. Lines that are no heads are passed over. */
export async function readHeads(path: string): Promise<SignedHead[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => headIn(line) ?? []);
}

function lineOf({ size, root, time, kid, signature }: SignedHead): string {
  return JSON.stringify({ size, root, time, kid, signature });
}

function headIn(line: string): SignedHead | undefined {
  try {
    const head = JSON.parse(line) as SignedHead;
    return Number.isSafeInteger(head.size) && typeof head.root === 'string' && typeof head.signature === 'string' ? head : undefined;
  } catch {
    return undefined;
  }
}
