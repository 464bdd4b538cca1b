/**
 * Writes Mosquitto's first dynamic security file, or renews the services' identities in one that exists (devices stay).
 * Mosquitto must not run meanwhile: it writes the file itself.
 *
 *   MQTT_UPLINK_PASSWORD=… MQTT_DOWNLINK_PASSWORD=… MQTT_PROVISIONER_PASSWORD=… [MQTT_MONITOR_PASSWORD=…] \
 *     node deploy/mosquitto/bootstrap.ts /mosquitto/data/dynamic-security.json
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import { bootstrapMosquitto } from '../../src/platform/mqtt/dynamic-security.ts';

function password(name: string): string {
  const value = process.env[name];
  if (value === undefined || value.length < 16) fail(`Set ${name} to a password of at least 16 characters.`);
  return value;
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

const path = process.argv[2] ?? fail('Say where the file goes: node deploy/mosquitto/bootstrap.ts <path>');
const existing = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
const text = bootstrapMosquitto(
  {
    uplink: { username: 'bridge-uplink', password: password('MQTT_UPLINK_PASSWORD') },
    downlink: { username: 'bridge-downlink', password: password('MQTT_DOWNLINK_PASSWORD') },
    provisioner: { username: 'provisioner', password: password('MQTT_PROVISIONER_PASSWORD') },
    ...(process.env['MQTT_MONITOR_PASSWORD'] === undefined ? {} : { monitor: { username: 'monitor', password: password('MQTT_MONITOR_PASSWORD') } }),
    uplinkFilters,
    downlinkTopics: commandFilters,
  },
  existing,
);
// Whole or not at all: half a file would let nobody in.
writeFileSync(`${path}.new`, text, { mode: 0o600 });
renameSync(`${path}.new`, path);
process.stdout.write(`${existing === undefined ? 'Written' : 'Services renewed in'} ${path}\n`);
