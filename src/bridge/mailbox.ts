import { instant, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Notifications } from '../platform/postgres/notifications.ts';
import { lastMoment, maxCopies, type CommandMessage } from './relay-messages.ts';

/** What a box fetches: the same bytes as on MQTT. */
export interface MailboxCommand {
  readonly commandId: string;
  readonly action: string;
  readonly payload: Buffer;
  /** False: the same bytes were handed out before. */
  readonly first: boolean;
}

/** Commands to boxes that fetch them (`work.device_mailbox`). What is here never goes to the broker. */
export interface Mailbox {
  /** Idempotent by command id. */
  put(command: CommandMessage): Promise<void>;
  /**
   * The next few, oldest first, each claimed for this call by a commit: whoever asks a moment later does not get them.
   * One that was not acknowledged comes again after five seconds, as often as on MQTT, and never beyond its last moment.
   */
  claim(deviceId: string): Promise<readonly MailboxCommand[]>;
  /** Nothing of these has left: whoever was to get them is gone. The next one who asks gets them, without a wait. */
  giveBack(commandIds: readonly string[]): Promise<void>;
  /** The box has it: it is not handed out again. False: it was never handed such a command. */
  acknowledge(deviceId: string, commandId: string): Promise<boolean>;
  /** Runs when there is something new for this box, and for every box when that may have been missed. Returns how to stop it. */
  onNews(deviceId: string, handler: () => void): () => void;
  /** Removes what can no longer be fetched. */
  prune(): Promise<void>;
}

const CHANNEL = 'device_mailbox';
/** Of the protocol: publishes that may be unacknowledged at once. */
const AT_ONCE = 4;
const AGAIN_AFTER_MS = 5_000;
/** Acknowledgements that come late still find their command. */
const KEPT_MS = 600_000;

export function createMailbox(deps: { readonly db: Database; readonly notifications: Notifications; readonly clock: Clock }): Mailbox {
  const { db, notifications, clock } = deps;
  const { pool } = db;
  const listeners = new Map<string, Set<() => void>>();

  notifications.on(CHANNEL, wake);
  notifications.onGap(() => {
    for (const deviceId of listeners.keys()) wake(deviceId);
  });

  function wake(deviceId: string): void {
    for (const listener of listeners.get(deviceId) ?? []) listener();
  }

  return {
    async put(command) {
      const { deviceId, commandId, action, payload } = command;
      await pool.query({
        name: 'mailbox-put',
        text: `WITH put AS (
                 INSERT INTO work.device_mailbox (device_id, command_id, action, payload, copies, last_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (command_id) DO NOTHING RETURNING device_id)
               SELECT pg_notify('${CHANNEL}', device_id::text) FROM put`,
        values: [deviceId, commandId, action, payload, maxCopies(command), instant(lastMoment(command))],
      });
    },

    async claim(deviceId) {
      const now = clock.now();
      const { rows } = await pool.query<{ command_id: string; action: string; payload: Buffer; last_at: string; handed: number }>({
        name: 'mailbox-claim',
        text: `WITH due AS (
                 SELECT id FROM work.device_mailbox
                 WHERE device_id = $1 AND taken_at IS NULL AND handed < copies AND last_at > $2 AND (handed_at IS NULL OR handed_at <= $3)
                 ORDER BY id LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED),
               claimed AS (
                 UPDATE work.device_mailbox AS box SET handed = handed + 1, handed_at = $2 FROM due WHERE box.id = due.id
                 RETURNING box.id, box.command_id, box.action, box.payload, box.last_at, box.handed)
               SELECT command_id, action, payload, last_at, handed FROM claimed ORDER BY id`,
        values: [deviceId, instant(now), instant(now - AGAIN_AFTER_MS)],
      });
      // The claim may have taken a while: what became too late meanwhile stays here.
      const decided = clock.now();
      return rows.filter((row) => Date.parse(row.last_at) > decided).map((row) => ({ commandId: row.command_id, action: row.action, payload: row.payload, first: row.handed === 1 }));
    },

    async giveBack(commandIds) {
      await pool.query({
        name: 'mailbox-give-back',
        text: 'UPDATE work.device_mailbox SET handed = handed - 1, handed_at = NULL WHERE command_id = ANY($1::uuid[]) AND handed > 0 AND taken_at IS NULL',
        values: [[...commandIds]],
      });
    },

    async acknowledge(deviceId, commandId) {
      const { rowCount } = await pool.query({
        name: 'mailbox-acknowledge',
        text: `UPDATE work.device_mailbox SET taken_at = coalesce(taken_at, $3) WHERE device_id = $1 AND command_id = $2 AND handed > 0`,
        values: [deviceId, commandId, instant(clock.now())],
      });
      return rowCount === 1;
    },

    onNews(deviceId, handler) {
      const known = listeners.get(deviceId) ?? new Set();
      listeners.set(deviceId, known.add(handler));
      return () => {
        if (known.delete(handler) && known.size === 0 && listeners.get(deviceId) === known) listeners.delete(deviceId);
      };
    },

    async prune() {
      await pool.query('DELETE FROM work.device_mailbox WHERE last_at < $1', [instant(clock.now() - KEPT_MS)]);
    },
  };
}
