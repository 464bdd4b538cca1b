import type pg from 'pg';

/** A statement, prepared once per connection under its name where it has one. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values: readonly Value[];
}

export type Value = string | number | bigint | boolean | null | readonly (string | number)[];

export type ResultRow = Readonly<Record<string, unknown>>;

/**
 * Statements that go to the server in one piece, with a single Sync at their end: one round trip, and by the protocol one
 * transaction (PostgreSQL, "Pipelining"), committed before the answer and rolled back as a whole by any error. The driver's
 * own pipeline mode ends every statement with a Sync, which costs an answer each and needs BEGIN and COMMIT besides.
 *
 * It is submitted to a client like a cursor is; the client calls the methods named `handle…`.
 */
class Pipeline implements pg.Submittable {
  /** Called by the client, which may wrap it to add its own time-out. */
  callback: (error: Error | null, rows?: ResultRow[][]) => void;
  readonly #statements: readonly Statement[];
  readonly #parsed: Set<string>;
  readonly #types: pg.CustomTypesConfig;
  readonly #rows: ResultRow[][];
  readonly #parsedHere: string[] = [];
  #current = 0;
  #fields: readonly { readonly name: string; readonly parse: (text: string) => unknown }[] = [];

  constructor(
    statements: readonly Statement[],
    parsed: Set<string>,
    types: pg.CustomTypesConfig,
    callback: (error: Error | null, rows?: ResultRow[][]) => void,
  ) {
    this.#statements = statements;
    this.#parsed = parsed;
    this.#types = types;
    this.#rows = statements.map(() => []);
    this.callback = callback;
  }

  submit(connection: pg.Connection): void {
    const values = this.#statements.map((statement) => statement.values.map(wireForm)); // before the first byte: it may throw
    connection.stream.cork();
    this.#statements.forEach(({ name = '', text }, i) => {
      if (name === '' || !this.#parsed.has(name)) {
        // An earlier pipeline may have failed after it had prepared this one: closing what is not there is no error.
        if (name !== '') connection.close({ type: 'S', name }, true);
        connection.parse({ name, text, types: [] }, true);
        if (name !== '') {
          this.#parsed.add(name);
          this.#parsedHere.push(name);
        }
      }
      connection.bind({ portal: '', statement: name, values: values[i] ?? [] } as pg.BindConfig, true);
      connection.describe({ type: 'P', name: '' }, true);
      connection.execute({ portal: '', rows: '0' } as unknown as pg.ExecuteConfig, true);
    });
    connection.sync();
    connection.stream.uncork();
  }

  handleRowDescription({ fields }: { readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[] }): void {
    this.#fields = fields.map(({ name, dataTypeID }) => ({ name, parse: this.#types.getTypeParser(dataTypeID, 'text') as (text: string) => unknown }));
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    const row: Record<string, unknown> = {};
    this.#fields.forEach(({ name, parse }, i) => {
      const text = fields[i] ?? null;
      row[name] = text === null ? null : parse(text);
    });
    this.#rows[this.#current]?.push(row);
  }

  handleCommandComplete(): void {
    this.#current++;
    this.#fields = [];
  }

  handleEmptyQuery(): void {
    this.#current++;
  }

  handleError(error: Error): void {
    for (const name of this.#parsedHere) this.#parsed.delete(name);
    this.callback(error);
  }

  handleReadyForQuery(): void {
    this.callback(null, this.#rows);
  }

  handlePortalSuspended(): void {
    // No limit of rows is ever asked for.
  }

  handleCopyInResponse(): void {
    // Nor is anything copied.
  }
}

/** Sends statements in one piece and answers the rows of each. `parsed` is what this connection has prepared. */
export function pipeline(
  client: pg.Client,
  parsed: Set<string>,
  types: pg.CustomTypesConfig,
  statements: readonly Statement[],
): Promise<ResultRow[][]> {
  return new Promise((resolve, reject) => {
    client.query(
      new Pipeline(statements, parsed, types, (error, rows) => {
        if (error === null) resolve(rows ?? []);
        else reject(error);
      }),
    );
  });
}

function wireForm(value: Value): string | null {
  if (value === null || typeof value === 'string') return value;
  if (!Array.isArray(value)) return String(value);
  return `{${value.map((item: string | number) => (typeof item === 'number' ? String(item) : `"${item.replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
}
