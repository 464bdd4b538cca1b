import type { Migration } from './index.ts';

/** Generations that wait to be switched to or can be gone back to, and what was asked of read models. */
export const projectionRuns: Migration = {
  id: '20261123T0950_projection_runs',
  sql: `
-- ready: built, and waits. Where resumable, the rows are exactly those of the log up to the position: it can be brought up to date.
ALTER TABLE work.projection_generations
  DROP CONSTRAINT projection_generations_state_check,
  ADD CONSTRAINT projection_generations_state_check CHECK (state IN ('building', 'ready', 'active', 'retired')),
  ADD COLUMN resumable boolean NOT NULL DEFAULT false;

-- Rebuilds, comparisons and switches: what was asked, how far it is, what came of it. Kept for a while, for people to look at.
CREATE TABLE work.projection_runs (
  id          uuid        PRIMARY KEY,
  names       text[]      NOT NULL,
  action      text        NOT NULL CHECK (action IN ('rebuild', 'compare', 'switch', 'rollback')),
  options     json        NOT NULL,
  -- asked: any projector takes it, again after a crash; local: of a command line; upgrade: of a program with another version
  kind        text        NOT NULL CHECK (kind IN ('asked', 'local', 'upgrade')),
  state       text        NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
  asked_by    text        NOT NULL,
  asked_at    timestamptz NOT NULL DEFAULT now(),
  started_at  timestamptz,
  finished_at timestamptz,
  updated_at  timestamptz NOT NULL DEFAULT now(),
  attempts    integer     NOT NULL DEFAULT 0,
  cancel      boolean     NOT NULL DEFAULT false,
  progress    json,
  results     json,
  error       text
) WITH (fillfactor = 50);
CREATE INDEX projection_runs_open ON work.projection_runs (asked_at) WHERE state IN ('waiting', 'running');
`,
};
