import type { Migration } from './index.ts';

/** Where each read model stands, and what the live group tells other processes. The read models own their own tables. */
export const projections: Migration = {
  id: '20261121T0940_projections',
  sql: `
-- One checkpoint per projection. Position -1: nothing applied yet.
CREATE TABLE work.projections (
  name          text           PRIMARY KEY,
  version       integer        NOT NULL,
  generation    integer        NOT NULL,
  position      numeric(20, 0) NOT NULL,
  log_id        uuid           NOT NULL,
  state         text           NOT NULL CHECK (state IN ('running', 'catching_up', 'stopped')),
  error         jsonb,
  last_event_at timestamptz,
  updated_at    timestamptz    NOT NULL DEFAULT now()
) WITH (fillfactor = 25);

CREATE TABLE work.projection_generations (
  name       text           NOT NULL,
  generation integer        NOT NULL,
  version    integer        NOT NULL,
  state      text           NOT NULL CHECK (state IN ('building', 'active', 'retired')),
  position   numeric(20, 0) NOT NULL DEFAULT -1,
  created_at timestamptz    NOT NULL DEFAULT now(),
  active_at  timestamptz,
  retired_at timestamptz,
  PRIMARY KEY (name, generation)
);

-- The fence: fails unless every named checkpoint is exactly where the caller left it, in the generation it writes to.
CREATE FUNCTION work.advance_projections(
  names text[], generations integer[], befores numeric[], after numeric, event_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  moved integer;
BEGIN
  UPDATE work.projections p
     SET position = after, last_event_at = coalesce(event_at, p.last_event_at), updated_at = now()
    FROM unnest(names, generations, befores) AS m (name, generation, before)
   WHERE p.name = m.name AND p.generation = m.generation AND p.position = m.before;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(names) THEN
    RAISE EXCEPTION 'a checkpoint is not where this runner left it' USING ERRCODE = 'LQ001';
  END IF;
END $$;

-- What others must hear of, for 24 hours: one row per topic of a change. No personal data, no tokens.
CREATE TABLE work.live_changes (
  seq         bigint         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  position    numeric(20, 0) NOT NULL,
  topic       text           NOT NULL,
  change_no   integer        NOT NULL,
  topics      text[]         NOT NULL,
  event_id    uuid           NOT NULL,
  type        text           NOT NULL,
  payload     jsonb          NOT NULL,
  recorded_at timestamptz    NOT NULL DEFAULT now()
);
CREATE INDEX live_changes_topic ON work.live_changes (topic, position);
CREATE INDEX live_changes_position ON work.live_changes (position);
CREATE INDEX live_changes_age ON work.live_changes USING brin (recorded_at);

-- Changes at or before this position are gone: a socket that resumes from further back must read anew.
CREATE TABLE work.live_floor (
  only_row boolean        PRIMARY KEY DEFAULT true CHECK (only_row),
  position numeric(20, 0) NOT NULL
);
INSERT INTO work.live_floor (position) VALUES (-1);
`,
};
