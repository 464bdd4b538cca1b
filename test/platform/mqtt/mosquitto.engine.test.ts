import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { commandFilters, uplinkFilters } from '../../../src/bridge/topics.ts';
import { createClientBroker } from '../../../src/platform/mqtt/client.ts';
import { bootstrapMosquitto, createDynamicSecurity, type DynamicSecurity } from '../../../src/platform/mqtt/dynamic-security.ts';
import type { UplinkMessage } from '../../../src/platform/mqtt/port.ts';
import { mqttContract } from '../../contract/mqtt.ts';
import { connectDevice, credentialOf, testDevice } from '../../support/mqtt-device.ts';
import { describeWithServer } from '../../support/optional-server.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto, type MosquittoServer } from '../../support/servers-mosquitto.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';

describeWithServer('mosquitto', mosquittoMissing(), 'Mosquitto', () => {
  for (const [name, filters] of [
    ['Mosquitto', uplinkFilters],
    ['Mosquitto with shared subscriptions', uplinkFilters.map((filter) => `$share/bridge/${filter}`)],
  ] as const) {
    mqttContract(name, async (handler) => {
      const server = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters });
      const bridgePath = await startTcpProxy({ host: '127.0.0.1', port: server.port });
      const credentials = createDynamicSecurity({ url: server.url, login: { clientId: 'provisioner', ...mosquittoServices.provisioner } });
      const broker = createClientBroker({
        url: `mqtt://127.0.0.1:${bridgePath.port}`,
        uplink: { clientId: 'bridge-1-uplink', ...mosquittoServices.uplink },
        downlink: { clientId: 'bridge-1-downlink', ...mosquittoServices.downlink },
        filters,
        credentials,
      });
      broker.uplink.onMessage(handler);
      await credentials.start();
      await broker.start();
      return {
        broker,
        port: server.port,
        register: (device, ...passwords) => broker.credentials.provision(credentialOf(device, ...passwords), passwords.length === 0 ? [device.password] : passwords),
        revoke: (device) => broker.credentials.revoke(device.id),
        down: server.kill,
        up: server.start,
        bridgePath,
        async stop() {
          await broker.stop();
          await credentials.stop();
          await bridgePath.close();
          await server.stop();
        },
      };
    });
  }

  describe('identities', () => {
    let server: MosquittoServer;
    let provisioner: DynamicSecurity;
    const open: MqttClient[] = [];

    beforeAll(async () => {
      server = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters });
      provisioner = createDynamicSecurity({ url: server.url, login: { clientId: 'provisioner', ...mosquittoServices.provisioner } });
      await provisioner.start();
    });
    afterEach(() => {
      for (const client of open.splice(0)) client.end(true);
    });
    afterAll(async () => {
      await provisioner.stop();
      await server.stop();
    });

    async function as(login: IClientOptions): Promise<MqttClient> {
      const client = mqtt.connect(server.url, { protocolVersion: 5, reconnectPeriod: 0, ...login });
      client.on('error', () => undefined);
      await new Promise<void>((resolve, reject) => {
        client.once('connect', () => resolve());
        client.once('close', () => reject(new Error('refused')));
      });
      open.push(client);
      return client;
    }

    const subscribed = (client: MqttClient, filter: string) =>
      new Promise<boolean>((resolve) => client.subscribe(filter, { qos: 1 }, (error) => resolve(error === null)));
    /** MQTT 5 says so when a publication was not allowed. */
    const published = (client: MqttClient, topic: string) =>
      new Promise<boolean>((resolve) => client.publish(topic, 'x', { qos: 1 }, (error) => resolve(!(error instanceof Error))));

    it('each may do its part of device-protocol §2, and nothing else', async () => {
      const box = testDevice();
      const everything = [...uplinkFilters, ...uplinkFilters.map((filter) => `$share/bridge/${filter}`), box.unlock, '#', '$SYS/#', '$CONTROL/#', '$CONTROL/dynamic-security/v1/response'];
      const topics = [box.status, box.unlock, `loqey/devices/${box.id}/commands/config`, `loqey/devices/ABC-1/command`, 'smartlock/x/command', 'smartlock/x/ota', '/topic/transisttag/command', '/topic/transisttag/status', '$CONTROL/dynamic-security/v1'];
      const allowed = async (login: IClientOptions) => {
        const client = await as(login);
        const subscriptions: string[] = [];
        for (const filter of everything) if (await subscribed(client, filter)) subscriptions.push(filter);
        const publications: string[] = [];
        for (const topic of topics) if (await published(client, topic)) publications.push(topic);
        return { subscriptions, publications };
      };
      const { uplink, downlink, provisioner: admin, monitor } = mosquittoServices;
      expect(await allowed(uplink)).toEqual({ subscriptions: everything.slice(0, 2 * uplinkFilters.length), publications: [] });
      expect(await allowed(downlink)).toEqual({ subscriptions: [], publications: topics.filter((topic) => /\/command(s|$)/.test(topic)) });
      expect(await allowed(admin)).toEqual({ subscriptions: ['$CONTROL/dynamic-security/v1/response'], publications: ['$CONTROL/dynamic-security/v1'] });
      expect(await allowed(monitor)).toEqual({ subscriptions: ['$SYS/#'], publications: [] });
      await expect(as({})).rejects.toThrow('refused');
    });

    it('keeps devices over a new bootstrap, and changes the services', async () => {
      const services = { ...mosquittoServices, uplinkFilters, downlinkTopics: commandFilters };
      const before = JSON.parse(bootstrapMosquitto(services)) as { clients: { username: string }[]; roles: { rolename: string }[] };
      before.clients.push({ username: 'a-device' });
      before.roles.push({ rolename: 'a-device' });
      const after = JSON.parse(bootstrapMosquitto({ ...services, uplink: { username: 'bridge-uplink', password: 'another password' } }, JSON.stringify(before))) as typeof before;
      expect(after.clients.map(({ username }) => username)).toEqual(before.clients.map(({ username }) => username));
      expect(after.roles).toEqual(before.roles);
      expect(after.clients[0]).not.toEqual(before.clients[0]);
      expect(JSON.stringify(after)).not.toContain('another password');
    });

    it('shares the reports between two bridges, and lets one take all when the other stops', async () => {
      const bridge = async (name: string) => {
        const got: UplinkMessage[] = [];
        const broker = createClientBroker({
          url: server.url,
          uplink: { clientId: `${name}-uplink`, ...mosquittoServices.uplink },
          downlink: { clientId: `${name}-downlink`, ...mosquittoServices.downlink },
          filters: uplinkFilters.map((filter) => `$share/bridge/${filter}`),
        });
        broker.uplink.onMessage(async (message) => void got.push(message));
        await broker.start();
        return { broker, got };
      };
      const [one, two] = await Promise.all([bridge('one'), bridge('two')]);
      const box = testDevice();
      await provisioner.provision(credentialOf(box), [box.password]);
      const device = await connectDevice(server.port, box);
      open.push(device.client);
      for (let n = 0; n < 10; n++) await device.publish(box.status, `report ${n}`);
      await until('each came once', () => one.got.length + two.got.length === 10);
      expect(one.got.length).toBeGreaterThan(0);
      expect(two.got.length).toBeGreaterThan(0);
      await one.broker.stop();
      two.got.length = 0;
      for (let n = 0; n < 10; n++) await device.publish(box.status, `report ${n}`);
      await until('the second has all', () => two.got.length === 10);
      await two.broker.stop();
    });

    it('says what is wrong when the broker refuses the uplink, and goes on trying', async () => {
      const broker = createClientBroker({
        url: server.url,
        uplink: { clientId: 'three-uplink', ...mosquittoServices.downlink },
        downlink: { clientId: 'three-downlink', ...mosquittoServices.downlink, password: 'wrong' },
        filters: uplinkFilters,
        startTimeoutMs: 500,
      });
      broker.uplink.onMessage(async () => undefined);
      await broker.start();
      expect(broker.health()).toMatchObject({ healthy: false });
      expect(broker.health().detail).toContain('subscription refused: loqey/devices/+/status');
      expect(broker.health().detail).toContain('Not authorized');
      await broker.stop();
    });
  });
});
