import { createHash } from 'node:crypto';
import { isTransient, sqlState, type Database } from '../platform/postgres/db.ts';
import type { QuickReads } from '../platform/postgres/quick-reads.ts';
import { schemaOf } from './projection.ts';
import type pg from 'pg';

/** The schema of each read model's active generation, by name. */
export type Schemas = Readonly<Record<string, string>>;

/** A read model that has not been built yet, or not in the version that a query needs: come back when it is. */
export class ReadModelUnavailable extends Error {
  override readonly name = 'ReadModelUnavailable';
  /** As far as is known; 1 otherwise. */
  readonly retryAfterSeconds: number;

  /** @param progress `behind`: it is there, and has not applied what was asked for yet */
  constructor(projection: string, progress?: BuildProgress | 'behind') {
    const { done = 0, total = 0, secondsLeft } = progress === 'behind' ? {} : (progress ?? {});
    const share = total === 0 ? '' : `: ${Math.floor((done / total) * 100)} %`;
    super(progress === 'behind' ? `The read model ${projection} has not caught up` : `The read model ${projection} is being built${share}${share === '' || secondsLeft === undefined ? '' : `, about ${inWords(secondsLeft)} left`}`);
    this.retryAfterSeconds = Math.min(60, Math.max(1, Math.ceil(secondsLeft ?? 1)));
  }
}

interface BuildProgress {
  readonly done?: number;
  readonly total?: number;
  readonly secondsLeft?: number;
}

const inWords = (seconds: number) => (seconds < 90 ? `${Math.max(1, Math.ceil(seconds))} s` : `${Math.ceil(seconds / 60)} min`);

export interface Query {
  /** Prepared once per connection and generation. */
  readonly name: string;
  readonly text: (schemas: Schemas) => string;
  /** Made for this one question: not prepared, so that it is planned for its own values. */
  readonly once?: true;
  /** A few rows by an index: it may share a connection with others. */
  readonly quick?: boolean;
}

/** Runs queries on the active generations. A query that meets a dropped one looks up the new one and is run again, once. */
export interface Reader {
  all<Row extends pg.QueryResultRow>(query: Query, values: readonly unknown[]): Promise<Row[]>;
  first<Row extends pg.QueryResultRow>(query: Query, values: readonly unknown[]): Promise<Row | undefined>;
  /** Looks up the generations again. */
  refresh(): Promise<void>;
}

/** undefined_table, invalid_schema_name, undefined_column (the shape of another version). */
const GONE: ReadonlySet<string> = new Set(['42P01', '3F000', '42703']);

/**
 * @param quick absent: every query has a connection of the pool
 * @param versions of this program: a query that the generation of another version cannot answer waits for the switch
 */
export function createReader(db: Database, quick?: QuickReads, versions: Readonly<Record<string, number>> = {}): Reader {
  let schemas: Schemas | undefined;
  let looking: Promise<Schemas> | undefined;
  /** Of the active generations; grows with each look that found others. */
  let epoch = 0;
  /** Read models whose generation is of another version than this program's. */
  let foreign: ReadonlySet<string> = new Set();
  const texts = new Map<string, { readonly epoch: number; readonly name: string; readonly text: string }>();

  function look(): Promise<Schemas> {
    looking ??= (async () => {
      try {
        const { rows } = await db.pool.query<{ name: string; version: number; generation: number }>({
          name: 'read.generations',
          text: 'SELECT name, version, generation FROM work.projections ORDER BY name',
        });
        foreign = new Set(rows.flatMap(({ name, version }) => ((versions[name] ?? version) === version ? [] : [name])));
        const found = Object.fromEntries(rows.map(({ name, version, generation }) => [name, schemaOf(name, version, generation)]));
        if (JSON.stringify(found) !== JSON.stringify(schemas)) {
          epoch++;
          schemas = found;
        }
        return found;
      } finally {
        looking = undefined;
      }
    })();
    return looking;
  }

  async function prepared(query: Query): Promise<{ readonly name?: string; readonly text: string }> {
    const known = query.once === true ? undefined : texts.get(query.name);
    if (known !== undefined && known.epoch === epoch) return known;
    const current = schemas ?? (await look());
    const complete = new Proxy(current, {
      get(target, name) {
        const schema = target[String(name)];
        if (schema === undefined) throw new ReadModelUnavailable(String(name));
        return schema;
      },
    });
    const text = query.text(complete);
    if (query.once === true) return { text };
    // A connection keeps a name for the text that it was first used with.
    const made = { epoch, name: `${query.name}@${createHash('md5').update(text).digest('hex').slice(0, 12)}`, text };
    texts.set(query.name, made);
    return made;
  }

  async function all<Row extends pg.QueryResultRow>(query: Query, values: readonly unknown[]): Promise<Row[]> {
    const run = async () => {
      const statement = { ...(await prepared(query)), values: [...values] };
      const { rows } = await (query.quick === true ? quickly<Row>(statement) : db.pool.query<Row>(statement));
      return rows;
    };
    try {
      return await run();
    } catch (error) {
      const gone = error instanceof ReadModelUnavailable || GONE.has(sqlState(error) ?? '');
      if (!gone) throw error;
      await refresh();
      try {
        return await run();
      } catch (again) {
        throw await unavailable(query, again);
      }
    }
  }

  /** What is missing is being built, where that is why; else the error as it is. */
  async function unavailable(query: Query, error: unknown): Promise<unknown> {
    const used = new Set<string>();
    query.text(new Proxy({}, { get: (_, name) => (used.add(String(name)), 'nothing') }));
    const missing = [...used].filter((name) => schemas?.[name] === undefined || foreign.has(name));
    const [name] = missing;
    if (name === undefined || !(error instanceof ReadModelUnavailable || GONE.has(sqlState(error) ?? ''))) return error;
    const { rows } = await db.pool.query<{ progress: BuildProgress | null }>(
      `SELECT progress FROM work.projection_runs WHERE state = 'running' AND $1 = ANY (names) ORDER BY asked_at DESC LIMIT 1`,
      [name],
    );
    return new ReadModelUnavailable(name, rows[0]?.progress ?? undefined);
  }

  /** A connection that broke under many reads is no reason to fail one: the pool is asked. */
  async function quickly<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    try {
      const answer = await quick?.query<Row>(statement);
      if (answer !== undefined) return answer;
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    return db.pool.query<Row>(statement);
  }

  async function refresh(): Promise<void> {
    await looking?.catch(() => undefined); // one under way may have looked before the switch
    await look();
  }

  return {
    all,
    async first(query, values) {
      const [row] = await all(query, values);
      return row as never;
    },
    refresh,
  };
}
