import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EventBatch, EventStore, RecordedEvent, SubscribeOptions } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createProjectionAdmin, NotStoppedThere } from '../../src/projections/admin.ts';
import { canonicalHash } from '../../src/projections/canonical.ts';
import { ensureLogIdentity, LogIdentityError } from '../../src/projections/log-identity.ts';
import { defineProjection, defineTable, idOfStream, type AnyProjection } from '../../src/projections/projection.ts';
import type { LiveChange } from '../../src/projections/read-models.ts';
import { projections } from '../../src/projections/registry.ts';
import { createProjectionRunner, type ProjectionRunnerOptions } from '../../src/projections/runner.ts';
import { fakeVault, startReadSide, toAppend, type ReadSide, type ReadSideOptions } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';
import { history, random } from './histories.ts';

let postgres: TestPostgres;
const started: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(async () => {
  for (const each of started.splice(0).reverse()) await each.stop();
});
afterAll(() => postgres?.stop());

async function start(options: ReadSideOptions = {}): Promise<ReadSide> {
  const side = await startReadSide(postgres, options);
  started.push(side);
  return side;
}

function runnerOn(side: ReadSide, change: Partial<ProjectionRunnerOptions> = {}) {
  const { db, store, logId, clock } = side;
  const runner = createProjectionRunner({
    db, store, projections: side.projections, logId, clock, logger: silentLogger, metrics: new Metrics(), ...change,
  });
  started.push(runner);
  return runner;
}

async function hashes(side: ReadSide): Promise<Record<string, unknown>> {
  return Object.fromEntries(await Promise.all(side.projections.map(async (p) => [p.name, await canonicalHash(side.db, p)] as const)));
}

async function rebuildAll(side: ReadSide) {
  const admin = createProjectionAdmin({ ...side, logger: silentLogger });
  const results = await admin.rebuild('all');
  expect(results.filter(({ failure }) => failure !== undefined)).toEqual([]);
}

async function write(side: ReadSide, seed: number, steps: number): Promise<bigint> {
  let position = 0n;
  for (const { stream, events } of history(seed, steps)) position = (await side.append(stream, events)).position;
  return position;
}

const battery = (level: number) => ({ type: 'BatteryLevelChanged', data: { level, evidence: 'signed' } }) as const;

/** Counts reports of each box's battery; cannot take some levels. */
function counting(poison: (level: number) => 'handler' | 'database' | undefined = () => undefined, version = 1): AnyProjection {
  interface Row {
    readonly device_id: string;
    readonly reports: number;
  }
  const counts = defineTable<Row>({ name: 'counts', key: 'device_id', columns: { device_id: 'uuid NOT NULL', reports: 'integer NOT NULL' }, indexes: [] });
  return defineProjection({
    name: 'counting',
    version,
    categories: ['device'],
    tables: { counts },
    load: (event, want) => (event.stream.startsWith('device-') ? want.counts(idOfStream(event.stream)) : undefined),
    on: {
      BatteryLevelChanged({ stream, data }, rows) {
        const deviceId = idOfStream(stream);
        const reports = (rows.counts.get(deviceId)?.reports ?? 0) + 1;
        rows.counts.put({ device_id: deviceId, reports });
        const problem = poison(data.level);
        if (problem === 'handler') throw new Error(`no ${data.level}`);
        if (problem === 'database') rows.counts.put({ device_id: deviceId, reports: 2 ** 40 });
      },
    },
  });
}

async function reportsOf(side: ReadSide, deviceId: string): Promise<number> {
  return await side.reader
    .first<{ reports: number }>({ name: 'test.counts', text: (s) => `SELECT reports FROM ${s['counting']}.counts WHERE device_id = $1` }, [deviceId])
    .then((row) => row?.reports ?? 0);
}

describe('one outcome, whichever way', () => {
  it('live one by one, live in batches, caught up late and rebuilt give the same rows', async () => {
    const side = await start();
    const position = await write(side, 1, 150);
    await side.readable(position);
    const live = await hashes(side);
    await rebuildAll(side);
    expect(await hashes(side)).toEqual(live);
  });

  it('ranges delivered again change nothing', async () => {
    const side = await start({ runs: false });
    await write(side, 2, 120);
    const pick = random(7);
    /** Each batch after the first begins with some events that were there before. */
    const again: EventStore = {
      ...side.store,
      async *subscribeAll(options: SubscribeOptions): AsyncGenerator<EventBatch> {
        const seen: RecordedEvent[] = [];
        for await (const batch of side.store.subscribeAll({ ...options, maxBatch: 37 })) {
          const from = pick(seen.length + 1);
          const repeated = seen.slice(from, from + pick(60));
          seen.push(...batch.events);
          if (repeated.length > 0) yield { events: repeated, position: repeated.at(-1)?.position ?? 0n, live: false };
          yield { ...batch, events: [...repeated, ...batch.events] };
        }
      },
    };
    const head = (await side.store.head()) ?? 0n;
    // A projection of its own beside the real ones, so that the log is not built before the group starts but followed.
    const runner = runnerOn(side, { store: again });
    await runner.start();
    const more = await write(side, 3, 200);
    await until('all have caught up', () => runner.health().projections.every(({ position }) => position >= more), 20_000);
    expect(more).toBeGreaterThan(head);
    const live = await hashes(side);
    await runner.stop();
    await rebuildAll(side);
    expect(await hashes(side)).toEqual(live);
  });

  it('stopped and started at any moment, it goes on where it was', async () => {
    const side = await start({ runs: false });
    const pick = random(11);
    let reached = -1n;
    const run = async () => {
      const runner = runnerOn(side, { onCommitted: (_, position) => (reached = position), maxBatch: 1 + pick(20) });
      await runner.start();
      return runner;
    };
    let last = 0n;
    for (let round = 0; round < 8; round++) {
      const runner = await run();
      const from = reached;
      const writing = write(side, 100 + round, 30);
      await until('some progress', () => reached > from, 20_000);
      await Promise.all([runner.stop(), writing]);
      last = await writing;
    }
    const runner = await run();
    await until('the end', () => runner.health().projections.every(({ position }) => position >= last), 20_000);
    await runner.stop();
    const live = await hashes(side);
    await rebuildAll(side);
    expect(await hashes(side)).toEqual(live);
  });
});

describe('an event that a projection cannot take', () => {
  it.each(['handler', 'database'] as const)('stops only that one (%s), visibly; skipped, it goes on', async (kind) => {
    const side = await start({ projections: (sealer) => [...projections({ sealer }), counting((level) => (level === 13 ? kind : undefined))] });
    const admin = createProjectionAdmin({ ...side, logger: silentLogger });
    const deviceId = newId();
    const stream = `device-${deviceId}`;
    const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
    await side.happened(stream, [{ type: 'DeviceRegistered', data }, battery(50)]);
    // One append, so that what it can take, the poison and what comes after are in one batch.
    const { position } = await side.happened(stream, [battery(51), battery(13), battery(52)]);
    expect(await side.reads.devices.byId(deviceId)).toMatchObject({ batteryLevel: 52 });

    const stopped = await until('counting has stopped', async () => (await admin.status()).projections.find(({ name, state }) => name === 'counting' && state === 'stopped'));
    expect(stopped).toMatchObject({ position: position - 2n, error: { position: String(position - 1n), type: 'BatteryLevelChanged', stream } });
    expect(await reportsOf(side, deviceId)).toBe(2);
    const health = side.runner.health();
    expect(health.ok).toBe(false);
    expect(health.projections.filter(({ state }) => state !== 'running').map(({ name }) => name)).toEqual(['counting']);

    const why = { actor: { kind: 'admin', id: newId() }, reason: 'a broken report' } as const;
    await expect(admin.skip('counting', position, why)).rejects.toThrow(NotStoppedThere);
    await admin.skip('counting', position - 1n, why);
    await until('counting runs again', () => side.runner.health().projections.every(({ state }) => state === 'running'));
    expect(await reportsOf(side, deviceId)).toBe(3);
    const skipped = await side.reads.audit.list({ types: ['ProjectionEventSkipped'] }, { limit: 5, offset: 0 });
    expect(skipped.rows).toMatchObject([{ actorId: why.actor.id, data: { projection: 'counting', position: String(position - 1n) } }]);

    const [result] = await admin.rebuild('counting');
    expect(result?.failure).toMatchObject({ projection: 'counting', problem: { position: String(position - 1n) } });
    expect(await reportsOf(side, deviceId)).toBe(3);
  });

  it('is any event of an unknown type or version for those that must know its category; the audit log has it', async () => {
    const side = await start();
    const known = toAppend(battery(50), '2026-11-21T10:00:00.000Z');
    const { position } = await side.store.append(`device-${newId()}`, 'any', [{ ...known, type: 'BoxTaughtToSing', metadata: { ...known.metadata, schemaVersion: 9 } }]);
    await side.readable(position);
    const states = Object.fromEntries(side.runner.health().projections.map(({ name, state }) => [name, state]));
    expect(states).toEqual({
      activity: 'stopped', audit: 'running', deadlines: 'stopped', devices: 'stopped', links: 'stopped', people: 'stopped', proof: 'running', unlocks: 'stopped', users: 'running',
    });
    expect((await side.reads.audit.list({}, { limit: 1, offset: 0 })).rows).toMatchObject([{ type: 'BoxTaughtToSing', action: 'box_taught_to_sing' }]);
  });
});

describe('a machine that has nothing left', () => {
  it.each(['53100', '53200', '58030', '57014'])('stops no projection (%s): it goes on by itself', async (code) => {
    const side = await start({ projections: () => [counting()] });
    const stream = `device-${newId()}`;
    await side.happened(stream, [battery(1)]);
    const { rows } = await side.db.pool.query<{ schema: string }>(`SELECT format('read_%s_%s_%s', name, version, generation) AS schema FROM work.projections`);
    const counts = `${rows[0]!.schema}.counts`;
    await side.db.pool.query(`
      CREATE SEQUENCE public.refused;
      CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM nextval('public.refused'); RAISE EXCEPTION 'nothing left' USING ERRCODE = '${code}'; END $$;
      CREATE TRIGGER refusing BEFORE INSERT OR UPDATE ON ${counts} FOR EACH ROW EXECUTE FUNCTION public.refuse()`);
    const { position } = await side.append(stream, [battery(2)]);
    await until('several tries', async () => Number((await side.db.pool.query<{ n: string }>('SELECT last_value AS n FROM public.refused')).rows[0]!.n) > 2);
    await side.db.pool.query(`DROP TRIGGER refusing ON ${counts}`);
    await side.readable(position);
    expect((await side.db.pool.query(`SELECT state, error FROM work.projections`)).rows).toEqual([{ state: 'running', error: null }]);
    expect((await side.db.pool.query(`SELECT reports FROM ${counts}`)).rows).toEqual([{ reports: 2 }]);
  });
});

describe('one leader', () => {
  it('a second runner stands by and takes over; nothing is applied twice', async () => {
    const side = await start({ projections: () => [counting()] });
    const second = runnerOn(side);
    await second.start();
    expect(second.health()).toMatchObject({ ok: true, role: 'standby' });
    const deviceId = newId();
    await side.happened(`device-${deviceId}`, [battery(1), battery(2)]);
    await side.runner.stop();
    await until('the second leads', () => second.health().role === 'leading');
    const { position } = await side.append(`device-${deviceId}`, [battery(3)]);
    expect(await side.feed.reached(position, 10_000)).toBe(true);
    expect(await reportsOf(side, deviceId)).toBe(3);
  });

  it('whoever meets a checkpoint that another moved writes nothing and begins again from it', async () => {
    const side = await start({ projections: () => [counting()] });
    const deviceId = newId();
    const { position } = await side.happened(`device-${deviceId}`, [battery(1)]);
    // As a runner would that took itself for the leader: it has applied the next event, and said so.
    await side.db.pool.query(`UPDATE work.projections SET position = $1::numeric WHERE name = 'counting'`, [String(position + 1n)]);
    await side.append(`device-${deviceId}`, [battery(2)]);
    const last = await side.append(`device-${deviceId}`, [battery(3)]);
    expect(await side.feed.reached(last.position, 10_000)).toBe(true);
    expect(await reportsOf(side, deviceId)).toBe(2);
    expect(side.runner.health()).toMatchObject({ ok: true, role: 'leading' });
  });

  it('comes back after its connections were cut', async () => {
    const side = await start({ projections: () => [counting()] });
    const deviceId = newId();
    await side.happened(`device-${deviceId}`, [battery(1)]);
    for (let i = 0; i < 3; i++) {
      await side.db.pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'loqey-projector%' AND datname = current_database()`);
      await side.happened(`device-${deviceId}`, [battery(2)]);
    }
    expect(await reportsOf(side, deviceId)).toBe(4);
  });
});

describe('identity of the log', () => {
  it('checkpoints of another log, or beyond the end of this one, stop the start and say what to do', async () => {
    const side = await start();
    await side.happened(`device-${newId()}`, []).catch(() => undefined);
    await side.runner.stop();
    const other = runnerOn(side, { logId: newId() });
    await expect(other.start()).rejects.toThrow(LogIdentityError);
    await expect(other.start()).rejects.toThrow(/loqey projections rebuild all/);
    await side.db.pool.query(`UPDATE work.projections SET position = 1000000 WHERE name = 'users'`);
    await expect(runnerOn(side).start()).rejects.toThrow(/users is at position 1000000, but the log ends at 1\b/);
    await rebuildAll(side);
    await runnerOn(side).start();
  });

  it('is that of another process, where that wrote it between two looks of this one', async () => {
    let looks = 0;
    const started = { type: 'LogStarted', stream: 'system-log', data: { logId: 'theirs' } };
    const store = {
      async *readStream() {
        if (looks++ > 0) yield started;
      },
      async *readAll() {
        yield started;
      },
    } as unknown as EventStore;
    expect(await ensureLogIdentity(store, '1.0.0', () => new Date().toISOString())).toBe('theirs');
  });
});

describe('live changes', () => {
  it('reach listeners in the process that leads and in others, in order, and can be resumed', async () => {
    const leader = await start();
    const other = await start({ url: leader.db.url, runs: false });
    const heard: Record<'here' | 'there', LiveChange[]> = { here: [], there: [] };
    const deviceId = newId();
    leader.feed.on(`device:${deviceId}`, (change) => heard.here.push(change));
    other.feed.on(`device:${deviceId}`, (change) => heard.there.push(change));
    const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
    const first = await leader.happened(`device-${deviceId}`, [{ type: 'DeviceRegistered', data }, battery(80)]);
    const last = await leader.happened(`device-${deviceId}`, [battery(70), { type: 'LockStateReported', data: { lockStatus: 'locked', evidence: 'signed' } }]);
    expect(await other.feed.reached(last.position, 5_000)).toBe(true);
    await until('heard there', () => heard.there.length === 3);
    expect(heard.here.map(({ payload }) => payload)).toMatchObject([{ battery_level: 80 }, { battery_level: 70 }, { status: 'locked', device_id: deviceId }]);
    expect(heard.there).toEqual(heard.here);
    expect(await other.feed.since(`device:${deviceId}`, first.position)).toEqual(heard.here.slice(1));
    expect(await other.feed.since(`device:${newId()}`, first.position)).toEqual([]);
    await leader.db.pool.query('UPDATE work.live_floor SET position = $1::numeric', [String(last.position)]);
    expect(await other.feed.since(`device:${deviceId}`, first.position)).toBeUndefined();
  });

  it('a place beyond the end of the log is none to resume from; one that is only not readable yet is', async () => {
    const only = () => [counting()];
    const leader = await start({ projections: only });
    const behind = await start({ url: leader.db.url, runs: false, projections: only });
    const stream = `device-${newId()}`;
    const { position: read } = await leader.happened(stream, [battery(50)]);
    await leader.runner.stop();
    const { position: last } = await leader.append(stream, [battery(51)]);
    for (const { feed } of [leader, behind]) {
      expect([await feed.has(read), await feed.has(last), await feed.has(last + 1n)]).toEqual([true, true, false]);
      expect(await feed.since('admin', last)).toEqual([]);
      expect(await feed.since('admin', last + 1n)).toBeUndefined();
    }
  });

  it('a listener that fails harms nobody, and one that left hears nothing', async () => {
    const side = await start();
    const deviceId = newId();
    const heard: string[] = [];
    side.feed.on('admin', () => {
      throw new Error('of this listener');
    });
    const leave = side.feed.on('admin', () => heard.push('left'));
    side.feed.on('admin', ({ type }) => heard.push(type));
    leave();
    await side.happened(`device-${deviceId}`, [{ type: 'MaintenanceStarted', data: {} }]).catch(() => undefined);
    expect(heard).toEqual(['device_activity']);
  });

  it('a position that is not reached in time is said not to be', async () => {
    const side = await start({ vault: fakeVault() });
    expect(await side.feed.reached(10n ** 12n, 20)).toBe(false);
  });
});
