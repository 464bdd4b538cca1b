import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { table } from '../src/shell/terminal.ts';
import { registerBox, registerOwner, signInAdmin, type BenchBox, type BenchOwner } from './support/people.ts';
import { cpuSeconds } from './support/cpu.ts';
import { startBenchServer } from './support/server.ts';

/** Commands and reads over HTTP, 32 connections, each an owner of its own with five boxes. Server in its own process. */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '8' }, connections: { type: 'string', default: '32' } } });
const seconds = Number(values.seconds);
const connections = Number(values.connections);

const server = await startBenchServer();
const admin = await signInAdmin(server.url, server.admin);
const owners: { readonly owner: BenchOwner; readonly boxes: readonly BenchBox[] }[] = [];
for (let index = 0; index < connections; index++) {
  const owner = await registerOwner(server.url);
  const boxes = await Promise.all(Array.from({ length: 5 }, () => registerBox(admin)));
  for (const { serialNumber, pin } of boxes) await owner.api.post('/devices/assign', { serial_number: serialNumber, pin });
  owners.push({ owner, boxes });
}

interface Load {
  readonly what: string;
  readonly limit: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  body?(index: number): string;
}

const loads: readonly Load[] = [
  { what: 'reads: my-devices (5 boxes)', limit: '3,500/s', method: 'GET', path: '/api/v1/devices/my-devices' },
  {
    what: 'commands: create link',
    limit: '2,000/s, p99 50 ms',
    method: 'POST',
    path: '/api/v1/access/create-link',
    body: (index) => JSON.stringify({ device_id: owners[index]!.boxes[0]!.deviceId, max_uses: 3, name: 'Bench' }),
  },
];

async function run({ what, limit, method, path, body }: Load, duration: number): Promise<(string | number)[]> {
  let next = 0;
  const before = cpuSeconds(server.pid);
  const result = await autocannon({
    url: `${server.url}${path}`,
    method,
    connections,
    duration,
    setupClient(client) {
      const index = next++ % owners.length;
      const headers = { authorization: `Bearer ${owners[index]!.owner.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
      if (body === undefined) client.setHeaders(headers);
      else client.setHeadersAndBody(headers, body(index));
    },
  });
  const after = cpuSeconds(server.pid);
  const failed = result.non2xx + result.errors + result.timeouts;
  const each = (seconds: number) => `${Math.round((seconds / result.requests.total) * 1e6)} µs`;
  const cpu = before === undefined || after === undefined ? ['?', '?'] : [each(after.own - before.own), each(after.children - before.children)];
  return [what, Math.round(result.requests.average), `${result.latency.p50} ms`, `${result.latency.p99} ms`, ...cpu, failed, limit];
}

const rows: (string | number)[][] = [];
for (const load of loads) {
  await run(load, 3); // to warm up
  rows.push(await run(load, seconds));
}
process.stdout.write(`${table(['over HTTP', 'per second', 'p50', 'p99', 'CPU each', 'PostgreSQL', 'failed', 'must be'], rows)}\n${connections} connections, ${seconds} s each, embedded engines\n`);
await server.stop();
process.exit();
