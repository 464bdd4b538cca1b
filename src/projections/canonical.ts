import type { Database } from '../platform/postgres/db.ts';
import { schemaOf, type AnyProjection } from './projection.ts';

/**
 * One hash per table of a read model's active generation, over its rows in the order of their key. Equal hashes are equal
 * tables, whichever way they came to be: applied live, redelivered or rebuilt.
 */
export async function canonicalHash(db: Database, projection: AnyProjection): Promise<Readonly<Record<string, string>>> {
  const { rows } = await db.pool.query<{ version: number; generation: number }>(
    'SELECT version, generation FROM work.projections WHERE name = $1',
    [projection.name],
  );
  const [active] = rows;
  if (active === undefined) throw new Error(`${projection.name} has not been built`);
  const schema = schemaOf(projection.name, active.version, active.generation);
  const hashes: Record<string, string> = {};
  for (const { name, key } of Object.values(projection.tables)) {
    const result = await db.pool.query<{ hash: string }>(
      `SELECT count(*) || ':' || md5(coalesce(string_agg(md5(t::text), '' ORDER BY ${key}), '')) AS hash FROM ${schema}.${name} t`,
    );
    hashes[name] = result.rows[0]?.hash ?? '';
  }
  return hashes;
}
