import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compose, type App, type ComposeOptions } from '../../src/compose.ts';
import { loadConfig, type Config } from '../../src/platform/config.ts';
import { createLogger, silentLogger } from '../../src/platform/logger.ts';
import { startPostgres } from './servers.ts';

export interface RunningApp extends App {
  readonly url: string;
  readonly config: Config;
  readonly admin: { readonly email: string; readonly password: string };
}

export const testSecrets = (): ComposeOptions['secrets'] => ({
  secretKey: randomBytes(48).toString('base64url'),
  dataKeyMaster: randomBytes(32),
  auditSigningKey: randomBytes(32),
});

/** The whole system on a database of its own, any free ports, quick passwords and no rate limits. */
export async function startApp(overrides: Partial<Config> = {}, options: Partial<ComposeOptions> = {}): Promise<RunningApp> {
  const database = overrides.databaseUrl === undefined ? await startPostgres() : undefined;
  /** Made by whoever puts something into it: mails that are not sent. */
  const dataDir = join(tmpdir(), `loqey-test-app-${randomBytes(6).toString('hex')}`);
  const admin = { email: 'admin@example.com', password: 'correct horse battery' };
  const config: Config = {
    ...loadConfig({}),
    dataDir,
    port: 0,
    mqttBrokerPort: 0,
    ...(database === undefined ? {} : { databaseUrl: await database.createDatabase() }),
    databasePoolSize: 8,
    bcryptRounds: 4,
    rateLimitEnabled: false,
    adminEmail: admin.email,
    adminPassword: admin.password,
    ...overrides,
  };
  const logger = process.env['TEST_LOG'] === undefined ? silentLogger : createLogger({ level: process.env['TEST_LOG'] });
  const app = await compose({ config, secrets: testSecrets(), version: '0.0.0-test', logger, ...options });
  return {
    ...app,
    url: app.addresses.http,
    config,
    admin,
    async stop() {
      await app.stop();
      await database?.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
