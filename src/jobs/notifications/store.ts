import type { Instant, Uuid } from '../../domain/kernel.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { Database } from '../../platform/postgres/db.ts';
import type { Facts, Kind, MailSwitches, NotificationSettings } from './kinds.ts';

/** Something that somebody is to be told. */
export interface Draft {
  readonly userId: Uuid;
  readonly kind: Kind;
  readonly deviceId?: Uuid;
  readonly facts?: Facts;
}

export interface Notification {
  readonly id: Uuid;
  readonly userId: Uuid;
  readonly kind: Kind;
  readonly deviceId: Uuid | null;
  readonly facts: Facts;
  readonly occurredAt: Instant;
  readonly readAt: Instant | null;
}

export interface MailState {
  readonly mail: 'none' | 'waiting' | 'sending' | 'sent' | 'held' | 'failed' | 'dropped';
  readonly tries: number;
  readonly error: string | null;
}

/** What becomes of a mail whose turn it is. */
export type Claim =
  | { readonly kind: 'send'; readonly notification: Notification; readonly repeated: boolean }
  /** Beyond the limit: kept for one mail about all of them, from then on. */
  | { readonly kind: 'held'; readonly userId: Uuid; readonly of: Kind }
  /** Sent, given up or forgotten already. */
  | { readonly kind: 'done' };

export interface NotificationStore {
  /** Told once for an event, a person and a kind, however often the event comes; whoever was erased, never. @returns its id, and whether a mail waits */
  add(draft: Draft, event: { readonly eventId: Uuid; readonly occurredAt: Instant }, mailed: boolean): Promise<{ readonly id: Uuid; readonly mailWaits: boolean }>;
  /** The last one of these kinds about a box, before an event. */
  last(userId: Uuid, kinds: readonly Kind[], deviceId: Uuid, before: Instant): Promise<Notification | undefined>;
  settings(userId: Uuid): Promise<NotificationSettings>;
  saveSettings(userId: Uuid, settings: NotificationSettings): Promise<void>;

  claim(id: Uuid, limit: number): Promise<Claim>;
  mailed(ids: readonly Uuid[]): Promise<void>;
  notMailed(id: Uuid, state: 'waiting' | 'held' | 'failed' | 'dropped', error: string): Promise<void>;
  held(userId: Uuid, kind: Kind): Promise<readonly Notification[]>;

  list(userId: Uuid, filter: { readonly unread: boolean }, page: { readonly limit: number; readonly offset: number }): Promise<{ readonly rows: readonly Notification[]; readonly total: number; readonly unread: number }>;
  /** False: this person has no such notification. */
  markRead(userId: Uuid, id: Uuid): Promise<boolean>;
  markAllRead(userId: Uuid): Promise<number>;

  /** Mails that wait without a run, as after a crash between the two. */
  stray(): Promise<{ readonly mails: readonly Uuid[]; readonly digests: readonly { readonly userId: Uuid; readonly kind: Kind }[] }>;
  /** Mails whose last run ended without an answer, long after all tries. @returns how many */
  abandonMails(): Promise<number>;
  /** Everything of somebody who was erased. */
  forget(userId: Uuid): Promise<void>;
  prune(days: number): Promise<number>;
}

interface Row {
  readonly id: Uuid;
  readonly user_id: Uuid;
  readonly kind: Kind;
  readonly device_id: Uuid | null;
  readonly facts: Facts;
  readonly occurred_at: Instant;
  readonly read_at: Instant | null;
  readonly mail: MailState['mail'];
}

const columns = 'id, user_id, kind, device_id, facts, occurred_at, read_at, mail';
const notificationOf = (row: Row): Notification => ({
  id: row.id,
  userId: row.user_id,
  kind: row.kind,
  deviceId: row.device_id,
  facts: row.facts,
  occurredAt: row.occurred_at,
  readAt: row.read_at,
});

/** @param timeZone of whoever has set none */
export function createNotificationStore(db: Database, { timeZone }: { readonly timeZone: string }): NotificationStore {
  async function query<R extends object>(text: string, values: readonly unknown[]): Promise<R[]> {
    return (await db.pool.query<R>(text, [...values])).rows;
  }

  return {
    async add({ userId, kind, deviceId, facts = {} }, { eventId, occurredAt }, mailed) {
      const id = derivedCommandId('notification', eventId, userId, kind);
      await query(
        `INSERT INTO work.notifications (id, user_id, kind, event_id, device_id, facts, occurred_at, mail)
         SELECT $1, $2::uuid, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM work.erasures WHERE user_id = $2::uuid)
         ON CONFLICT (id) DO NOTHING`,
        [id, userId, kind, eventId, deviceId ?? null, JSON.stringify(facts), occurredAt, mailed ? 'waiting' : 'none'],
      );
      const [row] = await query<Row>('SELECT mail FROM work.notifications WHERE id = $1', [id]);
      return { id, mailWaits: row?.mail === 'waiting' };
    },

    async last(userId, kinds, deviceId, before) {
      const [row] = await query<Row>(
        `SELECT ${columns} FROM work.notifications WHERE user_id = $1 AND kind = ANY($2) AND device_id = $3 AND occurred_at < $4 ORDER BY occurred_at DESC LIMIT 1`,
        [userId, kinds, deviceId, before],
      );
      return row === undefined ? undefined : notificationOf(row);
    },

    async settings(userId) {
      const [row] = await query<{ language: NotificationSettings['language']; time_zone: string; mail: MailSwitches }>(
        'SELECT language, time_zone, mail FROM work.notification_settings WHERE user_id = $1',
        [userId],
      );
      return row === undefined ? { language: 'en', timeZone, mail: {} } : { language: row.language, timeZone: row.time_zone, mail: row.mail };
    },

    async saveSettings(userId, settings) {
      await query(
        `INSERT INTO work.notification_settings (user_id, language, time_zone, mail) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET language = $2, time_zone = $3, mail = $4, updated_at = now()`,
        [userId, settings.language, settings.timeZone, JSON.stringify(settings.mail)],
      );
    },

    claim: (id, limit) =>
      db.transaction(async (client): Promise<Claim> => {
        const { rows } = await client.query<Row>(`SELECT ${columns} FROM work.notifications WHERE id = $1 FOR UPDATE`, [id]);
        const row = rows[0];
        if (row === undefined || (row.mail !== 'waiting' && row.mail !== 'sending')) return { kind: 'done' };
        // One at a time for a person and kind: two that count at once would both find room.
        await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`loqey.mail|${row.user_id}|${row.kind}`]);
        const { rows: counted } = await client.query<{ recent: number }>(
          `SELECT count(*)::integer AS recent FROM work.notifications
            WHERE user_id = $1 AND kind = $2 AND id <> $3 AND mail IN ('sending', 'sent') AND mail_at > now() - interval '1 hour'`,
          [row.user_id, row.kind, id],
        );
        if ((counted[0]?.recent ?? 0) >= limit) {
          await client.query(`UPDATE work.notifications SET mail = 'held', mail_at = now() WHERE id = $1`, [id]);
          return { kind: 'held', userId: row.user_id, of: row.kind };
        }
        await client.query(`UPDATE work.notifications SET mail = 'sending', mail_at = now(), mail_tries = mail_tries + 1 WHERE id = $1`, [id]);
        return { kind: 'send', notification: notificationOf(row), repeated: row.mail === 'sending' };
      }),

    async mailed(ids) {
      await query(`UPDATE work.notifications SET mail = 'sent', mail_at = now(), mail_error = NULL WHERE id = ANY($1::uuid[])`, [ids]);
    },

    async notMailed(id, state, error) {
      await query('UPDATE work.notifications SET mail = $2, mail_at = now(), mail_error = $3 WHERE id = $1', [id, state, error.slice(0, 500)]);
    },

    async held(userId, kind) {
      const rows = await query<Row>(`SELECT ${columns} FROM work.notifications WHERE user_id = $1 AND kind = $2 AND mail = 'held' ORDER BY occurred_at, id LIMIT 1000`, [userId, kind]);
      return rows.map(notificationOf);
    },

    async list(userId, { unread }, { limit, offset }) {
      const [rows, [counts]] = await Promise.all([
        query<Row>(
          `SELECT ${columns} FROM work.notifications WHERE user_id = $1 AND ($2 IS FALSE OR read_at IS NULL) ORDER BY occurred_at DESC, id LIMIT $3 OFFSET $4`,
          [userId, unread, limit, offset],
        ),
        query<{ total: number; unread: number }>(
          'SELECT count(*)::integer AS total, count(*) FILTER (WHERE read_at IS NULL)::integer AS unread FROM work.notifications WHERE user_id = $1',
          [userId],
        ),
      ]);
      const all = counts ?? { total: 0, unread: 0 };
      return { rows: rows.map(notificationOf), total: unread ? all.unread : all.total, unread: all.unread };
    },

    async markRead(userId, id) {
      const rows = await query('UPDATE work.notifications SET read_at = coalesce(read_at, now()) WHERE id = $1 AND user_id = $2 RETURNING id', [id, userId]);
      return rows.length > 0;
    },

    async markAllRead(userId) {
      return (await query('UPDATE work.notifications SET read_at = now() WHERE user_id = $1 AND read_at IS NULL RETURNING id', [userId])).length;
    },

    async stray() {
      const mails = await query<{ id: Uuid }>(
        `SELECT id FROM work.notifications WHERE mail IN ('waiting', 'sending') AND coalesce(mail_at, created_at) < now() - interval '10 minutes' ORDER BY created_at LIMIT 1000`,
        [],
      );
      const digests = await query<{ user_id: Uuid; kind: Kind }>(
        `SELECT DISTINCT user_id, kind FROM work.notifications WHERE mail = 'held' AND mail_at < now() - interval '90 minutes' LIMIT 1000`,
        [],
      );
      return { mails: mails.map(({ id }) => id), digests: digests.map((row) => ({ userId: row.user_id, kind: row.kind })) };
    },

    async abandonMails() {
      const abandoned = await query(
        `UPDATE work.notifications SET mail = 'failed', mail_error = coalesce(mail_error, 'its last try ended without an answer')
          WHERE mail IN ('waiting', 'sending') AND created_at < now() - interval '1 day' RETURNING id`,
        [],
      );
      return abandoned.length;
    },

    async forget(userId) {
      await query('DELETE FROM work.notifications WHERE user_id = $1', [userId]);
      await query('DELETE FROM work.notification_settings WHERE user_id = $1', [userId]);
    },

    async prune(days) {
      return (await db.pool.query('DELETE FROM work.notifications WHERE created_at < now() - make_interval(days => $1)', [days])).rowCount ?? 0;
    },
  };
}
