import type { Static, TObject } from 'typebox';
import type { DeviceCommandOf } from '../../domain/device/commands.ts';
import type { DeviceLocation } from '../../domain/device/events.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { deviceIdOfSerial, newId, normaliseSerial } from '../../platform/ids.ts';
import type { DeviceRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import type { Call } from '../call.ts';
import { ApiError, invalid, notFound, refused, refusedToOwner } from '../errors.ts';
import { listRoute } from '../paging.ts';
import type { AccountPrincipal } from '../principal.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, DeviceId, Message } from '../schemas/common.ts';
import { Claim, Device, DeviceChange, DeviceFilters, DeviceReply, DeviceStatus, Ended, Reason, UnlockSent } from '../schemas/devices.ts';
import { deviceStatusView, deviceView, isLow } from '../views.ts';

export const deviceRoutes: readonly Route[] = [
  listRoute({
    id: 'myDevices',
    tag: 'devices',
    summary: 'The boxes of the signed-in owner',
    path: '/devices/my-devices',
    aliases: [{ method: 'GET', path: '/devices' }],
    access: account,
    filters: DeviceFilters,
    row: Device,
    size: 100,
  })(async ({ query, who }, { deps }, { limit, offset }) => {
    const now = deps.clock.now();
    // An owner has few: whether a box is online depends on the clock, and is asked of what is shown.
    const boxes = (await deps.reads.devices.ofOwner(who.userId)).map((row) => deviceView(row, now)).filter((box) => isAskedFor(box, query));
    return { rows: boxes.slice(offset, offset + limit), total: boxes.length };
  }),

  route({
    id: 'assignDevice',
    tag: 'devices',
    summary: 'Claim a box with its serial number and PIN',
    method: 'POST',
    path: '/devices/assign',
    aliases: [
      { method: 'POST', path: '/devices/add' },
      { method: 'POST', path: '/devices' },
    ],
    access: account,
    limit: 'pin',
    body: Claim,
    replies: { 200: DeviceReply },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const serialNumber = normaliseSerial(call.body.serial_number);
    const deviceId = deviceIdOfSerial(serialNumber);
    const name = `Loqey Box ${serialNumber.slice(-4)}`;
    await mayGuess(call, api, deviceId);
    const command = {
      type: 'AssignDevice',
      data: {
        deviceId,
        assignmentId: newId(),
        userId: call.who.userId,
        pinTag: api.deps.registration.pinTag(deviceId, call.body.pin),
        name,
      },
    } as const;
    await api.execute(call, command).catch(async (error: unknown) => {
      if (isWrongGuess(error) && !call.seenBefore) await api.claimGuesses.wrong(call.who.userId);
      throw error;
    });
    const row = await api.deps.reads.devices.byId(deviceId);
    const device = row?.ownerId === call.who.userId ? deviceView(row, api.deps.clock.now()) : justClaimed(deviceId, serialNumber, name, row);
    return { status: 200, body: { message: 'Device assigned successfully', device } };
  }),

  route({
    id: 'getDevice',
    tag: 'devices',
    summary: 'One box',
    method: 'GET',
    path: '/devices/{device_id}',
    access: account,
    params: DeviceId,
    replies: { 200: Device },
    errors: [404],
  })(async (call, api) => {
    return { status: 200, body: await ownView(api, call.who.userId, call.params.device_id) };
  }),

  route({
    id: 'changeDevice',
    tag: 'devices',
    summary: 'Rename a box or say where it stands',
    method: 'PUT',
    path: '/devices/{device_id}',
    access: account,
    params: DeviceId,
    body: DeviceChange,
    replies: { 200: DeviceReply },
    errors: [404, 409],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const { userId } = call.who;
    const { name } = call.body;
    const location = await placeOf(api, userId, deviceId, call.body);
    if (name !== undefined) await api.execute(call, { type: 'RenameDevice', data: { deviceId, userId, name } });
    if (location !== undefined) await api.execute(call, { type: 'ChangeDeviceLocation', data: { deviceId, userId, location } }, 'location');
    return { status: 200, body: { message: 'Device updated successfully', device: await ownView(api, userId, deviceId) } };
  }),

  route({
    id: 'unlinkDevice',
    tag: 'devices',
    summary: 'Give a box up: its links and its PIN end with it',
    method: 'DELETE',
    path: '/devices/{device_id}/unlink',
    aliases: [{ method: 'DELETE', path: '/devices/{device_id}' }],
    access: account,
    params: DeviceId,
    body: Reason,
    bodyOptional: true,
    replies: { 200: Ended },
    errors: [404, 409],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const { reason } = call.body;
    const data: DeviceCommandOf<'UnlinkDevice'>['data'] = { deviceId, userId: call.who.userId, ...(reason === undefined ? {} : { reason }) };
    await api.execute(call, { type: 'UnlinkDevice', data });
    return { status: 200, body: { message: 'Device unlinked successfully', ...(await api.inFlight(deviceId)) } };
  }),

  route({
    id: 'requestUnlink',
    tag: 'devices',
    summary: 'Ask support to unlink a box',
    method: 'POST',
    path: '/devices/{device_id}/unlink-request',
    access: account,
    params: DeviceId,
    body: Reason,
    bodyOptional: true,
    replies: { 202: Message },
    errors: [404, 409],
  })(async (call, api) => {
    const { reason } = call.body;
    const data = { deviceId: call.params.device_id, userId: call.who.userId, ...(reason === undefined ? {} : { reason }) };
    await api.execute(call, { type: 'RequestUnlink', data });
    return { status: 202, body: { message: 'Support was asked to unlink this device' } };
  }),

  route({
    id: 'deviceStatus',
    tag: 'devices',
    summary: 'What a box last reported, and when',
    method: 'GET',
    path: '/devices/{device_id}/status',
    access: account,
    params: DeviceId,
    replies: { 200: DeviceStatus },
    errors: [404],
  })(async (call, api) => {
    const row = await ownDevice(api, call.who.userId, call.params.device_id);
    return { status: 200, body: deviceStatusView(row, api.deps.clock.now()) };
  }),

  route({
    id: 'unlockDevice',
    tag: 'devices',
    summary: 'Ask a box to open',
    method: 'POST',
    path: '/devices/{device_id}/unlock',
    aliases: [{ method: 'PUT', path: '/devices/{device_id}/unlock' }],
    access: account,
    params: DeviceId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: UnlockSent },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const ask = { deviceId, cause: { kind: 'owner', id: call.who.userId } } as const;
    const reply = await api.deps.unlocks.request(ask, { ...call.context(), lane: 'urgent' }, 'accepted');
    if (reply.kind === 'refused') throw refusedToOwner(reply.refusal);
    const { unlock } = reply;
    api.told(unlock.position);
    return {
      status: 200,
      body: {
        message: 'Unlock command sent',
        status: 'unlocking',
        success: true,
        device_id: deviceId,
        command_id: unlock.unlockId,
        expires_at: unlock.expiresAt,
        status_url: `/api/v1/commands/${unlock.unlockId}`,
      },
    };
  }),

  route({
    id: 'lockDevice',
    tag: 'devices',
    summary: 'Refused: no reply of the backend moves a bolt shut',
    method: 'PUT',
    path: '/devices/{device_id}/lock',
    aliases: [{ method: 'POST', path: '/devices/{device_id}/lock' }],
    access: account,
    params: DeviceId,
    body: Closed({}),
    bodyOptional: true,
    replies: {},
    errors: [404, 422],
  })(async (call, api) => {
    const { deviceId } = await ownDevice(api, call.who.userId, call.params.device_id);
    const refusal = { code: 'lock_not_supported' } as const;
    api.deps.refusals.recordAs('LockDevice', { kind: 'device', id: deviceId }, refusal, call.context());
    throw refused(refusal);
  }),
];

/** The whole place, of which a change may name a part: what it does not name stays. @throws ApiError 400 for half a point */
async function placeOf({ deps }: Api, userId: Uuid, deviceId: Uuid, change: Static<typeof DeviceChange>): Promise<DeviceLocation | undefined> {
  const { location_latitude, location_longitude, location_address } = change;
  if (location_latitude === undefined && location_longitude === undefined && location_address === undefined) return undefined;
  const row = await deps.reads.devices.byId(deviceId);
  const before = row?.ownerId === userId ? row : undefined;
  const latitude = location_latitude ?? before?.latitude ?? undefined;
  const longitude = location_longitude ?? before?.longitude ?? undefined;
  const address = location_address ?? before?.address ?? undefined;
  if (latitude === undefined && longitude !== undefined) throw invalid('location_latitude', 'is needed with location_longitude');
  if (longitude === undefined && latitude !== undefined) throw invalid('location_longitude', 'is needed with location_latitude');
  return {
    ...(latitude === undefined || longitude === undefined ? {} : { latitude, longitude }),
    ...(address === undefined ? {} : { address }),
  };
}

function isAskedFor(box: Device, query: Static<TObject<typeof DeviceFilters>>): boolean {
  const { search, status = box.status, lifecycle_status: lifecycle = box.lifecycle_status, is_online: online = box.is_online, low_battery: low = isLow(box) } = query;
  const words = [box.name, box.serial_number, box.model, box.location_address].join(' ').toLowerCase();
  const found = search === undefined || words.includes(search.toLowerCase());
  return found && status === box.status && lifecycle === box.lifecycle_status && online === box.is_online && low === isLow(box);
}

/** A box of this owner; to everyone else it does not exist. */
export async function ownDevice(api: Api, userId: Uuid, deviceId: string): Promise<DeviceRow> {
  const row = await api.deps.reads.devices.byId(deviceId);
  if (row === undefined || row.ownerId !== userId) throw notFound('Device not found');
  return row;
}

/** A claim that was accepted is answered as such, also when the read models are behind it. */
/** Of one account over all boxes: what one box counts is decided in its own stream. */
async function mayGuess(call: Call<unknown, unknown, unknown, AccountPrincipal>, { claimGuesses, deps }: Api, deviceId: Uuid): Promise<void> {
  const wait = await claimGuesses.locked(call.who.userId);
  if (wait === undefined) return;
  const refusal = { code: 'pin_locked', details: { retry_after: wait } } as const;
  deps.refusals.recordAs('AssignDevice', { kind: 'device', id: deviceId }, refusal, call.context());
  throw refused(refusal);
}

function isWrongGuess(error: unknown): boolean {
  const reason = error instanceof ApiError ? error.details?.['reason'] : undefined;
  return reason === 'pin_invalid' || reason === 'device_not_found';
}

function justClaimed(deviceId: Uuid, serialNumber: string, name: string, row: DeviceRow | undefined): Device {
  return {
    id: deviceId,
    serial_number: serialNumber,
    name,
    model: row?.model ?? 'unknown',
    status: row?.lockStatus ?? 'unknown',
    lock_status: row?.lockStatus ?? 'unknown',
    status_as_of: row?.lockStatusAt ?? null,
    is_stale: true,
    door_open: row?.doorOpen ?? null,
    battery_level: row?.batteryLevel ?? null,
    is_online: row?.online ?? false,
    last_heartbeat: row?.lastHeardAt ?? null,
    last_unlock: null,
    lifecycle_status: 'assigned',
    assigned_at: null,
    unlink_requested_at: null,
    firmware_version: row?.firmwareVersion ?? null,
    mqtt_client_id: `device_${deviceId}`,
    location_latitude: null,
    location_longitude: null,
    location_address: null,
  };
}

async function ownView(api: Api, userId: Uuid, deviceId: string) {
  return deviceView(await ownDevice(api, userId, deviceId), api.deps.clock.now());
}
