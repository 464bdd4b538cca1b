import { createCommandBus, type Aggregates } from '../commands/handle.ts';
import type { AccountVault } from '../commands/first-admin.ts';
import { createRefusalLog } from '../commands/refusals.ts';
import { openGround, type Ground } from '../compose/ground.ts';
import { lockHolder } from '../platform/data-dir/lock.ts';
import { openDataDir } from '../platform/data-dir/data-dir.ts';
import { loadSecrets } from '../platform/data-dir/secrets.ts';
import { stack } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { silentLogger } from '../platform/logger.ts';
import type { Database } from '../platform/postgres/db.ts';
import { embeddedPostgresUrl } from '../platform/postgres/embedded.ts';
import { createNotifications } from '../platform/postgres/notifications.ts';
import { createEmailIndex } from '../platform/vault/email-index.ts';
import { createMasterKey } from '../platform/vault/master-key.ts';
import { createPasswords } from '../platform/vault/passwords.ts';
import { createRefreshTokens } from '../platform/vault/refresh-tokens.ts';
import { createSealer, type Sealer } from '../platform/vault/sealer.ts';
import { createTags } from '../platform/vault/tags.ts';
import { configOf } from './start.ts';

/** The installation of this folder, from the command line: beside a running server, or without one. */
export interface Local {
  readonly ground: Ground;
  readonly db: Database;
  readonly bus: Aggregates;
  readonly sealer: Sealer;
  readonly accounts: AccountVault;
}

export interface LocalOptions {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly logger?: Logger;
  /** For what mends read models that do not fit the log. */
  readonly mending?: boolean;
}

/**
 * Opens the log, the vault and the read models as the server does, with this user's rights to the data folder, and
 * closes them again. With an embedded database and no server running, the database is started for the time of the work.
 */
export async function withLocal<T>({ environ, version, logger = silentLogger, mending = false }: LocalOptions, work: (local: Local) => Promise<T>): Promise<T> {
  const config = configOf(environ);
  const running = config.databaseUrl === undefined ? await lockHolder(config.dataDir) : undefined;
  const dataDir = running === undefined && config.databaseUrl === undefined ? await openDataDir({ dataDir: config.dataDir, programVersion: version, port: config.port }) : undefined;
  const parts = stack({ deadlineMs: 10_000, onFailure: (name, error) => logger.warn({ err: error, part: name }, 'A part did not stop cleanly') });
  try {
    const url = config.databaseUrl ?? (running === undefined ? undefined : await embeddedPostgresUrl(config.dataDir));
    const { secretKey, dataKeyMaster, auditSigningKey } = config;
    const secrets = await loadSecrets({ dataDir: config.dataDir, given: { secretKey, dataKeyMaster, auditSigningKey }, needed: ['dataKeyMaster'], mayMake: config.environment !== 'production' && dataDir !== undefined });
    // No relay is used from here: the in-process one costs nothing and reaches nobody.
    const { kafkaBrokers: _unused, ...rest } = config;
    const localConfig = { ...rest, kafkaBrokers: undefined, ...(url === undefined ? {} : { databaseUrl: url }) };
    const ground = await openGround({ config: localConfig, secrets, version, logger, mending }, parts);
    const { store, clock, metrics } = ground;
    const db = ground.database('loqey-cli', 4);
    const notifications = createNotifications({ url: ground.url, applicationName: 'loqey-cli-listen', logger });
    if (secrets.dataKeyMaster === undefined) throw new Error('DATA_KEY_MASTER is needed here');
    const master = createMasterKey(secrets.dataKeyMaster);
    const sealer = createSealer({ db, notifications, master, logger, metrics, inAdvance: [] });
    const emails = createEmailIndex({ db, tags: createTags(master) });
    const sessions = createRefreshTokens({ db, notifications, master, lifetimeDays: config.refreshTokenDays });
    const passwords = createPasswords({ db, metrics, rounds: config.bcryptRounds });
    await ground.start('notifications', notifications);
    await ground.start('sealer', sealer);
    await ground.start('passwords', passwords);
    const refusals = await ground.start('refusals', createRefusalLog({ store, sealer, clock, logger, metrics }));
    const bus = createCommandBus({ store, sealer, refusals, clock, metrics });
    const accounts = { claimEmail: emails.claim, hashPassword: passwords.hash, storePassword: passwords.store, endSessions: sessions.endAll };
    return await work({ ground, db, bus, sealer, accounts });
  } finally {
    await parts.stop();
    await dataDir?.release();
  }
}
