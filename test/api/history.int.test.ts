import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyChanges, type Change } from '../../src/audit/history/diff.ts';
import type { Shown } from '../../src/audit/history/states.ts';
import type { DeviceEvent } from '../../src/domain/device/events.ts';
import type { Actor } from '../../src/domain/kernel.ts';
import type { JsonObject } from '../../src/platform/event-store/port.ts';
import { newId, timeOf } from '../../src/platform/ids.ts';
import type { AuditRow, UnlockRow } from '../../src/projections/read-models.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { linkRow, unlockRow, userRow } from '../support/world.ts';
import { admin, assignmentId, bob, deviceId, event, linkId, unlockId } from '../domain/device/box.ts';

/** What is asked of a past that is known, event by event. */
const minute = (minutes: number, seconds = 0) => `2026-11-21T08:${String(minutes).padStart(2, '0')}:${String(seconds).padStart(2, '0')}.000Z`;
const byLink = { kind: 'link', id: linkId } as const;
const courier: Actor = { kind: 'courier', id: linkId };
let api: TestApi;
let owner: string;
let token: string;
let support: string;
let positions: string[];
const ids: string[] = [];

interface Body {
  readonly past: true;
  readonly as_of: string;
  readonly ends_with: { readonly type: string; readonly position: string };
  readonly state: Shown;
  readonly owner_email: string | null;
  readonly changes: readonly (Change & { readonly event: { readonly type: string } | null })[];
  readonly [name: string]: unknown;
}

async function append(stream: string, at: string, type: string, data: unknown, actor: Actor = { kind: 'system', id: 'test' }): Promise<bigint> {
  const id = newId();
  ids.push(id);
  const metadata = { schemaVersion: 1, commandId: id, correlationId: id, causationId: id, actor, source: 'system', occurredAt: at } as const;
  return (await api.world.log.append(stream, 'any', [{ eventId: id, type, data: data as JsonObject, metadata }])).position;
}
const box = (at: string, { type, data }: DeviceEvent, actor?: Actor) => append(`device-${deviceId}`, at, type, data, actor);

const get = async (path: string, as = token) => {
  const { status, body } = await api.ask('GET', `/api/v1${path}`, { token: as });
  return { status, body: body as Body };
};

beforeAll(async () => {
  api = await startApi();
  const { world } = api;
  token = api.signIn({ adminRole: 'admin' }).token;
  support = api.signIn({ adminRole: 'support' }).token;
  owner = userRow().userId;
  world.users.set(owner, userRow({ userId: owner }));
  world.links.set(linkId, linkRow({ linkId, deviceId, ownerId: owner, createdAt: minute(10) }));
  world.unlocks.set(unlockId, unlockRow({ unlockId, deviceId, cause: byLink }));
  await append(`user-${owner}`, minute(0), 'UserRegistered', { userId: owner, profile: { $s: 1, sub: `user:${owner}`, k: 'k', n: '', c: '' } });
  const told = [
    await box(minute(1), event('DeviceRegistered', { deviceId, serialNumber: 'LB-1', model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 'tag-of-the-pin', pinExpiresAt: minute(59) })),
    await box(minute(2), event('DeviceAssigned', { assignmentId, userId: owner, name: 'Door' })),
    await box(minute(3), event('DeviceProtocolPinned', { level: 1 })),
    await box(minute(10), event('LinkCreated', { linkId, assignmentId, tokenHash: 'hash-of-the-token', token: 'x', expiresAt: minute(50), maxUses: 1, requireIdentity: true })),
    await box(minute(15), event('MaintenanceStarted', { reason: 'hinge' }), { kind: 'admin', id: admin }),
    await box(minute(20), event('MaintenanceEnded', {}), { kind: 'admin', id: admin }),
    await box(minute(30), event('UnlockRequested', { unlockId, cause: byLink, assignmentId, issuedAt: minute(30), expiresAt: minute(30, 30) }), courier),
    await box(minute(30, 1), event('UnlockDispatched', { unlockId, level: 1, seq: 7 })),
    await box(minute(30, 3), event('UnlockConfirmed', { unlockId, evidence: 'sensor' })),
    // A clock that is behind: it comes after the confirmation, and says that it was before.
    await box(minute(30, 2), event('BatteryLevelChanged', { level: 80, evidence: 'signed' })),
    await append('refusal-20261121-1', minute(31), 'CommandRefused', { command: 'RequestUnlock', target: { kind: 'link', id: linkId }, reason: 'link_used' }, courier),
    await append('refusal-20261121-1', minute(32), 'CommandRefused', { command: 'RequestUnlock', target: { kind: 'device', id: deviceId }, reason: 'device_offline' }, { kind: 'user', id: owner }),
    await append('refusal-20261121-1', minute(33), 'CommandRefused', { command: 'AssignDevice', target: { kind: 'device', id: deviceId }, reason: 'pin_invalid' }, { kind: 'user', id: bob }),
  ];
  await append(`user-${owner}`, minute(40), 'UserSuspended', {});
  positions = told.map((position) => api.api.positions.encode(position));
  const rows = world.log.all.filter(({ data }) => data['unlockId'] === unlockId).map(({ stream, revision, type }) => ({ stream, revision, type, unlockId }) as unknown as AuditRow);
  const list = async ({ unlockId: of, after = 0n }: { unlockId?: string; after?: bigint }) => ({ rows: of === undefined ? world.log.all.filter(({ position }) => position === after + 1n) : of === unlockId ? rows : [], total: rows.length });
  Object.assign(world.reads.audit, { list });
});
afterAll(() => api?.stop());

describe('a box of the past', () => {
  it('is said to be past, with the event that it ends with', async () => {
    const { status, body } = await get(`/admin/devices/${deviceId}/state?as_of=${minute(16)}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ past: true, as_of: minute(16), device_id: deviceId, owner_email: 'ana@example.com', ends_with: { type: 'MaintenanceStarted', at: minute(15), position: positions[4] } });
    expect(body.state).toMatchObject({ maintenance: true, lifecycle_status: 'maintenance', assignment: { user_id: owner }, serial_number: 'LB-1' });
    expect(JSON.stringify(body)).not.toContain('tag-of-the-pin');
    expect((await get(`/admin/devices/${deviceId.toUpperCase()}/state?as_of=${positions[5]}`)).body).toMatchObject({ as_of: minute(20), state: { maintenance: false } });
    expect((await get(`/admin/devices/${deviceId}/state`)).body).toMatchObject({ as_of: '2026-11-21T10:00:00.000Z', ends_with: { type: 'BatteryLevelChanged' } });
    expect((await get(`/admin/devices/${deviceId}/state?as_of=2026-11-21T11:16:00%2B03:00`)).body).toMatchObject({ as_of: minute(16), state: { maintenance: true } });
  });

  it('ends with the last event, in the order of the log, that is not later', async () => {
    // What was confirmed a second later than the last one says is in the prefix that this one ends.
    expect((await get(`/admin/devices/${deviceId}/state?as_of=${minute(30, 2)}`)).body).toMatchObject({ ends_with: { type: 'BatteryLevelChanged' }, state: { reported: { battery: 80 }, unlocks: { current: null } } });
    expect((await get(`/admin/devices/${deviceId}/state?as_of=${minute(30, 1)}`)).body).toMatchObject({ ends_with: { type: 'UnlockDispatched' }, state: { unlocks: { current: { phase: 'dispatched' } } } });
  });

  it('is not there before it was registered, and not where it never was', async () => {
    expect(await get(`/admin/devices/${deviceId}/state?as_of=${minute(0)}`)).toMatchObject({ status: 404, body: { message: 'There was no such box yet', details: { exists_since: minute(1) } } });
    expect(await get(`/admin/devices/${newId()}/state`)).toMatchObject({ status: 404, body: { message: 'Device not found' } });
    expect(await get(`/admin/links/${linkId}/state?as_of=${minute(5)}`)).toMatchObject({ status: 404, body: { message: 'There was no such link yet', details: { exists_since: minute(10) } } });
    expect(await get(`/admin/links/${newId()}/state`)).toMatchObject({ status: 404, body: { message: 'Access link not found' } });
    expect(await get(`/admin/users/${newId()}/state`)).toMatchObject({ status: 404, body: { message: 'User not found' } });
    expect(await get(`/admin/deliveries/${newId()}/state`)).toMatchObject({ status: 404, body: { message: 'Command not found' } });
    expect(await get(`/admin/deliveries/${unlockId}/state?as_of=${minute(20)}`)).toMatchObject({ status: 404, body: { message: 'There was no such opening yet', details: { exists_since: minute(30) } } });
  });

  it.each([
    ['a future instant', '2026-11-22T10:00:00Z', 'is in the future'],
    ['a time without a zone', '2026-11-21T10:00:00', 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log'],
    ['a position of another log', 'A'.repeat(32), 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log'],
    ['no time at all', 'yesterday', 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log'],
  ])('%s is refused', async (_, asOf, text) => {
    expect(await get(`/admin/devices/${deviceId}/state?as_of=${asOf}`)).toMatchObject({ status: 400, body: { error: 'validation_error', details: { as_of: text } } });
  });

  it('is read with the right to read the audit log, and names people to those who may read accounts', async () => {
    expect((await get(`/admin/devices/${deviceId}/state`, support)).body.owner_email).toBe('ana@example.com');
    const { token: plain } = api.signIn();
    for (const path of ['state', 'diff?from=2026-11-21T08:00:00Z', 'why']) expect((await get(`/admin/devices/${deviceId}/${path}`, plain)).status).toBe(403);
    expect((await api.ask('GET', `/api/v1/admin/devices/${deviceId}/state`)).status).toBe(401);
  });
});

describe('links, accounts and openings of the past', () => {
  it('are as they were', async () => {
    expect((await get(`/admin/links/${linkId}/state?as_of=${minute(29)}`)).body).toMatchObject({ device_id: deviceId, owner_email: 'ana@example.com', state: { uses: 0, uses_left: 1, status: 'active' } });
    expect((await get(`/admin/links/${linkId}/state?as_of=${minute(31)}`)).body).toMatchObject({ state: { uses: 1, uses_left: 0, status: 'used' } });
    // By the clock, without an event.
    expect((await get(`/admin/links/${linkId}/state?as_of=${minute(51)}`)).body).toMatchObject({ ends_with: { type: 'BatteryLevelChanged' }, state: { status: 'expired', expiry_recorded: false } });
    expect(JSON.stringify((await get(`/admin/links/${linkId}/state`)).body)).not.toContain('hash-of-the-token');
    expect((await get(`/admin/users/${owner}/state?as_of=${minute(39)}`)).body).toMatchObject({ email: 'ana@example.com', state: { user_id: owner, suspended: false } });
    expect((await get(`/admin/users/${owner}/state`)).body).toMatchObject({ state: { suspended: true } });
    expect((await get(`/admin/deliveries/${unlockId}/state?as_of=${positions[7]}`)).body).toMatchObject({ device_id: deviceId, state: { status: 'dispatched', dispatched_at: minute(30, 1), opened_at: null } });
    expect((await get(`/admin/deliveries/${unlockId}/state`)).body).toMatchObject({ ends_with: { type: 'UnlockConfirmed' }, state: { status: 'opened', opened_at: minute(30, 3), evidence: 'sensor' } });
  });

  it('are being prepared where the audit log has not taken them in', async () => {
    const late = newId();
    api.world.unlocks.set(late, unlockRow({ unlockId: late, deviceId }));
    expect(await get(`/admin/deliveries/${late}/state`)).toMatchObject({ status: 503, body: { message: 'This history is being prepared. Try again' } });
  });
});

describe('a difference', () => {
  it('names each fact that changed, and the event that changed it last', async () => {
    const { status, body } = await get(`/admin/devices/${deviceId}/diff?from=${minute(14)}&to=${positions[9]}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ past: true, from: { as_of: minute(14), exists: true, ends_with: { type: 'LinkCreated' } }, to: { as_of: minute(30, 2), ends_with: { type: 'BatteryLevelChanged' } } });
    expect(body.changes.map(({ path, before, after, event: by }) => [path, before, after, by?.type])).toEqual([
      ['/seen', false, true, 'UnlockConfirmed'],
      ['/unlocks/last_seq', 0, 7, 'UnlockDispatched'],
      ['/reported/battery', null, 80, 'BatteryLevelChanged'],
      ['/lifecycle_status', 'assigned', 'active', 'UnlockConfirmed'],
    ]);
    const [from, to] = [await get(`/admin/devices/${deviceId}/state?as_of=${minute(14)}`), await get(`/admin/devices/${deviceId}/state?as_of=${positions[9]}`)];
    expect(applyChanges(from.body.state, body.changes)).toEqual(to.body.state);
  });

  it('begins with nothing, where there was nothing', async () => {
    const { body } = await get(`/admin/links/${linkId}/diff?from=${minute(5)}&to=${minute(51)}`);
    expect(body).toMatchObject({ from: { exists: false }, to: { exists: true } });
    const of = new Map(body.changes.map(({ path, after, event: by }) => [path, [after, by?.type]]));
    expect(of.get('/uses')).toEqual([1, 'UnlockRequested']);
    expect(of.get('/max_uses')).toEqual([1, 'LinkCreated']);
  });

  it('says where no event changed a fact, but the time that passed', async () => {
    const { body } = await get(`/admin/links/${linkId}/diff?from=${minute(40)}&to=${minute(51)}`);
    expect(body.changes).toEqual([{ path: '/status', before: 'used', after: 'expired', event: null }]);
  });

  it('is of accounts and openings too, and not backwards', async () => {
    expect((await get(`/admin/users/${owner}/diff?from=${minute(1)}`)).body.changes).toMatchObject([{ path: '/suspended', before: false, after: true, event: { type: 'UserSuspended' } }]);
    const { body } = await get(`/admin/deliveries/${unlockId}/diff?from=${minute(30)}&to=${positions[8]}`);
    expect(body.changes).toMatchObject([
      { path: '/status', before: 'requested', after: 'opened', event: { type: 'UnlockConfirmed' } },
      { path: '/evidence', after: 'sensor' },
      { path: '/dispatched_at', event: { type: 'UnlockDispatched' } },
      { path: '/opened_at' },
      { path: '/ended_at' },
    ]);
    expect(await get(`/admin/devices/${deviceId}/diff?from=${minute(20)}&to=${minute(10)}`)).toMatchObject({ status: 400, body: { details: { to: 'is before from' } } });
    expect(await get(`/admin/devices/${deviceId}/diff?from=${positions[5]}&to=${positions[4]}`)).toMatchObject({ status: 400, body: { details: { to: 'is before from' } } });
    expect(await get(`/admin/devices/${newId()}/diff?from=${minute(1)}`)).toMatchObject({ status: 404 });
    expect((await get(`/admin/devices/${deviceId}/diff`)).status).toBe(400);
  });
});

describe('why', () => {
  it('a link opened or not is said by the rule, with the event that decided and what it looked at', async () => {
    expect((await get(`/admin/links/${linkId}/why?as_of=${minute(16)}`)).body).toMatchObject({
      past: true,
      outcome: 'refused',
      reason: 'device_in_maintenance',
      message: 'The device is in maintenance',
      asked_by: byLink,
      decided_by: { event: { type: 'MaintenanceStarted', actor: { kind: 'admin', id: admin } }, before: 'allowed' },
    });
    expect((await get(`/admin/links/${linkId}/why?as_of=${minute(25)}`)).body).toMatchObject({ outcome: 'allowed', reason: null, decided_by: { event: { type: 'MaintenanceEnded' }, before: 'device_in_maintenance' } });
    const { body } = await get(`/admin/links/${linkId}/why?as_of=${minute(31)}`);
    expect(body).toMatchObject({ outcome: 'refused', reason: 'link_used', details: { used_at: minute(30, 3) }, decided_by: { event: { type: 'UnlockRequested' }, before: 'allowed' } });
    expect(body['facts']).toEqual(expect.arrayContaining([expect.objectContaining({ path: '/link/uses', value: 1, event: expect.objectContaining({ type: 'UnlockRequested' }) as unknown })]));
    expect((await get(`/admin/links/${linkId}/why?as_of=${minute(51)}`)).body).toMatchObject({ reason: 'link_expired', details: { expires_at: minute(50) }, decided_by: { event: { type: 'LinkCreated' }, before: 'link_not_found' } });
    expect((await get(`/admin/links/${linkId}/why?as_of=${minute(5)}`)).body).toMatchObject({ reason: 'link_not_found', decided_by: null });
  });

  it('a person could open a box or not', async () => {
    expect((await get(`/admin/devices/${deviceId}/why?as_of=${minute(12)}`)).body).toMatchObject({ outcome: 'allowed', asked_by: { kind: 'owner', id: owner }, decided_by: { event: { type: 'DeviceAssigned' }, before: 'not_the_owner' } });
    expect((await get(`/admin/devices/${deviceId}/why?as_of=${minute(12)}&user_id=${bob}`)).body).toMatchObject({ outcome: 'refused', reason: 'not_the_owner' });
    expect((await get(`/admin/devices/${deviceId}/why?as_of=${minute(30, 1)}`)).body).toMatchObject({ outcome: 'refused', reason: 'device_busy', details: { unlock_id: unlockId }, decided_by: { event: { type: 'UnlockRequested' }, before: 'allowed' } });
  });

  it('an opening was allowed', async () => {
    for (const path of ['deliveries', 'unlocks']) {
      expect((await get(`/admin/${path}/${unlockId}/why`)).body).toMatchObject({
        unlock_id: unlockId,
        link_id: linkId,
        as_of: minute(30),
        ends_with: { type: 'MaintenanceEnded' },
        outcome: 'allowed',
        recorded: { outcome: 'allowed', agrees: true, event: { type: 'UnlockRequested', actor: courier } },
      });
    }
    expect((await get(`/admin/unlocks/${newId()}/why`)).status).toBe(404);
  });

  it('a request was refused', async () => {
    expect((await get(`/admin/refusals/${positions[10]}/why`)).body).toMatchObject({
      outcome: 'refused',
      reason: 'link_used',
      decided_by: { event: { type: 'UnlockRequested' }, before: 'allowed' },
      recorded: { outcome: 'refused', reason: 'link_used', agrees: true, event: { type: 'CommandRefused' } },
    });
    // Its rules would have let it open: it was not there.
    expect((await get(`/admin/refusals/${positions[11]}/why`)).body).toMatchObject({ outcome: 'allowed', recorded: { reason: 'device_offline', agrees: true } });
    expect(await get(`/admin/refusals/${positions[12]}/why`)).toMatchObject({ status: 422, body: { message: 'Only a refused opening can be explained', details: { command: 'AssignDevice', reason: 'pin_invalid' } } });
    expect(await get(`/admin/refusals/${positions[3]}/why`)).toMatchObject({ status: 404, body: { message: 'There is no refusal at this position' } });
    expect((await get('/admin/refusals/nothing/why')).status).toBe(404);
  });
});

describe('the way of one opening', () => {
  const correlationId = '019a9f3c-0000-7000-8000-000000000001';
  const asked = new Date(Date.parse(timeInId(correlationId)) + 6).toISOString();
  const after = (ms: number) => new Date(Date.parse(asked) + ms).toISOString();
  const cause = { kind: 'link', id: linkId } as const;
  const base = { deviceId, cause, correlationId, requestedAt: asked, expiresAt: after(30_000), dispatchedAt: null, publishedAt: null, acknowledgedAt: null } as const;
  const trace = async (over: Partial<UnlockRow>) => {
    const row = unlockRow({ ...base, ...over });
    api.world.unlocks.set(row.unlockId, row);
    const { status, body } = await get(`/admin/unlocks/${row.unlockId}/trace`);
    expect(status).toBe(200);
    return body as unknown as { steps: { step: string; state: string; offset_ms: number | null; latency_ms: number | null; note: string | null }[]; standing: { is: string; step: string; since: string; text: string }; link: unknown; request: unknown };
  };
  const inShort = ({ steps }: Awaited<ReturnType<typeof trace>>) => steps.map(({ step, state, offset_ms: offset, latency_ms: latency }) => [step, state, offset, latency]);

  it('goes from the request to the delivery, with the time of each step', async () => {
    const whole = await trace({ state: 'opened', dispatchedAt: after(2), publishedAt: after(15), acknowledgedAt: null, openedAt: after(400), endedAt: after(400) });
    expect(inShort(whole)).toEqual([
      ['request', 'done', 0, null],
      ['asked', 'done', 6, 6],
      ['dispatched', 'done', 8, 2],
      ['published', 'done', 21, 13],
      ['acknowledged', 'untold', null, null],
      ['confirmed', 'done', 406, 385],
      ['delivered', 'done', 406, 0],
    ]);
    expect(whole.standing).toEqual({ is: 'complete', step: 'delivered', since: after(400), text: 'The bolt moved 400 ms after it was asked for.' });
    expect(whole).toMatchObject({ request: { id: correlationId, actor: { kind: 'courier', id: linkId } }, link: { link_id: linkId, max_uses: 1 } });
  });

  it.each<[string, Partial<UnlockRow>, object]>([
    ['has just been asked', { state: 'requested' }, { is: 'under_way', step: 'dispatched' }],
    ['is with the broker', { state: 'published', dispatchedAt: after(2), publishedAt: after(9) }, { is: 'under_way', step: 'acknowledged', since: after(9) }],
    ['was taken by the box', { state: 'acknowledged', dispatchedAt: after(2), acknowledgedAt: after(30) }, { is: 'under_way', step: 'confirmed', since: after(30) }],
    ['was never sent', { state: 'expired', useReturned: true, endedAt: after(30_000) }, { is: 'broken', step: 'dispatched', since: after(30_000), text: 'It was not sent within its time, and will not be. The use of the link came back.' }],
    ['was cancelled', { state: 'cancelled', reason: 'link_revoked', useReturned: true, endedAt: after(1) }, { is: 'broken', step: 'dispatched', text: 'It was cancelled before it was sent: link_revoked. The use of the link came back.' }],
    ['failed', { state: 'failed', reason: 'jammed', dispatchedAt: after(2), publishedAt: after(3), endedAt: after(900) }, { is: 'broken', step: 'confirmed', text: 'The box did not open, as it says: jammed. The use of the link stays counted.' }],
    ['has no answer', { state: 'unknown', reason: 'no_answer', dispatchedAt: after(2), publishedAt: after(13) }, { is: 'broken', step: 'acknowledged', since: after(13), text: 'The broker has it, and the box never answered. The use of the link stays counted. The box will not open later.' }],
    ['was interrupted', { state: 'unknown', reason: 'interrupted', dispatchedAt: after(2), acknowledgedAt: after(13) }, { is: 'broken', step: 'confirmed' }],
  ])('that %s says where it is', async (_, over, standing) => {
    const found = await trace(over);
    expect(found.standing).toMatchObject(standing);
    const at = found.steps.find(({ step }) => step === found.standing.step);
    expect(at?.state).toBe(found.standing.is === 'broken' ? 'broken' : 'waiting');
    expect(found.steps.at(-1)?.state).toBe('not_reached');
  });

  it('of a refused request ends where it was refused', async () => {
    const { status, body } = await get(`/admin/refusals/${positions[10]}/trace`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'refused', device_id: deviceId, standing: { is: 'broken', step: 'asked', since: minute(31), text: 'It was refused: Access link has already been used. Nothing was sent to the box.' } });
    expect((await get(`/admin/refusals/${positions[3]}/trace`)).status).toBe(404);
    expect((await get(`/admin/refusals/${positions[12]}/trace`)).status).toBe(422);
  });
});

function timeInId(id: string): string {
  return new Date(timeOf(id)).toISOString();
}
