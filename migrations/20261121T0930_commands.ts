import type { Migration } from './index.ts';

/** What the command side keeps beside the log; losing it is bearable. */
export const commands: Migration = {
  id: '20261121T0930_commands',
  sql: `
    CREATE TABLE work.idempotency (
      command_id   uuid PRIMARY KEY,
      request_hash bytea NOT NULL,
      created_at   timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX idempotency_created_at ON work.idempotency (created_at);

    -- Takes the key, or gives the hash that it was taken with. Not flushed to disk by itself: after a crash the box's
    -- stream still knows its last command ids, and this row saves an unlock half a millisecond.
    CREATE FUNCTION work.take_idempotency_key(id uuid, hash bytea) RETURNS bytea LANGUAGE plpgsql AS $$
    DECLARE taken bytea;
    BEGIN
      PERFORM set_config('synchronous_commit', 'off', true);
      INSERT INTO work.idempotency (command_id, request_hash) VALUES (id, hash) ON CONFLICT DO NOTHING;
      IF FOUND THEN RETURN NULL; END IF;
      SELECT request_hash INTO taken FROM work.idempotency WHERE command_id = id;
      RETURN taken;
    END $$;

    CREATE TABLE work.reactors (
      name       text PRIMARY KEY,
      log_id     uuid NOT NULL,
      position   numeric(20, 0) NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now()
    );
  `,
};
