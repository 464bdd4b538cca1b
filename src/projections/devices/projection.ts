import { defaultSettings } from '../../domain/device/state.ts';
import type { DeviceProfile, DeviceSettings, LockStatus } from '../../domain/device/events.ts';
import { isSealed, type Instant, type Sealed, type Sensitive, type Uuid } from '../../domain/kernel.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type Rows } from '../projection.ts';
import type { DeviceLifecycle } from '../read-models.ts';

/** Every box as it is: lifecycle, owner, what it last said. Names and places are in `people`. */
interface DeviceTableRow {
  readonly device_id: Uuid;
  readonly serial_number: string;
  readonly model: string;
  readonly profile: DeviceProfile;
  readonly lifecycle: DeviceLifecycle;
  readonly maintenance: boolean;
  readonly decommissioned: boolean;
  /** True once the box was heard of. */
  readonly seen: boolean;
  readonly owner_id: Uuid | null;
  readonly owner_suspended: boolean;
  readonly assignment_id: Uuid | null;
  readonly assigned_at: Instant | null;
  readonly registered_at: Instant;
  readonly pin: Sealed | null;
  readonly pin_expires_at: Instant | null;
  readonly protocol_level: 0 | 1;
  readonly key_version: number;
  readonly lock_status: LockStatus;
  readonly lock_status_at: Instant | null;
  readonly door_open: boolean | null;
  readonly battery_level: number | null;
  readonly firmware_version: string | null;
  readonly online: boolean;
  readonly last_unlock_at: Instant | null;
  readonly settings: DeviceSettings;
  readonly config_version: number;
  readonly applied_config_version: number | null;
}

const devices = defineTable<DeviceTableRow>({
  name: 'devices',
  key: 'device_id',
  columns: {
    device_id: 'uuid NOT NULL',
    serial_number: 'text NOT NULL',
    model: 'text NOT NULL',
    profile: 'text NOT NULL',
    lifecycle: 'text NOT NULL',
    maintenance: 'boolean NOT NULL',
    decommissioned: 'boolean NOT NULL',
    seen: 'boolean NOT NULL',
    owner_id: 'uuid',
    owner_suspended: 'boolean NOT NULL',
    assignment_id: 'uuid',
    assigned_at: 'timestamptz',
    registered_at: 'timestamptz NOT NULL',
    pin: 'jsonb',
    pin_expires_at: 'timestamptz',
    protocol_level: 'smallint NOT NULL',
    key_version: 'integer NOT NULL',
    lock_status: 'text NOT NULL',
    lock_status_at: 'timestamptz',
    door_open: 'boolean',
    battery_level: 'integer',
    firmware_version: 'text',
    online: 'boolean NOT NULL',
    last_unlock_at: 'timestamptz',
    settings: 'jsonb NOT NULL',
    config_version: 'integer NOT NULL',
    applied_config_version: 'integer',
  },
  indexes: ['UNIQUE (serial_number)', '(owner_id) WHERE owner_id IS NOT NULL', '(registered_at DESC, device_id)'],
});

type DeviceRows = Rows<DeviceTableRow>;

export const devicesProjection = defineProjection({
  name: 'devices',
  version: 1,
  categories: ['device'],
  tables: { devices },
  load(event, want) {
    if (event.type !== 'DeviceRegistered' && event.stream.startsWith('device-')) want.devices(idOfStream(event.stream));
  },
  on: {
    DeviceRegistered({ data, metadata }, rows) {
      rows.devices.put({
        device_id: data.deviceId,
        serial_number: data.serialNumber,
        model: data.model,
        profile: data.profile,
        lifecycle: 'available',
        maintenance: false,
        decommissioned: false,
        seen: false,
        owner_id: null,
        owner_suspended: false,
        assignment_id: null,
        assigned_at: null,
        registered_at: metadata.occurredAt,
        ...pinOf(data),
        protocol_level: 0,
        key_version: data.keyVersion,
        lock_status: 'unknown',
        lock_status_at: null,
        door_open: null,
        battery_level: null,
        firmware_version: null,
        online: false,
        last_unlock_at: null,
        settings: defaultSettings,
        config_version: 0,
        applied_config_version: null,
      });
    },
    DevicePinRegenerated: ({ stream, data }, rows) => void change(rows.devices, stream, pinOf(data)),
    DevicePinVoided: ({ stream }, rows) => void change(rows.devices, stream, noPin),
    MaintenanceStarted: ({ stream }, rows) => void change(rows.devices, stream, { maintenance: true }),
    MaintenanceEnded: ({ stream }, rows) => void change(rows.devices, stream, { maintenance: false }),
    DeviceDecommissioned: ({ stream }, rows) => void change(rows.devices, stream, { decommissioned: true, ...noPin }),

    DeviceAssigned({ stream, data, metadata }, rows) {
      const owner = { owner_id: data.userId, owner_suspended: false, assignment_id: data.assignmentId, assigned_at: metadata.occurredAt };
      change(rows.devices, stream, owner);
    },
    DeviceUnlinked({ stream }, rows) {
      change(rows.devices, stream, { owner_id: null, owner_suspended: false, assignment_id: null, assigned_at: null, ...noPin });
    },
    OwnerSuspended: ({ stream }, rows) => void change(rows.devices, stream, { owner_suspended: true }),
    OwnerActivated: ({ stream }, rows) => void change(rows.devices, stream, { owner_suspended: false }),

    DeviceSettingsChanged({ stream, data }, rows) {
      change(rows.devices, stream, { settings: data.desired, config_version: data.configVersion });
    },
    DeviceSettingsApplied: ({ stream, data }, rows) => void change(rows.devices, stream, { applied_config_version: data.configVersion }),
    DeviceKeysRotated: ({ stream, data }, rows) => void change(rows.devices, stream, { key_version: data.keyVersion }),
    DeviceProtocolPinned: ({ stream }, rows) => void change(rows.devices, stream, { protocol_level: 1 }),
    DeviceProtocolUnpinned: ({ stream }, rows) => void change(rows.devices, stream, { protocol_level: 0 }),

    UnlockAcknowledged: ({ stream }, rows) => heard(rows.devices, stream),
    UnlockFailed: ({ stream }, rows) => heard(rows.devices, stream),
    UnlockConfirmed({ stream, metadata }, rows) {
      change(rows.devices, stream, { seen: true, last_unlock_at: metadata.occurredAt });
    },
    UnlockSettled({ stream, data, metadata }, rows) {
      if (data.outcome === 'opened') change(rows.devices, stream, { last_unlock_at: metadata.occurredAt });
    },

    LockStateReported({ stream, data, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tell(emit, change(rows.devices, stream, { seen: true, lock_status: data.lockStatus, lock_status_at: at }), at);
    },
    DoorStateReported({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows.devices, stream, { seen: true, door_open: data.doorOpen }), metadata.occurredAt);
    },
    BatteryLevelChanged({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows.devices, stream, { seen: true, battery_level: data.level }), metadata.occurredAt);
    },
    FirmwareReported({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows.devices, stream, { seen: true, firmware_version: data.version }), metadata.occurredAt);
    },
    DeviceWentOnline({ stream, metadata }, rows, emit) {
      tell(emit, change(rows.devices, stream, { seen: true, online: true }), metadata.occurredAt);
    },
    DeviceWentOffline({ stream, metadata }, rows, emit) {
      tell(emit, change(rows.devices, stream, { online: false }), metadata.occurredAt);
    },
    UnexplainedOpening: ({ stream }, rows) => heard(rows.devices, stream),
    DeviceTampered: ({ stream }, rows) => heard(rows.devices, stream),
    DeviceTamperCleared: ({ stream }, rows) => heard(rows.devices, stream),
    ParcelDetected: ({ stream }, rows) => heard(rows.devices, stream),
    ParcelRemoved: ({ stream }, rows) => heard(rows.devices, stream),
  },
});

const noPin = { pin: null, pin_expires_at: null };

function pinOf({ pin, pinExpiresAt }: { readonly pin: Sensitive<string>; readonly pinExpiresAt: Instant }) {
  return { pin: isSealed(pin) ? pin : null, pin_expires_at: pinExpiresAt };
}

function change(rows: DeviceRows, stream: string, what: Partial<DeviceTableRow>): DeviceTableRow {
  const deviceId = idOfStream(stream);
  const changed = { ...rows.need(deviceId), ...what };
  const row = { ...changed, lifecycle: lifecycleOf(changed) };
  rows.put(row);
  return row;
}

/** What the box said changes nothing here but that it is there. */
function heard(rows: DeviceRows, stream: string): void {
  if (!rows.need(idOfStream(stream)).seen) change(rows, stream, { seen: true });
}

/** Requirements X-17: `assigned` until the first report of a box that was never heard of. */
function lifecycleOf(row: DeviceTableRow): DeviceLifecycle {
  if (row.decommissioned) return 'decommissioned';
  if (row.maintenance) return 'maintenance';
  if (row.owner_id === null) return 'available';
  return row.seen ? 'active' : 'assigned';
}

function tell(emit: Emit, row: DeviceTableRow, at: Instant): void {
  emit([`device:${row.device_id}`, row.owner_id === null ? undefined : `user:${row.owner_id}`], 'status_update', {
    device_id: row.device_id,
    status: row.lock_status,
    timestamp: at,
    online: row.online,
    door_open: row.door_open,
    battery_level: row.battery_level,
    firmware_version: row.firmware_version,
  });
}
