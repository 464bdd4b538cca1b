import type { Migration } from './index.ts';

/** Folds of long streams, so that a cold one costs one row and what came after. Losing them costs time only. */
export const snapshots: Migration = {
  id: '20261121T0935_snapshots',
  sql: `
    CREATE TABLE work.snapshots (
      stream        text PRIMARY KEY,
      -- Of the state's shape: a build with another one does not use it.
      state_version integer NOT NULL,
      revision      bigint NOT NULL,
      -- Of the event at that revision: the log must still hold it there.
      event_id      uuid NOT NULL,
      body          json NOT NULL,
      taken_at      timestamptz NOT NULL DEFAULT now()
    );

    -- Never replaces a later one; not flushed to disk by itself.
    CREATE FUNCTION work.keep_snapshot(of_stream text, of_version integer, at_revision bigint, at_event uuid, folded json) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('synchronous_commit', 'off', true);
      INSERT INTO work.snapshots AS kept (stream, state_version, revision, event_id, body)
      VALUES (of_stream, of_version, at_revision, at_event, folded)
      ON CONFLICT (stream) DO UPDATE
        SET state_version = excluded.state_version, revision = excluded.revision, event_id = excluded.event_id,
            body = excluded.body, taken_at = now()
        WHERE kept.state_version <> excluded.state_version OR kept.revision < excluded.revision;
    END $$;
  `,
};
