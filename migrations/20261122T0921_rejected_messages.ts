import type { Migration } from './index.ts';

/** What was refused from whom: the last messages of each box and of strangers, and how many there were by reason. */
export const rejectedMessages: Migration = {
  id: '20261122T0921_rejected_messages',
  sql: `
    -- Of whom nobody knows who it is, device_id is absent and claimed what it called itself.
    ALTER TABLE work.rejected_reports
      ALTER COLUMN device_id DROP NOT NULL,
      ADD COLUMN via text NOT NULL DEFAULT 'mqtt',
      ADD COLUMN claimed text,
      ADD COLUMN address text,
      -- The beginning of the payload with everything that may be secret taken out.
      ADD COLUMN sample text;
    CREATE INDEX rejected_reports_strangers ON work.rejected_reports (id DESC) WHERE device_id IS NULL;

    -- The nil id stands for strangers.
    CREATE TABLE work.rejected_counts (
      device_id uuid NOT NULL,
      problem   text NOT NULL,
      messages  bigint NOT NULL,
      last_at   timestamptz NOT NULL,
      PRIMARY KEY (device_id, problem)
    );
  `,
};
