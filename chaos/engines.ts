import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandFilters, uplinkFilters } from '../src/bridge/topics.ts';
import { createEventStoreDb } from '../src/platform/event-store/eventstoredb.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { freePort } from '../test/support/free-port.ts';
import { postgresPid } from '../test/support/server-process.ts';
import { eventStoreDbMissing, startEventStoreDb } from '../test/support/servers-eventstoredb.ts';
import { kafkaMissing, startKafka } from '../test/support/servers-kafka.ts';
import { copyTemplate, mosquittoMissing, mosquittoServices, startMosquitto } from '../test/support/servers.ts';
import { pause } from './model.ts';
import { createRole } from './processes.ts';
import { everyRole, logFolder, openWay, through, type Engine, type Way, type World } from './world.ts';

/** Which engines this machine does not have, and why. */
export function enginesMissing(): readonly string[] {
  return [eventStoreDbMissing(), kafkaMissing(), mosquittoMissing()].filter((why) => why !== undefined);
}

const roleNames = ['api', 'projector', 'worker', 'bridge'] as const;

/** A process for each role on EventStoreDB, PostgreSQL, Kafka's protocol and Mosquitto; every way between two of them is cut and slowed by itself. */
export async function startOnEngines({ onTrouble }: { readonly onTrouble: (what: string) => void }): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-chaos-'));
  chmodSync(folder, 0o755);
  const logs = logFolder(folder);
  const databaseDir = join(folder, 'database');
  mkdirSync(databaseDir, { mode: 0o711 });
  await copyTemplate(databaseDir);
  const postgres = createEmbeddedPostgres({ dataDir: databaseDir, logger: silentLogger, settings: { max_connections: '300' } });
  const [eventStore, kafka, mosquitto, databaseUrl] = await Promise.all([
    startEventStoreDb({ onDisk: true }),
    startKafka(),
    startMosquitto({ uplinkFilters, downlinkTopics: commandFilters }),
    postgres.start(),
  ]);
  await kafka.createTopics('', 4);

  const apiPort = await freePort();
  const clients = await openWay('clients and the API', apiPort);
  const boxes = await openWay('boxes and Mosquitto', mosquitto.port);
  const ways: Way[] = [clients, boxes];
  const way = async (name: string, port: number): Promise<Way> => {
    const made = await openWay(name, port);
    ways.push(made);
    return made;
  };
  const secrets = { SECRET_KEY: randomBytes(32).toString('hex'), DATA_KEY_MASTER: randomBytes(32).toString('hex'), AUDIT_SIGNING_KEY: randomBytes(32).toString('hex') };
  const headFolder = join(folder, 'heads');
  const common = {
    ...everyRole,
    ...secrets,
    ENABLE_FILE_LOGGING: 'false',
    AUDIT_HEADS_DIR: headFolder,
    KAFKA_BOOTSTRAP_SERVERS: kafka.brokers.join(','),
    // librdkafka's test cluster answers a fetch, and lets a member into a known group, only when these have passed.
    KAFKA_FETCH_WAIT_MS: '10',
    KAFKA_SESSION_SECONDS: '6',
    MQTT_USERNAME: mosquittoServices.uplink.username,
    MQTT_PASSWORD: mosquittoServices.uplink.password,
    MQTT_DOWNLINK_USERNAME: mosquittoServices.downlink.username,
    MQTT_DOWNLINK_PASSWORD: mosquittoServices.downlink.password,
    MQTT_ADMIN_USERNAME: mosquittoServices.provisioner.username,
    MQTT_ADMIN_PASSWORD: mosquittoServices.provisioner.password,
    MQTT_PUBLIC_URL: `mqtt://127.0.0.1:${boxes.proxy.port}`,
  };
  const settingsOf = async (role: string) => ({
    ...common,
    ROLES: role,
    MQTT_CLIENT_ID: `loqey_${role}`,
    DATA_DIR: join(folder, role),
    PORT: role === 'api' ? `${apiPort}` : `${await freePort()}`,
    DATABASE_URL: through(databaseUrl, await way(`${role} and PostgreSQL`, Number(new URL(databaseUrl).port))),
    EVENTSTORE_URL: through(eventStore.url, await way(`${role} and EventStoreDB`, eventStore.port)),
    MQTT_URL: `mqtt://127.0.0.1:${(await way(`${role} and Mosquitto`, mosquitto.port)).proxy.port}`,
  });
  const roles = await Promise.all(roleNames.map(async (name) => createRole({ name, settings: await settingsOf(name), logs, onDeath: onTrouble })));

  const engines: readonly Engine[] = [
    {
      name: 'PostgreSQL',
      async crash() {
        const pid = postgresPid(databaseDir);
        if (pid !== undefined && pid === postgres.pid) process.kill(pid, 'SIGKILL');
        await pause(0);
      },
    },
    ...restarted('EventStoreDB', eventStore.kill, eventStore.start),
    ...restarted('Mosquitto', mosquitto.kill, mosquitto.start),
    // Its brokers name their own addresses: it is slowed by itself, not by a proxy.
    ...restarted('Kafka', kafka.down, kafka.up).map((engine) => ({ ...engine, ...(kafka.slow === undefined ? {} : { slow: kafka.slow }) })),
  ];

  return {
    name: 'a process for each role, on the engines',
    roles,
    engines,
    ways,
    url: `http://127.0.0.1:${clients.proxy.port}`,
    mqtt: { host: '127.0.0.1', port: boxes.proxy.port },
    settings: async () => ({ ...common, DATA_DIR: join(folder, 'cli'), DATABASE_URL: databaseUrl, EVENTSTORE_URL: eventStore.url, MQTT_URL: mosquitto.url }),
    databaseUrl: async () => databaseUrl,
    async openStore() {
      const store = createEventStoreDb({ connectionString: eventStore.url, logger: silentLogger, metrics: new Metrics() });
      await store.start();
      return store;
    },
    dataDir: undefined,
    backUp: undefined,
    smallDisk: undefined,
    headFolder,
    logFiles: () => readdirSync(logs).map((name) => join(logs, name)),
    // Mosquitto writes what it has to its disk now and then.
    durablePuback: false,
    async stop(keep) {
      await Promise.all(roles.map((role) => role.stop()));
      await Promise.all([eventStore.stop(), kafka.stop(), mosquitto.stop(), postgres.stop()]);
      await Promise.all(ways.map(({ proxy }) => proxy.close()));
      if (keep) return folder;
      rmSync(folder, { recursive: true, force: true });
      return undefined;
    },
  };
}

/** Nothing where it is not ours to restart. */
function restarted(name: string, down: (() => Promise<void>) | undefined, up: (() => Promise<void>) | undefined): readonly Engine[] {
  if (down === undefined || up === undefined) return [];
  return [
    {
      name,
      async crash(downMs) {
        await down();
        await pause(downMs);
        await up();
      },
    },
  ];
}
