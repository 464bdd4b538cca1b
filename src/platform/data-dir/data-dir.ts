import { randomUUID } from 'node:crypto';
import { mkdir, readdir, statfs, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockFolder, type FolderLock, type LockHolder } from './lock.ts';
import { exitCodes, StartFailure } from './start-failure.ts';
import { dataVersion, recordDataVersion, requireReadable } from './version.ts';

export interface DataDirOptions {
  /** As the person wrote it: messages repeat it. */
  readonly dataDir: string;
  readonly programVersion: string;
  /** Of the HTTP server to be started. */
  readonly port: number;
}

/** The folder of everything that is kept, opened by one process at a time. */
export interface DataDir {
  readonly path: string;
  readonly isNew: boolean;
  readonly freeBytes: number;
  /** The last run, when it ended without closing. */
  readonly abandonedBy: LockHolder | undefined;
  /** The older version that wrote the folder. */
  readonly upgradeFrom: string | undefined;
  announce: FolderLock['announce'];
  /** Call after the migrations. */
  recordVersion(): Promise<void>;
  release: FolderLock['release'];
  releaseNow: FolderLock['releaseNow'];
}

/** Below it the database may fail in the middle of its own recovery. */
const NEEDED_BYTES = 200 * 1_024 ** 2;

/** @throws StartFailure 0, 11, 12 or 13; then nothing was changed and nothing is locked */
export async function openDataDir({ dataDir, programVersion, port }: DataDirOptions): Promise<DataDir> {
  await requireWritable(dataDir);
  const lock = await lockFolder({ dataDir, port });
  try {
    const written = await dataVersion(dataDir);
    if (written !== undefined) requireReadable(dataDir, written, programVersion);
    const freeBytes = await requireSpace(dataDir);
    return {
      path: dataDir,
      isNew: written === undefined && !(await readdir(dataDir)).includes('postgres'),
      freeBytes,
      abandonedBy: lock.abandonedBy,
      upgradeFrom: written === programVersion ? undefined : written,
      announce: (url) => lock.announce(url),
      recordVersion: () => recordDataVersion(dataDir, programVersion),
      release: () => lock.release(),
      releaseNow: () => lock.releaseNow(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function requireWritable(dataDir: string): Promise<void> {
  try {
    // Others may pass, not read: the database server may run as another user (postgres/embedded-user.ts).
    await mkdir(dataDir, { recursive: true, mode: 0o711 });
    const probe = join(dataDir, `.probe-${randomUUID()}`);
    await writeFile(probe, '');
    await unlink(probe);
  } catch (error) {
    throw new StartFailure(exitCodes.disk, [
      `✖ The data folder ${dataDir} cannot be written: ${(error as Error).message}.`,
      '  Nothing was started and no data was changed.',
      '  Mend its permissions, or use another folder:   DATA_DIR=./data2 npm start',
    ]);
  }
}

async function requireSpace(dataDir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dataDir);
  const free = bavail * bsize;
  if (free >= NEEDED_BYTES) return free;
  throw new StartFailure(exitCodes.disk, notEnoughSpace(dataDir, free));
}

export function notEnoughSpace(dataDir: string, free: number): string[] {
  const megabytes = (bytes: number) => Math.floor(bytes / 1_024 ** 2);
  return [
    `✖ Only ${megabytes(free)} MB are free where ${dataDir} is; Loqey needs ${megabytes(NEEDED_BYTES)} MB to start.`,
    '  Nothing was started and no data was changed.',
    '  Free some space, or use a folder on another disk:   DATA_DIR=/mnt/loqey npm start',
  ];
}
