import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../../migrations/index.ts';
import { secretsOf } from '../../src/platform/config.ts';
import { loadSecrets } from '../../src/platform/data-dir/secrets.ts';
import type { EventStore } from '../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createDatabase, type Database } from '../../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { createNotifications } from '../../src/platform/postgres/notifications.ts';
import { createMasterKey } from '../../src/platform/vault/master-key.ts';
import { createSealer, type Sealer } from '../../src/platform/vault/sealer.ts';
import { projections } from '../../src/projections/registry.ts';
import { makeCast, type Cast, type CastSize } from './cast.ts';
import type { Point } from './figure.ts';
import { PAST_VERSION, writePast, type KnownBox } from './past.ts';
import { startBenchServer } from './server.ts';

/** What a data folder holds before anything is measured. */
export interface Contents {
  readonly cast: CastSize;
  /** Undefined: nothing but the cast. */
  readonly past?: Point;
  readonly seed: number;
}

export interface Folder {
  readonly dataDir: string;
  readonly cast: Cast;
  discard(): void;
}

/** Where filled folders are kept from one run to the next. */
const cacheFolder = join(tmpdir(), `loqey-bench-cache-${userInfo().username}`);

const unopened = () => Promise.reject(new Error('Only names and versions are asked for here'));

/** What a folder depends on besides: with any of these changed it is another one. */
const madeBy = {
  past: PAST_VERSION,
  migrations: migrations.map(({ id }) => id),
  readModels: projections({ sealer: { open: unopened, openMany: unopened } }).map(({ name, version }) => `${name} ${version}`),
};

/** The name of the folder with these contents. */
export function keptAs(contents: Contents): string {
  return createHash('sha256').update(JSON.stringify({ contents, madeBy })).digest('hex').slice(0, 16);
}

/**
 * A copy of the folder with these contents; they are made on first use and kept by what they are. Its read models end before
 * the past: each run builds them itself.
 */
export async function folderWith(contents: Contents, say: (text: string) => void): Promise<Folder> {
  const kept = join(cacheFolder, keptAs(contents));
  if (!existsSync(kept)) {
    mkdirSync(cacheFolder, { recursive: true });
    const fresh = newFolder(`${kept}.new-`);
    say(`making ${told(contents)}`);
    try {
      await fill(fresh, contents, {});
      renameSync(fresh, kept);
    } catch (error) {
      rmSync(fresh, { recursive: true, force: true });
      throw error;
    }
  }
  const dataDir = newFolder(join(tmpdir(), 'loqey-bench-'));
  execFileSync('cp', ['-a', '--reflink=auto', `${kept}/.`, dataDir]);
  rmSync(join(dataDir, 'postgres-port'), { force: true }); // each copy finds a port of its own
  return folder(dataDir);
}

/** The same in a new folder whose log is in another store, which must be empty. */
export async function folderBeside(contents: Contents, environ: Readonly<Record<string, string>>, say: (text: string) => void): Promise<Folder> {
  const dataDir = newFolder(join(tmpdir(), 'loqey-bench-'));
  say(`making ${told(contents)}`);
  await fill(dataDir, contents, environ);
  return folder(dataDir);
}

function folder(dataDir: string): Folder {
  return { dataDir, cast: castIn(dataDir), discard: () => rmSync(dataDir, { recursive: true, force: true }) };
}

function newFolder(prefix: string): string {
  const made = mkdtempSync(prefix);
  chmodSync(made, 0o755); // PostgreSQL runs as another user where this runs as root
  return made;
}

const castIn = (dataDir: string) => JSON.parse(readFileSync(join(dataDir, 'cast.json'), 'utf8')) as Cast;

const told = ({ cast, past }: Contents) =>
  `${cast.owners * cast.boxesEach + cast.more} boxes over HTTP${past === undefined ? '' : `, a past of ${past.boxes.toLocaleString('en')} boxes and ${past.events.toLocaleString('en')} events`}`;

async function fill(dataDir: string, { cast, past, seed }: Contents, environ: Readonly<Record<string, string>>): Promise<void> {
  // Passwords are hashed again at the ordinary cost when their owners sign in first.
  const server = await startBenchServer({ dataDir, environ: { ...environ, BCRYPT_ROUNDS: '4' } });
  try {
    writeFileSync(join(dataDir, 'cast.json'), JSON.stringify(await makeCast(server.url, cast)));
  } finally {
    await server.stop();
  }
  if (past === undefined) return;
  await offline(dataDir, environ, async ({ store, sealer, db }) => {
    const known: KnownBox[] = [];
    const { boxes, owners } = castIn(dataDir);
    for (const { deviceId, owner } of boxes) {
      for await (const { type, data } of store.readStream(`device-${deviceId}`)) {
        if (type === 'DeviceAssigned') known.push({ deviceId, userId: owners[owner]!.userId, assignmentId: data['assignmentId'] as string });
      }
    }
    await writePast(store, (...given) => sealer.seal(...given), { ...past, known, seed });
    // Whoever had written this past would have reacted to it, too: a server must not begin with a million reactions.
    await db.pool.query({ text: 'UPDATE work.reactors SET position = $1', values: [String((await store.head()) ?? 0n)] });
    await db.pool.query('ANALYZE');
  });
}

export interface OfflineParts {
  /** From the start of PostgreSQL until it took connections. */
  readonly postgresMs: number;
  readonly db: Database;
  readonly store: EventStore;
  readonly sealer: Sealer;
}

/** Opens what is in a data folder without a server on it. */
export async function offline<T>(dataDir: string, environ: Readonly<Record<string, string>>, work: (parts: OfflineParts) => Promise<T>): Promise<T> {
  const { dataKeyMaster } = await loadSecrets({ dataDir, given: { secretKey: undefined, dataKeyMaster: undefined, auditSigningKey: undefined }, needed: secretsOf(['projector']), mayMake: false });
  const metrics = new Metrics();
  const postgres = createEmbeddedPostgres({ dataDir, logger });
  const closing: (() => Promise<void>)[] = [() => postgres.stop()];
  try {
    const began = performance.now();
    const url = await postgres.start();
    const postgresMs = performance.now() - began;
    const db = createDatabase({ url, max: 6, applicationName: 'bench', logger, metrics });
    closing.push(() => db.stop());
    const notifications = createNotifications({ url, applicationName: 'bench-listen', logger });
    await notifications.start();
    closing.push(() => notifications.stop());
    const sealer = createSealer({ db, notifications, master: createMasterKey(dataKeyMaster!), logger, metrics, inAdvance: ['delivery'], reserve: 512 });
    await sealer.start();
    closing.push(() => sealer.stop());
    const store = await storeOf(url, environ, metrics);
    await store.start();
    closing.push(() => store.stop());
    return await work({ postgresMs, db, store, sealer });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function storeOf(url: string, { EVENTSTORE_URL }: Readonly<Record<string, string>>, metrics: Metrics): Promise<EventStore> {
  if (EVENTSTORE_URL === undefined) return createPostgresEventStore({ url, logger, metrics });
  const { createEventStoreDb } = await import('../../src/platform/event-store/eventstoredb.ts');
  return createEventStoreDb({ connectionString: EVENTSTORE_URL, logger, metrics });
}
