import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { linkTokenHash } from '../../src/api/link-token.ts';
import type { LinkRow } from '../../src/projections/read-models.ts';
import { deviceIdOfSerial, newId } from '../../src/platform/ids.ts';
import { deviceRow, linkRow, progress, sealed, startApi, unlockRow, type TestApi } from '../support/api.ts';

let api: TestApi;
let token: string;
let userId: string;
let deviceId: string;
beforeEach(async () => {
  api = await startApi();
  ({ token, userId } = api.signIn());
  const device = deviceRow({ ownerId: userId });
  ({ deviceId } = device);
  api.world.devices.set(deviceId, device);
});
afterEach(() => api.stop());

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  api.ask(method, path, { token, headers, ...(body === undefined ? {} : { body }) });
const lastCommand = () => api.world.commands.at(-1);

describe("an owner's boxes", () => {
  test('are shown with what they last said and how old that is', async () => {
    const { body } = await ask('GET', '/api/v1/devices/my-devices');
    expect(body).toEqual([
      expect.objectContaining({ id: deviceId, serial_number: 'LB-004471', status: 'locked', lock_status: 'locked', lifecycle_status: 'active', is_online: true, is_stale: false, mqtt_client_id: `device_${deviceId}` }),
    ]);
    api.world.now += 6 * 60_000;
    expect((await ask('GET', `/api/v1/devices/${deviceId}/status`)).body).toMatchObject({ device_id: deviceId, status: 'locked', is_online: false, is_stale: true });
    expect((await ask('GET', `/api/v1/devices/${deviceId.toUpperCase()}`)).status).toBe(200);
  });

  test('are claimed with serial and PIN', async () => {
    const serial = 'LB-009999';
    const id = deviceIdOfSerial(serial);
    api.world.devices.set(id, deviceRow({ deviceId: id, serialNumber: serial, lifecycle: 'available' }));
    const { status, body } = await ask('POST', '/api/v1/devices/assign', { serial_number: ' lb-009999 ', pin: '123456' });
    expect([status, body]).toEqual([200, { message: 'Device assigned successfully', device: expect.objectContaining({ id, name: 'Loqey Box 9999', lifecycle_status: 'active' }) as unknown }]);
    expect(lastCommand()).toMatchObject({
      command: { type: 'AssignDevice', data: { deviceId: id, userId, pinTag: `tag:${id}:123456`, name: 'Loqey Box 9999' } },
      context: { actor: { kind: 'user', id: userId }, source: 'mobile_app', origin: { ip: expect.any(String) as string } },
    });
  });

  test('a claim is answered as accepted also when the read models are behind', async () => {
    api.world.reached = false;
    const answer = await ask('POST', '/api/v1/devices/assign', { serial_number: 'LB-008888', pin: '123456' });
    expect([answer.status, answer.headers.get('loqey-consistency')]).toEqual([200, 'pending']);
    expect(answer.headers.get('loqey-position')).toMatch(/^[\w-]{32}$/);
    expect(answer.body).toMatchObject({ device: { serial_number: 'LB-008888', status: 'unknown', lifecycle_status: 'assigned' } });
  });

  test('are renamed and placed in one request, each by its own command id', async () => {
    expect((await ask('PUT', `/api/v1/devices/${deviceId}`, { name: 'Front door', location_address: '14 Mill Lane', location_latitude: 41.1, location_longitude: -8.6 }, { 'idempotency-key': 'a' })).status).toBe(200);
    const [first, second] = api.world.commands.slice(-2);
    expect([first?.command.type, second?.command.type]).toEqual(['RenameDevice', 'ChangeDeviceLocation']);
    expect(second?.context.commandId).not.toBe(first?.context.commandId);
    expect(second?.context.causationId).toBe(first?.context.commandId);
    expect(second?.command.data).toMatchObject({ location: { address: '14 Mill Lane', latitude: 41.1, longitude: -8.6 } });
    expect((await ask('PUT', `/api/v1/devices/${deviceId}`, {})).status).toBe(400);
  });

  test('keep of their place what is not named; half a point is none', async () => {
    const place = async (body: object) => (await ask('PUT', `/api/v1/devices/${deviceId}`, body), api.world.commands.at(-1)?.command.data as { location?: object });
    expect(await place({ location_latitude: 41.1, location_longitude: -8.6 })).toMatchObject({ location: { address: '12 Mill Lane', latitude: 41.1, longitude: -8.6 } });
    const row = api.world.devices.get(deviceId);
    if (row !== undefined) api.world.devices.set(deviceId, { ...row, latitude: 1, longitude: 2 });
    expect((await place({ location_address: 'Back door' })).location).toEqual({ address: 'Back door', latitude: 1, longitude: 2 });
    expect((await place({ location_latitude: 3 })).location).toEqual({ address: '12 Mill Lane', latitude: 3, longitude: 2 });
    if (row !== undefined) api.world.devices.set(deviceId, row);
    expect(await ask('PUT', `/api/v1/devices/${deviceId}`, { name: 'New', location_latitude: 3 })).toMatchObject({ status: 400, body: { details: { location_longitude: 'is needed with location_latitude' } } });
    expect(api.world.commands.filter(({ command }) => command.type === 'RenameDevice')).toEqual([]);
  });

  test('an unlink names the opening that it came too late for', async () => {
    api.world.inFlight = { unlockId: newId(), expiresAt: '2026-11-21T10:00:30.000Z' };
    const { body } = await ask('DELETE', `/api/v1/devices/${deviceId}`, { reason: 'moving' });
    expect(body).toEqual({ message: 'Device unlinked successfully', in_flight: { command_id: api.world.inFlight.unlockId, expires_at: '2026-11-21T10:00:30.000Z' } });
    expect(lastCommand()?.command).toEqual({ type: 'UnlinkDevice', data: { deviceId, userId, reason: 'moving' } });
    expect((await ask('DELETE', `/api/v1/devices/${deviceId}/unlink`)).status).toBe(200);
  });

  test('open on request: asked, not done', async () => {
    const answer = await ask('POST', `/api/v1/devices/${deviceId}/unlock`);
    expect(answer.body).toMatchObject({ message: 'Unlock command sent', status: 'unlocking', success: true, device_id: deviceId });
    expect(api.world.asked.at(-1)).toMatchObject({ ask: { deviceId, cause: { kind: 'owner', id: userId } }, until: 'accepted', context: { lane: 'urgent' } });
    expect((await ask('PUT', `/api/v1/devices/${deviceId}/unlock`, {})).status).toBe(200);
    api.world.unlock = { kind: 'refused', refusal: { code: 'device_offline' } };
    expect(await ask('POST', `/api/v1/devices/${deviceId}/unlock`)).toMatchObject({ status: 409, body: { error: 'conflict', message: 'Device is offline' } });
    api.world.unlock = { kind: 'refused', refusal: { code: 'not_the_owner' } };
    expect(await ask('POST', `/api/v1/devices/${newId()}/unlock`)).toMatchObject({ status: 404, body: { message: 'Device not found or access denied' } });
  });

  test('never lock; the attempt is recorded', async () => {
    for (const method of ['PUT', 'POST']) {
      expect(await ask(method, `/api/v1/devices/${deviceId}/lock`)).toMatchObject({
        status: 422,
        body: { error: 'unprocessable', message: 'Devices can only be unlocked; lock state is reported by the device' },
      });
    }
    expect(api.world.refusals).toHaveLength(2);
    expect(api.world.refusals[0]).toMatchObject({ command: 'LockDevice', target: { kind: 'device', id: deviceId }, refusal: { code: 'lock_not_supported' } });
  });

  test('how far a request has come is for those whom it concerns', async () => {
    const row = unlockRow({ deviceId, cause: { kind: 'owner', id: userId }, state: 'opened', openedAt: '2026-11-21T09:59:59.000Z' });
    api.world.unlocks.set(row.unlockId, row);
    expect((await ask('GET', `/api/v1/commands/${row.unlockId}`)).body).toMatchObject({ command_id: row.unlockId, status: 'opened', success: true, message: 'Device unlocked successfully' });
    const other = api.signIn().token;
    expect((await api.ask('GET', `/api/v1/commands/${row.unlockId}`, { token: other })).status).toBe(404);
    const support = api.signIn({ adminRole: 'support' }).token;
    expect((await api.ask('GET', `/api/v1/commands/${row.unlockId}`, { token: support })).status).toBe(200);
  });
});

describe('access links', () => {
  const create = (body: object = {}, headers: Record<string, string> = {}) => ask('POST', '/api/v1/access/create-link', { device_id: deviceId, ...body }, headers);
  type Created = { link_id: string; id: string; access_url: string; expires_at: string };

  test('are made with a token that only their owner sees', async () => {
    const { body, status } = await create({ name: 'Parcel Friday', expires_at: '2026-11-22T12:00:00+03:00', max_uses: 3 });
    const created = body as Created;
    expect(status).toBe(200);
    expect(created.link_id).toMatch(/^[0-9A-Za-z]{32}$/);
    expect(created.access_url).toBe(`https://app.loqey.com/unlock/${created.link_id}`);
    expect(created.expires_at).toBe('2026-11-22T09:00:00.000Z');
    expect(lastCommand()?.command).toMatchObject({
      type: 'CreateLink',
      data: { userId, deviceId, tokenHash: linkTokenHash(created.link_id), maxUses: 3, latestExpiry: '2026-11-28T10:00:00.000Z', name: 'Parcel Friday' },
    });
    for (const key of [created.id, created.link_id]) {
      expect((await ask('GET', `/api/v1/access/links/${key}`)).body).toMatchObject({ id: created.id, access_url: created.access_url, is_active: true, usage_count: 0 });
    }
    expect((await create()).body).toMatchObject({ expires_at: '2026-11-22T10:00:00.000Z', max_uses: 1 });
  });

  test('the same key makes one link and shows it again; with another body it is a mistake', async () => {
    const first = await create({ name: 'a' }, { 'idempotency-key': 'k1' });
    const again = await create({ name: 'a' }, { 'idempotency-key': 'k1' });
    expect((again.body as Created).link_id).toBe((first.body as Created).link_id);
    expect(again.body).toEqual(first.body);
    expect(await create({ name: 'b' }, { 'idempotency-key': 'k1' })).toMatchObject({ status: 422, body: { error: 'unprocessable' } });
    const stranger = api.signIn().token;
    const theirs = await api.ask('POST', '/api/v1/access/create-link', { token: stranger, body: { device_id: deviceId, name: 'b' }, headers: { 'idempotency-key': 'k1' } });
    expect(theirs.status).toBe(200);
    for (const key of ['', 'x'.repeat(256), 'ü']) {
      if (key === 'ü') continue; // not a header value that a client can send
      const answer = await create({}, { 'idempotency-key': key });
      expect([key.length, answer.status]).toEqual([key.length, 400]);
    }
  });

  test('a repeat through another name of the same route is the same', async () => {
    const first = await create({}, { 'idempotency-key': 'k2' });
    const again = await ask('POST', '/api/links/create', { device_id: deviceId }, { 'idempotency-key': 'k2' });
    expect((again.body as Created).id).toBe((first.body as Created).id);
  });

  test('have limits that are named', async () => {
    api.world.refuse = { CreateLink: { code: 'link_expiry_invalid' } };
    expect(await create({ expires_at: '2027-01-01T00:00:00Z' })).toMatchObject({ status: 400, body: { error: 'validation_error', details: { expires_at: expect.any(String) as string } } });
    api.world.refuse = {};
    for (const [body, field] of [
      [{ expires_at: '2026-11-22' }, 'expires_at'],
      [{ expires_at: '2026-11-22T10:00:00' }, 'expires_at'],
      [{ max_uses: 0 }, 'max_uses'],
      [{ max_uses: 1.5 }, 'max_uses'],
      [{ max_uses: '2' }, 'max_uses'],
      [{ window: { time_zone: 'Mars/Olympus', days: [1], from: '08:00', to: '18:00' } }, 'window.time_zone'],
      [{ window: { time_zone: 'UTC', days: [8], from: '08:00', to: '18:00' } }, 'window.days.0'],
    ] as const) {
      expect(await create(body), field).toMatchObject({ status: 400, body: { details: { [field]: expect.any(String) as string } } });
    }
  });

  describe('of their owner', () => {
    let link: LinkRow;
    beforeEach(() => {
      link = linkRow({ ownerId: userId, deviceId, tokenHash: linkTokenHash('A'.repeat(32)), token: sealed('A'.repeat(32)) });
      api.world.links.set(link.linkId, link);
    });

    test('are changed, ended and hidden; an opening that could not be stopped is named', async () => {
      expect((await ask('PUT', `/api/v1/access/links/${link.linkId}`, { max_uses: 5 })).body).toMatchObject({ message: 'Link updated successfully', link: { id: link.linkId } });
      api.world.inFlight = { unlockId: newId(), expiresAt: '2026-11-21T10:00:30.000Z' };
      for (const [method, path, message, type] of [
        ['POST', `/api/v1/access/links/${link.linkId}/deactivate`, 'Link deactivated successfully', 'RevokeLink'],
        ['PUT', `/api/v1/links/${'A'.repeat(32)}/revoke`, 'Link deactivated successfully', 'RevokeLink'],
        ['DELETE', `/api/links/${link.linkId}`, 'Link deleted successfully', 'DeleteLink'],
      ] as const) {
        expect((await ask(method, path)).body).toEqual({ message, in_flight: { command_id: api.world.inFlight.unlockId, expires_at: '2026-11-21T10:00:30.000Z' } });
        expect(lastCommand()?.command).toEqual({ type, data: { linkId: link.linkId, deviceId, userId } });
      }
      api.world.links.set(link.linkId, { ...link, deleted: true });
      expect((await ask('GET', `/api/v1/access/links/${link.linkId}`)).status).toBe(404);
    });

    test('are listed bare with counts in headers, or by page', async () => {
      for (let i = 0; i < 4; i++) {
        const more = linkRow({ ownerId: userId, deviceId: i === 0 ? newId() : deviceId, isActive: i > 1 });
        api.world.links.set(more.linkId, more);
      }
      const bare = await ask('GET', '/api/v1/access/my-links?limit=2&offset=2');
      const cursor = bare.headers.get('x-next-cursor');
      expect([bare.body, bare.headers.get('x-total-count'), cursor]).toEqual([expect.objectContaining({ length: 2 }), '5', expect.stringMatching(/^[0-9a-z]+\.[0-9a-f-]{36}$/)]);
      expect(bare.headers.get('link')).toBe(`</api/v1/access/my-links?limit=2&cursor=${cursor}>; rel="next", </api/v1/access/my-links?limit=2&offset=0>; rel="prev"`);
      expect((await ask('GET', `/api/v1/access/my-links?limit=2&cursor=${cursor}`)).body).toHaveLength(1);
      expect((await ask('GET', '/api/v1/access/my-links?page=3&page_size=2&active=true')).body).toMatchObject({ count: 3, current_page: 3, next: null, total_pages: 2, results: [] });
      expect((await ask('GET', '/api/v1/access/my-links?page=1&page_size=2')).body).toMatchObject({ count: 5, current_page: 1, previous: null, total_pages: 3, next: '/api/v1/access/my-links?page=2&page_size=2' });
      expect((await ask('GET', `/api/v1/links/device/${deviceId}`)).body).toHaveLength(4);
      expect((await ask('GET', '/api/v1/access/my-links?limit=101')).status).toBe(400);
    });

    test('show their address only while they work', async () => {
      api.world.links.set(link.linkId, { ...link, isActive: false, status: 'used' });
      expect((await ask('GET', `/api/v1/access/links/${link.linkId}`)).body).toMatchObject({ status: 'used', access_url: null });
    });
  });
});

describe('deliveries', () => {
  test('are openings by a link, with who came', async () => {
    const row = { ...unlockRow({ deviceId, state: 'opened', openedAt: '2026-11-21T09:59:59.000Z' }), linkId: newId(), linkName: 'Friday', ownerId: userId, courier: { name: 'Jo', company: 'DPD' } };
    api.world.deliveries.set(row.unlockId, row);
    const expected = { id: row.unlockId, device_id: deviceId, unlocked_at: '2026-11-21T09:59:59.000Z', unlocked_by: 'delivery_link', completed: true, delivery_person_name: 'Jo', courier_company: 'DPD', delivery_person_id: 'unknown', delivery_notes: null };
    expect((await ask('GET', '/api/v1/deliveries/my-deliveries')).body).toMatchObject([expected]);
    expect((await ask('GET', `/api/v1/deliveries/${row.unlockId}`)).body).toMatchObject(expected);
  });
});

describe('with a link and no account', () => {
  const TOKEN = 'Z'.repeat(32);
  let link: LinkRow;
  beforeEach(() => {
    link = linkRow({ ownerId: userId, deviceId, tokenHash: linkTokenHash(TOKEN) });
    api.world.links.set(link.linkId, link);
  });
  const courier = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    api.ask(method, `/api/v1/delivery/link/${TOKEN}${path}`, { headers, ...(body === undefined ? {} : { body }) });

  test('one sees the box while the link works, and afterwards only why not', async () => {
    expect((await courier('GET', '/info')).body).toMatchObject({ is_valid: true, reason: null, device_id: deviceId, device_name: 'Mill Lane 12', device_location: '12 Mill Lane', already_used: false, uses_left: 1 });
    const device = api.world.devices.get(deviceId);
    if (device === undefined) throw new Error('no such box');
    const cases = [
      [{ status: 'expired' as const, isActive: false }, {}, 'expired', 'Access link has expired'],
      [{ expiresAt: '2026-11-21T10:00:00.000Z' }, {}, 'expired', 'Access link has expired'],
      [{ status: 'used' as const, currentUses: 1 }, {}, 'used', 'Access link has already been used'],
      [{ status: 'revoked' as const }, {}, 'revoked', 'Access link was cancelled'],
      [{ deleted: true }, {}, 'revoked', 'Access link was cancelled'],
      [{ startsAt: '2026-11-21T11:00:00.000Z' }, {}, 'not_yet_valid', 'Access link is not valid yet'],
      [{ window: { timeZone: 'UTC', days: [1], from: '08:00', to: '18:00' } }, {}, 'outside_hours', 'The device cannot be opened with this link at this hour'],
      [{}, { assignmentId: null, ownerId: null }, 'device_unavailable', 'Access link is no longer valid'],
      [{}, { ownerSuspended: true }, 'device_unavailable', 'Access link is no longer valid'],
      [{}, { lifecycle: 'maintenance' as const }, 'device_in_maintenance', 'The device is in maintenance'],
    ] as const;
    for (const [change, deviceChange, reason, message] of cases) {
      api.world.links.set(link.linkId, { ...link, ...change } as LinkRow);
      api.world.devices.set(deviceId, { ...device, ...deviceChange });
      const { status, body } = await courier('GET', '/info');
      expect([status, body]).toEqual([200, expect.objectContaining({ is_valid: false, reason, message, device_id: null, device_name: null, device_location: null })]);
      expect((await courier('GET', '/status')).body).toMatchObject({ device_status: 'unknown' });
    }
    expect(api.world.asked).toHaveLength(0);
  });

  test('looking takes no use, however often and by whomever', async () => {
    for (let i = 0; i < 20; i++) {
      for (const agent of ['Slackbot-LinkExpanding 1.0', 'WhatsApp/2.0', 'Mozilla/5.0 (Outlook)']) {
        await courier('GET', '/info', undefined, { 'user-agent': agent });
        await courier('HEAD', '/info', undefined, { 'user-agent': agent });
        await courier('HEAD', '/unlock', undefined, { 'user-agent': agent });
        await courier('OPTIONS', '/unlock', undefined, { 'user-agent': agent });
      }
    }
    expect((await courier('GET', '/unlock')).status).toBe(405);
    expect([api.world.asked.length, api.world.commands.length]).toEqual([0, 0]);
  });

  test('one opens the box: confirmed', async () => {
    api.world.unlock = { kind: 'progress', repeated: false, unlock: progress({ deviceId, state: 'opened', at: '2026-11-21T10:00:01.000Z' }) };
    const { status, body } = await courier('POST', '/unlock', { delivery_person_name: 'Jo', courier_company: 'DPD', delivery_person_id: '7', delivery_notes: 'Left\nat the door' }, { 'user-agent': 'a phone' });
    expect([status, body]).toEqual([
      200,
      { message: 'Device unlocked successfully', status: 'opened', device_id: deviceId, unlocked_at: '2026-11-21T10:00:01.000Z', delivery_complete: true, command_id: api.world.unlock.unlock.unlockId },
    ]);
    expect(api.world.asked.at(-1)).toMatchObject({
      ask: { deviceId, cause: { kind: 'link', id: link.linkId }, courier: { name: 'Jo', company: 'DPD', personId: '7', notes: 'Left\nat the door' } },
      until: 'outcome',
      context: { actor: { kind: 'courier', id: link.linkId }, source: 'delivery_link', origin: { userAgent: 'a phone' }, lane: 'urgent' },
    });
  });

  test('one opens the box: under way', async () => {
    api.world.unlock = { kind: 'progress', repeated: false, unlock: progress({ deviceId, state: 'published' }) };
    const { unlockId } = api.world.unlock.unlock;
    const { status, body } = await api.ask('POST', `/api/delivery/${TOKEN}/unlock`);
    expect([status, body]).toMatchObject([202, { status: 'unlocking', delivery_complete: false, command_id: unlockId, status_url: `/api/v1/delivery/link/${TOKEN}/status?command_id=${unlockId}` }]);
    api.world.unlocks.set(unlockId, unlockRow({ unlockId, deviceId, cause: { kind: 'link', id: link.linkId }, state: 'unknown' }));
    expect((await api.ask('GET', (body as { status_url: string }).status_url)).body).toMatchObject({
      link_status: 'active',
      delivery_complete: false,
      command: { command_id: unlockId, status: 'unknown', heading: 'We are not sure whether the box opened', text: 'Look at the door. If it is open, put the parcel in and close it.' },
    });
    // The box is shown on as the one that they opened, and not as the one of whoever has it next.
    const asked = async () => (await courier('GET', '/status')).body;
    const box = api.world.devices.get(deviceId);
    if (box === undefined) throw new Error('no such box');
    api.world.links.set(link.linkId, { ...link, status: 'used', currentUses: 1 });
    api.world.devices.set(deviceId, { ...box, lockStatus: 'unlocked' });
    expect(await asked()).toMatchObject({ device_status: 'unlocked' });
    api.world.devices.set(deviceId, { ...box, lockStatus: 'unlocked', assignmentId: newId(), ownerId: newId() });
    expect(await asked()).toMatchObject({ device_status: 'unknown' });
    const foreign = unlockRow({ cause: { kind: 'link', id: newId() } });
    api.world.unlocks.set(foreign.unlockId, foreign);
    expect((await courier('GET', `/status?command_id=${foreign.unlockId}`)).body).toMatchObject({ command: null });
  });

  test('what could not be done is said exactly; "not used up" only where it is so', async () => {
    const outcomes = [
      ['failed', 'jammed', false, 409, 'conflict', 'The door is stuck', 'The door is stuck'],
      ['failed', 'low_voltage', true, 409, 'conflict', 'The box did not open', 'The box did not open'],
      ['failed', 'low_voltage', false, 409, 'conflict', 'The box did not open', 'The box did not open'],
      ['expired', undefined, true, 409, 'conflict', 'The box did not open', 'The box did not open'],
      ['unknown', 'no_answer', false, 409, 'conflict', 'We are not sure whether the box opened', 'We are not sure whether the box opened'],
      ['cancelled', 'link_revoked', true, 422, 'unprocessable', 'Access link was cancelled', 'This link was cancelled'],
      ['cancelled', 'owner_suspended', true, 422, 'unprocessable', "The owner's account is suspended", 'This box no longer accepts deliveries'],
      ['cancelled', 'device_unreachable', true, 409, 'conflict', 'Device is offline', 'The box has no connection'],
    ] as const;
    for (const [state, reason, useReturned, status, error, message, heading] of outcomes) {
      api.world.unlock = { kind: 'progress', repeated: false, unlock: progress({ deviceId, state, useReturned, ...(reason === undefined ? {} : { reason }) }) };
      const answer = await courier('POST', '/unlock');
      expect([answer.status, answer.body], `${state} ${reason}`).toMatchObject([status, { error, message, details: { status: state, heading, use_returned: useReturned } }]);
      expect(answer.text.includes('not been used up'), `${state} ${reason}`).toBe(useReturned && reason !== 'link_revoked' && reason !== 'owner_suspended');
    }
    const refusals = [
      ['link_expired', 422, 'Access link has expired', 'This link has expired'],
      ['link_used', 422, 'Access link has already been used', 'This link has already been used'],
      ['link_revoked', 422, 'Access link was cancelled', 'This link was cancelled'],
      ['device_busy', 409, 'The box is busy', 'The box is being opened by someone else'],
      ['device_offline', 409, 'Device is offline', 'The box has no connection'],
      ['device_in_maintenance', 422, 'The device is in maintenance', 'This box is out of service'],
      ['identity_required', 400, 'Name and company are required', 'Two details are missing'],
      ['level0_no_deliveries', 422, 'This box cannot take deliveries', 'This box no longer accepts deliveries'],
    ] as const;
    for (const [code, status, message, heading] of refusals) {
      api.world.unlock = { kind: 'refused', refusal: { code } };
      expect(await courier('POST', '/unlock'), code).toMatchObject({ status, body: { message, details: { reason: code, heading } } });
    }
  });

  test('an unknown link is a 404 and no more, whatever it looks like', async () => {
    for (const token of ['B'.repeat(32), 'short', 'x'.repeat(255), '..%2f..%2fetc', newId(), `${TOKEN}x`, TOKEN.toLowerCase()]) {
      const answer = await api.ask('GET', `/api/v1/delivery/link/${token}/info`);
      expect(answer, token).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Access link not found' } });
    }
    expect((await api.ask('POST', `/api/v1/delivery/link/${'B'.repeat(32)}/unlock`)).status).toBe(404);
  });

  test('the same key is the same opening', async () => {
    await courier('POST', '/unlock', {}, { 'idempotency-key': 'visit' });
    await courier('POST', '/unlock', {}, { 'idempotency-key': 'visit' });
    await courier('POST', '/unlock', {}, { 'idempotency-key': 'another' });
    const ids = api.world.asked.map(({ context }) => context.commandId);
    expect([ids[0] === ids[1], ids[0] === ids[2]]).toEqual([true, false]);
    expect((await courier('POST', '/unlock', { delivery_person_name: 'Jo' }, { 'idempotency-key': 'visit' })).status).toBe(422);
  });

  test('members that are not known are refused by name', async () => {
    expect(await courier('POST', '/unlock', { owner_id: 'x' })).toMatchObject({ status: 400, body: { details: { owner_id: 'is not known here' } } });
    expect(await courier('POST', '/unlock', { delivery_person_name: 7 })).toMatchObject({ status: 400, body: { details: { delivery_person_name: expect.any(String) as string } } });
  });
});
