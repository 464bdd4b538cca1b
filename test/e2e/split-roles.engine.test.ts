import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import { createClient, type Client } from '../../src/client/client.ts';
import { createNarrator } from '../../src/demo/narrator.ts';
import { runScenario } from '../../src/demo/scenario.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import type { Lockbox } from '../../src/simulator/lockbox.ts';
import { readComposeFile, readEnvFile, root } from '../support/compose-file.ts';
import { describeWithServers } from '../support/optional-server.ts';
import { startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { eventStoreDbMissing, startEventStoreDb } from '../support/servers-eventstoredb.ts';
import { kafkaMissing, startKafka } from '../support/servers-kafka.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto, startPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

/** The set-up of docker-compose.yml without containers: its settings and secrets, the real engines, a process for each role. */
const missing = { eventstoredb: eventStoreDbMissing(), kafka: kafkaMissing(), mosquitto: mosquittoMissing() };

type Name = 'api' | 'projector' | 'worker' | 'bridge-1' | 'bridge-2';

describeWithServers(missing, 'A process for each role', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-split-'));
  const engines: { stop(): Promise<void> }[] = [];
  const processes = new Map<Name, ServerProcess>();
  const boxes: Lockbox[] = [];
  let settingsOf: (name: Name) => Record<string, string>;
  let admin: { readonly email: string; readonly password: string };

  const stopped = async (name: Name) => {
    const process = processes.get(name)!;
    process.signal('SIGTERM');
    processes.delete(name);
    return (await process.exited).code;
  };
  const started = async (name: Name) => {
    processes.set(name, await startServerProcess(settingsOf(name)));
  };
  const tell = async (api: Client) => {
    const told: string[] = [];
    const write = (text: string) => (told.push(text), true);
    const stream = { write, isTTY: false } as unknown as NodeJS.WriteStream;
    const narrator = createNarrator(createTerminal({ json: false, stdout: stream, stderr: stream, color: false }));
    const before = boxes.length;
    await runScenario({ api, admin, narrator, onBox: (box) => boxes.push(box) }).catch((error: unknown) => {
      throw new Error(`${told.join('')}\n${[...processes].map(([name, { stderr }]) => `--- ${name}\n${stderr.slice(-4_000)}`).join('\n')}`, { cause: error });
    });
    return { steps: narrator.steps, box: boxes[before]! };
  };
  const asAdmin = async (api: Client) => {
    const { access_token: token } = await api.ask('adminLogin', { body: admin });
    return api.as(token);
  };

  beforeAll(async () => {
    const [eventStore, kafka, mosquitto, postgres] = await Promise.all([
      startEventStoreDb(),
      startKafka(),
      startMosquitto({ uplinkFilters, downlinkTopics: commandFilters }),
      startPostgres(),
    ]);
    engines.push(eventStore, kafka, mosquitto, postgres);
    await kafka.createTopics('', 4);

    mkdirSync(join(folder, 'deploy'));
    cpSync(join(root, 'deploy/make-secrets.sh'), join(folder, 'deploy/make-secrets.sh'));
    execFileSync('sh', [join(folder, 'deploy/make-secrets.sh')], { env: { PATH: process.env['PATH'] }, stdio: 'ignore' });
    const { ADMIN_EMAIL: email = '', ADMIN_PASSWORD: password = '' } = readEnvFile(join(folder, 'deploy/secrets/administrator.env'));
    admin = { email, password };

    const { services } = readComposeFile();
    const databaseUrl = await postgres.createDatabase();
    settingsOf = (name) => {
      const { environment, env_file: envFiles = [] } = services[name]!;
      const composed = { ...environment, ...Object.assign({}, ...envFiles.map((file) => readEnvFile(join(folder, file)))) } as Record<string, string>;
      return {
        ...composed,
        // Where things are here, and whom Mosquitto knows here.
        HOST: '127.0.0.1',
        PORT: '0',
        DATA_DIR: join(folder, name),
        ENABLE_FILE_LOGGING: 'false',
        DATABASE_URL: databaseUrl,
        EVENTSTORE_URL: eventStore.url,
        KAFKA_BOOTSTRAP_SERVERS: kafka.brokers.join(','),
        MQTT_URL: mosquitto.url,
        MQTT_PUBLIC_URL: mosquitto.url,
        ...(composed['MQTT_ADMIN_USERNAME'] === undefined ? {} : { MQTT_ADMIN_PASSWORD: mosquittoServices.provisioner.password }),
        ...(composed['MQTT_USERNAME'] === undefined
          ? {}
          : { MQTT_PASSWORD: mosquittoServices.uplink.password, MQTT_DOWNLINK_PASSWORD: mosquittoServices.downlink.password }),
        // librdkafka's test cluster answers a fetch, and lets a member into a known group, only when these have passed.
        KAFKA_FETCH_WAIT_MS: '10',
        KAFKA_SESSION_SECONDS: '6',
        LOG_LEVEL: 'WARN',
      };
    };
    // All at once on empty engines, as far as docker-compose.yml lets them.
    await Promise.all((['projector', 'worker', 'bridge-1', 'bridge-2'] as const).map(started));
    await started('api');
  }, 180_000);

  afterAll(async () => {
    await Promise.all(boxes.map((box) => box.stop()));
    await Promise.all([...processes.keys()].map(stopped));
    await Promise.all(engines.map((engine) => engine.stop()));
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  it('the bridges run without any key that signs or opens something', () => {
    for (const name of ['bridge-1', 'bridge-2'] as const) {
      expect(Object.keys(settingsOf(name)).filter((env) => /^(DATA_KEY_MASTER|SECRET_KEY|AUDIT_SIGNING_KEY)/.test(env))).toEqual([]);
      expect(existsSync(join(folder, name, 'secrets'))).toBe(false);
    }
    expect(settingsOf('projector')).not.toHaveProperty('SECRET_KEY');
    expect(settingsOf('worker')).not.toHaveProperty('SECRET_KEY');
  });

  it('each is ready and has figures', async () => {
    const { METRICS_TOKEN } = readEnvFile(join(folder, 'deploy/secrets/metrics.env'));
    const headers = { authorization: `Bearer ${METRICS_TOKEN}` };
    for (const [name, { url }] of processes) {
      expect([name, (await fetch(`${url}/health/ready`)).status]).toEqual([name, 200]);
      expect((await fetch(`${url}/metrics`)).status).toBe(401);
      expect(await (await fetch(`${url}/metrics`, { headers })).text()).toContain('loqey_');
    }
    expect((await fetch(`${processes.get('worker')!.url}/api/v1/devices/my-devices`)).status).toBe(404);
  });

  it('one delivery from registration to audit goes through all of them, and through one bridge when the other is stopped', { timeout: 240_000 }, async () => {
    const api = createClient({ baseUrl: processes.get('api')!.url });
    const { steps, box } = await tell(api);
    expect(steps).toBe(14);

    const administrator = await asAdmin(api);
    expect(await stopped('bridge-1')).toBe(0);
    // A box that was there before, and one that comes now.
    const { openings } = box.stats;
    await administrator.ask('emergencyUnlock', { params: { device_id: box.deviceId }, body: { reason: 'a bridge is stopped' } });
    await until('the box opens by the other bridge', () => box.stats.openings === openings + 1, 40_000);
    expect((await tell(api)).steps).toBe(14);
  });

  it('each stops when it is told to', async () => {
    const names = [...processes.keys()];
    expect(await Promise.all(names.map(async (name) => [name, await stopped(name)]))).toEqual(names.map((name) => [name, 0]));
  }, 60_000);
});
