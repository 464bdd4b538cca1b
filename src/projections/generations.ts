import type { Uuid } from '../domain/kernel.ts';
import type { Database } from '../platform/postgres/db.ts';
import { PROJECTIONS_CHANNEL, notifying } from './checkpoints.ts';
import { Member } from './member.ts';
import { createIndexes, createTables, schemaOf, type AnyProjection } from './projection.ts';
import type { Session, Statement } from './session.ts';

/** Class of the advisory locks of whoever builds a read model. Any constant. */
export const BUILDING = 20_261_121;

/** How long a generation that was replaced can be gone back to, and one that waits is kept. */
export const KEPT_MS = 24 * 3_600_000;

/** Makes the tables of the next generation, not yet with their indexes. What a broken-off rebuild left is removed, and what waited. */
export async function createGeneration(session: Session, projection: AnyProjection): Promise<number> {
  const { name, version } = projection;
  return await session.transaction(async () => {
    const [abandoned] = await session.read([
      { text: `DELETE FROM work.projection_generations WHERE name = $1 AND state IN ('building', 'ready') RETURNING version, generation`, values: [name] },
    ]);
    for (const old of (abandoned ?? []) as readonly { version: number; generation: number }[]) {
      await session.read([{ text: `DROP SCHEMA IF EXISTS ${schemaOf(name, old.version, old.generation)} CASCADE`, values: [] }]);
    }
    const [created] = await session.read([
      {
        text: `INSERT INTO work.projection_generations (name, generation, version, state)
               SELECT $1, 1 + greatest((SELECT max(generation) FROM work.projection_generations WHERE name = $1),
                                       (SELECT generation FROM work.projections WHERE name = $1), 0), $2, 'building'
               RETURNING generation`,
        values: [name, version],
      },
    ]);
    const generation = Number(created?.[0]?.['generation']);
    const schema = schemaOf(name, version, generation);
    for (const statement of [`DROP SCHEMA IF EXISTS ${schema} CASCADE`, ...createTables(projection, schema)]) {
      await session.read([{ text: statement, values: [] }]);
    }
    return generation;
  });
}

/** Makes the member's generation the one that is read and written. Within a transaction that holds the checkpoint row. */
export async function activate(session: Session, member: Member, logId: Uuid): Promise<void> {
  const { name, generation, projection } = member;
  await session.read([
    {
      // Where it stood: from there it can be brought up to date again, unless it was of another log or beyond the end of this one.
      text: `UPDATE work.projection_generations g SET state = 'retired', retired_at = now(), position = p.position, resumable = p.log_id = $2 AND p.position <= $3::numeric
               FROM work.projections p WHERE p.name = g.name AND g.name = $1 AND g.state = 'active'`,
      values: [name, logId, String(member.position)],
    },
    {
      text: `INSERT INTO work.projections (name, version, generation, position, log_id, state, last_event_at)
             VALUES ($1, $2, $3, $4, $5, 'running', $6)
             ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version, generation = EXCLUDED.generation, position = EXCLUDED.position,
               log_id = EXCLUDED.log_id, state = 'running', error = NULL, last_event_at = EXCLUDED.last_event_at, updated_at = now()`,
      values: [name, projection.version, generation, String(member.position), logId, member.lastEventAt ?? null],
    },
    {
      text: `UPDATE work.projection_generations SET state = 'active', active_at = now(), retired_at = NULL, resumable = false, position = $3 WHERE name = $1 AND generation = $2`,
      values: [name, generation, String(member.position)],
    },
    notifying(PROJECTIONS_CHANNEL, name),
  ]);
}

/** That the rows of a generation are those of the log up to where the member is. Written with them. */
export function reached({ name, generation, position }: Member): Statement {
  return {
    name: 'projections.reached',
    text: 'UPDATE work.projection_generations SET position = $3::numeric WHERE name = $1 AND generation = $2',
    values: [name, generation, String(position)],
  };
}

/** The member's generation waits to be switched to: for a day from now, like one that was replaced. */
export async function park(session: Session, { name, generation, position }: Member): Promise<void> {
  await session.read([
    {
      text: `UPDATE work.projection_generations SET state = CASE state WHEN 'building' THEN 'ready' ELSE state END, position = $3::numeric, resumable = true,
                    retired_at = CASE state WHEN 'retired' THEN retired_at ELSE now() END
              WHERE name = $1 AND generation = $2`,
      values: [name, generation, String(position)],
    },
  ]);
}

/** A read model with no rows, before the first event: where there is nothing to switch from. */
export async function startEmpty(session: Session, projection: AnyProjection, logId: Uuid): Promise<void> {
  const member = new Member(projection, await createGeneration(session, projection), -1n, 1);
  for (const statement of createIndexes(projection, member.schema)) await session.read([{ text: statement, values: [] }]);
  await session.transaction(() => activate(session, member, logId));
}

/** Removes a generation that was not finished. */
export async function dropGeneration(session: Session, member: Member): Promise<void> {
  await session.read([
    { text: `DROP SCHEMA IF EXISTS ${member.schema} CASCADE`, values: [] },
    {
      text: `DELETE FROM work.projection_generations WHERE name = $1 AND generation = $2 AND state = 'building'`,
      values: [member.name, member.generation],
    },
  ]);
}

/**
 * Drops the generations that were replaced, or left waiting, longer ago than that. A query that still meets one looks up the
 * new one. One whose read model is being built is left: it may be the one that is brought up to date.
 *
 * @returns the names of the dropped schemas, and how many were left
 */
export async function dropRetired(db: Database, olderThanMs: number, names?: readonly string[]): Promise<{ readonly dropped: readonly string[]; readonly left: number }> {
  const { rows } = await db.pool.query<{ name: string; version: number; generation: number }>(
    `SELECT name, version, generation FROM work.projection_generations
      WHERE state IN ('retired', 'ready') AND retired_at <= now() - make_interval(secs => $1) AND ($2::text[] IS NULL OR name = ANY ($2))
      ORDER BY name, generation`,
    [olderThanMs / 1_000, names ?? null],
  );
  const dropped: string[] = [];
  for (const { name, version, generation } of rows) {
    const schema = schemaOf(name, version, generation);
    const isGone = await db.transaction(async (client) => {
      const { rows: free } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS taken', [BUILDING, name]);
      if (free[0]?.taken !== true) return false;
      // Nor one that somebody went back to since it was looked for.
      const { rowCount } = await client.query(`DELETE FROM work.projection_generations WHERE name = $1 AND generation = $2 AND state IN ('retired', 'ready')`, [name, generation]);
      if (rowCount !== 0) await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      return true;
    });
    if (isGone) dropped.push(schema);
  }
  return { dropped, left: rows.length - dropped.length };
}
