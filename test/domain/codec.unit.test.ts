import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createCodec, type WireEvent } from '../../src/domain/codec.ts';
import { deviceStream } from '../../src/domain/device/stream.ts';
import type { DomainEvent } from '../../src/domain/events.ts';
import { isSealed, type EventMetadata } from '../../src/domain/kernel.ts';
import { decodeEvent, deviceAggregate, eventTypes, schemaVersionOf, UnknownEvent, userAggregate } from '../../src/domain/registry.ts';
import { systemCodec } from '../../src/domain/system/codec.ts';
import { originSubjectOfRefusal, REFUSAL_SHARDS, refusalStream } from '../../src/domain/system/stream.ts';
import { userStream } from '../../src/domain/user/stream.ts';

/** Every event version ever written, one file each. None is ever changed or deleted. */
const folder = join(import.meta.dirname, '../fixtures/events');
type Fixture = WireEvent & { readonly data: Readonly<Record<string, unknown>>; readonly metadata: EventMetadata };
const fixtures = readdirSync(folder).map((file) => ({ file, wire: JSON.parse(readFileSync(join(folder, file), 'utf8')) as Fixture }));
const decoded = (type: string): DomainEvent => {
  const fixture = fixtures.find(({ file }) => file.startsWith(`${type}.v`));
  if (fixture === undefined) throw new Error(`No fixture of ${type}`);
  return decodeEvent(fixture.wire);
};

describe('fixtures', () => {
  it('there is one for each version of each type', () => {
    const expected = eventTypes.flatMap((type) => Array.from({ length: schemaVersionOf(type) }, (_, index) => `${type}.v${index + 1}.json`));
    expect(fixtures.map(({ file }) => file)).toEqual(expect.arrayContaining(expected));
  });
  it.each(fixtures)('$file decodes and keeps what is sealed', ({ file, wire }) => {
    const event = decodeEvent(wire);
    expect(file).toBe(`${wire.type}.v${wire.metadata.schemaVersion}.json`);
    expect(event.type).toBe(wire.type);
    // Version 1 is today's shape until a codec says otherwise.
    if (schemaVersionOf(event.type) === 1) expect(event.data).toEqual(wire.data);
  });
  it.each(fixtures)('$file holds nothing absent as null, and instants in their one form', ({ wire }) => {
    const text = JSON.stringify(wire);
    expect(text).not.toContain('null');
    for (const [instant] of text.matchAll(/\d{4}-\d\d-\d\dT[^"]*/g)) expect(instant).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });
});

describe('what is sealed, and for whom', () => {
  const { decider, codec } = deviceAggregate;
  const owned = (['DeviceRegistered', 'DeviceAssigned'] as const).reduce(
    (state, type) => decider.evolve(state, decoded(type) as never, '2026-11-21T10:30:00.000Z'),
    decider.initialState,
  );
  const user = userAggregate.decider.evolve(userAggregate.decider.initialState, decoded('UserRegistered') as never, '2026-11-21T10:30:00.000Z');

  // As it is written today: what an older version had in clear stays so.
  const today = fixtures.filter(({ wire }) => wire.metadata.schemaVersion === schemaVersionOf(wire.type as DomainEvent['type']));
  it.each(today)('$file: each sealed member is declared, for its subject', ({ wire }) => {
    const event = decodeEvent(wire);
    const declared = (deviceAggregate.codec.types as readonly string[]).includes(event.type)
      ? codec.sealedPaths(owned, event as never)
      : (userAggregate.codec.types as readonly string[]).includes(event.type)
        ? userAggregate.codec.sealedPaths(user, event as never)
        : systemCodec.sealedPaths(undefined, event as never);
    const sealed = Object.entries(wire.data).flatMap(([path, value]) => (isSealed(value) ? [{ path, subject: value.sub }] : []));
    expect(declared).toEqual(sealed);
  });
  it.each(fixtures)('$file: origin is sealed for whoever acted', ({ wire }) => {
    const { actor, occurredAt, origin } = wire.metadata;
    const subject = codec.originSubject(actor, { type: wire.type, data: wire.data } as never, occurredAt);
    expect(subject).toBe(isSealed(origin) ? origin.sub : undefined);
  });
  it('a refusal of someone without an account belongs to its day', () => {
    const at = '2026-11-21T23:59:59.999Z';
    expect(originSubjectOfRefusal({ kind: 'courier', id: 'x' }, at)).toBe('refusals:20261121');
    expect(originSubjectOfRefusal({ kind: 'user', id: 'u' }, at)).toBe('user:u');
  });
  it('an administrator’s words go with whoever has the box; else they are the box’s, and codes stay codes', () => {
    const said = ['MaintenanceStarted', 'DeviceDecommissioned', 'DeviceProtocolUnpinned', 'Level0DeliveriesAccepted', 'UnlockSettled', 'UnlockRequested'] as const;
    const { deviceId } = (decoded('DeviceRegistered') as Extract<DomainEvent, { type: 'DeviceRegistered' }>).data;
    const nobodys = decider.evolve(decider.initialState, decoded('DeviceRegistered') as never, '2026-11-21T10:30:00.000Z');
    for (const type of said) {
      const words = { path: type === 'UnlockSettled' ? 'remark' : 'reason' };
      expect(codec.sealedPaths(owned, decoded(type) as never)).toContainEqual({ ...words, subject: 'user:0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f' });
      expect(codec.sealedPaths(nobodys, decoded(type) as never)).toContainEqual({ ...words, subject: `device:${deviceId}` });
      expect(() => codec.sealedPaths(decider.initialState, decoded(type) as never)).toThrow();
    }
  });
  it('of an older settlement only what an administrator said is taken out of its code', () => {
    const settled = (data: object) => decodeEvent({ type: 'UnlockSettled', data: { unlockId: 'u', useReturned: false, outcome: 'not_opened', ...data }, metadata: { schemaVersion: 1 } }).data;
    expect(settled({ by: 'device', reason: 'jammed' })).toEqual({ unlockId: 'u', useReturned: false, outcome: 'not_opened', by: 'device', reason: 'jammed' });
    expect(settled({ by: 'admin', reason: 'courier called' })).toEqual({ unlockId: 'u', useReturned: false, outcome: 'not_opened', by: 'admin', remark: 'courier called' });
    expect(settled({ by: 'device', outcome: 'opened' })).toEqual({ unlockId: 'u', useReturned: false, outcome: 'opened', by: 'device' });
  });
  it('an owner’s words need an owner', () => {
    expect(() => codec.sealedPaths(decider.initialState, decoded('DeviceRenamed') as never)).toThrow();
    expect(() => codec.sealedPaths(decider.initialState, decoded('DevicePinRegenerated') as never)).toThrow();
    expect(() => userAggregate.codec.sealedPaths(userAggregate.decider.initialState, decoded('ProfileChanged') as never)).toThrow();
  });
});

describe('what this build does not know', () => {
  const { wire } = fixtures.find(({ file }) => file.startsWith('LinkRevoked')) as { wire: Fixture };
  const at = (schemaVersion: number) => ({ ...wire, metadata: { schemaVersion } });
  it('is an error, never skipped', () => {
    expect(() => decodeEvent({ ...wire, type: 'BoxPainted' })).toThrow(UnknownEvent);
    expect(() => decodeEvent({ ...wire, type: 'toString' })).toThrow(UnknownEvent);
    for (const version of [2, 0, -1, 1.5, Number.NaN]) expect(() => decodeEvent(at(version))).toThrow(UnknownEvent);
    expect(() => decodeEvent({ ...wire, metadata: {} as never })).toThrow(UnknownEvent);
  });
  it('is named', () => {
    expect(() => decodeEvent(at(7))).toThrow(expect.objectContaining({ type: wire.type, schemaVersion: 7 }));
  });
});

describe('an older version', () => {
  type Ev = { readonly type: 'Painted'; readonly data: { readonly colour: string; readonly coats: number } };
  const codec = createCodec<undefined, Ev>({
    Painted: { version: 3, upcasts: [({ color, ...rest }) => ({ ...rest, colour: color }), (data) => ({ ...data, coats: 1 })] },
  });
  const wire = (schemaVersion: number, data: object): WireEvent => ({ type: 'Painted', data, metadata: { schemaVersion } });
  it('is lifted step by step', () => {
    expect(codec.decode(wire(1, { color: 'red' }))).toEqual({ type: 'Painted', data: { colour: 'red', coats: 1 } });
    expect(codec.decode(wire(2, { colour: 'red' }))).toEqual({ type: 'Painted', data: { colour: 'red', coats: 1 } });
    expect(codec.decode(wire(3, { colour: 'red', coats: 2 }))).toEqual({ type: 'Painted', data: { colour: 'red', coats: 2 } });
  });
  it('whose step is missing is not guessed', () => {
    const gap = createCodec<undefined, Ev>({ Painted: { version: 3, upcasts: [(data) => data] } });
    expect(() => gap.decode(wire(1, {}))).toThrow(UnknownEvent);
  });
});

describe('streams', () => {
  it('are named in one place each', () => {
    expect(deviceStream('x')).toBe('device-x');
    expect(userStream('x')).toBe('user-x');
    for (const aggregate of [deviceAggregate, userAggregate]) expect(aggregate.streamOf('x')).toBe(`${aggregate.category}-x`);
  });
  it('of refusals are spread by source, and one source’s of a day are in one', () => {
    const at = '2026-11-21T10:30:00.000Z';
    expect(refusalStream(at, 'a')).toBe(refusalStream(at, 'a'));
    const streams = new Set(Array.from({ length: 2000 }, (_, index) => refusalStream(at, `source-${index}`)));
    expect(streams.size).toBe(REFUSAL_SHARDS);
    for (const stream of streams) expect(stream).toMatch(/^refusal-20261121-(\d|1[0-5])$/);
  });
});
