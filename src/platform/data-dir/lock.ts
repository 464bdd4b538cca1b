import { randomUUID } from 'node:crypto';
import { readFileSync, unlinkSync } from 'node:fs';
import { link, mkdir, readFile, rename, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pause } from '../backoff.ts';
import { isAlive, startMark } from './processes.ts';
import { exitCodes, StartFailure } from './start-failure.ts';

/** Who runs on a data folder, as its file `lock` says. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** ISO instant. */
  readonly since: string;
  /** Tells this process from a later one with the same pid. */
  readonly startMark: string | undefined;
  /** Of the HTTP server. */
  readonly port: number;
  /** Where the holder can be reached, once it listens. */
  readonly url: string | undefined;
  readonly token: string;
}

export interface FolderLock {
  /** The last run, when it ended without closing. */
  readonly abandonedBy: LockHolder | undefined;
  /** Adds where this process listens, for a second start and for `loqey status`. */
  announce(url: string): Promise<void>;
  /** Removes the lock if it is still this process's. */
  release(): Promise<void>;
  /** The same for an exit that cannot wait. */
  releaseNow(): void;
}

export interface LockOptions {
  readonly dataDir: string;
  /** The HTTP port this process is about to use: the same one means "start what already runs". */
  readonly port: number;
  readonly now?: () => Date;
  /** Replaced in tests. */
  readonly host?: string;
}

const lockFile = (dataDir: string) => join(dataDir, 'lock');

/** @throws StartFailure 11 when another process has the folder, 0 when it is the very program that was to be started */
export async function lockFolder({ dataDir, port, now = () => new Date(), host = hostname() }: LockOptions): Promise<FolderLock> {
  const path = lockFile(dataDir);
  const mine: LockHolder = {
    pid: process.pid,
    host,
    since: now().toISOString(),
    startMark: startMark(process.pid),
    port,
    url: undefined,
    token: randomUUID(),
  };
  const fresh = `${path}.${mine.token}`;
  await writeFile(fresh, serialise(mine), { flush: true });
  let abandonedBy: LockHolder | undefined;
  try {
    while (!(await create(fresh, path))) {
      const holder = parse(await readFile(path, 'utf8').catch(() => undefined));
      if (holder === undefined && !(await isAbandonedScrap(path))) continue; // released, or being written, just now
      if (holder !== undefined) requireAbandoned(holder, dataDir, port, host);
      if (await removeAbandoned(path, holder)) abandonedBy = holder;
    }
  } finally {
    await unlink(fresh).catch(() => undefined);
  }

  const isMine = (content: string | undefined) => parse(content)?.token === mine.token;
  return {
    abandonedBy,
    async announce(url) {
      const next = `${path}.${mine.token}`;
      await writeFile(next, serialise({ ...mine, url }));
      await rename(next, path);
    },
    async release() {
      if (isMine(await readFile(path, 'utf8').catch(() => undefined))) await unlink(path).catch(() => undefined);
    },
    releaseNow() {
      try {
        if (isMine(readFileSync(path, 'utf8'))) unlinkSync(path);
      } catch {
        // gone already
      }
    },
  };
}

/** Who has the folder now; undefined when nobody alive does. For `loqey status` and `loqey stop`. */
export async function lockHolder(dataDir: string, host = hostname()): Promise<LockHolder | undefined> {
  const holder = parse(await readFile(lockFile(dataDir), 'utf8').catch(() => undefined));
  return holder !== undefined && (holder.host !== host || isRunning(holder)) ? holder : undefined;
}

/** A complete file under the name or none: `link` fails where there is one. */
async function create(fresh: string, path: string): Promise<boolean> {
  try {
    await link(fresh, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isRunning(holder: LockHolder): boolean {
  if (!isAlive(holder.pid)) return false;
  const mark = startMark(holder.pid);
  return mark === undefined || holder.startMark === undefined || mark === holder.startMark;
}

function requireAbandoned(holder: LockHolder, dataDir: string, port: number, host: string): void {
  if (holder.host !== host) {
    throw new StartFailure(exitCodes.folderLocked, [
      `✖ The data folder ${dataDir} is in use by a Loqey on ${holder.host} (pid ${holder.pid}, since ${clock(holder.since)}).`,
      '  Two servers on one folder would damage it, so this one stopped.',
      `  Stop it there. If that machine or container is gone for good:   rm ${lockFile(dataDir)}`,
      '  Use another folder:   DATA_DIR=./data2 PORT=8010 npm start',
    ]);
  }
  if (!isRunning(holder)) return;
  if (holder.port === port) {
    throw new StartFailure(exitCodes.alreadyRunning, [
      `Loqey is already running here (pid ${holder.pid}, since ${clock(holder.since)}).`,
      `  ${holder.url === undefined ? 'It is still starting.' : `API and docs    ${holder.url}/docs`}   Stop it: npm run stop`,
    ]);
  }
  throw new StartFailure(exitCodes.folderLocked, [
    `✖ The data folder ${dataDir} is in use by another Loqey (pid ${holder.pid}, since ${clock(holder.since)}).`,
    '  Two servers on one folder would damage it, so this one stopped.',
    '  See it:    npm run status        Stop it:   npm run stop',
    `  Use another folder:   DATA_DIR=./data2 PORT=${port} npm start`,
  ]);
}

/** A file that is not ours to read and older than any write takes: a full disk or a crash left it. */
async function isAbandonedScrap(path: string): Promise<boolean> {
  const written = await stat(path).catch(() => undefined);
  if (written !== undefined && Date.now() - written.mtimeMs > 5_000) return true;
  await pause(20);
  return false;
}

/**
 * Removes exactly the lock that was judged abandoned. Of two starters that judged it at the same time, the second must
 * not remove the first one's new lock: only one at a time may look again and remove.
 */
async function removeAbandoned(path: string, holder: LockHolder | undefined): Promise<boolean> {
  const mutex = `${path}.taking`;
  try {
    await mkdir(mutex);
  } catch {
    const begun = await stat(mutex).catch(() => undefined);
    if (begun !== undefined && Date.now() - begun.mtimeMs > 5_000) await rmdir(mutex).catch(() => undefined); // its maker died
    else await pause(20);
    return false;
  }
  try {
    const now = parse(await readFile(path, 'utf8').catch(() => undefined));
    if (now?.token !== holder?.token) return false;
    await unlink(path).catch(() => undefined);
    return true;
  } finally {
    await rmdir(mutex).catch(() => undefined);
  }
}

function serialise(holder: LockHolder): string {
  return `${JSON.stringify(holder, null, 2)}\n`;
}

function parse(content: string | undefined): LockHolder | undefined {
  if (content === undefined) return undefined;
  try {
    const holder = JSON.parse(content) as LockHolder;
    return Number.isSafeInteger(holder.pid) && typeof holder.host === 'string' && typeof holder.token === 'string' ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** `09:02`, with the day before it when that is not today. Local time: a person reads it. */
function clock(instant: string): string {
  const then = new Date(instant);
  const time = then.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${then.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })} ${time}`;
}
