import type { Migration } from './index.ts';

/**
 * What counts tries: for as long as a window, and never needed after a crash. So nothing here is written to the
 * write-ahead log. Keys are keyed hashes: no address and no account can be read from these tables.
 */
export const limits: Migration = {
  id: '20261122T1000_limits',
  sql: `
    -- Milliseconds since the epoch, by the clocks of the processes that count.
    CREATE UNLOGGED TABLE work.rate_limits (
      key        bytea PRIMARY KEY,
      started_at bigint NOT NULL,
      ends_at    bigint NOT NULL,
      count      integer NOT NULL
    ) WITH (fillfactor = 70);

    -- Failed logins with addresses that no account has, counted as those of an account are.
    CREATE UNLOGGED TABLE work.unknown_logins (
      key        bytea PRIMARY KEY,
      logins     json NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now()
    );

    -- From where an account signed in before. Kept over a crash: it is what lets an owner in while others guess.
    CREATE TABLE work.login_sources (
      key     bytea PRIMARY KEY,
      seen_at timestamptz NOT NULL DEFAULT now()
    );
  `,
};
