import type { Database } from '../platform/postgres/db.ts';
import type { Profile } from './topics.ts';

/** What was last heard of one box (`work.device_live`). Absent = it never said. Numbers above 2^53 do not occur. */
export interface LiveDevice {
  readonly deviceId: string;
  readonly profile: Profile;
  readonly topicKey: string;
  /** 1 once it sent one valid signed report. */
  level: 0 | 1;
  lastHeardAt?: string;
  connectId?: string;
  connectHeardAt?: string;
  goneAt?: string;
  keyVersion?: number;
  reportSeq?: number;
  statusSeq?: number;
  journalId?: string;
  lastSeq?: number;
  configVersion?: number;
  configSentAt?: string;
  battery?: number;
  signalStrength?: number;
  uptime?: number;
  facts: Readonly<Record<string, unknown>>;
}

export interface TelemetryRow {
  readonly deviceId: string;
  readonly keyVersion: number;
  readonly reportSeq: number;
  readonly kind: string;
  readonly receivedAt: string;
  readonly deviceTime: string | undefined;
  /** The payload's JSON text. */
  readonly body: string;
}

export interface RejectedReport {
  readonly deviceId: string;
  readonly topic: string;
  readonly problem: string;
  readonly field: string | undefined;
  readonly size: number;
  readonly receivedAt: string;
}

export interface LiveDevices {
  /** Called at registration; again for the same box it changes nothing. */
  add(deviceId: string, profile: Profile, topicKey: string): Promise<void>;
  byId(deviceId: string): Promise<LiveDevice | undefined>;
  load(deviceIds: readonly string[]): Promise<Map<string, LiveDevice>>;
  /** Device ids of the old family whose topics name a hardware id. */
  byTopicKey(profile: Profile, keys: readonly string[]): Promise<Map<string, string>>;
  /** One transaction: what a batch of reports changed. Telemetry that is there already stays. */
  save(devices: readonly LiveDevice[], telemetry: readonly TelemetryRow[], rejected: readonly RejectedReport[]): Promise<void>;
  /** Boxes not heard since `before` whose facts still say online. */
  silentSince(before: string, limit: number): Promise<readonly { readonly deviceId: string; readonly lastHeardAt: string }[]>;
  /** Only if it was not heard since. */
  markOffline(deviceId: string, before: string): Promise<void>;
  rejectedOf(deviceId: string): Promise<readonly RejectedReport[]>;
  /** Removes telemetry older than that, and all but the last 20 dropped messages of each box. */
  prune(telemetryBefore: string): Promise<void>;
}

const KEPT_REJECTED = 20;

export function createLiveDevices(db: Database): LiveDevices {
  const { pool } = db;

  async function select(where: string, name: string, values: unknown[]): Promise<LiveDevice[]> {
    const { rows } = await pool.query<Record<string, unknown>>({ name, text: `SELECT * FROM work.device_live WHERE ${where}`, values });
    return rows.map(fromRow);
  }

  return {
    async add(deviceId, profile, topicKey) {
      await pool.query(
        'INSERT INTO work.device_live (device_id, profile, topic_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        [deviceId, profile, topicKey],
      );
    },

    async byId(deviceId) {
      return (await select('device_id = $1', 'live-device', [deviceId]))[0];
    },

    async load(deviceIds) {
      const rows = await select('device_id = ANY($1::uuid[])', 'live-devices', [deviceIds]);
      return new Map(rows.map((row) => [row.deviceId, row]));
    },

    async byTopicKey(profile, keys) {
      const { rows } = await pool.query<{ topic_key: string; device_id: string }>({
        name: 'live-devices-by-key',
        text: 'SELECT topic_key, device_id FROM work.device_live WHERE profile = $1 AND topic_key = ANY($2::text[])',
        values: [profile, keys],
      });
      return new Map(rows.map((row) => [row.topic_key, row.device_id]));
    },

    async save(devices, telemetry, rejected) {
      if (devices.length === 0 && telemetry.length === 0 && rejected.length === 0) return;
      // Sorted: two batches that touch the same boxes take their rows in the same order and never deadlock.
      const sorted = devices.toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
      await pool.query({ name: 'save-live', text: saveStatement, values: [json(sorted.map(toRow)), json(telemetry.map(telemetryRow)), json(rejected.map(rejectedRow))] });
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

    async markOffline(deviceId, before) {
      await pool.query(
        `UPDATE work.device_live SET facts = (facts::jsonb || '{"online": false}')::json WHERE device_id = $1 AND last_heard_at < $2`,
        [deviceId, before],
      );
    },

    async rejectedOf(deviceId) {
      const { rows } = await pool.query<{ topic: string; problem: string; field: string | null; size: number; received_at: string }>(
        'SELECT topic, problem, field, size, received_at FROM work.rejected_reports WHERE device_id = $1 ORDER BY id DESC LIMIT $2',
        [deviceId, KEPT_REJECTED],
      );
      return rows.map((row) => ({ deviceId, topic: row.topic, problem: row.problem, field: row.field ?? undefined, size: row.size, receivedAt: row.received_at }));
    },

    async prune(telemetryBefore) {
      await pool.query('DELETE FROM work.telemetry WHERE received_at < $1', [telemetryBefore]);
      await pool.query(
        `DELETE FROM work.rejected_reports WHERE id IN (
           SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY device_id ORDER BY id DESC) AS n FROM work.rejected_reports) ranked
           WHERE n > $1)`,
        [KEPT_REJECTED],
      );
    },
  };
}

const columns = `device_id uuid, profile text, topic_key text, level smallint, last_heard_at timestamptz, connect_id text,
  connect_heard_at timestamptz, gone_at timestamptz, key_version integer, report_seq bigint, status_seq bigint, journal_id text,
  last_seq bigint, config_version integer, config_sent_at timestamptz, battery smallint, signal_strength smallint, uptime bigint, facts json`;
const names = columns.split(',').map((column) => column.trim().split(' ')[0]!);
const updated = names.filter((name) => !['device_id', 'profile', 'topic_key'].includes(name));

/** One statement, so one round trip and one commit for a whole batch. */
const saveStatement = `
  WITH live AS (
    INSERT INTO work.device_live (${names.join(', ')})
    SELECT ${names.join(', ')} FROM json_to_recordset($1::json) AS row (${columns})
    ON CONFLICT (device_id) DO UPDATE SET ${updated.map((name) => `${name} = excluded.${name}`).join(', ')}
  ), reports AS (
    INSERT INTO work.telemetry (device_id, key_version, report_seq, kind, received_at, device_time, body)
    SELECT device_id, key_version, report_seq, kind, received_at, device_time, body FROM json_to_recordset($2::json)
      AS row (device_id uuid, key_version integer, report_seq bigint, kind text, received_at timestamptz, device_time timestamptz, body json)
    ON CONFLICT DO NOTHING
  )
  INSERT INTO work.rejected_reports (device_id, topic, problem, field, size, received_at)
  SELECT device_id, topic, problem, field, size, received_at FROM json_to_recordset($3::json)
    AS row (device_id uuid, topic text, problem text, field text, size integer, received_at timestamptz)`;

const json = (rows: readonly string[]): string => `[${rows.join(',')}]`;

function toRow(device: LiveDevice): string {
  return JSON.stringify({
    device_id: device.deviceId,
    profile: device.profile,
    topic_key: device.topicKey,
    level: device.level,
    last_heard_at: device.lastHeardAt,
    connect_id: device.connectId,
    connect_heard_at: device.connectHeardAt,
    gone_at: device.goneAt,
    key_version: device.keyVersion,
    report_seq: device.reportSeq,
    status_seq: device.statusSeq,
    journal_id: device.journalId,
    last_seq: device.lastSeq,
    config_version: device.configVersion,
    config_sent_at: device.configSentAt,
    battery: device.battery,
    signal_strength: device.signalStrength,
    uptime: device.uptime,
    facts: device.facts,
  });
}

function telemetryRow(row: TelemetryRow): string {
  const head = JSON.stringify({ device_id: row.deviceId, key_version: row.keyVersion, report_seq: row.reportSeq, kind: row.kind, received_at: row.receivedAt, device_time: row.deviceTime });
  return `${head.slice(0, -1)},"body":${row.body}}`;
}

function rejectedRow(row: RejectedReport): string {
  return JSON.stringify({ device_id: row.deviceId, topic: row.topic, problem: row.problem, field: row.field, size: row.size, received_at: row.receivedAt });
}

function fromRow(row: Record<string, unknown>): LiveDevice {
  const text = (name: string) => (row[name] as string | null) ?? undefined;
  const number = (name: string) => (row[name] === null ? undefined : Number(row[name]));
  const device: LiveDevice = {
    deviceId: row['device_id'] as string,
    profile: row['profile'] as Profile,
    topicKey: row['topic_key'] as string,
    level: row['level'] as 0 | 1,
    facts: row['facts'] as Record<string, unknown>,
  };
  return Object.assign(
    device,
    defined({
      lastHeardAt: text('last_heard_at'),
      connectId: text('connect_id'),
      connectHeardAt: text('connect_heard_at'),
      goneAt: text('gone_at'),
      keyVersion: number('key_version'),
      reportSeq: number('report_seq'),
      statusSeq: number('status_seq'),
      journalId: text('journal_id'),
      lastSeq: number('last_seq'),
      configVersion: number('config_version'),
      configSentAt: text('config_sent_at'),
      battery: number('battery'),
      signalStrength: number('signal_strength'),
      uptime: number('uptime'),
    }),
  );
}

function defined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
