import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DomainEvent } from '../../src/domain/events.ts';
import type { Actor } from '../../src/domain/kernel.ts';
import { newId } from '../../src/platform/ids.ts';
import type { AuditFilter, AuditRow } from '../../src/projections/read-models.ts';
import { projections } from '../../src/projections/registry.ts';
import { personal, startReadSide, toAppend, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

let postgres: TestPostgres;
let side: ReadSide;
const TOMORROW = '2026-11-22T10:00:00.000Z';

interface Box {
  readonly deviceId: string;
  readonly userId: string;
  readonly assignmentId: string;
  readonly stream: string;
}

async function aBox(serialNumber: string, [firstName, lastName]: readonly [string, string], name: string): Promise<Box> {
  const [deviceId, userId, assignmentId] = [newId(), newId(), newId()];
  const [stream, subject] = [`device-${deviceId}`, `user:${userId}`];
  const profile = personal(subject, { email: `${firstName}.${lastName}@example.com`.toLowerCase(), firstName, lastName, residentState: 'Izmir' });
  await side.append(`user-${userId}`, [{ type: 'UserRegistered', data: { userId, profile } }], { actor: { kind: 'user', id: userId } });
  await side.append(stream, [
    { type: 'DeviceRegistered', data: { deviceId, serialNumber, model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin: personal(`device:${deviceId}`, '123456'), pinTag: 'tag', pinExpiresAt: TOMORROW } },
    { type: 'DeviceAssigned', data: { assignmentId, userId, name: personal(subject, name) } },
  ]);
  return { deviceId, userId, assignmentId, stream };
}

let ada: Box;
let kim: Box;
let admin: Actor;
let unlockId: string;
let linkId: string;
const correlationId = newId();

/** A delivery, refusals, reasons, another program's events. */
async function history(): Promise<void> {
  ada = await aBox('LB-004471', ['Ada', 'Yılmaz'], 'Front door');
  kim = await aBox('LB-009000', ['Kim', 'Berg'], '12 Mill Lane');
  admin = { kind: 'admin', id: kim.userId };
  [unlockId, linkId] = [newId(), newId()];
  const courier: Actor = { kind: 'courier', id: linkId };
  const owner: Actor = { kind: 'user', id: ada.userId };
  const subject = `user:${ada.userId}`;
  const origin = (sub: string, type: string, ip: string) => ({ origin: side.vault.seal(sub, type, 'metadata.origin', { ip, userAgent: 'curl/8' }) as never });
  const link: DomainEvent = { type: 'LinkCreated', data: { linkId, assignmentId: ada.assignmentId, tokenHash: 'h', token: personal(subject, 't'), name: personal(subject, 'Parcel of Tuesday'), expiresAt: TOMORROW, maxUses: 1, requireIdentity: false } };
  await side.append(ada.stream, [link], { actor: owner, source: 'mobile_app', ...origin(subject, 'LinkCreated', '198.51.100.7') });
  const asked: DomainEvent = { type: 'UnlockRequested', data: { unlockId, cause: { kind: 'link', id: linkId }, assignmentId: ada.assignmentId, issuedAt: '2026-11-21T10:00:00.000Z', expiresAt: '2026-11-21T10:00:30.000Z', courier: personal(`delivery:${unlockId}`, { name: 'Jo March', company: 'Quick' }) } };
  const commandId = newId();
  await side.append(ada.stream, [asked], { actor: courier, source: 'delivery_link', correlationId, commandId, causationId: commandId, ...origin(`delivery:${unlockId}`, 'UnlockRequested', '203.0.113.7') });
  await side.append(ada.stream, [{ type: 'UnlockDispatched', data: { unlockId, level: 1 } }, { type: 'UnlockPublished', data: { unlockId } }], { correlationId, causationId: commandId });
  await side.append(ada.stream, [{ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } }, { type: 'LockStateReported', data: { lockStatus: 'unlocked', evidence: 'signed' } }], { correlationId, actor: { kind: 'device', id: ada.deviceId }, source: 'mqtt_device' });
  await side.append('refusal-20261121-1', [{ type: 'CommandRefused', data: { command: 'RequestUnlock', target: { kind: 'link', id: linkId }, reason: 'link_used' } }], { actor: courier, source: 'delivery_link' });
  await side.append('refusal-20261121-2', [{ type: 'CommandRefused', data: { command: 'adminDevices', target: { kind: 'user', id: ada.userId }, reason: 'role_missing' } }], { actor: owner });
  await side.append(kim.stream, [{ type: 'MaintenanceStarted', data: { reason: 'new hinge, said the kestrel' } }, { type: 'FirmwareReported', data: { version: '1.4.2', evidence: 'signed' } }], { actor: admin, source: 'web_dashboard' });
  await side.append(kim.stream, [{ type: 'Level0DeliveriesAccepted', data: { reason: personal(`user:${kim.userId}`, 'Old Falconer Street is trusted') } }], { actor: admin, source: 'web_dashboard' });
  await side.append(kim.stream, [{ type: 'BatteryLevelChanged', data: { level: 40, evidence: 'signed' } }, { type: 'DeviceTampered', data: { evidence: 'signed' } }]);
  const foreign = toAppend({ type: 'LogStarted', data: { logId: newId(), version: 'x' } }, '2026-11-21T10:00:00.030Z', { actor: { kind: 'system', id: 'shop' } });
  await side.store.append('other-1', 'any', [{ ...foreign, type: 'PaymentTaken', data: { note: 'of another program' } }]);
  await side.happened(`user-${ada.userId}`, [{ type: 'LoginRefused', data: { reason: 'password' } }], { actor: owner });
}

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres);
  await history();
});
afterAll(async () => {
  await side?.stop();
  await postgres?.stop();
});

const list = (filter: AuditFilter, limit = 100, offset = 0) => side.reads.audit.list(filter, { limit, offset });
const typesOf = (rows: readonly AuditRow[]) => rows.map(({ type }) => type);
const search = async (q: string, filter: AuditFilter = {}) => typesOf((await list({ q, ...filter })).rows);

describe('searching the audit log', () => {
  it('finds what was done, refused, said, and by whom, in every order of words', async () => {
    expect(await search('kestrel')).toEqual(['MaintenanceStarted']);
    expect(await search('HINGE maintenance')).toEqual(['MaintenanceStarted']);
    expect(await search('refused')).toEqual(['LoginRefused', 'CommandRefused', 'CommandRefused']);
    expect(await search('link_used')).toEqual(['CommandRefused']);
    expect(await search('refused march')).toEqual([]);
    expect(await search('march')).toEqual(['LockStateReported', 'UnlockConfirmed', 'UnlockPublished', 'UnlockDispatched', 'UnlockRequested'].slice(1));
    expect(await search('tuesday')).toEqual(['CommandRefused', 'UnlockRequested', 'LinkCreated']);
    expect(await search('4471 opened')).toEqual(['UnlockConfirmed']);
    expect(await search('yılmaz refused')).toEqual(['LoginRefused', 'CommandRefused']);
    expect(await search('mill lane battery')).toEqual(['BatteryLevelChanged']);
    expect(await search('203.0.113.7')).toEqual(['UnlockRequested']);
    expect(await search('1.4.2')).toEqual(['FirmwareReported']);
    expect(await search('payment')).toEqual(['PaymentTaken']);
    expect(await search('administrator')).toEqual(['Level0DeliveriesAccepted', 'FirmwareReported', 'MaintenanceStarted']);
    expect(await search('falconer trusted')).toEqual(['Level0DeliveriesAccepted']); // sealed in the log
    expect((await list({ q: 'Falconer' })).rows).toMatchObject([{ data: { reason: 'Old Falconer Street is trusted' }, summary: 'Administrator Kim Berg accepted deliveries to LB-009000 although its firmware is old: Old Falconer Street is trusted' }]);
    expect(await search(unlockId.slice(0, 30), { outcome: 'accepted' })).toEqual(['UnlockConfirmed', 'UnlockPublished', 'UnlockDispatched', 'UnlockRequested']);
    expect(await search('zeppelin')).toEqual([]);
    expect(await search('battery refused')).toEqual([]);
    expect(await search('the of')).toHaveLength((await list({})).total);
  });

  it('says the same as each entry asked by itself', async () => {
    const everything = (await list({}, 1_000)).rows;
    const ids = everything.slice(0, 3).flatMap(({ eventId, correlationId: chain }) => [eventId, chain.slice(0, 12), eventId.slice(0, 20)]);
    const words = ['re', 'refused', 'ada', 'kim.berg@example.com', 'lb-00', 'lb', 'link', 'un', 'unlocked', 'parcel', 'door', 'lane', 'jo', 'quick', 'system', 'courier', 'cour', 'administ', '198.51.100.7', 'e', 'said', 'falconer', 'trust', 'LinkCreated', 'wrong', 'tampered', 'admin', linkId, ada.deviceId, ada.userId.slice(0, 13), unlockId.slice(0, 18), ...ids];
    const questions = [...words, ...words.map((word, n) => `${word} ${words[(n * 7 + 3) % words.length] ?? ''}`)];
    for (const q of questions) {
      const one = typesOf((await side.reads.audit.news({ q }, -1n, everything[0]?.position ?? 0n, 10_000)).rows);
      const { rows, ...rest } = await list({ q }, 1_000);
      expect(typesOf(rows), q).toEqual(one.toReversed());
      expect(rest, q).toEqual({ total: one.length, atLeast: false, partial: false, namedSince: undefined });
    }
  });

  it('looks through names of links in parts, says down to when, and goes on from there', async () => {
    const fill = (statement: (people: string) => string) => side.reader.all({ name: 'test.fill', once: true, text: (s) => statement(`${s['people']}.people`) }, []);
    // Newer than every link, all but the first at one instant: they are one part, however many.
    await fill((people) => `
      INSERT INTO ${people} (ref, kind, subject_id, fields, since)
      SELECT gen_random_uuid(), 'link', 'test', '{"name":"filler"}', '2100-01-01T00:00:00.5Z'::timestamptz + CASE n WHEN 1 THEN interval '1 hour' ELSE '0' END FROM generate_series(1, 10050) n`);
    try {
      const part = await list({ q: 'tuesday' });
      expect([typesOf(part.rows), part.partial, part.namedSince]).toEqual([[], true, '2100-01-01T00:00:00.500Z']);
      const next = await list({ q: 'tuesday', namedBefore: part.namedSince ?? '' });
      expect([typesOf(next.rows), next.partial, next.namedSince]).toEqual([['CommandRefused', 'UnlockRequested', 'LinkCreated'], false, undefined]);
      expect(await side.reads.audit.pages({ q: 'tuesday' }, await side.reads.audit.head())).toMatchObject({ partial: true, namedSince: part.namedSince });
      expect(await list({})).toMatchObject({ partial: false, namedSince: undefined });
    } finally {
      await fill((people) => `DELETE FROM ${people} WHERE subject_id = 'test'`);
    }
    expect(await list({ q: 'tuesday' })).toMatchObject({ total: 3, partial: false, namedSince: undefined });
  });

  it('is joined with every filter', async () => {
    const everything = (await list({}, 1_000)).rows;
    const middle = everything[Math.floor(everything.length / 2)]?.position ?? 0n;
    const filters: readonly (readonly [AuditFilter, (row: AuditRow) => boolean])[] = [
      [{ outcome: 'refused' }, ({ outcome }) => outcome === 'refused'],
      [{ outcome: 'accepted' }, ({ outcome }) => outcome === 'accepted'],
      [{ actorKind: 'user' }, ({ actorKind }) => actorKind === 'user'],
      [{ actorKind: 'admin' }, ({ actorKind }) => actorKind === 'admin'],
      [{ source: 'web_dashboard' }, ({ source }) => source === 'web_dashboard'],
      [{ source: 'system' }, ({ source }) => source === 'system'],
      [{ deviceId: ada.deviceId }, ({ deviceId }) => deviceId === ada.deviceId],
      [{ userId: ada.userId }, ({ userId, actorId }) => userId === ada.userId || actorId === ada.userId],
      [{ actorId: linkId }, ({ actorId }) => actorId === linkId],
      [{ ip: '203.0.113.7' }, ({ ip }) => ip === '203.0.113.7'],
      [{ correlationId }, (row) => row.correlationId === correlationId],
      [{ unlockId, types: ['UnlockRequested', 'UnlockConfirmed'] }, (row) => row.unlockId === unlockId && ['UnlockRequested', 'UnlockConfirmed'].includes(row.type)],
      [{ from: '2026-11-21T10:00:00.005Z', to: '2026-11-21T10:00:00.012Z' }, ({ occurredAt }) => occurredAt >= '2026-11-21T10:00:00.005Z' && occurredAt < '2026-11-21T10:00:00.012Z'],
      [{ before: middle }, ({ position }) => position < middle],
      [{ until: middle }, ({ position }) => position <= middle],
    ];
    for (const [first, isFirst] of filters) {
      for (const [second, isSecond] of filters) {
        const expected = everything.filter((row) => isFirst(row) && isSecond({ ...row }));
        const merged = { ...first, ...second };
        if (Object.keys(merged).length < Object.keys(first).length + Object.keys(second).length && first !== second) continue; // one of them alone
        const { rows, total } = await list(merged, 1_000);
        expect(typesOf(rows), JSON.stringify(Object.keys(merged))).toEqual(typesOf(expected));
        expect(total).toBe(expected.length);
        const after = await list({ ...merged, after: middle }, 1_000);
        expect(typesOf(after.rows)).toEqual(typesOf(expected.filter(({ position }) => position > middle)).toReversed());
      }
    }
  });

  it('forgets a person with the person', async () => {
    const gone = await aBox('LB-000013', ['Zeynep', 'Ak'], 'Attic');
    await side.happened(gone.stream, [{ type: 'DevicePinViewed', data: {} }]);
    expect(await search('zeynep')).toEqual(['DeviceAssigned', 'UserRegistered']);
    side.vault.erase(`user:${gone.userId}`);
    await side.happened(`user-${gone.userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: TOMORROW } }]);
    expect(await search('zeynep')).toEqual([]);
    expect((await list({ q: '000013' })).rows.map(({ summary }) => summary).join('\n')).not.toMatch(/zeynep/i);
  });
});

describe('pages of the audit log', () => {
  it('neither skip nor repeat while events are appended', async () => {
    const subject = `user:${ada.userId}`;
    const renamed = (n: number): DomainEvent => ({ type: 'DeviceRenamed', data: { assignmentId: ada.assignmentId, name: personal(subject, `Door ${n}`) } });
    await side.happened(ada.stream, Array.from({ length: 40 }, (_, n) => renamed(n)));
    for (const filter of [{}, { q: 'renamed' }, { deviceId: ada.deviceId, action: 'device_renamed' }] as AuditFilter[]) {
      const before = (await list(filter, 1_000)).rows.map(({ eventId }) => eventId);
      const seen: string[] = [];
      for (let cursor: bigint | undefined; ; ) {
        const { rows } = await list({ ...filter, ...(cursor === undefined ? {} : { before: cursor }) }, 7);
        seen.push(...rows.map(({ eventId }) => eventId));
        if (rows.length < 7) break;
        cursor = rows.at(-1)?.position;
        await side.happened(ada.stream, [renamed(99), renamed(100)]);
      }
      expect(seen).toEqual(before);
    }
  });

  it('answer however far down the list they are', async () => {
    const { total } = await list({});
    expect((await list({}, 5, total - 2)).rows).toHaveLength(2);
    for (const filter of [{}, { q: 'renamed' }, { q: 'ada renamed' }] as AuditFilter[]) {
      expect((await list(filter, 5, 1_000_000_000)).rows).toEqual([]);
      expect((await list(filter, 1, 20_000)).rows).toEqual([]);
    }
  });

  it('of an export have everything up to where it began, once, and nothing later', async () => {
    const everything = (await list({}, 1_000)).rows;
    const until = await side.reads.audit.head();
    const seen: AuditRow[] = [];
    for await (const rows of (await side.reads.audit.pages({}, until)).pieces) {
      if (seen.length === 0) await side.happened(ada.stream, [{ type: 'DevicePinViewed', data: {} }]);
      seen.push(...rows);
    }
    expect(seen.map(({ eventId }) => eventId)).toEqual(everything.map(({ eventId }) => eventId).toReversed());
    const found: AuditRow[] = [];
    for await (const rows of (await side.reads.audit.pages({ q: 'refused', deviceId: ada.deviceId }, until)).pieces) found.push(...rows);
    expect(found).toEqual([]);
  });
});

describe('one entry', () => {
  it('is found by its event, in the log about itself too', async () => {
    const [entry] = (await list({ q: 'kestrel' })).rows;
    expect((await side.reads.audit.byEvent(entry?.eventId ?? ''))?.summary).toBe('Administrator Kim Berg took LB-009000 into maintenance: new hinge, said the kestrel');
    const [started] = (await list({ types: ['LogStarted'] })).rows;
    expect(started?.summary).toBe('The log was started by version 0.0.0-test');
    expect((await side.reads.audit.byEvent(started?.eventId ?? ''))?.type).toBe('LogStarted');
    expect(await side.reads.audit.byEvent(newId())).toBeUndefined();
  });

  it('names who it was as they are called now', async () => {
    const [asked] = (await list({ types: ['UnlockRequested'] })).rows;
    expect(asked).toMatchObject({ summary: 'Courier Jo March asked to unlock LB-004471 by the link “Parcel of Tuesday”', ip: '203.0.113.7', courierName: 'Jo March', linkName: 'Parcel of Tuesday' });
    const [other] = (await list({ types: ['PaymentTaken'] })).rows;
    expect(other?.summary).toBe('The system (shop) recorded PaymentTaken: a kind of event that this version does not know');
  });
});

describe('an installation of a former version', () => {
  it('has its audit log built anew by itself, and answers meanwhile that it is', async () => {
    const url = await postgres.migratedDatabase();
    const former = await startReadSide(postgres, {
      url,
      projections: (vault) =>
        projections({ sealer: vault }).map((each) => {
          const { audit, words: _, ...others } = each.tables;
          if (each.name !== 'audit' || audit === undefined) return each;
          return { ...each, version: 1, tables: { ...others, audit }, every: (event, rows) => each.every?.(event, { ...rows, words: { put: () => undefined } } as never) };
        }),
    });
    const stream = `device-${newId()}`;
    await former.happened(stream, [{ type: 'MaintenanceStarted', data: { reason: 'new hinge' } }]);
    await former.stop();
    const now = await startReadSide(postgres, { url });
    try {
      const found = async () => {
        try {
          return typesOf((await now.reads.audit.list({ q: 'hinge' }, { limit: 10, offset: 0 })).rows);
        } catch (error) {
          expect((error as Error).name).toBe('ReadModelUnavailable');
          return [];
        }
      };
      expect(await until('the new generation', async () => ((rows) => rows.length > 0 && rows)(await found()))).toEqual(['MaintenanceStarted']);
      await now.happened(stream, [{ type: 'MaintenanceEnded', data: {} }]);
      expect(typesOf((await now.reads.audit.list({ q: 'maintenance' }, { limit: 10, offset: 0 })).rows)).toEqual(['MaintenanceEnded', 'MaintenanceStarted']);
    } finally {
      await now.stop();
    }
  });
});
