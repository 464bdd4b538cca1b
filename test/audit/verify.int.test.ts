import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createHeadFile, readHeads } from '../../src/audit/head-file.ts';
import { createHeadSigner, type SignedHead } from '../../src/audit/heads.ts';
import { verifyLog, type LoggedEvent, type Verification } from '../../src/audit/verify.ts';
import { auditHeads } from '../../src/jobs/audit-heads.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createProofQueries, type ProofQueries, type StoredLeaf } from '../../src/projections/proof/queries.ts';
import { history } from '../projections/histories.ts';
import { startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let side: ReadSide;
let proofs: ProofQueries;
let folder: string;
const signer = createHeadSigner(randomBytes(32));

beforeAll(async () => {
  postgres = await startPostgres();
});
beforeEach(async () => {
  side = await startReadSide(postgres);
  proofs = createProofQueries(side.reader);
  folder = mkdtempSync(join(tmpdir(), 'loqey-heads-'));
});
afterEach(async () => {
  await side.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => postgres?.stop());

async function write(seed: number, steps: number): Promise<void> {
  let position = 0n;
  for (const { stream, events } of history(seed, steps)) position = (await side.append(stream, events)).position;
  await side.readable(position);
}

const sign = () => {
  const { store, logId } = side;
  const archive = createHeadFile(folder);
  return auditHeads({ store, proofs, signer, archive, logId, clock: systemClock })(new AbortController().signal);
};

async function* logged(): AsyncGenerator<LoggedEvent> {
  for await (const event of side.store.readAll()) yield event;
}

async function* leaves(): AsyncGenerator<StoredLeaf> {
  for (let from = 0; ; from += 100) {
    const page = await proofs.leaves(from, 100);
    yield* page;
    if (page.length < 100) return;
  }
}

async function verify(events: AsyncIterable<LoggedEvent>, heads?: readonly SignedHead[]): Promise<Verification> {
  const { logId } = side;
  return verifyLog({ events, logId, heads: heads ?? (await readHeads(createHeadFile(folder).path)), publicKeys: [signer.publicKey], leaves: leaves() });
}

describe('the proof of the log', () => {
  it('is signed as the log grows, once for each size, into the log and outside of it', async () => {
    await write(1, 40);
    const first = await sign();
    expect(await sign()).toMatchObject({ signed: 0 });
    await write(2, 30);
    await sign();
    const heads = await readHeads(createHeadFile(folder).path);
    expect(heads.map(({ size }) => size)).toEqual([first['size'], (await proofs.tree()).size]);
    const stored: unknown[] = [];
    for await (const { data } of side.store.readStream('audit-head')) stored.push(data);
    expect(stored).toEqual(heads.map((head) => ({ ...head, size: String(head.size) })));
    expect(await verify(logged())).toMatchObject({ covered: heads[1]!.size, root: heads[1]!.root, holds: heads[1], finding: undefined });
  });

  it('brings outside what a crash kept from there, and takes a torn line for what it is', async () => {
    await write(3, 20);
    await sign();
    const { path } = createHeadFile(folder);
    const [head] = await readHeads(path);
    rmSync(path);
    appendFileSync(path, JSON.stringify(head).slice(0, 40));
    await sign();
    expect(await readHeads(path)).toEqual([head]);
  });

  it.each([
    ['changes a word of an event', ['UPDATE log.events SET data = \'{"level":99}\' WHERE position = $1']],
    ['changes who did it', ['UPDATE log.events SET metadata = (metadata::jsonb || \'{"actor":{"kind":"system","id":"me"}}\')::json WHERE position = $1']],
    ['drops an event', ['DELETE FROM log.events WHERE position = $1']],
    ['swaps two', ['UPDATE log.events SET position = -1 WHERE position = $1', 'UPDATE log.events SET position = $1 WHERE position = $1 + 1', 'UPDATE log.events SET position = $1 + 1 WHERE position = -1']],
  ])('is broken by who %s', async (what, tampering) => {
    await write(4, 60);
    await sign();
    const covered: LoggedEvent[] = [];
    for await (const event of logged()) if (event.stream.startsWith('device-')) covered.push(event);
    const { position } = covered[Math.floor(covered.length / 2)]!;
    for (const statement of tampering) await side.db.pool.query(statement.replaceAll('$1', String(position)));

    const { finding, holds } = await verify(logged());
    expect(holds).toBeUndefined();
    expect(finding).toMatchObject({ kind: what === 'drops an event' ? 'cut' : 'differs', first: { position } });
  });

  it('is broken by who puts an event in between, and names it', async () => {
    await write(5, 40);
    await sign();
    async function* more(): AsyncGenerator<LoggedEvent> {
      let n = 0;
      for await (const event of logged()) {
        yield event;
        if (++n === 20) yield { ...event, eventId: '01939b6e-7c00-7000-8000-0000000000ff', revision: event.revision + 1n, position: event.position + 1n };
      }
    }
    expect((await verify(more())).finding).toMatchObject({ kind: 'differs' });
  });

  it('is cut where the end is missing, and where the log is another one altogether', async () => {
    await write(6, 40);
    await sign();
    const [head] = await readHeads(createHeadFile(folder).path);
    async function* short(): AsyncGenerator<LoggedEvent> {
      let left = head!.size - 1;
      for await (const event of logged()) if (left-- > 0) yield event;
    }
    expect((await verify(short())).finding).toMatchObject({ kind: 'cut', head });
    expect((await verify(logged(), [{ ...head!, root: '00'.repeat(32) }])).finding).toMatchObject({ kind: 'signature' });
    const other = createHeadSigner(randomBytes(32)).sign(side.logId, head!);
    expect((await verify(logged(), [other])).finding).toMatchObject({ kind: 'signature', head: other });
  });

  it('is not signed any further once the log differs from what was signed', async () => {
    await write(7, 40);
    const tree = await proofs.tree();
    await createHeadFile(folder).append([signer.sign(side.logId, { size: tree.size - 3, root: 'ab'.repeat(32), time: '2026-11-21T10:00:00.000Z' })]);
    await expect(sign()).rejects.toThrow(/not what it was/);
    rmSync(createHeadFile(folder).path);
    await createHeadFile(folder).append([signer.sign(side.logId, { size: tree.size + 100, root: 'ab'.repeat(32), time: '2026-11-21T10:00:00.000Z' })]);
    await expect(sign()).rejects.toThrow(/not what it was/);
  });

  it('of one event and of two heads is what the rebuilt read model gives too', async () => {
    await write(8, 30);
    const early = await proofs.tree();
    await write(9, 30);
    const late = await proofs.tree();
    const { eventId } = (await side.store.readAll({ after: early.position ?? 0n, limit: 1 })[Symbol.asyncIterator]().next()).value!;
    const proof = await proofs.inclusion(eventId, late.size);
    expect(proof).toMatchObject({ index: early.size, size: late.size });
    expect(await proofs.inclusion(eventId, early.size)).toBeUndefined();
    expect(await proofs.rootAt(early.size)).toBe(early.root);
    expect((await proofs.consistency(early.size, late.size)).length).toBeGreaterThan(0);
    await expect(proofs.consistency(early.size, late.size + 1_000)).rejects.toThrow(RangeError);
  });
});
