import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/platform/ids.ts';
import type { DeviceRow } from '../../src/projections/read-models.ts';
import { deviceRow, startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let owner: ReturnType<TestApi['signIn']>;
let box: DeviceRow;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());
beforeEach(() => {
  owner = api.signIn();
  api.world.refuse = {};
  api.world.inFlight = undefined;
  api.world.commands.length = 0;
  api.world.devices.clear();
  box = put({});
});

function put(over: Partial<DeviceRow>): DeviceRow {
  const row = deviceRow({ ownerId: owner.userId, ...over });
  api.world.devices.set(row.deviceId, row);
  return row;
}

const wanted = { autoLockEnabled: true, autoLockDelay: 10, silentMode: true, ledEnabled: true, heartbeatSeconds: 60 };
const path = (device = box) => `/api/v1/devices/${device.deviceId}/settings`;
const get = async (device = box) => (await api.ask('GET', path(device), { token: owner.token })).body as Record<string, unknown>;
const change = (body: unknown, token = owner.token) => api.ask('PUT', path(), { token, body });

describe('the settings of a box', () => {
  test('are as delivered until somebody wants others', async () => {
    const delivered = { auto_lock_enabled: true, auto_lock_delay: 30, silent_mode: false, led_enabled: true, heartbeat_seconds: 60 };
    expect(await get()).toEqual({
      device_id: box.deviceId,
      ...delivered,
      status: 'applied',
      refused: [],
      reported: delivered,
      config_version: 0,
      applied_version: null,
      changed_at: null,
      applied_at: null,
    });
  });

  test('are pending, applied, or refused by the box, which is told with what it has instead', async () => {
    const changed = { settings: wanted, configVersion: 2, settingsChangedAt: '2026-11-21T10:00:00.000Z' };
    const pending = put({ ...changed, appliedConfigVersion: 1, refusedSettings: ['auto_lock_delay'] });
    expect(await get(pending)).toMatchObject({ status: 'pending', auto_lock_delay: 10, reported: { auto_lock_delay: 30 }, refused: [], applied_version: 1 });
    const applied = put({ ...changed, appliedConfigVersion: 2, reportedSettings: wanted, settingsAppliedAt: '2026-11-21T10:00:01.000Z' });
    expect(await get(applied)).toMatchObject({ status: 'applied', reported: { auto_lock_delay: 10, silent_mode: true }, applied_at: '2026-11-21T10:00:01.000Z' });
    const refused = put({ ...changed, appliedConfigVersion: 2, reportedSettings: { ...wanted, autoLockDelay: 30 }, refusedSettings: ['auto_lock_delay'] });
    expect(await get(refused)).toMatchObject({ status: 'refused', refused: ['auto_lock_delay'], auto_lock_delay: 10, reported: { auto_lock_delay: 30 } });
  });

  test('are changed one by one', async () => {
    expect((await change({ auto_lock_delay: 10, silent_mode: true })).status).toBe(200);
    expect(api.world.commands.map(({ command }) => command)).toEqual([
      { type: 'ChangeSettings', data: { deviceId: box.deviceId, userId: owner.userId, changes: { autoLockDelay: 10, silentMode: true } } },
    ]);
  });

  test('outside their ranges are refused by name', async () => {
    expect(await change({ auto_lock_delay: 4 })).toMatchObject({ status: 400, body: { error: 'validation_error', details: { auto_lock_delay: expect.stringContaining('5') as string } } });
    expect(await change({ heartbeat_seconds: 121 })).toMatchObject({ status: 400, body: { details: { heartbeat_seconds: expect.stringContaining('120') as string } } });
    expect(await change({ auto_lock_delay: 10.5 })).toMatchObject({ status: 400 });
    expect(await change({ colour: 'red' })).toMatchObject({ status: 400, body: { details: { colour: 'is not known here' } } });
    expect(await change({})).toMatchObject({ status: 400 });
    expect(api.world.commands).toEqual([]);
  });

  test('are nobody else’s: neither seen nor changed', async () => {
    const stranger = api.signIn();
    api.world.refuse = { ChangeSettings: { code: 'not_the_owner' } };
    for (const answer of [await api.ask('GET', path(), { token: stranger.token }), await change({ silent_mode: true }, stranger.token)]) {
      expect(answer).toMatchObject({ status: 404, body: { error: 'not_found' } });
    }
    expect((await api.ask('GET', path())).status).toBe(401);
  });

  test('of a suspended owner stay', async () => {
    api.world.refuse = { ChangeSettings: { code: 'owner_suspended' } };
    expect(await change({ silent_mode: true })).toMatchObject({ status: 422, body: { error: 'unprocessable', message: "The owner's account is suspended" } });
  });
});

describe('an order for a new key', () => {
  const rotate = (token: string, deviceId = box.deviceId) => api.ask('POST', `/api/v1/admin/devices/${deviceId}/rotate-keys`, { token });

  test('is for administrators with that permission', async () => {
    expect((await rotate(owner.token)).status).toBe(403);
    expect((await rotate(api.signIn({ adminRole: 'support' }).token)).status).toBe(403);
    expect(await rotate(api.signIn({ adminRole: 'admin' }).token)).toMatchObject({ status: 202, body: { device_id: box.deviceId, key_version: 1 } });
    expect(api.world.commands.at(-1)).toMatchObject({ command: { type: 'StartKeyRotation', data: { deviceId: box.deviceId } }, context: { actor: { kind: 'admin' } } });
  });

  test('that is carried out already says so', async () => {
    const rotating = put({ rotatingTo: 2 });
    expect(await rotate(api.signIn({ adminRole: 'admin' }).token, rotating.deviceId)).toMatchObject({
      status: 202,
      body: { message: 'A key rotation is already running', key_version: 1, rotating_to: 2 },
    });
  });

  test('that cannot be carried out says why', async () => {
    const { token } = api.signIn({ adminRole: 'admin' });
    api.world.refuse = { StartKeyRotation: { code: 'key_rotation_unsupported' } };
    expect(await rotate(token)).toMatchObject({ status: 422, body: { error: 'unprocessable', message: 'The firmware of this device cannot take a new key' } });
    api.world.refuse = { StartKeyRotation: { code: 'device_not_found' } };
    expect(await rotate(token, newId())).toMatchObject({ status: 404 });
  });
});

describe('provisioning anew', () => {
  const path = () => `/api/v1/admin/devices/${box.deviceId}/reprovision`;

  test('answers what is flashed, to whoever may and says why', async () => {
    const { token } = api.signIn({ adminRole: 'admin' });
    expect((await api.ask('POST', path(), { token: api.signIn({ adminRole: 'support' }).token, body: { reason: 'lost' } })).status).toBe(403);
    expect((await api.ask('POST', path(), { token, body: {} })).status).toBe(400);
    expect(await api.ask('POST', path(), { token, body: { reason: 'lost at the station' } })).toMatchObject({
      status: 200,
      body: { device_id: box.deviceId, provisioning: { key_version: 2, device_key: '11'.repeat(32) } },
    });
  });
});

describe('what somebody should look at', () => {
  const alerts = { unexplainedOpeningAt: '2026-11-21T09:00:00.000Z', cloneSuspectedAt: '2026-11-21T08:00:00.000Z', tamperedAt: null };

  test('is in the health of the owner’s box and on the administrator’s page', async () => {
    const watched = put({ alerts, refusedSettings: ['led_enabled'], configVersion: 1, appliedConfigVersion: 1 });
    const health = await api.ask('GET', `/api/v1/devices/${watched.deviceId}/health`, { token: owner.token });
    const expected = [
      { alert: 'unexplained_opening', since: '2026-11-21T09:00:00.000Z' },
      { alert: 'clone_suspected', since: '2026-11-21T08:00:00.000Z' },
    ];
    expect(health.body).toMatchObject({ health: 'attention', alerts: expected });
    expect((health.body as { problems: { code: string }[] }).problems.map(({ code }) => code)).toEqual(['clone_suspected', 'unexplained_opening', 'settings_refused']);
    const { token } = api.signIn({ adminRole: 'admin' });
    expect((await api.ask('GET', `/api/v1/admin/devices/${watched.deviceId}`, { token })).body).toMatchObject({ alerts: expected, settings_status: 'refused', rotating_to: null });
  });
});

describe('an answer that ends something', () => {
  const under = { unlockId: newId(), expiresAt: '2026-11-21T10:00:30.000Z' };

  test('names an opening that could not be stopped any more', async () => {
    const { token } = api.signIn({ adminRole: 'admin' });
    const post = (segment: string) => api.ask('POST', `/api/v1/admin/devices/${box.deviceId}/${segment}`, { token });
    expect((await post('maintenance')).body).not.toHaveProperty('in_flight');
    api.world.inFlight = under;
    const named = { in_flight: { command_id: under.unlockId, expires_at: under.expiresAt } };
    expect((await post('maintenance')).body).toMatchObject(named);
    expect((await post('decommission')).body).toMatchObject(named);
    const suspended = await api.ask('PUT', `/api/v1/admin/users/${owner.userId}/suspend`, { token });
    expect(suspended.body).toEqual({
      message: 'User account suspended',
      unlocks_in_flight: [{ device_id: box.deviceId, command_id: under.unlockId, expires_at: under.expiresAt }],
    });
  });
});
