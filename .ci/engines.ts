import { chromiumMissing } from '../test/support/servers-chromium.ts';
import { kafkaMissing, mosquittoMissing } from '../test/support/servers.ts';
import { eventStoreDbMissing } from '../test/support/servers-eventstoredb.ts';

/** Which servers this machine has for the tests, by name; for .ci/run. */
const engines = { 'EventStoreDB': eventStoreDbMissing(), 'Kafka protocol': kafkaMissing(), 'Mosquitto': mosquittoMissing(), 'Chromium': chromiumMissing() };
for (const [name, missing] of Object.entries(engines)) {
  process.stdout.write(`${name}: ${missing === undefined ? 'tested' : `skipped, ${missing}`}\n`);
}
