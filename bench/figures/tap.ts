import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import mqtt from 'mqtt';
import { WebSocket } from 'ws';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { createClient } from '../../test/support/api-client.ts';
import type { Bench, Limits, Rig } from '../support/bench.ts';
import type { OwnedBox } from '../support/cast.ts';
import { interleave, reading, type Figure, type Lane, type Pace, type Point, type Reading } from '../support/figure.ts';

/**
 * From a courier's tap, one at a time. Server in its own process; box and courier in this one, so each hop crosses a process
 * boundary. The box's bolt takes no time: what is measured is the system. The boxes take turns.
 */
export const tap: Figure = {
  name: 'tap',
  about: 'From a courier’s tap to the box, to the answer, to what can be read and heard of it; beside HTTP, one append and the messages alone.',
  beyond: 'Three appends instead of one (accepted and claimed together, published and acknowledged, confirmed), rules decided on the box’s history, two signatures made and three checked, a report stored, rows of the read models in a transaction of their own, and a notification that the answer waits for.',
  engines: ['embedded', 'real'],
  run: async (bench) => measureTap(bench, await bench.rig(), bench.size.pace),
};

const BOXES = 10;
/** What the last opening leaves to do (acknowledgement, lock state, read models) is done by then. */
const PAUSE_MS = 20;
const LOST_MS = 10_000;

export async function measureTap(bench: Bench, rig: Rig, pace: Pace, at?: Point): Promise<readonly Reading[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const couriers = await openCouriers(rig, agent);
  const least = await openLimit(rig.limits, agent);
  try {
    const taken = await interleave([least.lane, couriers.lane], pace);
    await bench.profiled('tap', rig, couriers.lane);
    const line = (what: string, of: string, limit: 'device' | 'answer') =>
      reading(taken, {
        figure: 'tap',
        what,
        unit: 'ms',
        of: `tap.${of}`,
        limit: { what: limit === 'device' ? 'HTTP, one append, a message to the box' : 'the same, and a message back', of: `limit.${limit}` },
        ...(at === undefined ? {} : { at }),
      });
    return [
      line('tap → box has the signed command', 'device', 'device'),
      line('tap → courier has the answer, bolt confirmed', 'answer', 'answer'),
      line('tap → delivery can be read', 'readable', 'answer'),
      line('tap → heard on the WebSocket', 'socket', 'answer'),
      line('tap → all of these', 'all', 'answer'),
    ];
  } finally {
    await Promise.all([couriers.close(), least.close()]);
    agent.destroy();
  }
}

interface Taps {
  readonly lane: Lane;
  close(): Promise<void>;
}

async function openCouriers(rig: Rig, agent: Agent): Promise<Taps> {
  const { server, cast } = rig;
  const tokens = await rig.tokens();
  let commandAt = 0;
  let confirmedAt = 0;
  let onConfirmed: (() => void) | undefined;

  const one = async ({ deviceId, owner, provisioning }: OwnedBox) => {
    const box: Lockbox = createLockbox({
      provisioning: { ...provisioning, mqtt: { ...provisioning.mqtt, url: `mqtt://127.0.0.1:${server.mqttPort}` } },
      firstConnectWithinMs: 0,
      boltMs: 0,
      rate: { perSecond: Infinity, burst: Infinity },
    });
    await box.start();
    await box.ready();
    const token = tokens[owner]!;
    const { link_id: link } = await createClient(server.url).as(token).post<{ link_id: string }>('/access/create-link', { device_id: deviceId, max_uses: 1_000 });
    await untilReadable(agent, `${server.url}/api/v1/delivery/link/${link}/info`);
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/delivery/${link}`);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    socket.on('message', (data) => {
      const message = JSON.parse((data as Buffer).toString()) as { type: string };
      if (message.type !== 'unlock_confirmation') return;
      confirmedAt = performance.now();
      onConfirmed?.();
    });
    box.on((event) => {
      if (event.type === 'command' && event.action === 'unlock') commandAt = performance.now();
    });
    return { box, link, token, socket };
  };
  const boxes = await Promise.all(cast.boxes.slice(0, BOXES).map(one));

  let turn = 0;
  async function round() {
    const { link, token } = boxes[turn++ % boxes.length]!;
    const told = new Promise<void>((resolve) => (onConfirmed = resolve));
    const since = performance.now();
    const answer = await call(agent, 'POST', `${server.url}/api/v1/delivery/link/${link}/unlock`, { 'idempotency-key': randomUUID() });
    const answeredAt = performance.now();
    if (answer.status !== 200) throw new Error(`A tap was answered with ${answer.status} ${JSON.stringify(answer.body)}`);
    // Readable: the delivery can be asked for and says that it is complete.
    for (;;) {
      const read = await call(agent, 'GET', `${server.url}/api/v1/deliveries/${answer.body['command_id'] as string}`, { authorization: `Bearer ${token}` });
      if (read.status === 200 && read.body['status'] === 'opened') break;
      if (performance.now() - since > LOST_MS) throw new Error(`Not readable after ${LOST_MS} ms: ${JSON.stringify(read)}`);
    }
    const readableAt = performance.now();
    await within(told, 'Not heard on the WebSocket');
    return { device: commandAt - since, answer: answeredAt - since, readable: readableAt - since, socket: confirmedAt - since, all: Math.max(readableAt, confirmedAt) - since };
  }
  return {
    lane: { name: 'tap', slice: (ms) => sampled(ms, round) },
    async close() {
      for (const { socket } of boxes) socket.terminate();
      await Promise.all(boxes.map(({ box }) => box.stop()));
    },
  };
}

/** The same way without the system: `bench/support/limits-program.ts`. */
async function openLimit({ taps, mqtt: url, call: limits }: Limits, agent: Agent): Promise<Taps> {
  const deviceId = randomUUID();
  const password = await limits.admit(deviceId);
  const box = await mqtt.connectAsync(url, { clientId: `device_${deviceId}`, username: deviceId, password, protocolVersion: 4 });
  (box.stream as unknown as { setNoDelay(on: boolean): void }).setNoDelay(true);
  await box.subscribeAsync('limit/down', { qos: 1 });
  let arrivedAt = 0;
  const back = Buffer.alloc(450, 'x');
  box.on('message', () => {
    arrivedAt = performance.now();
    box.publish('limit/up', back, { qos: 1 });
  });
  async function round() {
    const since = performance.now();
    const { status } = await call(agent, 'POST', taps);
    if (status !== 200) throw new Error(`The limit answered with ${status}`);
    return { device: arrivedAt - since, answer: performance.now() - since };
  }
  return { lane: { name: 'limit', slice: (ms) => sampled(ms, round) }, close: () => box.endAsync(true) };
}

async function sampled<Times extends Readonly<Record<string, number>>>(ms: number, round: () => Promise<Times>): Promise<Record<string, number[]>> {
  const samples: Record<string, number[]> = {};
  for (const end = performance.now() + ms; performance.now() < end; ) {
    await pause(PAUSE_MS);
    for (const [name, value] of Object.entries(await round())) (samples[name] ??= []).push(value);
  }
  return samples;
}

/** On a busy machine a link is answered before the read models have it; its socket is asked of them. */
async function untilReadable(agent: Agent, url: string): Promise<void> {
  for (const deadline = performance.now() + LOST_MS; (await call(agent, 'GET', url)).status === 404; await pause(PAUSE_MS)) {
    if (performance.now() > deadline) throw new Error(`Not readable after ${LOST_MS} ms: ${url}`);
  }
}

async function within(promise: Promise<void>, otherwise: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`${otherwise} after ${LOST_MS} ms`)), LOST_MS)));
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function call(agent: Agent, method: string, url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const req = request(url, { method, agent, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown> }));
    });
    req.setNoDelay(true);
    req.on('error', reject);
    req.end();
  });
}
