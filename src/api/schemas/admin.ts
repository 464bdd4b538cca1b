import { Type } from 'typebox';
import { Closed, Day, Id, InFlight, Lifecycle, Nullable, Prose, Serial, Text, Time } from './common.ts';
import { Delivery, Link } from './links.ts';
import { SettingsStatus } from './device-settings.ts';
import { Device, DeviceAlert } from './devices.ts';
import { User } from './auth.ts';

const Profile = Type.Enum(['loqey', 'loqey_serial', 'smartlock', 'transisttag']);

export const NewDevice = Closed({
  serial_number: Serial,
  device_model: Type.Optional(Text(100)),
  profile: Type.Optional(Profile),
  hardware_id: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9]{12,20}$', maxLength: 20, 'x-invalid': { text: 'must be 12 to 20 letters and digits' } }),
  ),
});

const Provisioning = Closed(
  {
    protocol: Type.Literal(1),
    profile: Profile,
    topic_prefix: Type.String(),
    mqtt: Closed({ url: Type.String(), client_id: Type.String(), username: Type.String(), password: Type.String() }),
    device_key: Type.String(),
    key_version: Type.Integer(),
    ca_pem: Type.Optional(Type.String()),
  },
  { description: 'What is flashed into the box. Answered once and never again.' },
);

export const Registered = Closed({
  message: Type.String(),
  device_id: Id,
  serial_number: Type.String(),
  pin: Type.String(),
  provisioning: Provisioning,
});

/** One line of a file of boxes, and what became of it. */
export const ImportedRow = Closed({
  row: Type.Integer({ description: 'The line of the file, from 1.' }),
  serial_number: Type.String(),
  result: Type.Enum(['registered', 'would_register', 'exists', 'duplicate', 'invalid', 'failed', 'not_tried']),
  device_id: Type.Optional(Id),
  pin: Type.Optional(Type.String()),
  provisioning: Type.Optional(Provisioning),
  message: Type.Optional(Type.String()),
  details: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export const ImportSummary = Closed({
  rows: Type.Integer(),
  registered: Type.Integer(),
  would_register: Type.Integer(),
  exists: Type.Integer(),
  duplicate: Type.Integer(),
  invalid: Type.Integer(),
  failed: Type.Integer(),
  not_tried: Type.Integer(),
});
export const ImportReport = Closed({ dry_run: Type.Boolean(), rows: Type.Array(ImportedRow), summary: ImportSummary });

const Level0Access = Nullable(
  Type.Enum(['full', 'owner_and_admin', 'read_only'], { description: 'Of old firmware: who opens it. Null where the box speaks the signed protocol.' }),
);

const deviceMembers = {
  ...Device.properties,
  assigned_to: Nullable(Type.String({ description: 'E-mail address of the owner.' })),
  owner_id: Nullable(Id),
  registered_at: Time,
  protocol_level: Type.Integer(),
  level0_access: Level0Access,
  unlink_requested_at: Nullable(Time),
  unlink_reason: Nullable(Type.String()),
};
export const AdminDeviceRow = Closed(deviceMembers, { title: 'AdminDeviceRow' });
export const AdminDevice = Closed(
  {
    ...deviceMembers,
    pin: Nullable(Type.String({ description: '`******` without the permission to see it; null when there is none. Seeing it is recorded.' })),
    pin_expires_at: Nullable(Time),
    last_activity: Nullable(Time),
    profile: Profile,
    key_version: Type.Integer(),
    rotating_to: Nullable(Type.Integer({ description: 'The key version that the box is being given.' })),
    keys_rotated_at: Nullable(Time),
    settings_status: SettingsStatus,
    alerts: Type.Array(DeviceAlert),
  },
  { title: 'AdminDevice' },
);

export const AdminDevicesQuery = {
  status: Type.Optional(Type.Enum(['all', 'available', 'assigned', 'active', 'maintenance', 'decommissioned'])),
  assigned: Type.Optional(Type.Boolean()),
  online: Type.Optional(Type.Boolean({ description: 'Heard of within five minutes.' })),
  low_battery: Type.Optional(Type.Literal(true, { description: 'Below 20 %.' })),
  battery_below: Type.Optional(Type.Integer({ minimum: 1, maximum: 101, description: 'Percent.' })),
  model: Type.Optional(Text(100)),
  firmware: Type.Optional(Text(100)),
  unlink_requested: Type.Optional(Type.Boolean({ description: 'Whose owner asked support to take it off the account.' })),
  search: Type.Optional({ ...Text(100), description: 'A part of its serial number, id, name or address, or of its owner’s name or e-mail address. Of what very many are called the total is `at_least`.' }),
};
export const NewPin = Closed({ message: Type.String(), device_id: Id, new_pin: Type.String() });
export const RotationStarted = Closed({
  message: Type.String(),
  device_id: Id,
  key_version: Type.Integer({ description: 'The one that it signs with.' }),
  rotating_to: Nullable(Type.Integer({ description: 'The one that it is being given.' })),
});
export const DeliveriesAccepted = Closed({ message: Type.String(), device_id: Id, level0_access: Level0Access });
export const Reprovisioned = Closed({ message: Type.String(), device_id: Id, provisioning: Provisioning });
export const AdminUnlock = Closed({ message: Type.String(), device_id: Id, command_id: Id, expires_at: Time, status_url: Type.String() });
export const LifecycleReply = Closed({ message: Type.String(), device_id: Id, lifecycle_status: Lifecycle, in_flight: Type.Optional(InFlight) });
export const Suspended = Closed({
  message: Type.String(),
  unlocks_in_flight: Type.Optional(
    Type.Array(Closed({ device_id: Id, ...InFlight.properties }), { description: 'Openings that were under way and could not be stopped any more.' }),
  ),
});
/** Where a decision must be answered for. */
const SEALED = { description: 'Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays.' };
export const NeededReason = Closed({ reason: { ...Text(500, 3), ...SEALED } });
export const AdminReason = Closed({ reason: Type.Optional({ ...Prose(500), ...SEALED }) });
export const KeyReason = Closed({ reason: { ...Text(500), ...SEALED } });

export const AdminUserRow = Closed({ ...User.properties, device_count: Type.Integer() }, { title: 'AdminUserRow' });
export const AdminUser = Closed(
  { ...User.properties, devices: Type.Array(Device), access_links: Type.Array(Link), delivery_history: Type.Array(Delivery) },
  { title: 'AdminUser' },
);

const Details = Type.Record(Type.String(), Type.Unknown());
const auditMembers = {
  timestamp: Time,
  recorded_at: Time,
  summary: Type.String({ description: 'Who did what to what, and why, in one sentence, with the names of now.' }),
  action: Type.String(),
  type: Type.String(),
  outcome: Type.Enum(['accepted', 'refused', 'failed']),
  actor: Closed({ kind: Type.String(), id: Type.String(), email: Nullable(Type.String({ description: 'Of a person with an account.' })) }),
  source: Type.String(),
  ip_address: Nullable(Type.String({ description: 'From where a person acted; null once forgotten.' })),
  user_agent: Nullable(Type.String()),
  user_id: Nullable(Id),
  device_id: Nullable(Id),
  serial_number: Nullable(Type.String()),
  link_id: Nullable(Id),
  unlock_id: Nullable(Id),
  event_id: Id,
  command_id: Id,
  correlation_id: Id,
  causation_id: Id,
  stream: Type.String(),
  revision: Type.String({ description: 'A 64-bit number as text.' }),
  position: Type.String({ description: 'Opaque; `before` and `after` take it.' }),
  details: Details,
};
export const AuditEntry = Closed(auditMembers, { title: 'AuditEntry' });

export const AuditQuery = {
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Words, all of which an entry must have: of its sentence, action, reasons and codes; names and addresses of people and boxes, serial numbers, IP addresses; ids, or at least 6 signs of their beginning.',
    }),
  ),
  action: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
  type: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Event types, separated by commas.' })),
  actor: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Who acted: id of an account, link or device, or a name of the system.' })),
  actor_kind: Type.Optional(Type.Enum(['user', 'admin', 'courier', 'device', 'system'])),
  source: Type.Optional(Type.Enum(['mobile_app', 'web_dashboard', 'delivery_link', 'scheduled_task', 'mqtt_device', 'http_device', 'system'])),
  ip: Type.Optional(Type.String({ pattern: '^[0-9A-Fa-f.:]{2,45}$', maxLength: 45, 'x-invalid': { text: 'must be an IP address' } })),
  device_id: Type.Optional(Id),
  user_id: Type.Optional(Id),
  link_id: Type.Optional(Id),
  unlock_id: Type.Optional(Id),
  correlation_id: Type.Optional(Id),
  outcome: Type.Optional(Type.Enum(['accepted', 'refused', 'failed'])),
  date_from: Type.Optional(Day),
  date_to: Type.Optional(Day),
  before: Type.Optional(Type.String({ maxLength: 64 })),
  after: Type.Optional(Type.String({ maxLength: 64 })),
};

/** Where everything is looked through again, as far as it is; a tail looks at each entry. */
export const AuditSearch = {
  ...AuditQuery,
  named_before: Type.Optional({ ...Time, description: 'Names of links and couriers, and what administrators said, are looked through for `q` from the newest on, 10,000 of each at once. Where there are more the answer says down to when, in `Loqey-Search-Since`: given here, the 10,000 before that are looked through, and every entry about them is found.' }),
};

export const AuditEntryWithCauses = Closed({
  entry: AuditEntry,
  causes: Type.Array(AuditEntry, { description: 'What led to it, from the first on: each was caused by the one before.' }),
  chain: Type.Array(AuditEntry, { description: 'Everything that came of the same request or report, in the order of the log; at most 1,000.' }),
});

export const Dashboard = Closed({
  total_devices: Type.Integer(),
  active_devices: Type.Integer(),
  total_users: Type.Integer(),
  deliveries_today: Type.Integer(),
  system_health: Type.Enum(['healthy', 'degraded', 'unhealthy']),
});

const Count = Type.Integer({ description: 'Completed deliveries.' });
const Attempts = Type.Integer({ description: 'Asked for by couriers, whatever came of it.' });
const Date = Type.String({ description: '`YYYY-MM-DD` in the time zone.' });
const Hour = Type.Integer({ description: '0–23 by the clocks of the time zone.' });
export const DeliveryAnalytics = Closed({
  total_deliveries: Count,
  total_attempts: Attempts,
  date_from: Date,
  date_to: Date,
  time_zone: Type.String(),
  daily_breakdown: Type.Array(Closed({ date: Date, deliveries: Count, attempts: Attempts })),
  peak_hours: Type.Array(Closed({ hour: Hour, deliveries: Count }), { description: 'Hours with deliveries, the busiest first.' }),
  hourly_breakdown: Type.Array(Closed({ hour: Hour, deliveries: Count, attempts: Attempts }), { description: 'All 24.' }),
});
export const TimeZone = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_+/-]*$', maxLength: 64, description: 'As `Europe/Istanbul`. Default: that of the server.', 'x-invalid': { text: 'must be a time zone such as Europe/Istanbul' } });
export const AnalyticsQuery = { date_from: Type.Optional(Day), date_to: Type.Optional(Day), tz: Type.Optional(TimeZone) };

const Part = Type.Enum(['healthy', 'degraded', 'down', 'not_here']);
export const SystemHealth = Closed({
  database: Part,
  event_store: Part,
  eventstore: Part,
  kafka: Part,
  mqtt_broker: Part,
  celery_workers: Part,
  jobs: Part,
  projectors: Part,
  projections: Type.Record(Type.String(), Type.Integer(), { description: 'Events behind the end of the log.' }),
  api_response_time: Type.String({ description: 'Half of the last thousand answers of this process took no longer.' }),
  api_response_time_p95: Nullable(Type.String()),
  details: Type.Record(Type.String(), Type.String()),
  dependencies: Type.Record(
    Type.String(),
    Closed({ state: Part, response_time: Nullable(Type.String({ description: 'Measured for this answer; null where there is nobody to ask, or no answer.' })), detail: Nullable(Type.String()) }),
  ),
  read_models: Type.Array(
    Closed({ name: Type.String(), state: Type.Enum(['running', 'catching_up', 'stopped']), behind: Type.Integer({ description: 'Positions of the log.' }), last_event_at: Nullable(Time), error: Nullable(Type.String()) }),
  ),
});

export const Health = Closed({
  status: Type.Enum(['healthy', 'degraded', 'unhealthy']),
  service: Type.String(),
  version: Type.String(),
  timestamp: Time,
  services: Type.Record(Type.String(), Type.String()),
});
