import { NotProvisionable } from '../commands/port.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import { systemClock, type Clock } from '../platform/clock.ts';
import { type Database } from '../platform/postgres/db.ts';
import type { Via } from './relay-messages.ts';
import type { Profile } from './topics.ts';

/** What was last heard of one box (`work.device_live`). Absent = it never said. Numbers above 2^53 do not occur. */
export interface LiveDevice {
  readonly deviceId: string;
  readonly profile: Profile;
  readonly topicKey: string;
  /** 1 once it sent one valid signed report. */
  level: 0 | 1;
  /** False: it shares its command topic with another box that has it, so it is sent nothing. */
  readonly downlink: boolean;
  /** Which way the newest hello came; absent: MQTT. */
  via?: Via;
  lastHeardAt?: string;
  connectId?: string;
  connectHeardAt?: string;
  goneAt?: string;
  keyVersion?: number;
  reportSeq?: number;
  statusSeq?: number;
  /** Of the hello that `connectId` is from. */
  helloSeq?: number;
  journalId?: string;
  lastSeq?: number;
  configVersion?: number;
  configSentAt?: string;
  battery?: number;
  signalStrength?: number;
  uptime?: number;
  /** The newest time by its own trusted clock that it signed: it is never told an earlier one. */
  trustedTime?: string;
  /** The new key that it was sent last. */
  rotation?: SentRotation;
  senders?: Senders;
  facts: Readonly<Record<string, unknown>>;
}

export interface SentRotation {
  /** The key version. */
  readonly to: number;
  readonly sentAt: string;
  readonly sends: number;
}

/** Who speaks as this box. */
export interface Senders {
  /** The connection that the last report came from. */
  readonly last: string;
  /** When another one than the newest was back. */
  readonly turns: readonly string[];
}

export interface TelemetryRow {
  readonly deviceId: string;
  readonly keyVersion: number;
  readonly reportSeq: number;
  readonly kind: string;
  readonly receivedAt: string;
  readonly deviceTime: string | undefined;
  /** The payload's text. */
  readonly body: string;
}

export interface LiveDevices {
  /** Called before the registration; again for the same box it changes nothing. @throws NotProvisionable */
  add(deviceId: string, profile: Profile, topicKey: string): Promise<{ readonly downlink: boolean }>;
  /** As the log has it. */
  setLevel(deviceId: string, level: 0 | 1): Promise<void>;
  byId(deviceId: string): Promise<LiveDevice | undefined>;
  /** As it was a moment ago, where it was looked at then: by whoever just asked whether the box can be reached. */
  byIdLately(deviceId: string): Promise<LiveDevice | undefined>;
  load(deviceIds: readonly string[]): Promise<Map<string, LiveDevice>>;
  /** Device ids of the old family whose topics name a hardware id. */
  byTopicKey(profile: Profile, keys: readonly string[]): Promise<Map<string, string>>;
  /** One transaction: what a batch of reports changed. Telemetry that is there already stays. */
  save(devices: readonly LiveDevice[], telemetry: readonly TelemetryRow[]): Promise<void>;
  /** Boxes not heard since `before` whose facts still say online. */
  silentSince(before: string, limit: number): Promise<readonly { readonly deviceId: string; readonly lastHeardAt: string }[]>;
  /** Boxes whose facts say online. */
  onlineCount(): Promise<number>;
  /** Only if it was not heard since; false: it was. */
  markOffline(deviceId: string, before: string): Promise<boolean>;
  /** Removes telemetry older than that. */
  prune(telemetryBefore: string): Promise<void>;
}

export interface LiveDevicesOptions {
  /**
   * True where no other process takes in reports (the relay in this process): then rows are kept in memory, written
   * through, and neither a report nor an unlock waits to read them.
   */
  readonly soleWriter?: boolean;
  readonly clock?: Clock;
}

const ROWS_IN_MEMORY = 50_000;
/** Less than an append may take after a look, so that nothing is decided on older news than it might be in any case. */
const LATELY_MS = 25;
const LOOKS_REMEMBERED = 1_000;

export function createLiveDevices(db: Database, { soleWriter = false, clock = systemClock }: LiveDevicesOptions = {}): LiveDevices {
  const { pool } = db;
  /** Rows here are never changed, only replaced. */
  const memory = soleWriter ? boundedCache<string, LiveDevice>({ max: ROWS_IN_MEMORY }) : undefined;

  const looks = boundedCache<string, { readonly device: LiveDevice; readonly at: number }>({ max: LOOKS_REMEMBERED });

  async function select(deviceIds: readonly string[]): Promise<LiveDevice[]> {
    const { rows } = await pool.query<Record<string, unknown>>({
      name: 'live-devices',
      text: `SELECT ${selected} FROM work.device_live WHERE device_id = ANY($1::uuid[])`,
      values: [`{${deviceIds.join(',')}}`],
    });
    const devices = rows.map(fromRow);
    if (memory !== undefined) for (const device of devices) memory.set(device.deviceId, device);
    return devices;
  }

  const api: LiveDevices = {
    async add(deviceId, profile, topicKey) {
      const downlinkOf = async () =>
        (await pool.query<{ downlink: boolean }>('SELECT downlink FROM work.device_live WHERE device_id = $1', [deviceId])).rows[0]?.downlink;
      const known = await downlinkOf();
      if (known !== undefined) return { downlink: known };
      // The registration and its reactor make the row at the same moment: whoever is second reads the first one's. Of two
      // boxes of the shared topic at once the index lets one have it, and the other comes again.
      for (let attempt = 1; ; attempt++) {
        const { rows } = await pool.query<{ downlink: boolean }>(
          `INSERT INTO work.device_live (device_id, profile, topic_key, downlink)
           SELECT $1, $2, $3, $2 <> 'transisttag' OR NOT EXISTS (SELECT FROM work.device_live WHERE profile = $2 AND downlink)
           ON CONFLICT DO NOTHING
           RETURNING downlink`,
          [deviceId, profile, topicKey],
        );
        const downlink = rows[0]?.downlink ?? (await downlinkOf());
        if (downlink !== undefined) return { downlink };
        if (attempt === 2) throw new NotProvisionable('topics_taken', `The topics of ${deviceId} belong to another box`);
      }
    },

    async setLevel(deviceId, level) {
      await pool.query('UPDATE work.device_live SET level = $2 WHERE device_id = $1', [deviceId, level]);
      looks.delete(deviceId);
      const known = memory?.get(deviceId);
      if (known !== undefined) memory?.set(deviceId, { ...known, level });
    },

    async byId(deviceId) {
      const at = clock.monotonic();
      const device = memory?.get(deviceId) ?? (await select([deviceId]))[0];
      if (memory === undefined && device !== undefined) looks.set(deviceId, { device, at });
      return device;
    },

    async byIdLately(deviceId) {
      const known = looks.get(deviceId);
      return known !== undefined && clock.monotonic() - known.at < LATELY_MS ? known.device : api.byId(deviceId);
    },

    async load(deviceIds) {
      const found = new Map<string, LiveDevice>();
      const missing: string[] = [];
      for (const deviceId of deviceIds) {
        const known = memory?.get(deviceId);
        if (known === undefined) missing.push(deviceId);
        else found.set(deviceId, known);
      }
      if (missing.length > 0) for (const device of await select(missing)) found.set(device.deviceId, device);
      return found;
    },

    async byTopicKey(profile, keys) {
      const { rows } = await pool.query<{ topic_key: string; device_id: string }>({
        name: 'live-devices-by-key',
        text: 'SELECT topic_key, device_id FROM work.device_live WHERE profile = $1 AND topic_key = ANY($2::text[])',
        values: [profile, keys],
      });
      return new Map(rows.map((row) => [row.topic_key, row.device_id]));
    },

    async save(devices, telemetry) {
      if (devices.length === 0 && telemetry.length === 0) return;
      // Sorted: two batches that touch the same boxes take their rows in the same order and never deadlock.
      const sorted = devices.toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
      const values = [arrayOf(sorted, (device) => device.deviceId), ...columns.map((column) => arrayOf(sorted, column.of)), ...telemetryColumns.map(({ of }) => arrayOf(telemetry, of))];
      await pool.query({ name: 'save-live', text: saveStatement, values });
      for (const device of devices) {
        memory?.set(device.deviceId, device);
        looks.delete(device.deviceId);
      }
    },

    async silentSince(before, limit) {
      const { rows } = await pool.query<{ device_id: string; last_heard_at: string }>({
        name: 'silent-devices',
        text: `SELECT device_id, last_heard_at FROM work.device_live
               WHERE last_heard_at < $1 AND facts ->> 'online' = 'true' ORDER BY last_heard_at LIMIT $2`,
        values: [before, limit],
      });
      return rows.map((row) => ({ deviceId: row.device_id, lastHeardAt: row.last_heard_at }));
    },

    async onlineCount() {
      const { rows } = await pool.query<{ online: number }>(`SELECT count(*)::integer AS online FROM work.device_live WHERE facts ->> 'online' = 'true'`);
      return rows[0]?.online ?? 0;
    },

    async markOffline(deviceId, before) {
      const { rowCount } = await pool.query(
        `UPDATE work.device_live SET facts = (facts::jsonb || '{"online": false}')::json WHERE device_id = $1 AND last_heard_at < $2`,
        [deviceId, before],
      );
      if (rowCount === 0) return false;
      const known = memory?.get(deviceId);
      if (known !== undefined) memory?.set(deviceId, { ...known, facts: { ...known.facts, online: false } });
      return true;
    },

    async prune(telemetryBefore) {
      await pool.query('DELETE FROM work.telemetry WHERE received_at < $1', [telemetryBefore]);
    },
  };
  return api;
}

/** It has spoken, and never signed. A box that has said nothing yet may be either. */
export async function isOldFirmware({ pool }: Database, deviceId: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT FROM work.device_live WHERE device_id = $1 AND level = 0 AND last_heard_at IS NOT NULL', [deviceId]);
  return rowCount === 1;
}

type Value = string | number | boolean | undefined;

interface Column<T> {
  readonly name: string;
  readonly type: string;
  readonly of: (item: T) => Value;
}

type Live = { -readonly [K in keyof LiveDevice]-?: LiveDevice[K] };

/** A column that a report may change, and what reads it back. */
const columnOf = <K extends keyof Live>(key: K, name: string, type: string): Column<LiveDevice> & { readonly key: K } => ({
  key,
  name,
  type,
  of: (device) => device[key] as Value,
});

const jsonColumn = <K extends 'rotation' | 'senders' | 'facts'>(key: K): Column<LiveDevice> & { readonly key: K } => ({
  key,
  name: key,
  type: 'json',
  of: (device) => (device[key] === undefined ? undefined : JSON.stringify(device[key])),
});

const columns = [
  columnOf('level', 'level', 'smallint'),
  columnOf('via', 'via', 'text'),
  columnOf('lastHeardAt', 'last_heard_at', 'timestamptz'),
  columnOf('connectId', 'connect_id', 'text'),
  columnOf('connectHeardAt', 'connect_heard_at', 'timestamptz'),
  columnOf('goneAt', 'gone_at', 'timestamptz'),
  columnOf('keyVersion', 'key_version', 'integer'),
  columnOf('reportSeq', 'report_seq', 'bigint'),
  columnOf('statusSeq', 'status_seq', 'bigint'),
  columnOf('helloSeq', 'hello_seq', 'bigint'),
  columnOf('journalId', 'journal_id', 'text'),
  columnOf('lastSeq', 'last_seq', 'bigint'),
  columnOf('configVersion', 'config_version', 'bigint'),
  columnOf('configSentAt', 'config_sent_at', 'timestamptz'),
  columnOf('battery', 'battery', 'smallint'),
  columnOf('signalStrength', 'signal_strength', 'smallint'),
  columnOf('uptime', 'uptime', 'bigint'),
  jsonColumn('rotation'),
  jsonColumn('senders'),
  jsonColumn('facts'),
];
const selected = ['device_id', 'profile', 'topic_key', 'downlink', ...columns.map(({ name }) => name)].join(', ');

const telemetryColumns: readonly Column<TelemetryRow>[] = [
  { name: 'device_id', type: 'uuid', of: (row) => row.deviceId },
  { name: 'key_version', type: 'integer', of: (row) => row.keyVersion },
  { name: 'report_seq', type: 'bigint', of: (row) => row.reportSeq },
  { name: 'kind', type: 'text', of: (row) => row.kind },
  { name: 'received_at', type: 'timestamptz', of: (row) => row.receivedAt },
  { name: 'device_time', type: 'timestamptz', of: (row) => row.deviceTime },
  { name: 'body', type: 'text', of: (row) => row.body },
];

/** One statement, so one round trip and one commit for a whole batch. */
const liveParameters = columns.length + 1;
const saveStatement = `
  WITH live AS (
    UPDATE work.device_live AS live SET ${columns.map(({ name }) => `${name} = said.${name}`).join(', ')}
    FROM unnest($1::uuid[], ${parameters(columns, 1)}) AS said (device_id, ${names(columns)})
    WHERE live.device_id = said.device_id
  )
  INSERT INTO work.telemetry (${names(telemetryColumns)})
  SELECT * FROM unnest(${parameters(telemetryColumns, liveParameters)})
  ON CONFLICT DO NOTHING`;
function names(of: readonly Column<never>[]): string {
  return of.map(({ name }) => name).join(', ');
}

function parameters(of: readonly Column<never>[], after: number): string {
  return of.map(({ type }, index) => `$${after + index + 1}::${type}[]`).join(', ');
}

/** An array literal. */
function arrayOf<T>(items: readonly T[], of: (item: T) => Value): string {
  let text = '{';
  for (const item of items) {
    const value = of(item);
    if (text.length > 1) text += ',';
    text += value === undefined ? 'NULL' : typeof value === 'string' ? quoted(value) : value;
  }
  return `${text}}`;
}

// oxlint-disable-next-line no-control-regex -- line ends between the members of a payload are what is looked for
const control = /[\u0000-\u001f]/;

/** JSON's quoting escapes exactly what an element needs, `"` and `\\`, as long as there is no control character in it. */
function quoted(value: string): string {
  return control.test(value) ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : JSON.stringify(value);
}

function fromRow(row: Record<string, unknown>): LiveDevice {
  const device: Record<string, unknown> = {
    deviceId: row['device_id'],
    profile: row['profile'],
    topicKey: row['topic_key'],
    downlink: row['downlink'],
  };
  for (const { key, name, type } of columns) {
    const value = row[name];
    if (value !== null) device[key] = type === 'bigint' ? Number(value) : value; // int8 comes as text
  }
  return device as unknown as LiveDevice;
}
