import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { createHeadFile, readHeads } from '../../src/audit/head-file.ts';
import { createHeadSigner } from '../../src/audit/heads.ts';
import { isCovered } from '../../src/audit/merkle.ts';
import { auditHeads } from '../../src/jobs/audit-heads.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { RecordedEvent } from '../../src/platform/event-store/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createEmbeddedPostgres, type EmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';
import { createProofQueries } from '../../src/projections/proof/queries.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import { auditExport, auditVerify, type VerifyOptions } from '../../src/shell/verify.ts';
import { history } from '../projections/histories.ts';
import { startReadSide } from '../support/read-side.ts';
import { copyTemplate, startPostgres, type TestPostgres } from '../support/servers.ts';

/**
 * `loqey audit verify` on what an operator has: the live log, a restored database, a copied data folder, an export. No
 * secret is set anywhere here; heads and key are from outside.
 */
const outside = mkdtempSync(join(tmpdir(), 'loqey-outside-'));
const dataDir = mkdtempSync(join(tmpdir(), 'loqey-installation-'));
const signer = createHeadSigner(randomBytes(32));
const given = { heads: join(outside, 'heads.ndjson'), publicKey: join(outside, 'public-key.pem') };
let server: EmbeddedPostgres;
let template: string;
let postgres: TestPostgres;
const events: RecordedEvent[] = [];
let covered: readonly RecordedEvent[];

beforeAll(async () => {
  chmodSync(dataDir, 0o755);
  await copyTemplate(dataDir);
  server = createEmbeddedPostgres({ dataDir, logger: silentLogger, settings: { fsync: 'off' } });
  template = await server.start();
  await migrate({ url: template, migrations, programVersion: '0.0.0-test', logger: silentLogger });
  postgres = await startPostgres();
  const side = await startReadSide(postgres, { url: template });
  const archive = createHeadFile(outside);
  await archive.publish(signer.publicKey);
  for (const seed of [1, 2, 3]) {
    let position = 0n;
    for (const { stream, events: some } of history(seed, 15)) position = (await side.append(stream, some)).position;
    await side.readable(position);
    await auditHeads({ ...side, proofs: createProofQueries(side.reader), signer, archive, clock: systemClock })(new AbortController().signal);
  }
  for await (const event of side.store.readAll()) events.push(event);
  covered = events.filter(({ stream }) => isCovered(stream));
  await side.stop();
  await postgres.stop(); // its pools: a database that somebody is connected to cannot be copied
  await sql(template, 'CREATE DATABASE copy TEMPLATE loqey', 'postgres');
  await sql(urlOf('copy'), 'CREATE TABLE log.kept AS TABLE log.events');
}, 60_000);
afterAll(async () => {
  await server?.stop();
  for (const folder of [outside, dataDir]) rmSync(folder, { recursive: true, force: true });
});

interface Verified {
  readonly ok: boolean;
  readonly finding?: string;
  readonly first_position?: string;
  readonly after_position?: string | null;
  readonly not_later_than_position?: string;
  readonly holds_up_to?: number;
  readonly trace?: { readonly position: string | null };
}

async function told(json: boolean, work: (terminal: ReturnType<typeof createTerminal>) => Promise<number>): Promise<{ code: number; words: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const both = Promise.all([text(stdout), text(stderr)]);
  const code = await work(createTerminal({ json, stdout, stderr, color: false }));
  stdout.end();
  stderr.end();
  return { code, words: (await both).join('') };
}

const nowhere = join(outside, 'no-installation');
const verify = async (options: VerifyOptions, environ: Readonly<Record<string, string>> = { DATA_DIR: nowhere }) => {
  const { code, words } = await told(true, (terminal) => auditVerify({ environ, version: '0.0.0-test' }, options, terminal));
  return { code, ...(JSON.parse(words) as Verified) };
};

/** A second database that holds the same. */
async function restored(): Promise<string> {
  const copy = urlOf('copy');
  await sql(copy, 'TRUNCATE log.events; INSERT INTO log.events TABLE log.kept');
  return copy;
}

function urlOf(database: string): string {
  const url = new URL(template);
  url.pathname = `/${database}`;
  return url.href;
}

async function sql(url: string, statement: string, database?: string): Promise<void> {
  const client = new pg.Client({ connectionString: database === undefined ? url : urlOf(database) });
  await client.connect();
  await client.query(statement);
  await client.end();
}

/** A byte within a value, so that it still is JSON. */
const flipped = (json: unknown): string => JSON.stringify(json).replace(/(?<=:")[^"]/, (letter) => (letter === 'x' ? 'y' : 'x'));
const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;

const AT = 30;
const at = () => covered[AT]!;
const position = () => `position = ${at().position}`;
/** Of one of the middle, under the last head; what it does to the table, and what it does to the lines of an export. */
const tampering: Readonly<Record<string, { readonly table: () => string; readonly lines: (lines: string[], line: number) => string[] }>> = {
  'a byte of its data': {
    table: () => `UPDATE log.events SET data = ${quoted(flipped(at().data))} WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['data'] = JSON.parse(flipped(event['data']))))),
  },
  'a byte of its metadata': {
    table: () => `UPDATE log.events SET metadata = ${quoted(flipped(at().metadata))} WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['metadata'] = JSON.parse(flipped(event['metadata']))))),
  },
  'its type': {
    table: () => `UPDATE log.events SET type = 'LinkDeleted2' WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['type'] = 'LinkDeleted2'))),
  },
  'its stream': {
    table: () => `UPDATE log.events SET stream = stream || 'x' WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['stream'] = `${String(event['stream'])}x`))),
  },
  'its stream to one that no head covers': {
    table: () => `UPDATE log.events SET stream = '$hidden' WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['stream'] = '$hidden'))),
  },
  'its revision': {
    table: () => `UPDATE log.events SET revision = revision + 1000 WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['revision'] = '1000'))),
  },
  'its id': {
    table: () => `UPDATE log.events SET event_id = gen_random_uuid() WHERE ${position()}`,
    lines: (lines, line) => lines.with(line, changed(lines[line]!, (event) => (event['eventId'] = '01939b6e-7c00-7000-8000-ffffffffffff'))),
  },
  'nothing, and drops it': { table: () => `DELETE FROM log.events WHERE ${position()}`, lines: (lines, line) => lines.toSpliced(line, 1) },
  'nothing, and puts one before it': {
    table: () =>
      `UPDATE log.events SET position = position + 1000000 WHERE position >= ${at().position};
       UPDATE log.events SET position = position - 999999 WHERE position >= 1000000;
       INSERT INTO log.events SELECT ${at().position}, 'device-x', 0, gen_random_uuid(), type, data, metadata, recorded_at FROM log.events WHERE position = ${at().position + 1n}`,
    lines: (lines, line) => lines.toSpliced(line, 0, changed(lines[line]!, (event) => (event['eventId'] = '01939b6e-7c00-7000-8000-ffffffffffff'))),
  },
  'nothing, and repeats it where no key forbids it': {
    table: () => `ALTER TABLE log.events DROP CONSTRAINT events_pkey, DROP CONSTRAINT events_stream_revision, DROP CONSTRAINT events_stream_event_id; INSERT INTO log.events SELECT * FROM log.events WHERE ${position()}`,
    lines: (lines, line) => lines.toSpliced(line, 0, lines[line]!),
  },
  'nothing, and swaps it with the next': {
    table: () => `UPDATE log.events SET position = -1 WHERE ${position()}; UPDATE log.events SET ${position()} WHERE position = ${covered[AT + 1]!.position}; UPDATE log.events SET position = ${covered[AT + 1]!.position} WHERE position = -1`,
    lines: (lines, line) => lines.with(line, lines[line + 1]!).with(line + 1, lines[line]!),
  },
  'nothing, and cuts the log before it': { table: () => `DELETE FROM log.events WHERE position >= ${at().position}`, lines: (lines, line) => lines.slice(0, line) },
  everything: {
    table: () => `UPDATE log.events SET event_id = gen_random_uuid() WHERE stream <> 'system-log'`,
    lines: (lines) => lines.map((line, n) => (n === 0 ? line : changed(line, (event) => (event['eventId'] = `01939b6e-7c00-7000-8000-f${String(n).padStart(11, '0')}`)))),
  },
};

function changed(line: string, change: (event: Record<string, unknown>) => void): string {
  const event = JSON.parse(line) as Record<string, unknown>;
  change(event);
  delete event['leaf']; // whoever changes the event takes the hash of it away
  return JSON.stringify(event);
}

describe('who changes, in the database,', () => {
  it('nothing', async () => {
    expect(await verify({ ...given, backup: template })).toMatchObject({ code: 0, ok: true, holds_up_to: covered.length });
  });

  it.each(Object.entries(tampering))('%s', async (what, { table }) => {
    const copy = await restored();
    await sql(copy, table());
    const found = await verify({ ...given, backup: copy });
    // A repeat is at the same position as what it repeats, and everything begins with the first.
    const first = what === 'everything' ? covered[0]! : at();
    expect(found).toMatchObject({ code: 3, ok: false, first_position: `${first.position}` });

    // A copy of the log alone, as of a dump of its schema: the heads say between which positions.
    await sql(copy, 'ALTER SCHEMA work RENAME TO elsewhere');
    const alone = await verify({ ...given, backup: copy });
    await sql(copy, 'ALTER SCHEMA elsewhere RENAME TO work');
    expect(alone).toMatchObject({ code: 3, ok: false });
    expect(alone).not.toHaveProperty('first_position');
    expect(BigInt(alone.after_position ?? 0) <= first.position).toBe(true);
    if (alone.finding === 'differs') expect(BigInt(alone.not_later_than_position ?? 0) >= first.position).toBe(true);
  });
});

describe('who changes, in an export,', () => {
  const file = join(outside, 'log.ndjson');

  it('nothing', async () => {
    rmSync(file, { force: true });
    expect((await told(false, (terminal) => auditExport({ environ: { DATABASE_URL: template, DATA_DIR: nowhere }, version: '0.0.0-test' }, file, undefined, terminal))).code).toBe(0);
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(events.length + 1);
    expect(await verify({ ...given, export: file })).toMatchObject({ code: 0, ok: true });
  });

  it.each(Object.entries(tampering))('%s', async (what, { lines }) => {
    const whole = readFileSync(file, 'utf8').trimEnd().split('\n');
    const line = 1 + events.findIndex(({ eventId }) => eventId === at().eventId);
    const other = join(outside, 'tampered.ndjson');
    writeFileSync(other, lines(whole, line).join('\n'));
    const found = await verify({ ...given, export: other });
    expect(found).toMatchObject({ code: 3, ok: false });
    expect(BigInt(found.after_position ?? 0) <= at().position).toBe(true);
    if (found.not_later_than_position !== undefined) expect(BigInt(found.not_later_than_position) >= at().position).toBe(true);
    const first = what === 'everything' ? covered[0]! : at();
    if (what.includes('cuts')) expect(found).not.toHaveProperty('trace');
    else expect(found.first_position ?? found.trace?.position).toBe(`${first.position}`);
    const { words } = await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0' }, { ...given, export: other }, terminal));
    expect(words).toContain(what.includes('cuts') ? `it may be the end that is missing, after position ${covered[AT - 1]!.position}` : `at position ${first.position} (event `);
  });
});

describe('a copy that is older than the last head', () => {
  it('is cut, unless it is held against the heads of its time', async () => {
    const heads = await readHeads(given.heads);
    const copy = await restored();
    await sql(copy, `DELETE FROM log.events WHERE position > ${covered[heads[1]!.size - 1]!.position}`);
    const { code, words } = await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0.0.0-test' }, { ...given, backup: copy }, terminal));
    expect(code).toBe(3);
    expect(words).toContain('--until <time>');
    expect(await verify({ ...given, backup: copy, until: heads[1]!.time })).toMatchObject({ code: 0, holds_up_to: heads[1]!.size });
    // One less is cut for that time too.
    await sql(copy, `DELETE FROM log.events WHERE position = ${covered[heads[1]!.size - 1]!.position}`);
    expect(await verify({ ...given, backup: copy, until: heads[1]!.time })).toMatchObject({ code: 3, finding: 'cut', first_position: `${covered[heads[1]!.size - 1]!.position}` });
  });

  it('and a log whose heads were cut with it is not found, which is said', async () => {
    const own = join(outside, 'beside-the-log');
    const heads = await readHeads(given.heads);
    const archive = createHeadFile(own);
    await archive.publish(signer.publicKey);
    await archive.append(heads.slice(0, 1));
    const copy = await restored();
    await sql(copy, `DELETE FROM log.events WHERE position > ${covered[heads[0]!.size - 1]!.position}`);
    const { code, words } = await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere, AUDIT_HEADS_DIR: own, DATABASE_URL: copy }, version: '0.0.0-test' }, {}, terminal));
    expect(code).toBe(0);
    expect(words).toContain('Only heads that were kept elsewhere');
    expect(await verify(given, { DATA_DIR: nowhere, DATABASE_URL: copy })).toMatchObject({ code: 3, finding: 'cut' });
  });
});

describe('what holds no log', () => {
  it.each<[string, () => string, RegExp]>([
    ['a folder', () => outside, /is no data folder of Loqey/],
    ['an empty database', () => urlOf('postgres'), /There is no log in this database/],
    ['another kind of address', () => 'mysql://localhost/loqey', /A backup is a folder, or a URL that begins with postgres:\/\//],
    ['a folder in use', () => dataDir, /A server \(pid \d+\) runs on .* verified without --backup\./],
  ])('is told in words: %s', async (what, backup, words) => {
    const lock = join(dataDir, 'lock');
    if (what === 'a folder in use') writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), since: new Date().toISOString(), port: 8_000, token: 'x' }));
    const answer = await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0.0.0-test' }, { ...given, backup: backup() }, terminal));
    rmSync(lock, { force: true });
    expect(answer).toEqual({ code: 2, words: expect.stringMatching(words) as string });
  });

  it('nor is a time that is none, or two logs at once', async () => {
    expect(await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0' }, { ...given, until: 'yesterday' }, terminal))).toMatchObject({ code: 2, words: expect.stringContaining('is no time') as string });
    expect((await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0' }, { ...given, backup: 'a', export: 'b' }, terminal))).code).toBe(2);
    expect((await told(false, (terminal) => auditVerify({ environ: { DATA_DIR: nowhere }, version: '0' }, given, terminal))).words).toContain('There is no log in');
  });
});

describe('a data folder', () => {
  it('that was copied is verified without its secrets and left as it was; the folder itself as well', async () => {
    await server.stop();
    const copy = mkdtempSync(join(tmpdir(), 'loqey-backup-of-'));
    cpSync(join(dataDir, 'postgres'), join(copy, 'postgres'), { recursive: true });
    const before = fingerprint(copy);
    expect(await verify({ ...given, backup: copy })).toMatchObject({ code: 0, ok: true, holds_up_to: covered.length });
    expect(fingerprint(copy)).toEqual(before);
    rmSync(copy, { recursive: true });
    expect(await verify(given, { DATA_DIR: dataDir })).toMatchObject({ code: 0, ok: true });
    expect(readdirSync(join(dataDir, 'secrets'))).toEqual(['postgres-password']);
  });
});

function fingerprint(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    })
    .sort();
}
