import type { DeviceCommand } from '../../domain/device/commands.ts';
import type { Instant } from '../../domain/kernel.ts';
import type { LiveFeed } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

export interface DeadlineRow {
  readonly key: string;
  readonly dueAt: Instant;
  readonly command: DeviceCommand;
}

/** For the keeper of deadlines: what is due, and when to look again. */
export interface DeadlineQueue {
  /** Oldest first; with `after` those that come behind it in this order. */
  due(now: Instant, limit: number, after?: Pick<DeadlineRow, 'dueAt' | 'key'>): Promise<readonly DeadlineRow[]>;
  nextAfter(now: Instant): Promise<Instant | undefined>;
  /** Calls back when a deadline was set, with its instant, until the returned function is called. */
  onAdded(listener: (dueAt: Instant) => void): () => void;
}

const due = {
  name: 'deadlines.due',
  text: (s: Schemas) => `
    SELECT key, due_at AS "dueAt", command FROM ${s['deadlines']}.deadlines
     WHERE due_at <= $1::timestamptz AND ($3::timestamptz IS NULL OR (due_at, key) > ($3::timestamptz, $4::text)) ORDER BY due_at, key LIMIT $2`,
};
const next = {
  name: 'deadlines.next',
  text: (s: Schemas) => `SELECT min(due_at) AS "dueAt" FROM ${s['deadlines']}.deadlines WHERE due_at > $1::timestamptz`,
};

export function createDeadlineQueue(reader: Reader, feed: LiveFeed): DeadlineQueue {
  return {
    due: (now, limit, after) => reader.all<DeadlineRow>(due, [now, limit, after?.dueAt ?? null, after?.key ?? null]),
    async nextAfter(now) {
      return (await reader.first<{ dueAt: Instant | null }>(next, [now]))?.dueAt ?? undefined;
    },
    onAdded: (listener) => feed.on('deadlines', ({ payload }) => listener(payload['due_at'] as Instant)),
  };
}
