import type { Instant } from '../../domain/kernel.ts';
import type { DeviceFilter, DeviceQueries, DeviceRow } from '../read-models.ts';
import type { Query, Reader, Schemas } from '../schemas.ts';
import { whereOf, type Conditions } from '../where.ts';
import type { DeviceView } from './projection.ts';

/** What is joined to a view: the assignment's name and place, and when the box was last heard. */
interface Joined {
  readonly view: DeviceView;
  readonly place: Partial<Record<'name' | 'address' | 'unlinkReason', string | null> & Record<'latitude' | 'longitude', number | null>> | null;
  readonly lastHeardAt: Instant | null;
  /** As it was last reported: the log has only what is news. */
  readonly battery: number | null;
  readonly signalStrength: number | null;
  readonly uptimeSeconds: number | null;
}

function deviceOf({ view, place, lastHeardAt, battery, signalStrength, uptimeSeconds }: Joined): DeviceRow {
  return {
    ...view,
    batteryLevel: battery ?? view.batteryLevel,
    name: place?.name ?? null,
    address: place?.address ?? null,
    latitude: place?.latitude ?? null,
    longitude: place?.longitude ?? null,
    unlinkReason: place?.unlinkReason ?? null,
    lastHeardAt,
    signalStrength,
    uptimeSeconds,
  };
}

const columns = `
  d.view, p.fields AS place, live.last_heard_at AS "lastHeardAt", live.battery, live.signal_strength AS "signalStrength",
  least(live.uptime, 2147483647)::integer AS "uptimeSeconds"`;

const from = (s: Schemas, boxes = `${s['devices']}.devices`) => `
  ${boxes} d
  LEFT JOIN ${s['people']}.people p ON p.ref = d.assignment_id
  LEFT JOIN work.device_live live ON live.device_id = d.device_id`;

const byId = { name: 'devices.by_id', quick: true, text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.device_id = $1` };
const bySerial = { name: 'devices.by_serial', quick: true, text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.serial_number = $1` };
const ofOwner = {
  name: 'devices.of_owner', quick: true,
  text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.owner_id = $1 ORDER BY d.assigned_at, d.device_id`,
};
/** `online` is two values: whether, and since when a box must have been heard of. */
type StoredFilter = Omit<DeviceFilter, 'online'> & { readonly onlineSince?: Instant; readonly offlineSince?: Instant };

const isOnline = (since: string) => `(d.online AND coalesce(live.last_heard_at >= ${since}::timestamptz, true))`;
/** Users and assignments that are called so: found once, and not for each box. */
const called = (s: Schemas, words: string) => `SELECT ref FROM ${s['people']}.people WHERE strpos(words, ${words}::text) > 0`;

const conditionsOf = (s: Schemas): Conditions<StoredFilter> => ({
  lifecycle: (p) => `d.lifecycle = ${p}`,
  assigned: (p) => `(d.owner_id IS NOT NULL) = ${p}::boolean`,
  onlineSince: isOnline,
  offlineSince: (p) => `NOT ${isOnline(p)}`,
  batteryBelow: (p) => `coalesce(live.battery, d.battery_level) < ${p}::integer`,
  model: (p) => `lower(d.model) = lower(${p})`,
  firmware: (p) => `d.firmware_version = ${p}`,
  unlinkRequested: (p) => `d.unlink_requested = ${p}::boolean`,
  search: (p) =>
    `(strpos(lower(d.serial_number), ${p}::text) > 0 OR strpos(d.device_id::text, ${p}::text) > 0
      OR d.owner_id IN (${called(s, p)}) OR d.assignment_id IN (${called(s, p)}))`,
});

/** What the filter asks of each box, and nothing else: what is only shown is joined to those that are shown. */
const asked = (s: Schemas, filter: StoredFilter, where: string) => {
  const needsLive = [filter.onlineSince, filter.offlineSince, filter.batteryBelow].some((each) => each !== undefined);
  return `${s['devices']}.devices d ${needsLive ? 'LEFT JOIN work.device_live live ON live.device_id = d.device_id' : ''} ${where}`;
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
    async list({ online, search, ...rest }, { limit, offset }) {
      const since = online === undefined ? {} : online.is ? { onlineSince: online.heardSince } : { offlineSince: online.heardSince };
      const filter: StoredFilter = { ...rest, ...since, ...(search === undefined ? {} : { search: search.toLowerCase() }) };
      const whereIn = (s: Schemas) => whereOf(conditionsOf(s), filter);
      const { values, shape } = whereIn({});
      const [rows, totals] = await Promise.all([
        reader.all<Joined & { readonly ownerEmail: string | null }>(
          {
            name: `devices.list.${shape}`,
            text: (s) => `
              WITH found AS (
                SELECT d.* FROM ${asked(s, filter, whereIn(s).text)}
                 ORDER BY d.registered_at DESC, d.device_id LIMIT $${values.length + 1} OFFSET $${values.length + 2})
              SELECT ${columns}, owner.fields->>'email' AS "ownerEmail"
                FROM ${from(s, 'found')} LEFT JOIN ${s['people']}.people owner ON owner.ref = d.owner_id
               ORDER BY d.registered_at DESC, d.device_id`,
          },
          [...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          { name: `devices.list_total.${shape}`, text: (s) => `SELECT count(*)::integer AS total FROM ${asked(s, filter, whereIn(s).text)}` },
          values,
        ),
      ]);
      return { rows: rows.map((row): OwnedDeviceRow => ({ ...deviceOf(row), ownerEmail: row.ownerEmail })), total: totals?.total ?? 0 };
    },
    async counts() {
      return (await reader.first<{ total: number; active: number }>(counts, [])) ?? { total: 0, active: 0 };
    },
  };
}
