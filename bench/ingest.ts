/**
 * Device reports per second that are acknowledged when durable: `npx node bench/ingest.ts [--boxes 2500] [--seconds 8]`.
 * Signed heartbeats at QoS 1, four in flight per box, an embedded PostgreSQL with its ordinary, durable settings. First
 * from the bridge's handler on (uplink → relay → ingest → database), then from the boxes' sockets through the embedded
 * broker; the boxes are a second process, which shares the machine's cores.
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generate } from 'mqtt-packet';
import { migrations } from '../migrations/index.ts';
import { deriveKeys, mqttPassword } from '../src/bridge/protocol/keys.ts';
import { signReport } from '../src/bridge/protocol/signature.ts';
import { connectUplink } from '../src/bridge/uplink.ts';
import { newId } from '../src/platform/ids.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createEmbeddedBroker } from '../src/platform/mqtt/embedded-broker.ts';
import { createDatabase } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { asSystem, startBackend, type Backend } from '../test/support/backend.ts';

const { values } = parseArgs({
  options: {
    boxes: { type: 'string', default: '2500' },
    seconds: { type: 'string', default: '8' },
    only: { type: 'string', default: 'both' },
    role: { type: 'string', default: 'server' },
    port: { type: 'string', default: '0' },
  },
});
const count = Number(values.boxes);
const seconds = Number(values.seconds);
const IN_FLIGHT = 4; // device protocol, section 3
/** Heartbeats made before the clock runs: signing is the boxes' work, not the server's. */
const REPORTS = 40;

interface BenchBox {
  readonly deviceId: string;
  /** 64 hex. */
  readonly master: string;
}

/** A hello and many heartbeats of one box. */
function reportsOf({ deviceId, master }: BenchBox, boot: number): Buffer[] {
  const keys = deriveKeys(Buffer.from(master, 'hex'), deviceId, 1);
  const connectId = randomBytes(8).toString('hex');
  const journal = { journal_id: 'a1b2c3d4e5f60718', last_seq: 0, config_version: 0 };
  const base = (n: number) => ({ v: 1, device_id: deviceId, report_seq: boot * 1_000_000 + n, key_version: 1, connect_id: connectId, time_ok: true, timestamp: new Date().toISOString() });
  const hello = {
    ...base(1), reason: 'hello', status: 'locked', online: true, battery: 85, ...journal, last_executed: [], firmware_version: '1.0.0', protocols: [1], capabilities: ['bolt_sensor'],
  };
  return [
    signReport('status', hello, keys.rpt),
    ...Array.from({ length: REPORTS }, (_, n) =>
      signReport('heartbeat', { ...base(n + 2), online: true, battery: 85, signal_strength: -61, uptime: n, ...journal, rejects: { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 } }, keys.rpt)),
  ];
}

function progress(samples: readonly { readonly at: number; readonly acknowledged: number }[]): number {
  const first = samples.at(0)!;
  const last = samples.at(-1)!;
  return ((last.acknowledged - first.acknowledged) / (last.at - first.at)) * 1_000;
}

/** The second process: each box keeps IN_FLIGHT reports unacknowledged until it has no more. */
async function runBoxes(): Promise<void> {
  const boxes = await new Promise<BenchBox[]>((resolve) => process.once('message', (message) => resolve(message as BenchBox[])));
  let acknowledged = 0;
  const sockets: { socket: Socket; packets: Buffer[] }[] = [];
  for (let from = 0; from < boxes.length; from += 100) {
    sockets.push(...(await Promise.all(boxes.slice(from, from + 100).map(opened))));
  }
  process.send?.({ connected: sockets.length });
  await new Promise((resolve) => process.once('message', resolve));
  for (const { socket, packets } of sockets) {
    let next = 1 + IN_FLIGHT;
    socket.on('data', (chunk: Buffer) => {
      const acks = chunk.length / 4; // a PUBACK has four bytes; nothing else is sent to a box that subscribed to nothing
      acknowledged += acks;
      for (let n = 0; n < acks && next < packets.length; n++) socket.write(packets[next++]!);
    });
    for (let n = 1; n <= IN_FLIGHT; n++) socket.write(packets[n]!);
  }
  setInterval(() => process.send?.({ acknowledged, at: performance.now() }), 100);
}

async function opened(box: BenchBox): Promise<{ socket: Socket; packets: Buffer[] }> {
  const keys = deriveKeys(Buffer.from(box.master, 'hex'), box.deviceId, 1);
  const topic = (kind: string) => `loqey/devices/${box.deviceId}/${kind}`;
  const packets = reportsOf(box, 2).map((payload, n) =>
    generate({ cmd: 'publish', topic: topic(n === 0 ? 'status' : 'heartbeat'), payload, qos: 1, retain: false, dup: false, messageId: n + 1 }));
  const socket = connect({ port: Number(values.port), host: '127.0.0.1', noDelay: true });
  socket.write(generate({
    cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: `device_${box.deviceId}`, keepalive: 60, username: box.deviceId, password: Buffer.from(mqttPassword(keys)),
  }));
  const answer = () => new Promise<Buffer>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', resolve);
  });
  const connack = await answer();
  if (connack[3] !== 0) throw new Error(`CONNACK ${connack[3]}`);
  socket.write(packets[0]!);
  await answer();
  return { socket, packets };
}

interface Row {
  readonly rate: number;
  readonly cores: number;
  readonly batch: number;
}

async function measured(backend: Backend, during: () => Promise<number>): Promise<Row> {
  const before = { batches: await batches(backend), cpu: process.cpuUsage(), at: performance.now() };
  const rate = await during();
  const used = process.cpuUsage(before.cpu);
  const elapsed = performance.now() - before.at;
  const { sum, count: n } = await batches(backend);
  return { rate, cores: (used.user + used.system) / 1_000 / elapsed, batch: (sum - before.batches.sum) / Math.max(1, n - before.batches.count) };
}

/** Reports and batches so far: of the counter of reports, and of the saves. */
let saves = 0;
async function batches(backend: Backend): Promise<{ sum: number; count: number }> {
  return { sum: await backend.metric('loqey_device_reports_total'), count: saves };
}

async function inProcess(backend: Backend, boxes: readonly BenchBox[]): Promise<Row> {
  const made = boxes.map((box) => reportsOf(box, 1));
  await Promise.all(made.map((reports, index) => backend.uplink(`loqey/devices/${boxes[index]!.deviceId}/status`, reports[0]!)));
  let acknowledged = 0;
  return measured(backend, async () => {
    const started = performance.now();
    await Promise.all(
      made.map(async (reports, index) => {
        const topic = `loqey/devices/${boxes[index]!.deviceId}/heartbeat`;
        let next = 1;
        const lane = async () => {
          while (next < reports.length) {
            await backend.uplink(topic, reports[next++]!);
            acknowledged++;
          }
        };
        await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
      }),
    );
    return (acknowledged / (performance.now() - started)) * 1_000;
  });
}

async function throughBroker(backend: Backend, boxes: readonly BenchBox[]): Promise<Row> {
  const broker = createEmbeddedBroker({ host: '127.0.0.1', port: 0, authenticate: (username) => backend.credentials.credential(username), limits: { messagesPerSecond: Infinity } });
  connectUplink(broker.uplink, backend.relay, backend.metrics);
  await broker.start();
  const child = fork(import.meta.filename, ['--role', 'boxes', '--port', String(broker.address().port)]);
  const samples: { at: number; acknowledged: number }[] = [];
  const connected = new Promise<void>((resolve) => {
    child.on('message', (message: { connected?: number; acknowledged?: number; at?: number }) => {
      if (message.connected !== undefined) resolve();
      else samples.push({ at: message.at!, acknowledged: message.acknowledged! });
    });
  });
  child.send(boxes);
  await connected;
  const row = await measured(backend, async () => {
    child.send('go');
    const total = count * REPORTS;
    const deadline = performance.now() + seconds * 1_000;
    while (performance.now() < deadline && (samples.at(-1)?.acknowledged ?? 0) < total * 0.95) await delay(50);
    return progress(samples.filter(({ acknowledged }) => acknowledged > total * 0.1 && acknowledged < total * 0.95));
  });
  child.kill('SIGKILL');
  await broker.stop();
  return row;
}

async function main(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-'));
  chmodSync(dataDir, 0o755);
  const postgres = createEmbeddedPostgres({ dataDir, logger: silentLogger });
  const url = await postgres.start();
  await migrate({ url, migrations, programVersion: '0.0.0-bench', logger: silentLogger });
  const connectTo = (to: string) => createDatabase({ url: to, max: 8, applicationName: 'loqey-bench', logger: silentLogger, metrics: new Metrics() });
  const backend = await startBackend({ connect: connectTo }, { url });
  const { save } = backend.live;
  backend.live.save = (...args) => (saves++, save(...args));
  try {
    const boxes: BenchBox[] = [];
    for (let from = 0; from < count; from += 50) {
      boxes.push(...(await Promise.all(Array.from({ length: Math.min(50, count - from) }, async () => {
        const registered = await backend.registration.register({ serialNumber: `LQ-${newId().slice(-12)}` }, asSystem());
        if (registered.kind === 'refused') throw new Error(registered.refusal.code);
        return { deviceId: registered.deviceId, master: registered.provisioning.device_key };
      }))));
    }
    const table: Record<string, unknown> = {};
    const show = ({ rate, cores, batch }: Row) => ({ 'reports/s': Math.round(rate), limit: '≥ 10,000', 'cores of this process': cores.toFixed(2), 'reports per batch': Math.round(batch) });
    if (values.only !== 'broker') table['from the uplink on'] = show(await inProcess(backend, boxes));
    if (values.only !== 'uplink') table['from the boxes on'] = show(await throughBroker(backend, boxes));
    console.table(table);
  } finally {
    await backend.stop();
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

if (values.role === 'boxes') await runBoxes();
else await main();
