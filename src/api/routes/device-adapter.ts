import type { Api } from '../api.ts';
import type { Call } from '../call.ts';
import { readBytes } from '../body.ts';
import { whileConnected } from '../device-access.ts';
import { ApiError, notFound, tooMany, unavailable } from '../errors.ts';
import type { DeviceReportKind, DeviceReportOutcome, RejectedPage } from '../ports.ts';
import type { DevicePrincipal } from '../principal.ts';
import { admin, device, route, type Route } from '../route.ts';
import { DeviceId, Message } from '../schemas/common.ts';
import { CommandsQuery, DeviceCommand, DeviceCommands, RejectedOfDevice, RejectedOfStrangers, SignedText } from '../schemas/device-adapter.ts';

const DEFAULT_WAIT_SECONDS = 20;

/** Boxes without MQTT (docs/device-protocol.md, "Without MQTT"), and what was refused from whom. */
export const deviceAdapterRoutes: readonly Route[] = [
  reportRoute('reportStatus', 'status', 'A box says how it is'),
  reportRoute('reportHeartbeat', 'heartbeat', 'A box says that it is there'),
  reportRoute('reportBattery', 'battery', "A box says its battery's level"),
  reportRoute('reportResponse', 'responses', 'A box answers a command'),

  route({
    id: 'deviceCommands',
    tag: 'device-adapter',
    summary: 'A box fetches its commands; waits for the first one',
    method: 'GET',
    path: '/devices/{device_id}/commands',
    access: device,
    params: DeviceId,
    query: CommandsQuery,
    replies: { 200: DeviceCommands },
    errors: [429],
  })(async (call, { deps }) => {
    const { wait = DEFAULT_WAIT_SECONDS } = call.query;
    const connection = whileConnected(call.req);
    try {
      const texts = await deps.devices.commands(call.who.deviceId, wait * 1_000, connection.signal);
      if (texts === undefined) throw tooMany('Too many requests of this device', 1);
      return { status: 200, body: { commands: texts.map((payload) => ({ payload })) } };
    } finally {
      connection.release();
    }
  }),

  route({
    id: 'acknowledgeCommand',
    tag: 'device-adapter',
    summary: 'A box has a command, and gives its signed answer where it has one already',
    method: 'PUT',
    path: '/devices/{device_id}/commands/{command_id}',
    access: device,
    params: DeviceCommand,
    body: SignedText,
    bodyOptional: true,
    rawBody: true,
    replies: { 202: Message },
    errors: [404, 413, 429],
  })(async (call, { deps }) => {
    const outcome = await deps.devices.acknowledge(call.who.deviceId, call.params.command_id, await readBytes(call.req));
    if (outcome === 'not_found') throw notFound('Command not found');
    if (outcome !== 'acknowledged') throw refusalOf(outcome);
    return { status: 202, body: { message: 'Acknowledged' } };
  }),

  route({
    id: 'rejectedOfDevice',
    tag: 'admin',
    summary: 'The last messages of a box that had no effect, and why',
    method: 'GET',
    path: '/admin/devices/{device_id}/rejected-messages',
    access: admin('devices:read'),
    params: DeviceId,
    replies: { 200: RejectedOfDevice },
    errors: [404],
  })(async (call, { deps }) => {
    const { device_id: deviceId } = call.params;
    if ((await deps.reads.devices.byId(deviceId)) === undefined) throw notFound('Device not found');
    const page = await deps.rejected.ofDevice(deviceId);
    return { status: 200, body: { device_id: deviceId, counts: countsOf(page), messages: page.messages.map(messageView) } };
  }),

  route({
    id: 'rejectedOfStrangers',
    tag: 'admin',
    summary: 'The last messages and connections of nobody that is known here',
    method: 'GET',
    path: '/admin/rejected-messages',
    access: admin('devices:read'),
    replies: { 200: RejectedOfStrangers },
  })(async (_call, { deps }) => {
    const page = await deps.rejected.ofStrangers();
    const messages = page.messages.map((message) => ({ ...messageView(message), claimed: message.claimed ?? null, address: message.address ?? null }));
    return { status: 200, body: { counts: countsOf(page), messages } };
  }),
];

function reportRoute(id: string, kind: DeviceReportKind, summary: string): Route {
  return route({
    id,
    tag: 'device-adapter',
    summary,
    method: 'POST',
    path: `/devices/{device_id}/${kind}`,
    access: device,
    params: DeviceId,
    body: SignedText,
    rawBody: true,
    replies: { 202: Message },
    errors: [404, 413, 429],
  })(async (call: Call<unknown, unknown, unknown, DevicePrincipal>, { deps }: Api) => {
    const outcome = await deps.devices.report(call.who.deviceId, kind, await readBytes(call.req));
    if (outcome !== 'taken') throw refusalOf(outcome);
    // As a PUBACK: it is kept. Whether it counts, its signature decides, and a box is told only by a signed `ack`.
    return { status: 202, body: { message: 'Taken' } };
  });
}

function refusalOf(outcome: Exclude<DeviceReportOutcome, 'taken'>): ApiError {
  switch (outcome) {
    case 'too_large':
      return new ApiError('payload_too_large', 'A report has at most 4,096 bytes');
    case 'too_many':
      return tooMany('Too many requests of this device', 1);
    case 'no_such_kind':
      return notFound('This device has no such reports');
    case 'unavailable':
      return unavailable('The report could not be stored. Send it again');
  }
}

function messageView({ receivedAt, reason, via, topic, field, size, sample }: RejectedPage['messages'][number]) {
  return { received_at: receivedAt, reason, via, topic: topic ?? null, field: field ?? null, size, sample };
}

function countsOf({ counts }: RejectedPage) {
  return counts.map(({ reason, messages, lastAt }) => ({ reason, count: messages, last_at: lastAt }));
}
