import type { Instant } from '../../domain/kernel.ts';
import type { DeviceQueries, DeviceRow } from '../read-models.ts';
import type { Query, Reader, Schemas } from '../schemas.ts';
import type { DeviceView } from './projection.ts';

/** What is joined to a view: the assignment's name and place, and when the box was last heard. */
interface Joined {
  readonly view: DeviceView;
  readonly place: Partial<Record<'name' | 'address', string | null> & Record<'latitude' | 'longitude', number | null>> | null;
  readonly lastHeardAt: Instant | null;
}

function deviceOf({ view, place, lastHeardAt }: Joined): DeviceRow {
  return {
    ...view,
    name: place?.name ?? null,
    address: place?.address ?? null,
    latitude: place?.latitude ?? null,
    longitude: place?.longitude ?? null,
    lastHeardAt,
  };
}

const columns = 'd.view, p.fields AS place, live.last_heard_at AS "lastHeardAt"';

const from = (s: Schemas) => `
  ${s['devices']}.devices d
  LEFT JOIN ${s['people']}.people p ON p.ref = d.assignment_id
  LEFT JOIN work.device_live live ON live.device_id = d.device_id`;

const byId = { name: 'devices.by_id', text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.device_id = $1` };
const bySerial = { name: 'devices.by_serial', text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.serial_number = $1` };
const ofOwner = {
  name: 'devices.of_owner',
  text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.owner_id = $1 ORDER BY d.assigned_at, d.device_id`,
};
const list = {
  name: 'devices.list',
  text: (s: Schemas) => `
    SELECT ${columns}, owner.fields->>'email' AS "ownerEmail"
      FROM ${from(s)} LEFT JOIN ${s['people']}.people owner ON owner.ref = d.owner_id
     WHERE ($1::text IS NULL OR d.lifecycle = $1) AND ($2::boolean IS NULL OR (d.owner_id IS NOT NULL) = $2)
     ORDER BY d.registered_at DESC, d.device_id LIMIT $3 OFFSET $4`,
};
const listTotal = {
  name: 'devices.list_total',
  text: (s: Schemas) => `
    SELECT count(*)::integer AS total FROM ${s['devices']}.devices d
     WHERE ($1::text IS NULL OR d.lifecycle = $1) AND ($2::boolean IS NULL OR (d.owner_id IS NOT NULL) = $2)`,
};
const counts = {
  name: 'devices.counts',
  text: (s: Schemas) => `
    SELECT count(*) FILTER (WHERE lifecycle <> 'decommissioned')::integer AS total,
           count(*) FILTER (WHERE lifecycle = 'active')::integer AS active
      FROM ${s['devices']}.devices`,
};

type OwnedDeviceRow = DeviceRow & { readonly ownerEmail: string | null };

export function createDeviceQueries(reader: Reader): DeviceQueries {
  const one = async (query: Query, value: string) => {
    const row = await reader.first<Joined>(query, [value]);
    return row === undefined ? undefined : deviceOf(row);
  };
  return {
    byId: (deviceId) => one(byId, deviceId),
    bySerial: (serialNumber) => one(bySerial, serialNumber),
    async ofOwner(userId) {
      return (await reader.all<Joined>(ofOwner, [userId])).map(deviceOf);
    },
    async list({ lifecycle, assigned }, { limit, offset }) {
      const filter = [lifecycle ?? null, assigned ?? null];
      const [rows, totals] = await Promise.all([
        reader.all<Joined & { readonly ownerEmail: string | null }>(list, [...filter, limit, offset]),
        reader.first<{ total: number }>(listTotal, filter),
      ]);
      return { rows: rows.map((row): OwnedDeviceRow => ({ ...deviceOf(row), ownerEmail: row.ownerEmail })), total: totals?.total ?? 0 };
    },
    async counts() {
      return (await reader.first<{ total: number; active: number }>(counts, [])) ?? { total: 0, active: 0 };
    },
  };
}
