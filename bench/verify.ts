/**
 * What it costs to check the log: `npx node bench/verify.ts [--events 200000] [--quick]` (quick: 20,000 events).
 * An embedded PostgreSQL with its ordinary settings and a past sealed as in production. Prints how fast a log is read, held
 * against signed heads and exported, each beside the raw read of the same rows in the same minutes; per second of this
 * process's CPU, which is what one core gives; the memory that it takes; and how large proofs are.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, createReadStream, createWriteStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { parseArgs, promisify } from 'node:util';
import pg from 'pg';
import { migrations } from '../migrations/index.ts';
import { exportChunks, readExport } from '../src/audit/export.ts';
import { createHeadSigner, type SignedHead } from '../src/audit/heads.ts';
import { consistencyPath, grow, inclusionPath, isCovered, leafHash, rootOf } from '../src/audit/merkle.ts';
import { verifyLog } from '../src/audit/verify.ts';
import { instant } from '../src/platform/clock.ts';
import type { RecordedEvent } from '../src/platform/event-store/port.ts';
import { createPostgresLogReader } from '../src/platform/event-store/postgres-reader.ts';
import { createPostgresEventStore } from '../src/platform/event-store/postgres.ts';
import { silentLogger as logger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { ensureLogIdentity } from '../src/projections/log-identity.ts';
import { writePast } from './support/past.ts';

const { values: given } = parseArgs({ options: { events: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const EVENTS = Number(given.events ?? (given.quick ? 20_000 : 200_000));
const ROUNDS = given.quick ? 1 : 3;
const ASKED = 40_000;

interface Row {
  readonly what: string;
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly memoryMb: number;
}

const rows: Row[] = [];

/** The best of a few rounds: what else this machine does can only make it slower. */
async function measured(what: string, work: () => Promise<number>): Promise<void> {
  let best: Row | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    globalThis.gc?.();
    const before = process.memoryUsage.rss();
    let peak = before;
    const watching = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    const events = await work();
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(watching);
    const row = { what, perSecond: events / seconds, perCpuSecond: events / ((user + system) / 1e6), memoryMb: (peak - before) / 1_048_576 };
    if (best === undefined || row.perSecond > best.perSecond) best = row;
  }
  if (best !== undefined) rows.push(best);
}

const folder = mkdtempSync(join(tmpdir(), 'loqey-bench-verify-'));
chmodSync(folder, 0o755); // the server runs as another user where this runs as root
const server = createEmbeddedPostgres({ dataDir: folder, logger });
try {
  const url = await server.start();
  await migrate({ url, migrations, programVersion: 'bench', logger });
  const store = createPostgresEventStore({ url, logger, metrics: new Metrics() });
  await store.start();
  const logId = await ensureLogIdentity(store, 'bench', () => instant(Date.now()));
  const began = performance.now();
  const seal = (sub: string, _type: string, _path: string, value: unknown) => ({ $s: 1 as const, sub, k: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50', n: randomBytes(12).toString('base64url'), c: randomBytes(JSON.stringify(value).length + 16).toString('base64url') });
  const written = await writePast(store, seal, { boxes: Math.min(1_000, Math.ceil(EVENTS / 20)), events: EVENTS, known: [], seed: 1 });
  await store.stop();
  console.log(`${written.toLocaleString('en')} events written in ${((performance.now() - began) / 1_000).toFixed(1)} s`);

  const reader = createPostgresLogReader(url);
  const signer = createHeadSigner(randomBytes(32));
  const heads = await headsEvery(Math.ceil(written / 100));

  /** What any reader pays at least: the same rows, by the same cursor, as text. */
  await measured('raw read: the rows as text', async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('BEGIN READ ONLY');
    await client.query('DECLARE raw NO SCROLL CURSOR FOR SELECT position, stream, revision, event_id, type, data::text, metadata::text, recorded_at::text FROM log.events ORDER BY position');
    let read = 0;
    for (;;) {
      const page = await client.query({ text: 'FETCH 2000 FROM raw', rowMode: 'array' });
      read += page.rows.length;
      if (page.rows.length === 0) break;
    }
    await client.end();
    return read;
  });
  await measured('read: as events', async () => {
    let read = 0;
    for await (const _ of reader.readAll()) read++;
    return read;
  });
  await measured('verify the log', async () => checked(await verifyLog({ events: reader.readAll(), logId, heads, publicKeys: [signer.publicKey] })));
  const some: RecordedEvent[] = [];
  for await (const event of reader.readAll()) if (some.push(event) >= 20_000) break;
  await measured('verify, events at hand', async () => {
    let done = 0;
    for (let peaks: readonly Buffer[] = [], size = 0; done < written; ) {
      for (const event of some) {
        if (isCovered(event.stream)) ({ peaks } = grow(size++, peaks, leafHash(event)));
        done++;
      }
    }
    return done;
  });

  const file = join(folder, 'log.ndjson');
  await measured('export', async () => {
    rmSync(file, { force: true });
    await pipeline(exportChunks(logId, reader.readAll()), createWriteStream(file));
    return written;
  });
  await measured('verify an export', async () => {
    const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
    return checked(await verifyLog({ ...(await readExport(lines)), heads, publicKeys: [signer.publicKey] }));
  });
  const [headsFile, key] = [join(folder, 'heads.ndjson'), join(folder, 'key.pem')];
  writeFileSync(headsFile, heads.map((head) => JSON.stringify(head)).join('\n'));
  writeFileSync(key, signer.publicKey.export({ format: 'pem', type: 'spki' }));
  const alone = performance.now();
  await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../verify/loqey-verify.mjs'), '--export', file, '--heads', headsFile, '--public-key', key]);
  const aloneSeconds = (performance.now() - alone) / 1_000;

  const raw = rows[0]!.perSecond;
  console.log(`\n${''.padEnd(28)}${'events/s'.padStart(12)}${'of raw read'.padStart(13)}${'per core'.padStart(12)}${'memory'.padStart(10)}`);
  for (const { what, perSecond, perCpuSecond, memoryMb } of rows) {
    const low = what.startsWith('verify') && perCpuSecond < ASKED ? ' !' : '  ';
    console.log(`${what.padEnd(28)}${whole(perSecond).padStart(12)}${`${Math.round((100 * perSecond) / raw)} %`.padStart(13)}${(whole(perCpuSecond) + low).padStart(14)}${`${memoryMb.toFixed(0)} MB`.padStart(8)}`);
  }
  console.log(`${'loqey-verify.mjs, export'.padEnd(28)}${whole(written / aloneSeconds).padStart(12)}${`${Math.round((100 * written) / aloneSeconds / raw)} %`.padStart(13)}   with its start`);
  console.log(`\nAsked of verification: ${whole(ASKED)} events/s for each core. The export is ${(statSync(file).size / 1_048_576).toFixed(0)} MB, ${Math.round(statSync(file).size / written)} bytes an event.`);
  console.log(`\n${'proof in a tree of'.padEnd(22)}${'hashes'.padStart(8)}${'bytes'.padStart(8)}${'as JSON'.padStart(10)}   (besides the event and the head)`);
  for (const size of [10_000, 1_000_000]) {
    for (const [what, path] of [['inclusion', inclusionPath(Math.floor(size / 3), size)], ['consistency', consistencyPath(Math.floor((size * 2) / 3), size)]] as const) {
      console.log(`${`${whole(size)}: ${what}`.padEnd(22)}${`${path.length}`.padStart(8)}${`${path.length * 32}`.padStart(8)}${`${JSON.stringify(path.map(() => 'a'.repeat(64))).length}`.padStart(10)}`);
    }
  }

  async function headsEvery(step: number): Promise<readonly SignedHead[]> {
    const made: SignedHead[] = [];
    let [peaks, size]: [readonly Buffer[], number] = [[], 0];
    for await (const event of reader.readAll()) {
      if (!isCovered(event.stream)) continue;
      ({ peaks } = grow(size++, peaks, leafHash(event)));
      if (size % step === 0) made.push(signer.sign(logId, { size, root: rootOf(peaks).toString('hex'), time: instant(Date.now()) }));
    }
    return made;
  }
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

function checked({ covered, finding }: Awaited<ReturnType<typeof verifyLog>>): number {
  if (finding !== undefined) throw new Error(`It should hold: ${finding.kind}`);
  return covered;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
