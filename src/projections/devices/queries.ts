import type { Instant } from '../../domain/kernel.ts';
import { hasPart } from '../grams.ts';
import type { DeviceFilter, DeviceQueries, DeviceRow, Page, Paged } from '../read-models.ts';
import type { Query, Reader, Schemas } from '../schemas.ts';
import { atOf, idOf, whereOf, type Conditions, type Where } from '../where.ts';
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

const from = (s: Schemas) => `
  ${s['devices']}.devices d
  LEFT JOIN ${s['people']}.people p ON p.ref = d.assignment_id
  LEFT JOIN work.device_live live ON live.device_id = d.device_id`;

const byId = { name: 'devices.by_id', quick: true, text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.device_id = $1` };
const bySerial = { name: 'devices.by_serial', quick: true, text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.serial_number = $1` };
const ofOwner = {
  name: 'devices.of_owner', quick: true,
  text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.owner_id = $1 ORDER BY d.assigned_at, d.device_id`,
};
/** `online` is two values: whether, and since when a box must have been heard of. */
type StoredFilter = Omit<DeviceFilter, 'online' | 'search'> & { readonly onlineSince?: Instant; readonly offlineSince?: Instant };

/** By the row of `work.device_live`, where there is one. In this form they are read once and held, not looked up for each box. */
const said = (what: string) => `EXISTS (SELECT FROM work.device_live live WHERE live.device_id = f.device_id AND ${what})`;
const isSilent = (since: string) => said(`live.last_heard_at < ${since}::timestamptz`);

const conditions: Conditions<StoredFilter> = {
  lifecycle: (p) => `f.lifecycle = ${p}`,
  assigned: (p) => `(f.owner_id IS NOT NULL) = ${p}::boolean`,
  onlineSince: (p) => `f.online AND ${isSilent(p)} IS NOT TRUE`,
  offlineSince: (p) => `(NOT f.online OR ${isSilent(p)})`,
  // What a box told last is what counts; what the log has of it, where nothing was told.
  batteryBelow: (p) => `(${said(`live.battery < ${p}::integer`)} OR ((f.battery_level < ${p}::integer) IS TRUE AND (SELECT live.battery FROM work.device_live live WHERE live.device_id = f.device_id) IS NULL))`,
  model: (p) => `lower(f.model) = lower(${p})`,
  firmware: (p) => `f.firmware_version = ${p}`,
  unlinkRequested: (p) => `f.unlink_requested = ${p}::boolean`,
  after: (p) => `(f.registered_at < ${atOf(p)} OR (f.registered_at = ${atOf(p)} AND f.device_id > ${idOf(p)}))`,
};

const ordered = (limit: string, offset: string) => `ORDER BY f.registered_at DESC, f.device_id LIMIT ${limit} OFFSET ${offset}`;

/** Of all that were `found`: the ids of one page, and how many there are. */
const pageOf = (limit: string, offset: string) => `ARRAY (SELECT f.device_id FROM found f ${ordered(limit, offset)}) AS ids, (SELECT count(*)::integer FROM found) AS total`;

/** What is shown of the boxes of one page, of which `found` has ids and times of registration. */
const shown = (s: Schemas, found: string) => `
  WITH found AS (${found})
  SELECT ${columns}, owner.fields->>'email' AS "ownerEmail"
    FROM found f JOIN ${from(s)} ON d.device_id = f.device_id
    LEFT JOIN ${s['people']}.people owner ON owner.ref = d.owner_id
   ORDER BY f.registered_at DESC, f.device_id`;

const byIds = { name: 'devices.by_ids', text: (s: Schemas) => shown(s, `SELECT device_id, registered_at FROM ${s['devices']}.fleet WHERE device_id = ANY ($1::uuid[])`) };

/** So many people and boxes of a name, or boxes of a serial number or id, are found all. */
const FEW = 1_000;

const counts = {
  name: 'devices.counts',
  text: (s: Schemas) => `
    SELECT count(*) FILTER (WHERE lifecycle <> 'decommissioned')::integer AS total,
           count(*) FILTER (WHERE lifecycle = 'active')::integer AS active
      FROM ${s['devices']}.fleet`,
};

interface OwnedDeviceRow extends DeviceRow {
  readonly ownerEmail: string | null;
}

interface OwnedJoined extends Joined, Record<string, unknown> {
  readonly ownerEmail: string | null;
}

interface Found extends Record<string, unknown> {
  readonly ids: readonly string[];
  readonly total: number;
}

type Devices = Paged<OwnedDeviceRow> & { readonly atLeast: boolean };

export interface DeviceQueryOptions {
  /** What is found all of by its name; default 1,000. */
  readonly few?: number;
}

export function createDeviceQueries(reader: Reader, { few = FEW }: DeviceQueryOptions = {}): DeviceQueries {
  const one = async (query: Query, value: string) => {
    const row = await reader.first<Joined>(query, [value]);
    return row === undefined ? undefined : deviceOf(row);
  };
  const boxesOf = (rows: readonly OwnedJoined[]) => rows.map((row): OwnedDeviceRow => ({ ...deviceOf(row), ownerEmail: row.ownerEmail }));

  /** The page by going through the list in its order, beside it the total: for what many boxes are, or what their rows themselves tell. */
  async function inOrder(asked: Where, { limit, offset }: Page): Promise<Devices> {
    const { values, shape } = asked;
    const found = (s: Schemas) => `SELECT f.device_id, f.registered_at FROM ${s['devices']}.fleet f ${asked.text} ${ordered(`$${values.length + 1}`, `$${values.length + 2}`)}`;
    const [rows, totals] = await Promise.all([
      reader.all<OwnedJoined>({ name: `devices.list.${shape}`, text: (s) => shown(s, found(s)) }, [...values, limit, offset]),
      reader.first<{ total: number }>({ name: `devices.list_total.${shape}`, text: (s) => `SELECT count(*)::integer AS total FROM ${s['devices']}.fleet f ${asked.text}` }, values),
    ]);
    return { rows: boxesOf(rows), total: totals?.total ?? 0, atLeast: false };
  }

  /** All that are meant, once, for the page and the total: of what has to be looked up beside the list. */
  async function together(asked: Where, { limit, offset }: Page): Promise<Devices> {
    const { values, shape } = asked;
    const text = (s: Schemas) => `
      WITH found AS MATERIALIZED (SELECT f.device_id, f.registered_at FROM ${s['devices']}.fleet f ${asked.text})
      SELECT ${pageOf(`$${values.length + 1}`, `$${values.length + 2}`)}`;
    return whole(await reader.first<Found>({ name: `devices.found.${shape}`, text }, [...values, limit, offset]));
  }

  async function whole({ ids, total }: Found = { ids: [], total: 0 }): Promise<Devices> {
    return { rows: ids.length === 0 ? [] : boxesOf(await reader.all<OwnedJoined>(byIds, [ids])), total, atLeast: false };
  }

  /**
   * By a part of a name, serial number or id: first what is called so, by the index of parts, then the boxes of it. Where so many are
   * called so, the list is gone through in its order until the page is full, and the total is not counted to its end.
   */
  async function search(part: string, asked: Where, page: Page): Promise<Devices> {
    const values = [...asked.values];
    const place = (value: unknown) => `$${values.push(value)}`;
    const [at, limit, offset] = [place(part), place(page.limit), place(page.offset)];
    const isCalled = (s: Schemas) => `(strpos(f.words, ${at}::text) > 0 OR EXISTS (SELECT FROM ${s['people']}.people p WHERE p.ref = ANY (ARRAY[f.owner_id, f.assignment_id]) AND strpos(p.words, ${at}::text) > 0))`;
    const walk = {
      name: 'devices.search_in_order',
      once: true,
      text: (s: Schemas) => shown(s, `SELECT f.device_id, f.registered_at FROM ${s['devices']}.fleet f ${asked.text === '' ? 'WHERE' : `${asked.text} AND`} ${isCalled(s)} ${ordered(limit, offset)}`),
    } as const;
    const walkValues = [...values];
    const hasIt = hasPart(part, place, at);
    const most = `${place(few + 1)}::integer`;
    const found = await reader.first<Found & { readonly many: boolean }>(
      {
        name: 'devices.search',
        once: true,
        text: (s) => `
          WITH called AS MATERIALIZED (SELECT ref FROM ${s['people']}.people WHERE ${hasIt} LIMIT ${most}),
               named AS MATERIALIZED (SELECT device_id FROM ${s['devices']}.fleet WHERE ${hasIt} LIMIT ${most}),
               hits AS MATERIALIZED (
                 SELECT device_id FROM named
                  UNION SELECT device_id FROM ${s['devices']}.fleet WHERE owner_id = ANY (ARRAY (SELECT ref FROM called))
                  UNION SELECT device_id FROM ${s['devices']}.fleet WHERE assignment_id = ANY (ARRAY (SELECT ref FROM called))),
               found AS MATERIALIZED (SELECT f.device_id, f.registered_at FROM hits JOIN ${s['devices']}.fleet f USING (device_id) ${asked.text})
          SELECT ${pageOf(limit, offset)}, greatest((SELECT count(*) FROM called), (SELECT count(*) FROM named)) >= ${most} AS many`,
      },
      values,
    );
    if (found?.many !== true) return whole(found);
    const rows = boxesOf(await reader.all<OwnedJoined>(walk, walkValues));
    const seen = page.offset + rows.length;
    if (rows.length === page.limit) return { rows, total: Math.max(found.total, seen + 1), atLeast: true };
    // The end of the list, unless the page began behind it.
    return rows.length > 0 || page.offset === 0 ? { rows, total: seen, atLeast: false } : { rows, total: found.total, atLeast: true };
  }

  return {
    byId: (deviceId) => one(byId, deviceId),
    bySerial: (serialNumber) => one(bySerial, serialNumber),
    async ofOwner(userId) {
      return (await reader.all<Joined>(ofOwner, [userId])).map(deviceOf);
    },
    async list({ online, search: part, ...rest }, page) {
      const since = online === undefined ? {} : online.is ? { onlineSince: online.heardSince } : { offlineSince: online.heardSince };
      const asked = whereOf<StoredFilter>(conditions, { ...rest, ...since });
      if (part !== undefined) return search(part.toLowerCase(), asked, page);
      return rest.batteryBelow !== undefined || online !== undefined ? together(asked, page) : inOrder(asked, page);
    },
    async counts() {
      return (await reader.first<{ total: number; active: number }>(counts, [])) ?? { total: 0, active: 0 };
    },
  };
}
