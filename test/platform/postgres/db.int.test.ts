import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommitOutcomeUnknown, isTransient, retryTransient, TransactionRolledBack, type Database } from '../../../src/platform/postgres/db.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';

let server: TestPostgres;
let url: string;
let db: Database;

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase();
  db = server.connect(url, { max: 4 });
  await db.pool.query('CREATE TABLE marks (name text PRIMARY KEY)');
});
afterAll(() => server.stop());

const marks = async () => (await db.pool.query<{ name: string }>('SELECT name FROM marks ORDER BY name')).rows.map((row) => row.name);

describe('values', () => {
  it('arrive as instants, text numbers and unshifted dates', async () => {
    const { rows } = await db.pool.query(
      `SELECT timestamptz '2026-11-21 10:30:00.1239+00' AS at, timestamptz '2026-11-21 12:30:00+02' AS whole, NULL::timestamptz AS none,
              9007199254740993::int8 AS big, date '2026-03-29' AS day, timestamp '2026-03-29 02:30:00' AS naive`,
    );
    expect(rows[0]).toEqual({
      at: '2026-11-21T10:30:00.123Z',
      whole: '2026-11-21T10:30:00.000Z',
      none: null,
      big: '9007199254740993',
      day: '2026-03-29',
      naive: '2026-03-29 02:30:00',
    });
  });
});

describe('transaction', () => {
  it('commits what work did and answers its result', async () => {
    const answer = await db.transaction(async (client) => {
      await client.query(`INSERT INTO marks VALUES ('kept')`);
      return 42;
    });
    expect(answer).toBe(42);
    expect(await marks()).toContain('kept');
  });

  it('rolls back and throws on what work threw', async () => {
    const failure = new Error('no');
    await expect(
      db.transaction(async (client) => {
        await client.query(`INSERT INTO marks VALUES ('thrown')`);
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await marks()).not.toContain('thrown');
  });

  it('does not take the COMMIT of a failed transaction for a commit', async () => {
    await expect(
      db.transaction(async (client) => {
        await client.query(`INSERT INTO marks VALUES ('swallowed')`);
        await client.query('SELECT 1/0').catch(() => undefined);
      }),
    ).rejects.toBeInstanceOf(TransactionRolledBack);
    expect(await marks()).not.toContain('swallowed');
  });

  it('names a COMMIT whose answer was lost as unknown', async () => {
    const proxy = await cuttingProxy(url);
    const through = server.connect(proxy.url, { max: 1 });
    const outcome = through.transaction(async (client) => {
      await client.query(`INSERT INTO marks VALUES ('perhaps')`);
      proxy.cutAnswers();
    });
    await expect(outcome).rejects.toBeInstanceOf(CommitOutcomeUnknown);
    expect(isTransient(await outcome.catch((error: unknown) => error))).toBe(true);
    await expect.poll(marks).toContain('perhaps'); // it did happen: only a repeat that is idempotent is right
    await proxy.stop();
  });

  it('bounds a statement, a wait for a lock and an abandoned transaction', async () => {
    const hasty = server.connect(url, { max: 3, timeouts: { statement: 100, lock: 50, idleInTransaction: 100 } });
    await expect(hasty.pool.query('SELECT pg_sleep(5)')).rejects.toSatisfy((error) => isTransient(error) && (error as { code?: string }).code === '57014');
    await db.transaction(async (holder) => {
      await holder.query('LOCK TABLE marks');
      await expect(hasty.pool.query('SELECT * FROM marks')).rejects.toMatchObject({ code: '55P03' });
    });
    await expect(
      hasty.transaction(async (client) => {
        await client.query('SELECT 1');
        await once(client, 'error');
      }),
    ).rejects.toThrow();
    expect((await hasty.pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });
});

describe('a lost connection', () => {
  it('fails the query that was under way, and the pool goes on', async () => {
    const pool = server.connect(url, { max: 2, applicationName: 'loqey-to-kill' });
    await pool.pool.query('SELECT 1'); // one idle client
    const busy = pool.transaction((client) => client.query('SELECT pg_sleep(4)'));
    const failed = expect(busy).rejects.toSatisfy(isTransient);
    const terminate = `SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity
                       WHERE application_name = 'loqey-to-kill' AND (state = 'idle' OR query LIKE '%pg_sleep%')`;
    await expect.poll(async () => (await db.pool.query<{ n: number }>(terminate)).rows[0]?.n).toBeGreaterThan(0);
    await failed;
    const answer = await retryTransient(() => pool.pool.query('SELECT 2 AS two'));
    expect(answer.rows).toEqual([{ two: 2 }]);
  });
});

describe('retryTransient', () => {
  it('throws what no repeat can mend at once', async () => {
    let tries = 0;
    const attempt = retryTransient(() => {
      tries++;
      return db.pool.query('SELECT * FROM nowhere');
    });
    await expect(attempt).rejects.toMatchObject({ code: '42P01' });
    expect(tries).toBe(1);
  });

  it('throws the last error when its time is over', async () => {
    const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    await expect(retryTransient(() => Promise.reject(refused), { deadlineMs: 30 })).rejects.toBe(refused);
  });
});

/** Passes bytes to the server; from `cutAnswers` on the next answer is lost with the connection. */
async function cuttingProxy(target: string) {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let cutting = false;
  const listener = createServer((inside) => {
    const outside = connect(Number(port), hostname);
    for (const socket of [inside, outside]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    inside.on('data', (bytes) => outside.write(bytes));
    inside.on('close', () => outside.end());
    outside.on('close', () => inside.destroy());
    outside.on('data', (bytes) => (cutting ? inside.destroy() : inside.write(bytes)));
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const proxied = new URL(target);
  proxied.port = `${(listener.address() as AddressInfo).port}`;
  proxied.search = ''; // not through the server's socket
  return {
    url: proxied.href,
    cutAnswers: () => (cutting = true),
    async stop() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}
