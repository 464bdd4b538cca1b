import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { silentLogger } from '../../src/platform/logger.ts';
import { createEmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';

/**
 * The least that a tap can cost here: HTTP, one durable insert, one MQTT message. No events, no rules, no signature, no
 * read model. What the system takes is read against it. Started by `bench/unlock.ts` in a process of its own.
 */
const [dataDir = '', password = ''] = process.argv.slice(2);
const postgres = createEmbeddedPostgres({ dataDir, logger: silentLogger });
const client = new pg.Client({ connectionString: await postgres.start() });
await client.connect();
await client.query('CREATE TABLE tap (id bigserial PRIMARY KEY, body json)');

const deviceId = '11111111-1111-4111-8111-111111111111';
const topic = 'floor/down';
const broker = createEmbeddedBroker({
  host: '127.0.0.1',
  port: 0,
  authenticate: async (username) => ({
    deviceId: username,
    username,
    clientId: `device_${username}`,
    passwordHashes: [createHash('sha256').update(password).digest('hex')],
    publishTopics: [],
    subscribeTopics: [topic],
  }),
});
broker.uplink.onMessage(async () => undefined);
await broker.start();

const payload = Buffer.alloc(554, 'x');
const server = createServer((req, res) => {
  req.resume();
  client
    .query({ name: 'tap', text: 'INSERT INTO tap (body) VALUES ($1)', values: ['{"tap":true}'] })
    .then(() => broker.downlink.publish(topic, payload, { qos: 1, ttlMs: 5_000 }))
    .then(() => res.end('{}'), (error: unknown) => res.destroy(error as Error));
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ http: `http://127.0.0.1:${port}`, mqtt: `mqtt://127.0.0.1:${broker.address().port}`, deviceId, topic })}\n`);
});
process.on('SIGTERM', () => {
  void (async () => {
    server.closeAllConnections();
    await broker.stop();
    await client.end();
    await postgres.stop();
    process.exit();
  })();
});
