import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive } from '../../../src/platform/data-dir/processes.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { createDatabase, retryTransient } from '../../../src/platform/postgres/db.ts';
import { createEmbeddedPostgres, type EmbeddedPostgres } from '../../../src/platform/postgres/embedded.ts';
import { copyTemplate } from '../../support/servers.ts';

let dataDir = '';
let release: (() => Promise<void> | void)[] = [];

beforeEach(async () => {
  emptyDir();
  await copyTemplate(dataDir);
});
afterEach(async () => {
  for (const undo of release.reverse()) await undo();
  release = [];
  rmSync(dataDir, { recursive: true, force: true });
});

function emptyDir(): void {
  if (dataDir !== '') rmSync(dataDir, { recursive: true, force: true });
  dataDir = mkdtempSync(join(tmpdir(), 'loqey-embedded-'));
  chmodSync(dataDir, 0o755);
}

function embedded(settings?: Record<string, string>, folder = dataDir): EmbeddedPostgres {
  const server = createEmbeddedPostgres({ dataDir: folder, logger: silentLogger, ...(settings && { settings }) });
  release.push(() => server.stop());
  return server;
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}

/** A server whose parent process is then killed without a chance to stop it. */
async function orphan(settings: Record<string, string> = {}): Promise<{ url: string; pid: number }> {
  const parent = spawn(process.execPath, [join(import.meta.dirname, 'embedded-parent.ts'), dataDir, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const answer = JSON.parse(line.toString()) as { url: string; pid: number };
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  return answer;
}

describe('embedded Postgres', () => {
  it('keeps data over a restart, on the same port, with checksums, a password and no durability given away', async () => {
    emptyDir();
    const server = embedded();
    const url = await server.start();
    await query(url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)');
    const rows = await query(
      url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'listen_addresses')`,
    );
    expect(Object.fromEntries((rows as { name: string; setting: string }[]).map((row) => [row.name, row.setting]))).toEqual({
      fsync: 'on',
      full_page_writes: 'on',
      synchronous_commit: 'on',
      data_checksums: 'on',
      listen_addresses: '127.0.0.1',
    });
    expect(statSync(join(dataDir, 'secrets', 'postgres-password')).mode & 0o777).toBe(0o600);
    const wrong = new URL(url);
    wrong.password = 'password';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    await server.stop();
    expect(server.health().ok).toBe(false);

    const again = embedded();
    expect(await again.start()).toBe(url);
    expect(await query(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it.skipIf(process.platform === 'win32')('is reached through its socket; over TCP where the path is too long for one', async () => {
    const throughSocket = 'SELECT inet_server_addr() IS NULL AS yes';
    expect(await query(await embedded().start(), throughSocket)).toEqual([{ yes: true }]);
    const long = join(dataDir, 'x'.repeat(90));
    mkdirSync(long, { mode: 0o755 });
    await copyTemplate(long);
    expect(await query(await embedded({}, long).start(), throughSocket)).toEqual([{ yes: false }]);
  });

  it('takes another port when its own is taken meanwhile', async () => {
    const server = embedded();
    const first = new URL(await server.start());
    await server.stop();
    const squatter = createServer().listen(Number(first.port), '127.0.0.1');
    await once(squatter, 'listening');
    release.push(() => void squatter.close());
    const second = new URL(await embedded().start());
    expect(second.port).not.toBe(first.port);
    expect(await query(second.href, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('adopts the server of a killed run', async () => {
    const left = await orphan();
    expect(isAlive(left.pid)).toBe(true);
    const server = embedded();
    expect(await server.start()).toBe(left.url);
    expect(server.pid).toBe(left.pid);
    await server.stop();
    expect(isAlive(left.pid)).toBe(false);
  });

  it('stops the server of a killed run that has other settings, and starts its own', async () => {
    const left = await orphan({ work_mem: '4MB' });
    await query(left.url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)');
    const server = embedded();
    const url = await server.start();
    expect(server.pid).not.toBe(left.pid);
    expect(isAlive(left.pid)).toBe(false);
    expect(await query(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it.each([60, 500, 1_400])('starts whenever in its first start the last run was killed (after %i ms)', async (afterMs) => {
    emptyDir();
    const parent = spawn(process.execPath, [join(import.meta.dirname, 'embedded-parent.ts'), dataDir], { stdio: 'ignore' });
    setTimeout(() => parent.kill('SIGKILL'), afterMs);
    await once(parent, 'exit');
    const url = await embedded().start();
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(readdirSync(dataDir).filter((name) => name.includes('new-'))).toEqual([]);
  });

  it('starts after everything was killed, with all that was committed', async () => {
    const left = await orphan();
    await query(left.url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)');
    process.kill(left.pid, 'SIGKILL');
    const url = await embedded().start();
    expect(await query(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it('starts when the pid in the pid file belongs to another program by now', async () => {
    const server = embedded();
    await server.start();
    await server.stop();
    const other = spawn('sleep', ['600']);
    release.push(() => void other.kill('SIGKILL'));
    await once(other, 'spawn');
    writeFileSync(join(dataDir, 'postgres', 'postmaster.pid'), `${other.pid}\n${dataDir}/postgres\n1\n5432\n\n127.0.0.1\n  1 1\nready   \n`);
    await embedded().start();
    expect(other.exitCode).toBeNull();
  });

  it('sees its server end and starts it again, and a pool lives through it', async () => {
    const server = embedded();
    const url = await server.start();
    const db = createDatabase({ url, max: 3, applicationName: 'loqey-test', logger: silentLogger, metrics: new Metrics() });
    release.push(() => db.stop());
    await db.pool.query('CREATE TABLE kept (n int)');
    const under = db.transaction(async (client) => {
      await client.query('INSERT INTO kept VALUES (1)');
      await client.query('SELECT pg_sleep(30)');
    });
    const failed = expect(under).rejects.toThrow();
    const before = server.pid ?? 0;
    process.kill(before, 'SIGKILL');
    await failed;
    const answer = await retryTransient(() => db.pool.query('SELECT count(*)::int AS n FROM kept'), { deadlineMs: 20_000 });
    expect(answer.rows).toEqual([{ n: 0 }]);
    await expect.poll(() => server.health().ok, { timeout: 20_000 }).toBe(true);
    expect(server.pid).not.toBe(before);
  });

  it('leaves nothing half made when the making of its files is cut short', async () => {
    emptyDir();
    mkdirSync(join(dataDir, 'postgres.new-dead'));
    await embedded().start();
    expect(readdirSync(dataDir).filter((name) => name.includes('new-'))).toEqual([]);
  });

  it('says why it does not start', async () => {
    await expect(embedded({ shared_buffers: 'nonsense' }).start()).rejects.toThrow(/did not start[^]*shared_buffers/);
  });

  it('says so when another PostgreSQL version wrote the files', async () => {
    const server = embedded();
    await server.start();
    await server.stop();
    writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '11\n');
    await expect(embedded().start()).rejects.toThrow(/written by PostgreSQL 11/);
    expect(readFileSync(join(dataDir, 'postgres', 'PG_VERSION'), 'utf8')).toBe('11\n');
  });

  it.runIf(process.getuid?.() === 0)('runs for root in a folder that is closed to others (root only)', async () => {
    chmodSync(dataDir, 0o700);
    const url = await embedded().start();
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});
