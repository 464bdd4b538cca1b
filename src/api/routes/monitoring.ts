import { Type } from 'typebox';
import type { DeviceEventOf } from '../../domain/device/events.ts';
import { settingsStatus } from '../../domain/device/settings.ts';
import { present, type Uuid } from '../../domain/kernel.ts';
import type { ActivityFilter, ActivityRow, DeviceRow, Page } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { badCursor, listRoute } from '../paging.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, DeviceId, Id } from '../schemas/common.ts';
import { ActivityEntry, ActivityFilters, DeviceBattery, DeviceHealth, type DeviceStatus } from '../schemas/devices.ts';
import { rangeOf } from '../time.ts';
import { alertsView, deviceStatusView, isLow } from '../views.ts';
import { ownDevice } from './devices.ts';

/** What an owner watches: what happened, and how the boxes are. */
export const monitoringRoutes: readonly Route[] = [
  listRoute({
    id: 'activities',
    tag: 'devices',
    summary: 'What happened with all boxes, also with those that were given up, while they were yours',
    path: '/activities',
    access: account,
    filters: { device_id: Type.Optional(Id), ...ActivityFilters },
    row: ActivityEntry,
    size: 50,
    cursorOf: ({ id }) => id,
  })(({ query: { device_id: deviceId, ...rest }, who }, api, page) =>
    activities(api, who.userId, { ...filterOf(api, rest), ...(deviceId === undefined ? {} : { deviceId }) }, page),
  ),

  listRoute({
    id: 'deviceActivity',
    tag: 'devices',
    summary: 'What happened with a box',
    path: '/devices/{device_id}/activity',
    aliases: [{ method: 'GET', path: '/devices/{device_id}/logs' }],
    access: account,
    params: DeviceId,
    filters: ActivityFilters,
    row: ActivityEntry,
    size: 50,
    cursorOf: ({ id }) => id,
    errors: [404],
  })(async ({ params, query, who }, api, page) => {
    const { deviceId } = await ownDevice(api, who.userId, params.device_id);
    return activities(api, who.userId, { ...filterOf(api, query), deviceId }, page);
  }),

  route({
    id: 'deviceHealth',
    tag: 'devices',
    summary: 'How a box is, and what about it wants attention',
    method: 'GET',
    path: '/devices/{device_id}/health',
    access: account,
    params: DeviceId,
    replies: { 200: DeviceHealth },
    errors: [404],
  })(async (call, api) => {
    const row = await ownDevice(api, call.who.userId, call.params.device_id);
    const status = deviceStatusView(row, api.deps.clock.now());
    const problems = problemsOf(row, status, api.deps.clock.now());
    return {
      status: 200,
      body: {
        device_id: row.deviceId,
        health: status.is_online ? (problems.length === 0 ? 'good' : 'attention') : 'offline',
        problems,
        is_online: status.is_online,
        last_heartbeat: status.last_heartbeat,
        lock_status: status.lock_status,
        battery_level: status.battery_level,
        signal_strength: row.signalStrength,
        uptime: row.uptimeSeconds,
        firmware_version: row.firmwareVersion,
        alerts: alertsView(row),
      },
    };
  }),

  route({
    id: 'deviceBattery',
    tag: 'devices',
    summary: 'The battery of a box, and how it went down',
    method: 'GET',
    path: '/devices/{device_id}/battery',
    access: account,
    params: DeviceId,
    query: Closed({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: 'Of the history. Default 50.' })) }),
    replies: { 200: DeviceBattery },
    errors: [404],
  })(async (call, api) => {
    const row = await ownDevice(api, call.who.userId, call.params.device_id);
    const { battery_level, last_heartbeat } = deviceStatusView(row, api.deps.clock.now());
    const page = { limit: call.query.limit ?? 50, offset: 0 };
    const since = row.assignedAt === null ? {} : { from: row.assignedAt };
    const { rows } = await api.deps.reads.audit.list({ deviceId: row.deviceId, types: [BATTERY], ...since }, page);
    const history = rows.map(({ data, occurredAt }) => ({ battery_level: (data as DeviceEventOf<typeof BATTERY>['data']).level, timestamp: occurredAt }));
    return { status: 200, body: { device_id: row.deviceId, battery_level, is_low: isLow({ battery_level }), last_heartbeat, history } };
  }),
];

const BATTERY = 'BatteryLevelChanged';

async function activities({ deps, positions }: Api, userId: Uuid, filter: ActivityFilter, page: Page) {
  const { rows, total } = await deps.reads.activity.ofOwner(userId, filter, page);
  return { rows: rows.map((row) => ({ id: positions.encode(row.position), ...entryOf(row) })), total };
}

export function entryOf(row: ActivityRow) {
  return {
    device_id: row.deviceId,
    activity_type: row.activityType,
    action: row.action,
    source: row.source,
    description: row.description,
    success: row.success,
    user_id: row.userId,
    timestamp: row.occurredAt,
  };
}

interface ActivityQueryValues {
  readonly activity_type?: ActivityRow['activityType'];
  readonly action?: string;
  readonly source?: string;
  readonly success?: boolean;
  readonly date_from?: string;
  readonly date_to?: string;
  readonly search?: string;
  readonly cursor?: string;
}

function filterOf({ positions }: Api, query: ActivityQueryValues): ActivityFilter {
  const { activity_type: type, action, source, success, search, cursor } = query;
  const before = cursor === undefined ? undefined : positions.decode(cursor);
  if (cursor !== undefined && before === undefined) throw badCursor();
  return present({ type, action, source, success, search, before, ...rangeOf(query) });
}

type Problem = (typeof DeviceHealth.properties.problems.items.properties.code.enum)[number];

/** What stands in the way of an opening first. */
function problemsOf(row: DeviceRow, status: DeviceStatus, nowMs: number): { readonly code: Problem; readonly message: string }[] {
  const found: readonly (readonly [boolean, Problem, string])[] = [
    [row.lifecycle === 'maintenance', 'maintenance', 'The box is in maintenance: couriers cannot open it'],
    [status.last_heartbeat === null, 'never_heard', 'The box has not been heard of yet: switch it on and check its connection'],
    [status.last_heartbeat !== null && !status.is_online, 'offline', 'The box is offline: it cannot be opened until it is back'],
    [row.lockStatus === 'jammed', 'jammed', 'The bolt of the box is stuck: press the door in gently and try again'],
    [row.lockStatus === 'error', 'lock_error', 'The lock of the box reports a fault: ask support'],
    [row.alerts.cloneSuspectedAt !== null, 'clone_suspected', 'Two boxes seem to use the identity of this one: ask support'],
    [row.alerts.tamperedAt !== null, 'tampered', 'Somebody tampers with the box'],
    [isRecent(row.alerts.unexplainedOpeningAt, nowMs), 'unexplained_opening', 'The box was opened lately, and nobody here asked for it'],
    [settingsStatus(row) === 'refused', 'settings_refused', 'The box did not take over all of its settings'],
    [isLow(status), 'low_battery', 'The battery is low: charge or change it soon'],
  ];
  return found.flatMap(([applies, code, message]) => (applies ? [{ code, message }] : []));
}

/** Long enough to be seen, and no reproach for ever. */
const RECENT_MS = 7 * 86_400_000;

function isRecent(at: string | null, nowMs: number): boolean {
  return at !== null && nowMs - Date.parse(at) < RECENT_MS;
}
