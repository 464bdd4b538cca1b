import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Migration } from '../../../migrations/index.ts';
import type { Logger } from '../logger.ts';
import { clientConfig, commit } from './db.ts';

export interface MigrateOptions {
  readonly url: string;
  readonly migrations: readonly Migration[];
  /** Recorded with each migration, and named when a later program's data meets an earlier program. */
  readonly programVersion: string;
  readonly logger: Logger;
}

export interface MigrateResult {
  /** Ids of what this call applied. */
  readonly applied: readonly string[];
  /** All that the database has, these included. */
  readonly total: number;
}

/** The database has migrations that this program does not know: a newer program wrote them. */
export class DatabaseNewerThanProgram extends Error {
  override readonly name = 'DatabaseNewerThanProgram';
  readonly databaseVersion: string;
  readonly programVersion: string;
  readonly unknown: readonly string[];

  constructor(databaseVersion: string, programVersion: string, unknown: readonly string[]) {
    super(
      `The database was written by Loqey ${databaseVersion}; this is ${programVersion}, which does not know ${unknown.join(', ')}. ` +
        `Run Loqey ${databaseVersion} or later. Nothing was changed.`,
    );
    this.databaseVersion = databaseVersion;
    this.programVersion = programVersion;
    this.unknown = unknown;
  }
}

export class MigrationFailed extends Error {
  override readonly name = 'MigrationFailed';
  readonly id: string;

  constructor(id: string, cause: unknown) {
    super(`Migration ${id} failed and was rolled back: ${(cause as Error).message}`, { cause });
    this.id = id;
  }
}

/** A landed migration was edited: databases that have the old one would differ from new ones. */
export class MigrationEdited extends Error {
  override readonly name = 'MigrationEdited';

  constructor(id: string) {
    super(`Migration ${id} differs from the one this database has. A landed migration is never edited: add another.`);
  }
}

/** Any constant: it names this lock among the advisory locks of the database. */
const LOCK = 7_020_126_112_109_000n;

const bootstrap = `
  CREATE SCHEMA IF NOT EXISTS work;
  CREATE SCHEMA IF NOT EXISTS vault;
  CREATE SCHEMA IF NOT EXISTS log;
  CREATE TABLE IF NOT EXISTS work.migrations (
    id text PRIMARY KEY,
    checksum text NOT NULL,
    program_version text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`;

interface Row {
  readonly id: string;
  readonly checksum: string;
  readonly program_version: string;
}

/**
 * Applies what is missing, each migration in a transaction of its own under one lock: any number of runners may start at
 * once, and one that dies leaves whole migrations behind.
 *
 * @throws DatabaseNewerThanProgram, MigrationEdited, MigrationFailed; nothing of the failing one is kept.
 */
export async function migrate({ url, migrations, programVersion, logger }: MigrateOptions): Promise<MigrateResult> {
  const client = new pg.Client(clientConfig(url, 'loqey-migrate', { statement: 0, lock: 0, query: 0 }));
  client.on('error', (error) => logger.warn({ err: error }, 'The connection of the migrations broke'));
  const applied: string[] = [];
  await client.connect();
  try {
    // The common case, a database that has them all, needs no lock.
    let known = await appliedRows(client);
    let next = known === undefined ? undefined : pending(known, migrations, programVersion)[0];
    while (known === undefined || next !== undefined) {
      [known, next] = await step(client, migrations, programVersion, (id) => {
        applied.push(id);
        logger.info({ component: 'migrations', migration: id }, 'Migration applied');
      });
    }
    return { applied, total: known.length };
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** One turn under the lock: what others did meanwhile is read again, then at most one migration is applied. */
async function step(
  client: pg.Client,
  migrations: readonly Migration[],
  programVersion: string,
  onApplied: (id: string) => void,
): Promise<[readonly Row[], Migration | undefined]> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = '5min'`);
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK.toString()]);
    await client.query(`SET LOCAL lock_timeout = '30s'`);
    await client.query(bootstrap);
    const known = (await appliedRows(client)) ?? [];
    const [migration, next] = pending(known, migrations, programVersion);
    if (migration === undefined) {
      await commit(client);
      return [known, undefined];
    }
    const row = { id: migration.id, checksum: checksum(migration), program_version: programVersion };
    try {
      await client.query(migration.sql);
      await client.query('INSERT INTO work.migrations (id, checksum, program_version) VALUES ($1, $2, $3)', [row.id, row.checksum, row.program_version]);
      await commit(client);
    } catch (error) {
      throw new MigrationFailed(migration.id, error);
    }
    onApplied(migration.id);
    return [[...known, row], next];
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined); // the connection may be what failed
    throw error;
  }
}

async function appliedRows(client: pg.Client): Promise<readonly Row[] | undefined> {
  const { rows: found } = await client.query<{ table: string | null }>(`SELECT to_regclass('work.migrations') AS table`);
  if (found[0]?.table === null) return undefined;
  const { rows } = await client.query<Row>('SELECT id, checksum, program_version FROM work.migrations ORDER BY applied_at, id');
  return rows;
}

function pending(rows: readonly Row[], migrations: readonly Migration[], programVersion: string): Migration[] {
  const known = new Map(migrations.map((migration) => [migration.id, migration]));
  const unknown = rows.filter((row) => !known.has(row.id));
  if (unknown.length > 0) {
    throw new DatabaseNewerThanProgram(unknown.at(-1)?.program_version ?? '?', programVersion, unknown.map((row) => row.id));
  }
  for (const row of rows) {
    const migration = known.get(row.id);
    if (migration !== undefined && checksum(migration) !== row.checksum) throw new MigrationEdited(row.id);
  }
  const has = new Set(rows.map((row) => row.id));
  return migrations.filter((migration) => !has.has(migration.id));
}

function checksum(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex');
}
