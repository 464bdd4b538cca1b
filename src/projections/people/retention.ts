import type { Instant } from '../../domain/kernel.ts';
import { sqlState, type Database } from '../../platform/postgres/db.ts';
import type { Query, Reader, Schemas } from '../schemas.ts';

const forget = (name: string, kinds: string): Query => ({
  name: `people.forget_${name}`,
  text: (s: Schemas) => `
    WITH gone AS (
      DELETE FROM ${s['people']}.people WHERE ref IN (
        SELECT ref FROM ${s['people']}.people WHERE kind IN (${kinds}) AND since < $1::timestamptz LIMIT 5000
      ) RETURNING 1
    ) SELECT count(*)::integer AS gone FROM gone`,
});
const couriers = forget('couriers', `'courier', 'courier_origin'`);
const refused = forget('refused', `'refusal_origin'`);

/**
 * Forgets the couriers of deliveries before an instant. After their data keys were destroyed: then a rebuild, which can open
 * nothing of theirs any more, gives the same rows.
 *
 * @returns how many
 */
export function forgetCouriers(reader: Reader, before: Instant): Promise<number> {
  return inPieces(reader, couriers, before);
}

/** Forgets from where people without an account were refused. After the keys of those days were destroyed. */
export function forgetRefused(reader: Reader, before: Instant): Promise<number> {
  return inPieces(reader, refused, before);
}

async function inPieces(reader: Reader, query: Query, before: Instant): Promise<number> {
  for (let total = 0; ; ) {
    const gone = (await reader.first<{ gone: number }>(query, [before]))?.gone ?? 0;
    total += gone;
    if (gone < 5_000) return total;
  }
}

/**
 * Forgets everything that was sealed for these subjects: in the generation in use, in one that is built, and in those that are
 * kept for a way back. After their keys were destroyed: then nothing brings it back.
 *
 * @returns how many rows
 */
export async function forgetSubjects({ pool }: Pick<Database, 'pool'>, subjects: readonly string[]): Promise<number> {
  const { rows } = await pool.query<{ schema: string }>(
    `SELECT table_schema AS schema FROM information_schema.tables WHERE table_name = 'people' AND table_schema LIKE 'read\\_people\\_%'`,
  );
  let gone = 0;
  for (const { schema } of rows) {
    try {
      gone += (await pool.query(`DELETE FROM "${schema}".people WHERE subject_id = ANY($1)`, [subjects])).rowCount ?? 0;
    } catch (error) {
      if (!DROPPED.has(sqlState(error) ?? '')) throw error; // that generation is no more
    }
  }
  return gone;
}

/** undefined_table, invalid_schema_name. */
const DROPPED: ReadonlySet<string> = new Set(['42P01', '3F000']);
