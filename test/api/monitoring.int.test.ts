import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/platform/ids.ts';
import type { ActivityRow, DeliveryRow, DeviceRow } from '../../src/projections/read-models.ts';
import { deviceRow, startApi, unlockRow, type TestApi } from '../support/api.ts';

let api: TestApi;
let owner: ReturnType<TestApi['signIn']>;
let box: DeviceRow;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());
beforeEach(() => {
  owner = api.signIn();
  api.world.devices.clear();
  api.world.activity.length = 0;
  api.world.audit.length = 0;
  api.world.deliveries.clear();
  box = put({});
});

const get = (path: string, token = owner.token) => api.ask('GET', path, { token });

function put(over: Partial<DeviceRow>): DeviceRow {
  const row = deviceRow({ ownerId: owner.userId, ...over });
  api.world.devices.set(row.deviceId, row);
  return row;
}

describe('the list of boxes', () => {
  const names = async (query: string) => {
    const answer = await get(`/api/v1/devices/my-devices${query}`);
    expect(answer.headers.get('x-total-count')).toBe(`${(answer.body as object[]).length}`);
    return (answer.body as { name: string }[]).map(({ name }) => name);
  };

  test('is searched and filtered by what a box says', async () => {
    put({ name: 'Garage', serialNumber: 'LB-0099', lockStatus: 'jammed', batteryLevel: 12, address: 'Kordon 5' });
    put({ name: 'Shop', serialNumber: 'LB-0100', lifecycle: 'maintenance', lastHeardAt: '2026-11-21T09:00:00.000Z', batteryLevel: null });
    for (const [query, expected] of [
      ['', ['Mill Lane 12', 'Garage', 'Shop']],
      ['?search=GARA', ['Garage']],
      ['?search=lb-01', ['Shop']],
      ['?search=kordon', ['Garage']],
      ['?search=nothing', []],
      ['?status=jammed', ['Garage']],
      ['?lifecycle_status=maintenance', ['Shop']],
      ['?is_online=false', ['Shop']],
      ['?is_online=true&low_battery=false', ['Mill Lane 12']],
      ['?low_battery=true', ['Garage']],
    ] as const) {
      expect(await names(query), query).toEqual(expected);
    }
    expect((await get('/api/devices?search=lb-00&limit=1&offset=1')).headers.get('x-total-count')).toBe('2');
    expect(await get('/api/v1/devices/my-devices?state=locked')).toMatchObject({ status: 400, body: { details: { state: 'is not known here' } } });
    expect(await get('/api/v1/devices/my-devices?status=open')).toMatchObject({ status: 400, body: { details: { status: 'must be one of: locked, unlocked, unknown, jammed, error' } } });
  });
});

describe('the health of a box', () => {
  const health = async (over: Partial<DeviceRow>) => (await get(`/api/v1/devices/${put(over).deviceId}/health`)).body as { health: string; problems: { code: string }[] };

  test('is good when nothing is wrong', async () => {
    expect((await get(`/api/v1/devices/${box.deviceId}/health`)).body).toMatchObject({
      device_id: box.deviceId,
      health: 'good',
      problems: [],
      is_online: true,
      last_heartbeat: '2026-11-21T09:59:56.000Z',
      lock_status: 'locked',
      battery_level: 62,
      signal_strength: -61,
      uptime: 3_600,
      firmware_version: '1.0.0',
    });
  });

  test.each<[string, Partial<DeviceRow>, string, readonly string[]]>([
    ['a stuck bolt', { lockStatus: 'jammed' }, 'attention', ['jammed']],
    ['a fault of the lock', { lockStatus: 'error' }, 'attention', ['lock_error']],
    ['a low battery', { batteryLevel: 19 }, 'attention', ['low_battery']],
    ['maintenance', { lifecycle: 'maintenance', batteryLevel: 3 }, 'attention', ['maintenance', 'low_battery']],
    ['silence', { lastHeardAt: '2026-11-21T09:54:59.000Z' }, 'offline', ['offline']],
    ['a box that never spoke', { lastHeardAt: null, online: false, lifecycle: 'assigned' }, 'offline', ['never_heard']],
  ])('%s', async (_, over, expected, codes) => {
    const found = await health(over);
    expect([found.health, found.problems.map(({ code }) => code)]).toEqual([expected, codes]);
  });

  test('and its battery over time', async () => {
    const level = (value: number, at: string) =>
      api.world.audit.push({ deviceId: box.deviceId, type: 'BatteryLevelChanged', data: { level: value, evidence: 'signed' }, occurredAt: at } as never);
    level(62, '2026-11-21T08:00:00.000Z');
    level(70, '2026-11-20T08:00:00.000Z');
    expect((await get(`/api/v1/devices/${box.deviceId}/battery`)).body).toEqual({
      device_id: box.deviceId,
      battery_level: 62,
      is_low: false,
      last_heartbeat: '2026-11-21T09:59:56.000Z',
      history: [
        { battery_level: 62, timestamp: '2026-11-21T08:00:00.000Z' },
        { battery_level: 70, timestamp: '2026-11-20T08:00:00.000Z' },
      ],
    });
    expect((await get(`/api/v1/devices/${box.deviceId}/battery?limit=1`)).body).toMatchObject({ history: [{ battery_level: 62 }] });
    expect((await get(`/api/v1/devices/${put({ batteryLevel: null }).deviceId}/battery`)).body).toMatchObject({ battery_level: null, is_low: false });
  });
});

describe('activity', () => {
  const happened = (over: Partial<ActivityRow & { ownerId: string }> = {}) =>
    api.world.activity.push({
      position: 1n,
      deviceId: box.deviceId,
      ownerId: owner.userId,
      activityType: 'device_control',
      action: 'unlocked',
      source: 'mobile_app',
      success: true,
      description: 'The owner opened the box',
      userId: owner.userId,
      occurredAt: '2026-11-21T09:00:00.000Z',
      ...over,
    });
  const actions = async (path: string) => ((await get(path)).body as { action: string }[]).map(({ action }) => action);

  test('of one box, and of all', async () => {
    happened();
    happened({ deviceId: newId(), action: 'device_unlinked', activityType: 'user_action' });
    happened({ ownerId: newId(), action: 'unlock_failed' });
    expect((await get(`/api/v1/devices/${box.deviceId}/activity`)).body).toEqual([
      { id: expect.stringMatching(/^[\w-]{32}$/) as string, device_id: box.deviceId, activity_type: 'device_control', action: 'unlocked', source: 'mobile_app', description: 'The owner opened the box', success: true, user_id: owner.userId, timestamp: '2026-11-21T09:00:00.000Z' },
    ]);
    expect(await actions(`/api/devices/${box.deviceId}/logs/`)).toEqual(['unlocked']);
    expect(await actions('/api/v1/activities')).toEqual(['unlocked', 'device_unlinked']);
    expect(await actions(`/api/activities?device_id=${box.deviceId.toUpperCase()}`)).toEqual(['unlocked']);
  });

  test('is searched and filtered', async () => {
    happened({ action: 'first', occurredAt: '2026-11-20T23:59:59.999Z' });
    happened({ action: 'second', source: 'delivery_link', success: false, activityType: 'access_link', description: 'A link expired' });
    for (const path of ['/api/v1/activities', `/api/v1/devices/${box.deviceId}/activity`]) {
      for (const [query, expected] of [
        ['date_from=2026-11-21', ['second']],
        ['date_to=2026-11-20', ['first']],
        ['date_from=2026-11-21T09:00:00Z&date_to=2026-11-21T09:00:00Z', []],
        ['source=delivery_link', ['second']],
        ['success=false', ['second']],
        ['activity_type=device_control', ['first']],
        ['action=first', ['first']],
        ['search=expired', ['second']],
        ['page=2&page_size=1', undefined],
      ] as const) {
        if (expected === undefined) expect((await get(`${path}?${query}`)).body, query).toMatchObject({ count: 2, current_page: 2, next: null, results: [{ action: 'second' }] });
        else expect(await actions(`${path}?${query}`), query).toEqual(expected);
      }
      expect(await get(`${path}?date_from=yesterday`)).toMatchObject({ status: 400, body: { details: { date_from: 'must be a date or an ISO-8601 time' } } });
      expect(await get(`${path}?date_to=2026-13-01`)).toMatchObject({ status: 400, body: { details: { date_to: 'must be a date or an ISO-8601 time' } } });
      expect(await get(`${path}?since=2026-01-01`)).toMatchObject({ status: 400, body: { details: { since: 'is not known here' } } });
    }
  });

  test.each(['activity', 'health', 'battery'])("another owner's box has no %s", async (what) => {
    const stranger = api.signIn().token;
    for (const id of [box.deviceId, newId()]) {
      expect(await get(`/api/v1/devices/${id}/${what}`, stranger)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Device not found' } });
    }
    expect((await get('/api/v1/activities', stranger)).body).toEqual([]);
  });
});

describe('deliveries', () => {
  const came = (over: Partial<DeliveryRow> = {}) => {
    const row = { ...unlockRow({ deviceId: box.deviceId, state: 'opened' }), linkId: newId(), linkName: 'Friday', ownerId: owner.userId, courier: null, ...over };
    api.world.deliveries.set(row.unlockId, row);
    return row;
  };

  test('are listed by box, link, outcome, day and words', async () => {
    const opened = came({ courier: { name: 'Jo', company: 'DPD' } });
    const failed = came({ state: 'failed', linkName: 'Groceries', requestedAt: '2026-11-20T12:00:00.000Z' });
    const unknown = came({ state: 'unknown', deviceId: newId() });
    const waiting = came({ state: 'acknowledged' });
    came({ ownerId: newId() });
    for (const [query, expected] of [
      ['', [opened, failed, unknown, waiting]],
      [`device_id=${unknown.deviceId}`, [unknown]],
      [`link_id=${failed.linkId}`, [failed]],
      ['outcome=opened', [opened]],
      ['outcome=not_opened', [failed]],
      ['outcome=unknown', [unknown]],
      ['outcome=under_way', [waiting]],
      ['completed=true', [opened]],
      ['completed=false', [failed, unknown, waiting]],
      ['completed=true&outcome=unknown', []],
      ['date_to=2026-11-20', [failed]],
      ['date_from=2026-11-21&search=jo', [opened]],
      ['search=grocer', [failed]],
    ] as const) {
      const answer = await get(`/api/v1/deliveries/my-deliveries?${query}`);
      expect((answer.body as { id: string }[]).map(({ id }) => id), query).toEqual(expected.map(({ unlockId }) => unlockId));
    }
    expect(await get('/api/v1/deliveries?outcome=maybe')).toMatchObject({ status: 400, body: { details: { outcome: 'must be one of: opened, not_opened, unknown, under_way' } } });
    expect(await get('/api/v1/deliveries?devise_id=x')).toMatchObject({ status: 400, body: { details: { devise_id: 'is not known here' } } });
  });

  test('one is shown with who came and by which link, to its owner alone', async () => {
    const row = came({ courier: { name: 'Jo', personId: '77', company: 'DPD', phone: '+90', notes: 'by the door' } });
    expect((await get(`/api/v1/deliveries/${row.unlockId}`)).body).toMatchObject({
      id: row.unlockId,
      device_id: box.deviceId,
      link_id: row.linkId,
      link_name: 'Friday',
      delivery_person_name: 'Jo',
      delivery_person_id: '77',
      courier_company: 'DPD',
      delivery_person_phone: '+90',
      delivery_notes: 'by the door',
    });
    expect(await get(`/api/v1/deliveries/${row.unlockId}`, api.signIn().token)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Delivery not found' } });
  });
});

describe('every list', () => {
  test('says where to go on, and takes it back', async () => {
    for (let i = 0; i < 4; i++) put({});
    const first = await get('/api/v1/devices?limit=2&status=locked');
    expect([(first.body as object[]).length, first.headers.get('x-total-count'), first.headers.get('x-next-cursor')]).toEqual([2, '5', '2']);
    expect(first.headers.get('link')).toBe('</api/v1/devices?status=locked&limit=2&offset=2>; rel="next"');
    const second = await get('/api/v1/devices?limit=2&cursor=2');
    expect(second.headers.get('x-next-cursor')).toBe('4');
    const last = await get('/api/v1/devices?limit=2&cursor=4');
    expect([(last.body as object[]).length, last.headers.get('x-next-cursor'), last.headers.get('link')]).toEqual([1, null, '</api/v1/devices?limit=2&offset=2>; rel="prev"']);
    expect((await get('/api/v1/devices?page_size=2')).body).toMatchObject({ count: 5, total_pages: 3, current_page: 1, previous: null, next: '/api/v1/devices?page=2&page_size=2' });
    expect((await get('/api/v1/devices?page=1')).body).toMatchObject({ count: 5, total_pages: 1, current_page: 1, next: null });
  });

  test('that grows at its front is gone on with behind a row, whatever came meanwhile', async () => {
    const came = () => {
      const row = { ...unlockRow({ deviceId: box.deviceId, state: 'opened' }), linkId: newId(), linkName: null, ownerId: owner.userId, courier: null };
      return [row.unlockId, row] as const;
    };
    const first = [came(), came(), came()];
    for (const [id, row] of first) api.world.deliveries.set(id, row);
    const page = await get('/api/v1/deliveries?limit=2&completed=true');
    const cursor = page.headers.get('x-next-cursor') ?? '';
    expect(page.headers.get('link')).toBe(`</api/v1/deliveries?completed=true&limit=2&cursor=${cursor}>; rel="next"`);
    const later = [came(), ...api.world.deliveries.entries()] as const;
    api.world.deliveries.clear();
    for (const [id, row] of later) api.world.deliveries.set(id, row);
    const next = await get(`/api/v1/deliveries?limit=2&completed=true&cursor=${cursor}`);
    expect([(next.body as { id: string }[]).map(({ id }) => id), next.headers.get('x-next-cursor')]).toEqual([[first[2]?.[0]], null]);

    for (const path of ['/api/v1/deliveries', '/api/v1/activities', '/api/v1/access/my-links', `/api/v1/links/device/${box.deviceId}`]) {
      for (const wrong of ['2', 'x.y', `zzzzzzzzzzzz.${newId()}`, api.api.positions.encode(1n).replace(/^.{4}/, 'AAAA')]) {
        expect(await get(`${path}?cursor=${wrong}`), `${path} ${wrong}`).toMatchObject({ status: 400, body: { details: { cursor: 'must be an X-Next-Cursor of this list' } } });
      }
    }
  });

  test.each([
    ['offset=1&cursor=2', 'cursor', 'stands instead of offset'],
    ['page=1&limit=2', 'limit', 'cannot be combined with page and page_size'],
    ['page=1&offset=2', 'offset', 'cannot be combined with page and page_size'],
    ['page_size=2&cursor=2', 'cursor', 'cannot be combined with page and page_size'],
    ['cursor=a%20b', 'cursor', 'must be an X-Next-Cursor of this list'],
    ['page=0', 'page', 'must be >= 1'],
    ['page_size=101', 'page_size', 'must be <= 100'],
    ['limit=0', 'limit', 'must be >= 1'],
    ['offset=-1', 'offset', 'must be >= 0'],
  ])('%s is refused', async (query, field, text) => {
    for (const path of ['/api/v1/devices', '/api/v1/access/my-links', '/api/v1/deliveries', '/api/v1/activities', '/api/v1/auth/sessions']) {
      expect(await get(`${path}?${query}`), path).toMatchObject({ status: 400, body: { error: 'validation_error', details: { [field]: text } } });
    }
  });
});
