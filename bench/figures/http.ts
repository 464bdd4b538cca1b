import autocannon from 'autocannon';
import { createReader } from '../../src/projections/schemas.ts';
import { createDeviceQueries } from '../../src/projections/devices/queries.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createDatabase } from '../../src/platform/postgres/db.ts';
import { embeddedPostgresUrl } from '../../src/platform/postgres/embedded.ts';
import type { Bench, Rig } from '../support/bench.ts';
import { interleave, reading, type Figure, type Lane, type Pace, type Point, type Reading, type Slice } from '../support/figure.ts';
import { signIn } from '../support/cast.ts';

export const commands: Figure = {
  name: 'commands',
  about: 'Links made over HTTP on 1, 32 and 128 connections; beside appends of one event to the same kind of store by as many writers.',
  beyond: 'A token, the schema of body and answer, the fold of the box, the link’s token and name sealed, the append, and rows of the read models in a transaction of their own, which on the real engines the answer waits for.',
  engines: ['embedded', 'real'],
  async run(bench) {
    const rig = await bench.rig();
    const lines: Reading[] = [];
    for (const connections of [1, 32, 128]) lines.push(...(await measureCommands(bench, rig, bench.size.pace, connections)));
    return lines;
  },
};

export const reads: Figure = {
  name: 'reads',
  about: 'An owner’s boxes read over HTTP on 32 connections; beside the same SELECT through pg behind an empty Express route.',
  beyond: 'A token and the standing of its session, the schema of the query and of the answer, and the rows made into what an owner sees.',
  engines: ['embedded', 'real'],
  run: async (bench) => measureReads(bench, await bench.rig(), bench.size.pace),
};

export const logins: Figure = {
  name: 'logins',
  about: 'Sign-ins over HTTP, four at a time; beside comparing passwords at the same cost and nothing else.',
  beyond: 'The account and its standing looked up, an event of the sign-in appended, a session stored; the password itself is all of the time.',
  engines: ['embedded'],
  run: async (bench) => measureLogins(bench, await bench.rig(), bench.size.pace),
};

export async function measureCommands(bench: Bench, rig: Rig, pace: Pace, connections: number, at?: Point): Promise<readonly Reading[]> {
  const tokens = await rig.tokens();
  const { boxes } = rig.cast;
  const lane: Lane = {
    name: 'create',
    slice: (ms) =>
      hammer(connections, ms, `${rig.server.url}/api/v1/access/create-link`, 'POST', (index) => {
        const { deviceId, owner } = boxes[index % boxes.length]!;
        return { headers: { authorization: `Bearer ${tokens[owner]}`, 'content-type': 'application/json' }, body: JSON.stringify({ device_id: deviceId, max_uses: 3, name: 'Bench' }) };
      }),
  };
  const least: Lane = { name: 'limit', slice: (ms) => rig.limits.call.append(connections, ms).then(({ rate, waits }): Slice => ({ rate, waits })) };
  const taken = await interleave([least, lane], pace);
  if (connections === 32) await bench.profiled('commands', rig, lane);
  const on = `on ${connections} connection${connections === 1 ? '' : 's'}`;
  const tail = { figure: 'commands', unit: 'ms', ...(at === undefined ? {} : { at }) } as const;
  return [
    reading(taken, { ...tail, what: `commands (create a link) ${on}`, unit: '/s', of: 'create.rate', limit: { what: 'raw appends', of: 'limit.rate' } }),
    reading(taken, { ...tail, what: `commands ${on}, p99`, of: 'create.p99', limit: { what: 'raw append, p99', of: 'limit.waits' }, p99: true }),
  ];
}

export async function measureReads(bench: Bench, rig: Rig, pace: Pace, at?: Point): Promise<readonly Reading[]> {
  const tokens = await rig.tokens();
  const connections = 32;
  await prepareSelect(rig);
  const lane: Lane = {
    name: 'read',
    slice: (ms) => hammer(connections, ms, `${rig.server.url}/api/v1/devices/my-devices`, 'GET', (index) => ({ headers: { authorization: `Bearer ${tokens[index % tokens.length]}` } })),
  };
  const least: Lane = { name: 'limit', slice: (ms) => hammer(connections, ms, `${rig.limits.http}/select`, 'GET', () => ({ headers: {} })) };
  const taken = await interleave([least, lane], pace);
  await bench.profiled('reads', rig, lane);
  const tail = { figure: 'reads', ...(at === undefined ? {} : { at }) };
  const each = rig.cast.boxes.length / rig.cast.owners.length;
  return [
    reading(taken, { ...tail, what: `reads (an owner’s ${each} boxes) on 32 connections`, unit: '/s', of: 'read.rate', limit: { what: 'the same SELECT behind an empty Express route', of: 'limit.rate' } }),
    reading(taken, { ...tail, what: 'reads on 32 connections, p99', unit: 'ms', of: 'read.p99', limit: { what: 'the same', of: 'limit.p99' }, p99: true }),
  ];
}

/** The statement that the system runs for the first owner's boxes, taken from the system. */
async function prepareSelect({ server, limits, cast }: Rig): Promise<void> {
  const url = await embeddedPostgresUrl(server.dataDir);
  if (url === undefined) throw new Error(`No PostgreSQL was started on ${server.dataDir}`);
  const db = createDatabase({ url, max: 1, applicationName: 'bench', logger, metrics: new Metrics() });
  try {
    let last: { name: string; text: string; values: unknown[] } | undefined;
    const query = db.pool.query.bind(db.pool) as (asked: unknown) => unknown;
    db.pool.query = ((asked: typeof last) => query((last = asked))) as never;
    await createDeviceQueries(createReader(db)).ofOwner(cast.owners[0]!.userId);
    if (last === undefined) throw new Error('The read model was not asked');
    await limits.call.prepareSelect({ url, name: last.name, text: last.text, values: last.values });
  } finally {
    await db.stop();
  }
}

export async function measureLogins(_bench: Bench, rig: Rig, pace: Pace, at?: Point): Promise<readonly Reading[]> {
  const lane: Lane = {
    name: 'login',
    async slice(ms) {
      let done = 0;
      const began = performance.now();
      await Promise.all(
        Array.from({ length: 4 }, async (_, n) => {
          while (performance.now() - began < ms) {
            await signIn(rig.server.url, rig.cast.owners[n % rig.cast.owners.length]!);
            done++;
          }
        }),
      );
      return { rate: (done / (performance.now() - began)) * 1_000 };
    },
  };
  const least: Lane = { name: 'limit', slice: async (ms) => ({ rate: await rig.limits.call.comparePasswords(ms) }) };
  const taken = await interleave([least, lane], { ...pace, warmupMs: Math.min(pace.warmupMs, 500) });
  return [reading(taken, { figure: 'logins', what: 'logins', unit: '/s', of: 'login.rate', limit: { what: 'bcrypt of cost 12 alone, one thread', of: 'limit.rate' }, ...(at === undefined ? {} : { at }) })];
}

interface Asking {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** As fast as so many connections can ask. */
export async function hammer(connections: number, ms: number, url: string, method: string, asking: (connection: number) => Asking): Promise<Slice> {
  let next = 0;
  const began = performance.now();
  const result = await autocannon({
    url,
    method,
    connections,
    duration: ms / 1_000,
    setupClient(client) {
      const { headers, body } = asking(next++);
      if (body === undefined) client.setHeaders(headers);
      else client.setHeadersAndBody(headers, body);
    },
  });
  const failed = result.non2xx + result.errors + result.timeouts;
  if (failed > 0) throw new Error(`${failed} of ${result.requests.total} requests to ${url} failed`);
  return { rate: result.requests.total / ((performance.now() - began) / 1_000), p50: result.latency.p50, p99: [result.latency.p99] };
}
