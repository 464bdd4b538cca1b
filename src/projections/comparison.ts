import type { Session } from './session.ts';
import type { AnyProjection, AnyTable } from './projection.ts';

/** How two generations of a read model differ at one position of the log. */
export interface Comparison {
  readonly equal: boolean;
  /** Of the log, which both had applied exactly. */
  readonly position: string;
  readonly live: { readonly version: number; readonly generation: number };
  readonly next: { readonly version: number; readonly generation: number };
  readonly tables: readonly TableComparison[];
}

export interface TableComparison {
  readonly table: string;
  readonly equal: boolean;
  /** Absent where that generation has no such table. */
  readonly live?: TableDigest;
  readonly next?: TableDigest;
  /** Columns that only one of them has: not compared. */
  readonly onlyLive: readonly string[];
  readonly onlyNext: readonly string[];
  /** Rows that differ, the first of them by key. Names of columns, never what is in them. */
  readonly differing: number;
  readonly rows: readonly RowDifference[];
}

export interface TableDigest {
  readonly rows: number;
  /** Over the common columns of every row, whatever their order. */
  readonly hash: string;
}

export interface RowDifference {
  readonly key: string;
  readonly kind: 'missing' | 'added' | 'changed';
  readonly columns: readonly string[];
}

export const SHOWN_ROWS = 20;
/** Rows go into so many sums by their key: only the rows of sums that differ are looked at one by one. */
const BUCKETS = 4_096;

interface Side {
  readonly schema: string;
  readonly version: number;
  readonly generation: number;
}

interface Bucket {
  readonly bucket: number;
  readonly rows: number;
  readonly hash: string;
}

/**
 * Compares within the caller's transaction, which must see both at the same position. Memory here is that of the buckets
 * and of the rows that are shown, whatever the size of the tables.
 */
export async function compareGenerations(session: Session, projection: AnyProjection, position: bigint, live: Side, next: Side): Promise<Comparison> {
  const [liveColumns, nextColumns] = await Promise.all([columnsOf(session, live.schema), columnsOf(session, next.schema)]);
  const names = [...new Set([...liveColumns.keys(), ...nextColumns.keys()])].sort();
  const tables: TableComparison[] = [];
  for (const name of names) {
    const table = Object.values(projection.tables).find((candidate) => candidate.name === name);
    tables.push(await compareTable(session, name, table, live.schema, next.schema, liveColumns.get(name), nextColumns.get(name)));
  }
  const identity = ({ version, generation }: Side) => ({ version, generation });
  return { equal: tables.every(({ equal }) => equal), position: String(position), live: identity(live), next: identity(next), tables };
}

/** Table → column → type. */
async function columnsOf(session: Session, schema: string): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const [rows] = await session.read([
    {
      text: `SELECT c.relname AS "table", a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type
               FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum`,
      values: [schema],
    },
  ]);
  const tables = new Map<string, Map<string, string>>();
  for (const { table, column, type } of (rows ?? []) as readonly { table: string; column: string; type: string }[]) {
    const columns = tables.get(table) ?? new Map<string, string>();
    tables.set(table, columns.set(column, type));
  }
  return tables;
}

async function compareTable(
  session: Session,
  name: string,
  table: AnyTable | undefined,
  liveSchema: string,
  nextSchema: string,
  live: ReadonlyMap<string, string> | undefined,
  next: ReadonlyMap<string, string> | undefined,
): Promise<TableComparison> {
  const without = (all: ReadonlyMap<string, string> | undefined, other: ReadonlyMap<string, string> | undefined) =>
    [...(all ?? [])].flatMap(([column, type]) => (other?.get(column) === type ? [] : [column]));
  const [onlyLive, onlyNext] = [without(live, next), without(next, live)];
  const common = [...(live ?? [])].flatMap(([column, type]) => (next?.get(column) === type ? [column] : []));
  if (live === undefined || next === undefined || table === undefined || !common.includes(table.key)) {
    // Another version may have other tables; what cannot be laid side by side is a difference to be looked at.
    return {
      table: name,
      equal: false,
      ...(live === undefined ? {} : { live: await digestOf(session, `${liveSchema}.${name}`) }),
      ...(next === undefined ? {} : { next: await digestOf(session, `${nextSchema}.${name}`) }),
      onlyLive,
      onlyNext,
      differing: 0,
      rows: [],
    };
  }
  const a = await bucketsOf(session, `${liveSchema}.${name}`, table.key, common);
  const b = await bucketsOf(session, `${nextSchema}.${name}`, table.key, common);
  const differing = [...new Set([...a.keys(), ...b.keys()])].filter((bucket) => a.get(bucket)?.hash !== b.get(bucket)?.hash);
  const found = differing.length === 0 ? { count: 0, rows: [] } : await differencesOf(session, name, table.key, common, liveSchema, nextSchema, differing);
  return {
    table: name,
    equal: differing.length === 0,
    live: await summed(session, a),
    next: await summed(session, b),
    onlyLive,
    onlyNext,
    differing: found.count,
    rows: found.rows,
  };
}

const bucketOf = (key: string) => `(hashtextextended(${key}::text, 0) & ${BUCKETS - 1})::integer`;

/** Sums of two hashes of each row: the same whatever their order, and made in one pass that keeps no row. */
async function bucketsOf(session: Session, table: string, key: string, columns: readonly string[]): Promise<ReadonlyMap<number, Bucket>> {
  const [rows] = await session.read([
    {
      // OFFSET 0: the text of a row is made once, not for each hash.
      text: `SELECT ${bucketOf('key')} AS bucket, count(*)::integer AS rows,
                    count(*) || ':' || sum(hashtextextended(whole, 1)) || ':' || sum(hashtextextended(whole, 2)) AS hash
               FROM (SELECT ${key} AS key, ROW(${columns.join(', ')})::text AS whole FROM ${table} OFFSET 0) r GROUP BY 1 ORDER BY 1`,
      values: [],
    },
  ]);
  return new Map(((rows ?? []) as readonly unknown[] as readonly Bucket[]).map((bucket) => [bucket.bucket, bucket]));
}

async function summed(session: Session, buckets: ReadonlyMap<number, Bucket>): Promise<TableDigest> {
  const [rows] = await session.read([{ text: 'SELECT md5($1) AS hash', values: [[...buckets.values()].map(({ bucket, hash }) => `${bucket}=${hash}`).join(',')] }]);
  return { rows: [...buckets.values()].reduce((sum, { rows: count }) => sum + count, 0), hash: String(rows?.[0]?.['hash']) };
}

async function digestOf(session: Session, table: string): Promise<TableDigest> {
  const [rows] = await session.read([{ text: `SELECT count(*)::integer AS rows FROM ${table}`, values: [] }]);
  return { rows: Number(rows?.[0]?.['rows'] ?? 0), hash: '' };
}

async function differencesOf(
  session: Session,
  name: string,
  key: string,
  columns: readonly string[],
  liveSchema: string,
  nextSchema: string,
  buckets: readonly number[],
): Promise<{ readonly count: number; readonly rows: readonly RowDifference[] }> {
  const side = (schema: string) => `(SELECT * FROM ${schema}.${name} WHERE ${bucketOf(key)} = ANY ($1::integer[]))`;
  const changed = columns.filter((column) => column !== key).map((column) => `CASE WHEN a.${column}::text IS DISTINCT FROM b.${column}::text THEN '${column}' END`);
  const from = `${side(liveSchema)} a FULL JOIN ${side(nextSchema)} b ON a.${key} = b.${key}
     WHERE a.${key} IS NULL OR b.${key} IS NULL OR ROW(${columns.map((column) => `a.${column}`).join(', ')})::text <> ROW(${columns.map((column) => `b.${column}`).join(', ')})::text`;
  const [count, rows] = await session.read([
    { text: `SELECT count(*)::integer AS count FROM ${from}`, values: [buckets] },
    {
      text: `SELECT coalesce(a.${key}, b.${key})::text AS key, CASE WHEN b.${key} IS NULL THEN 'missing' WHEN a.${key} IS NULL THEN 'added' ELSE 'changed' END AS kind,
                    CASE WHEN a.${key} IS NULL OR b.${key} IS NULL THEN '' ELSE concat_ws(',', NULL::text${changed.map((each) => `, ${each}`).join('')}) END AS columns
               FROM ${from} ORDER BY coalesce(a.${key}, b.${key}) LIMIT ${SHOWN_ROWS}`,
      values: [buckets],
    },
  ]);
  return {
    count: Number(count?.[0]?.['count'] ?? 0),
    rows: ((rows ?? []) as readonly unknown[] as readonly { key: string; kind: RowDifference['kind']; columns: string }[]).map(({ columns: differing, ...row }) => ({
      ...row,
      columns: differing === '' ? [] : differing.split(','),
    })),
  };
}
