import { createPublicKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import WebSocket from 'ws';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLedger } from '../../src/audit/erasure-ledger.ts';
import { isReceiptSignedBy, type SignedReceipt } from '../../src/audit/erasure-receipt.ts';
import { HEADS_FILE, PUBLIC_KEY_FILE, readHeads } from '../../src/audit/head-file.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { integrationEvent } from '../../src/bridge/integration-events.ts';
import { createCommandBus } from '../../src/commands/handle.ts';
import type { DeviceEvent } from '../../src/domain/device/events.ts';
import { recordedOf } from '../../src/domain/registry.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { RecordedEvent } from '../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { newId } from '../../src/platform/ids.ts';
import { createLogger, silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createNotifications } from '../../src/platform/postgres/notifications.ts';
import { createMasterKey } from '../../src/platform/vault/master-key.ts';
import { createSealer } from '../../src/platform/vault/sealer.ts';
import { ensureLogIdentity } from '../../src/projections/log-identity.ts';
import { rebuild } from '../../src/projections/rebuild.ts';
import { projections } from '../../src/projections/registry.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { readableBelow, readableIn, readableText } from '../support/canary.ts';
import { claim, registerBox, signInAdmin, type Person, type RegisteredBox } from '../support/people.ts';
import { toAppend } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

/**
 * Invariant I14: who was erased is nowhere. Everything that a person and a courier can say or be seen by is put in through
 * the public API with words that occur nowhere else; then they are looked for in every column of every table.
 */
const canaries = {
  email: 'zqzq.ana@canary.example',
  first: 'Zqanabel',
  last: 'Zqsurname',
  phone: '+90 555 777 1199',
  zip: 'ZQ-35220',
  state: 'Zqizmirstate',
  agent: 'ZqCanaryAgent/77.1',
  ip: '203.0.113.177',
  boxName: 'Zqgardenbox',
  address: 'Zqstreet twelve',
  linkName: 'Zqparcelname',
  unlinkReason: 'Zqmovingaway',
  suspension: 'Zqsuspendedbecause',
} as const;
const couriers = { name: 'Zqcourierjo', company: 'Zqcargocompany', phone: '+90 111 777 2299', notes: 'Zqleftatneighbour', agent: 'ZqCourierPhone/3.3', ip: '198.51.100.188' } as const;
/** What administrators say of her boxes, each in an event of its own. */
const said = {
  UnlockRequested: 'Zqinside is her child',
  MaintenanceStarted: 'Zqhinge broken by her son',
  DeviceProtocolUnpinned: 'Zqburnt by her heater',
  Level0DeliveriesAccepted: 'Zqdoorstep is safe, she says',
  UnlockSettled: 'Zqtelephoned that it is shut',
  DeviceDecommissioned: 'Zqdropped on her stairs',
} as const;
const needles = [...Object.values(canaries), ...Object.values(couriers), ...Object.values(said)];
const PASSWORD = 'zq correct horse battery';

let postgres: TestPostgres;
let app: RunningApp;
let admin: Person;
let pool: pg.Pool;
let folder: string;
const secrets = testSecrets();
const lines: string[] = [];
beforeAll(async () => {
  postgres = await startPostgres();
  folder = mkdtempSync(join(tmpdir(), 'loqey-test-erasure-'));
  const databaseUrl = await postgres.createDatabase();
  const logger = createLogger({ level: 'trace', destination: { write: (line) => void lines.push(line) } });
  app = await startApp({ databaseUrl, dataDir: folder, trustProxy: 1, unlockWaitSeconds: 5 }, { secrets, logger });
  admin = await signInAdmin(app.url, app.admin);
  pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
});
afterAll(async () => {
  await pool?.end();
  await app?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function ask<T>(method: string, path: string, options: { token?: string; body?: unknown; ip?: string; agent?: string } = {}): Promise<{ status: number; body: T; text: string }> {
  const { token, body, ip = canaries.ip, agent = canaries.agent } = options;
  const response = await fetch(`${app.url}/api/v1${path}`, {
    method,
    headers: {
      'user-agent': agent,
      'x-forwarded-for': ip,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T, text };
}

const registration = {
  email: canaries.email,
  password: PASSWORD,
  first_name: canaries.first,
  last_name: canaries.last,
  phone_number: canaries.phone,
  zip_code: canaries.zip,
  state: canaries.state,
};
interface SignedIn {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly user: { readonly id: string };
}

async function withStore<T>(work: (store: ReturnType<typeof createPostgresEventStore>, logId: string) => Promise<T>): Promise<T> {
  const store = createPostgresEventStore({ url: app.config.databaseUrl ?? '', logger: silentLogger, metrics: new Metrics() });
  await store.start();
  try {
    return await work(store, await ensureLogIdentity(store, '0.0.0-test', () => new Date().toISOString()));
  } finally {
    await store.stop();
  }
}

function vault() {
  const db = postgres.connect(app.config.databaseUrl ?? '');
  const notifications = createNotifications({ url: db.url, applicationName: 'test-listen', logger: silentLogger });
  const sealer = createSealer({ db, notifications, master: createMasterKey(secrets.dataKeyMaster ?? randomBytes(32)), logger: silentLogger, metrics: new Metrics(), inAdvance: [] });
  return { db, sealer };
}

/** No route closes an unlock of unknown outcome: the command is given to the box itself, as whoever opened it would. */
async function closeUnknown(deviceId: string, remark: string): Promise<void> {
  await withStore(async (store) => {
    const { sealer } = vault();
    const bus = createCommandBus({ store, sealer, refusals: { record: () => undefined }, clock: systemClock, metrics: new Metrics() });
    const [unlockId, now] = [newId(), new Date().toISOString()];
    const actor = { kind: 'admin', id: admin.userId } as const;
    const events: DeviceEvent[] = [
      { type: 'UnlockRequested', data: { unlockId, cause: { kind: 'admin', id: admin.userId }, issuedAt: now, expiresAt: now } },
      { type: 'UnlockDispatched', data: { unlockId, level: 0 } },
      { type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'no_answer' } },
    ];
    await store.append(`device-${deviceId}`, 'any', events.map((event) => toAppend(event, now, { actor })));
    const closed = await bus.execute({ type: 'CloseUnknownUnlock', data: { deviceId, unlockId, outcome: 'not_opened', remark } }, { commandId: newId(), correlationId: newId(), actor, source: 'web_dashboard' });
    expect(closed).toMatchObject({ kind: 'accepted', events: [{ type: 'UnlockSettled' }] });
  });
}

async function rebuildPeople(): Promise<void> {
  await withStore(async (store, logId) => {
    const { db, sealer } = vault();
    const results = await rebuild({ db, store, logId, projections: projections({ sealer }), names: ['people'], clock: systemClock, logger: silentLogger });
    expect(results.map(({ outcome }) => outcome)).toEqual(['switched']);
  });
}

test('who was erased is nowhere, and the log is what it was', { timeout: 120_000 }, async () => {
  const ana = (await ask<SignedIn>('POST', '/auth/register', { body: registration })).body;
  const { access_token: token, user } = ana;
  const as = (method: string, path: string, body?: unknown) => ask<never>(method, path, { token, ...(body === undefined ? {} : { body }) });
  await ask('POST', '/auth/login', { body: { email: canaries.email, password: 'wrong one' } });
  const second = (await ask<SignedIn>('POST', '/auth/login', { body: { email: canaries.email, password: PASSWORD } })).body;

  const registered: RegisteredBox = await registerBox(admin);
  const box: Lockbox = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 20] });
  await box.start();
  await box.ready();
  await claim({ api: { post: (path: string, body: unknown) => as('POST', path, body) } } as unknown as Person, registered);
  const devicePath = `/devices/${registered.deviceId}`;
  await as('PUT', devicePath, { name: canaries.boxName, location_address: canaries.address, location_latitude: 38.4, location_longitude: 27.1 });
  await until('the box is online', async () => (await ask<{ is_online: boolean }>('GET', `${devicePath}/health`, { token })).body.is_online);
  const link = (await ask<{ id: string; link_id: string; access_url: string }>('POST', '/access/create-link', { token, body: { device_id: registered.deviceId, name: canaries.linkName, max_uses: 3 } })).body;
  const tapped = await ask<{ command_id: string }>('POST', `/delivery/link/${link.link_id}/unlock`, {
    body: { delivery_person_name: couriers.name, courier_company: couriers.company, delivery_person_phone: couriers.phone, delivery_notes: couriers.notes },
    ip: couriers.ip,
    agent: couriers.agent,
  });
  expect(tapped.status).toBe(200);
  const emergency = await admin.api.post<{ command_id: string }>(`/admin${devicePath}/unlock`, { reason: said.UnlockRequested });
  await admin.api.post(`/admin${devicePath}/maintenance`, { reason: said.MaintenanceStarted });
  await admin.api.call('DELETE', `/admin${devicePath}/maintenance`);
  const other = await registerBox(admin);
  await claim({ api: { post: (path: string, body: unknown) => as('POST', path, body) } } as unknown as Person, other);
  await admin.api.post(`/admin/devices/${other.deviceId}/accept-deliveries`, { reason: said.Level0DeliveriesAccepted });
  await closeUnknown(other.deviceId, said.UnlockSettled);
  await admin.api.post(`/admin/devices/${other.deviceId}/decommission`, { reason: said.DeviceDecommissioned });
  await admin.api.post(`/admin${devicePath}/reprovision`, { reason: said.DeviceProtocolUnpinned });
  await as('POST', `${devicePath}/unlink-request`, { reason: canaries.unlinkReason });
  await admin.api.put(`/admin/users/${user.id}/suspend`, { reason: canaries.suspension });
  await admin.api.put(`/admin/users/${user.id}/activate`);
  const third = (await ask<SignedIn>('POST', '/auth/login', { body: { email: canaries.email, password: PASSWORD } })).body;
  const last = third.access_token;
  const mails = join(folder, 'mail');
  await until('a mail to her', () => readableBelow(mails, [canaries.email]).length > 0);
  await admin.api.post('/admin/jobs/audit.heads/run');
  await until('a signed head', async () => (await readHeads(join(folder, 'audit', HEADS_FILE))).length > 0);
  await rebuildPeople(); // what was read before is kept for a way back

  // So that the search can fail: before, they are found where they are expected, and nowhere else.
  const before = await readableIn(pool, needles);
  const tables = new Set(before.map((column) => column.replace(/^read_people_\d+_\d+/, 'read_people').replace(/\.[^.]+$/, '')));
  expect([...tables].sort()).toEqual(['read_people.people', 'work.sessions']);
  expect(before.filter((column) => column.startsWith('read_people'))).toHaveLength(4); // two generations, `fields` and `words`
  const shown = (await ask<never>('GET', '/auth/me/export', { token: last })).text;
  // All of it is in what she may take with her, but from where somebody else came.
  expect(needles.filter((needle) => readableText(shown, [needle]).length === 0)).toEqual([couriers.agent, couriers.ip]);
  const all = JSON.parse(shown) as { complete: boolean; devices: unknown[]; links: { access_url: string }[]; log: { type: string }[] };
  expect(all).toMatchObject({ complete: true, devices: [{ id: registered.deviceId }], links: [{ id: link.id }], deliveries: [{ courier_company: couriers.company }] });
  expect(all.log.map(({ type }) => type)).toEqual(expect.arrayContaining(['UserRegistered', 'LoginRefused', 'DeviceAssigned', 'UserSuspended']));

  const suspended = await admin.api.get<{ details: { reason?: string } }[]>(`/admin/logs/audit?user_id=${user.id}&type=UserSuspended`);
  expect(suspended.map(({ details }) => details.reason)).toEqual([canaries.suspension]);

  const exported = async () => (await fetch(`${app.url}/api/v1/admin/logs/audit/export?format=ndjson&type=${Object.keys(said).join()}`, { headers: { authorization: `Bearer ${admin.token}` } })).text();
  const then = async () => (await admin.api.get<{ state: { reason: string | null } }>(`/admin/deliveries/${emergency.command_id}/state`)).state.reason;
  const linesOf = (text: string) => text.trim().split('\n').map((line) => JSON.parse(line) as { type: string; summary: string; details: Record<string, unknown> });
  const log = linesOf(await exported());
  for (const [type, text] of Object.entries(said)) {
    const entry = log.find(({ details }) => details[type === 'UnlockSettled' ? 'remark' : 'reason'] === text);
    expect(entry).toMatchObject({ type, summary: expect.stringContaining(text) as string });
    expect(await admin.api.get<unknown[]>(`/admin/logs/audit?q=${text.split(' ')[0]}`)).toHaveLength(1);
  }
  expect(await then()).toBe(said.UnlockRequested);

  const socket = new WebSocket(`${app.url.replace('http', 'ws')}/ws/device-status`, { headers: { authorization: `Bearer ${last}` } });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));

  // Not by mistake, and not by somebody else.
  expect(await ask('GET', '/auth/me/erase', { token: last })).toMatchObject({ status: 200, body: { user_id: user.id, devices: [{ id: registered.deviceId }], deliveries: 1, backups: { retention_days: 30 } } });
  expect(await ask('POST', '/auth/me/erase', { token: last, body: { password: PASSWORD, confirm: 'other@example.com' } })).toMatchObject({ status: 400, body: { details: { confirm: expect.any(String) as string } } });
  expect(await ask('POST', '/auth/me/erase', { token: last, body: { password: 'not it', confirm: canaries.email } })).toMatchObject({ status: 403, body: { details: { reason: 'credentials_invalid' } } });
  // As after a crash just after the courier's tap: the vault does not know whose key that was, only the log does.
  await pool.query('UPDATE vault.data_keys SET subject = NULL WHERE subject = $1', [`delivery:${tapped.body.command_id}`]);
  const linesBefore = lines.length;
  const answer = await ask<{ erasure_id: string; status: string; receipt: SignedReceipt; status_url: string }>('POST', '/auth/me/erase', { token: last, body: { password: PASSWORD, confirm: 'ZQZQ.ana@canary.example' } });
  expect(answer).toMatchObject({ status: 200, body: { status: 'completed', receipt: { subject: `user:${user.id}`, requested_by: 'owner', destroyed: { data_keys: 2, deliveries: 1, boxes: 1 }, backups: { retention_days: 30 } } } });

  // The receipt.
  const { receipt, erasure_id: erasureId } = answer.body;
  const publicKey = createPublicKey(readFileSync(join(folder, 'audit', PUBLIC_KEY_FILE)));
  expect(isReceiptSignedBy(publicKey, receipt)).toBe(true);
  expect(isReceiptSignedBy(publicKey, { ...receipt, completed_at: receipt.requested_at.replace('2026', '2027') })).toBe(false);
  expect(await readLedger(join(folder, 'audit', 'erasures.ndjson'))).toEqual([receipt]);
  expect((await ask('GET', `/erasures/${erasureId}`)).body).toEqual(answer.body);
  expect((await ask('GET', `/erasures/${user.id}`)).status).toBe(404);

  const { rows: living } = await pool.query<{ count: number }>(`SELECT count(*)::integer AS count FROM vault.data_keys WHERE kind = 'delivery' AND wrapped IS NULL AND subject IS NULL`);
  expect(living).toEqual([{ count: 1 }]);

  // Nobody is signed in, and nothing lets anybody in.
  expect(await closed).toBe(4401);
  for (const each of [token, second.access_token, last]) expect((await ask('GET', '/auth/me', { token: each })).status).toBe(401);
  for (const each of [ana, second, third]) expect((await ask('POST', '/auth/refresh', { body: { refresh_token: each.refresh_token } })).status).toBe(401);
  expect((await ask('GET', `/delivery/link/${link.link_id}/info`, { ip: couriers.ip, agent: couriers.agent })).body).toMatchObject({ is_valid: false });

  // The administrator who looks sees an id, and that it was erased.
  expect((await admin.api.get<{ email: null; full_name: null }>(`/admin/users/${user.id}`))).toMatchObject({ email: null, full_name: null, devices: [] });
  const again = await admin.api.call<{ erasure_id: string }>('POST', `/admin/users/${user.id}/erase`, { confirm: 'whoever@example.com', ground: 'requested' });
  expect(again).toMatchObject({ status: 200, body: { erasure_id: erasureId, receipt } });

  await until('everything readable is gone', async () => (await readableIn(pool, needles)).length === 0).catch(() => undefined);
  expect(await readableIn(pool, needles)).toEqual([]);
  expect(readableBelow(folder, needles)).toEqual([]);
  const audited = JSON.stringify(await admin.api.get('/admin/logs/audit?limit=1000'));
  expect(readableText(audited, needles)).toEqual([]);
  const afterwards = await exported();
  expect(linesOf(afterwards)).toHaveLength(log.length);
  expect(readableText(afterwards, needles)).toEqual([]);
  expect(await then()).toBeNull();
  for (const text of Object.values(said)) expect(await admin.api.get(`/admin/logs/audit?q=${text.split(' ')[0]}`)).toEqual([]);
  expect(readableText(lines.slice(linesBefore).join('\n'), needles)).toEqual([]);

  await withStore(async (store, logId) => {
    const events: RecordedEvent[] = [];
    for await (const event of store.readAll()) events.push(event);
    const messages = events.flatMap((event) => integrationEvent(recordedOf(event))?.value.toString() ?? []);
    expect(messages.length).toBeGreaterThan(5);
    expect(readableText(messages.join('\n'), needles)).toEqual([]);
    expect(readableText(JSON.stringify(events, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)), needles)).toEqual([]);
    const heads = await readHeads(join(folder, 'audit', HEADS_FILE));
    const verified = await verifyLog({ events: store.readAll(), logId, heads, publicKeys: [publicKey] });
    expect(verified).toMatchObject({ finding: undefined, holds: { size: heads.at(-1)?.size } });
  });
  await rebuildPeople();
  expect(await readableIn(pool, needles)).toEqual([]);

  // The address is free, and a new account has nothing of the old one. Last: it brings the words back.
  expect((await ask('POST', '/auth/login', { body: { email: canaries.email, password: PASSWORD } })).status).toBe(401);
  const anew = (await ask<SignedIn>('POST', '/auth/register', { body: registration })).body;
  expect(anew.user.id).not.toBe(user.id);
  expect((await ask('GET', '/devices', { token: anew.access_token })).body).toEqual([]);
  await box.stop();
});
