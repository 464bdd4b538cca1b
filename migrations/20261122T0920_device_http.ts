import type { Migration } from './index.ts';

/** Boxes without MQTT: which way a box is reached, and the commands that it fetches. */
export const deviceHttp: Migration = {
  id: '20261122T0920_device_http',
  sql: `
    -- 'http' where the newest hello came over HTTP; absent: MQTT.
    ALTER TABLE work.device_live ADD COLUMN via text;

    -- Signed commands that wait to be fetched, for as long as they are good. A row is claimed before its bytes leave.
    CREATE TABLE work.device_mailbox (
      id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      device_id  uuid NOT NULL,
      command_id uuid NOT NULL UNIQUE,
      action     text NOT NULL,
      payload    bytea NOT NULL,
      -- How often the same bytes may be handed out in all.
      copies     smallint NOT NULL,
      -- From then on never again.
      last_at    timestamptz NOT NULL,
      handed     smallint NOT NULL DEFAULT 0,
      handed_at  timestamptz,
      -- The box says that it has it.
      taken_at   timestamptz
    );
    CREATE INDEX device_mailbox_device ON work.device_mailbox (device_id, id);
  `,
};
