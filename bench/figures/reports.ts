import { setTimeout as pause } from 'node:timers/promises';
import { startLimits, type Bench, type Rig } from '../support/bench.ts';
import { IN_FLIGHT } from '../support/boxes.ts';
import { loginOf } from '../support/cast.ts';
import { cpuSeconds, type CpuSeconds } from '../support/cpu.ts';
import { interleave, measuredOnce, reading, type Figure, type Lane, type Pace, type Point, type Reading, type Slice } from '../support/figure.ts';

export const reports: Figure = {
  name: 'reports',
  about: 'Signed reports of boxes, acknowledged when they are durable; beside the broker alone, and rows inserted in batches.',
  beyond: 'Signature, order and repetition of each report checked, the JSON parsed, what the box said last compared and stored, what is news appended; the broker alone throws the bytes away.',
  engines: ['embedded', 'real'],
  run: async (bench) => measureReports(bench, await bench.rig(), bench.size.pace),
};

export const fleet: Figure = {
  name: 'fleet',
  about: 'Memory and CPU of the server for 1,000 boxes; beside a broker that does nothing with what they say.',
  beyond: 'What a box said last is kept in memory, with its keys; each report is checked and stored.',
  engines: ['embedded'],
  async run(bench) {
    // A server and a broker of their own: what others have left in their memory would be counted.
    const opened = await bench.open({ cast: bench.size.cast, seed: bench.seed });
    const limits = await startLimits();
    try {
      const rig = await bench.rigOn(opened);
      try {
        return await measureFleet(bench, { ...rig, limits });
      } finally {
        await rig.stop();
      }
    } finally {
      await limits.stop();
      await opened.close();
    }
  },
};

// The boxes are those that nobody has claimed: a claim is followed by a new key, which a box that is only a socket never takes.

/** So that no lane runs out of reports: more a second than any of them takes. */
const MOST_PER_SECOND = 40_000;
const BATCH = 500;
/** With an external broker: so many reports, until the server has counted them. Less than the broker keeps for it. */
const BURST = 8_000;

export async function measureReports(bench: Bench, rig: Rig, pace: Pace, at?: Point): Promise<readonly Reading[]> {
  const { server, limits, boxes } = rig;
  const logins = rig.cast.unclaimed.map(loginOf);
  await limits.call.admitBoxes(logins);
  await boxes.call.connect('limit', limits.mqttPort, logins);
  await boxes.call.connect('ours', server.mqttPort, logins);
  const flooding = (name: string): Lane => ({
    name,
    async slice(ms): Promise<Slice> {
      await boxes.call.prepare(name, Math.ceil((MOST_PER_SECOND * (ms / 1_000)) / logins.length) + IN_FLIGHT);
      const { rate, waits } = await boxes.call.flood(name, ms);
      return { rate, waits };
    },
  });
  const bursting = (name: string, counted: () => Promise<number>): Lane => ({
    name,
    async slice() {
      await boxes.call.prepare(name, Math.ceil(BURST / logins.length));
      const wanted = (await counted()) + Math.ceil(BURST / logins.length) * logins.length;
      const began = performance.now();
      await boxes.call.empty(name);
      for (const deadline = began + 60_000; (await counted()) < wanted; await pause(5)) {
        if (performance.now() > deadline) throw new Error(`Reports were lost on the way: ${wanted - (await counted())} of ${BURST}`);
      }
      return { rate: BURST / ((performance.now() - began) / 1_000) };
    },
  });
  const external = bench.engines === 'real';
  const ours = external ? bursting('ours', () => server.call.metric('loqey_device_reports_total')) : flooding('ours');
  const broker = external ? bursting('limit', () => limits.call.received()) : flooding('limit');
  const insert: Lane = { name: 'insert', slice: async (ms) => ({ rate: await limits.call.insertBatches(BATCH, ms) }) };
  try {
    const taken = await interleave([broker, insert, ours], pace);
    await bench.profiled('reports', rig, ours);
    const tail = { figure: 'reports', ...(at === undefined ? {} : { at }) };
    return [
      reading(taken, { ...tail, what: `reports of ${logins.length} boxes, durable`, unit: '/s', of: 'ours.rate', limit: { what: 'the broker alone', of: 'limit.rate' } }),
      reading(taken, { ...tail, what: 'reports, durable, beside rows', unit: '/s', of: 'ours.rate', limit: { what: `rows inserted in batches of ${BATCH}`, of: 'insert.rate' } }),
      ...(external ? [] : [reading(taken, { ...tail, what: `ingest lag at 100 % (${logins.length} boxes, ${IN_FLIGHT} reports each under way)`, unit: 'ms', of: 'ours.waits', limit: { what: 'the broker alone', of: 'limit.waits' } })]),
    ];
  } finally {
    await boxes.call.disconnect('limit');
    await boxes.call.disconnect('ours');
  }
}

/** Of the protocol: a box that has nothing to say says so once a minute. */
const HEARTBEATS_PER_SECOND_OF_1000 = 1_000 / 60;

async function measureFleet(bench: Bench, rig: Rig): Promise<readonly Reading[]> {
  const { server, limits, boxes } = rig;
  const logins = rig.cast.unclaimed.map(loginOf);
  await limits.call.admitBoxes(logins);
  const weigh = async (name: string, port: number, memory: () => Promise<{ readonly held: number }>) => {
    await pause(bench.size.idleMs);
    const { held: before } = await memory();
    await boxes.call.connect(name, port, logins);
    await pause(bench.size.idleMs);
    return ((await memory()).held - before) / logins.length;
  };
  const ours = await weigh('ours', server.mqttPort, () => server.call.memory());
  const least = await weigh('limit', limits.mqttPort, () => limits.call.memory());
  const working = (name: string, pid: number): Lane => ({
    name,
    async slice(ms): Promise<Slice> {
      // Each box once, as they come in the field: one after the other.
      const count = Math.min(logins.length, Math.ceil(ms / 2));
      await boxes.call.prepare(name, 1 + Math.ceil(count / logins.length));
      const began = cpuSeconds(pid);
      await pause(ms);
      const idle = taken(began, cpuSeconds(pid));
      const since = cpuSeconds(pid);
      await boxes.call.trickle(name, count, ms);
      const each = (taken(since, cpuSeconds(pid)) - idle) / count;
      return { each: Math.max(0, each) * HEARTBEATS_PER_SECOND_OF_1000 * 100 };
    },
  });
  try {
    const slices = await interleave([working('limit', limits.pid), working('ours', server.pid)], { ...bench.size.pace, warmupMs: 0 });
    return [
      measuredOnce({ figure: 'fleet', what: 'memory for 1,000 connected boxes (objects and buffers)', unit: 'MB', values: [(ours * 1_000) / 1024 ** 2], limit: { what: 'the broker alone', values: [(least * 1_000) / 1024 ** 2] } }),
      reading(slices, { figure: 'fleet', what: 'CPU for 1,000 boxes, a heartbeat each a minute, PostgreSQL included', unit: '% of a core', of: 'ours.each', limit: { what: 'the broker alone', of: 'limit.each' } }),
    ];
  } finally {
    await boxes.call.disconnect('limit');
    await boxes.call.disconnect('ours');
  }

  function taken(before: CpuSeconds | undefined, after: CpuSeconds | undefined): number {
    if (before === undefined || after === undefined) throw new Error('CPU time of other processes can only be read from /proc');
    return after.own + after.children - before.own - before.children;
  }
}
