import { notFound, refused } from '../errors.ts';
import { admin, route, type Route } from '../route.ts';
import { KeyReason, Reprovisioned, RotationStarted } from '../schemas/admin.ts';
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
    // The box may have it by now: what is told is what was begun, and from which.
    const from = started === undefined ? row.keyVersion : started - 1;
    return { status: 202, body: { message, device_id: deviceId, key_version: from, rotating_to: to } };
  }),

  route({
    id: 'reprovisionDevice',
    tag: 'admin',
    summary: 'What a box is flashed with anew, once; every earlier key ends at once',
    method: 'POST',
    path: '/admin/devices/{device_id}/reprovision',
    access: admin('devices:keys'),
    params: DeviceId,
    body: KeyReason,
    replies: { 200: Reprovisioned },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const reply = await api.deps.registration.reprovision(deviceId, call.body.reason, call.context());
    if (reply.kind === 'refused') throw refused(reply.refusal);
    await api.settle(call, reply.position, 'boxes');
    return { status: 200, body: { message: 'Device provisioned anew: flash it before it is used', device_id: deviceId, provisioning: reply.provisioning } };
  }),
];
