import type { Migration } from './index.ts';

/** What is known of boxes beside the log; losing it is bearable: each box says it again. */
export const bridge: Migration = {
  id: '20261121T0920_bridge',
  sql: `
    -- One row per registered box: how its topics name it, and what it said last.
    CREATE TABLE work.device_live (
      device_id        uuid PRIMARY KEY,
      profile          text NOT NULL,
      topic_key        text NOT NULL,
      level            smallint NOT NULL DEFAULT 0,
      -- Of the family in which all boxes share one command topic, only one may be sent commands.
      downlink         boolean NOT NULL DEFAULT true,
      last_heard_at    timestamptz,
      -- The newest connection that said hello, the last report on it, and when its will or bye came.
      connect_id       text,
      connect_heard_at timestamptz,
      gone_at          timestamptz,
      key_version      integer,
      -- Numbers of the newest report, status and hello.
      report_seq       bigint,
      status_seq       bigint,
      hello_seq        bigint,
      journal_id       text,
      last_seq         bigint,
      config_version   bigint,
      config_sent_at   timestamptz,
      battery          smallint,
      signal_strength  smallint,
      uptime           bigint,
      -- The facts that were last turned into commands: a report that repeats them costs no command.
      facts            json NOT NULL DEFAULT '{}',
      UNIQUE (profile, topic_key)
    ) WITH (fillfactor = 70);
    CREATE UNIQUE INDEX device_live_shared_topic ON work.device_live (profile) WHERE profile = 'transisttag' AND downlink;

    CREATE TABLE work.telemetry (
      device_id   uuid NOT NULL,
      key_version integer NOT NULL,
      report_seq  bigint NOT NULL,
      kind        text NOT NULL,
      received_at timestamptz NOT NULL,
      device_time timestamptz,
      -- The payload as it came.
      body        text NOT NULL,
      PRIMARY KEY (device_id, key_version, report_seq)
    );
    CREATE INDEX telemetry_received_at ON work.telemetry USING brin (received_at);

    -- The last messages of a box that were dropped, for the admin who asks why it is silent. Never its payload.
    CREATE TABLE work.rejected_reports (
      id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      device_id   uuid NOT NULL,
      topic       text NOT NULL,
      problem     text NOT NULL,
      field       text,
      size        integer NOT NULL,
      received_at timestamptz NOT NULL
    );
    CREATE INDEX rejected_reports_device ON work.rejected_reports (device_id, id DESC);
  `,
};
