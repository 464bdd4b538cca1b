import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InboxEntry } from '../../src/api/ports.ts';
import { newId } from '../../src/platform/ids.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { aroundTheClock } from '../support/inbox.ts';

let api: TestApi;
const notifications = new Map<string, (InboxEntry & { readonly userId: string })[]>();
const clock = aroundTheClock(notifications);
const entry = (userId: string, over: Partial<InboxEntry> = {}): InboxEntry & { readonly userId: string } => ({
  id: newId(),
  kind: 'link_opened',
  title: 'The box was opened',
  text: 'The box was opened with a link.',
  deviceId: newId(),
  linkId: null,
  unlockId: null,
  occurredAt: '2026-11-21T10:00:00.000Z',
  readAt: null,
  userId,
  ...over,
});

beforeAll(async () => {
  api = await startApi({ ...clock, boxHealth: { one: async (id) => (id.startsWith('00000000') ? undefined : { online: false, lastHeardAt: '2026-11-21T09:00:00.000Z', wentOffline: true }) } });
});
afterAll(() => api.stop());

describe('jobs', () => {
  it('are shown to administrators with their last and their next run', async () => {
    const { token } = api.signIn({ adminRole: 'support' });
    const { status, body } = await api.ask('GET', '/api/v1/admin/jobs', { token });
    expect(status).toBe(200);
    expect(body).toEqual([
      {
        name: 'links.sweep',
        summary: 'Records links whose time is over',
        schedule: '0 * * * *',
        state: 'idle',
        next_run: '2026-11-21T11:00:00.000Z',
        last_run: { started_at: '2026-11-21T10:00:00.000Z', finished_at: '2026-11-21T10:00:01.000Z', duration_ms: 1_000, error: null },
        result: { success: true, expired_count: 2 },
        succeeded_at: '2026-11-21T10:00:01.000Z',
        runs: 3,
        failures: 1,
        failures_in_a_row: 0,
        waiting: 0,
        given_up: 0,
      },
    ]);
  });

  it('run on request of whoever may, in that name', async () => {
    const admin = api.signIn({ adminRole: 'admin' });
    const path = '/api/v1/admin/jobs/links.sweep/run';
    expect(await api.ask('POST', path, { token: admin.token })).toMatchObject({ status: 202, body: { message: 'Job queued', name: 'links.sweep', started: true } });
    expect(await api.ask('POST', path, { token: admin.token })).toMatchObject({ status: 202, body: { message: 'Job is already waiting or running', started: false } });
    expect(clock.asked).toEqual([admin.userId, admin.userId]);
    expect(await api.ask('POST', path, { token: api.signIn({ adminRole: 'support' }).token })).toMatchObject({ status: 403, body: { error: 'forbidden', message: 'Insufficient permissions' } });
    expect(await api.ask('POST', path, { token: api.signIn().token })).toMatchObject({ status: 403 });
    expect(await api.ask('POST', '/api/v1/admin/jobs/no.such/run', { token: admin.token })).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Job not found' } });
    expect(clock.asked).toHaveLength(2);
  });

  it('and one box can be looked at now', async () => {
    const { token } = api.signIn({ adminRole: 'support' });
    const deviceId = newId();
    expect(await api.ask('POST', `/api/v1/admin/devices/${deviceId}/check`, { token })).toMatchObject({
      status: 200,
      body: { device_id: deviceId, is_online: false, last_heartbeat: '2026-11-21T09:00:00.000Z', went_offline: true },
    });
    expect(await api.ask('POST', '/api/v1/admin/devices/00000000-0000-4000-8000-000000000001/check', { token })).toMatchObject({ status: 404, body: { message: 'Device not found' } });
  });
});

describe('notifications', () => {
  it('are each person’s own', async () => {
    const [ana, ben] = [api.signIn(), api.signIn()];
    const [first, second] = [entry(ana.userId), entry(ana.userId, { readAt: '2026-11-21T10:01:00.000Z' })];
    notifications.set(ana.userId, [first, second]);
    const list = await api.ask('GET', '/api/v1/notifications', { token: ana.token });
    expect(list).toMatchObject({ status: 200, body: [{ id: first.id, kind: 'link_opened', is_read: false, read_at: null, device_id: first.deviceId }, { id: second.id, is_read: true }] });
    expect(list.headers.get('X-Total-Count')).toBe('2');
    expect((await api.ask('GET', '/api/v1/notifications?unread=true', { token: ana.token })).body).toMatchObject([{ id: first.id }]);
    expect((await api.ask('GET', '/api/v1/notifications?page=1&page_size=1', { token: ana.token })).body).toMatchObject({ count: 2, total_pages: 2, results: [{ id: first.id }] });
    expect((await api.ask('GET', '/api/v1/notifications', { token: ben.token })).body).toEqual([]);
    expect(await api.ask('POST', `/api/v1/notifications/${first.id}/read`, { token: ana.token })).toMatchObject({ status: 200, body: { message: 'Notification marked as read' } });
    expect(await api.ask('POST', `/api/v1/notifications/${first.id}/read`, { token: ben.token })).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Notification not found' } });
    expect(await api.ask('POST', '/api/v1/notifications/read-all', { token: ana.token })).toMatchObject({ status: 200, body: { count: 2 } });
    expect(await api.ask('GET', '/api/v1/notifications')).toMatchObject({ status: 401 });
  });

  it('have settings, of which only what is named changes', async () => {
    const { token } = api.signIn();
    const path = '/api/v1/notifications/settings';
    expect(await api.ask('GET', path, { token })).toMatchObject({ status: 200, body: { language: 'en', time_zone: 'UTC', mail: { link_opened: true, device_online: false } } });
    expect(await api.ask('PUT', path, { token, body: { language: 'tr', time_zone: 'Europe/Istanbul', mail: { device_online: true } } })).toMatchObject({
      status: 200,
      body: { language: 'tr', time_zone: 'Europe/Istanbul', mail: { link_opened: true, device_online: true } },
    });
    const refused = async (body: object) => api.ask('PUT', path, { token, body });
    expect(await refused({ time_zone: 'Mars/Olympus' })).toMatchObject({ status: 400, body: { error: 'validation_error', details: { time_zone: 'must be a time zone such as UTC or Europe/Istanbul' } } });
    expect(await refused({ mail: { admin_unlink_request: true } })).toMatchObject({ status: 400, body: { details: { 'mail.admin_unlink_request': 'is not a kind of notification' } } });
    expect(await refused({ language: 'de' })).toMatchObject({ status: 400 });
    expect(await refused({ quiet: true })).toMatchObject({ status: 400 });
    const admin = api.signIn({ adminRole: 'admin' });
    expect((await api.ask('GET', path, { token: admin.token })).body).toMatchObject({ mail: { admin_unlink_request: true } });
  });
});
