import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { table } from '../src/shell/terminal.ts';
import { startChild } from './support/child.ts';
import { cpuSeconds } from './support/cpu.ts';
import { registerBox, registerOwner, signInAdmin, type BenchBox, type BenchOwner } from './support/people.ts';
import { startBenchServer } from './support/server.ts';

/**
 * Commands and reads over HTTP, 32 connections, each an owner of its own with five boxes. Beside them, in the same run, an
 * empty Express route and a plain service that does the same with one statement. Each server in its own process.
 */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '8' }, connections: { type: 'string', default: '32' } } });
const seconds = Number(values.seconds);
const connections = Number(values.connections);

const plain = await startChild<{ readonly url: string; readonly token: string }>('bench/support/plain-server.ts');
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
  readonly limit?: string;
  readonly server: { readonly url: string; readonly pid: number };
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  token(index: number): string;
  body?(index: number): unknown;
}

const plainly = { server: { url: plain.told.url, pid: plain.pid }, token: () => plain.told.token };
const ours = { server, token: (index: number) => owners[index]!.owner.token };
const loads: readonly Load[] = [
  { ...plainly, what: 'an empty Express route', path: '/empty' },
  { ...plainly, what: 'plain service: SELECT of 5 boxes', path: '/devices' },
  { ...ours, what: 'reads: my-devices (5 boxes)', limit: '3,500/s', path: '/api/v1/devices/my-devices' },
  { ...plainly, what: 'plain service: INSERT of a link', method: 'POST', path: '/links', body: () => ({ max_uses: 3, name: 'Bench' }) },
  {
    ...ours,
    what: 'commands: create link',
    limit: '2,000/s, p99 50 ms',
    method: 'POST',
    path: '/api/v1/access/create-link',
    body: (index) => ({ device_id: owners[index]!.boxes[0]!.deviceId, max_uses: 3, name: 'Bench' }),
  },
];

async function run({ what, limit = '', server: { url, pid }, method = 'GET', path, token, body }: Load, duration: number): Promise<(string | number)[]> {
  let next = 0;
  const before = cpuSeconds(pid);
  const result = await autocannon({
    url: `${url}${path}`,
    method,
    connections,
    duration,
    setupClient(client) {
      const index = next++ % owners.length;
      const headers = { authorization: `Bearer ${token(index)}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
      if (body === undefined) client.setHeaders(headers);
      else client.setHeadersAndBody(headers, JSON.stringify(body(index)));
    },
  });
  const after = cpuSeconds(pid);
  const failed = result.non2xx + result.errors + result.timeouts;
  const each = (taken: number) => `${Math.round((taken / result.requests.total) * 1e6)} µs`;
  const cpu = before === undefined || after === undefined ? ['?', '?'] : [each(after.own - before.own), each(after.children - before.children)];
  return [what, Math.round(result.requests.average), `${result.latency.p50} ms`, `${result.latency.p99} ms`, ...cpu, failed, limit];
}

const rows: (string | number)[][] = [];
for (const load of loads) {
  await run(load, Math.min(3, seconds)); // to warm up
  rows.push(await run(load, seconds));
}
process.stdout.write(
  `${table(['over HTTP', 'per second', 'p50', 'p99', 'CPU each', 'PostgreSQL', 'failed', 'must be'], rows)}\n` +
    `${connections} connections, ${seconds} s each, embedded engines. The machine has changed speed between two rows if the plain rows differ from run to run.\n`,
);
await plain.stop();
await server.stop();
process.exit();
