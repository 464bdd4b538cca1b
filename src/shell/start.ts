import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pino from 'pino';
import { compose, type App } from '../compose.ts';
import { ConfigError, loadConfig, secretsOf, type Config } from '../platform/config.ts';
import { openDataDir, type DataDir } from '../platform/data-dir/data-dir.ts';
import { PortTaken, requireFreePorts, type WantedPort } from '../platform/data-dir/ports.ts';
import { loadSecrets, SecretMissing, type Secrets } from '../platform/data-dir/secrets.ts';
import { exitCodes, StartFailure } from '../platform/data-dir/start-failure.ts';
import { newerData } from '../platform/data-dir/version.ts';
import { createLogger, type Logger } from '../platform/logger.ts';
import { DatabaseNewerThanProgram } from '../platform/postgres/migrate.ts';
import { WrongSecret } from '../platform/vault/check-values.ts';
import { LogIdentityError } from '../projections/log-identity.ts';
import { openLogFile, type LogFile } from './log-file.ts';
import { seconds, type Terminal } from './terminal.ts';

export interface StartOptions {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly verbose: boolean;
  readonly terminal: Terminal;
}

/** A running server and what the person who started it was told. */
export interface Running {
  readonly app: App;
  readonly config: Config;
  stop(): Promise<void>;
  /** For an exit that cannot wait. */
  abandon(): void;
}

/** @throws StartFailure with what happened and what to do; nothing is left running then */
export async function startServer(options: StartOptions): Promise<Running> {
  try {
    return await tryToStart(options);
  } catch (error) {
    const environ = error instanceof PortTaken ? await withOtherPort(error, options) : undefined;
    if (environ === undefined) throw error;
    return startServer({ ...options, environ });
  }
}

/** Never silently, and never where the person named the port: then a free one instead is not what was asked for. */
async function withOtherPort({ wanted, freePort, lines }: PortTaken, { environ, terminal }: StartOptions): Promise<StartOptions['environ'] | undefined> {
  const { env } = wanted;
  if (freePort === undefined || (environ[env] ?? '') !== '') return undefined;
  const answer = await terminal.ask(`${env === 'PORT' ? `Start on ${freePort} instead?` : `Start with ${env}=${freePort} instead?`} (y/N) `, lines[0]);
  return /^y(es)?$/i.test(answer ?? '') ? { ...environ, [env]: `${freePort}` } : undefined;
}

async function tryToStart({ environ, version, verbose, terminal }: StartOptions): Promise<Running> {
  const began = performance.now();
  const config = configOf(environ);
  const steps = stepPrinter(terminal);
  const dataDir = await openDataDir({ dataDir: config.dataDir, programVersion: version, port: config.port });
  let app: App | undefined;
  let log: Log | undefined;
  try {
    const ports = wantedPorts(config);
    await requireFreePorts(ports);
    terminal.say(`${terminal.paint.bold(`Loqey ${version}`)}   node ${process.versions.node}   data ${config.dataDir}${dataDir.isNew ? ' (new)' : ''}\n`);
    if (dataDir.abandonedBy !== undefined) terminal.say(`  The last run ended without closing (pid ${dataDir.abandonedBy.pid} is gone). Its data is being checked.`);
    if (dataDir.upgradeFrom !== undefined) terminal.say(`  Data is from ${dataDir.upgradeFrom}. Events are never rewritten; read models are rebuilt beside the old ones where needed.`);
    steps('checks', `${ports.length === 0 ? '' : `port${ports.length > 1 ? 's' : ''} ${ports.map(({ port }) => port).join(' ')} free, `}${gigabytes(dataDir.freeBytes)} disk, data folder locked`);

    const { secretKey, dataKeyMaster, auditSigningKey } = config;
    const secrets = await loadSecrets({ dataDir: config.dataDir, given: { secretKey, dataKeyMaster, auditSigningKey }, needed: secretsOf(config.roles), mayMake: config.environment !== 'production' });
    log = await openLog(config, verbose);
    for (const { env, reason } of config.ignored) log.logger.warn({ env }, `${env} is set and changes nothing: ${reason}`);
    const onWait = (engine: string, reason: string) => {
      terminal.event('waiting', { engine, reason });
      terminal.say(`  … waiting for ${engine}: ${reason}`);
    };
    app = await compose({ config, secrets, version, logger: log.logger, onStep: ({ name, detail }) => steps(name, detail), onWait });
    await dataDir.recordVersion();
    await dataDir.announce(app.addresses.http);
    ready(terminal, app, config, secrets, performance.now() - began);
    giveBackStartMemory();
    return running(app, config, dataDir, log);
  } catch (error) {
    await app?.stop();
    await log?.close();
    await dataDir.release();
    throw asStartFailure(error, version);
  }
}

function running(app: App, config: Config, dataDir: DataDir, log: Log): Running {
  return {
    app,
    config,
    async stop() {
      await app.stop();
      await log.close();
      await dataDir.release();
    },
    abandon: () => dataDir.releaseNow(),
  };
}

export function configOf(environ: StartOptions['environ']): Config {
  try {
    return loadConfig(environ);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new StartFailure(2, [
      ...error.problems.map((problem) => `✖ ${problem}`),
      '  Nothing was started and no data was changed.',
      '  All settings:   npm start -- --help',
    ]);
  }
}

function wantedPorts(config: Config): WantedPort[] {
  const { host, roles, mqttUrl, mqttPlain, mqttTlsCertFile } = config;
  const embeddedBroker = roles.includes('bridge') && mqttUrl === undefined;
  return [
    { env: 'PORT', port: config.port, host },
    ...(embeddedBroker && mqttPlain ? [{ env: 'MQTT_BROKER_PORT', port: config.mqttBrokerPort, host }] : []),
    ...(embeddedBroker && mqttTlsCertFile !== undefined ? [{ env: 'MQTT_TLS_PORT', port: config.mqttTlsPort, host }] : []),
  ].filter(({ port }) => port !== 0);
}

/** `✔ name   detail   0.2 s`, one line a step, each with its own time. */
function stepPrinter(terminal: Terminal): (name: string, detail: string) => void {
  let since = performance.now();
  return (name, detail) => {
    const now = performance.now();
    const took = now - since;
    since = now;
    terminal.event('step', { name, detail, ms: Math.round(took) });
    terminal.say(`  ${terminal.paint.green('✔')} ${name.padEnd(14)}${detail.padEnd(54)} ${terminal.paint.dim(seconds(took))}`);
  };
}

const SETTLED_AFTER_MS = 3_000;

/** Half of what a start has used is garbage that an idle process would keep for hours: it is collected once. */
function giveBackStartMemory(): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
  }, SETTLED_AFTER_MS).unref();
}

function ready(terminal: Terminal, app: App, config: Config, secrets: Secrets, took: number): void {
  const { http, mqtt } = app.addresses;
  const { paint } = terminal;
  const { firstAdmin } = app;
  if (firstAdmin !== undefined) {
    const { email, generatedPassword } = firstAdmin;
    terminal.event('first_admin', { email, ...(generatedPassword === undefined ? {} : { password: generatedPassword }) });
  }
  terminal.event('ready', { ms: Math.round(took), roles: config.roles, http, mqtt, data: config.dataDir, pid: process.pid });

  terminal.say(`\n${paint.bold(`Ready in ${seconds(took)}`)}\n`);
  const line = (name: string, value: string) => terminal.say(`  ${name.padEnd(18)}${value}`);
  const hasApi = config.roles.includes('api');
  if (hasApi) {
    line('API', `${http}/api/v1`);
    line('Docs, to try', `${http}/docs`);
  } else {
    line('Health', `${http}/health`);
    line('Metrics', `${http}/metrics`);
  }
  if (mqtt !== undefined) line('Boxes connect to', mqtt);
  if (config.enableFileLogging) line('Log', logPath(config));
  if (hasApi && config.environment !== 'production') line('See it work', 'npm run demo      simulated boxes, one delivery');
  if (firstAdmin?.generatedPassword !== undefined) {
    terminal.say(`\n  First administrator, shown once: ${paint.bold(firstAdmin.email)}   ${paint.bold(firstAdmin.generatedPassword)}`);
    terminal.say('  (unattended: ADMIN_EMAIL and ADMIN_PASSWORD)');
  } else if (firstAdmin !== undefined) {
    terminal.say(`\n  First administrator: ${firstAdmin.email}, with the password of ADMIN_PASSWORD`);
  }
  if (secrets.made.length > 0) {
    terminal.say(`\n  Keys in ${secrets.folder}: back this up:`);
    terminal.say('  without it names are unreadable and boxes must be re-keyed.');
  }
  terminal.say(`\n${paint.dim(`Ctrl+C stops it. Data stays in ${config.dataDir}. Start over: npm run reset`)}`);
}

function gigabytes(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${Math.floor(bytes / 1024 ** 3)} GB` : `${Math.floor(bytes / 1024 ** 2)} MB`;
}

function logPath(config: Config): string {
  return config.logFilePath ?? join(config.dataDir, 'logs', 'loqey.log');
}

interface Log {
  readonly logger: Logger;
  close(): Promise<void>;
}

/** To the file, with --verbose to the terminal as well; never credentials, which go to the terminal alone. */
async function openLog(config: Config, verbose: boolean): Promise<Log> {
  const level = config.logLevel.toLowerCase() as pino.Level;
  const file = config.enableFileLogging ? await fileOf(config) : undefined;
  const streams = [
    ...(file === undefined ? [] : [{ stream: file, level }]),
    ...(verbose || file === undefined ? [{ stream: process.stderr, level }] : []),
  ];
  return {
    logger: createLogger({ level, destination: pino.multistream(streams) }),
    close: async () => file?.close(),
  };
}

async function fileOf(config: Config): Promise<LogFile> {
  const path = logPath(config);
  try {
    return await openLogFile({ path, rotateAtBytes: config.logRotationBytes, keepDays: config.logRetentionDays });
  } catch (error) {
    throw new StartFailure(exitCodes.disk, [
      `✖ The log ${path} cannot be written: ${(error as Error).message}.`,
      '  Nothing was started.',
      '  Another file:   LOG_FILE_PATH=/var/log/loqey.log npm start',
      '  No file:        ENABLE_FILE_LOGGING=false npm start',
    ]);
  }
}

/** Known reasons in words; the rest as it is, for it is ours to mend. */
function asStartFailure(error: unknown, version: string): unknown {
  if (error instanceof DatabaseNewerThanProgram) return newerData('The database', error.databaseVersion, version);
  if (error instanceof WrongSecret || error instanceof LogIdentityError || error instanceof SecretMissing) {
    return new StartFailure(1, [...error.message.split('\n').map((text, index) => `${index === 0 ? '✖' : ' '} ${text}`)]);
  }
  return error;
}
