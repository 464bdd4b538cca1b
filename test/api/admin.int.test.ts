import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/platform/ids.ts';
import type { AuditRow } from '../../src/projections/read-models.ts';
import { apiSettings, deviceRow, sealed, startApi, unlockRow, type TestApi } from '../support/api.ts';

let api: TestApi;
let admin: { token: string; userId: string };
let deviceId: string;
beforeEach(async () => {
  api = await startApi();
  admin = api.signIn({ adminRole: 'admin' });
  const device = deviceRow();
  ({ deviceId } = device);
  api.world.devices.set(deviceId, device);
});
afterEach(() => api.stop());

const ask = (method: string, path: string, body?: unknown, token = admin.token) => api.ask(method, `/api/v1/admin${path}`, { token, ...(body === undefined ? {} : { body }) });
const lastCommand = () => api.world.commands.at(-1);

function auditRow(over: Partial<AuditRow> = {}): AuditRow {
  const id = newId();
  return {
    position: 7n,
    eventId: id,
    type: 'UnlockRequested',
    summary: 'Courier Jo asked to unlock LB-004471',
    action: 'device_unlock',
    outcome: 'accepted',
    actorKind: 'courier',
    actorId: newId(),
    actorEmail: null,
    actorName: null,
    linkName: null,
    userName: null,
    courierName: 'Jo',
    ip: '203.0.113.7',
    userAgent: 'curl/8',
    serialNumber: 'LB-004471',
    source: 'delivery_link',
    deviceId,
    linkId: null,
    userId: null,
    unlockId: null,
    occurredAt: '2026-11-21T09:59:58.000Z',
    recordedAt: '2026-11-21T09:59:58.001Z',
    commandId: id,
    correlationId: id,
    causationId: id,
    stream: `device-${deviceId}`,
    revision: 3n,
    data: { unlockId: id },
    ...over,
  };
}

describe('boxes', () => {
  test('are registered with what is flashed into them', async () => {
    const { status, body } = await ask('POST', '/devices/register', { serial_number: 'lb-100', device_model: 'LoqeyBox-V2' });
    expect([status, body]).toMatchObject([201, { message: 'Device registered successfully', serial_number: 'LB-100', pin: '123456', provisioning: { protocol: 1, profile: 'loqey' } }]);
    for (const serial of ['ab', '-abc', 'a b c d', 'ünïcode', 'x'.repeat(51), '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10']) {
      expect(await ask('POST', '/devices/register', { serial_number: serial }), serial).toMatchObject({ status: 400, body: { details: { serial_number: expect.any(String) as string } } });
    }
    api.world.registerRefusal = { code: 'device_exists' };
    expect(await ask('POST', '/devices/register', { serial_number: 'LB-100' })).toMatchObject({ status: 409, body: { error: 'conflict' } });
  });

  test('show their PIN to whom may see it, and that is recorded first', async () => {
    expect((await ask('GET', `/devices/${deviceId}`)).body).toMatchObject({ id: deviceId, pin: '123456' });
    expect(lastCommand()).toMatchObject({ command: { type: 'ViewPin', data: { deviceId } }, context: { actor: { kind: 'admin', id: admin.userId }, source: 'web_dashboard' } });
    const commands = api.world.commands.length;
    const support = api.signIn({ adminRole: 'support' }).token;
    expect((await ask('GET', `/devices/${deviceId}`, undefined, support)).body).toMatchObject({ pin: '******' });
    expect(api.world.commands).toHaveLength(commands);
    api.world.devices.set(deviceId, deviceRow({ deviceId, pin: null }));
    expect((await ask('GET', `/devices/${deviceId}`)).body).toMatchObject({ pin: null });
    api.world.devices.set(deviceId, deviceRow({ deviceId, pin: { ...sealed('x'), c: '' } }));
    expect((await ask('GET', `/devices/${deviceId}`)).body).toMatchObject({ pin: null });
  });

  test('a PIN sealed by its renewal opens too', async () => {
    const other = await startApi({
      sealer: {
        open: async <T>(_value: unknown, type: string) => {
          if (type !== 'DevicePinRegenerated') throw Object.assign(new Error('x'), { name: 'SealBroken' });
          return '777777' as T;
        },
      },
    });
    const { token } = other.signIn({ adminRole: 'super_admin' });
    other.world.devices.set(deviceId, deviceRow({ deviceId }));
    expect((await other.ask('GET', `/api/v1/admin/devices/${deviceId}`, { token })).body).toMatchObject({ pin: '777777' });
    await other.stop();
  });

  test('of old firmware show who opens them, and are accepted for couriers with a reason', async () => {
    api.world.devices.set(deviceId, deviceRow({ deviceId }));
    expect((await ask('GET', `/devices/${deviceId}`)).body).toMatchObject({ protocol_level: 1, level0_access: null });
    api.world.devices.set(deviceId, deviceRow({ deviceId, protocolLevel: 0 }));
    expect((await ask('GET', `/devices/${deviceId}`)).body).toMatchObject({ protocol_level: 0, level0_access: 'full' });
    for (const body of [undefined, {}, { reason: '' }, { reason: ' \n' }]) expect((await ask('POST', `/devices/${deviceId}/accept-deliveries`, body)).status).toBe(400);
    expect((await ask('POST', `/devices/${deviceId}/accept-deliveries`, { reason: ' a trusted street ' })).body).toEqual({
      message: 'Couriers may open this box',
      device_id: deviceId,
      level0_access: 'full',
    });
    expect(lastCommand()).toMatchObject({ command: { type: 'AcceptLevel0Deliveries', data: { deviceId, reason: 'a trusted street' } }, context: { actor: { kind: 'admin', id: admin.userId } } });
    const support = api.signIn({ adminRole: 'support' }).token;
    expect((await ask('POST', `/devices/${deviceId}/accept-deliveries`, { reason: 'because' }, support)).status).toBe(403);
    expect((await ask('POST', `/devices/${newId()}/accept-deliveries`, { reason: 'because' })).status).toBe(404);
  });

  test.each([
    ['read_only', false, 'read_only'],
    ['read_only', true, 'read_only'],
    ['owner_and_admin', false, 'owner_and_admin'],
    ['owner_and_admin', true, 'full'],
  ] as const)('of old firmware where the setting means %s, accepted: %s', async (level0, deliveriesAccepted, shown) => {
    const other = await startApi({ settings: { ...apiSettings, level0 } });
    const { token } = other.signIn({ adminRole: 'admin' });
    other.world.devices.set(deviceId, deviceRow({ deviceId, protocolLevel: 0, deliveriesAccepted }));
    expect((await other.ask('GET', `/api/v1/admin/devices/${deviceId}`, { token })).body).toMatchObject({ level0_access: shown });
    expect((await other.ask('GET', '/health')).body).toMatchObject({ services: { level0_devices: level0 } });
    expect((await other.ask('GET', '/api/v1/admin/system/health', { token })).body).toMatchObject({ details: { level0_devices: expect.any(String) as string } });
    await other.stop();
  });

  test('are listed by where they stand and whose they are', async () => {
    const owner = api.signIn();
    const owned = deviceRow({ ownerId: owner.userId, serialNumber: 'LB-2' });
    api.world.devices.set(owned.deviceId, owned);
    expect((await ask('GET', '/devices?status=all')).body).toHaveLength(2);
    expect((await ask('GET', '/devices?assigned=true')).body).toMatchObject([{ id: owned.deviceId, assigned_to: 'ana@example.com', status: 'locked', lifecycle_status: 'active' }]);
    expect((await ask('GET', '/devices?status=locked')).status).toBe(400);
    expect((await ask('GET', '/devices?assigned=maybe')).status).toBe(400);
  });

  test('get a new PIN, lose their owner, leave service and come back', async () => {
    expect((await ask('PUT', `/devices/${deviceId}/regenerate-pin`)).body).toEqual({ device_id: deviceId, new_pin: '654321', message: 'PIN regenerated successfully. Previous PIN disabled.' });
    expect((await ask('DELETE', `/devices/${deviceId}/unlink`)).body).toEqual({ message: 'Device unlinked from user successfully' });
    expect(lastCommand()?.command).toEqual({ type: 'UnlinkDevice', data: { deviceId } });
    expect((await ask('POST', `/devices/${deviceId}/maintenance`, { reason: 'hinge' })).body).toMatchObject({ lifecycle_status: 'maintenance' });
    expect(lastCommand()?.command).toEqual({ type: 'StartMaintenance', data: { deviceId, reason: 'hinge' } });
    expect((await ask('DELETE', `/devices/${deviceId}/maintenance`)).body).toMatchObject({ lifecycle_status: 'active' });
    expect((await ask('POST', `/devices/${deviceId}/decommission`)).body).toMatchObject({ lifecycle_status: 'decommissioned' });
  });

  test('open in an emergency, with a reason or with the word that there was none', async () => {
    expect((await ask('POST', `/devices/${deviceId}/unlock`)).body).toMatchObject({ message: 'Emergency unlock command sent', device_id: deviceId });
    expect(api.world.asked.at(-1)).toMatchObject({ ask: { cause: { kind: 'admin', id: admin.userId } }, until: 'accepted' });
    expect(api.world.asked.at(-1)?.ask.reason).toBeUndefined();
    await ask('POST', `/devices/${deviceId}/unlock`, { reason: ' ' });
    expect(api.world.asked.at(-1)?.ask.reason).toBeUndefined();
    await ask('POST', `/devices/${deviceId}/unlock`, { reason: ' child inside ' });
    expect(api.world.asked.at(-1)?.ask.reason).toBe('child inside');
  });
});

test('who reaches for more than their role brings is recorded', async () => {
  const support = api.signIn({ adminRole: 'support' });
  expect(await ask('POST', `/devices/${deviceId}/unlock`, {}, support.token)).toMatchObject({ status: 403, body: { error: 'forbidden', message: 'Insufficient permissions' } });
  expect(await ask('POST', '/devices/register', {}, api.signIn().token)).toMatchObject({ status: 403 });
  expect(api.world.refusals).toMatchObject([
    { command: 'emergencyUnlock', target: { kind: 'device', id: deviceId }, refusal: { code: 'role_missing' }, actor: { kind: 'admin' } },
    // No administrator at all, and not recorded as one.
    { command: 'registerDevice', target: { kind: 'user' }, refusal: { code: 'role_missing' }, actor: { kind: 'user' } },
  ]);
  expect(api.world.asked).toHaveLength(0);
});

test('rights beyond the role can be granted one by one', async () => {
  const { token } = api.signIn({ adminRole: 'support', permissions: ['devices:unlock'] });
  expect((await ask('POST', `/devices/${deviceId}/unlock`, {}, token)).status).toBe(200);
});

describe('users', () => {
  test('are suspended everywhere before it is answered, and activated', async () => {
    const user = api.signIn();
    const first = deviceRow({ ownerId: user.userId });
    const second = deviceRow({ ownerId: user.userId });
    api.world.devices.set(first.deviceId, first);
    api.world.devices.set(second.deviceId, second);
    expect((await ask('PUT', `/users/${user.userId}/suspend`, { reason: 'fraud' })).body).toEqual({ message: 'User account suspended' });
    expect(api.world.commands.map(({ command }) => [command.type, command.data])).toEqual([
      ['SuspendUser', { userId: user.userId, reason: 'fraud' }],
      ['SuspendOwner', { deviceId: first.deviceId, userId: user.userId }],
      ['SuspendOwner', { deviceId: second.deviceId, userId: user.userId }],
    ]);
    expect(api.world.sessions.get(user.sessionId)?.live).toBe(false);
    expect((await api.ask('GET', '/api/v1/auth/me', { token: user.token })).status).toBe(401);
    expect((await ask('PUT', `/users/${user.userId}/activate`)).body).toEqual({ message: 'User account activated' });
    expect(lastCommand()?.command.type).toBe('ActivateOwner');
    expect((await ask('PUT', `/users/${newId()}/suspend`)).status).toBe(404);
  });

  test('are shown with their things, without what opens a box', async () => {
    const user = api.signIn();
    api.world.devices.set(deviceId, deviceRow({ deviceId, ownerId: user.userId }));
    expect((await ask('GET', `/users/${user.userId}`)).body).toMatchObject({ id: user.userId, devices: [{ id: deviceId }], access_links: [], delivery_history: [] });
    expect((await ask('GET', '/users?active=true&limit=1')).body).toHaveLength(1);
  });
});

describe('what happened', () => {
  test('is listed with who, when and because of what', async () => {
    const row = auditRow();
    api.world.audit.push(row, auditRow({ position: 9n, action: 'link_created' }));
    const { body, headers } = await ask('GET', '/logs/audit?action=device_unlock&date_from=2024-01-01&limit=100');
    expect(body).toMatchObject([{ timestamp: row.occurredAt, action: 'device_unlock', device_id: deviceId, user_id: null, revision: '3', details: { unlockId: row.eventId } }]);
    expect(headers.get('x-total-count')).toBe('1');
    const all = (await ask('GET', '/logs/audit')).body as { position: string }[];
    const before = all[1]?.position ?? '';
    expect(before).toMatch(/^[\w-]{32}$/);
    expect((await ask('GET', `/logs/audit?before=${before}`)).body).toHaveLength(1);
    for (const query of ['before=7', 'before=xyz', 'date_from=yesterday', 'date_from=2024-13-45', 'limit=1001', 'outcome=maybe', 'device_id=7']) {
      expect((await ask('GET', `/logs/audit?${query}`)).status, query).toBe(400);
    }
  });

  test('in one opening is a chain with the time of each hop', async () => {
    const correlationId = newId();
    const unlock = unlockRow({ deviceId, state: 'opened', correlationId });
    api.world.unlocks.set(unlock.unlockId, unlock);
    api.world.audit.push(
      auditRow({ correlationId }),
      auditRow({ correlationId, type: 'UnlockDispatched', occurredAt: '2026-11-21T09:59:58.009Z', actorKind: 'system' }),
      auditRow({ correlationId, type: 'UnlockConfirmed', occurredAt: '2026-11-21T09:59:58.250Z', actorKind: 'device' }),
    );
    expect((await ask('GET', `/unlocks/${unlock.unlockId}/trace`)).body).toMatchObject({
      unlock_id: unlock.unlockId,
      status: 'opened',
      duration_ms: 250,
      hops: [{ hop: 'request', offset_ms: 0 }, { hop: 'dispatch', offset_ms: 9 }, { hop: 'bolt', offset_ms: 250 }],
    });
    expect((await ask('GET', `/unlocks/${newId()}/trace`)).status).toBe(404);
  });
});

describe('the fleet', () => {
  test('is paged by the last row, so that a new box shows none twice', async () => {
    api.world.devices.clear();
    const boxes = [1, 2, 3, 4, 5].map((day) => deviceRow({ registeredAt: `2026-11-0${day}T10:00:00.000Z` }));
    for (const row of boxes) api.world.devices.set(row.deviceId, row);
    const first = await ask('GET', '/devices?limit=2');
    const added = deviceRow({ registeredAt: '2026-11-06T10:00:00.000Z' });
    api.world.devices.set(added.deviceId, added);
    const second = await ask('GET', `/devices?limit=2&cursor=${first.headers.get('x-next-cursor')}`);
    const third = await ask('GET', `/devices?limit=2&cursor=${second.headers.get('x-next-cursor')}`);
    const shown = [first, second, third].flatMap(({ body }) => (body as { id: string }[]).map(({ id }) => id));
    expect(shown).toEqual(boxes.map(({ deviceId: id }) => id).reverse());
    expect(third.headers.get('x-next-cursor')).toBeNull();
    expect(await ask('GET', '/devices?cursor=2')).toMatchObject({ status: 400, body: { details: { cursor: 'must be an X-Next-Cursor of this list' } } });
  });

  test('is asked for by state, battery, model, firmware and words', async () => {
    const device = deviceRow({ deviceId, unlinkRequestedAt: '2026-11-20T10:00:00.000Z', unlinkReason: 'moved away' });
    api.world.devices.set(deviceId, device);
    expect((await ask('GET', '/devices?status=active&assigned=false&online=true&low_battery=true&model=LoqeyBox-V1&firmware=1.0.0&unlink_requested=true&search=mill%20lane')).body).toMatchObject([
      { id: deviceId, unlink_requested_at: '2026-11-20T10:00:00.000Z', unlink_reason: 'moved away' },
    ]);
    expect(api.world.fleetAsked.at(-1)).toEqual({
      lifecycle: 'active',
      assigned: false,
      online: { is: true, heardSince: '2026-11-21T09:55:00.000Z' },
      batteryBelow: 20,
      model: 'LoqeyBox-V1',
      firmware: '1.0.0',
      unlinkRequested: true,
      search: 'mill lane',
    });
    await ask('GET', '/devices?battery_below=50&online=false');
    expect(api.world.fleetAsked.at(-1)).toEqual({ batteryBelow: 50, online: { is: false, heardSince: '2026-11-21T09:55:00.000Z' } });
    expect((await ask('GET', '/devices')).headers.get('loqey-count')).toBeNull();
    expect(api.world.fleetAsked.at(-1)).toEqual({});
    // So many are called so that nobody counted them.
    expect((await ask('GET', '/devices?search=everybody')).headers.get('loqey-count')).toBe('at_least');
    for (const query of ['online=maybe', 'battery_below=0', 'battery_below=x', 'low_battery=false', 'search=', 'colour=red']) {
      expect(await ask('GET', `/devices?${query}`), query).toMatchObject({ status: 400, body: { error: 'validation_error' } });
    }
  });
});

describe('the audit list', () => {
  test('is asked for by who, from where and by which way', async () => {
    api.world.audit.push(auditRow({ actorEmail: 'ana@example.com' }));
    const { body } = await ask('GET', `/logs/audit?actor=${admin.userId.toUpperCase()}&actor_kind=admin&source=web_dashboard&ip=203.0.113.7&outcome=refused&user_id=${admin.userId}`);
    expect(body).toMatchObject([{ actor: { email: 'ana@example.com' }, ip_address: '203.0.113.7', user_agent: 'curl/8', serial_number: 'LB-004471' }]);
    expect(api.world.auditAsked.at(-1)).toEqual({ actorId: admin.userId, actorKind: 'admin', source: 'web_dashboard', ip: '203.0.113.7', outcome: 'refused', userId: admin.userId });
    for (const query of ['actor_kind=owner', 'source=fax', 'ip=somewhere', 'cursor=7']) expect((await ask('GET', `/logs/audit?${query}`)).status, query).toBe(400);
  });

  test('goes on after the last line shown, also while new ones come', async () => {
    for (let position = 9n; position > 0n; position--) api.world.audit.push(auditRow({ position }));
    const seen: string[] = [];
    let path = '/logs/audit?limit=4&action=device_unlock';
    for (;;) {
      const { body, headers } = await ask('GET', path);
      seen.push(...(body as { position: string }[]).map(({ position }) => position));
      api.world.audit.unshift(auditRow({ position: BigInt(100 + seen.length) }));
      const next = /<([^>]*)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
      if (next === undefined) break;
      const cursor = headers.get('x-next-cursor') ?? '';
      expect(new URL(next, 'http://x').searchParams.get('cursor')).toBe(cursor);
      path = `/logs/audit?limit=4&action=device_unlock&cursor=${cursor}`;
    }
    expect([seen.length, new Set(seen).size]).toEqual([9, 9]);
    await ask('GET', `/logs/audit?after=${seen[0]}`);
    expect(api.world.auditAsked.at(-1)).toEqual({ after: 9n });
    await ask('GET', `/logs/audit?after=${seen[8]}&cursor=${seen[4]}`);
    expect(api.world.auditAsked.at(-1)).toEqual({ after: 5n });
  });
});

describe('deliveries in figures', () => {
  const days = (body: unknown) => (body as { daily_breakdown: { date: string }[] }).daily_breakdown;

  test('by day and by hour, with the days that had none', async () => {
    api.world.statistics = {
      days: [{ date: '2024-01-02', attempted: 5, completed: 4 }, { date: '2024-01-03', attempted: 1, completed: 0 }],
      hours: [{ hour: 9, attempted: 2, completed: 1 }, { hour: 17, attempted: 4, completed: 3 }],
    };
    const { status, body } = await ask('GET', '/analytics/deliveries?date_from=2024-01-01&date_to=2024-01-03&tz=Europe/Istanbul');
    expect([status, body]).toMatchObject([
      200,
      {
        total_deliveries: 4,
        total_attempts: 6,
        time_zone: 'Europe/Istanbul',
        daily_breakdown: [
          { date: '2024-01-01', deliveries: 0, attempts: 0 },
          { date: '2024-01-02', deliveries: 4, attempts: 5 },
          { date: '2024-01-03', deliveries: 0, attempts: 1 },
        ],
        peak_hours: [{ hour: 17, deliveries: 3 }, { hour: 9, deliveries: 1 }],
      },
    ]);
    expect((body as { hourly_breakdown: unknown[] }).hourly_breakdown).toHaveLength(24);
    expect(api.world.statisticsAsked.at(-1)).toEqual(['2024-01-01', '2024-01-03', 'Europe/Istanbul']);
  });

  test('are those of the last thirty days of the zone where nothing is said', async () => {
    api.world.now = Date.parse('2026-11-21T23:30:00.000Z');
    admin = api.signIn({ adminRole: 'support' });
    expect(days((await ask('GET', '/analytics/deliveries?tz=Europe/Istanbul')).body)).toHaveLength(30);
    expect(api.world.statisticsAsked.at(-1)).toEqual(['2026-10-24', '2026-11-22', 'Europe/Istanbul']);
    expect(await ask('GET', '/analytics/deliveries')).toMatchObject({ body: { time_zone: 'UTC', date_to: '2026-11-21' } });
    // An instant is the day on which it falls there.
    await ask('GET', '/analytics/deliveries?date_from=2026-03-28T22:30:00Z&date_to=2026-03-29T22:00:00Z&tz=Europe/Berlin');
    expect(api.world.statisticsAsked.at(-1)).toEqual(['2026-03-28', '2026-03-30', 'Europe/Berlin']);
  });

  test('of days that are none are refused by name', async () => {
    for (const [query, field] of [['date_from=2024-02-30', 'date_from'], ['date_to=soon', 'date_to'], ['date_from=2024-01-02&date_to=2024-01-01', 'date_from'], ['date_from=2014-01-01', 'date_from'], ['tz=Mars/Olympus', 'tz'], ['tz=%2B05:30', 'tz']] as const) {
      expect(await ask('GET', `/analytics/deliveries?${query}`), query).toMatchObject({ status: 400, body: { error: 'validation_error', details: { [field]: expect.any(String) as string } } });
    }
    expect((await ask('GET', '/dashboard?tz=Mars/Olympus')).status).toBe(400);
    expect((await ask('GET', '/dashboard?tz=Asia/Kathmandu')).status).toBe(200);
  });
});

describe('the platform', () => {
  test('in figures and parts', async () => {
    expect((await ask('GET', '/dashboard')).body).toEqual({ total_devices: 1, active_devices: 1, total_users: 1, deliveries_today: 0, system_health: 'healthy' });
    api.world.health = { ...api.world.health, parts: { ...api.world.health.parts, relay: { state: 'down', detail: 'no broker since 09:40' } } };
    expect((await ask('GET', '/dashboard')).body).toMatchObject({ system_health: 'degraded' });
    expect((await ask('GET', '/system/health')).body).toMatchObject({ database: 'healthy', kafka: 'down', celery_workers: 'healthy', projections: { devices: 0 }, api_response_time: expect.stringMatching(/^[\d.]+ms$/) as string, details: { relay: 'no broker since 09:40' } });
    const { body } = await ask('GET', '/system/health');
    expect(body).toMatchObject({
      api_response_time_p95: expect.stringMatching(/^[\d.]+ms$/) as string,
      dependencies: {
        database: { state: 'healthy', response_time: '0.4ms', detail: null },
        event_store: { response_time: '1.3ms' },
        relay: { state: 'down', response_time: null, detail: 'no broker since 09:40' },
        mqtt: { response_time: '15ms' },
        worker: { state: 'healthy', response_time: null },
      },
      read_models: [{ name: 'devices', state: 'running', behind: 0, last_event_at: '2026-11-21T09:59:59.000Z', error: null }],
    });
  });

  test('says how it is, under every name', async () => {
    for (const path of ['/health', '/health/', '/api/v1/health', '/api/health']) {
      expect((await api.ask('GET', path)).body, path).toMatchObject({ status: 'healthy', service: 'loqey-backend', timestamp: '2026-11-21T10:00:00.000Z', services: { database: 'healthy', mqtt: 'healthy', redis: 'not_used' } });
    }
    expect((await api.ask('GET', '/health/live')).body).toEqual({ status: 'live' });
    expect((await api.ask('GET', '/health/ready')).status).toBe(200);
    api.world.health = { ...api.world.health, ready: false, parts: { ...api.world.health.parts, database: { state: 'down' } } };
    expect(await api.ask('GET', '/health/ready')).toMatchObject({ status: 503, body: { status: 'not_ready', waiting_for: ['database'] } });
    expect(await api.ask('GET', '/health')).toMatchObject({ status: 503, body: { status: 'unhealthy' } });
    expect((await api.ask('GET', '/api/v1/system/version')).body).toEqual({ name: 'Loqey Backend API', version: '1.0.0', api: 'v1' });
    const metrics = await api.ask('GET', '/metrics');
    expect(metrics.headers.get('content-type')).toContain('text/plain');
    expect(metrics.text).toContain('loqey_http_request_duration_seconds_count{route="/health"');
  });
});
