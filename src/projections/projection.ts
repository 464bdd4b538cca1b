import type { DomainEventType, Recorded, RecordedOf } from '../domain/events.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import type { LiveChange } from './read-models.ts';

/**
 * A read model: its tables, and what each event does to their rows. Handlers are pure folds over rows in memory: the
 * engine loads the rows that `load` names, runs the handlers over a whole batch, and writes what changed with one
 * statement per table. So a handler never waits, and a batch of a thousand events costs about as many round trips as one.
 */
export interface Projection<T extends Tables = Tables> {
  /** For ever: it names the checkpoint and the schemas. */
  readonly name: string;
  /** Raise it when tables or handlers change: the read model is then rebuilt beside the old one, and switched. */
  readonly version: number;
  /** Categories (the stream name up to its first `-`) of which this read model must know every event type. */
  readonly categories: readonly string[];
  readonly tables: T;
  /**
   * Names the rows that the event's handler will read, and with `writes` those that it writes without a look: later events of
   * the batch read what it wrote, so nobody asks the database for them. A rebuild waits for each such question until
   * what it wrote before is written.
   */
  readonly load?: (event: Recorded, want: Wants<T>, writes: Wants<T>) => void;
  /** Names rows that any event's handler may read: asked for once in every batch. */
  readonly always?: (want: Wants<T>) => void;
  /** A second look, for rows whose key is in a row that `load` named. */
  readonly loadMore?: (event: Recorded, want: Wants<T>, rows: RowsOf<T>) => void;
  /** What a handler needs and only a promise can give (opened seals). Called once for a batch, before its handlers. */
  readonly prepare?: (events: readonly Recorded[]) => Promise<void>;
  readonly on: Handlers<T>;
  /** Default `live`. `background`: no request waits for it and it tells no changes, so it is applied in larger batches. */
  readonly group?: Group;
  /** Holds what can be erased: when somebody is, what was replaced by a rebuild or waits is dropped, because nobody feeds it. */
  readonly personal?: true;
  /** Instead of `on`: sees every event of every category as stored, of unknown type too. */
  readonly every?: (event: RecordedEvent, rows: RowsOf<T>) => void;
}

export type Group = 'live' | 'background';

export function groupOf({ group = 'live' }: AnyProjection): Group {
  return group;
}

export type Handlers<T extends Tables> = { readonly [E in DomainEventType]?: Handler<RecordedOf<E>, T> };

/** Method syntax, so that the handlers of one type stand in a list of handlers of any. */
type Handler<E, T extends Tables> = { handle(event: E, rows: RowsOf<T>, emit: Emit): void }['handle'];

/** Tells the WebSockets and the other processes, in the projection's own transaction. Does nothing in a rebuild. */
export type Emit = (topics: readonly (string | undefined)[], type: LiveChange['type'], payload: LiveChange['payload']) => void;

/** What the engine knows of a table. */
export interface AnyTable {
  readonly name: string;
  /** Column → SQL type, with ` NOT NULL` where it is. The order is that of the DDL. */
  readonly columns: Readonly<Record<string, string>>;
  readonly key: string;
  /** A column by whose value rows are deleted together. */
  readonly group?: string;
  /** `append`: each row is new and is put once, never read or deleted by a handler. Its key, too, is indexed after the load. */
  readonly kind?: 'append';
  /** Default true. False where rows may be deleted by others than the projection. */
  readonly cached?: boolean;
  /** What follows `CREATE INDEX ON table`: `(owner_id) WHERE owner_id IS NOT NULL`; `UNIQUE` may come first. */
  readonly indexes: readonly string[];
}

export interface Table<Row extends object> extends AnyTable {
  readonly columns: { readonly [Column in keyof Row & string]: string };
  readonly key: keyof Row & string;
  readonly group?: keyof Row & string;
  /** Never set: carries the type of a row. */
  readonly row?: Row;
}

export type Tables = Readonly<Record<string, AnyTable>>;

export type RowOf<T> = T extends Table<infer Row> ? Row : never;

export interface Rows<Row> {
  /** @throws where `load` did not name the key: that would read an unknown as absent */
  get(key: string): Row | undefined;
  /** @throws where there is no such row: the event's past is missing, which stops the projection */
  need(key: string): Row;
  put(row: Row): void;
  /** @returns the row after the change */
  update(key: string, change: Partial<Row>): Row;
  delete(key: string): void;
  /** Deletes all rows of a group. */
  deleteGroup(value: string): void;
  /** Says that there is no such row, so that nobody asks the database for it. */
  absent(key: string): void;
}

export type RowsOf<T extends Tables> = { readonly [Name in keyof T]: Rows<RowOf<T[Name]>> };
export type Wants<T extends Tables> = { readonly [Name in keyof T]: (key: string) => void };

/** A projection as the engine sees it, whatever its tables. */
export type AnyProjection = Projection<Tables>;

/** Checks a projection against its own tables, then forgets their types: the engine moves rows and reads none. */
export function defineProjection<T extends Tables>(projection: Projection<T>): AnyProjection {
  return projection as unknown as AnyProjection;
}

export function defineTable<Row extends object>(table: Table<Row>): Table<Row> {
  return table;
}

/** The event's id in a stream `category-id`. */
export function idOfStream(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}

export function categoryOfStream(stream: string): string {
  const end = stream.indexOf('-');
  return end < 0 ? stream : stream.slice(0, end);
}

export function schemaOf(name: string, version: number, generation: number): string {
  return `read_${name}_${version}_${generation}`;
}

/** The tables of a new generation. Without what is quicker to build after the load. */
export function createTables(projection: AnyProjection, schema: string): readonly string[] {
  const tables = Object.values(projection.tables).map((table) => {
    const columns = Object.entries<string>(table.columns).map(([name, type]) => `${name} ${type}`);
    const key = table.kind === 'append' ? [] : [`PRIMARY KEY (${table.key})`];
    const room = table.kind === 'append' ? '' : ' WITH (fillfactor = 80)';
    return `CREATE TABLE ${schema}.${table.name} (${[...columns, ...key].join(', ')})${room}`;
  });
  return [`CREATE SCHEMA ${schema}`, ...tables];
}

export function createIndexes(projection: AnyProjection, schema: string): readonly string[] {
  return Object.values(projection.tables).flatMap((table) => {
    const on = `${schema}.${table.name}`;
    return [
      ...(table.kind === 'append' ? [`ALTER TABLE ${on} ADD PRIMARY KEY (${table.key})`] : []),
      ...table.indexes.map((index) => {
        const unique = index.startsWith('UNIQUE ');
        return `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ON ${on} ${unique ? index.slice('UNIQUE '.length) : index}`;
      }),
      `ANALYZE ${on}`,
    ];
  });
}
