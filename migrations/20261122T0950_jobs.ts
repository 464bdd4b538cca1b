import type { Migration } from './index.ts';

/** What runs around the clock, and what people were told. Losing it is bearable: nothing of it decides anything. */
export const jobs: Migration = {
  id: '20261122T0950_jobs',
  sql: `
    -- How each job went last. The queue of runs itself is the library's (schema pgboss).
    CREATE TABLE work.jobs (
      name              text        PRIMARY KEY,
      started_at        timestamptz,
      finished_at       timestamptz,
      succeeded_at      timestamptz,
      duration_ms       integer,
      result            jsonb,
      error             text,
      runs              bigint      NOT NULL DEFAULT 0,
      failures          bigint      NOT NULL DEFAULT 0,
      failures_in_a_row integer     NOT NULL DEFAULT 0
    );

    -- What somebody was told, with ids and figures alone: names and addresses are joined when it is shown or sent.
    CREATE TABLE work.notifications (
      id          uuid        PRIMARY KEY,
      user_id     uuid        NOT NULL,
      kind        text        NOT NULL,
      event_id    uuid        NOT NULL,
      device_id   uuid,
      facts       jsonb       NOT NULL DEFAULT '{}',
      occurred_at timestamptz NOT NULL,
      created_at  timestamptz NOT NULL DEFAULT now(),
      read_at     timestamptz,
      -- none: not to be mailed. held: beyond the limit of the hour, for one mail about all of them. dropped: nobody to send it to.
      mail        text        NOT NULL CHECK (mail IN ('none', 'waiting', 'sending', 'sent', 'held', 'failed', 'dropped')),
      mail_at     timestamptz,
      mail_tries  integer     NOT NULL DEFAULT 0,
      mail_error  text
    );
    CREATE INDEX notifications_user ON work.notifications (user_id, occurred_at DESC, id);
    CREATE INDEX notifications_quiet ON work.notifications (user_id, kind, device_id, occurred_at DESC);
    CREATE INDEX notifications_mailed ON work.notifications (user_id, kind, mail_at) WHERE mail IN ('sending', 'sent');
    CREATE INDEX notifications_open_mail ON work.notifications (mail, created_at) WHERE mail IN ('waiting', 'sending', 'held', 'failed');
    CREATE INDEX notifications_created ON work.notifications USING brin (created_at);

    -- Absent: the defaults. mail: kinds that were switched on or off.
    CREATE TABLE work.notification_settings (
      user_id    uuid        PRIMARY KEY,
      language   text        NOT NULL CHECK (language IN ('en', 'tr')),
      time_zone  text        NOT NULL,
      mail       jsonb       NOT NULL DEFAULT '{}',
      updated_at timestamptz NOT NULL DEFAULT now()
    );
  `,
};
