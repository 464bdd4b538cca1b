import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';

/** Where in a database one of `needles` can be read, as `schema.table.column`: every column of every table of every schema. */
export async function readableIn(pool: pg.Pool, needles: readonly string[]): Promise<readonly string[]> {
  const { rows } = await pool.query<{ schema: string; table: string; column: string; type: string }>(
    `SELECT table_schema AS schema, table_name AS "table", column_name AS "column", data_type AS type
       FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
      WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, ordinal_position`,
  );
  const found: string[] = [];
  for (const [name, columns] of Map.groupBy(rows, ({ schema, table }) => `"${schema}"."${table}"`)) {
    const tests = columns.map(({ column, type }) =>
      type === 'bytea'
        ? `count(*) FILTER (WHERE EXISTS (SELECT FROM unnest($1::text[]) needle WHERE position(convert_to(needle, 'UTF8') IN "${column}") > 0))`
        : `count(*) FILTER (WHERE EXISTS (SELECT FROM unnest($1::text[]) needle WHERE strpos(lower("${column}"::text), lower(needle)) > 0))`,
    );
    const { rows: counted } = await pool.query<Record<string, string>>({ text: `SELECT ${tests.map((test, index) => `${test} AS c${index}`).join(', ')} FROM ${name}`, values: [needles] });
    columns.forEach(({ schema, table, column }, index) => {
      if (counted[0]?.[`c${index}`] !== '0') found.push(`${schema}.${table}.${column}`);
    });
  }
  return found;
}

/** Files below a folder in which one of `needles` can be read, also where a mail encodes it. */
export function readableBelow(folder: string, needles: readonly string[]): readonly string[] {
  const encoded = needles.flatMap((needle) => [needle, Buffer.from(needle).toString('base64').slice(0, -4), needle.replaceAll('@', '=40')]).filter((each) => each.length > 4);
  const visit = (path: string): string[] => {
    if (statSync(path).isDirectory()) return readdirSync(path).flatMap((name) => visit(join(path, name)));
    const text = readFileSync(path, 'latin1').toLowerCase();
    return encoded.some((needle) => text.includes(needle.toLowerCase())) ? [path.slice(folder.length + 1)] : [];
  };
  try {
    return visit(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

export function readableText(text: string, needles: readonly string[]): readonly string[] {
  return needles.filter((needle) => text.toLowerCase().includes(needle.toLowerCase()));
}
