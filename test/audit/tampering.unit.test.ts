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
        // Without them it is no later than is said, whatever gap was left.
        if (blind.finding?.kind === 'differs') expect((blind.finding.upTo ?? 0n) >= firstAt).toBe(true);
        if (blind.finding?.kind === 'cut' && blind.finding.upTo !== undefined) expect(blind.finding.upTo >= firstAt).toBe(true);

        expect((await verify(events, heads)).finding).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  });
});

/** As `exportChunks` writes them. */
function exported(events: readonly LoggedEvent[]): readonly LoggedEvent[] {
  let index = 0;
  return events.map((event) => (isCovered(event.stream) ? { ...event, index: index++, leaf: leafHash(event) } : event));
}

const anyLog = fc.tuple(log, fc.nat(), fc.nat()).map(([events, pickAt, pickHead]) => {
  const covered = events.flatMap((event, n) => (isCovered(event.stream) ? [n] : []));
  const index = pickAt % covered.length;
  // One head, somewhere after it: nothing between the two says where.
  return { events, covered, index, at: covered[index]!, heads: headsOf(events, [index + 1 + (pickHead % (covered.length - index))]) };
});

describe('with one head and an export alone', () => {
  it('the revisions of its streams say what was taken out, between which positions, also to who wrote every number anew', async () => {
    await fc.assert(
      fc.asyncProperty(anyLog, fc.boolean(), async ({ events, at, heads }, anew) => {
        const out = events[at]!;
        const { size } = heads[0]!;
        const rest = events.toSpliced(at, 1);
        const { finding } = await verify(anew ? exported(rest) : exported(events).toSpliced(at, 1), heads);
        if (finding?.kind !== 'cut' && finding?.kind !== 'differs') throw new Error('not found');
        const next = rest.filter(({ stream: name }) => isCovered(name)).slice(0, size).find(({ stream: name, revision }) => name === out.stream && revision > out.revision);
        const before = events.findLast(({ stream: name, revision }) => name === out.stream && revision < out.revision);
        expect(finding.gap).toEqual(next && { kind: 'missing', stream: out.stream, revision: out.revision, after: before?.position, upTo: next.position });
        if (next !== undefined) expect(finding.upTo).toBe(next.position);
        if (anew) expect(finding.trace).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  });

  it('its numbers and hashes say the very place to whom did not think of them', async () => {
    const naive: Readonly<Record<string, (events: readonly LoggedEvent[], at: number, other: number) => LoggedEvent[]>> = {
      flip: (events, n) => events.with(n, { ...events[n]!, type: 'Changed' }),
      'flip, without its hash': (events, n) => events.with(n, { ...events[n]!, type: 'Changed', leaf: undefined }),
      drop: (events, n) => events.toSpliced(n, 1),
      hide: (events, n) => events.with(n, { ...events[n]!, stream: 'system-log' }),
      insert: (events, n) => events.toSpliced(n, 0, { ...events[n]!, eventId: '01939b6e-7c00-7000-8000-ffffffffffff' }),
      'insert, with a hash': (events, n) => events.toSpliced(n, 0, { ...events[n]!, leaf: leafHash({ ...events[n]!, eventId: 'f' }), eventId: 'f' }),
      repeat: (events, n) => events.toSpliced(n + 1, 0, events[n]!),
      swap: (events, n, other) => events.with(n, events[other]!).with(other, events[n]!),
    };
    const property = fc.asyncProperty(fc.constantFrom(...Object.entries(naive)), anyLog, fc.nat(), async ([how, tamper], { events, covered, index, at, heads }, pickOther) => {
      fc.pre(index + 1 < heads[0]!.size && index > 0);
      const other = covered[index + 1 + (pickOther % (heads[0]!.size - 1 - index))]!;
      const { finding } = await verify(tamper(exported(events), at, other), heads);
      if (finding === undefined || finding.kind === 'signature') throw new Error('not found');
      const place = finding.first?.position ?? finding.trace?.position;
      const expected = events[at]!.position;
      if (place !== undefined) expect(place).toBe(expected);
      else {
        // Positions that are not counted one by one: between its neighbours.
        expect(['drop', 'hide', 'swap']).toContain(how);
        expect(finding.trace?.after).toBe(events[covered[index - 1]!]!.position);
        expect(finding.trace!.before > expected).toBe(true);
      }
      // Of two of one number it is the second that does not fit; both are at one position.
      expect(finding.first?.index ?? finding.trace?.index).toBeOneOf(how === 'repeat' || how === 'insert, with a hash' ? [index, index + 1] : [index]);
    });
    await fc.assert(property, { numRuns: 5 * RUNS });
  });

  it('an end that was cut leaves no gap, and what is after the last head and does not fit together is told apart', async () => {
    await fc.assert(
      fc.asyncProperty(anyLog, async ({ events, at, index, heads }) => {
        const cut = await verify(exported(events).slice(0, at), heads);
        expect(cut.finding).toMatchObject({ kind: 'cut', covered: index, gap: undefined, trace: undefined });
        fc.pre(index > 0);
        const [head] = headsOf(events, [index]);
        const after = await verify(exported(events).with(at, { ...events[at]!, type: 'Changed', index }), [head!]);
        expect(after.finding).toMatchObject({ kind: 'unsigned', head, trace: { position: events[at]!.position } });
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
