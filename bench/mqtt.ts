/**
 * The embedded broker by itself: QoS 1 publications per second that a batching handler took, and how long a command
 * needs from `downlink.publish` to the box. Run: `npx node bench/mqtt.ts [--clients 2500] [--seconds 8]`.
 * The clients are a second process, which shares the machine's cores with the broker.
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generate } from 'mqtt-packet';
import { createEmbeddedBroker } from '../src/platform/mqtt/embedded-broker.ts';
import type { DeviceCredential } from '../src/platform/mqtt/port.ts';
import { createInProcessRelay } from '../src/platform/relay/in-process.ts';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '2500' },
    seconds: { type: 'string', default: '8' },
    role: { type: 'string', default: 'broker' },
    port: { type: 'string', default: '0' },
  },
});
const clients = Number(values.clients);
const seconds = Number(values.seconds);
const PAYLOAD = Buffer.alloc(600, 'x');
const IN_FLIGHT = 4; // device protocol, section 3
const BATCH_MS = 5; // a transaction of the handler

function deviceId(index: number): string {
  return `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

function credentialOf(id: string): DeviceCredential {
  return {
    deviceId: id,
    username: id,
    clientId: `device_${id}`,
    passwordHashes: [createHash('sha256').update(`password of ${id}`).digest('hex')],
    publishTopics: [`loqey/devices/${id}/status`],
    subscribeTopics: [`loqey/devices/${id}/commands/unlock`],
  };
}

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function opened(port: number, id: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.write(
    generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: `device_${id}`, keepalive: 60, username: id, password: Buffer.from(`password of ${id}`) }),
  );
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', (connack: Buffer) => (connack[3] === 0 ? resolve(socket) : reject(new Error(`CONNACK ${connack[3]}`))));
  });
}

/** The second process: every client keeps IN_FLIGHT publications unacknowledged, and counts what is acknowledged. */
async function runClients(port: number): Promise<void> {
  let acknowledged = 0;
  const sockets: Socket[] = [];
  for (let index = 0; index < clients; index += 100) {
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(100, clients - index) }, (_, n) => opened(port, deviceId(index + n))))));
  }
  process.send?.({ connected: sockets.length });
  for (const [index, socket] of sockets.entries()) {
    const packet = generate({ cmd: 'publish', topic: `loqey/devices/${deviceId(index)}/status`, payload: PAYLOAD, qos: 1, retain: false, dup: false, messageId: 1 });
    socket.on('data', (chunk: Buffer) => {
      const count = chunk.length / 4; // a PUBACK has four bytes
      acknowledged += count;
      for (let n = 0; n < count; n++) socket.write(packet);
    });
    for (let n = 0; n < IN_FLIGHT; n++) socket.write(packet);
  }
  setInterval(() => process.send?.({ acknowledged }), 250);
}

async function main(): Promise<void> {
  const relay = createInProcessRelay({ maxQueued: clients * IN_FLIGHT + 1_000 });
  const batches: number[] = [];
  let handled = 0;
  const consumer = relay.consume({
    topic: 'device-reports',
    group: 'bench',
    maxBatch: 2_000,
    handle: async (batch) => {
      batches.push(batch.length);
      await delay(BATCH_MS);
      handled += batch.length;
    },
  });
  const broker = createEmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    authenticate: async (username) => credentialOf(username),
    limits: { messagesPerSecond: Infinity },
  });
  broker.uplink.onMessage((message) => relay.publish('device-reports', [{ key: message.topic, value: message.payload, headers: {} }]));
  await relay.start();
  await consumer.start();
  await broker.start();
  const { port } = broker.address();

  // Downlink first, on a quiet broker.
  const id = deviceId(0);
  const box = await opened(port, id);
  const topic = `loqey/devices/${id}/commands/unlock`;
  box.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] }));
  await new Promise((resolve) => box.once('data', resolve));
  const latencies: number[] = [];
  for (let n = 0; n < 3_000; n++) {
    const arrived = new Promise((resolve) => box.once('data', resolve));
    const begun = performance.now();
    await broker.downlink.publish(topic, PAYLOAD, { qos: 1, ttlMs: 5_000 });
    await arrived;
    latencies.push(performance.now() - begun);
  }
  box.destroy();
  const sorted = latencies.slice(500).sort((a, b) => a - b);

  const child = fork(import.meta.filename, ['--role', 'clients', '--port', String(port), '--clients', String(clients)]);
  const connectBegun = performance.now();
  let acknowledged = 0;
  const connected = new Promise<number>((resolve) => {
    child.on('message', (message: { connected?: number; acknowledged?: number }) => {
      if (message.connected !== undefined) resolve(performance.now() - connectBegun);
      if (message.acknowledged !== undefined) acknowledged = message.acknowledged;
    });
  });
  const connectMs = await connected;
  await delay(1_500); // warm
  const before = { acknowledged, handled };
  const begun = performance.now();
  const cpu = process.cpuUsage();
  await delay(seconds * 1_000);
  const elapsed = (performance.now() - begun) / 1_000;
  const rate = (acknowledged - before.acknowledged) / elapsed;
  const handledRate = (handled - before.handled) / elapsed;
  const used = process.cpuUsage(cpu);
  child.kill('SIGKILL');
  await broker.stop();
  await consumer.stop();
  await relay.stop();
  const recent = batches.slice(Math.floor(batches.length / 2));
  console.table({
    'QoS 1 publications acknowledged per second': { measured: Math.round(rate), limit: '≥ 10,000' },
    'of these handled per second (the broker\'s own count)': { measured: Math.round(handledRate), limit: '' },
    'broker process, cores used': { measured: ((used.user + used.system) / 1e6 / seconds).toFixed(2), limit: '' },
    'messages per batch': { measured: Math.round(recent.reduce((sum, size) => sum + size, 0) / recent.length), limit: '' },
    [`${clients} clients connected, ms`]: { measured: Math.round(connectMs), limit: '' },
    'publish in process → box, p50 ms': { measured: percentile(sorted, 0.5).toFixed(3), limit: '< 0.5' },
    'publish in process → box, p99 ms': { measured: percentile(sorted, 0.99).toFixed(3), limit: '' },
  });
}

if (values.role === 'clients') await runClients(Number(values.port));
else await main();
