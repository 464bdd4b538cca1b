import { createEmbeddedBroker } from '../../../src/platform/mqtt/embedded-broker.ts';
import type { DeviceCredential } from '../../../src/platform/mqtt/port.ts';
import { mqttContract } from '../../contract/mqtt.ts';
import { credentialOf } from '../../support/mqtt-device.ts';
import { freePort } from '../../support/servers-mosquitto.ts';

mqttContract('embedded broker', async (handler) => {
  const vault = new Map<string, DeviceCredential>();
  const port = await freePort();
  const broker = createEmbeddedBroker({ host: '127.0.0.1', port, authenticate: async (username) => vault.get(username), limits: { messageBurst: 100 } });
  broker.uplink.onMessage(handler);
  await broker.start();
  return {
    broker,
    port,
    async register(device, ...passwords) {
      const credential = credentialOf(device, ...passwords);
      vault.set(device.id, credential);
      await broker.credentials.provision(credential, passwords);
    },
    async revoke(device) {
      vault.delete(device.id);
      await broker.credentials.revoke(device.id);
    },
    down: () => broker.stop(),
    up: () => broker.start(),
    bridgePath: undefined,
    stop: () => broker.stop(),
  };
});
