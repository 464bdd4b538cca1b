import { notFound } from '../errors.ts';
import { admin, route, type Route } from '../route.ts';
import { RotationStarted } from '../schemas/admin.ts';
import { Closed, DeviceId } from '../schemas/common.ts';

export const adminKeyRoutes: readonly Route[] = [
  route({
    id: 'rotateKeys',
    tag: 'admin',
    summary: 'Give a box a new key; the old one ends when the box signs with the new one',
    method: 'POST',
    path: '/admin/devices/{device_id}/rotate-keys',
    access: admin('devices:keys'),
    params: DeviceId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 202: RotationStarted },
    errors: [404, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const { events } = await api.execute(call, { type: 'StartKeyRotation', data: { deviceId } });
    const row = await api.deps.reads.devices.byId(deviceId);
    if (row === undefined) throw notFound('Device not found');
    const started = events.find((event) => event.type === 'DeviceKeyRotationStarted')?.data.keyVersion;
    // Under way already: the box is being given that one.
    const to = started ?? row.rotatingTo;
    const message = started === undefined ? 'A key rotation is already running' : 'Key rotation started';
    return { status: 202, body: { message, device_id: deviceId, key_version: row.keyVersion, rotating_to: to } };
  }),
];
