import { commandFilters, uplinkFilters } from '../../../src/bridge/topics.ts';
import { createClientBroker } from '../../../src/platform/mqtt/client.ts';
import { createDynamicSecurity } from '../../../src/platform/mqtt/dynamic-security.ts';
import { mqttContract } from '../../contract/mqtt.ts';
import { credentialOf } from '../../support/mqtt-device.ts';
import { describeWithServer } from '../../support/optional-server.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto } from '../../support/servers-mosquitto.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

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
});
