import type { Migration } from './index.ts';

/** What is kept of a box between its reports to drive a new key into it, and to notice that it is two. Losing it is bearable. */
export const deviceWatch: Migration = {
  id: '20261122T0910_device_watch',
  sql: `
    ALTER TABLE work.device_live
      -- The new key that it was sent last: {"to": version, "sentAt": instant, "sends": count}.
      ADD COLUMN rotation json,
      -- Whose report came last, and when another connection was back that should be gone: {"last": connect_id, "turns": [instant]}.
      ADD COLUMN senders json;
  `,
};
