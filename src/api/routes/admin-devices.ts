import { Type } from 'typebox';
import type { AnyCommand } from '../../commands/port.ts';
import { settingsStatus } from '../../domain/device/settings.ts';
import { present } from '../../domain/kernel.ts';
import { instant } from '../../platform/clock.ts';
import { normaliseSerial } from '../../platform/ids.ts';
import type { DeviceFilter, DeviceLifecycle, DeviceRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { readDeviceFile, type DeviceFile } from '../device-file.ts';
import { asCsv, asJson, importDevices } from '../device-import.ts';
import { ApiError, invalid, notFound, refused } from '../errors.ts';
import { listRoute, placeCursor, placeOfCursor } from '../paging.ts';
import { admin, route, type Route } from '../route.ts';
import {
  AdminDevice,
  AdminDeviceRow,
  AdminDevicesQuery,
  AdminReason,
  AdminUnlock,
  DeliveriesAccepted,
  ImportReport,
  LifecycleReply,
  NeededReason,
  NewDevice,
  NewPin,
  Registered,
} from '../schemas/admin.ts';
import { Closed, DeviceId } from '../schemas/common.ts';
import { Ended } from '../schemas/devices.ts';
import type { ApiSettings } from '../settings.ts';
import { alertsView, deviceView, OFFLINE_AFTER_MS } from '../views.ts';

const UUID = /^[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}$/;
const MASKED = '******';

export const adminDeviceRoutes: readonly Route[] = [
  listRoute({
    id: 'adminDevices',
    tag: 'admin',
    summary: 'Every box and whose it is',
    path: '/admin/devices',
    access: admin('devices:read'),
    filters: AdminDevicesQuery,
    row: AdminDeviceRow,
    size: 50,
    cursorOf: ({ registered_at: at, id }) => placeCursor({ at, id }),
  })(async ({ query }, { deps }, page) => {
    const now = deps.clock.now();
    const { rows, total, atLeast } = await deps.reads.devices.list(filterOf(query, now), page);
    return { rows: rows.map((row) => rowView(row, row.ownerEmail, now, deps.settings)), total, headers: atLeast ? { 'Loqey-Count': 'at_least' } : {} };
  }),

  route({
    id: 'registerDevice',
    tag: 'admin',
    summary: 'Register a new box; the answer holds what is flashed into it, once',
    method: 'POST',
    path: '/admin/devices/register',
    access: admin('devices:register'),
    body: NewDevice,
    replies: { 201: Registered },
    errors: [409],
  })(async (call, api) => {
    const { device_model: model, profile, hardware_id: hardwareId } = call.body;
    const serialNumber = normaliseSerial(call.body.serial_number);
    // Old firmware names itself by serial or by id in the same place: the two must never look alike.
    if (UUID.test(serialNumber)) throw invalid('serial_number', 'must not have the form of a UUID');
    const reply = await api.deps.registration.register(
      {
        serialNumber,
        ...(model === undefined ? {} : { model }),
        ...(profile === undefined ? {} : { profile }),
        ...(hardwareId === undefined ? {} : { hardwareId }),
      },
      call.context(),
    );
    if (reply.kind === 'refused') throw refused(reply.refusal);
    await api.settle(call, reply.position, 'boxes');
    const { deviceId, pin, provisioning } = reply;
    return {
      status: 201,
      body: { message: 'Device registered successfully', device_id: deviceId, serial_number: reply.serialNumber, pin, provisioning },
    };
  }),

  route({
    id: 'importDevices',
    tag: 'admin',
    summary: 'Register the boxes of a CSV file; the answer tells row by row what became of each, and its secrets once',
    method: 'POST',
    path: '/admin/devices/import',
    access: admin('devices:register'),
    query: Closed({
      dry_run: Type.Optional(Type.Boolean({ description: 'Says what would be done, and does nothing.' })),
      format: Type.Optional(Type.Enum(['json', 'csv'], { description: 'Of the answer. Default `json`.' })),
    }),
    upload: {
      contentType: 'text/csv',
      schema: Type.String({ description: 'In UTF-8. The first line names the columns: serial_number, device_model, profile, hardware_id; the first alone is needed. At most 10,000 rows and 2 MiB.' }),
      read: readDeviceFile,
    },
    contentTypes: ['application/json', 'text/csv; charset=utf-8'],
    replies: { 200: ImportReport },
    errors: [409],
  })(async (call, api) => {
    const { dry_run: dryRun = false, format = 'json' } = call.query;
    if (importing.has(api)) throw new ApiError('conflict', 'Another file is being registered. Try again when it is done');
    const rows = alone(api, importDevices(api, call, call.body as unknown as DeviceFile, dryRun));
    const pieces = format === 'csv' ? asCsv(rows) : asJson(rows, dryRun);
    return {
      status: 200,
      // It is written as the schema says, piece by piece.
      body: pieces as never,
      contentType: format === 'csv' ? 'text/csv; charset=utf-8' : 'application/json; charset=utf-8',
      ...(format === 'csv' ? { headers: { 'Content-Disposition': 'attachment; filename="devices.csv"' } } : {}),
    };
  }),

  route({
    id: 'adminDevice',
    tag: 'admin',
    summary: 'One box with its PIN; whoever sees the PIN is recorded',
    method: 'GET',
    path: '/admin/devices/{device_id}',
    access: admin('devices:read'),
    params: DeviceId,
    replies: { 200: AdminDevice },
    errors: [404],
  })(async (call, api) => {
    const { deps } = api;
    const row = await anyDevice(api, call.params.device_id);
    const owner = row.ownerId === null ? undefined : await deps.reads.users.byId(row.ownerId);
    let pin: string | null = row.pin === null ? null : MASKED;
    if (row.pin !== null && call.who.permissions.has('devices:pin')) {
      // Recorded first: a PIN that was shown was viewed.
      await api.execute(call, { type: 'ViewPin', data: { deviceId: row.deviceId } });
      pin = (await openPin(api, row)) ?? null;
    }
    return {
      status: 200,
      body: {
        ...rowView(row, owner?.profile?.email ?? null, deps.clock.now(), deps.settings),
        pin,
        pin_expires_at: row.pinExpiresAt,
        last_activity: latest(row.lastHeardAt, row.lastUnlockAt),
        profile: row.profile,
        key_version: row.keyVersion,
        rotating_to: row.rotatingTo,
        keys_rotated_at: row.keysRotatedAt,
        settings_status: settingsStatus(row),
        alerts: alertsView(row),
      },
    };
  }),

  route({
    id: 'regeneratePin',
    tag: 'admin',
    summary: 'Issue a new PIN; the previous one stops working at once',
    method: 'PUT',
    path: '/admin/devices/{device_id}/regenerate-pin',
    access: admin('devices:pin'),
    params: DeviceId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: NewPin },
    errors: [404, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const reply = await api.deps.registration.regeneratePin(deviceId, call.context());
    if (reply.kind === 'refused') throw refused(reply.refusal);
    await api.settle(call, reply.position, 'boxes');
    const message = 'PIN regenerated successfully. Previous PIN disabled.';
    return { status: 200, body: { message, device_id: deviceId, new_pin: reply.pin } };
  }),

  route({
    id: 'adminUnlink',
    tag: 'admin',
    summary: 'Unlink a box from its owner',
    method: 'DELETE',
    path: '/admin/devices/{device_id}/unlink',
    access: admin('devices:unlink'),
    params: DeviceId,
    body: AdminReason,
    bodyOptional: true,
    replies: { 200: Ended },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    await api.execute(call, { type: 'UnlinkDevice', data: { deviceId, ...call.body } });
    return { status: 200, body: { message: 'Device unlinked from user successfully', ...(await api.inFlight(deviceId)) } };
  }),

  route({
    id: 'emergencyUnlock',
    tag: 'admin',
    summary: 'Open a box in an emergency',
    method: 'POST',
    path: '/admin/devices/{device_id}/unlock',
    access: admin('devices:unlock'),
    params: DeviceId,
    body: AdminReason,
    bodyOptional: true,
    replies: { 200: AdminUnlock },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const reason = call.body.reason?.trim();
    const ask = {
      deviceId,
      cause: { kind: 'admin', id: call.who.userId } as const,
      ...(reason === undefined || reason === '' ? {} : { reason }),
    };
    const reply = await api.deps.unlocks.request(ask, { ...call.context(), lane: 'urgent' }, 'accepted');
    if (reply.kind === 'refused') throw refused(reply.refusal);
    const { unlockId, expiresAt, position } = reply.unlock;
    api.told(position);
    return {
      status: 200,
      body: {
        message: 'Emergency unlock command sent',
        device_id: deviceId,
        command_id: unlockId,
        expires_at: expiresAt,
        status_url: `/api/v1/commands/${unlockId}`,
      },
    };
  }),

  route({
    id: 'acceptDeliveries',
    tag: 'admin',
    summary: 'Let couriers open a box of old firmware, which cannot prove what it did',
    method: 'POST',
    path: '/admin/devices/{device_id}/accept-deliveries',
    access: admin('devices:lifecycle'),
    params: DeviceId,
    body: NeededReason,
    replies: { 200: DeliveriesAccepted },
    errors: [404, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    await api.execute(call, { type: 'AcceptLevel0Deliveries', data: { deviceId, reason: call.body.reason.trim() } });
    const row = await anyDevice(api, deviceId);
    return { status: 200, body: { message: 'Couriers may open this box', device_id: deviceId, level0_access: level0AccessOf(row, api.deps.settings.level0) } };
  }),

  lifecycleRoute('startMaintenance', 'Take a box out of service; couriers are refused', 'POST', 'maintenance', 'Device is in maintenance', 'maintenance', (deviceId, reason) => ({
    type: 'StartMaintenance',
    data: { deviceId, ...(reason === undefined ? {} : { reason }) },
  })),
  lifecycleRoute('endMaintenance', 'Put a box back into service', 'DELETE', 'maintenance', 'Device is back in service', undefined, (deviceId) => ({
    type: 'EndMaintenance',
    data: { deviceId },
  })),
  lifecycleRoute('decommission', 'Take a box out of service for good; it never opens again', 'POST', 'decommission', 'Device is decommissioned', 'decommissioned', (deviceId, reason) => ({
    type: 'DecommissionDevice',
    data: { deviceId, ...(reason === undefined ? {} : { reason }) },
  })),
];

/** One file at a time in each process: a second one would only make both slower. */
const importing = new WeakSet<Api>();

async function* alone<T>(api: Api, items: AsyncIterable<T>): AsyncGenerator<T> {
  importing.add(api);
  try {
    yield* items;
  } finally {
    importing.delete(api);
  }
}

interface FleetQuery {
  readonly status?: 'all' | DeviceLifecycle;
  readonly assigned?: boolean;
  readonly online?: boolean;
  readonly low_battery?: true;
  readonly battery_below?: number;
  readonly model?: string;
  readonly firmware?: string;
  readonly unlink_requested?: boolean;
  readonly search?: string;
  readonly cursor?: string;
}

const LOW_BATTERY = 20;

function filterOf(query: FleetQuery, nowMs: number): DeviceFilter {
  const { status = 'all', assigned, online, low_battery: low, battery_below: below, model, firmware, unlink_requested: unlinkRequested, search, cursor } = query;
  const batteryBelow = low === true ? Math.min(LOW_BATTERY, below ?? LOW_BATTERY) : below;
  return present({
    lifecycle: status === 'all' ? undefined : status,
    assigned,
    online: online === undefined ? undefined : { is: online, heardSince: instant(nowMs - OFFLINE_AFTER_MS) },
    batteryBelow,
    model,
    firmware,
    unlinkRequested,
    search,
    after: cursor === undefined ? undefined : placeOfCursor(cursor),
  });
}

function lifecycleRoute(
  id: string,
  summary: string,
  method: 'POST' | 'DELETE',
  segment: string,
  message: string,
  becomes: 'maintenance' | 'decommissioned' | undefined,
  command: (deviceId: string, reason: string | undefined) => AnyCommand,
): Route {
  return route({
    id,
    tag: 'admin',
    summary,
    method,
    path: `/admin/devices/{device_id}/${segment}`,
    access: admin('devices:lifecycle'),
    params: DeviceId,
    body: AdminReason,
    bodyOptional: true,
    replies: { 200: LifecycleReply },
    errors: [404, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    await api.execute(call, command(deviceId, call.body.reason));
    const lifecycle = becomes ?? (await anyDevice(api, deviceId)).lifecycle;
    const inFlight = becomes === undefined ? {} : await api.inFlight(deviceId);
    return { status: 200, body: { message, device_id: deviceId, lifecycle_status: lifecycle, ...inFlight } };
  });
}

async function anyDevice(api: Api, deviceId: string): Promise<DeviceRow> {
  const row = await api.deps.reads.devices.byId(deviceId);
  if (row === undefined) throw notFound('Device not found');
  return row;
}

/** Sealed by whichever event set it: what is sealed under one type does not open under another. */
async function openPin({ deps }: Api, { pin }: DeviceRow): Promise<string | undefined> {
  if (pin === null) return undefined;
  try {
    return await deps.sealer.open<string>(pin, 'DeviceRegistered', 'pin');
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'SealBroken') throw error;
    return deps.sealer.open<string>(pin, 'DevicePinRegenerated', 'pin');
  }
}

/** Read only stays read only, whatever was accepted before. */
function level0AccessOf({ protocolLevel, deliveriesAccepted }: DeviceRow, level0: ApiSettings['level0']): ApiSettings['level0'] | null {
  if (protocolLevel === 1) return null;
  return level0 === 'owner_and_admin' && deliveriesAccepted ? 'full' : level0;
}

function rowView(row: DeviceRow, ownerEmail: string | null, nowMs: number, { level0 }: ApiSettings) {
  return {
    ...deviceView(row, nowMs),
    assigned_to: ownerEmail,
    owner_id: row.ownerId,
    registered_at: row.registeredAt,
    protocol_level: row.protocolLevel,
    level0_access: level0AccessOf(row, level0),
    unlink_requested_at: row.unlinkRequestedAt,
    unlink_reason: row.unlinkReason,
  };
}

function latest(...instants: readonly (string | null)[]): string | null {
  return instants.reduce<string | null>((newest, each) => (each !== null && (newest === null || each > newest) ? each : newest), null);
}
