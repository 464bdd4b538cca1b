import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readLedger } from '../../src/audit/erasure-ledger.ts';
import { signReceipt, type SignedReceipt } from '../../src/audit/erasure-receipt.ts';
import { createHeadSigner } from '../../src/audit/heads.ts';
import { createClient } from '../support/api-client.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { readableIn } from '../support/canary.ts';
import { newOwner, signInAdmin } from '../support/people.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

/** A backup of log and vault, the erasure of somebody after it, and the backup restored in every way that it can be. */
const ana = { email: 'zqrestored@canary.example', password: 'zq correct horse battery' };
const needles = [ana.email, 'Zqrestoredname'];
const secrets = testSecrets();
let postgres: TestPostgres;
let folder: string;
let ledger: string;
let live: string;
let backup: string;
let userId: string;
let erasureId: string;
const running: RunningApp[] = [];

const start = async (databaseUrl: string): Promise<RunningApp> => {
  const app = await startApp({ databaseUrl, dataDir: folder }, { secrets });
  running.push(app);
  return app;
};
/** The data folder stays: what is outside of the database is what a restore does not take back. */
const stop = async (app: RunningApp): Promise<void> => {
  running.splice(running.indexOf(app), 1);
  await app.stop();
};

async function query<Row extends pg.QueryResultRow>(url: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);
async function copyOf(url: string): Promise<string> {
  const name = `${nameOf(url)}_copy_${Math.random().toString(36).slice(2, 8)}`;
  await query(postgres.adminUrl, `CREATE DATABASE ${name} TEMPLATE ${nameOf(url)}`);
  const copy = new URL(url);
  copy.pathname = `/${name}`;
  return copy.href;
}

const keyOf = (url: string) => query<{ wrapped: Buffer | null }>(url, 'SELECT wrapped FROM vault.data_keys WHERE subject = $1', [`user:${userId}`]);
const erasures = (url: string) => query<{ event_id: string }>(url, `SELECT event_id FROM log.events WHERE type = 'SubjectErased' ORDER BY position`);
const signIn = (app: RunningApp) => createClient(app.url).call<{ access_token: string }>('POST', '/auth/login', ana);

async function expectErased(app: RunningApp, url: string): Promise<void> {
  expect((await signIn(app)).status).toBe(401);
  expect((await keyOf(url)).map(({ wrapped }) => wrapped)).toEqual([null]);
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  expect(await readableIn(pool, needles)).toEqual([]);
  await pool.end();
}

beforeAll(async () => {
  postgres = await startPostgres();
  folder = mkdtempSync(join(tmpdir(), 'loqey-test-restore-'));
  ledger = join(folder, 'audit', 'erasures.ndjson');
  live = await postgres.createDatabase();
  const first = await start(live);
  ({ id: userId } = (await createClient(first.url).post<{ user: { id: string } }>('/auth/register', { ...ana, full_name: 'Zqrestoredname', state: 'Izmir' })).user);
  await stop(first);
  backup = await copyOf(live);

  const second = await start(live);
  const { access_token: token } = (await signIn(second)).body;
  const erased = await createClient(second.url).as(token).post<{ erasure_id: string; status: string }>('/auth/me/erase', { password: ana.password, confirm: ana.email });
  expect(erased.status).toBe('completed');
  erasureId = erased.erasure_id;
  await expectErased(second, live);
  await stop(second);
});
afterAll(async () => {
  for (const app of running) await app.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a backup from before an erasure', () => {
  test('of the vault, restored beside the newer log: what came back is destroyed again before anybody is let in', async () => {
    const url = await copyOf(live);
    for (const table of ['data_keys', 'passwords', 'email_index']) {
      const rows = await query<Record<string, unknown>>(backup, `SELECT * FROM vault.${table}`);
      await query(url, `TRUNCATE vault.${table}`);
      for (const row of rows) {
        const columns = Object.keys(row);
        await query(url, `INSERT INTO vault.${table} (${columns.join(', ')}) VALUES (${columns.map((_, index) => `$${index + 1}`).join(', ')})`, Object.values(row));
      }
    }
    expect((await keyOf(url))[0]?.wrapped).toBeInstanceOf(Buffer);
    const app = await start(url);
    await expectErased(app, url);
    expect((await erasures(url)).map(({ event_id: id }) => id)).toEqual([erasureId]);
    expect(await readLedger(ledger)).toHaveLength(1);
    await stop(app);
  });

  test('of everything: the ledger outside of the database knows of the erasure, and it is carried out again', async () => {
    const url = await copyOf(backup);
    expect(await erasures(url)).toEqual([]);
    // Somebody who can write to the file, but has not the key, erases nobody.
    const [receipt] = await readLedger(ledger);
    const { kid: _kid, signature: _signature, ...plain } = receipt as SignedReceipt;
    const [{ user_id: admin } = { user_id: '' }] = await query<{ user_id: string }>(url, `SELECT user_id FROM ${(await schemaOf(url, 'users'))}.users WHERE admin_role IS NOT NULL`);
    const forged = signReceipt(createHeadSigner(Buffer.alloc(32, 9)), { ...plain, subject: `user:${admin}`, event: { ...plain.event, id: '11111111-1111-4111-8111-111111111111' } });
    appendFileSync(ledger, `${JSON.stringify(forged)}\n{"half a li`);

    const app = await start(url);
    await until('it is carried out', async () => (await readLedger(ledger)).length === 3);
    await expectErased(app, url);
    const [again, ...others] = await erasures(url);
    expect(others).toEqual([]);
    expect(again?.event_id).not.toBe(erasureId);
    expect((await readLedger(ledger)).map(({ subject, event }) => [subject, event.id])).toEqual([
      [`user:${userId}`, erasureId],
      [`user:${admin}`, forged.event.id],
      [`user:${userId}`, again?.event_id],
    ]);
    expect((await signInAdmin(app.url, app.admin)).userId).toBe(admin);
    await stop(app);

    // And that was that.
    const next = await start(url);
    await expectErased(next, url);
    expect(await erasures(url)).toHaveLength(1);
  });
});

test('the last super_admin cannot be erased; another one can, and an account that administers by those who manage administrators alone', async () => {
  const app = running[0] ?? (await start(await copyOf(live)));
  const root = await signInAdmin(app.url, app.admin);
  const last = await root.api.call('POST', '/auth/me/erase', { password: app.admin.password, confirm: app.admin.email });
  expect(last).toMatchObject({ status: 409, body: { details: { reason: 'last_super_admin' } } });

  const { id, password } = await root.api.post<{ id: string; password: string }>('/admin/admins', { email: 'sam@example.com', role: 'admin' });
  const owner = await newOwner(app.url);
  await root.api.put(`/admin/admins/${id}`, { role: 'admin', permissions: ['users:erase'] });
  const sam = await signInAdmin(app.url, { email: 'sam@example.com', password });
  expect(await sam.api.call('POST', `/admin/users/${root.userId}/erase`, { confirm: app.admin.email, ground: 'requested' })).toMatchObject({ status: 403 });
  expect(await sam.api.call('POST', `/admin/users/${owner.userId}/erase`, { confirm: 'someone@example.com', ground: 'requested' })).toMatchObject({ status: 400 });
  expect(await sam.api.call('POST', `/admin/users/${owner.userId}/erase`, { confirm: owner.email, ground: 'no_longer_needed' })).toMatchObject({ status: 200, body: { receipt: { requested_by: 'admin' } } });
  expect((await owner.api.call('GET', '/auth/me')).status).toBe(401);

  await root.api.put(`/admin/admins/${id}`, { role: 'super_admin' });
  expect(await root.api.call('POST', '/auth/me/erase', { password: app.admin.password, confirm: app.admin.email })).toMatchObject({ status: 200 });
  await stop(app);
});

async function schemaOf(url: string, name: string): Promise<string> {
  const [row] = await query<{ schema: string }>(url, `SELECT format('read_%s_%s_%s', name, version, generation) AS schema FROM work.projections WHERE name = $1`, [name]);
  return row?.schema ?? '';
}
