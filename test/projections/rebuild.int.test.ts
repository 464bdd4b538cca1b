import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createProjectionAdmin, type ProjectionAdmin } from '../../src/projections/admin.ts';
import { canonicalHash } from '../../src/projections/canonical.ts';
import { defineProjection, defineTable, type AnyProjection } from '../../src/projections/projection.ts';
import type { RebuildProgress } from '../../src/projections/rebuild.ts';
import { UnknownProjection } from '../../src/projections/rebuild.ts';
import { RunPending } from '../../src/projections/runs.ts';
import { projections } from '../../src/projections/registry.ts';
import { fakeVault, startReadSide, type ReadSide, type ReadSideOptions } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';
import { history } from './histories.ts';

let postgres: TestPostgres;
const started: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(async () => {
  for (const each of started.splice(0).reverse()) await each.stop();
});
afterAll(() => postgres?.stop());

async function start(options: ReadSideOptions = {}): Promise<ReadSide & { admin: ProjectionAdmin }> {
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

describe('rebuild', () => {
  it('beside live traffic and reads: no read fails, nothing is lost, nothing is read from the old one after it', async () => {
    const side = await start();
    await side.readable(await write(side, 21, 200));
    const deviceId = newId();
    const stream = `device-${deviceId}`;
    const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
    await side.happened(stream, [{ type: 'DeviceRegistered', data }]);

    let going = true;
    let reads = 0;
    let writes = 0;
    const reading = (async () => {
      const page = { limit: 20, offset: 0 };
      while (going) {
        await Promise.all([
          side.reads.devices.byId(deviceId),
          side.reads.devices.list({}, page),
          side.reads.users.list({}, page),
          side.reads.audit.list({ deviceId }, page),
          side.reads.activity.ofDevice(deviceId, undefined, page),
        ]);
        reads++;
      }
    })();
    // Each write is read back at once: a read of a generation that is no longer written would not have it.
    const writing = (async () => {
      while (going) {
        const level = writes++ % 101;
        await side.happened(stream, [{ type: 'BatteryLevelChanged', data: { level, evidence: 'signed' } }]);
        expect((await side.reads.devices.byId(deviceId))?.batteryLevel).toBe(level);
      }
    })();
    const progress: RebuildProgress[] = [];
    for (let round = 0; round < 3; round++) {
      const results = await side.admin.rebuild('all', { onProgress: (step) => progress.push(step) });
      expect(results.map(({ name, failure }) => [name, failure])).toEqual(side.projections.map(({ name }) => [name, undefined]));
      await side.admin.dropRetired('all'); // reads under way meet a schema that is gone
    }
    going = false;
    await Promise.all([reading, writing]);
    expect(reads).toBeGreaterThan(3);
    expect(progress.at(-1)).toMatchObject({ phase: 'switch' });
    expect(progress.every(({ done, total }) => done <= total)).toBe(true);

    const live = await hashes(side);
    await side.admin.rebuild('all');
    expect(await hashes(side)).toEqual(live);
    const { projections: status } = await side.admin.status();
    expect(status.every(({ state, generation }) => state === 'running' && generation === 5)).toBe(true);
    expect(side.runner.health().ok).toBe(true);
  });

  it('another instance reads the new generation as soon as anything is written to it', async () => {
    const side = await start();
    const other = await start({ url: side.db.url, runs: false });
    const deviceId = newId();
    const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
    await side.happened(`device-${deviceId}`, [{ type: 'DeviceRegistered', data }]);
    expect((await other.reads.devices.byId(deviceId))?.batteryLevel).toBeNull();
    for (let level = 1; level <= 10; level++) {
      await side.admin.rebuild('devices');
      const { position } = await side.append(`device-${deviceId}`, [{ type: 'BatteryLevelChanged', data: { level, evidence: 'signed' } }]);
      expect(await other.feed.reached(position, 10_000)).toBe(true);
      expect((await other.reads.devices.byId(deviceId))?.batteryLevel).toBe(level);
    }
  });

  it('after an erasure gives what is left, and no more', async () => {
    const side = await start();
    await side.readable(await write(side, 31, 120));
    const { rows } = await side.reads.users.list({}, { limit: 1, offset: 0 });
    const userId = rows[0]?.userId ?? '';
    side.vault.erase(`user:${userId}`);
    await side.happened(`user-${userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: '2026-11-21T12:00:00.000Z' } }]);
    const live = await hashes(side);
    await side.admin.rebuild('all');
    expect(await hashes(side)).toEqual(live);
    expect((await side.reads.users.byId(userId))?.profile).toBeNull();
  });

  it('is refused twice at the same time and under an unknown name; given up, it leaves everything as it was', async () => {
    const side = await start();
    await side.readable(await write(side, 41, 60));
    await expect(side.admin.rebuild('weather')).rejects.toThrow(UnknownProjection);
    const both = await Promise.allSettled([side.admin.rebuild('audit'), side.admin.rebuild('audit')]);
    for (const outcome of both) if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(RunPending);
    expect(both.some(({ status }) => status === 'fulfilled')).toBe(true);

    const standing = async () => (await side.admin.status()).projections.map((each) => ({ ...each, run: undefined }));
    const before = await standing();
    await expect(side.admin.rebuild('all', { signal: AbortSignal.abort() })).rejects.toThrow();
    expect(await standing()).toEqual(before);
  });

  it('happens by itself, beside the others, where this program has another version', async () => {
    const vault = fakeVault();
    const versioned = (version: number): AnyProjection => {
      interface Row {
        readonly user_id: string;
        readonly version: number;
      }
      const seen = defineTable<Row>({ name: 'seen', key: 'user_id', columns: { user_id: 'uuid NOT NULL', version: 'integer NOT NULL' }, indexes: [] });
      return defineProjection({
        name: 'seen',
        version,
        categories: ['user'],
        tables: { seen },
        on: { UserRegistered: ({ data }, rows) => rows.seen.put({ user_id: data.userId, version }) },
      });
    };
    const first = await start({ vault, projections: (sealer) => [...projections({ sealer }), versioned(1)] });
    await first.readable(await write(first, 51, 40));
    await first.runner.stop();
    const second = await start({ vault, url: first.db.url, projections: (sealer) => [...projections({ sealer }), versioned(2)] });
    await until('it runs', () => second.runner.health().projections.every(({ state }) => state === 'running'));
    await second.readable(await write(second, 52, 20));
    const versions = await second.reader.all<{ version: number }>({ name: 'test.seen', text: (s) => `SELECT DISTINCT version FROM ${s['seen']}.seen` }, []);
    expect(versions).toEqual([{ version: 2 }]);
    const status = (await second.admin.status()).projections.find(({ name }) => name === 'seen');
    expect(status).toMatchObject({ state: 'running', version: 2, generations: [{ version: 1, state: 'retired' }, { version: 2, state: 'active' }] });
  });
});
