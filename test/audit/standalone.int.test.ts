import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportChunks, readExport } from '../../src/audit/export.ts';
import { createHeadFile, readHeads } from '../../src/audit/head-file.ts';
import { createHeadSigner } from '../../src/audit/heads.ts';
import { leafHash } from '../../src/audit/merkle.ts';
import { verifyLog, type LoggedEvent } from '../../src/audit/verify.ts';
import { auditHeads } from '../../src/jobs/audit-heads.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createProofQueries } from '../../src/projections/proof/queries.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import { auditProof, auditVerify, type VerifyOptions } from '../../src/shell/verify.ts';
import { history } from '../projections/histories.ts';
import { startReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

/** The verifier that others get, on what `loqey audit export` and `loqey audit proof` write: two programs, one answer. */
const verifier = join(import.meta.dirname, '../../verify/loqey-verify.mjs');
const folder = mkdtempSync(join(tmpdir(), 'loqey-verify-'));
const file = (name: string) => join(folder, name);
const heads = file('heads.ndjson');
const signer = createHeadSigner(randomBytes(32));
let postgres: TestPostgres;
let lines: readonly string[];
const events: LoggedEvent[] = [];
let proof: Readonly<Record<string, unknown>>;

beforeAll(async () => {
  postgres = await startPostgres();
  const side = await startReadSide(postgres);
  const proofs = createProofQueries(side.reader);
  const archive = createHeadFile(folder);
  await archive.publish(signer.publicKey);
  for (const seed of [1, 2, 3]) {
    let position = 0n;
    for (const { stream, events } of history(seed, 25)) position = (await side.append(stream, events)).position;
    await side.readable(position);
    if (seed < 3) await auditHeads({ ...side, proofs, signer, archive, clock: systemClock })(new AbortController().signal);
  }
  for await (const event of side.store.readAll()) events.push(event);
  let whole = '';
  for await (const chunk of exportChunks(side.logId, side.store.readAll())) whole += chunk;
  lines = whole.trimEnd().split('\n');
  const { stream, revision, eventId, type, data, metadata } = events[20]!;
  const size = (await readHeads(heads)).at(-1)!.size;
  proof = { logId: side.logId, event: { stream, revision: String(revision), eventId, type, data, metadata }, ...(await proofs.inclusion(eventId, size)), position: undefined };
  await side.stop();
});
afterAll(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function run(what: 'export' | 'proof', content: string, headsPath = heads): Promise<{ code: number; words: string }> {
  writeFileSync(file(what), content);
  return new Promise((resolve) => {
    const args = [verifier, `--${what}`, file(what), '--heads', headsPath, '--public-key', file('public-key.pem')];
    execFile(process.execPath, args, { timeout: 20_000 }, (error, stdout, stderr) => resolve({ code: (error?.code as number | undefined) ?? 0, words: stdout + stderr }));
  });
}

/** What this program says of the same export. */
async function ours(content: string): Promise<string | undefined> {
  async function* each() {
    yield* content.split('\n');
  }
  const { logId, events } = await readExport(each());
  return (await verifyLog({ events, logId, heads: await readHeads(heads), publicKeys: [signer.publicKey] })).finding?.kind;
}

const changed = (line: string, change: (event: Record<string, unknown>) => void): string => {
  const event = JSON.parse(line) as Record<string, unknown>;
  change(event);
  return JSON.stringify(event);
};

describe('an export', () => {
  it('that is what was signed', async () => {
    expect(await run('export', lines.join('\n'))).toMatchObject({ code: 0, words: expect.stringMatching(/^OK: \d+ events are what was signed/) as string });
    expect(await ours(lines.join('\n'))).toBeUndefined();
  });

  it('of an earlier version, without numbers', async () => {
    const older = lines.map((line) => changed(line, (event) => delete event['index']));
    expect(await run('export', older.join('\n'))).toMatchObject({ code: 0 });
    expect(await ours(older.join('\n'))).toBeUndefined();
    expect(await run('export', older.toSpliced(at, 1).join('\n'))).toMatchObject({ code: 3, words: expect.stringContaining(`The stream ${streamOf(at)} lacks its revision`) as string });
  });

  const at = 30; // well before the last head
  const of = (line: number) => (JSON.parse(lines[line]!) as { readonly position: string }).position;
  const streamOf = (line: number) => (JSON.parse(lines[line]!) as { readonly stream: string }).stream;
  /** What is said of where, besides the heads between which it is. */
  const here = () => `does not fit at position ${of(at)}.`;
  it.each<[string, (all: string[]) => string[], (() => string)?]>([
    ['has one word changed', (all) => all.with(at, changed(all[at]!, (event) => (event['type'] = 'LinkDeleted'))), here],
    [
      'has one word changed and its hash made to fit',
      (all) =>
        all.with(
          at,
          changed(all[at]!, (event) => {
            event['type'] = 'LinkDeleted';
            event['leaf'] = leafHash(event as never).toString('hex');
          }),
        ),
    ],
    ['lacks an event', (all) => all.toSpliced(at, 1), here],
    ['lacks an event, and every number was made to fit', (all) => all.toSpliced(at, 1).map((line, n) => (n < at ? line : changed(line, (event) => (event['index'] = (event['index'] as number) - 1)))), () => `The stream ${streamOf(at)} lacks its revision`],
    ['has one twice', (all) => all.toSpliced(at, 0, all[at]!), here],
    ['has two swapped', (all) => all.with(at, all[at + 1]!).with(at + 1, all[at]!), here],
    ['lacks its end', (all) => all.slice(0, at), () => `it may be the end that is missing, after position ${of(at - 1)}.`],
    ['is of another log', (all) => all.with(0, all[0]!.replace(/"logId":".{8}/, '"logId":"00000000'))],
    ['has an event changed that is not signed yet', (all) => all.with(-1, changed(all.at(-1)!, (event) => (event['type'] = 'Changed'))), () => `What is signed of the log holds`],
  ])('that %s', async (_, tamper, said) => {
    const content = tamper([...lines]).join('\n');
    const { code, words } = await run('export', content);
    expect(code).toBe(3);
    if (said !== undefined) expect(words).toContain(said());
    expect(await ours(content)).toBeDefined();
  });

  it('with a head that somebody wrote', async () => {
    const forged = file('forged.ndjson');
    writeFileSync(forged, readFileSync(heads, 'utf8').replace(/"root":"../, '"root":"00'));
    expect(await run('export', lines.join('\n'), forged)).toMatchObject({ code: 3, words: expect.stringContaining('not signed by this key') as string });
  });
});

describe('a proof of one event', () => {
  it('holds for it, and for nothing else', async () => {
    expect(await run('proof', JSON.stringify(proof))).toMatchObject({ code: 0, words: expect.stringContaining('was in the log when it was signed') as string });
    expect((await run('proof', JSON.stringify({ ...proof, index: (proof['index'] as number) + 1 }))).code).toBe(3);
    expect((await run('proof', JSON.stringify({ ...proof, event: { ...(proof['event'] as object), type: 'LinkDeleted' } }))).code).toBe(3);
    expect((await run('proof', JSON.stringify({ ...proof, path: (proof['path'] as string[]).slice(1) }))).code).toBe(3);
  });
});

describe('a file that cannot be used', () => {
  const local = { environ: { DATA_DIR: folder }, version: '0.0.0' };

  async function told(work: (terminal: ReturnType<typeof createTerminal>) => Promise<number>): Promise<{ code: number; words: string }> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const code = await work(createTerminal({ json: false, stdout, stderr, color: false }));
    stderr.end();
    return { code, words: await text(stderr) };
  }

  it.each<[string, VerifyOptions, number, RegExp]>([
    ['no heads', { heads: file('none.ndjson') }, 5, /There is no signed head in .*none\.ndjson\.$/m],
    ['no key', { heads, publicKey: file('none.pem') }, 2, /There is no .*none\.pem\./],
    ['a key that is none', { heads, publicKey: heads }, 2, /holds no public key \(PEM\)/],
    ['no export', { heads, publicKey: file('public-key.pem'), export: file('none') }, 2, /There is no .*none\./],
    ['a folder for an export', { heads, publicKey: file('public-key.pem'), export: folder }, 2, /is a folder/],
    ['heads for an export', { heads, publicKey: file('public-key.pem'), export: heads }, 2, /That is no export of a log/],
  ])('is told in words: %s', async (_, given, code, words) => {
    expect(await told((terminal) => auditVerify(local, given, terminal))).toEqual({ code, words: expect.stringMatching(words) as string });
  });

  it('is told by the verifier that others get', async () => {
    expect(await run('export', readFileSync(heads, 'utf8'))).toMatchObject({ code: 2, words: expect.stringContaining('is no export of a log') as string });
    expect(await run('export', lines.join('\n'), file('none.ndjson'))).toMatchObject({ code: 2, words: expect.stringContaining('none.ndjson') as string });
  });

  it('is no event id', async () => {
    expect(await told((terminal) => auditProof(local, 'LinkCreated', undefined, terminal))).toEqual({ code: 2, words: expect.stringContaining('LinkCreated is no event id') as string });
  });
});
