import type { ErasureRecord, ErasureRecords } from '../../commands/erasure.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { Database } from '../../platform/postgres/db.ts';
import type { Notifications } from '../../platform/postgres/notifications.ts';

/** Told with the event's id when a receipt is there. */
const CHANNEL = 'work_erasures';

export interface ErasureBook extends ErasureRecords {
  /** What is known of it, once it is complete or after `timeoutMs`. */
  awaited(eventId: Uuid, timeoutMs: number): Promise<ErasureRecord | undefined>;
  /** Completed since, and those under way. */
  since(hours: number): Promise<readonly ErasureRecord[]>;
  /** All of them, in the order of their users. */
  page(after: Uuid | undefined, limit: number): Promise<readonly ErasureRecord[]>;
}

const columns = `event_id AS "eventId", user_id AS "userId", requested_at AS "requestedAt", boxes, subjects, receipt, completed_at AS "completedAt"`;

/** `work.erasures`. */
export function createErasureBook(db: Database, notifications: Pick<Notifications, 'on' | 'onGap'>): ErasureBook {
  const waiting = new Map<Uuid, Set<() => void>>();
  notifications.on(CHANNEL, (eventId) => waiting.get(eventId)?.forEach((done) => done()));
  notifications.onGap(() => {
    for (const each of waiting.values()) each.forEach((done) => done());
  });

  const one = async (where: string, value: string): Promise<ErasureRecord | undefined> =>
    (await db.pool.query<ErasureRecord>(`SELECT ${columns} FROM work.erasures WHERE ${where} = $1`, [value])).rows[0];

  return {
    byId: (eventId) => one('event_id', eventId),
    ofUser: (userId) => one('user_id', userId),

    async begin({ eventId, userId, at }) {
      await db.pool.query(
        // A log that was restored and erased from anew has another event for it: the old one is in the ledger.
        `INSERT INTO work.erasures AS known (event_id, user_id, requested_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE SET event_id = excluded.event_id, requested_at = excluded.requested_at, receipt = NULL, completed_at = NULL
          WHERE known.event_id <> excluded.event_id`,
        [eventId, userId, at],
      );
    },

    async note(eventId, { boxes = [], subjects = [] }) {
      const { rows } = await db.pool.query<Pick<ErasureRecord, 'boxes' | 'subjects'>>(
        `UPDATE work.erasures SET boxes = ARRAY(SELECT unnest(boxes) UNION SELECT unnest($2::uuid[])), subjects = ARRAY(SELECT unnest(subjects) UNION SELECT unnest($3::text[]))
          WHERE event_id = $1 RETURNING boxes, subjects`,
        [eventId, boxes, subjects],
      );
      if (rows[0] === undefined) throw new Error(`No erasure ${eventId} was begun`);
      return rows[0];
    },

    async sign(eventId, receipt) {
      const { rows } = await db.pool.query<{ receipt: unknown }>('UPDATE work.erasures SET receipt = coalesce(receipt, $2::json) WHERE event_id = $1 RETURNING receipt', [
        eventId,
        JSON.stringify(receipt),
      ]);
      if (rows[0] === undefined) throw new Error(`No erasure ${eventId} was begun`);
      return rows[0].receipt;
    },

    async complete(eventId) {
      await db.pool.query(
        `WITH done AS (UPDATE work.erasures SET completed_at = now() WHERE event_id = $1::text::uuid AND completed_at IS NULL RETURNING 1)
         SELECT pg_notify('${CHANNEL}', $1) FROM done`,
        [eventId],
      );
    },

    async awaited(eventId, timeoutMs) {
      const told = Promise.withResolvers<void>();
      const listeners = waiting.get(eventId) ?? new Set();
      waiting.set(eventId, listeners.add(told.resolve));
      const timer = setTimeout(told.resolve, timeoutMs);
      try {
        // Heard from before the first look on: nothing falls between the two.
        const record = await one('event_id', eventId);
        if (record !== undefined && record.completedAt !== null) return record;
        await told.promise;
        return await one('event_id', eventId);
      } finally {
        clearTimeout(timer);
        listeners.delete(told.resolve);
        if (listeners.size === 0) waiting.delete(eventId);
      }
    },

    async since(hours) {
      const { rows } = await db.pool.query<ErasureRecord>(`SELECT ${columns} FROM work.erasures WHERE completed_at IS NULL OR completed_at > now() - make_interval(hours => $1)`, [hours]);
      return rows;
    },

    async page(after, limit) {
      const { rows } = await db.pool.query<ErasureRecord>(`SELECT ${columns} FROM work.erasures WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2`, [after ?? null, limit]);
      return rows;
    },
  };
}
