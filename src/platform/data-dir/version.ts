import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exitCodes, StartFailure } from './start-failure.ts';

const versionFile = (dataDir: string) => join(dataDir, 'version');

/** The program version that last wrote this folder; undefined for a new one. */
export async function dataVersion(dataDir: string): Promise<string | undefined> {
  const content = await readFile(versionFile(dataDir), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return content.trim() || undefined;
}

/** After the migrations: from now on an older program must not open this folder. */
export async function recordDataVersion(dataDir: string, programVersion: string): Promise<void> {
  const next = `${versionFile(dataDir)}.new`;
  await writeFile(next, `${programVersion}\n`, { flush: true });
  await rename(next, versionFile(dataDir));
}

/**
 * Patch releases read each other's data; a later minor or major version's data is not opened.
 *
 * @throws StartFailure 12
 */
export function requireReadable(dataDir: string, written: string, program: string): void {
  if (compareMinor(written, program) > 0) throw newerData(dataDir, written, program);
}

/** Also for a database of one's own that a newer program has migrated. */
export function newerData(where: string, written: string, program: string): StartFailure {
  const minor = (version: string) => version.split('.').slice(0, 2).join('.');
  return new StartFailure(exitCodes.newerData, [
    `✖ ${where} was written by Loqey ${written}; this is ${program}, which cannot read it.`,
    '  Nothing was changed.',
    `  Run the newer version:  npm install loqey@${minor(written)}   then  npm start`,
    `  Or keep this one with a fresh folder:  DATA_DIR=./data-${minor(program)} npm start`,
  ]);
}

function compareMinor(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number);
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
