import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHeadSigner, type SignedHead } from '../../src/audit/heads.ts';
import { emptyRoot, grow, isCovered, leafHash, rootOf } from '../../src/audit/merkle.ts';
import { verifyLog, type LoggedEvent, type RecordedLeaf, type Verification } from '../../src/audit/verify.ts';

/** Whatever is done to a log that heads cover is found, with nothing but a head from outside; with the leaves, at its place. */
const logId = '01939b6e-7c00-7000-8000-000000000001';
const signer = createHeadSigner(randomBytes(32));
const RUNS = Number(process.env['TEST_TAMPERING_RUNS'] ?? 100);

const json = fc.oneof(fc.string(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null), fc.array(fc.integer(), { maxLength: 3 }));
const stream = fc.constantFrom('device-a', 'device-b', 'user-c', 'refusal-d', 'system-log', 'audit-head');

const log = fc
  .array(fc.record({ stream, type: fc.constantFrom('LinkCreated', 'LinkDeleted', 'Other'), data: fc.dictionary(fc.string(), json, { maxKeys: 4 }), gap: fc.integer({ min: 1, max: 9 }) }), { minLength: 2, maxLength: 40 })
  .map((drawn) => {
    let position = 0n;
    const revisions = new Map<string, bigint>();
    return drawn.map(({ stream: name, type, data, gap }, n): LoggedEvent => {
      position += BigInt(gap);
      const revision = revisions.get(name) ?? 0n;
      revisions.set(name, revision + 1n);
      const eventId = `01939b6e-7c00-7000-8000-${String(n).padStart(12, '0')}`;
      return { position, stream: name, revision, eventId, type, data, metadata: { actor: { kind: 'user', id: `u${n % 3}` }, occurredAt: new Date(1_763_719_200_000 + n).toISOString() } };
    });
  })
  .filter((events) => events.filter(({ stream: name }) => isCovered(name)).length >= 2);

/** Of the tree after each of these sizes. */
function headsOf(events: readonly LoggedEvent[], sizes: readonly number[]): readonly SignedHead[] {
  const wanted = new Set(sizes);
  const heads: SignedHead[] = [];
  let peaks: readonly Buffer[] = [];
  let size = 0;
  for (const event of events.filter((each) => isCovered(each.stream))) {
    ({ peaks } = grow(size, peaks, leafHash(event)));
    if (wanted.has(++size)) heads.push(signer.sign(logId, { size, root: (size === 0 ? emptyRoot : rootOf(peaks)).toString('hex'), time: new Date(1_763_719_200_000 + size).toISOString() }));
  }
  return heads;
}

async function verify(events: readonly LoggedEvent[], heads: readonly SignedHead[], leaves?: readonly RecordedLeaf[]): Promise<Verification> {
  async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
    yield* items;
  }
  return verifyLog({ events: each(events), logId, heads, publicKeys: [signer.publicKey], ...(leaves === undefined ? {} : { leaves: each(leaves) }) });
}

type Tampering = (events: LoggedEvent[], at: number, other: number) => LoggedEvent[];

const kinds: Readonly<Record<string, Tampering>> = {
  'a member of data': (events, at) => events.with(at, { ...events[at]!, data: { ...(events[at]!.data as object), added: 1 } }),
  'a word of metadata': (events, at) => events.with(at, { ...events[at]!, metadata: { ...(events[at]!.metadata as object), actor: { kind: 'user', id: 'mallory' } } }),
  'its type': (events, at) => events.with(at, { ...events[at]!, type: 'Changed' }),
  'its stream': (events, at) => events.with(at, { ...events[at]!, stream: 'device-of-another' }),
  'its stream, to one that is not covered': (events, at) => events.with(at, { ...events[at]!, stream: 'system-log' }),
  'its revision': (events, at) => events.with(at, { ...events[at]!, revision: events[at]!.revision + 1_000n }),
  'its id': (events, at) => events.with(at, { ...events[at]!, eventId: '01939b6e-7c00-7000-8000-ffffffffffff' }),
  'nothing, but takes it out': (events, at) => events.toSpliced(at, 1),
  'nothing, but puts one before it': (events, at) => events.toSpliced(at, 0, { ...events[at]!, eventId: '01939b6e-7c00-7000-8000-ffffffffffff', position: events[at]!.position }),
  'nothing, but repeats it': (events, at) => events.toSpliced(at, 0, events[at]!),
  'nothing, but swaps it with a later one': (events, at, other) => events.with(at, { ...events[other]!, position: events[at]!.position }).with(other, { ...events[at]!, position: events[other]!.position }),
  'nothing, but cuts the log before it': (events, at) => events.slice(0, at),
  'all of it': (events) => events.map((event, n) => ({ ...event, eventId: `01939b6e-7c00-7000-8000-f${String(n).padStart(11, '0')}` })),
};

describe('who changes', () => {
  it.each(Object.entries(kinds))('%s is found', async (_, tamper) => {
    await fc.assert(
      fc.asyncProperty(log, fc.nat(), fc.nat(), fc.array(fc.nat(), { maxLength: 4 }), async (events, pickAt, pickOther, pickSizes) => {
        const covered = events.flatMap((event, n) => (isCovered(event.stream) ? [n] : []));
        // The last head covers at least two events, and what is changed is under it.
        const sizes = [...pickSizes.map((n) => 1 + (n % covered.length)), 2 + (pickOther % (covered.length - 1))];
        const heads = headsOf(events, sizes);
        const last = heads.at(-1)!.size;
        const index = pickAt % (last - 1);
        const [at, other] = [covered[index]!, covered[index + 1 + (pickOther % (last - 1 - index))]!];
        const tampered = tamper([...events], at, other);

        const blind = await verify(tampered, heads);
        expect(blind.finding).toBeDefined();
        expect(blind.holds?.size ?? 0).toBeLessThanOrEqual(index + (tamper === kinds['all of it'] ? 0 : 1));
        const seeing = await verify(tampered, heads, events.filter((each) => isCovered(each.stream)).map((event) => ({ hash: leafHash(event), position: event.position })));
        const { finding } = seeing;
        if (finding === undefined || finding.kind === 'signature') throw new Error('not found');
        const firstAt = tamper === kinds['all of it'] ? events[covered[0]!]!.position : events[at]!.position;
        expect(finding.first?.position).toBe(firstAt);
        if (finding.after !== undefined) expect(finding.after <= firstAt).toBe(true);

        expect((await verify(events, heads)).finding).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  });
});

it('a tail that was cut is not found by heads that were cut with it: that is what a head from outside is for', async () => {
  const events = fc.sample(log, { numRuns: 1, seed: 7 })[0]!.filter(({ stream: name }) => isCovered(name));
  const heads = headsOf(events, [1, events.length]);
  const [cut, outside] = [events.slice(0, -1), heads];
  expect((await verify(cut, heads.slice(0, 1))).finding).toBeUndefined();
  expect((await verify(cut, outside)).finding).toMatchObject({ kind: 'cut', covered: events.length - 1 });
});
