import pg from 'pg';
import { clientConfig } from '../postgres/db.ts';
import type { RecordedEvent } from './port.ts';
import { columns, decode, type Row } from './postgres.ts';

/** Events of one page: one is on its way while the one before is worked on. */
const PAGE = 2_000;
/** The first page may have to wait for a server that reads from a cold disk. */
const PAGE_TIMEOUT_MS = 60_000;

/**
 * A log in PostgreSQL for who only reads it: one connection that cannot write, nothing of the schema needed but the table
 * of events, on a replica or a restored copy too. One snapshot: each row once, also where somebody took the keys away.
 */
export function createPostgresLogReader(url: string) {
  const config = (): pg.ClientConfig => {
    const base = clientConfig(url, 'loqey-log-reader', { statement: PAGE_TIMEOUT_MS, query: PAGE_TIMEOUT_MS });
    return { ...base, types: { getTypeParser: () => (text: string) => text }, options: `${base.options ?? ''} -c default_transaction_read_only=on` };
  };

  async function connected<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client(config());
    client.on('error', () => undefined); // the query under way fails by it
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  return {
    /** The first event of a stream, if there is one. */
    first: (stream: string): Promise<RecordedEvent | undefined> =>
      connected(async (client) => {
        const { rows } = await client.query<Row>({ text: `SELECT ${columns} FROM log.events e WHERE e.stream = $1 ORDER BY e.revision LIMIT 1`, values: [stream], rowMode: 'array' });
        return rows[0] === undefined ? undefined : decode(rows[0]);
      }),

    /** The whole log in its order, without system events, as it is when the first one is asked for. */
    async *readAll(): AsyncGenerator<RecordedEvent> {
      const client = new pg.Client(config());
      client.on('error', () => undefined);
      await client.connect();
      try {
        await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
        await client.query(`DECLARE log_reader NO SCROLL CURSOR FOR SELECT ${columns} FROM log.events e WHERE NOT e.stream ^@ '$' ORDER BY e.position`);
        const page = async (): Promise<Row[]> => (await client.query<Row>({ text: `FETCH ${PAGE} FROM log_reader`, rowMode: 'array' })).rows;
        for (let next = page(); ; ) {
          const rows = await next;
          if (rows.length === 0) return;
          next = page();
          next.catch(() => undefined); // where nobody asks for it any more
          for (const row of rows) yield decode(row);
        }
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  };
}
