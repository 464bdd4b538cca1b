import { deviceConformance } from '../contract/device-conformance.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { mosquittoMissing } from '../support/servers-mosquitto.ts';
import { mosquittoWire } from '../support/wires.ts';

describeWithServer('mosquitto', process.env['TEST_MQTT_URL'] === undefined ? mosquittoMissing() : 'TEST_MQTT_URL names one that is not ours to stop', 'Mosquitto', () => {
  deviceConformance('Mosquitto', mosquittoWire, { flips: 4_432, rubbish: 20_000 });
});
