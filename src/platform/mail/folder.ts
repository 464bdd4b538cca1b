import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';

/** Removes captured mails that are older. @returns how many */
export async function pruneMailFolder(folder: string, days: number, clock: Clock): Promise<number> {
  const before = clock.now() - days * 86_400_000;
  let removed = 0;
  for (const name of await mailFiles(folder)) {
    const file = join(folder, name);
    if ((await stat(file)).mtimeMs >= before) continue;
    await rm(file, { force: true });
    removed++;
  }
  return removed;
}

/** Removes the captured mails of one recipient. @returns how many */
export async function removeMailsOf(folder: string, recipient: string): Promise<number> {
  const files = (await mailFiles(folder)).filter((name) => name.includes(`.${recipient}.`));
  for (const name of files) await rm(join(folder, name), { force: true });
  return files.length;
}

/** File names, oldest first. Without the folder: none. */
export async function mailFiles(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith('.eml') || name.endsWith('.tmp')).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
