import { createHash } from 'node:crypto';
import mqtt from 'mqtt';
import { createHttpAdapter } from '../../src/bridge/http-adapter.ts';
import { createMailbox } from '../../src/bridge/mailbox.ts';
import type { CommandAction } from '../../src/bridge/protocol/commands.ts';
import { mqttPassword, type DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { decodeUp } from '../../src/bridge/relay-messages.ts';
import { commandFilters, downTopics, topicFor, uplinkFilters, upTopics, type TopicOwner } from '../../src/bridge/topics.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createClientBroker } from '../../src/platform/mqtt/client.ts';
import { createDynamicSecurity } from '../../src/platform/mqtt/dynamic-security.ts';
import { createEmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import type { DeviceBroker, DeviceCredential } from '../../src/platform/mqtt/port.ts';
import { createNotifications } from '../../src/platform/postgres/notifications.ts';
import { createInProcessRelay } from '../../src/platform/relay/in-process.ts';
import { httpConnector } from '../../src/simulator/http-connector.ts';
import { mqttConnector } from '../../src/simulator/mqtt-connector.ts';
import { startApi } from './api.ts';
import { freePort } from './free-port.ts';
import { mosquittoServices, startMosquitto } from './servers-mosquitto.ts';
import type { TestPostgres } from './servers.ts';
import { until } from './until.ts';
import type { MakeWire, Wire } from './wire-rig.ts';

const ownerOf = (deviceId: string): TopicOwner => ({ profile: 'loqey', deviceId, serialNumber: 'UNUSED' });

function credentialOf(deviceId: string, keys: readonly DeviceKeys[], deaf: boolean): DeviceCredential {
  const topics = downTopics(ownerOf(deviceId));
  return {
    deviceId,
    username: deviceId,
    clientId: `device_${deviceId}`,
    passwordHashes: keys.map((each) => createHash('sha256').update(mqttPassword(each)).digest('hex')),
    publishTopics: upTopics(ownerOf(deviceId)),
    subscribeTopics: deaf ? topics.slice(1) : topics,
  };
}

/** QoS 1 throughout: what a test sends must arrive, or the test would wait for it. */
async function publish({ downlink }: DeviceBroker, deviceId: string, action: CommandAction, payload: Buffer): Promise<boolean> {
  const { delivered } = await downlink.publish(topicFor(ownerOf(deviceId), action), payload, { qos: 1, ttlMs: 20_000 }).catch(() => ({ delivered: false }));
  return delivered === true;
}

const actions: ReadonlySet<string> = new Set(['unlock', 'config', 'time', 'ack', 'report', 'rotate_key']);
const known = (action: CommandAction): CommandAction => (actions.has(action) ? action : 'unlock');

export const embeddedWire: MakeWire = async () => {
  const vault = new Map<string, DeviceCredential>();
  const port = await freePort();
  const broker = createEmbeddedBroker({ host: '127.0.0.1', port, authenticate: async (username) => vault.get(username), limits: { messagesPerSecond: Infinity } });
  let take: Parameters<Wire['onReport']>[0] | undefined;
  broker.uplink.onMessage(async ({ topic, payload, retain }) => {
    await take?.(topic, payload, retain);
  });
  await broker.start();
  return {
    connector: (request, handlers) => mqttConnector({ ...request, url: `mqtt://127.0.0.1:${port}` }, handlers),
    async register(deviceId, keys, { deaf = false } = {}) {
      const credential = credentialOf(deviceId, keys, deaf);
      vault.set(deviceId, credential);
      await broker.credentials.provision(credential, keys.map(mqttPassword));
    },
    send: (deviceId, action, payload) => publish(broker, deviceId, known(action), payload),
    ready: async () => undefined,
    onReport: (handler) => void (take = handler),
    broker: {
      knowsTwoKeys: true,
      // Its port has no way to say "retained": nothing to try.
      retain: async () => undefined,
      down: () => broker.stop(),
      up: () => broker.start(),
    },
    stop: () => broker.stop(),
  };
};

export const mosquittoWire: MakeWire = async () => {
  const server = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters });
  const credentials = createDynamicSecurity({ url: server.url, login: { clientId: 'provisioner', ...mosquittoServices.provisioner } });
  const broker = createClientBroker({
    url: server.url,
    uplink: { clientId: 'bridge-uplink', ...mosquittoServices.uplink },
    downlink: { clientId: 'bridge-downlink', ...mosquittoServices.downlink },
    filters: uplinkFilters,
    credentials,
  });
  let take: Parameters<Wire['onReport']>[0] | undefined;
  broker.uplink.onMessage(async ({ topic, payload, retain }) => {
    await take?.(topic, payload, retain);
  });
  await credentials.start();
  await broker.start();
  return {
    connector: (request, handlers) => mqttConnector({ ...request, url: server.url }, handlers),
    register: (deviceId, keys, { deaf = false } = {}) => credentials.provision(credentialOf(deviceId, keys, deaf), keys.map(mqttPassword)),
    send: (deviceId, action, payload) => publish(broker, deviceId, known(action), payload),
    ready: async () => void (await until('the bridge is connected', () => broker.health().healthy, 30_000)),
    onReport: (handler) => void (take = handler),
    broker: {
      knowsTwoKeys: false,
      async retain(deviceId, payload) {
        const client = mqtt.connect(server.url, { ...mosquittoServices.downlink, clientId: 'retainer', protocolVersion: 4, reconnectPeriod: 0 });
        client.on('error', () => undefined);
        await new Promise<void>((resolve) => {
          client.once('close', () => resolve());
          client.publish(topicFor(ownerOf(deviceId), 'unlock'), payload, { qos: 1, retain: true }, () => resolve());
        });
        client.end(true);
      },
      down: () => server.kill!(),
      up: () => server.start!(),
    },
    async stop() {
      await broker.stop();
      await credentials.stop();
      await server.stop();
    },
  };
};

/** The API's own routes, adapter and mailbox; behind the relay the test is the server. */
export function httpWire(postgres: TestPostgres, url: string): MakeWire {
  return async (time) => {
    const clock = { now: () => time.now(), monotonic: () => performance.now() };
    const [logger, metrics] = [silentLogger, new Metrics()];
    const db = postgres.connect(url);
    const notifications = createNotifications({ url, applicationName: 'loqey-test-wire', logger });
    const mailbox = createMailbox({ db, notifications, clock });
    const relay = createInProcessRelay({ logger, metrics });
    const rings = new Map<string, readonly DeviceKeys[]>();
    let take: Parameters<Wire['onReport']>[0] | undefined;
    const reports = relay.consume({
      topic: 'device-reports',
      group: 'test',
      async handle(batch) {
        for (const message of batch) {
          const report = decodeUp(message);
          if (report?.kind === 'report') await take?.(report.topic, report.payload, false);
        }
      },
    });
    const devices = createHttpAdapter({
      relay,
      mailbox,
      live: { byId: async (deviceId: string) => ({ deviceId, profile: 'loqey', topicKey: deviceId, level: 1, downlink: true, facts: {} }) } as never,
      keyring: {
        async of(deviceId) {
          const [current, pending] = rings.get(deviceId) ?? [];
          return current === undefined ? undefined : { current, pending };
        },
        ofMany: async () => new Map(),
      },
      credentials: { credential: async (deviceId) => (rings.has(deviceId) ? credentialOf(deviceId, [], false) : undefined) },
      clock,
      logger,
      metrics,
      rate: { perSecond: Infinity, burst: 1 },
    });
    await notifications.start();
    await relay.start();
    await reports.start();
    await devices.start();
    const api = await startApi({ devices });
    return {
      connector: httpConnector({ api: api.url, waitSeconds: 5 }),
      register: async (deviceId, keys) => void rings.set(deviceId, keys),
      // Into the mailbox at once: what the adapter itself would not put there is what some checks are about. Kept for longer than
      // any of them lasts: hours of the box's time go by in seconds of this machine's.
      async send(deviceId, action, payload) {
        await mailbox.put({ deviceId, commandId: newId(), action: known(action), via: 'http', topic: '', payload, qos: 0, expiresAt: time.now() + 86_400_000, level: 1 });
        return true;
      },
      ready: async () => undefined,
      onReport: (handler) => void (take = handler),
      broker: undefined,
      againAfterMs: 5_000,
      async stop() {
        devices.endPolls();
        await api.stop();
        await devices.stop();
        await reports.stop();
        await relay.stop();
        await notifications.stop();
        await db.stop();
      },
    };
  };
}
