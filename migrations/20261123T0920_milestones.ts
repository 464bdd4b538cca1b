import type { Migration } from './index.ts';

/**
 * Folds of long streams at every so many events, so that a state of the past costs one of them and what came after. Made by
 * reading, never by an append; losing them costs time only. They hold what the folded state holds: nothing personal.
 */
export const milestones: Migration = {
  id: '20261123T0920_milestones',
  sql: `
    CREATE TABLE work.milestones (
      stream      text NOT NULL,
      -- The version of the fold: a build with another one does not use it.
      fold        text NOT NULL,
      -- Of the last event of its block.
      revision    bigint NOT NULL,
      event_id    uuid NOT NULL,
      position    numeric(20, 0) NOT NULL,
      type        text NOT NULL,
      -- Instants as text: three digits of milliseconds in UTC compare as they should.
      occurred_at text COLLATE "C" NOT NULL,
      -- The least instant of the block: order is the log's, and instants may go back in it.
      earliest    text COLLATE "C" NOT NULL,
      core        json NOT NULL,
      PRIMARY KEY (stream, fold, revision)
    );

    -- A link as it was at the end of a block that changed it.
    CREATE TABLE work.milestone_links (
      stream   text NOT NULL,
      fold     text NOT NULL,
      link_id  uuid NOT NULL,
      revision bigint NOT NULL,
      body     json NOT NULL,
      PRIMARY KEY (stream, fold, link_id, revision)
    );

    -- Two that fold the same block find the same: the second one changes nothing. Not flushed to disk by itself.
    CREATE FUNCTION work.keep_milestones(of_stream text, by_fold text, milestones json, links json) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('synchronous_commit', 'off', true);
      INSERT INTO work.milestone_links (stream, fold, link_id, revision, body)
      SELECT of_stream, by_fold, kept.link_id, kept.revision, kept.body
        FROM json_to_recordset(links) AS kept (link_id uuid, revision bigint, body json)
      ON CONFLICT DO NOTHING;
      INSERT INTO work.milestones (stream, fold, revision, event_id, position, type, occurred_at, earliest, core)
      SELECT of_stream, by_fold, kept.revision, kept.event_id, kept.position, kept.type, kept.occurred_at, kept.earliest, kept.core
        FROM json_to_recordset(milestones)
          AS kept (revision bigint, event_id uuid, position numeric, type text, occurred_at text, earliest text, core json)
      ON CONFLICT DO NOTHING;
    END $$;
  `,
};
