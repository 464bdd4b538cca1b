import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSealed } from '../../src/domain/kernel.ts';
import { eventTypes } from '../../src/domain/registry.ts';
import { isFound, type Searched } from '../../src/projections/audit/search.ts';
import { summaryOf } from '../../src/projections/audit/summary.ts';
import { COMMON, termsOf, wordsOf, wordsOfData } from '../../src/projections/audit/words.ts';

const folder = join(import.meta.dirname, '../fixtures/events');
interface Fixture {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: { readonly actor: { readonly kind: string; readonly id: string } };
}
const fixtures = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Fixture);

const entryOf = ({ type, data, metadata: { actor } }: Fixture, over: Partial<Searched> = {}): Searched => ({
  type,
  actorKind: actor.kind,
  actorId: actor.id,
  actorName: actor.kind === 'user' || actor.kind === 'admin' ? 'Ana Smith' : null,
  actorEmail: null,
  deviceId: '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  serialNumber: 'LB-004471',
  linkId: '9d2f7c1a-5b3e-4f60-8a7b-1c2d3e4f5a6b',
  linkName: 'Parcel',
  userId: '0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f',
  userName: 'Kim Berg',
  courierName: 'Jo',
  unlockId: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  data: Object.fromEntries(Object.entries(data).filter(([, value]) => !isSealed(value))),
  eventId: '0198c1de-0000-7111-8222-000000000001',
  correlationId: '0198c1de-0000-7111-8222-000000000002',
  ip: null,
  names: 'ana smith kim berg lb-004471 parcel jo',
  ...over,
});

const broken = /undefined|null|NaN|\[object|\s{2}|[\r\n]|^\s|\s$| ,|: *$/;

describe('the sentence of an entry', () => {
  it('is there for every event that this version writes', () => {
    const told = Object.fromEntries(fixtures.map((fixture) => [fixture.type, summaryOf(entryOf(fixture))]));
    expect(Object.keys(told).sort()).toEqual([...eventTypes].sort());
    for (const sentence of Object.values(told)) expect(sentence).not.toMatch(broken);
    expect(new Set(Object.values(told)).size).toBe(eventTypes.length);
    expect(told).toMatchObject({
      UnlockRequested: 'Courier Jo asked to unlock LB-004471 by the link “Parcel”',
      UnlockFailed: 'LB-004471 failed to unlock: jammed',
      CommandRefused: 'Courier Jo was refused: request unlock, on LB-004471: the link has expired',
      LoginRefused: 'A login as Kim Berg was refused: wrong password',
      LinkCreated: expect.stringMatching(/^Ana Smith created the link “Parcel” to LB-004471 for \d+ uses?, until 2026/),
      MaintenanceStarted: expect.stringMatching(/^Administrator Ana Smith took LB-004471 into maintenance/),
    });
  });

  it('is one without names and data too, and for an event that nobody knows', () => {
    const nothing = { actorName: null, actorEmail: null, serialNumber: null, linkName: null, userName: null, courierName: null, data: {} };
    for (const fixture of fixtures) {
      expect(summaryOf(entryOf(fixture, nothing))).not.toMatch(broken);
      expect(summaryOf(entryOf(fixture, { ...nothing, deviceId: null, linkId: null, userId: null, unlockId: null, actorId: '' }))).not.toMatch(broken);
    }
    const unknown = summaryOf(entryOf({ type: 'SomethingNew', data: { a: 1 }, metadata: { actor: { kind: 'system', id: 'other' } } }));
    expect(unknown).toBe('The system (other) recorded SomethingNew, on LB-004471: a kind of event that this version does not know');
  });

  it('is one line whatever is in an event or a name', () => {
    fc.assert(
      fc.property(fc.constantFrom(...fixtures), fc.jsonValue(), fc.string({ unit: fc.constantFrom('a', 'É', ' ', '\n', '\r', '\t', '\u2028', '“', '😀', '=', '$&', '\0') }), (fixture, value, name) => {
        const data = Object.fromEntries(Object.keys(fixture.data).map((key) => [key, value]));
        const told = summaryOf(entryOf(fixture, { data, actorName: name, linkName: name }));
        expect(told).not.toMatch(/[\r\n]/);
        expect(told.length).toBeGreaterThan(5);
      }),
      { numRuns: 100 },
    );
  });

  it('begins with a name as it is written', () => {
    const fixture = fixtures.find(({ type }) => type === 'DeviceRenamed');
    expect(fixture && summaryOf(entryOf(fixture, { actorKind: 'user', actorName: null, actorEmail: 'ana@example.com' }))).toBe('ana@example.com renamed LB-004471');
  });
});

describe('the words that entries are found by', () => {
  it('are those of their sentences', () => {
    for (const fixture of fixtures) {
      const nameless = entryOf(fixture, { names: '', actorName: null, serialNumber: null, linkName: null, userName: null, courierName: null, data: {} });
      const ids = /[0-9a-f]{8}-[0-9a-f]{4}/;
      const words = wordsOf(summaryOf(nameless)).filter((word) => word.length > 1 && !COMMON.has(word) && !ids.test(word) && !/\d/.test(word));
      const own = words.filter((word) => !['system', 'dispatcher', 'administrator', 'box', ...wordsOf(fixture.metadata.actor.id)].includes(word));
      for (const word of own) expect(isFound(nameless, termsOf(word)), `${word} in ${fixture.type}`).toBe(true);
    }
  });

  it('are action, type, outcome, reasons and codes, their beginnings, names, ids and their beginnings', () => {
    const refused = fixtures.find(({ type }) => type === 'CommandRefused');
    const entry = entryOf(refused as Fixture, { ip: '203.0.113.7' });
    for (const q of [
      'refused', 'command_refused', 'CommandRefused', 'link_expired', 'expired', 'exp', 'LB-004471', '4471', 'ana', 'Ana Smith', 'refused ana', 'courier',
      '9d2f7c1a', '9d2f7c1a-5b3e', '9d2f7c1a5b3e4f608a7b1c2d3e4f5a6b', '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50', '203.0.113.7', 'the refused', 'requestunlock',
    ])
      expect(isFound(entry, termsOf(q)), q).toBe(true);
    for (const q of ['zeppelin', 'refused zeppelin', 'administrator', '203.0.113.8', '9d2f7c1b', '9d2f7', 'battery', '!!!']) expect(isFound(entry, termsOf(q)), q).toBe(false);
  });

  it('are none of what is an id, a time, a signature or sealed', () => {
    const words = fixtures.flatMap(({ data }) => wordsOfData(Object.fromEntries(Object.entries(data).filter(([, value]) => !isSealed(value)))));
    expect(words.filter((word) => word.length > 30 || /^[0-9a-f]{8}-|\d{4}-\d\d-\d\dt/.test(word))).toEqual([]);
    expect(wordsOfData({ reason: 'the box is in the rain', version: '1.4.2', list: ['LB-1'], deep: { job: 'links.sweep' }, unlockId: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50' })).toEqual([
      'box', 'rain', '1.4.2', 'lb-1', 'lb', 'links.sweep', 'links', 'sweep',
    ]);
  });
});
