import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Uuid } from '../../src/domain/kernel.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createProjectionAdmin, type ProjectionAdmin, type ProjectionStatus } from '../../src/projections/admin.ts';
import { canonicalHash } from '../../src/projections/canonical.ts';
import { defineProjection, defineTable, idOfStream, type AnyProjection } from '../../src/projections/projection.ts';
import { NotResumable, RebuildFailure } from '../../src/projections/rebuild.ts';
import { projections } from '../../src/projections/registry.ts';
import { askRun, readRun, RunPending } from '../../src/projections/runs.ts';
import { ReadModelUnavailable } from '../../src/projections/schemas.ts';
import { fakeVault, startReadSide, type ReadSide, type ReadSideOptions } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';
import { history, random } from './histories.ts';

type Side = ReadSide & { readonly admin: ProjectionAdmin };

let postgres: TestPostgres;
const started: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(async () => {
  for (const each of started.splice(0).reverse()) await each.stop();
});
afterAll(() => postgres?.stop());

async function start(options: ReadSideOptions = {}): Promise<Side> {
  const side = await startReadSide(postgres, options);
  started.push(side);
  return { ...side, admin: createProjectionAdmin({ ...side, logger: silentLogger }) };
}

async function write(side: ReadSide, seed: number, steps: number): Promise<bigint> {
  let position = 0n;
  for (const { stream, events } of history(seed, steps)) position = (await side.append(stream, events)).position;
  return position;
}

async function hashes(side: ReadSide): Promise<Record<string, unknown>> {
  return Object.fromEntries(await Promise.all(side.projections.map(async (p) => [p.name, await canonicalHash(side.db, p)] as const)));
}

async function of(side: Side, name: string): Promise<ProjectionStatus> {
  const found = (await side.admin.status()).projections.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

const schemaOf = (side: ReadSide, name: string) => side.reader.first<{ schema: string }>({ name: `test.schema_${name}`, text: (s) => `SELECT '${s[name]}' AS schema` }, []).then((row) => row?.schema ?? '');

const admin = { actor: { kind: 'admin', id: '0198c1de-0000-7111-8222-000000000001' } } as const;
const battery = (level: number) => ({ type: 'BatteryLevelChanged', data: { level, evidence: 'signed' } }) as const;

async function box(side: ReadSide): Promise<Uuid> {
  const deviceId = newId();
  const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
  await side.happened(`device-${deviceId}`, [{ type: 'DeviceRegistered', data }]);
  return deviceId;
}

interface Levels {
  /** Of the first version. */
  readonly version?: number;
  readonly poison?: (level: number) => boolean;
  /** Awaited before each batch. */
  readonly gate?: () => Promise<void>;
}

/** The last level of each box. Version 2 has another column besides. */
function levels({ version = 1, poison = () => false, gate }: Levels = {}): AnyProjection {
  interface Row {
    readonly device_id: string;
    readonly level: number;
    readonly reports?: number;
  }
  const table = defineTable<Row>({
    name: 'levels',
    key: 'device_id',
    columns: { device_id: 'uuid NOT NULL', level: 'integer NOT NULL', ...(version > 1 ? { reports: 'integer' } : {}) } as never,
    indexes: [],
  });
  return defineProjection({
    name: 'levels',
    version,
    categories: ['device'],
    tables: { levels: table },
    load: (event, want) => (event.stream.startsWith('device-') ? want.levels(idOfStream(event.stream)) : undefined),
    ...(gate === undefined ? {} : { prepare: () => gate() }),
    on: {
      BatteryLevelChanged({ stream, data }, rows) {
        if (poison(data.level)) throw new Error(`no ${data.level}`);
        const id = idOfStream(stream);
        rows.levels.put({ device_id: id, level: data.level, ...(version > 1 ? { reports: (rows.levels.get(id)?.reports ?? 0) + 1 } : {}) });
      },
    },
  });
}

const withLevels = (...given: readonly [Levels?]) => (sealer: Parameters<typeof projections>[0]['sealer']) => [...projections({ sealer }), levels(...given)];
const levelOf = (side: ReadSide, id: Uuid) => side.reader.first<{ level: number }>({ name: 'test.level', text: (s) => `SELECT level FROM ${s['levels']}.levels WHERE device_id = $1` }, [id]).then((row) => row?.level);
const reportsOf = (side: ReadSide, id: Uuid) => side.reader.first<{ reports: number }>({ name: 'test.reports', text: (s) => `SELECT reports FROM ${s['levels']}.levels WHERE device_id = $1` }, [id]).then((row) => row?.reports);

describe('a new generation held against the live one', () => {
  it('is equal at the same position while events come; one changed row is named, without what is in it, and stops the switch', async () => {
    const side = await start();
    await side.readable(await write(side, 61, 40));
    const deviceId = await box(side);
    let going = true;
    const writing = (async () => {
      for (let level = 0; going; level = (level + 1) % 101) await side.happened(`device-${deviceId}`, [battery(level)]);
    })();
    const results = await side.admin.rebuild('all', { compare: true });
    expect(results.map(({ name, outcome, comparison }) => [name, outcome, comparison?.equal])).toEqual(side.projections.map(({ name }) => [name, 'switched', true]));
    going = false;
    await writing;
    const devices = results.find(({ name }) => name === 'devices')?.comparison?.tables.find(({ table }) => table === 'devices');
    expect(devices?.live).toEqual(devices?.next);
    expect(devices?.live?.rows).toBeGreaterThan(3);

    // Somebody changed what is live by hand.
    const [devicesSchema, people] = [await schemaOf(side, 'devices'), await schemaOf(side, 'people')];
    const { rows: columns } = await side.db.pool.query<{ name: string }>(`SELECT column_name AS name FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'devices' AND data_type = 'uuid' ORDER BY 1`, [devicesSchema]);
    expect(columns.map(({ name }) => name)).toContain('owner_id');
    await side.db.pool.query(`UPDATE ${devicesSchema}.devices SET owner_id = gen_random_uuid() WHERE device_id = $1`, [deviceId]);
    await side.db.pool.query(`UPDATE ${people}.people SET fields = '{"name": "Mallory"}' WHERE ref = (SELECT min(ref::text)::uuid FROM ${people}.people)`);
    await side.db.pool.query(`DELETE FROM ${people}.people WHERE ref = (SELECT max(ref::text)::uuid FROM ${people}.people)`);

    const [found] = await side.admin.perform('devices', 'compare');
    expect(found).toMatchObject({ outcome: 'different', comparison: { equal: false, live: { generation: 2 }, next: { generation: 3 } } });
    expect(found?.comparison?.tables.find(({ table }) => table === 'devices')).toMatchObject({ equal: false, differing: 1, rows: [{ key: deviceId, kind: 'changed', columns: ['owner_id'] }] });
    const [personal] = await side.admin.rebuild('people', { compare: true });
    expect(personal?.outcome).toBe('different');
    const [table] = personal?.comparison?.tables ?? [];
    expect(table?.rows.map(({ kind }) => kind).sort()).toEqual(['added', 'changed']);
    expect(JSON.stringify(personal)).not.toContain('Mallory');

    // It waits, and is not switched to unless that is accepted.
    expect(await of(side, 'devices')).toMatchObject({ generation: 2, generations: [{}, { state: 'active' }, { generation: 3, state: 'ready', resumable: true }] });
    expect((await side.admin.perform('devices', 'switch'))[0]?.outcome).toBe('different');
    expect((await side.admin.perform('devices', 'switch', { acceptDifferences: true }))[0]?.outcome).toBe('switched');
    expect((await side.admin.perform('devices', 'compare'))[0]).toMatchObject({ outcome: 'equal', comparison: { equal: true } });
    expect(await of(side, 'devices')).toMatchObject({ generation: 3, state: 'running' });
    expect((await of(side, 'devices')).generations.filter(({ state }) => state === 'ready')).toEqual([]); // one that is equal is not kept
  });

  it('of another version is compared in the columns that both have, and says which it has not', async () => {
    const vault = fakeVault();
    const side = await start({ vault, projections: withLevels() });
    const deviceId = await box(side);
    await side.happened(`device-${deviceId}`, [battery(7), battery(8)]);
    const next = createProjectionAdmin({ ...side, projections: [levels({ version: 2 })], logger: silentLogger });
    const [same] = await next.perform('levels', 'compare');
    expect(same).toMatchObject({ outcome: 'equal', comparison: { equal: true, live: { version: 1 }, next: { version: 2 }, tables: [{ table: 'levels', onlyLive: [], onlyNext: ['reports'], differing: 0 }] } });
  });
});

describe('switching by hand, and back', () => {
  it('what was built waits; the former one is brought up to date first, and read at once; beyond a day it is gone', async () => {
    const side = await start({ projections: withLevels() });
    const deviceId = await box(side);
    await expect(side.admin.perform('levels', 'rollback')).rejects.toThrow(NotResumable);
    await expect(side.admin.perform('levels', 'switch')).rejects.toThrow('--no-switch');
    expect((await side.admin.rebuild('levels', { switch: false }))[0]).toMatchObject({ outcome: 'ready', generation: 2 });
    await side.happened(`device-${deviceId}`, [battery(1)]);
    expect(await of(side, 'levels')).toMatchObject({ generation: 1, state: 'running' });
    expect((await side.admin.perform('levels', 'switch'))[0]).toMatchObject({ outcome: 'switched', generation: 2, comparison: { equal: true } });
    expect(await levelOf(side, deviceId)).toBe(1);
    await side.happened(`device-${deviceId}`, [battery(2)]);
    expect((await side.admin.perform('levels', 'rollback'))[0]).toMatchObject({ outcome: 'switched', generation: 1 });
    expect(await levelOf(side, deviceId)).toBe(2);
    await side.happened(`device-${deviceId}`, [battery(3)]);
    expect((await side.admin.perform('levels', 'switch', { generation: 2 }))[0]).toMatchObject({ outcome: 'switched', generation: 2 });
    expect(await levelOf(side, deviceId)).toBe(3);
    await expect(side.admin.perform('levels', 'switch', { generation: 2 })).rejects.toThrow('is the live one');
    await expect(side.admin.perform('levels', 'switch', { generation: 9 })).rejects.toThrow('no generation 9');
    await side.admin.dropRetired('levels');
    await expect(side.admin.perform('levels', 'rollback')).rejects.toThrow('24 hours');
  });

  it('beside appends and reads: no read fails, none goes back in time, and the rows are those of the log', async () => {
    const side = await start();
    const other = await start({ url: side.db.url, vault: side.vault, runs: false });
    await side.readable(await write(side, 71, 40));
    const deviceId = await box(side);
    let going = true;
    let level = 0;
    const seen = { here: 0, there: 0 };
    const writing = (async () => {
      while (going) {
        level++;
        const { position } = await side.append(`device-${deviceId}`, [battery(level % 101)]);
        // Whoever writes and then reads sees it, here and in another process.
        expect(await side.feed.reached(position, 10_000)).toBe(true);
        expect((await side.reads.devices.byId(deviceId))?.batteryLevel).toBe(level % 101);
        expect(await other.feed.reached(position, 10_000)).toBe(true);
        expect((await other.reads.devices.byId(deviceId))?.batteryLevel).toBe(level % 101);
      }
    })();
    const reading = (async () => {
      while (going) {
        for (const [where, reads] of [['here', side.reads], ['there', other.reads]] as const) {
          const { rows } = await reads.audit.list({ deviceId }, { limit: 200, offset: 0 });
          const highest = Number(rows[0]?.position ?? 0);
          expect(highest).toBeGreaterThanOrEqual(seen[where]);
          seen[where] = highest;
        }
      }
    })();
    for (let round = 0; round < 2; round++) {
      for (const name of ['devices', 'audit']) {
        expect((await side.admin.rebuild(name))[0]?.outcome).toBe('switched');
        expect((await side.admin.perform(name, 'rollback'))[0]?.outcome).toBe('switched');
      }
    }
    going = false;
    await Promise.all([writing, reading]);
    await side.readable((await side.store.head()) ?? 0n);
    const live = await hashes(side);
    await side.admin.rebuild('all');
    expect(await hashes(side)).toEqual(live);
  });

  it('what was replaced and holds personal data is dropped when somebody is erased', async () => {
    const side = await start();
    await side.readable(await write(side, 75, 40));
    await side.admin.rebuild('people');
    expect((await of(side, 'people')).generations).toHaveLength(2);
    const { rows } = await side.reads.users.list({}, { limit: 1, offset: 0 });
    const userId = rows[0]?.userId ?? '';
    await side.happened(`user-${userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: '2026-11-21T12:00:00.000Z' } }]);
    await until('it is gone', async () => (await of(side, 'people')).generations.length === 1);
  });
});

describe('a program with another version', () => {
  it('waits beside the former one; takes over when that ends; and the former one goes back to its own rows', async () => {
    const vault = fakeVault();
    const first = await start({ vault, projections: withLevels() });
    const deviceId = await box(first);
    await first.happened(`device-${deviceId}`, [battery(1)]);

    const second = await start({ vault, url: first.db.url, projections: withLevels({ version: 2 }) });
    await until('the new version waits', async () => (await of(second, 'levels')).generations.some(({ version, state }) => version === 2 && state === 'ready'));
    // Both serve, by the version that is fed; what needs the new one has to wait, and is told so.
    for (let level = 2; level < 5; level++) {
      const { position } = await first.append(`device-${deviceId}`, [battery(level)]);
      expect(await second.feed.reached(position, 10_000)).toBe(true);
      await first.readable(position);
      expect([await levelOf(first, deviceId), await levelOf(second, deviceId)]).toEqual([level, level]);
    }
    await expect(reportsOf(second, deviceId)).rejects.toThrow(ReadModelUnavailable);
    expect(await of(second, 'levels')).toMatchObject({ state: 'outdated', version: 1, programVersion: 2 });
    expect(first.runner.health()).toMatchObject({ ok: true, role: 'leading' });
    expect(second.runner.health()).toMatchObject({ ok: true, role: 'standby' });

    // What is asked for meanwhile is done in the version that is read.
    const run = await second.admin.ask('levels', 'rebuild', {}, admin);
    await until('it is done', async () => (await readRun(second.db, run.id))?.state === 'done');
    expect(await readRun(second.db, run.id)).toMatchObject({ results: [{ outcome: 'switched', version: 1 }] });
    await until('the new version waits again', async () => (await of(second, 'levels')).generations.some(({ version, state }) => version === 2 && state === 'ready'));

    await first.runner.stop();
    await until('the new version is live', () => second.runner.health().projections.some(({ name, state }) => name === 'levels' && state === 'running'), 20_000);
    await second.happened(`device-${deviceId}`, [battery(5)]);
    expect(await reportsOf(second, deviceId)).toBe(5);

    // A program of the former version builds nothing while the newer one is there, and goes on by itself when it is not.
    const third = await start({ vault, url: first.db.url, projections: withLevels() });
    expect(await levelOf(third, deviceId)).toBe(5);
    await second.happened(`device-${deviceId}`, [battery(6)]);
    expect(await of(third, 'levels')).toMatchObject({ version: 2, state: 'outdated' });
    const former = (await of(third, 'levels')).generations.filter(({ version }) => version === 1).map(({ generation }) => generation);
    await second.runner.stop();
    await until('the former version is live again', () => third.runner.health().projections.some(({ name, state }) => name === 'levels' && state === 'running'), 20_000);
    expect(await of(third, 'levels')).toMatchObject({ version: 1, generation: Math.max(...former), state: 'running' }); // not built anew
    await third.happened(`device-${deviceId}`, [battery(7)]);
    expect(await levelOf(third, deviceId)).toBe(7);
    expect(await of(second, 'levels')).toMatchObject({ state: 'outdated' });
  });

  it('starts at once over a long log: what is not built yet is said to be, with how far it is', async () => {
    const vault = fakeVault();
    const first = await start({ vault });
    const deviceId = await box(first);
    const many = Array.from({ length: 700 }, (_, level) => battery(level % 101));
    for (let i = 0; i < 4; i++) await first.append(`device-${deviceId}`, many);
    await first.runner.stop();

    const opened = Promise.withResolvers<void>();
    const second = await start({ vault, url: first.db.url, projections: withLevels({ version: 1, gate: () => opened.promise }) });
    expect((await second.reads.devices.byId(deviceId))?.deviceId).toBe(deviceId); // it serves all the others
    await until('it is built', async () => (await of(second, 'levels')).run?.state === 'running');
    await expect(levelOf(second, deviceId)).rejects.toThrow(/^The read model levels is being built/);
    expect(second.runner.health()).toMatchObject({ role: 'leading', ok: false, usable: true, projections: expect.arrayContaining([expect.objectContaining({ name: 'levels', state: 'rebuilding' })]) as unknown });
    await second.append(`device-${deviceId}`, [battery(50)]);
    opened.resolve();
    await until('it is live', () => second.runner.health().projections.every(({ state }) => state === 'running'), 20_000);
    await second.happened(`device-${deviceId}`, [battery(51)]);
    expect(await levelOf(second, deviceId)).toBe(51);
    expect((await of(second, 'levels')).run).toMatchObject({ kind: 'upgrade', state: 'done', results: [{ name: 'levels', outcome: 'switched' }] });
  });
});

describe('what is asked of a running server', () => {
  it('is carried out by it, recorded, one at a time for each read model, and can be taken back', async () => {
    const gates: { resolve(): void }[] = [];
    let closed = false;
    const gate = () => (closed ? new Promise<void>((resolve) => void gates.push({ resolve })) : Promise.resolve());
    const side = await start({ projections: withLevels({ gate }) });
    const deviceId = await box(side);
    await side.happened(`device-${deviceId}`, [battery(1)]);
    const asked = { ...admin, commandId: newId() };
    const run = await side.admin.ask('levels', 'rebuild', { compare: true }, asked);
    expect(run).toMatchObject({ id: asked.commandId, state: 'waiting', kind: 'asked' });
    await until('it is done', async () => (await readRun(side.db, run.id))?.state === 'done');
    expect(await readRun(side.db, run.id)).toMatchObject({ askedBy: `admin:${admin.actor.id}`, progress: { phase: 'switch' }, results: [{ outcome: 'switched', generation: 2, comparison: { equal: true } }] });
    expect((await side.admin.ask('levels', 'rebuild', { compare: true }, asked)).state).toBe('done'); // the same request again
    await until('it is in the audit log', async () => (await side.reads.audit.list({ types: ['ProjectionActionRequested'] }, { limit: 5, offset: 0 })).rows.length === 1);
    await expect(side.admin.ask('all', 'switch', {}, admin)).rejects.toThrow('There is no read model');
    await expect(side.admin.ask('levels', 'switch', {}, admin)).rejects.toThrow(NotResumable);

    closed = true;
    const slow = await side.admin.ask('levels', 'rebuild', {}, admin);
    await until('it is under way', async () => (await readRun(side.db, slow.id))?.state === 'running' && gates.length > 0);
    await expect(side.admin.ask('all', 'rebuild', {}, admin)).rejects.toThrow(RunPending);
    await expect(side.admin.rebuild('levels')).rejects.toThrow(RunPending);
    const next = await side.admin.ask('users', 'rebuild', {}, admin);
    expect((await side.admin.cancel('users', admin))?.state).toBe('cancelled');
    expect(await side.admin.cancel('links', admin)).toBeUndefined();
    await side.admin.cancel('levels', admin);
    closed = false;
    for (const each of gates) each.resolve();
    await until('it was taken back', async () => (await readRun(side.db, slow.id))?.state === 'cancelled');
    expect((await readRun(side.db, next.id))?.state).toBe('cancelled');
    expect((await of(side, 'levels')).generations.map(({ state }) => state)).toEqual(['retired', 'active']);
    await side.happened(`device-${deviceId}`, [battery(2)]);
    expect(await levelOf(side, deviceId)).toBe(2);
  });

  it('begins anew in another process when the one that was at it is gone', async () => {
    const side = await start({ projections: withLevels() });
    await box(side);
    await side.runner.stop();
    const run = await askRun(side.db, { names: ['levels'], action: 'rebuild', options: {}, kind: 'asked', askedBy: 'admin:x' });
    // As a process leaves it that was killed.
    await side.db.pool.query(`UPDATE work.projection_runs SET state = 'running', attempts = 1, updated_at = now() - interval '1 minute' WHERE id = $1`, [run.id]);
    await side.runner.start();
    await until('it is done', async () => (await readRun(side.db, run.id))?.state === 'done');
    expect(await readRun(side.db, run.id)).toMatchObject({ attempts: 2 });
  });

  it('stops at the first event that it cannot take and names it; the live one goes on, and isolates it', async () => {
    let strict = false;
    const side = await start({ projections: withLevels({ poison: (level) => strict && level === 13 }) });
    const deviceId = await box(side);
    const { position } = await side.happened(`device-${deviceId}`, [battery(13)]);
    await side.happened(`device-${deviceId}`, [battery(14)]);
    strict = true;
    const [failed] = await side.admin.rebuild('levels');
    expect(failed?.failure).toBeInstanceOf(RebuildFailure);
    expect(failed?.failure?.problem).toMatchObject({ type: 'BatteryLevelChanged', stream: `device-${deviceId}`, position: String(position), message: 'no 13' });
    expect(failed?.failure?.problem.eventId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await of(side, 'levels')).toMatchObject({ state: 'running', generation: 1, generations: [{ state: 'active' }], run: { state: 'failed', results: [{ outcome: 'failed', problem: { message: 'no 13' } }] } });
    const run = await side.admin.ask('levels', 'rebuild', {}, admin);
    await until('it failed', async () => (await readRun(side.db, run.id))?.state === 'failed');
    expect((await readRun(side.db, run.id))?.error).toContain(`cannot take BatteryLevelChanged at position ${position}`);
    expect(await levelOf(side, deviceId)).toBe(14);

    // Live, it stops this one before it, and no other.
    const poison = await side.append(`device-${deviceId}`, [battery(13)]);
    await until('it stops', async () => (await of(side, 'levels')).state === 'stopped');
    expect(await of(side, 'levels')).toMatchObject({ error: { position: String(poison.position) }, behind: 1 });
    await side.happened(`device-${deviceId}`, [battery(15)]);
    expect((await side.reads.devices.byId(deviceId))?.batteryLevel).toBe(15);
    await side.admin.skip('levels', poison.position, { ...admin, reason: 'a test' });
    await until('it goes on', async () => (await levelOf(side, deviceId)) === 15);
  });
});

describe('a process that rebuilds and is killed', () => {
  const kills = Number(process.env['TEST_REBUILD_KILLS'] ?? 2);
  it(`at random points, ${kills} times, leaves the live one as it is; the next one begins clean, and the rows are those of the log`, { timeout: 60_000 + kills * 10_000 }, async () => {
    const side = await start();
    await side.readable(await write(side, 91, 60));
    const pick = random(Number(process.env['TEST_SEED'] ?? 5));
    const script = fileURLToPath(new URL('rebuilding-process.ts', import.meta.url));
    /** Killed after so many lines of progress, or as many milliseconds after its start as it takes to begin. */
    const rebuilding = (action: string, name: string, killAfter: number | undefined) =>
      new Promise<boolean>((resolve, reject) => {
        const child = spawn(process.execPath, [script, side.db.url, side.logId, action, name], { stdio: ['ignore', 'pipe', 'pipe'] });
        let lines = 0;
        let complaint = '';
        let done = false;
        child.stdout.on('data', (chunk: Buffer) => {
          lines += chunk.toString().split('\n').length - 1;
          done ||= chunk.toString().includes('done');
          if (killAfter !== undefined && lines >= killAfter) child.kill('SIGKILL');
        });
        child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
        child.on('error', reject);
        child.on('exit', (code) => (code === 0 || code === null ? resolve(done) : reject(new Error(complaint))));
      });
    const forget = () => side.db.pool.query(`UPDATE work.projection_runs SET updated_at = now() - interval '1 minute'`);
    for (let kill = 0; kill < kills; kill++) {
      await rebuilding('rebuild', 'all', 1 + pick(6));
      await side.readable(await write(side, 92 + kill, 10));
      await forget(); // what was killed is not heard of any more
    }
    await until('its connections are gone', async () => (await side.db.pool.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'loqey-rebuild' AND datname = current_database()`)).rowCount === 0);
    expect(await rebuilding('rebuild', 'all', undefined)).toBe(true);
    await side.readable(await write(side, 99, 10));
    // Brought up to date half, and again: its position moves with its rows.
    await rebuilding('rollback', 'devices', 1);
    await forget();
    await until('its connections are gone', async () => (await side.db.pool.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'loqey-rebuild' AND datname = current_database()`)).rowCount === 0);
    expect(await rebuilding('rollback', 'devices', undefined)).toBe(true);
    const live = await hashes(side);
    await side.admin.rebuild('all');
    expect(await hashes(side)).toEqual(live);
    const { rows } = await side.db.pool.query<{ count: number }>(`SELECT count(*)::integer AS count FROM work.projection_generations WHERE state = 'building'`);
    expect(rows[0]?.count).toBe(0);
  });
});
