import { afterAll, beforeAll, it } from 'vitest';
import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import { deviceConformance } from '../contract/device-conformance.ts';
import { pinnedBoxesAreBelievedByTheirSignatureAlone } from '../contract/pinned-boxes.ts';
import { serverConformance } from '../contract/server-conformance.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto, type MosquittoServer } from '../support/servers-mosquitto.ts';
import { mosquittoWire } from '../support/wires.ts';

const missing = process.env['TEST_MQTT_URL'] === undefined ? mosquittoMissing() : 'TEST_MQTT_URL names one that is not ours to stop';

describeWithServer('mosquitto', missing, 'Mosquitto', () => {
  deviceConformance('Mosquitto', mosquittoWire, { flips: 4_432, rubbish: 20_000 });
  serverConformance('Mosquitto', mosquittoWire);

  let server: MosquittoServer;
  let app: RunningApp;
  beforeAll(async () => {
    server = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters });
    const { uplink, downlink, provisioner } = mosquittoServices;
    app = await startApp({
      mqttUrl: server.url,
      mqttUsername: uplink.username,
      mqttPassword: uplink.password,
      mqttDownlinkUsername: downlink.username,
      mqttDownlinkPassword: downlink.password,
      mqttAdminUsername: provisioner.username,
      mqttAdminPassword: provisioner.password,
    });
  });
  afterAll(async () => {
    await app.stop();
    await server.stop();
  });

  // 29 is part of the contract of every broker: test/contract/mqtt.ts.
  it('30: unsigned messages of a pinned box have no effect and are counted', () => pinnedBoxesAreBelievedByTheirSignatureAlone(app, server.port));
});
