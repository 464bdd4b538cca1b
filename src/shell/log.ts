import { constants } from 'node:fs';
import { chmod, chown, copyFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Uuid } from '../domain/kernel.ts';
import { postgresUrl } from '../platform/config-values.ts';
import type { Config } from '../platform/config.ts';
import { openDataDir } from '../platform/data-dir/data-dir.ts';
import { lockHolder } from '../platform/data-dir/lock.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import { createPostgresLogReader } from '../platform/event-store/postgres-reader.ts';
import { stack, type Stack } from '../platform/lifecycle.ts';
import { silentLogger as logger } from '../platform/logger.ts';
import { Metrics } from '../platform/metrics.ts';
import { createDatabase } from '../platform/postgres/db.ts';
import { clusterOwner, createEmbeddedPostgres, embeddedPostgresUrl } from '../platform/postgres/embedded.ts';
import { systemLog } from '../projections/log-identity.ts';
import { createProofQueries, type ProofQueries } from '../projections/proof/queries.ts';
import { createReader } from '../projections/schemas.ts';

/** A log that is only read: nothing is migrated, nothing written, and no secret of the program is needed. */
export interface OpenedLog {
  readonly logId: Uuid;
  events(): AsyncIterable<RecordedEvent>;
  /** The tree as a read model beside the log has it; undefined where there is no database. It may be missing there. */
  readonly proofs: ProofQueries | undefined;
}

/** What was named holds no log that can be read, and what to do. */
export class NoLog extends Error {
  override readonly name = 'NoLog';
}

/**
 * Opens this installation's log, or that of a backup, and closes it again.
 *
 * @param backup a copy of a data folder, the URL of a PostgreSQL that a dump was restored into, or of an EventStoreDB
 * @throws NoLog
 */
export async function withLog<T>(config: Config, version: string, backup: string | undefined, work: (log: OpenedLog) => Promise<T>): Promise<T> {
  const parts = stack({ deadlineMs: 20_000, onFailure: () => undefined });
  try {
    return await work(await (backup === undefined ? openOwn(config, version, parts) : openBackup(backup, parts)));
  } finally {
    await parts.stop();
  }
}

async function openOwn(config: Config, version: string, parts: Stack): Promise<OpenedLog> {
  const url = config.databaseUrl ?? (await ownPostgres(config, version, parts));
  return config.eventStoreUrl === undefined ? inPostgres(url, parts) : inEventStoreDb(config.eventStoreUrl, url, parts);
}

/** The embedded one: of the server that runs, or started for the time of the work. */
async function ownPostgres({ dataDir, port }: Config, programVersion: string, parts: Stack): Promise<string> {
  const running = (await lockHolder(dataDir)) === undefined ? undefined : await embeddedPostgresUrl(dataDir);
  if (running !== undefined) return running;
  if (!(await isThere(clusterMark(dataDir)))) throw new NoLog(`There is no log in ${dataDir} (DATA_DIR).`);
  const folder = await openDataDir({ dataDir, programVersion, port });
  parts.add('data folder', { stop: () => folder.release() });
  return parts.add('postgres', createEmbeddedPostgres({ dataDir, logger })).start();
}

const clusterMark = (dataDir: string) => join(dataDir, 'postgres', 'PG_VERSION');

async function openBackup(backup: string, parts: Stack): Promise<OpenedLog> {
  if (/^(?:esdb|kurrentdb)(?:\+discover)?:\/\//.test(backup)) return inEventStoreDb(backup, undefined, parts);
  if (/^\w[\w+]*:\/\//.test(backup)) {
    const url = postgresUrl.parse(backup);
    if (url === undefined) throw new NoLog('A backup is a folder, or a URL that begins with postgres://, esdb:// or kurrentdb://.');
    return inPostgres(url, parts);
  }
  return inPostgres(await copied(backup, parts), parts);
}

/**
 * A data folder is opened as a copy of the copy, in TMPDIR: a database that starts writes to its files, and a backup must
 * stay what it is. The password of its database may be kept elsewhere and is not needed: through its socket, in a folder that
 * only its user can enter, the copy lets everybody in.
 */
async function copied(dataDir: string, parts: Stack): Promise<string> {
  if (!(await isThere(clusterMark(dataDir)))) throw new NoLog(`${dataDir} is no data folder of Loqey: it has no postgres/PG_VERSION.`);
  const holder = await lockHolder(dataDir);
  // The lock in a copy that was made while a server ran elsewhere says nothing of here.
  if (holder?.host === hostname()) {
    throw new NoLog(`A server (pid ${holder.pid}) runs on ${dataDir}, or on the folder that it was copied from meanwhile: such a copy is not whole. The log of a server that runs is verified without --backup.`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'loqey-backup-'));
  parts.add('copy', { stop: () => rm(folder, { recursive: true, force: true }) });
  const cluster = join(folder, 'postgres');
  await chmod(folder, 0o755); // the database server may run as another user
  await copyTree(join(dataDir, 'postgres'), cluster, clusterOwner(cluster));
  const hba = join(folder, 'hba.conf');
  await writeFile(hba, 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n', { mode: 0o644 });
  await mkdir(join(folder, 'secrets'), { mode: 0o700 });
  await copyFile(join(dataDir, 'secrets', 'postgres-password'), join(folder, 'secrets', 'postgres-password')).catch(() => undefined);
  return parts.add('postgres', createEmbeddedPostgres({ dataDir: folder, logger, settings: { hba_file: hba } })).start();
}

/** Without what belongs to a server that runs, and for its user alone, as a server wants it. Blocks are shared where the file system can. */
async function copyTree(from: string, to: string, owner: { readonly uid: number; readonly gid: number } | undefined): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target, owner);
    else if (entry.isFile() && basename(source) !== 'postmaster.pid') {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      await chmod(target, 0o600);
      if (owner !== undefined) await chown(target, owner.uid, owner.gid);
    }
  }
  if (owner !== undefined) await chown(to, owner.uid, owner.gid);
}

async function inPostgres(url: string, parts: Stack): Promise<OpenedLog> {
  const reader = createPostgresLogReader(url);
  const first = await reader.first(systemLog).catch((error: unknown) => {
    // undefined_table, invalid_schema_name, invalid_catalog_name
    if (['42P01', '3F000', '3D000'].includes((error as { code?: string }).code ?? '')) throw new NoLog(`There is no log in this database (${addressOf(url)}): it has no table log.events.`, { cause: error });
    throw error;
  });
  return { logId: identityIn(first, addressOf(url)), events: () => reader.readAll(), proofs: proofsIn(url, parts) };
}

async function inEventStoreDb(connectionString: string, database: string | undefined, parts: Stack): Promise<OpenedLog> {
  const { createEventStoreDb } = await import('../platform/event-store/eventstoredb.ts');
  const store = parts.add('event store', createEventStoreDb({ connectionString, logger, metrics: new Metrics() }));
  await store.start();
  let first: RecordedEvent | undefined;
  for await (const event of store.readStream(systemLog, { limit: 1 })) first = event;
  return { logId: identityIn(first, addressOf(connectionString)), events: () => store.readAll(), proofs: database === undefined ? undefined : proofsIn(database, parts) };
}

function proofsIn(url: string, parts: Stack): ProofQueries {
  return createProofQueries(createReader(parts.add('database', createDatabase({ url, max: 1, applicationName: 'loqey-verify', logger, metrics: new Metrics() }))));
}

function identityIn(first: RecordedEvent | undefined, where: string): Uuid {
  const logId = first?.data['logId'];
  if (typeof logId !== 'string') throw new NoLog(`The log at ${where} does not say whose it is: it has no LogStarted.`);
  return logId;
}

/** Without its password. */
function addressOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}

const isThere = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);
