import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPostgresEventStore } from '../src/platform/event-store/postgres.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createEmbeddedPostgres, embeddedPostgresUrl } from '../src/platform/postgres/embedded.ts';
import { freePort } from '../test/support/free-port.ts';
import { postgresPid, processesOf } from '../test/support/server-process.ts';
import { copyTemplate } from '../test/support/servers.ts';
import { until } from '../test/support/until.ts';
import { pause } from './model.ts';
import { createRole } from './processes.ts';
import { everyRole, logFolder, openWay, through, type Engine, type Way, type World } from './world.ts';

export interface EmbeddedOptions {
  /** `own`: PostgreSQL is the server's child, as in `npm start`. `apart`: a server of its own, reached over TCP. */
  readonly database: 'own' | 'apart';
  readonly onTrouble: (what: string) => void;
  /** Bytes of a file system of its own for the data folder; needs root. */
  readonly diskBytes?: number;
}

/** Why no file system can be made here, or undefined. */
export function smallDiskMissing(): string | undefined {
  if (process.platform !== 'linux') return 'a file system in memory is made on Linux alone';
  return process.getuid?.() === 0 ? undefined : 'only root makes a file system';
}

/** One process with everything in it. */
export async function startEmbedded({ database, onTrouble, diskBytes }: EmbeddedOptions): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-chaos-'));
  chmodSync(folder, 0o755); // the database server runs as another user where this runs as root
  const logs = logFolder(folder);
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir, { mode: 0o711 });
  if (diskBytes !== undefined) execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes},mode=0755`, 'tmpfs', dataDir]);
  const databaseDir = database === 'own' ? dataDir : join(folder, 'database');
  if (database === 'apart') mkdirSync(databaseDir, { mode: 0o711 });
  await copyTemplate(databaseDir);
  const apart = database === 'apart' ? createEmbeddedPostgres({ dataDir: databaseDir, logger: silentLogger }) : undefined;
  const apartUrl = await apart?.start();

  const [httpPort, mqttPort] = [await freePort(), await freePort()];
  const clients = await openWay('clients and the API', httpPort);
  const boxes = await openWay('boxes and the broker', mqttPort);
  const toDatabase = apartUrl === undefined ? undefined : await openWay('server and database', Number(new URL(apartUrl).port));
  const ways: readonly Way[] = [clients, boxes, ...(toDatabase === undefined ? [] : [toDatabase])];
  const settings = (url: string | undefined) => ({
    ...everyRole,
    DATA_DIR: dataDir,
    PORT: `${httpPort}`,
    MQTT_BROKER_PORT: `${mqttPort}`,
    MQTT_PUBLIC_URL: `mqtt://127.0.0.1:${boxes.proxy.port}`,
    ...(url === undefined ? {} : { DATABASE_URL: url }),
  });
  const server = createRole({
    name: 'server',
    settings: settings(apartUrl === undefined || toDatabase === undefined ? undefined : through(apartUrl, toDatabase)),
    logs,
    onDeath: onTrouble,
  });
  const databaseUrl = async () => apartUrl ?? (await embeddedPostgresUrl(dataDir)) ?? '';

  const postgres: Engine = {
    name: 'PostgreSQL',
    async crash() {
      // Whoever started it starts it again; a server that is just being recovered is left alone.
      const pid = postgresPid(databaseDir);
      if (pid !== undefined && processesOf(databaseDir).includes(pid)) process.kill(pid, 'SIGKILL');
      await pause(0);
    },
  };

  return {
    name: database === 'apart' ? 'one process, its database over TCP' : `one process with its own database${diskBytes === undefined ? '' : ' on a small disk'}`,
    roles: [server],
    engines: [postgres],
    ways,
    url: `http://127.0.0.1:${clients.proxy.port}`,
    mqtt: { host: '127.0.0.1', port: boxes.proxy.port },
    settings: async () => settings(apartUrl),
    databaseUrl,
    async openStore() {
      const store = createPostgresEventStore({ url: await databaseUrl(), logger: silentLogger, metrics: new Metrics() });
      await store.start();
      return store;
    },
    dataDir: database === 'own' ? dataDir : undefined,
    backUp: database === 'apart' ? undefined : async () => {
      const copy = join(folder, 'backup');
      rmSync(copy, { recursive: true, force: true });
      execFileSync('cp', ['-a', dataDir, copy]);
      return async () => {
        for (const pid of processesOf(dataDir)) process.kill(pid, 'SIGKILL');
        await until('nothing to run on what is replaced', () => processesOf(dataDir).length === 0);
        for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name), { recursive: true, force: true });
        execFileSync('cp', ['-a', `${copy}/.`, dataDir]);
      };
    },
    smallDisk: diskBytes === undefined ? undefined : dataDir,
    headFolder: join(dataDir, 'audit'),
    logFiles: () => [logs, join(dataDir, 'logs')].flatMap((each) => readdirSync(each).map((name) => join(each, name))),
    durablePuback: true,
    async stop(keep) {
      await server.stop();
      await apart?.stop();
      for (const pid of processesOf(databaseDir)) process.kill(pid, 'SIGKILL');
      await until(`nothing to run in ${folder}`, () => processesOf(databaseDir).length === 0);
      await Promise.all(ways.map(({ proxy }) => proxy.close()));
      if (keep) return folder;
      if (diskBytes !== undefined) execFileSync('umount', ['-l', dataDir]);
      rmSync(folder, { recursive: true, force: true });
      return undefined;
    },
  };
}
