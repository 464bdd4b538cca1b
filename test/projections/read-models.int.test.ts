import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceEvent } from '../../src/domain/device/events.ts';
import { newId } from '../../src/platform/ids.ts';
import { createDeadlineQueue } from '../../src/projections/deadlines/queries.ts';
import { forgetCouriers, forgetRefused } from '../../src/projections/people/retention.ts';
import type { DeviceFilter } from '../../src/projections/read-models.ts';
import { personal, startReadSide, type ReadSide } from '../support/read-side.ts';
import { until } from '../support/until.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let side: ReadSide;
let now = Date.parse('2026-11-21T10:00:00.000Z');

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres, { clock: { now: () => now, monotonic: () => performance.now() } });
});
afterAll(async () => {
  await side?.stop();
  await postgres?.stop();
});

const TOMORROW = '2026-11-22T10:00:00.000Z';
const page = { limit: 20, offset: 0 };
let serials = 1000;

const registered = (deviceId: string): DeviceEvent => ({
  type: 'DeviceRegistered',
  data: {
    deviceId,
    serialNumber: `LQ-${serials++}`,
    model: 'LoqeyBox-V1',
    profile: 'loqey',
    keyVersion: 1,
    pin: personal(`device:${deviceId}`, '123456'),
    pinTag: 'tag',
    pinExpiresAt: TOMORROW,
  },
});

interface Owned {
  readonly deviceId: string;
  readonly stream: string;
  readonly userId: string;
  readonly assignmentId: string;
}

async function aUser(): Promise<string> {
  const userId = newId();
  const profile = personal(`user:${userId}`, { email: `${userId}@example.com`, firstName: 'Ada', lastName: 'Berg', residentState: 'CA' });
  await side.happened(`user-${userId}`, [{ type: 'UserRegistered', data: { userId, profile } }]);
  return userId;
}

async function anOwnedBox(...more: DeviceEvent[]): Promise<Owned> {
  const [deviceId, assignmentId, userId] = [newId(), newId(), await aUser()];
  const stream = `device-${deviceId}`;
  const name = personal(`user:${userId}`, 'Front door');
  await side.happened(stream, [registered(deviceId), { type: 'DeviceAssigned', data: { assignmentId, userId, name } }, ...more]);
  return { deviceId, stream, userId, assignmentId };
}

function linkCreated({ userId, assignmentId }: Owned, change: { linkId?: string; maxUses?: number; expiresAt?: string } = {}) {
  const linkId = change.linkId ?? newId();
  const event: DeviceEvent = {
    type: 'LinkCreated',
    data: {
      linkId,
      assignmentId,
      tokenHash: `hash-of-${linkId}`,
      token: personal(`user:${userId}`, 't'.repeat(32)),
      name: personal(`user:${userId}`, 'Parcel'),
      expiresAt: change.expiresAt ?? TOMORROW,
      maxUses: change.maxUses ?? 1,
      requireIdentity: false,
    },
  };
  return { linkId, event };
}

const requested = (box: Owned, linkId: string, unlockId: string, courier?: { name: string; company: string }): DeviceEvent => ({
  type: 'UnlockRequested',
  data: {
    unlockId,
    cause: { kind: 'link', id: linkId },
    assignmentId: box.assignmentId,
    issuedAt: '2026-11-21T10:00:00.000Z',
    expiresAt: '2026-11-21T10:00:30.000Z',
    ...(courier === undefined ? {} : { courier: personal(`delivery:${unlockId}`, courier) }),
  },
});

describe('devices', () => {
  it('a registered box is available, unknown and unheard of', async () => {
    const deviceId = newId();
    await side.happened(`device-${deviceId}`, [registered(deviceId)]);
    const row = await side.reads.devices.byId(deviceId);
    expect(row).toMatchObject({ lifecycle: 'available', lockStatus: 'unknown', online: false, ownerId: null, name: null, lastHeardAt: null });
    expect(row?.pin).toMatchObject({ $s: 1, sub: `device:${deviceId}` });
    expect(await side.reads.devices.bySerial(row?.serialNumber ?? '')).toEqual(row);
  });

  it('assigned until the first report, then active, with what it reported', async () => {
    const box = await anOwnedBox();
    expect((await side.reads.devices.byId(box.deviceId))?.lifecycle).toBe('assigned');
    await side.happened(box.stream, [
      { type: 'DeviceWentOnline', data: { evidence: 'signed' } },
      { type: 'LockStateReported', data: { lockStatus: 'locked', evidence: 'signed' } },
      { type: 'BatteryLevelChanged', data: { level: 85, evidence: 'signed' } },
      { type: 'DoorStateReported', data: { doorOpen: false, evidence: 'signed' } },
      { type: 'FirmwareReported', data: { version: '1.2.3', evidence: 'signed' } },
      { type: 'DeviceProtocolPinned', data: { level: 1 } },
    ]);
    const [row] = await side.reads.devices.ofOwner(box.userId);
    expect(row).toMatchObject({
      deviceId: box.deviceId,
      lifecycle: 'active',
      name: 'Front door',
      lockStatus: 'locked',
      batteryLevel: 85,
      doorOpen: false,
      firmwareVersion: '1.2.3',
      online: true,
      protocolLevel: 1,
      settings: { autoLockEnabled: true },
    });
  });

  it('its settings: what is wanted, what it runs on, and what of it the box refused', async () => {
    const box = await anOwnedBox();
    const asDelivered = { autoLockEnabled: true, autoLockDelay: 30, silentMode: false, ledEnabled: true, heartbeatSeconds: 60 };
    const desired = { ...asDelivered, autoLockDelay: 10, silentMode: true };
    await side.happened(box.stream, [{ type: 'DeviceSettingsChanged', data: { configVersion: 1, desired } }]);
    expect(await side.reads.devices.byId(box.deviceId)).toMatchObject({ settings: desired, configVersion: 1, reportedSettings: asDelivered, appliedConfigVersion: null, settingsAppliedAt: null });
    await side.happened(box.stream, [{ type: 'DeviceSettingsApplied', data: { configVersion: 1, rejected: ['auto_lock_delay', 'colour'] } }]);
    const refused = await side.reads.devices.byId(box.deviceId);
    expect(refused).toMatchObject({ refusedSettings: ['auto_lock_delay', 'colour'], reportedSettings: { ...desired, autoLockDelay: 30 }, appliedConfigVersion: 1 });
    expect(refused?.settingsAppliedAt).not.toBeNull();
    await side.happened(box.stream, [
      { type: 'DeviceSettingsChanged', data: { configVersion: 2, desired: { ...desired, autoLockDelay: 20 } } },
      { type: 'DeviceSettingsApplied', data: { configVersion: 2 } },
    ]);
    expect(await side.reads.devices.byId(box.deviceId)).toMatchObject({ refusedSettings: [], reportedSettings: { autoLockDelay: 20, silentMode: true } });
  });

  it('its key, the one that it is being given, and the alerts that a new key and a new owner end', async () => {
    const box = await anOwnedBox();
    await side.happened(box.stream, [
      { type: 'DeviceKeyRotationStarted', data: { keyVersion: 2 } },
      { type: 'DeviceCloneSuspected', data: { connectIds: ['a', 'b'] } },
      { type: 'UnexplainedOpening', data: { reportedCause: 'unknown', evidence: 'signed' } },
      { type: 'DeviceTampered', data: { evidence: 'signed' } },
    ]);
    const row = await side.reads.devices.byId(box.deviceId);
    expect(row).toMatchObject({ keyVersion: 1, rotatingTo: 2, keysRotatedAt: null });
    expect(Object.values(row?.alerts ?? {}).every((at) => at !== null)).toBe(true);
    await side.happened(box.stream, [{ type: 'DeviceKeysRotated', data: { keyVersion: 2, by: 'device' } }, { type: 'DeviceTamperCleared', data: { evidence: 'signed' } }]);
    const rotated = await side.reads.devices.byId(box.deviceId);
    expect(rotated).toMatchObject({ keyVersion: 2, rotatingTo: null, alerts: { cloneSuspectedAt: null, tamperedAt: null } });
    expect(rotated?.keysRotatedAt).not.toBeNull();
    expect(rotated?.alerts.unexplainedOpeningAt).not.toBeNull();
    await side.happened(box.stream, [{ type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: box.userId, by: 'admin' } }]);
    expect((await side.reads.devices.byId(box.deviceId))?.alerts.unexplainedOpeningAt).toBeNull();
  });

  it('a name and a place belong to the assignment and end with it', async () => {
    const box = await anOwnedBox();
    const owner = `user:${box.userId}`;
    await side.happened(box.stream, [
      { type: 'DeviceRenamed', data: { assignmentId: box.assignmentId, name: personal(owner, 'Back door') } },
      { type: 'DeviceLocationChanged', data: { assignmentId: box.assignmentId, location: personal(owner, { latitude: 37.5, longitude: -122.25, address: '1 Main St' }) } },
    ]);
    expect(await side.reads.devices.byId(box.deviceId)).toMatchObject({ name: 'Back door', latitude: 37.5, longitude: -122.25, address: '1 Main St' });
    await side.happened(box.stream, [{ type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: box.userId, by: 'owner' } }]);
    const row = await side.reads.devices.byId(box.deviceId);
    expect(row).toMatchObject({ lifecycle: 'available', ownerId: null, assignmentId: null, name: null, address: null, latitude: null, pin: null });
    expect(await side.reads.devices.ofOwner(box.userId)).toEqual([]);
  });

  it('maintenance and the end of service come before everything else', async () => {
    const box = await anOwnedBox();
    await side.happened(box.stream, [{ type: 'MaintenanceStarted', data: {} }]);
    expect((await side.reads.devices.byId(box.deviceId))?.lifecycle).toBe('maintenance');
    await side.happened(box.stream, [{ type: 'MaintenanceEnded', data: {} }]);
    expect((await side.reads.devices.byId(box.deviceId))?.lifecycle).toBe('assigned');
    const before = await side.reads.devices.counts();
    await side.happened(box.stream, [
      { type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: box.userId, by: 'admin' } },
      { type: 'DeviceDecommissioned', data: {} },
    ]);
    expect((await side.reads.devices.byId(box.deviceId))?.lifecycle).toBe('decommissioned');
    expect((await side.reads.devices.counts()).total).toBe(before.total - 1);
  });

  it('the admin list filters, pages, counts, and names the owner', async () => {
    const box = await anOwnedBox();
    const { rows, total } = await side.reads.devices.list({ assigned: true }, { limit: 1, offset: 0 });
    expect(rows).toMatchObject([{ deviceId: box.deviceId, ownerEmail: `${box.userId}@example.com` }]);
    expect(total).toBeGreaterThanOrEqual(1);
    expect((await side.reads.devices.list({ lifecycle: 'maintenance' }, page)).rows.every(({ lifecycle }) => lifecycle === 'maintenance')).toBe(true);
  });

  it('joins when it was last heard, and its battery to the percent', async () => {
    const box = await anOwnedBox();
    await side.db.pool.query(`INSERT INTO work.device_live (device_id, profile, topic_key, last_heard_at, battery) VALUES ($1, 'loqey', $2, '2026-11-21T09:59:00Z', 83)`, [
      box.deviceId,
      box.deviceId,
    ]);
    expect(await side.reads.devices.byId(box.deviceId)).toMatchObject({ lastHeardAt: '2026-11-21T09:59:00.000Z', batteryLevel: 83 });
  });
});

describe('links', () => {
  it('is found by its hash, active, with no token in sight', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box, { maxUses: 2 });
    await side.happened(box.stream, [event]);
    const row = await side.reads.links.byTokenHash(`hash-of-${linkId}`);
    expect(row).toMatchObject({ linkId, status: 'active', isActive: true, currentUses: 0, maxUses: 2, name: 'Parcel', ownerId: box.userId, usedAt: null });
    expect(JSON.stringify(row)).not.toContain('tttt');
    expect(await side.reads.links.byTokenHash('another')).toBeUndefined();
  });

  it('counts each use that is not proven unopened, and gives back what is', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const [first, second] = [newId(), newId()];
    await side.happened(box.stream, [event, requested(box, linkId, first)]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'used', isActive: false, currentUses: 1 });
    await side.happened(box.stream, [{ type: 'UnlockExpired', data: { unlockId: first } }]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'active', currentUses: 0 });
    await side.happened(box.stream, [
      requested(box, linkId, second),
      { type: 'UnlockDispatched', data: { unlockId: second, level: 1 } },
      { type: 'UnlockOutcomeUnknown', data: { unlockId: second, reason: 'no_answer' } },
    ]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'used', currentUses: 1 });
    await side.happened(box.stream, [{ type: 'UnlockSettled', data: { unlockId: second, outcome: 'not_opened', by: 'device', useReturned: true } }]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'active', currentUses: 0 });
  });

  it('ends at its expiry by the clock alone', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box, { expiresAt: '2026-11-21T11:00:00.000Z' });
    await side.happened(box.stream, [event]);
    now = Date.parse('2026-11-21T11:00:00.000Z');
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'expired', isActive: false, endedAt: '2026-11-21T11:00:00.000Z' });
    now = Date.parse('2026-11-21T10:00:00.000Z');
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'active' });
    await side.happened(box.stream, [{ type: 'LinkExpired', data: { linkId } }]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'expired', isActive: false });
  });

  it.each(['LinkRevoked', 'LinkExpired'] as const)('a use that comes back after %s does not make it active again, for who listens either', async (type) => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    const told: unknown[][] = [];
    const stop = side.feed.on(`link:${linkId}`, ({ type: what, payload }) => void (what === 'link_update' && told.push([payload['status'], payload['usage_count']])));
    await side.happened(box.stream, [event, requested(box, linkId, unlockId)]);
    await side.happened(box.stream, [{ type, data: { linkId } }, { type: 'UnlockCancelled', data: { unlockId, reason: 'link_revoked' } }]);
    await until('the use to be told as returned', () => told.at(-1)?.[1] === 0);
    stop();
    const ended = type === 'LinkRevoked' ? 'revoked' : 'expired';
    expect(told.at(-1)).toEqual([ended, 0]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: ended, currentUses: 0 });
  });

  it.each([
    ['in one batch', false],
    ['in another', true],
  ])('a use that comes back, %s, after the box was unlinked does not make its link active again for who listens', async (_, apart) => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const [unlockId, { assignmentId, userId }] = [newId(), box];
    const told: unknown[][] = [];
    const stop = side.feed.on(`link:${linkId}`, ({ type: what, payload }) => void (what === 'link_update' && told.push([payload['status'], payload['usage_count']])));
    const events: DeviceEvent[] = [event, requested(box, linkId, unlockId), { type: 'DeviceUnlinked', data: { assignmentId, userId, by: 'owner' } }, { type: 'UnlockCancelled', data: { unlockId, reason: 'assignment_ended' } }];
    for (const part of apart ? events.map((each) => [each]) : [events]) await side.happened(box.stream, part);
    await until('the use to be told as returned', () => told.at(-1)?.[1] === 0);
    stop();
    expect(told).toEqual([['used', 1], ['revoked', 0]]);
    expect(await side.reads.links.byId(linkId)).toMatchObject({ status: 'revoked', currentUses: 0 });
  });

  it.each(['DeviceUnlinked', 'OwnerSuspended'] as const)('%s voids what was made before, not after', async (type) => {
    const box = await anOwnedBox();
    const before = linkCreated(box);
    const after = linkCreated(box);
    const { assignmentId, userId } = box;
    const end: DeviceEvent = type === 'DeviceUnlinked' ? { type, data: { assignmentId, userId, by: 'owner' } } : { type, data: { assignmentId, userId } };
    const told: unknown[] = [];
    const stops = [`user:${userId}`, `device:${box.deviceId}`].map((topic) => side.feed.on(topic, ({ type: what, payload }) => void (what === 'links_revoked' && told.push(payload))));
    await side.happened(box.stream, [before.event, end]);
    for (const stop of stops) stop();
    expect(await side.reads.links.byId(before.linkId)).toMatchObject({ status: 'revoked', isActive: false });
    // One word for all of them, to whoever hears of the owner and to whoever hears of the box.
    const word = { device_id: box.deviceId, assignment_id: assignmentId, reason: type === 'DeviceUnlinked' ? 'unlinked' : 'owner_suspended', timestamp: expect.any(String) as string };
    expect(told).toEqual([word, word]);
    if (type === 'DeviceUnlinked') return;
    await side.happened(box.stream, [{ type: 'OwnerActivated', data: { assignmentId, userId } }, after.event]);
    expect(await side.reads.links.byId(before.linkId)).toMatchObject({ status: 'revoked' });
    expect(await side.reads.links.byId(after.linkId)).toMatchObject({ status: 'active' });
  });

  it('lists by owner, box and state, without what was deleted', async () => {
    const box = await anOwnedBox();
    const [kept, revoked, deleted] = [linkCreated(box), linkCreated(box), linkCreated(box)];
    await side.happened(box.stream, [
      kept.event,
      revoked.event,
      deleted.event,
      { type: 'LinkRevoked', data: { linkId: revoked.linkId } },
      { type: 'LinkDeleted', data: { linkId: deleted.linkId } },
      { type: 'LinkUpdated', data: { linkId: kept.linkId, maxUses: 5, name: personal(`user:${box.userId}`, 'Groceries') } },
    ]);
    const all = await side.reads.links.ofOwner(box.userId, { deviceId: box.deviceId }, page);
    expect(all.total).toBe(2);
    expect(all.rows.map(({ linkId }) => linkId)).toEqual([revoked.linkId, kept.linkId]);
    const active = await side.reads.links.ofOwner(box.userId, { active: true }, page);
    expect(active.rows).toMatchObject([{ linkId: kept.linkId, maxUses: 5, name: 'Groceries' }]);
    const found = async (filter: object) => (await side.reads.links.ofOwner(box.userId, filter, page)).rows.map(({ linkId }) => linkId);
    expect(await found({ status: 'revoked' })).toEqual([revoked.linkId]);
    expect(await found({ search: 'GROCER' })).toEqual([kept.linkId]);
    expect(await found({ search: 'GROCER', status: 'revoked' })).toEqual([]);
    expect((await side.reads.links.ofOwner(box.userId, { search: 'groc' }, page)).total).toBe(1);
  });

  it('are gone on with behind one of them, those of the same instant too', async () => {
    const box = await anOwnedBox();
    const made = Array.from({ length: 5 }, () => linkCreated(box));
    await side.happened(box.stream, made.map(({ event }) => event));
    const all = (await side.reads.links.ofOwner(box.userId, {}, page)).rows;
    const walked: string[] = [];
    for (let after: { at: string; id: string } | undefined; ; ) {
      const { rows } = await side.reads.links.ofOwner(box.userId, after === undefined ? {} : { after }, { limit: 2, offset: 0 });
      walked.push(...rows.map(({ linkId }) => linkId));
      const last = rows.at(-1);
      if (last === undefined) break;
      after = { at: last.createdAt, id: last.linkId };
    }
    expect(walked).toEqual(all.map(({ linkId }) => linkId));
    const [, second] = all;
    if (second === undefined) throw new Error('five were made');
    expect((await side.reads.links.ofOwner(box.userId, { after: { at: second.createdAt, id: '00000000-0000-4000-8000-000000000000' } }, page)).rows).toHaveLength(4);
  });

  it('have the hours that they were given last', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const window = { timeZone: 'Europe/Istanbul', days: [1, 2], from: '08:00', to: '18:00' };
    await side.happened(box.stream, [event, { type: 'LinkUpdated', data: { linkId, window } }]);
    expect((await side.reads.links.byId(linkId))?.window).toEqual(window);
    await side.happened(box.stream, [{ type: 'LinkUpdated', data: { linkId, maxUses: 2 } }]);
    expect((await side.reads.links.byId(linkId))?.window).toEqual(window);
    await side.happened(box.stream, [{ type: 'LinkUpdated', data: { linkId, window: 'always' } }]);
    expect((await side.reads.links.byId(linkId))?.window).toBeNull();
  });
});

describe('unlocks and deliveries', () => {
  it('goes from tap to bolt, each step with its time', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    await side.happened(box.stream, [event, requested(box, linkId, unlockId, { name: 'Kim', company: 'Quick' })]);
    expect(await side.reads.unlocks.byId(unlockId)).toMatchObject({ state: 'requested', openedAt: null, cause: { kind: 'link', id: linkId } });
    await side.happened(box.stream, [
      { type: 'UnlockDispatched', data: { unlockId, level: 1, seq: 1 } },
      { type: 'UnlockPublished', data: { unlockId } },
      { type: 'UnlockAcknowledged', data: { unlockId } },
      { type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } },
    ]);
    const row = await side.reads.unlocks.lastOfLink(linkId);
    expect(row).toMatchObject({ unlockId, state: 'opened', useReturned: false });
    const times = [row?.requestedAt, row?.dispatchedAt, row?.publishedAt, row?.acknowledgedAt, row?.openedAt].map((at) => Date.parse(at ?? ''));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(await side.reads.deliveries.byId(unlockId)).toMatchObject({
      linkId,
      linkName: 'Parcel',
      ownerId: box.userId,
      courier: { name: 'Kim', company: 'Quick' },
    });
    const found = async (filter: object) => {
      const { rows, total } = await side.reads.deliveries.ofOwner(box.userId, filter, page);
      expect(total).toBe(rows.length);
      return rows.length;
    };
    const requestedAt = row?.requestedAt ?? '';
    expect(await found({ after: { at: requestedAt, id: unlockId } })).toBe(0);
    expect(await found({ after: { at: requestedAt, id: 'ffffffff-ffff-4fff-bfff-ffffffffffff' } })).toBe(1);
    for (const filter of [{}, { states: ['opened'] }, { deviceId: box.deviceId, linkId }, { search: 'KIM' }, { search: 'quick' }, { search: 'parcel' }, { from: requestedAt }]) {
      expect(await found(filter), JSON.stringify(filter)).toBe(1);
    }
    for (const filter of [{ states: ['failed', 'unknown'] }, { deviceId: newId() }, { linkId: newId() }, { search: 'nobody' }, { to: requestedAt }, { search: 'kim', states: [] }]) {
      expect(await found(filter), JSON.stringify(filter)).toBe(0);
    }
    expect(await side.reads.deliveries.countSince('2026-11-21T00:00:00.000Z')).toBeGreaterThanOrEqual(1);
    expect((await side.reads.devices.byId(box.deviceId))?.lastUnlockAt).toBe(row?.openedAt);
  });

  it.each<[string, DeviceEvent['type'], object, object]>([
    ['a failure', 'UnlockFailed', { reason: 'jammed', useReturned: false }, { state: 'failed', reason: 'jammed', useReturned: false }],
    ['a cancellation', 'UnlockCancelled', { reason: 'link_revoked' }, { state: 'cancelled', reason: 'link_revoked', useReturned: true }],
    ['an expiry', 'UnlockExpired', {}, { state: 'expired', useReturned: true }],
    ['no answer', 'UnlockOutcomeUnknown', { reason: 'no_answer' }, { state: 'unknown', reason: 'no_answer', useReturned: false, endedAt: null }],
  ])('%s', async (_, type, data, expected) => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    await side.happened(box.stream, [event, requested(box, linkId, unlockId), { type, data: { unlockId, ...data } } as DeviceEvent]);
    expect(await side.reads.unlocks.byId(unlockId)).toMatchObject(expected);
  });
});

describe('users and people', () => {
  it('an account with its profile, its boxes counted, found by its address', async () => {
    const box = await anOwnedBox();
    expect(await side.reads.users.byId(box.userId)).toMatchObject({ profile: { firstName: 'Ada' }, profileAt: expect.stringMatching(/Z$/) as string, suspended: false, adminRole: null, accessVersion: 0 });
    const { rows, total } = await side.reads.users.list({ active: true, search: `${box.userId}@EXAMPLE` }, page);
    expect(rows).toMatchObject([{ userId: box.userId, deviceCount: 1 }]);
    expect(total).toBe(1);
  });

  it('what restricts an account ends its tokens', async () => {
    const userId = await aUser();
    const stream = `user-${userId}`;
    await side.happened(stream, [
      { type: 'AdminRoleGranted', data: { role: 'support', permissions: ['devices:read'] } },
      { type: 'LoginSucceeded', data: { sessionId: newId(), scope: 'user' } },
      { type: 'UserSuspended', data: {} },
    ]);
    const row = await side.reads.users.byId(userId);
    expect(row).toMatchObject({ adminRole: 'support', permissions: ['devices:read'], suspended: true, accessVersion: 2 });
    expect(row?.lastLoginAt).not.toBeNull();
    expect(await side.reads.users.hasAdmin()).toBe(true);
  });

  it('erasing leaves ids and nothing else, also of what comes later', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    await side.happened(box.stream, [event]);
    const at = '2026-11-21T12:00:00.000Z';
    side.vault.erase(`user:${box.userId}`);
    await side.happened(`user-${box.userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at } }]);
    await side.happened(box.stream, [{ type: 'DeviceRenamed', data: { assignmentId: box.assignmentId, name: personal(`user:${box.userId}`, 'Too late') } }]);
    expect(await side.reads.users.byId(box.userId)).toMatchObject({ profile: null, erased: true });
    expect(await side.reads.devices.byId(box.deviceId)).toMatchObject({ name: null, address: null });
    expect(await side.reads.links.byId(linkId)).toMatchObject({ name: null });
    const { rows } = await side.reads.users.list({ search: box.userId }, page);
    expect(rows).toEqual([]);
  });

  it('what administrators say of a box is read beside its events, until its owner is erased', async () => {
    const box = await anOwnedBox();
    const owner = `user:${box.userId}`;
    const unlockId = newId();
    const actor = { kind: 'admin', id: await aUser() } as const;
    const emergency: DeviceEvent = { type: 'UnlockRequested', data: { unlockId, cause: { kind: 'admin', id: actor.id }, assignmentId: box.assignmentId, issuedAt: '2026-11-21T10:00:00.000Z', expiresAt: TOMORROW, reason: personal(owner, 'Ada cries') } };
    await side.happened(box.stream, [emergency], { actor });
    expect(await side.reads.unlocks.byId(unlockId)).toMatchObject({ state: 'requested', reason: 'Ada cries' });
    await side.happened(box.stream, [{ type: 'UnlockDispatched', data: { unlockId, level: 1 } }, { type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'no_answer' } }]);
    await side.happened(box.stream, [{ type: 'UnlockSettled', data: { unlockId, outcome: 'not_opened', by: 'admin', useReturned: false, remark: personal(owner, 'Ada says no') } }], { actor });
    await side.happened(box.stream, [{ type: 'DeviceProtocolUnpinned', data: { reason: personal(owner, 'Ada broke it') } }], { actor });
    await side.happened(box.stream, [{ type: 'MaintenanceStarted', data: { reason: personal(owner, 'Ada’s hinge') } }], { actor });
    await side.happened(box.stream, [{ type: 'DeviceDecommissioned', data: { reason: personal(`device:${box.deviceId}`, 'stolen') } }], { actor });
    expect(await side.reads.unlocks.byId(unlockId)).toMatchObject({ state: 'failed', reason: 'not_opened' }); // a code
    expect(await side.reads.people.reason(unlockId)).toBe('Ada cries');
    const said = async () => (await side.reads.audit.list({ deviceId: box.deviceId, actorId: actor.id }, page)).rows.map(({ data, summary }) => data['remark'] ?? data['reason'] ?? summary);
    expect(await said()).toEqual(['stolen', 'Ada’s hinge', 'Ada broke it', 'Ada says no', 'Ada cries']);
    const { rows } = await side.reads.audit.list({ deviceId: box.deviceId, types: ['UnlockSettled'] }, page);
    expect(rows[0]?.summary).toMatch(/^Settled later by administrator Ada Berg: it had not opened: Ada says no$/);
    expect((await side.reads.people.ofSubject(owner, undefined, 100)).filter(({ kind }) => kind === 'reason')).toHaveLength(4);

    side.vault.erase(owner);
    await side.happened(`user-${box.userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: TOMORROW } }]);
    await side.happened(box.stream, [{ type: 'MaintenanceStarted', data: { reason: personal(owner, 'Ada, too late') } }], { actor });
    const left = JSON.stringify(await said());
    expect(left).toContain('stolen');
    expect(left).not.toMatch(/Ada (?:cries|says|broke|’s)|too late/);
    expect(await side.reads.people.reason(unlockId)).toBeUndefined();
    expect((await side.reads.audit.list({ deviceId: box.deviceId, q: 'cries' }, page)).rows).toEqual([]);
  });

  it('couriers are forgotten when their time is over', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    await side.happened(box.stream, [event, requested(box, linkId, unlockId, { name: 'Kim', company: 'Quick' })]);
    expect((await side.reads.deliveries.byId(unlockId))?.courier).not.toBeNull();
    side.vault.erase(`delivery:${unlockId}`);
    expect(await forgetCouriers(side.reader, '2026-11-21T23:00:00.000Z')).toBeGreaterThanOrEqual(1);
    expect((await side.reads.deliveries.byId(unlockId))?.courier).toBeNull();
    expect((await side.reads.deliveries.byId(unlockId))?.linkName).toBe('Parcel');
  });
});

describe('deadlines', () => {
  it('an unlock falls due at its expiry, once dispatched ten seconds later, once ended never', async () => {
    const queue = createDeadlineQueue(side.reader, side.feed);
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    const mine = async () => (await queue.due('2026-12-31T00:00:00.000Z', 1_000)).filter(({ command }) => command.data.deviceId === box.deviceId);
    let woken = 0;
    const stop = queue.onAdded(() => woken++);
    await side.happened(box.stream, [event, requested(box, linkId, unlockId)]);
    stop();
    expect(woken).toBeGreaterThanOrEqual(1);
    expect((await mine()).map(({ dueAt, command }) => [dueAt, command.type])).toEqual([
      ['2026-11-21T10:00:30.000Z', 'ExpireUnlock'],
      [TOMORROW, 'ExpireLink'],
    ]);
    await side.happened(box.stream, [{ type: 'UnlockDispatched', data: { unlockId, level: 1 } }]);
    expect((await mine())[0]?.dueAt).toBe('2026-11-21T10:00:40.000Z');
    expect(await queue.nextAfter('2026-11-21T10:00:40.000Z')).toBeDefined();
    await side.happened(box.stream, [{ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } }]);
    expect((await mine()).map(({ command }) => command.type)).toEqual(['ExpireLink']);
    await side.happened(box.stream, [{ type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: box.userId, by: 'owner' } }]);
    expect(await mine()).toEqual([]);
  });
});

describe('audit', () => {
  it('every event as one line, with who, what and why, and nothing that was sealed', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const [unlockId, correlationId] = [newId(), newId()];
    const actor = { kind: 'courier', id: linkId } as const;
    await side.happened(box.stream, [event]);
    await side.happened(box.stream, [requested(box, linkId, unlockId, { name: 'Kim', company: 'Quick' })], { correlationId, actor, source: 'delivery_link' });
    await side.happened(box.stream, [{ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } }], { correlationId, source: 'mqtt_device' });
    const chain = await side.reads.audit.chain(correlationId);
    expect(chain.map(({ action }) => action)).toEqual(['unlock_requested', 'device_unlock']);
    expect(chain[0]).toMatchObject({ actorKind: 'courier', actorId: linkId, linkId, unlockId, deviceId: box.deviceId, source: 'delivery_link', outcome: 'accepted' });
    const { rows, total } = await side.reads.audit.list({ deviceId: box.deviceId }, page);
    expect(total).toBe(5);
    expect(rows.map(({ type }) => type)).toEqual(['UnlockConfirmed', 'UnlockRequested', 'LinkCreated', 'DeviceAssigned', 'DeviceRegistered']);
    expect(JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).not.toMatch(/\$s|hash-of|"tag"/);
  });

  it('filters by what, whom, when and where in the log', async () => {
    const box = await anOwnedBox();
    await side.happened(box.stream, [{ type: 'DevicePinRefused', data: { userId: box.userId } }]);
    const list = async (filter: Parameters<typeof side.reads.audit.list>[0]) => (await side.reads.audit.list({ deviceId: box.deviceId, ...filter }, page)).rows;
    expect((await list({ outcome: 'refused' })).map(({ type }) => type)).toEqual(['DevicePinRefused']);
    expect((await list({ action: 'device_assigned' })).map(({ userId }) => userId)).toEqual([box.userId]);
    expect((await list({ types: ['DeviceAssigned', 'DeviceRegistered'] })).length).toBe(2);
    const [newest, , oldest] = await list({});
    expect((await list({ after: oldest?.position ?? 0n })).map(({ type }) => type)).toEqual(['DeviceAssigned', 'DevicePinRefused']);
    expect((await list({ before: newest?.position ?? 0n })).length).toBe(2);
    expect(await list({ from: '2030-01-01T00:00:00.000Z' })).toEqual([]);
    expect((await list({ to: '2030-01-01T00:00:00.000Z' })).length).toBe(3);
    expect((await side.reads.audit.list({ userId: box.userId }, page)).total).toBe(3);
  });
});

describe('from where somebody acted', () => {
  const from = (subject: string, type: string, ip: string) => ({ origin: side.vault.seal(subject, type, 'metadata.origin', { ip, userAgent: 'curl/8' }) as never });
  const serialOf = async (deviceId: string) => (await side.reads.devices.byId(deviceId))?.serialNumber;

  it('is shown and found by address, with who it was', async () => {
    const box = await anOwnedBox();
    const user = `user:${box.userId}`;
    const actor = { kind: 'user', id: box.userId } as const;
    await side.happened(box.stream, [{ type: 'DeviceUnlinkRequested', data: { assignmentId: box.assignmentId, userId: box.userId } }], { actor, ...from(user, 'DeviceUnlinkRequested', '203.0.113.7') });
    await side.happened(`user-${box.userId}`, [{ type: 'EmailVerified', data: {} }], { actor, ...from(user, 'EmailVerified', '2001:db8::1') });
    const { rows, total } = await side.reads.audit.list({ ip: '203.0.113.7' }, page);
    expect(total).toBe(1);
    expect(rows).toMatchObject([{ type: 'DeviceUnlinkRequested', ip: '203.0.113.7', userAgent: 'curl/8', actorEmail: `${box.userId}@example.com`, serialNumber: await serialOf(box.deviceId) }]);
    expect((await side.reads.audit.list({ actorId: box.userId, actorKind: 'user' }, page)).rows.map(({ ip }) => ip)).toEqual(['2001:db8::1', '203.0.113.7']);
    expect((await side.reads.audit.list({ source: 'mqtt_device', deviceId: box.deviceId }, page)).rows).toEqual([]);
  });

  it('is forgotten with the person, with the courier, and with the refusals of a day', async () => {
    const box = await anOwnedBox();
    const [unlockId, linkId] = [newId(), newId()];
    await side.happened(box.stream, [{ type: 'DeviceRenamed', data: { assignmentId: box.assignmentId, name: personal(`user:${box.userId}`, 'Door') } }], from(`user:${box.userId}`, 'DeviceRenamed', '192.0.2.1'));
    await side.happened(box.stream, [linkCreated(box, { linkId }).event]);
    await side.happened(box.stream, [requested(box, linkId, unlockId)], from(`delivery:${unlockId}`, 'UnlockRequested', '192.0.2.2'));
    await side.happened(`refusal-20261121-1`, [{ type: 'CommandRefused', data: { command: 'RequestUnlock', target: { kind: 'link', id: linkId }, reason: 'link_used' } }], from('refusals:20261121', 'CommandRefused', '192.0.2.3'));
    expect((await side.reads.audit.list({ ip: '192.0.2.3' }, page)).rows).toMatchObject([{ outcome: 'refused', linkId }]);
    expect(await forgetRefused(side.reader, '2026-11-21T23:00:00.000Z')).toBe(1);
    expect((await side.reads.audit.list({ ip: '192.0.2.3' }, page)).rows).toEqual([]);
    expect((await side.reads.audit.list({ ip: '192.0.2.2' }, page)).total).toBe(1);
    await forgetCouriers(side.reader, '2026-11-21T23:00:00.000Z');
    expect((await side.reads.audit.list({ ip: '192.0.2.2' }, page)).total).toBe(0);
    side.vault.erase(`user:${box.userId}`);
    await side.happened(`user-${box.userId}`, [{ type: 'SubjectErased', data: { requestedBy: 'owner', at: TOMORROW } }]);
    expect((await side.reads.audit.list({ ip: '192.0.2.1' }, page)).rows).toEqual([]);
    expect((await side.reads.audit.list({ deviceId: box.deviceId }, page)).rows.map(({ ip }) => ip)).toContain(null);
  });

  it('an actor of another program may be called anything', async () => {
    const box = await anOwnedBox();
    await side.happened(box.stream, [{ type: 'DevicePinViewed', data: {} }], { actor: { kind: 'user', id: 'not a uuid' } });
    expect((await side.reads.audit.list({ deviceId: box.deviceId }, page)).rows[0]).toMatchObject({ actorId: 'not a uuid', actorEmail: null });
  });
});

describe('the fleet', () => {
  it('is found by state, battery, model, firmware, owner and name', async () => {
    const heardSince = '2026-11-21T09:55:00.000Z';
    const quiet = await anOwnedBox();
    const weak = await anOwnedBox(
      { type: 'DeviceWentOnline', data: { evidence: 'signed' } },
      { type: 'BatteryLevelChanged', data: { level: 11, evidence: 'signed' } },
      { type: 'FirmwareReported', data: { version: '9.9.9', evidence: 'signed' } },
    );
    const find = async (filter: DeviceFilter) => (await side.reads.devices.list(filter, { limit: 100, offset: 0 })).rows.map(({ deviceId }) => deviceId);
    expect(await find({ firmware: '9.9.9' })).toEqual([weak.deviceId]);
    expect(await find({ batteryBelow: 20 })).toEqual([weak.deviceId]);
    expect(await find({ batteryBelow: 11 })).toEqual([]);
    expect(await find({ model: 'loqeybox-v1', firmware: '9.9.9' })).toEqual([weak.deviceId]);
    expect(await find({ model: 'another' })).toEqual([]);
    expect(await find({ online: { is: true, heardSince } })).toContain(weak.deviceId);
    expect(await find({ online: { is: false, heardSince } })).toContain(quiet.deviceId);
    expect(await find({ online: { is: false, heardSince } })).not.toContain(weak.deviceId);
    await side.db.pool.query('INSERT INTO work.device_live (device_id, profile, topic_key, last_heard_at) VALUES ($1::uuid, $2, $1::uuid::text, $3)', [weak.deviceId, 'loqey', '2026-11-21T09:00:00Z']);
    expect(await find({ online: { is: false, heardSince } })).toContain(weak.deviceId);
    expect(await find({ search: `${weak.userId.slice(0, 13).toUpperCase()}` })).toEqual([weak.deviceId]);
    expect(await find({ search: 'FRONT door', firmware: '9.9.9' })).toEqual([weak.deviceId]);
    expect(await find({ search: '%' })).toEqual([]);
    const { rows, total } = await side.reads.devices.list({ search: weak.deviceId, assigned: true }, page);
    expect([total, rows[0]?.ownerEmail]).toEqual([1, `${weak.userId}@example.com`]);
  });

  it('shows who asked support to take a box off the account, until it is done', async () => {
    const box = await anOwnedBox();
    const reason = personal(`user:${box.userId}`, 'moved away');
    const asking = async () => (await side.reads.devices.list({ unlinkRequested: true, search: box.deviceId }, page)).rows;
    expect(await asking()).toEqual([]);
    await side.happened(box.stream, [{ type: 'DeviceUnlinkRequested', data: { assignmentId: box.assignmentId, userId: box.userId, reason } }]);
    expect(await asking()).toMatchObject([{ unlinkReason: 'moved away', unlinkRequestedAt: expect.any(String) as string }]);
    await side.happened(box.stream, [{ type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: box.userId, by: 'admin' } }]);
    expect(await asking()).toEqual([]);
  });
});

describe('deliveries by day and hour', () => {
  const deliver = async (box: Owned, linkId: string, at: string, opened = true) => {
    const unlockId = newId();
    await side.happened(box.stream, [requested(box, linkId, unlockId)], { occurredAt: at });
    if (opened) await side.happened(box.stream, [{ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } }], { occurredAt: at });
  };

  it('are those of the zone, also where its clocks are put forward and back', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box, { maxUses: 100 });
    await side.happened(box.stream, [event]);
    // Berlin: 29 March 2026 begins at 23:00 UTC and has 23 hours; 25 October 2026 begins at 22:00 UTC and has 25.
    await deliver(box, linkId, '2026-03-28T22:59:59.999Z');
    await deliver(box, linkId, '2026-03-28T23:00:00.000Z');
    await deliver(box, linkId, '2026-03-29T01:00:00.000Z'); // 03:00, the hour after 01:59
    await deliver(box, linkId, '2026-03-29T21:59:59.999Z');
    await deliver(box, linkId, '2026-03-29T22:00:00.000Z');
    await deliver(box, linkId, '2026-10-25T00:30:00.000Z'); // 02:30, the first time
    await deliver(box, linkId, '2026-10-25T01:30:00.000Z'); // 02:30, the second time
    await deliver(box, linkId, '2026-10-25T22:59:59.999Z', false);
    const spring = await side.reads.deliveries.statistics('2026-03-28', '2026-03-30', 'Europe/Berlin');
    expect(spring.days).toEqual([
      { date: '2026-03-28', attempted: 1, completed: 1 },
      { date: '2026-03-29', attempted: 3, completed: 3 },
      { date: '2026-03-30', attempted: 1, completed: 1 },
    ]);
    expect(spring.hours).toEqual([
      { hour: 0, attempted: 2, completed: 2 },
      { hour: 3, attempted: 1, completed: 1 },
      { hour: 23, attempted: 2, completed: 2 },
    ]);
    expect((await side.reads.deliveries.statistics('2026-03-29', '2026-03-29', 'Europe/Berlin')).days).toEqual([{ date: '2026-03-29', attempted: 3, completed: 3 }]);
    const autumn = await side.reads.deliveries.statistics('2026-10-25', '2026-10-25', 'Europe/Berlin');
    expect(autumn).toEqual({
      days: [{ date: '2026-10-25', attempted: 3, completed: 2 }],
      hours: [{ hour: 2, attempted: 2, completed: 2 }, { hour: 23, attempted: 1, completed: 0 }],
    });
    expect((await side.reads.deliveries.statistics('2026-03-29', '2026-03-29', 'Asia/Kathmandu')).hours.map(({ hour }) => hour)).toEqual([4, 6]);
  });

  it('count couriers alone, and what was settled later as opened', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box, { maxUses: 9 });
    const [late, owners] = [newId(), newId()];
    const at = { occurredAt: '2025-05-05T12:00:00.000Z' };
    await side.happened(box.stream, [event]);
    await side.happened(box.stream, [requested(box, linkId, late), { type: 'UnlockDispatched', data: { unlockId: late, level: 1 } }, { type: 'UnlockOutcomeUnknown', data: { unlockId: late, reason: 'no_answer' } }], at);
    await side.happened(box.stream, [{ type: 'UnlockRequested', data: { unlockId: owners, cause: { kind: 'owner', id: box.userId }, assignmentId: box.assignmentId, issuedAt: TOMORROW, expiresAt: TOMORROW } }, { type: 'UnlockConfirmed', data: { unlockId: owners, evidence: 'sensor' } }], at);
    const ofDay = async () => (await side.reads.deliveries.statistics('2025-05-05', '2025-05-05', 'UTC')).days;
    expect(await ofDay()).toEqual([{ date: '2025-05-05', attempted: 1, completed: 0 }]);
    await side.happened(box.stream, [{ type: 'UnlockSettled', data: { unlockId: late, outcome: 'opened', by: 'device', useReturned: false } }], { occurredAt: '2025-05-05T12:20:00.000Z' });
    expect(await ofDay()).toEqual([{ date: '2025-05-05', attempted: 1, completed: 1 }]);
  });
});

describe('activity', () => {
  it('tells the owner of the box what happened, newest first', async () => {
    const box = await anOwnedBox();
    const { linkId, event } = linkCreated(box);
    const unlockId = newId();
    await side.happened(box.stream, [
      event,
      requested(box, linkId, unlockId),
      { type: 'UnlockDispatched', data: { unlockId, level: 1 } },
      { type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } },
      { type: 'LockStateReported', data: { lockStatus: 'locked', evidence: 'signed' } },
    ]);
    const { rows, total } = await side.reads.activity.ofDevice(box.deviceId, undefined, page);
    expect(total).toBe(5);
    expect(rows.map(({ action, source, success }) => [action, source, success])).toEqual([
      ['lock', 'system', true],
      ['unlocked', 'delivery_link', true],
      ['link_used', 'system', true],
      ['link_created', 'system', true],
      ['device_assigned', 'system', true],
    ]);
    expect((await side.reads.activity.ofDevice(box.deviceId, '2030-01-01T00:00:00.000Z', page)).rows).toEqual([]);
  });

  it('is of whoever had the box then, over all boxes, by kind, outcome, time and words', async () => {
    const box = await anOwnedBox();
    const { assignmentId, userId } = box;
    const [second, next] = [newId(), newId()];
    const named = (owner: string) => personal(`user:${owner}`, 'Box');
    await side.happened(box.stream, [
      { type: 'BatteryLevelChanged', data: { level: 12, evidence: 'signed' } },
      { type: 'DeviceUnlinked', data: { assignmentId, userId, by: 'owner' } },
      { type: 'DeviceWentOnline', data: { evidence: 'signed' } },
      { type: 'DeviceAssigned', data: { assignmentId: second, userId: next, name: named(next) } },
      { type: 'DeviceWentOffline', data: { lastHeardAt: '2026-11-21T10:00:00.000Z' } },
    ]);
    const found = async (owner: string, filter: object = {}) => {
      const { rows, total } = await side.reads.activity.ofOwner(owner, filter, page);
      expect(total).toBe(rows.length);
      return rows.map(({ action }) => action);
    };
    expect(await found(userId)).toEqual(['device_unlinked', 'battery_update', 'device_assigned']);
    expect(await found(next)).toEqual(['offline', 'device_assigned']);
    expect(await found(next, { success: false })).toEqual(['offline']);
    expect(await found(userId, { type: 'user_action', deviceId: box.deviceId })).toEqual(['device_unlinked', 'device_assigned']);
    expect(await found(userId, { search: '12 %' })).toEqual(['battery_update']);
    expect(await found(userId, { action: 'battery_update', source: 'system' })).toEqual(['battery_update']);
    expect(await found(userId, { deviceId: newId() })).toEqual([]);
    const at = (await side.reads.activity.ofOwner(userId, { action: 'battery_update' }, page)).rows[0]?.occurredAt ?? '';
    expect(await found(userId, { from: at })).toEqual(['device_unlinked', 'battery_update']);
    expect(await found(userId, { to: at })).toEqual(['device_assigned']);
    const [newest] = (await side.reads.activity.ofOwner(userId, {}, page)).rows;
    expect(await found(userId, { before: newest?.position ?? 0n })).toEqual(['battery_update', 'device_assigned']);
  });
});
