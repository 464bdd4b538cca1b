import { Type, type Static } from 'typebox';
import { Closed, Day, Id, InFlight, Lifecycle, LockState, Nullable, Pin, Prose, Serial, Text, Time } from './common.ts';

const live = {
  status: LockState,
  lock_status: LockState,
  status_as_of: Nullable(Time),
  is_stale: Type.Boolean({ description: 'True when the box has not been heard of for 5 minutes: the state may have changed.' }),
  door_open: Nullable(Type.Boolean()),
  battery_level: Nullable(Type.Integer({ minimum: 0, maximum: 100 })),
  is_online: Type.Boolean(),
  last_heartbeat: Nullable(Time),
  last_unlock: Nullable(Time),
};

export const Device = Closed(
  {
    id: Id,
    serial_number: Type.String(),
    name: Nullable(Type.String()),
    model: Type.String(),
    ...live,
    lifecycle_status: Lifecycle,
    assigned_at: Nullable(Time),
    unlink_requested_at: Nullable(Type.String({ format: 'date-time', description: 'Since when support is asked to take the box off the account.' })),
    firmware_version: Nullable(Type.String()),
    mqtt_client_id: Type.String(),
    location_latitude: Nullable(Type.Number()),
    location_longitude: Nullable(Type.Number()),
    location_address: Nullable(Type.String()),
  },
  { title: 'Device', description: '`status` is the lock state as the box last reported it; `lifecycle_status` is where it stands in its life.' },
);
export type Device = Static<typeof Device>;

export const DeviceStatus = Closed({ device_id: Id, ...live }, { title: 'DeviceStatus' });
export type DeviceStatus = Static<typeof DeviceStatus>;

export const DeviceFilters = {
  search: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Part of name, serial number, model or address.' })),
  status: Type.Optional(LockState),
  lifecycle_status: Type.Optional(Lifecycle),
  is_online: Type.Optional(Type.Boolean()),
  low_battery: Type.Optional(Type.Boolean({ description: 'Below 20 %.' })),
};

export const DeviceAlert = Closed(
  {
    alert: Type.Enum(['unexplained_opening', 'clone_suspected', 'tampered'], {
      description: '`unexplained_opening`: it was opened, and nobody here asked for it. `clone_suspected`: two boxes seem to use its identity.',
    }),
    since: Time,
  },
  { title: 'DeviceAlert' },
);
export type DeviceAlert = Static<typeof DeviceAlert>;

export const DeviceHealth = Closed(
  {
    device_id: Id,
    health: Type.Enum(['good', 'attention', 'offline'], { description: '`offline`: whatever it said last may be otherwise by now.' }),
    problems: Type.Array(Closed({ code: Type.Enum(['offline', 'never_heard', 'low_battery', 'jammed', 'lock_error', 'maintenance', 'clone_suspected', 'tampered', 'unexplained_opening', 'settings_refused']), message: Type.String() })),
    is_online: Type.Boolean(),
    last_heartbeat: Nullable(Time),
    lock_status: LockState,
    battery_level: Nullable(Type.Integer({ minimum: 0, maximum: 100 })),
    signal_strength: Nullable(Type.Integer({ description: 'dBm.' })),
    uptime: Nullable(Type.Integer({ description: 'Seconds since the box started, when it said so last.' })),
    firmware_version: Nullable(Type.String()),
    alerts: Type.Array(DeviceAlert),
  },
  { title: 'DeviceHealth' },
);

export const DeviceBattery = Closed(
  {
    device_id: Id,
    battery_level: Nullable(Type.Integer({ minimum: 0, maximum: 100 })),
    is_low: Type.Boolean({ description: 'Below 20 %.' }),
    last_heartbeat: Nullable(Time),
    history: Type.Array(Closed({ battery_level: Type.Integer({ minimum: 0, maximum: 100 }), timestamp: Time }), { description: 'Newest first, since the box is yours.' }),
  },
  { title: 'DeviceBattery' },
);

export const Claim = Closed({ serial_number: Serial, pin: Pin });
export const Reason = Closed({ reason: Type.Optional(Prose(500)) });

export const DeviceChange = Closed(
  {
    name: Type.Optional(Text(100)),
    location_latitude: Type.Optional(Type.Number({ minimum: -90, maximum: 90 })),
    location_longitude: Type.Optional(Type.Number({ minimum: -180, maximum: 180 })),
    location_address: Type.Optional(Text(500)),
  },
  { minProperties: 1 },
);

export const DeviceReply = Closed({ message: Type.String(), device: Device });
export const Ended = Closed({ message: Type.String(), in_flight: Type.Optional(InFlight) });

export const UnlockSent = Closed({
  message: Type.String(),
  status: Type.Literal('unlocking'),
  success: Type.Boolean(),
  device_id: Id,
  command_id: Id,
  expires_at: Time,
  status_url: Type.String(),
});

export const ActivityEntry = Closed({
  id: Type.String({ description: 'Opaque; the same for the same entry.' }),
  device_id: Id,
  activity_type: Type.Enum(['device_control', 'access_link', 'user_action', 'system_event']),
  action: Type.String(),
  source: Type.String(),
  description: Type.String(),
  success: Type.Boolean(),
  user_id: Nullable(Id),
  timestamp: Time,
});

const Source = Type.Enum(['mobile_app', 'web_dashboard', 'delivery_link', 'scheduled_task', 'mqtt_device', 'http_device', 'system']);
export const ActivityFilters = {
  activity_type: Type.Optional(ActivityEntry.properties.activity_type),
  action: Type.Optional(Text(100)),
  source: Type.Optional(Source),
  success: Type.Optional(Type.Boolean()),
  date_from: Type.Optional(Day),
  date_to: Type.Optional(Day),
  search: Type.Optional(Text(100)),
};

export const UnlockState = Type.Enum(['requested', 'dispatched', 'published', 'acknowledged', 'opened', 'failed', 'unknown', 'cancelled', 'expired']);

export const Command = Closed(
  {
    command_id: Id,
    command: Type.Literal('unlock'),
    device_id: Id,
    status: UnlockState,
    success: Nullable(Type.Boolean({ description: 'Null while it is under way or when it is not known.' })),
    message: Type.String(),
    reason: Nullable(Type.String()),
    use_returned: Type.Boolean(),
    caused_by: Type.Enum(['link', 'owner', 'admin', 'schedule']),
    requested_at: Time,
    expires_at: Time,
    dispatched_at: Nullable(Time),
    published_at: Nullable(Time),
    acknowledged_at: Nullable(Time),
    opened_at: Nullable(Time),
    ended_at: Nullable(Time),
  },
  { title: 'Command', description: 'One request to open. Only `opened` says that the bolt moved.' },
);
export type Command = Static<typeof Command>;
