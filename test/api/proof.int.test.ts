import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHeadFile } from '../../src/audit/head-file.ts';
import { createHeadSigner, rawOf, type SignedHead } from '../../src/audit/heads.ts';
import { auditHeads } from '../../src/jobs/audit-heads.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { newId } from '../../src/platform/ids.ts';
import { createProofs, publishKey } from '../../src/projections/proof/proofs.ts';
import { createProofQueries } from '../../src/projections/proof/queries.ts';
import { history } from '../projections/histories.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

/** The routes on a real log; what they answer goes to the verifier that others get. */
const verifier = join(import.meta.dirname, '../../verify/loqey-verify.mjs');
const folder = mkdtempSync(join(tmpdir(), 'loqey-proof-routes-'));
const signer = createHeadSigner(randomBytes(32));
let postgres: TestPostgres;
let side: ReadSide;
let api: TestApi;
let token: string;
let unsigned: string;

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres);
  const queries = createProofQueries(side.reader);
  const { store, logId } = side;
  for (const seed of [1, 2, 3, 4]) {
    let position = 0n;
    for (const { stream, events } of history(seed, 12)) position = (await side.append(stream, events)).position;
    await side.readable(position);
    if (seed < 4) await auditHeads({ store, logId, proofs: queries, signer, archive: createHeadFile(folder), clock: systemClock })(new AbortController().signal);
  }
  for await (const { eventId } of store.readAll({ direction: 'backwards', limit: 1 })) unsigned = eventId;
  api = await startApi({ proofs: createProofs({ store, logId, queries }), logId });
  token = api.signIn({ adminRole: 'support' }).token;
});
afterAll(async () => {
  await api?.stop();
  await side?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const get = async <T = unknown>(path: string) => {
  const { status, body, headers } = await api.ask('GET', `/api/v1/admin/proof/${path}`, { token });
  return { status, headers, body: body as T };
};
const heads = async () => (await get<readonly SignedHead[]>('heads')).body;

function verify(what: 'proof' | 'consistency', content: unknown, kept?: readonly SignedHead[]): Promise<{ code: number; words: string }> {
  const [file, headsFile, key] = [join(folder, `${what}--${newId()}.json`), join(folder, 'kept.ndjson'), join(folder, 'key.pem')];
  writeFileSync(file, JSON.stringify(content));
  if (kept !== undefined) writeFileSync(headsFile, kept.map((head) => JSON.stringify(head)).join('\n'));
  return new Promise((resolve) => {
    const args = [verifier, `--${what}`, file, '--public-key', key, ...(kept === undefined ? [] : ['--heads', headsFile])];
    execFile(process.execPath, args, { timeout: 20_000 }, (error, stdout, stderr) => resolve({ code: (error?.code as number | undefined) ?? 0, words: stdout + stderr }));
  });
}

test('keys: none before a worker has signed, then those that it left in the log, once', async () => {
  expect((await get('keys')).body).toEqual({ log_id: side.logId, keys: [] });
  const [first, second] = [signer, createHeadSigner(randomBytes(32))];
  for (const { kid, publicKey } of [first, second, first]) await publishKey(side.store, { kid, x: rawOf(publicKey) });
  const { body } = await get<{ keys: { kid: string; pem: string; x: string }[] }>('keys');
  expect(body.keys).toHaveLength(2);
  expect(body.keys.find(({ kid }) => kid === signer.kid)).toEqual({
    kid: signer.kid,
    kty: 'OKP',
    crv: 'Ed25519',
    alg: 'EdDSA',
    use: 'sig',
    x: rawOf(signer.publicKey),
    pem: signer.publicKey.export({ format: 'pem', type: 'spki' }),
  });
  writeFileSync(join(folder, 'key.pem'), body.keys.find(({ kid }) => kid === signer.kid)?.pem ?? '');
});

test('heads: newest first, in parts', async () => {
  const all = await heads();
  expect(all).toHaveLength(3);
  expect(all.map(({ size }) => size)).toEqual([...all.map(({ size }) => size)].sort((a, b) => b - a));
  const second = await get('heads?limit=1&offset=1');
  expect(second.body).toEqual([all[1]]);
  expect(second.headers.get('x-total-count')).toBe('3');
  expect((await get('heads?offset=3')).body).toEqual([]);
  expect((await get('heads?page=2&page_size=2')).body).toMatchObject({ count: 3, total_pages: 2, results: [all[2]] });
});

describe('the proof of one event', () => {
  test('holds with every head from its own on, in the hands of somebody else', async () => {
    const all = await heads();
    const events: string[] = [];
    for await (const { eventId, stream } of side.store.readAll({ limit: 8 })) if (stream !== 'system-log') events.push(eventId);
    for (const [index, eventId] of [events[0], events[3]].entries()) {
      for (const { size } of all) {
        const { status, body } = await get(`events/${eventId?.toUpperCase()}?size=${size}`);
        expect(status).toBe(200);
        expect(await verify('proof', body, all)).toMatchObject({ code: 0, words: expect.stringContaining(`number ${index * 3 + 1} of ${size}`) as string });
      }
    }
    const { body } = await get<{ event: object; head: SignedHead }>(`events/${events[2]}`);
    expect(body.head).toEqual(all[0]);
    expect(await verify('proof', body)).toMatchObject({ code: 0, words: expect.stringContaining('The head came with the proof') as string });
    expect((await verify('proof', { ...body, event: { ...body.event, type: 'LinkDeleted' } })).code).toBe(3);
    expect((await verify('proof', { ...body, head: { ...body.head, root: '00'.repeat(32) } })).code).toBe(3);
    expect((await verify('proof', body, [])).code).toBe(3);
  });

  test('is not there for what is not signed, not known, or not a head', async () => {
    const [newest] = await heads();
    expect(await get(`events/${unsigned}`)).toMatchObject({ status: 404, body: { error: 'not_found', message: `This event is not among the ${newest?.size} that were signed at ${newest?.time}` } });
    expect((await get(`events/${newId()}`)).status).toBe(404);
    expect(await get(`events/${unsigned}?size=1000000`)).toMatchObject({ status: 404, body: { message: 'No head of 1000000 events was signed (size)' } });
    expect((await get('events/LinkCreated')).status).toBe(400);
    expect((await get(`events/${unsigned}?size=0`)).status).toBe(400);
  });
});

describe('the proof of consistency', () => {
  test('holds between any two heads, and not for others', async () => {
    const all = await heads();
    for (const from of all) {
      for (const to of all.filter(({ size }) => size >= from.size)) {
        const { status, body } = await get<{ path: string[]; from: SignedHead; to: SignedHead }>(`consistency?from=${from.size}&to=${to.size}`);
        expect(status).toBe(200);
        expect(body).toMatchObject({ logId: side.logId, from, to });
        // One head was kept; the other came just now.
        expect(await verify('consistency', body, [from])).toMatchObject({ code: 0, words: expect.stringContaining('nothing of it was changed, only added') as string });
        expect((await verify('consistency', { ...body, path: [...body.path, '00'.repeat(32)] })).code).toBe(3);
        if (body.path.length > 0) expect((await verify('consistency', { ...body, path: body.path.map((hash, i) => (i === 0 ? '00'.repeat(32) : hash)) })).code).toBe(3);
      }
    }
    const [newest, , oldest] = all;
    expect((await get(`consistency?from=${oldest?.size}`)).body).toMatchObject({ to: newest });
    const { body } = await get(`consistency?from=${oldest?.size}`);
    // A server with another past shows another head of the same size.
    const other = signer.sign(side.logId, { size: oldest?.size ?? 0, root: 'ab'.repeat(32), time: '2026-11-21T10:00:00.000Z' });
    expect((await verify('consistency', body, [other])).code).toBe(3);
  });

  test('is asked for with heads that were signed, in order', async () => {
    const [newest, , oldest] = await heads();
    expect(await get(`consistency?from=${newest?.size}&to=${oldest?.size}`)).toMatchObject({ status: 400, body: { details: { to: 'must not be smaller than from' } } });
    expect((await get('consistency?from=1000000')).status).toBe(404);
    expect((await get('consistency')).status).toBe(400);
  });
});

test('before anything is signed there is nothing to prove', async () => {
  const empty = await startApi();
  const { token: admin } = empty.signIn({ adminRole: 'support' });
  expect((await empty.ask('GET', '/api/v1/admin/proof/heads', { token: admin })).body).toEqual([]);
  expect((await empty.ask('GET', `/api/v1/admin/proof/events/${newId()}`, { token: admin })).body).toMatchObject({ error: 'not_found', message: expect.stringContaining('Nothing is signed yet') as string });
  await empty.stop();
});
