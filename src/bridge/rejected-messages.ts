import { instant } from '../platform/clock.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Via } from './relay-messages.ts';

/** A message that had no effect, and why. */
export interface Rejected {
  readonly reason: string;
  readonly via: Via;
  /** Undefined: nobody knows whose it is. */
  readonly deviceId: string | undefined;
  readonly topic: string | undefined;
  /** The member that is wrong, where one is. */
  readonly field?: string | undefined;
  /** What a stranger calls itself, and where from. */
  readonly claimed?: string | undefined;
  readonly address?: string | undefined;
  readonly size: number;
  /** Its beginning; what is kept of it is less. */
  readonly payload: Buffer;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

export interface RejectedRow {
  readonly reason: string;
  readonly via: Via;
  readonly topic: string | undefined;
  readonly field: string | undefined;
  readonly claimed: string | undefined;
  readonly address: string | undefined;
  readonly size: number;
  readonly sample: string;
  readonly receivedAt: string;
}

export interface RejectedCount {
  readonly reason: string;
  readonly messages: number;
  readonly lastAt: string;
}

export interface RejectedPage {
  /** Newest first. */
  readonly messages: readonly RejectedRow[];
  /** Since the first one, most frequent first. */
  readonly counts: readonly RejectedCount[];
}

/** For the administrator who asks why a box is silent. Nobody waits for it, and a flood of rubbish costs little. */
export interface RejectedMessages extends Component {
  add(message: Rejected): void;
  ofDevice(deviceId: string): Promise<RejectedPage>;
  ofStrangers(): Promise<RejectedPage>;
  prune(before: string): Promise<void>;
  /** What boxes sent in vain, with the addresses from where. */
  forget(deviceIds: readonly string[]): Promise<void>;
}

/** Why something was refused before anybody looked into it: by the broker, the bridge or the HTTP adapter. */
export const edgeReasons: ReadonlySet<string> = new Set([
  'foreign_topic',
  'foreign_subscription',
  'foreign_will',
  'foreign_client_id',
  'unknown_user',
  'wrong_password',
  'wrong_certificate',
  'wrong_credential',
  'long_keepalive',
  'retained',
  'too_large',
  'rate',
  'revoked',
]);

/** Kept of each box, and of all strangers together. */
export const KEPT_OF_A_BOX = 20;
export const KEPT_OF_STRANGERS = 200;
/** Between two writes: more than these are only counted. */
const MAX_WAITING = 500;
const WRITE_EVERY_MS = 200;
const STRANGERS = '00000000-0000-0000-0000-000000000000';

export function createRejectedMessages(deps: {
  readonly db: Database;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Milliseconds between two writes. Default 200. */
  readonly everyMs?: number;
}): RejectedMessages {
  const { db, metrics, everyMs = WRITE_EVERY_MS } = deps;
  const logger = deps.logger.child({ component: 'rejected-messages' });
  const counted = metrics.counter('loqey_rejected_messages_total', 'Messages of devices and strangers that had no effect', ['reason', 'via']);
  let waiting: Rejected[] = [];
  /** By sender and reason; the key is made of both. */
  let counts = new Map<string, { readonly deviceId: string; readonly reason: string; messages: number; lastAt: number }>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;

  function add(message: Rejected): void {
    const { reason, via, deviceId = STRANGERS, receivedAt } = message;
    counted.inc({ reason, via });
    const key = `${deviceId}|${reason}`;
    const count = counts.get(key);
    if (count !== undefined) {
      count.messages++;
      count.lastAt = Math.max(count.lastAt, receivedAt);
    } else if (counts.size < MAX_WAITING) {
      counts.set(key, { deviceId, reason, messages: 1, lastAt: receivedAt });
    }
    // The newest are what is asked for.
    if (waiting.length >= MAX_WAITING) waiting.shift();
    waiting.push(message);
    timer ??= setTimeout(() => void flush(), everyMs);
  }

  /** One write at a time. What cannot be written is gone: it is a figure in the metrics still. */
  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    await writing;
    if (waiting.length === 0) return;
    const [messages, sums] = [waiting, [...counts.values()]];
    waiting = [];
    counts = new Map();
    writing = write(messages, sums).catch((error: unknown) => logger.warn({ err: error, messages: messages.length }, 'Rejected messages could not be recorded'));
    await writing;
  }

  async function write(messages: readonly Rejected[], sums: readonly { readonly deviceId: string; readonly reason: string; readonly messages: number; readonly lastAt: number }[]): Promise<void> {
    const rows = messages.map((each) => ({
      device_id: each.deviceId ?? null,
      topic: readable(each.topic ?? '', 128),
      problem: each.reason,
      field: each.field ?? null,
      size: each.size,
      received_at: instant(each.receivedAt),
      via: each.via,
      claimed: each.claimed === undefined ? null : readable(each.claimed, 64),
      address: each.address ?? null,
      sample: redacted(each.payload),
    }));
    await db.pool.query({
      name: 'rejected-write',
      text: `WITH sums AS (
               INSERT INTO work.rejected_counts AS known (device_id, problem, messages, last_at)
               SELECT device_id, problem, messages, last_at FROM json_to_recordset($2::json) AS s (device_id uuid, problem text, messages bigint, last_at timestamptz)
               ORDER BY device_id, problem
               ON CONFLICT (device_id, problem) DO UPDATE
                 SET messages = known.messages + excluded.messages, last_at = greatest(known.last_at, excluded.last_at))
             INSERT INTO work.rejected_reports (device_id, topic, problem, field, size, received_at, via, claimed, address, sample)
             SELECT device_id, topic, problem, field, size, received_at, via, claimed, address, sample
             FROM json_to_recordset($1::json) AS m (device_id uuid, topic text, problem text, field text, size integer,
                                                    received_at timestamptz, via text, claimed text, address text, sample text)`,
      values: [JSON.stringify(rows), JSON.stringify(sums.map(({ deviceId, reason, messages: count, lastAt }) => ({ device_id: deviceId, problem: reason, messages: count, last_at: instant(lastAt) })))],
    });
    // Bounded at each write, not once in a while.
    const devices = [...new Set(messages.flatMap(({ deviceId }) => (deviceId === undefined ? [] : [deviceId])))];
    if (devices.length > 0) {
      await db.pool.query({
        name: 'rejected-trim',
        text: `DELETE FROM work.rejected_reports AS old USING unnest($1::uuid[]) AS box (id)
               WHERE old.device_id = box.id AND old.id <= (SELECT id FROM work.rejected_reports WHERE device_id = box.id ORDER BY id DESC OFFSET $2 LIMIT 1)`,
        values: [devices, KEPT_OF_A_BOX],
      });
    }
    if (messages.some(({ deviceId }) => deviceId === undefined)) {
      await db.pool.query({
        name: 'rejected-trim-strangers',
        text: `DELETE FROM work.rejected_reports WHERE device_id IS NULL
                 AND id <= (SELECT id FROM work.rejected_reports WHERE device_id IS NULL ORDER BY id DESC OFFSET $1 LIMIT 1)`,
        values: [KEPT_OF_STRANGERS],
      });
    }
  }

  interface Row {
    readonly problem: string;
    readonly via: Via;
    readonly topic: string;
    readonly field: string | null;
    readonly claimed: string | null;
    readonly address: string | null;
    readonly size: number;
    readonly sample: string | null;
    readonly received_at: string;
  }

  async function page(deviceId: string | undefined, kept: number): Promise<RejectedPage> {
    const [messages, sums] = await Promise.all([
      db.pool.query<Row>(
        `SELECT problem, via, topic, field, claimed, address, size, sample, received_at FROM work.rejected_reports
         WHERE device_id ${deviceId === undefined ? 'IS NULL' : '= $2'} ORDER BY id DESC LIMIT $1`,
        deviceId === undefined ? [kept] : [kept, deviceId],
      ),
      db.pool.query<{ problem: string; messages: string; last_at: string }>(
        'SELECT problem, messages, last_at FROM work.rejected_counts WHERE device_id = $1 ORDER BY messages DESC, problem',
        [deviceId ?? STRANGERS],
      ),
    ]);
    return {
      messages: messages.rows.map((row) => ({
        reason: row.problem,
        via: row.via,
        topic: row.topic === '' ? undefined : row.topic,
        field: row.field ?? undefined,
        claimed: row.claimed ?? undefined,
        address: row.address ?? undefined,
        size: row.size,
        sample: row.sample ?? '',
        receivedAt: row.received_at,
      })),
      counts: sums.rows.map((row) => ({ reason: row.problem, messages: Number(row.messages), lastAt: row.last_at })),
    };
  }

  const lifecycle = component(
    async () => undefined,
    async () => flush(),
  );
  return {
    ...lifecycle,
    add,
    ofDevice: (deviceId) => page(deviceId, KEPT_OF_A_BOX),
    ofStrangers: () => page(undefined, KEPT_OF_STRANGERS),
    async forget(deviceIds) {
      await flush();
      await db.pool.query('DELETE FROM work.rejected_reports WHERE device_id = ANY($1::uuid[])', [deviceIds]);
    },
    async prune(before) {
      await db.pool.query('DELETE FROM work.rejected_reports WHERE received_at < $1', [before]);
      await db.pool.query('DELETE FROM work.rejected_counts WHERE last_at < $1', [before]);
    },
  };
}

const SAMPLE_CHARACTERS = 200;
/** Members whose values may be secret, whatever their type, also where the payload was cut off in one. */
const secretMember = /("?[\w-]*(?:pin|secret|password|passwd|token|key|signature|nonce|challenge|bearer|authorization)[\w-]*"?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|[^\s,}&]*)/gi;
/** Anything long without a space may be a key, whatever it is called. */
const longRun = /[A-Za-z0-9+/_=-]{24,}/g;
const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** What an administrator may see of a payload that nobody verified: its beginning, readable, with nothing secret in it. */
export function redacted(payload: Buffer): string {
  const text = payload.subarray(0, 1_024).toString('utf8');
  // The long runs first: what is left has no word so long that the other pattern could be kept busy with it.
  const without = text.replaceAll(longRun, (run) => (uuid.test(run) ? run : '…')).replaceAll(secretMember, '$1"…"');
  return readable(without, SAMPLE_CHARACTERS);
}

/** In one line, whole characters, at most so many. */
function readable(text: string, most: number): string {
  // oxlint-disable-next-line no-control-regex -- what a terminal or a database would stumble over
  const clean = text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff]/g, '·').toWellFormed();
  const characters = [...clean];
  return characters.length <= most ? clean : `${characters.slice(0, most - 1).join('')}…`;
}
