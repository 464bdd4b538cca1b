import type { LRUCache } from 'lru-cache';
import { boundedCache } from '../platform/bounded-cache.ts';
import type { AnyTable, Rows } from './projection.ts';
import type { Statement } from './pipeline.ts';

type AnyRow = Readonly<Record<string, unknown>>;

/** A row, or the knowledge that there is none. */
interface Known {
  readonly row: AnyRow | undefined;
}

const ABSENT: Known = { row: undefined };

/**
 * The rows of one table as a batch of events sees them: what the batch changed, then what was loaded for it, then what
 * earlier batches left in the cache. The cache is right only while nobody else writes the table, which the fence of the
 * checkpoint sees to: whoever loses a transaction clears it.
 */
export class TableRows implements Rows<AnyRow> {
  readonly #table: AnyTable;
  readonly #cache: LRUCache<string, Known> | undefined;
  readonly #statements: TableStatements;
  /** Of a table that is only appended to: nobody looks for a row of it by its key. */
  #appended: AnyRow[] = [];
  #staged = new Map<string, Known>();
  #loaded = new Map<string, Known>();
  #wanted = new Set<string>();
  #deletedGroups = new Set<string>();

  constructor(schema: string, table: AnyTable, cacheRows: number) {
    this.#table = table;
    this.#statements = tableStatements(schema, table);
    this.#cache = table.kind === 'append' || table.cached === false ? undefined : boundedCache<string, Known>({ max: cacheRows });
  }

  /** Asks for a row that the batch will read; a known one is held, so that no eviction takes it before. */
  readonly want = (key: string): void => {
    if (this.#staged.has(key) || this.#loaded.has(key)) return;
    const known = this.#cache?.get(key);
    if (known === undefined) this.#wanted.add(key);
    else this.#loaded.set(key, known);
  };

  /** Says that the batch writes this row before it reads it: what the table has is of no use. */
  readonly writes = (key: string): void => {
    if (this.#staged.has(key) || this.#loaded.has(key) || this.#wanted.has(key) || this.#cache?.has(key) === true) return;
    this.#loaded.set(key, ABSENT);
  };

  /** The read for the rows that were asked for and are not known; undefined when all are. */
  loading(): Statement | undefined {
    return this.#wanted.size === 0 ? undefined : { ...this.#statements.load, values: [[...this.#wanted]] };
  }

  loaded(rows: readonly AnyRow[]): void {
    for (const row of rows) this.#loaded.set(this.#keyOf(row), { row });
    for (const key of this.#wanted) if (!this.#loaded.has(key)) this.#loaded.set(key, ABSENT);
    this.#wanted.clear();
  }

  get(key: string): AnyRow | undefined {
    const known = this.#staged.get(key) ?? this.#loaded.get(key) ?? this.#cache?.get(key);
    if (known === undefined) throw new Error(`Row ${key} of ${this.#table.name} is read but load does not name it`);
    return known.row;
  }

  need(key: string): AnyRow {
    const row = this.get(key);
    if (row === undefined) throw new Error(`No row ${key} in ${this.#table.name}: an earlier event is missing`);
    return row;
  }

  put(row: AnyRow): void {
    if (this.#table.kind === 'append') this.#appended.push(row);
    else this.#staged.set(this.#keyOf(row), { row });
  }

  update(key: string, change: AnyRow): AnyRow {
    const row = { ...this.need(key), ...change };
    this.#staged.set(key, { row });
    return row;
  }

  delete(key: string): void {
    this.#staged.set(key, ABSENT);
  }

  absent(key: string): void {
    if (!this.#staged.has(key)) this.#loaded.set(key, ABSENT);
  }

  deleteGroup(value: string): void {
    const { group } = this.#table;
    if (group === undefined) throw new Error(`${this.#table.name} has no group`);
    this.#deletedGroups.add(value);
    // A row of the group that this batch wrote must not be written after all; a known one is known to be gone.
    for (const known of [this.#staged, this.#loaded]) {
      for (const [key, { row }] of known) {
        if (row?.[group] !== value) continue;
        this.#staged.delete(key);
        this.#loaded.set(key, ABSENT);
      }
    }
    for (const [key, { row }] of this.#cache?.entries() ?? []) {
      if (row?.[group] === value) this.#cache?.set(key, ABSENT);
    }
  }

  /** What this batch does to the table: groups deleted, then rows deleted, then rows written. */
  writing(): readonly Statement[] {
    const { insert, remove, removeGroups } = this.#statements;
    const written = [...this.#appended];
    const removed: string[] = [];
    for (const [key, { row }] of this.#staged) {
      if (row === undefined) removed.push(key);
      else written.push(row);
    }
    return [
      ...(this.#deletedGroups.size === 0 || removeGroups === undefined ? [] : [{ ...removeGroups, values: [[...this.#deletedGroups]] }]),
      ...(removed.length === 0 ? [] : [{ ...remove, values: [removed] }]),
      ...inPieces(written).map((rows) => ({ ...insert, values: [JSON.stringify(rows)] })),
    ];
  }

  /** The batch is on its way: what it knew is what the next one starts from. */
  keep(): void {
    if (this.#cache !== undefined) {
      for (const [key, known] of this.#loaded) this.#cache.set(key, known);
      for (const [key, known] of this.#staged) this.#cache.set(key, known);
    }
    this.discard();
  }

  /** Forgets the batch. */
  discard(): void {
    this.#appended = [];
    this.#staged = new Map();
    this.#loaded = new Map();
    this.#wanted.clear();
    this.#deletedGroups = new Set();
  }

  #keyOf(row: AnyRow): string {
    return String(row[this.#table.key]);
  }
}

/** Rows of one statement: a longer JSON text costs the server more per row. */
const PIECE = 1_000;

function inPieces(rows: readonly AnyRow[]): readonly (readonly AnyRow[])[] {
  if (rows.length <= PIECE) return rows.length === 0 ? [] : [rows];
  return Array.from({ length: Math.ceil(rows.length / PIECE) }, (_, i) => rows.slice(i * PIECE, (i + 1) * PIECE));
}

interface TableStatements {
  readonly load: Omit<Statement, 'values'>;
  readonly insert: Omit<Statement, 'values'>;
  readonly remove: Omit<Statement, 'values'>;
  readonly removeGroups: Omit<Statement, 'values'> | undefined;
}

/** Rows go over as one JSON text: for the server that is as quick as arrays per column, for this process half the work. */
function tableStatements(schema: string, table: AnyTable): TableStatements {
  const target = `${schema}.${table.name}`;
  const names = Object.keys(table.columns);
  const typeOf = (column: string) => (table.columns[column] ?? 'text').replace(/ NOT NULL$/, '');
  const typed = names.map((name) => `${name} ${typeOf(name)}`).join(', ');
  const rest = names.filter((name) => name !== table.key);
  const onConflict =
    table.kind === 'append'
      ? ''
      : ` ON CONFLICT (${table.key}) DO UPDATE SET ${rest.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
  const statement = (name: string, text: string) => ({ name: `${target}.${name}`, text });
  const anyOf = (column: string) => `${column} = ANY ($1::${typeOf(column)}[])`;
  return {
    load: statement('load', `SELECT ${names.join(', ')} FROM ${target} WHERE ${anyOf(table.key)}`),
    insert: statement(
      'insert',
      `INSERT INTO ${target} (${names.join(', ')}) SELECT ${names.join(', ')} FROM json_to_recordset($1::json) AS r (${typed})${onConflict}`,
    ),
    remove: statement('remove', `DELETE FROM ${target} WHERE ${anyOf(table.key)}`),
    removeGroups: table.group === undefined ? undefined : statement('remove_groups', `DELETE FROM ${target} WHERE ${anyOf(table.group)}`),
  };
}
