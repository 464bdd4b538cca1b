import { request, Agent } from 'node:http';
import { parseArgs } from 'node:util';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { createLockbox } from '../src/simulator/lockbox.ts';
import { table } from '../src/shell/terminal.ts';
import { ms, spread } from './support/figures.ts';
import { measureFloor } from './support/floor.ts';
import { registerBox, registerOwner, signInAdmin } from './support/people.ts';
import { startRealEngines } from './support/real-engines.ts';
import { startBenchServer } from './support/server.ts';

/**
 * From a courier's tap, one at a time. Server in its own process; box and courier in this one, so each hop crosses a
 * process boundary. The box's bolt takes no time: what is measured is the system. Many boxes take turns, because each
 * may send only five messages a second.
 */
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '500' }, warmup: { type: 'string', default: '200' }, boxes: { type: 'string', default: '100' }, pause: { type: 'string', default: '20' }, engines: { type: 'string', default: 'embedded' } } });
const pauseMs = Number(values.pause);
const rounds = Number(values.rounds);
const warmup = Number(values.warmup);

const floor = await measureFloor(rounds, warmup, pauseMs);
const engines = values.engines === 'real' ? await startRealEngines() : undefined;
const server = await startBenchServer(engines === undefined ? {} : { environ: engines.environ });
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const admin = await signInAdmin(server.url, server.admin);
const owner = await registerOwner(server.url);
const boxes = [];
for (let index = 0; index < Number(values.boxes); index++) {
  const bench = await registerBox(admin);
  const box = createLockbox({ provisioning: bench.provisioning, firstConnectWithinMs: 0, boltMs: 0 });
  await box.start();
  await box.ready();
  await owner.api.post('/devices/assign', { serial_number: bench.serialNumber, pin: bench.pin });
  const { link_id: token } = await owner.api.post<{ link_id: string }>('/access/create-link', { device_id: bench.deviceId, max_uses: 1_000 });
  boxes.push({ box, token });
}

const toDevice: number[] = [];
const toAnswer: number[] = [];
const toReadable: number[] = [];
const toSocket: number[] = [];

let commandAt = 0;
let confirmedAt = 0;
let onConfirmed: (() => void) | undefined;
const sockets: WebSocket[] = [];
for (const { box, token } of boxes) {
  box.on((event) => {
    if (event.type === 'command' && event.action === 'unlock') commandAt = performance.now();
  });
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/delivery/${token}`);
  socket.on('message', (data) => {
    const message = JSON.parse((data as Buffer).toString()) as { type: string };
    if (message.type !== 'unlock_confirmation') return;
    confirmedAt = performance.now();
    onConfirmed?.();
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  sockets.push(socket);
}

function call(method: string, path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const req = request(`${server.url}${path}`, { method, agent, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown> }));
    });
    req.setNoDelay(true);
    req.on('error', reject);
    req.end();
  });
}

const deadline = setTimeout(() => {
  process.stderr.write('✖ The rounds took longer than two minutes: something waits for ever.\n');
  process.exit(1);
}, 120_000);
deadline.unref();

for (let round = 0; round < rounds + warmup; round++) {
  const socketTold = new Promise<void>((resolve) => {
    onConfirmed = resolve;
  });
  // One at a time: what the last opening leaves to do (acknowledgement, lock state, read models) is done by then.
  await pause(pauseMs);
  const { token } = boxes[round % boxes.length]!;
  const since = performance.now();
  const answer = await call('POST', `/api/v1/delivery/link/${token}/unlock`, { 'idempotency-key': randomUUID() });
  const answeredAt = performance.now();
  if (answer.status !== 200) throw new Error(`Round ${round}: ${answer.status} ${JSON.stringify(answer.body)}`);
  // Readable: the delivery can be asked for and says that it is complete.
  for (;;) {
    const read = await call('GET', `/api/v1/deliveries/${answer.body['command_id'] as string}`, { authorization: `Bearer ${owner.token}` });
    if (read.status === 200 && read.body['status'] === 'opened') break;
    if (performance.now() - since > 5_000) throw new Error(`Round ${round}: not readable after 5 s: ${JSON.stringify(read)}`);
  }
  const readableAt = performance.now();
  await socketTold;
  if (round < warmup) continue;
  toDevice.push(commandAt - since);
  toAnswer.push(answeredAt - since);
  toReadable.push(readableAt - since);
  toSocket.push(confirmedAt - since);
}

const both = toReadable.map((value, index) => Math.max(value, toSocket[index] ?? 0));
const least = spread(floor).p50;
const row = (what: string, samples: readonly number[], limit: string) => {
  const { p50, p99 } = spread(samples);
  return [what, ms(p50), ms(p99), (p50 / least).toFixed(1), limit];
};
process.stdout.write(
  `${table(
    ['from the tap', 'p50', 'p99', 'p50 in floors', 'must be at most'],
    [
      row('floor: HTTP, one insert, one MQTT message, nothing else', floor, ''),
      row('device has the signed command', toDevice, engines === undefined ? 'p50 1.5 ms, p99 6 ms (floor 0.4 ms: 3.75 floors)' : ''),
      row('courier has the answer (bolt confirmed)', toAnswer, ''),
      row('and readable by GET', toReadable, ''),
      row('and sent on the WebSocket', toSocket, ''),
      row('all of these', both, engines === undefined ? 'p50 4 ms, p99 15 ms (10 floors)' : 'p50 15 ms, p99 50 ms (37 floors)'),
    ],
  )}\n${rounds} rounds after ${warmup} to warm up, ${pauseMs} ms apart, ${engines === undefined ? 'embedded engines' : 'EventStoreDB, Kafka protocol, Mosquitto'}\n`,
);
for (const socket of sockets) socket.terminate();
await Promise.all(boxes.map(({ box }) => box.stop()));
agent.destroy();
await server.stop();
await engines?.stop();
process.exit();
