import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/platform/logger.ts';
import { DatabaseNewerThanProgram, migrate, MigrationEdited, MigrationFailed } from '../../../src/platform/postgres/migrate.ts';
import type { Migration } from '../../../migrations/index.ts';
import { migrations as ours } from '../../../migrations/index.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const first: Migration = { id: '20260101T0000_one', sql: 'CREATE TABLE work.one (n int); INSERT INTO work.one VALUES (1)' };
const second: Migration = { id: '20260102T0000_two', sql: 'INSERT INTO work.one VALUES (2); CREATE TABLE vault.two (n int)' };
const broken: Migration = { id: '20260103T0000_three', sql: 'INSERT INTO work.one VALUES (3); SELECT 1/0' };

const run = (url: string, migrations: readonly Migration[], programVersion = '1.0.0') =>
  migrate({ url, migrations, programVersion, logger: silentLogger });

describe('migrate', () => {
  it('makes the schemas and applies each migration once, in order', async () => {
    const url = await server.createDatabase();
    expect(await run(url, [first])).toEqual({ applied: [first.id], total: 1 });
    expect(await run(url, [first, second])).toEqual({ applied: [second.id], total: 2 });
    expect(await run(url, [first, second])).toEqual({ applied: [], total: 2 });
    const db = server.connect(url);
    const { rows } = await db.pool.query<{ name: string }>(
      `SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name IN ('work', 'vault', 'log') ORDER BY 1`,
    );
    expect(rows.map((row) => row.name)).toEqual(['log', 'vault', 'work']);
  });

  it('is safe for 20 runners at once', async () => {
    const url = await server.createDatabase();
    const results = await Promise.all(Array.from({ length: 20 }, () => run(url, [first, second])));
    expect(results.flatMap((result) => result.applied).sort()).toEqual([first.id, second.id]);
    expect(results.every((result) => result.total === 2)).toBe(true);
    const { rows } = await server.connect(url).pool.query('SELECT n FROM work.one ORDER BY n');
    expect(rows).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('keeps nothing of a migration that fails, and all before it', async () => {
    const url = await server.createDatabase();
    const failure = await run(url, [first, second, broken]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(MigrationFailed);
    expect(failure).toMatchObject({ id: broken.id, message: expect.stringContaining('division by zero') });
    const { rows } = await server.connect(url).pool.query('SELECT n FROM work.one ORDER BY n');
    expect(rows).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await run(url, [first, second])).toEqual({ applied: [], total: 2 });
  });

  it('stops an older program before a newer database, naming both versions', async () => {
    const url = await server.createDatabase();
    await run(url, [first, second], '1.4.0');
    const failure = await run(url, [first], '1.2.0').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DatabaseNewerThanProgram);
    expect(failure).toMatchObject({ databaseVersion: '1.4.0', programVersion: '1.2.0', unknown: [second.id] });
  });

  it('stops when a landed migration was edited', async () => {
    const url = await server.createDatabase();
    await run(url, [first]);
    await expect(run(url, [{ ...first, sql: `${first.sql} ` }])).rejects.toBeInstanceOf(MigrationEdited);
  });
});

describe('the migrations of this program', () => {
  it('apply to an empty database', async () => {
    expect((await run(await server.createDatabase(), ours)).applied).toEqual(ours.map((migration) => migration.id));
  });

  it('have ids that say their time and sort in their order', () => {
    const ids = ours.map((migration) => migration.id);
    expect(ids.filter((id) => !/^\d{8}T\d{4}_[a-z0-9_]+$/.test(id))).toEqual([]);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
