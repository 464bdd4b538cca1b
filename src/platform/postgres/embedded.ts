import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, realpathSync, renameSync, statSync } from 'node:fs';
import { chown, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import { allProcesses, commandLine, isAlive, isTaken, workingDirectory } from '../data-dir/processes.ts';
import { component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import { sqlState } from './db.ts';
import { embeddedBinaries, majorVersion, type Binaries } from './embedded-binaries.ts';
import { serverUser, type ServerUser } from './embedded-user.ts';

export interface EmbeddedPostgresOptions {
  /** DATA_DIR. The cluster is in `postgres/`, its password in `secrets/`, its log in `logs/`. The caller holds its lock. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** More server settings, last one wins: `{ fsync: 'off' }` in tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** Answers the URL once the server takes connections. An orphan of a killed run is adopted, or stopped first. */
  start(): Promise<string>;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
  health(): { readonly ok: boolean; readonly detail: string };
  /** Of the running server. */
  readonly pid: number | undefined;
}

const USER = 'loqey';
const DATABASE = 'loqey';

/**
 * For one machine with two cores. fsync, full_page_writes and synchronous_commit keep their defaults (on): what was
 * acknowledged is on disk.
 */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  password_encryption: 'scram-sha-256',
  max_connections: '60',
  shared_buffers: '128MB',
  effective_cache_size: '512MB',
  work_mem: '8MB',
  maintenance_work_mem: '64MB',
  min_wal_size: '128MB',
  max_wal_size: '1GB',
  wal_compression: 'on',
  max_wal_senders: '2',
  random_page_cost: '1.1',
  jit: 'off', // compiling costs more than any query of ours
  max_parallel_workers_per_gather: '0', // an unlock must not wait for a core behind a report
  client_connection_check_interval: '5s', // work for a client that was killed ends
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
  log_line_prefix: '%m [%p] %a ',
  log_checkpoints: 'off',
};

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

export function createEmbeddedPostgres(options: EmbeddedPostgresOptions): EmbeddedPostgres {
  const logger = options.logger.child({ component: 'embedded-postgres' });
  let paths = pathsIn(resolve(options.dataDir));
  let binaries: Binaries;
  let user: ServerUser;
  let password = '';
  let port = 0;
  let pid: number | undefined;
  let stopping = new AbortController();
  let watching: Promise<void> | undefined;
  let trouble: string | undefined;

  const url = (database = DATABASE) => {
    const { directory, path } = socketIn(paths.cluster, port);
    // An adopted server of an earlier version has none.
    const through = directory !== '' && existsSync(path) ? `?host=${encodeURIComponent(directory)}` : '';
    return `postgres://${USER}:${password}@127.0.0.1:${port}/${database}${through}`;
  };

  const lifecycle = component(
    async () => {
      stopping = new AbortController();
      process.on('exit', endWithProcess);
      binaries = await embeddedBinaries();
      await mkdir(join(options.dataDir, 'logs'), { recursive: true });
      paths = pathsIn(realpathSync(options.dataDir)); // as the system names it, to recognise a process by its folder
      user = serverUser([paths.cluster, binaries.postgres]);
      password = await readOrCreatePassword(paths.password);
      if (existsSync(join(paths.cluster, 'PG_VERSION'))) await requireSameMajor(binaries, paths.cluster);
      else await initialise();
      await adoptOrLaunch();
      try {
        await ensureDatabase(url('postgres'), url());
      } catch (error) {
        await shutDown();
        throw error;
      }
      watching = watch(stopping.signal);
    },
    async () => {
      stopping.abort();
      await watching;
      await shutDown();
      process.off('exit', endWithProcess);
    },
  );

  /**
   * For an exit that could not wait (a second Ctrl+C, an error that nothing was prepared for): the server is told to shut
   * down and finishes on its own. Only a kill -9 leaves it running.
   */
  function endWithProcess(): void {
    const running = pid ?? readPidFile(paths.cluster)?.pid;
    if (running === undefined || !isOurs(running)) return;
    if (process.platform === 'win32') spawnSync(binaries.pg_ctl, ['kill', 'INT', `${running}`], { timeout: 5_000 });
    else kill(running, 'SIGINT');
  }

  /** A cluster appears under its name only when it is complete: a kill in the middle leaves nothing half made. */
  async function initialise(): Promise<void> {
    for (const name of await readdir(paths.dataDir)) {
      if (name.startsWith('postgres.new-')) await removeHalfMade(join(paths.dataDir, name));
    }
    const fresh = join(paths.dataDir, `postgres.new-${randomBytes(4).toString('hex')}`);
    const passwordFile = `${fresh}.password`;
    await mkdir(fresh, { mode: 0o700 });
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    try {
      const owner = user.ids ?? prefixIds(user);
      if (owner !== undefined) {
        await chown(fresh, owner.uid, owner.gid);
        await chown(passwordFile, owner.uid, owner.gid);
      }
      const [command, ...args] = [
        ...user.prefix,
        binaries.initdb,
        `--pgdata=${fresh}`,
        `--username=${USER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--data-checksums',
        '--encoding=UTF8',
        // Its own collation: an upgrade of the machine's C library cannot reorder an index.
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--locale=C',
        '--no-instructions',
      ];
      await promisify(execFile)(command, args, { ...user.ids, ...serverEnvironment(), timeout: 120_000 });
      await rename(fresh, paths.cluster);
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      const { stderr } = error as { stderr?: string };
      throw new Error(`The embedded Postgres could not create its files in ${paths.dataDir}.\n${stderr ?? ''}`.trim(), { cause: error });
    } finally {
      await rm(passwordFile, { force: true });
    }
  }

  /** A server that was only just being started when its parent was killed shows up late, as a failure of ours. */
  async function adoptOrLaunch(): Promise<void> {
    if (await adoptOrphan()) return;
    try {
      await launch();
    } catch (error) {
      if (!(await adoptOrphan())) throw error;
    }
  }

  /**
   * The server outlives a killed parent. One that runs with today's settings is taken over as it is; any other is shut
   * down. The caller holds the lock of the data folder, so it cannot be the server of a living Loqey.
   */
  async function adoptOrphan(): Promise<boolean> {
    const orphan = readPidFile(paths.cluster);
    if (orphan === undefined) return false;
    const command = commandLine(orphan.pid);
    const ours = command?.some((part) => part.includes(paths.cluster)) === true;
    if (!ours) return false;
    pid = orphan.pid;
    const sameSettings = settingArguments().every((argument) => command.includes(argument));
    if (sameSettings && (await waitUntilReady().then(canConnect, () => false))) {
      logger.info({ pid, port }, 'Took over the database server of the last run');
      await writeFile(paths.port, `${port}\n`);
      return true;
    }
    logger.info({ pid }, 'Stopping the database server of the last run');
    await shutDown();
    return false;
  }

  async function launch(): Promise<void> {
    await waitUntilUnused(paths.cluster);
    await removeLeftovers();
    port = await choosePort(paths.port, port);
    rotateLog(paths.log);
    const log = openSync(paths.log, 'a', 0o600);
    try {
      const [command = '', ...args] = [...user.prefix, binaries.postgres, '-D', paths.cluster, '-p', `${port}`, ...settingArguments()];
      // Its own process group: Ctrl-C in the terminal reaches this program only, which stops the server last.
      // Its log is a file: a pipe would break when this program is killed.
      const child = spawn(command, args, {
        ...user.ids,
        detached: true,
        stdio: ['ignore', log, log],
        ...serverEnvironment(),
        windowsHide: true,
      });
      child.unref();
      await new Promise<void>((settle, fail) => child.once('spawn', settle).once('error', fail));
      pid = child.pid;
    } finally {
      closeSync(log);
    }
    await waitUntilReady();
    await writeFile(paths.port, `${port}\n`);
  }

  /**
   * PostgreSQL refuses to start while the pid in its file exists at all: as another program's by now, or as that of a
   * dead process that nobody waits for (in a container). No process is in the folder, so that file says nothing any more,
   * nor does a socket or its lock, for which the same is true.
   */
  async function removeLeftovers(): Promise<void> {
    const stale = readPidFile(paths.cluster);
    if (stale !== undefined && isOurs(stale.pid)) return;
    const sockets = (await readdir(paths.cluster)).filter((name) => name.startsWith('.s.PGSQL.'));
    for (const name of sockets) await rm(join(paths.cluster, name), { force: true });
    if (stale === undefined || !isTaken(stale.pid)) return;
    logger.warn({ pid: stale.pid }, 'Removing the pid file of a database server that no longer runs');
    await rm(join(paths.cluster, 'postmaster.pid'), { force: true });
  }

  /** As pg_ctl does: the server writes `ready` into its pid file. */
  async function waitUntilReady(): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      if (pid === undefined || !isAlive(pid)) throw new Error(`The embedded Postgres did not start.\n${logTail(paths.log)}`.trim());
      const file = readPidFile(paths.cluster);
      if (file?.pid === pid && file.status === 'ready') {
        port = file.port;
        return;
      }
      if (performance.now() > deadline) throw new Error(`The embedded Postgres was not ready after ${READY_TIMEOUT_MS / 1_000} s.\n${logTail(paths.log)}`);
      await pause(10);
    }
  }

  async function canConnect(): Promise<boolean> {
    const client = new pg.Client({ connectionString: url('postgres'), connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Fast, then immediate (recovers from its log at the next start), then by force. */
  async function shutDown(): Promise<void> {
    const running = pid;
    if (running === undefined) return;
    const steps: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGKILL'];
    for (const signal of steps) {
      if (!isOurs(running)) break;
      if (process.platform === 'win32') {
        await promisify(execFile)(binaries.pg_ctl, ['stop', '-D', paths.cluster, '-m', signal === 'SIGINT' ? 'fast' : 'immediate']).catch(() => undefined);
      } else {
        kill(running, signal);
      }
      if (await gone(running, STOP_TIMEOUT_MS)) break;
      logger.warn({ pid: running, signal }, 'The database server does not stop');
    }
    pid = undefined;
  }

  /** Never a signal to a process that only has the pid of one that was ours. */
  function isOurs(candidate: number): boolean {
    if (process.platform === 'win32') return isAlive(candidate);
    return commandLine(candidate)?.some((part) => part.includes(paths.cluster)) === true;
  }

  /** Sees the server end, adopted or started here, and starts it again on the same port. */
  async function watch(signal: AbortSignal): Promise<void> {
    let failures = 0;
    let healthySince = performance.now();
    while (!signal.aborted) {
      await pause(250, signal);
      if (signal.aborted || (pid !== undefined && isAlive(pid))) continue;
      if (performance.now() - healthySince > 60_000) failures = 0;
      trouble = 'The database server ended unexpectedly and is being started again';
      logger.error({ pid, failures, log: logTail(paths.log, 5) }, trouble);
      pid = undefined;
      await pause(failures === 0 ? 0 : fullJitter(failures, { baseMs: 500, capMs: 30_000 }), signal);
      if (signal.aborted) return;
      try {
        await launch();
        trouble = undefined;
        healthySince = performance.now();
        logger.info({ pid, port }, 'The database server runs again');
      } catch (error) {
        trouble = `The database server does not start: ${(error as Error).message}`;
        logger.error({ err: error }, 'The database server does not start');
      }
      failures++;
    }
  }

  function settingArguments(): string[] {
    const socket = { unix_socket_directories: socketIn(paths.cluster, port).directory };
    return Object.entries({ ...settings, ...socket, ...options.settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  }

  return {
    start: () => lifecycle.start().then(() => url()),
    stop: () => lifecycle.stop(),
    health: () => {
      if (trouble !== undefined) return { ok: false, detail: trouble };
      return pid === undefined ? { ok: false, detail: 'stopped' } : { ok: true, detail: `running (pid ${pid}, port ${port})` };
    },
    get pid() {
      return pid;
    },
  };
}

/** The longest path of a socket that every system takes: `sun_path` has 104 bytes on some. */
const MAX_SOCKET_PATH = 103;

/**
 * Where the server listens besides TCP: a round trip through a socket of the file system costs this process a fifth less CPU.
 * In the cluster's own folder, where nobody else's server can be met. No directory: not possible here.
 */
function socketIn(cluster: string, port: number): { readonly directory: string; readonly path: string } {
  const longest = Buffer.byteLength(join(cluster, '.s.PGSQL.65535'));
  const possible = process.platform !== 'win32' && longest <= MAX_SOCKET_PATH && !/[,"]/.test(cluster);
  return { directory: possible ? cluster : '', path: join(cluster, `.s.PGSQL.${port}`) };
}

/** Where the server of a folder was started last, for another program of the same user; undefined: never. */
export async function embeddedPostgresUrl(dataDir: string): Promise<string | undefined> {
  const paths = pathsIn(resolve(dataDir));
  if (!existsSync(paths.port) || !existsSync(paths.password)) return undefined;
  const [password, port] = await Promise.all([readFile(paths.password, 'utf8'), readFile(paths.port, 'utf8')]);
  return `postgres://${USER}:${password.trim()}@127.0.0.1:${port.trim()}/${DATABASE}`;
}

/** Whose the files of a cluster must be for the server to start on them; undefined: this user's. */
export function clusterOwner(cluster: string): { readonly uid: number; readonly gid: number } | undefined {
  const user = serverUser([cluster]);
  return user.ids ?? prefixIds(user);
}

function pathsIn(dataDir: string) {
  return {
    dataDir,
    cluster: join(dataDir, 'postgres'),
    password: join(dataDir, 'secrets', 'postgres-password'),
    port: join(dataDir, 'postgres-port'),
    log: join(dataDir, 'logs', 'postgres.log'),
  };
}

/** Nothing of ours reaches the server: neither secrets nor settings. Windows needs its own variables to run anything. */
function serverEnvironment(): { env?: NodeJS.ProcessEnv } {
  if (process.platform === 'win32') return {};
  return { env: { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } };
}

function prefixIds(user: ServerUser): { uid: number; gid: number } | undefined {
  const value = (flag: string) => user.prefix.find((part) => part.startsWith(`${flag}=`))?.slice(flag.length + 1);
  const uid = value('--reuid');
  const gid = value('--regid');
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

async function readOrCreatePassword(path: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const password = randomBytes(24).toString('base64url');
  await writeFile(path, `${password}\n`, { mode: 0o600, flush: true });
  return password;
}

async function requireSameMajor(binaries: Binaries, cluster: string): Promise<void> {
  const written = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim();
  const installed = await majorVersion(binaries);
  if (written !== installed) {
    throw new Error(
      `The data in ${cluster} was written by PostgreSQL ${written}; PostgreSQL ${installed} is installed and cannot read it.\n` +
        'Install the Loqey version that wrote it, or use another data folder (DATA_DIR).',
    );
  }
}

interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly status: string | undefined;
}

/** `postmaster.pid`: pid, data folder, start time, port, socket folder, address, shared memory, status. */
function readPidFile(cluster: string): PidFile | undefined {
  try {
    const lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n').map((line) => line.trim());
    const pid = Math.abs(Number(lines[0]));
    return pid > 0 ? { pid, port: Number(lines[3] ?? 0), status: lines[7] } : undefined;
  } catch {
    return undefined;
  }
}

/** What a run that was killed in the middle left; its initdb may still be writing. */
async function removeHalfMade(path: string): Promise<void> {
  for (const pid of allProcesses()) {
    if (commandLine(pid)?.some((part) => part.includes(path)) === true) kill(pid, 'SIGKILL');
  }
  await waitUntilUnused(path);
  await rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/** Backends of a killed server end by themselves within moments; starting beside them would be refused. */
async function waitUntilUnused(cluster: string): Promise<void> {
  const users = () => allProcesses().filter((pid) => workingDirectory(pid) === cluster);
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  for (let left = users(); left.length > 0; left = users()) {
    if (performance.now() > deadline) {
      throw new Error(`The files in ${cluster} are still in use by process ${left.join(', ')}. End it, then start again.`);
    }
    await pause(20);
  }
}

/** The port of the last run if it is free, else one below the range from which outgoing connections take theirs. */
async function choosePort(file: string, current: number): Promise<number> {
  const remembered = current || Number(await readFile(file, 'utf8').catch(() => '0'));
  const isFree = (port: number) =>
    new Promise<boolean>((settle) => {
      const probe = createServer();
      probe.once('error', () => settle(false));
      probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => settle(true)));
    });
  if (remembered > 0 && remembered < 65_536 && (await isFree(remembered))) return remembered;
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new Error('No free port was found for the embedded Postgres on 127.0.0.1');
}

async function ensureDatabase(adminUrl: string, url: string): Promise<void> {
  const run = async (target: string, statement: string) => {
    const client = new pg.Client({ connectionString: target, connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(statement);
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      return await run(url, 'SELECT 1');
    } catch (error) {
      if (sqlState(error) !== databaseMissing || performance.now() > deadline) throw error;
    }
    await run(adminUrl, `CREATE DATABASE ${DATABASE}`).catch((error: unknown) => {
      if (!beingCreated.has(sqlState(error) ?? '')) throw error;
    });
    await pause(20);
  }
}

const databaseMissing = '3D000';
/** Exists by now, or its template is in use: the server of a killed run finishes what that run asked for. */
const beingCreated = new Set(['42P04', '23505', '55006']);

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function gone(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(pid)) {
    if (performance.now() > deadline) return false;
    await pause(10);
  }
  return true;
}

const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

function rotateLog(path: string): void {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_LIMIT_BYTES) renameSync(path, `${path}.1`);
}

function logTail(path: string, lines = 15): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
