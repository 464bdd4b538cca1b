import type { Migration } from './index.ts';

/** How far each erasure of a person is, and its receipt. Losing it is bearable: it is made again from the log and the ledger. */
export const erasures: Migration = {
  id: '20261123T0940_erasures',
  sql: `
    CREATE TABLE work.erasures (
      -- Of SubjectErased.
      event_id     uuid        PRIMARY KEY,
      user_id      uuid        NOT NULL UNIQUE,
      requested_at timestamptz NOT NULL,
      -- Boxes that were released, and whose data keys are destroyed: noted before it is done.
      boxes        uuid[]      NOT NULL DEFAULT '{}',
      subjects     text[]      NOT NULL DEFAULT '{}',
      -- As it was signed.
      receipt      json,
      completed_at timestamptz
    );
    CREATE INDEX erasures_completed ON work.erasures (completed_at);
  `,
};
