import type { DeviceSettings } from '../../domain/device/events.ts';
import { settingsStatus } from '../../domain/device/settings.ts';
import { defaultSettings } from '../../domain/device/state.ts';
import { isSealed, type Instant, type Sensitive, type Uuid } from '../../domain/kernel.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type Rows } from '../projection.ts';
import { byParts } from '../grams.ts';
import type { DeviceAlerts, DeviceLifecycle, DeviceRow } from '../read-models.ts';

/** Every box as it is, whole, in `view`: boxes are read far more often than they change. Names and places are in `people`. */
interface DeviceTableRow {
  readonly device_id: Uuid;
  readonly serial_number: string;
  readonly owner_id: Uuid | null;
  readonly assignment_id: Uuid | null;
  readonly assigned_at: Instant | null;
  readonly maintenance: boolean;
  readonly decommissioned: boolean;
  /** True once the box was heard of. */
  readonly seen: boolean;
  readonly view: DeviceView;
}

/**
 * The same boxes as the whole fleet is asked for them: what is asked by and nothing else, in so narrow a row that all of them can be
 * looked through. It is written when one of these changes, and none that changes often has an index.
 */
interface FleetRow {
  readonly device_id: Uuid;
  readonly registered_at: Instant;
  readonly owner_id: Uuid | null;
  readonly assignment_id: Uuid | null;
  readonly lifecycle: DeviceLifecycle;
  readonly online: boolean;
  readonly unlink_requested: boolean;
  readonly battery_level: number | null;
  readonly model: string;
  readonly firmware_version: string | null;
  /** In lower case, what a box is looked for by: its serial number and, after a blank, its id. */
  readonly words: string;
}

/** A box without what is joined to it. Every member is there from the registration on, so that their order never changes. */
export type DeviceView = Omit<DeviceRow, 'name' | 'address' | 'latitude' | 'longitude' | 'unlinkReason' | 'lastHeardAt' | 'signalStrength' | 'uptimeSeconds'>;

const devices = defineTable<DeviceTableRow>({
  name: 'devices',
  key: 'device_id',
  columns: {
    device_id: 'uuid NOT NULL',
    serial_number: 'text NOT NULL',
    owner_id: 'uuid',
    assignment_id: 'uuid',
    assigned_at: 'timestamptz',
    maintenance: 'boolean NOT NULL',
    decommissioned: 'boolean NOT NULL',
    seen: 'boolean NOT NULL',
    view: 'json NOT NULL',
  },
  indexes: ['UNIQUE (serial_number)', '(owner_id) WHERE owner_id IS NOT NULL'],
});

const fleet = defineTable<FleetRow>({
  name: 'fleet',
  key: 'device_id',
  cached: false, // no handler reads it
  columns: {
    device_id: 'uuid NOT NULL',
    registered_at: 'timestamptz NOT NULL',
    owner_id: 'uuid',
    assignment_id: 'uuid',
    lifecycle: 'text NOT NULL',
    online: 'boolean NOT NULL',
    unlink_requested: 'boolean NOT NULL',
    battery_level: 'smallint',
    model: 'text NOT NULL',
    firmware_version: 'text',
    words: 'text NOT NULL',
  },
  indexes: [
    '(registered_at DESC, device_id)',
    '(owner_id) WHERE owner_id IS NOT NULL',
    '(assignment_id) WHERE assignment_id IS NOT NULL',
    '(registered_at DESC, device_id) WHERE unlink_requested',
    byParts,
  ],
});

type DeviceRows = { readonly devices: Rows<DeviceTableRow>; readonly fleet: Rows<FleetRow> };

export const devicesProjection = defineProjection({
  name: 'devices',
  version: 5,
  categories: ['device'],
  tables: { devices, fleet },
  load(event, want, writes) {
    if (event.type === 'DeviceRegistered') writes.devices(event.data.deviceId);
    else if (event.stream.startsWith('device-')) want.devices(idOfStream(event.stream));
  },
  on: {
    DeviceRegistered({ data, metadata }, rows) {
      put(rows, { maintenance: false, decommissioned: false, seen: false }, {
        deviceId: data.deviceId,
        serialNumber: data.serialNumber,
        model: data.model,
        profile: data.profile,
        lifecycle: 'available',
        ownerId: null,
        ownerSuspended: false,
        assignmentId: null,
        assignedAt: null,
        registeredAt: metadata.occurredAt,
        ...pinOf(data),
        protocolLevel: 0,
        deliveriesAccepted: false,
        keyVersion: data.keyVersion,
        rotatingTo: null,
        keysRotatedAt: null,
        lockStatus: 'unknown',
        lockStatusAt: null,
        doorOpen: null,
        parcelPresent: null,
        batteryLevel: null,
        firmwareVersion: null,
        online: false,
        lastUnlockAt: null,
        settings: defaultSettings,
        configVersion: 0,
        settingsChangedAt: null,
        reportedSettings: defaultSettings,
        refusedSettings: [],
        appliedConfigVersion: null,
        settingsAppliedAt: null,
        alerts: { unexplainedOpeningAt: null, cloneSuspectedAt: null, tamperedAt: null },
        unlinkRequestedAt: null,
      });
    },
    DevicePinRegenerated: ({ stream, data }, rows) => void change(rows, stream, pinOf(data)),
    DevicePinVoided: ({ stream }, rows) => void change(rows, stream, noPin),
    MaintenanceStarted: ({ stream }, rows) => void change(rows, stream, {}, { maintenance: true }),
    MaintenanceEnded: ({ stream }, rows) => void change(rows, stream, {}, { maintenance: false }),
    DeviceDecommissioned: ({ stream }, rows) => void change(rows, stream, noPin, { decommissioned: true }),

    DeviceAssigned({ stream, data, metadata }, rows) {
      const owner = { ownerId: data.userId, ownerSuspended: false, assignmentId: data.assignmentId, assignedAt: metadata.occurredAt };
      change(rows, stream, owner);
    },
    DeviceUnlinkRequested: ({ stream, metadata }, rows) => void change(rows, stream, { unlinkRequestedAt: metadata.occurredAt }),
    DeviceUnlinked({ stream }, rows) {
      change(rows, stream, { ownerId: null, ownerSuspended: false, assignmentId: null, assignedAt: null, unlinkRequestedAt: null, ...noPin });
      alerts(rows, stream, { unexplainedOpeningAt: null });
    },
    OwnerSuspended: ({ stream }, rows) => void change(rows, stream, { ownerSuspended: true }),
    OwnerActivated: ({ stream }, rows) => void change(rows, stream, { ownerSuspended: false }),

    DeviceSettingsChanged({ stream, data, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tellSettings(emit, change(rows, stream, { settings: data.desired, configVersion: data.configVersion, settingsChangedAt: at }), at);
    },
    DeviceSettingsApplied({ stream, data, metadata }, rows, emit) {
      const { settings, reportedSettings } = rows.devices.need(idOfStream(stream)).view;
      const { configVersion, rejected = [] } = data;
      const at = metadata.occurredAt;
      const applied = { appliedConfigVersion: configVersion, settingsAppliedAt: at, refusedSettings: rejected, reportedSettings: takenOver(reportedSettings, settings, rejected) };
      tellSettings(emit, change(rows, stream, applied), at);
    },
    DeviceKeyRotationStarted: ({ stream, data }, rows) => void change(rows, stream, { rotatingTo: data.keyVersion }),
    DeviceKeysRotated({ stream, data, metadata }, rows) {
      change(rows, stream, { keyVersion: data.keyVersion, rotatingTo: null, keysRotatedAt: metadata.occurredAt });
      alerts(rows, stream, { cloneSuspectedAt: null });
    },
    DeviceProtocolPinned: ({ stream }, rows) => void change(rows, stream, { protocolLevel: 1, deliveriesAccepted: false }),
    DeviceProtocolUnpinned: ({ stream }, rows) => void change(rows, stream, { protocolLevel: 0, deliveriesAccepted: false }),
    Level0DeliveriesAccepted: ({ stream }, rows) => void change(rows, stream, { deliveriesAccepted: true }),

    UnlockAcknowledged: ({ stream }, rows) => heard(rows, stream),
    UnlockFailed: ({ stream }, rows) => heard(rows, stream),
    UnlockConfirmed({ stream, metadata }, rows) {
      change(rows, stream, { lastUnlockAt: metadata.occurredAt }, { seen: true });
    },
    UnlockSettled({ stream, data, metadata }, rows) {
      if (data.outcome === 'opened') change(rows, stream, { lastUnlockAt: metadata.occurredAt });
    },

    LockStateReported({ stream, data, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tell(emit, change(rows, stream, { lockStatus: data.lockStatus, lockStatusAt: at }, { seen: true }), at);
    },
    DoorStateReported({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows, stream, { doorOpen: data.doorOpen }, { seen: true }), metadata.occurredAt);
    },
    BatteryLevelChanged({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows, stream, { batteryLevel: data.level }, { seen: true }), metadata.occurredAt);
    },
    FirmwareReported({ stream, data, metadata }, rows, emit) {
      tell(emit, change(rows, stream, { firmwareVersion: data.version }, { seen: true }), metadata.occurredAt);
    },
    DeviceWentOnline({ stream, metadata }, rows, emit) {
      tell(emit, change(rows, stream, { online: true }, { seen: true }), metadata.occurredAt);
    },
    DeviceWentOffline({ stream, metadata }, rows, emit) {
      tell(emit, change(rows, stream, { online: false }), metadata.occurredAt);
    },
    UnexplainedOpening({ stream, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tellAlert(emit, 'unexplained_opening', alerts(rows, stream, { unexplainedOpeningAt: at }, { seen: true }), at);
    },
    DeviceCloneSuspected({ stream, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tellAlert(emit, 'clone_suspected', alerts(rows, stream, { cloneSuspectedAt: at }), at);
    },
    DeviceTampered({ stream, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      tellAlert(emit, 'tampered', alerts(rows, stream, { tamperedAt: at }, { seen: true }), at);
    },
    DeviceTamperCleared: ({ stream }, rows) => void alerts(rows, stream, { tamperedAt: null }, { seen: true }),
    ParcelDetected: ({ stream }, rows) => void change(rows, stream, { parcelPresent: true }, { seen: true }),
    ParcelRemoved: ({ stream }, rows) => void change(rows, stream, { parcelPresent: false }, { seen: true }),
  },
});

const noPin = { pin: null, pinExpiresAt: null };

function pinOf({ pin, pinExpiresAt }: { readonly pin: Sensitive<string>; readonly pinExpiresAt: Instant }) {
  return { pin: isSealed(pin) ? pin : null, pinExpiresAt };
}

type Flags = Pick<DeviceTableRow, 'maintenance' | 'decommissioned' | 'seen'>;

function put(rows: DeviceRows, flags: Flags, view: DeviceView, before?: DeviceView): void {
  rows.devices.put({ device_id: view.deviceId, serial_number: view.serialNumber, owner_id: view.ownerId, assignment_id: view.assignmentId, assigned_at: view.assignedAt, ...flags, view });
  const asked = fleetRow(view);
  if (before === undefined || !sameIn(asked, fleetRow(before))) rows.fleet.put(asked);
}

function fleetRow(view: DeviceView): FleetRow {
  return {
    device_id: view.deviceId,
    registered_at: view.registeredAt,
    owner_id: view.ownerId,
    assignment_id: view.assignmentId,
    lifecycle: view.lifecycle,
    online: view.online,
    unlink_requested: view.unlinkRequestedAt !== null,
    battery_level: view.batteryLevel,
    model: view.model,
    firmware_version: view.firmwareVersion,
    words: `${view.serialNumber.toLowerCase()} ${view.deviceId}`,
  };
}

function sameIn(one: FleetRow, other: FleetRow): boolean {
  return (Object.keys(one) as (keyof FleetRow)[]).every((name) => one[name] === other[name]);
}

function change(rows: DeviceRows, stream: string, what: Partial<DeviceView>, flag: Partial<Flags> = {}): DeviceView {
  const { view: before, maintenance, decommissioned, seen } = rows.devices.need(idOfStream(stream));
  const flags = { maintenance, decommissioned, seen, ...flag };
  const changed = { ...before, ...what };
  const view = { ...changed, lifecycle: lifecycleOf(changed, flags) };
  put(rows, flags, view, before);
  return view;
}

function alerts(rows: DeviceRows, stream: string, what: Partial<DeviceAlerts>, flag: Partial<Flags> = {}): DeviceView {
  const { view } = rows.devices.need(idOfStream(stream));
  return change(rows, stream, { alerts: { ...view.alerts, ...what } }, flag);
}

/** What was refused stays as it was. The box names it by its own names: `auto_lock_delay`. */
function takenOver(before: DeviceSettings, wanted: DeviceSettings, refused: readonly string[]): DeviceSettings {
  const stays = Object.entries(before).filter(([name]) => refused.includes(name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)));
  return { ...wanted, ...Object.fromEntries(stays) };
}

/** What the box said changes nothing here but that it is there. */
function heard(rows: DeviceRows, stream: string): void {
  if (!rows.devices.need(idOfStream(stream)).seen) change(rows, stream, {}, { seen: true });
}

/** docs/coverage.md, X-17: `assigned` until the first report of a box that was never heard of. */
function lifecycleOf(view: DeviceView, { decommissioned, maintenance, seen }: Flags): DeviceLifecycle {
  if (decommissioned) return 'decommissioned';
  if (maintenance) return 'maintenance';
  if (view.ownerId === null) return 'available';
  return seen ? 'active' : 'assigned';
}

function tellSettings(emit: Emit, view: DeviceView, at: Instant): void {
  emit([`device:${view.deviceId}`, view.ownerId === null ? undefined : `user:${view.ownerId}`], 'settings_update', {
    device_id: view.deviceId,
    status: settingsStatus(view),
    config_version: view.configVersion,
    timestamp: at,
  });
}

function tellAlert(emit: Emit, alert: string, view: DeviceView, at: Instant): void {
  emit(['admin', `device:${view.deviceId}`, view.ownerId === null ? undefined : `user:${view.ownerId}`], 'alert', { alert, device_id: view.deviceId, timestamp: at });
}

function tell(emit: Emit, view: DeviceView, at: Instant): void {
  emit([`device:${view.deviceId}`, view.ownerId === null ? undefined : `user:${view.ownerId}`], 'status_update', {
    device_id: view.deviceId,
    status: view.lockStatus,
    timestamp: at,
    online: view.online,
    door_open: view.doorOpen,
    battery_level: view.batteryLevel,
    firmware_version: view.firmwareVersion,
  });
}
