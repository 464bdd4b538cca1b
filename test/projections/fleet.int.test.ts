import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceEvent } from '../../src/domain/device/events.ts';
import { newId } from '../../src/platform/ids.ts';
import { createDeviceQueries } from '../../src/projections/devices/queries.ts';
import type { DeviceFilter, DeviceQueries, PlaceInTime } from '../../src/projections/read-models.ts';
import { personal, startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let side: ReadSide;
/** Of whatever has more than two of a name, not all are counted. */
let fleet: DeviceQueries;
const SINCE = '2026-11-21T09:55:00.000Z';

interface Box {
  readonly deviceId: string;
  readonly serialNumber: string;
  readonly userId: string;
  readonly assignmentId: string;
}

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres);
  fleet = createDeviceQueries(side.reader, { few: 2 });
});
afterAll(async () => {
  await side?.stop();
  await postgres?.stop();
});

let boxes = 0;
async function aBox(owner: { email: string; firstName: string; lastName: string }, name: string, ...more: DeviceEvent[]): Promise<Box> {
  const [deviceId, assignmentId, userId, serialNumber] = [newId(), newId(), newId(), `LB-2026-${String(++boxes).padStart(4, '0')}`];
  const profile = personal(`user:${userId}`, { ...owner, residentState: 'Izmir' });
  await side.happened(`user-${userId}`, [{ type: 'UserRegistered', data: { userId, profile } }]);
  const data = { deviceId, serialNumber, model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
  await side.happened(`device-${deviceId}`, [{ type: 'DeviceRegistered', data }, { type: 'DeviceAssigned', data: { assignmentId, userId, name: personal(`user:${userId}`, name) } }, ...more]);
  return { deviceId, serialNumber, userId, assignmentId };
}

const reports = (level: number): DeviceEvent => ({ type: 'BatteryLevelChanged', data: { level, evidence: 'signed' } });
const comesOnline: DeviceEvent = { type: 'DeviceWentOnline', data: { evidence: 'signed' } };
const says = ({ deviceId }: Box, heardAt: string, battery: number | null) =>
  side.db.pool.query('INSERT INTO work.device_live (device_id, profile, topic_key, last_heard_at, battery) VALUES ($1::uuid, $2, $1::uuid::text, $3, $4)', [deviceId, 'loqey', heardAt, battery]);

describe('the fleet by what it is called', () => {
  let ada: Box;
  let emre: Box;
  let garages: readonly Box[];

  beforeAll(async () => {
    // Names with a letter that no id has: one of ours was in another's id now and then.
    ada = await aBox({ email: 'ayla@berg.example', firstName: 'Ayla', lastName: 'Berg' }, '50% off');
    emre = await aBox({ email: 'emre@example.org', firstName: 'Emre', lastName: 'Yıldız' }, 'İskele kapısı', comesOnline);
    garages = [];
    for (let n = 0; n < 5; n++) garages = [...garages, await aBox({ email: `g${n}@garage.example`, firstName: 'Kim', lastName: 'Ito' }, 'Garage', ...(n % 2 === 0 ? [comesOnline] : []))];
  });

  const find = async (filter: DeviceFilter, limit = 100, offset = 0) => {
    const { rows, total, atLeast } = await fleet.list(filter, { limit, offset });
    return { ids: rows.map(({ deviceId }) => deviceId), total, atLeast };
  };

  it('any part, in any case: of serial number, id, name of box or owner, address of mail', async () => {
    for (const part of [ada.serialNumber, ada.serialNumber.slice(1), ada.deviceId, ada.deviceId.slice(9, 20), 'ayla', 'AYLA@BERG', 'la be', '50% o', '%']) {
      expect(await find({ search: part }), part).toEqual({ ids: [ada.deviceId], total: 1, atLeast: false });
    }
    for (const part of ['Yıldız', 'ıl', 'İskele', 'kapısı']) expect((await find({ search: part })).ids, part).toEqual([emre.deviceId]);
    for (const part of ['zanzibar', 'aylaa', 'a_la', "x'; --", 'ayla\u0001berg', '👍👍']) expect(await find({ search: part }), part).toEqual({ ids: [], total: 0, atLeast: false });
  });

  it('what many are called fills its pages in order, and is counted as far as it was looked', async () => {
    const newest = garages.map(({ deviceId }) => deviceId).reverse();
    expect(await find({ search: 'garage' }, 2)).toEqual({ ids: newest.slice(0, 2), total: 3, atLeast: true });
    expect(await find({ search: 'garage' }, 2, 2)).toEqual({ ids: newest.slice(2, 4), total: 5, atLeast: true });
    expect(await find({ search: 'garage' }, 2, 4)).toEqual({ ids: newest.slice(4), total: 5, atLeast: false });
    expect(await find({ search: 'garage' })).toEqual({ ids: newest, total: 5, atLeast: false });
    expect((await find({ search: 'lb-2026' })).total).toBe(7);
    expect(await find({ search: 'g' })).toMatchObject({ total: 7, atLeast: false }); // Berg and .org too
  });

  it('together with what is asked for besides', async () => {
    const online = { is: true, heardSince: SINCE };
    const [last, , third, , first] = garages.map(({ deviceId }) => deviceId).reverse();
    expect(await find({ search: 'garage', online })).toEqual({ ids: [last, third, first], total: 3, atLeast: false });
    expect((await find({ search: 'iskele', online })).ids).toEqual([]); // a dotted capital is another letter
    expect((await find({ search: 'yıldız', online })).ids).toEqual([emre.deviceId]);
    expect((await find({ search: 'ayla', online })).ids).toEqual([]);
    expect((await find({ search: 'garage', lifecycle: 'maintenance' })).ids).toEqual([]);
  });

  it('a page goes on behind the last row of the one before', async () => {
    const whole = (await find({})).ids;
    const seen: string[] = [];
    for (let after: PlaceInTime | undefined; ; ) {
      const { rows, total } = await fleet.list(after === undefined ? {} : { after }, { limit: 3, offset: 0 });
      expect(total).toBe(whole.length - seen.length);
      const last = rows.at(-1);
      if (last === undefined) break;
      seen.push(...rows.map(({ deviceId }) => deviceId));
      after = { at: last.registeredAt, id: last.deviceId };
    }
    expect(seen).toEqual(whole);
  });

  it('by its new name, not by the old one; and by none of a person who was erased', async () => {
    const { deviceId, assignmentId, userId } = ada;
    await side.happened(`device-${deviceId}`, [{ type: 'DeviceRenamed', data: { assignmentId, name: personal(`user:${userId}`, 'Shed') } }]);
    expect([(await find({ search: 'shed' })).ids, (await find({ search: '50% off' })).ids]).toEqual([[deviceId], []]);
    side.vault.erase(`user:${userId}`);
    await side.happened(`user-${userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: '2026-11-22T10:00:00.000Z' } }]);
    expect([(await find({ search: 'shed' })).ids, (await find({ search: 'ayla@' })).ids, (await find({ search: ada.serialNumber })).ids]).toEqual([[], [], [deviceId]]);
  });
});

describe('the fleet by what was heard of it', () => {
  it('its battery as it was told last, else as the log has it', async () => {
    const owner = { email: 'b@battery.example', firstName: 'Bo', lastName: 'Low' };
    const [told, recovered, silent, never] = [await aBox(owner, 'told', reports(50)), await aBox(owner, 'recovered', reports(10)), await aBox(owner, 'silent', reports(11)), await aBox(owner, 'never')];
    await says(told, SINCE, 12);
    await says(recovered, SINCE, 80);
    await says(silent, SINCE, null);
    const weak = async (below: number) => (await fleet.list({ batteryBelow: below }, { limit: 100, offset: 0 })).rows.map(({ deviceId }) => deviceId);
    expect(await weak(20)).toEqual([silent.deviceId, told.deviceId]);
    expect(await weak(12)).toEqual([silent.deviceId]);
    expect(await weak(101)).toEqual([silent.deviceId, recovered.deviceId, told.deviceId]);
    expect(await weak(101)).not.toContain(never.deviceId);
  });

  it('online while it is heard; page and total are of the same boxes', async () => {
    const owner = { email: 'o@online.example', firstName: 'Ola', lastName: 'On' };
    const [heard, lost, gone, unheard] = [await aBox(owner, 'heard', comesOnline), await aBox(owner, 'lost', comesOnline), await aBox(owner, 'gone'), await aBox(owner, 'unheard', comesOnline)];
    await says(heard, '2026-11-21T09:56:00.000Z', null);
    await says(lost, '2026-11-21T09:54:00.000Z', null);
    await says(gone, '2026-11-21T09:56:00.000Z', null);
    const found = async (is: boolean) => await fleet.list({ online: { is, heardSince: SINCE } }, { limit: 100, offset: 0 });
    const [on, off] = [await found(true), await found(false)];
    const idsOf = ({ rows }: typeof on) => rows.map(({ deviceId }) => deviceId);
    expect(idsOf(on)).toEqual(expect.arrayContaining([heard.deviceId, unheard.deviceId]));
    expect(idsOf(off)).toEqual(expect.arrayContaining([lost.deviceId, gone.deviceId]));
    expect([on.total, off.total]).toEqual([on.rows.length, off.rows.length]);
    expect(on.total + off.total).toBe((await fleet.list({}, { limit: 1, offset: 0 })).total);
  });
});
