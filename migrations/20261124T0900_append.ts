import type { Migration } from './index.ts';

/**
 * `log.append` as it was, but for how it asks whether events are stored: before PostgreSQL 17 the planner may read the whole
 * stream for `event_id = ANY (…)`, once for each append of more than one event.
 */
export const append: Migration = {
  id: '20261124T0900_append',
  sql: `
CREATE OR REPLACE FUNCTION log.append(
  streams text[], expected bigint[], firsts integer[], counts integer[],
  ids uuid[], types text[], data json[], metadata json[],
  OUT verdicts integer[], OUT revisions bigint[], OUT positions bigint[], OUT recorded_at timestamptz
) LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_variable
DECLARE
  appends        integer := cardinality(streams);
  before         bigint; -- the log's last position
  head           bigint; -- and the last one now: exact, it is what others take for committed
  simple         bigint[]; -- positions given by the first pass
  given          bigint;
  first          integer;
  n              integer;
  stream         text;
  actual         bigint;
  known          integer;
  known_revision bigint;
  known_position bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7021787012117);
  -- From here on every statement takes a snapshot later than the lock, so it sees all that was committed under it.
  recorded_at := date_trunc('milliseconds', clock_timestamp());
  verdicts := array_fill(-1, ARRAY[appends]);
  revisions := array_fill(-1::bigint, ARRAY[appends]);
  positions := array_fill(0::bigint, ARRAY[appends]);
  SELECT e.position INTO before FROM log.events e ORDER BY e.position DESC LIMIT 1;
  before := coalesce(before, 0);

  -- The usual case for the whole batch at once: one event, the stream where it should be, the event new.
  -- Append i takes position before + i; what does not fit the two unique constraints is left to the second pass.
  WITH stored AS (
    INSERT INTO log.events
      SELECT before + a.i, a.stream, a.expected + 1, ids[a.first], types[a.first], data[a.first], metadata[a.first], recorded_at
        FROM unnest(streams, expected, firsts, counts) WITH ORDINALITY AS a(stream, expected, first, n, i)
       WHERE a.n = 1
         AND (a.expected = -1
           OR a.expected >= 0 AND (SELECT true FROM log.events e WHERE e.stream = a.stream AND e.revision = a.expected))
    ON CONFLICT DO NOTHING
    RETURNING position
  )
  SELECT array_agg(s.position), coalesce(max(s.position), before) INTO simple, head FROM stored s;
  IF simple IS NOT NULL THEN
    FOREACH given IN ARRAY simple LOOP
      n := (given - before)::integer;
      verdicts[n] := 0;
      revisions[n] := expected[n] + 1;
      positions[n] := given;
    END LOOP;
  END IF;

  FOR i IN 1 .. appends LOOP
    IF verdicts[i] = -1 THEN
      n := counts[i];
      first := firsts[i];
      stream := streams[i];
      SELECT e.revision INTO actual FROM log.events e WHERE e.stream = stream ORDER BY e.revision DESC LIMIT 1;
      actual := coalesce(actual, -1);
      -- One by one through the unique index, whatever the planner thinks of the table: OFFSET keeps it from another plan.
      SELECT count(*), max(e.revision), max(e.position) INTO known, known_revision, known_position
        FROM unnest(ids[first : first + n - 1]) AS w(id),
             LATERAL (SELECT o.revision, o.position FROM log.events o WHERE o.stream = stream AND o.event_id = w.id OFFSET 0) AS e;
      IF known = n THEN -- a repeat: answered as the first time, whatever was appended since
        verdicts[i] := 2;
        revisions[i] := known_revision;
        positions[i] := known_position;
      ELSIF known > 0 OR (expected[i] <> -2 AND expected[i] <> actual) THEN
        verdicts[i] := 1;
        revisions[i] := actual;
      ELSE
        INSERT INTO log.events
          SELECT head + 1 + k, stream, actual + 1 + k,
                 ids[first + k], types[first + k], data[first + k], metadata[first + k], recorded_at
            FROM generate_series(0, n - 1) AS k;
        head := head + n;
        verdicts[i] := 0;
        revisions[i] := actual + n;
        positions[i] := head;
      END IF;
    END IF;
  END LOOP;

  -- Only a hint for other processes: they also look every half second.
  IF head > before THEN
    PERFORM pg_notify('loqey_log', head::text);
  END IF;
END
$function$;
`,
};
