import type { Migration } from './index.ts';

/** A request that joined an opening under way has none of its own: its key says which one it was answered with. */
export const joined: Migration = {
  id: '20261123T1000_joined',
  sql: 'ALTER TABLE work.idempotency ADD COLUMN joined_unlock uuid;',
};
