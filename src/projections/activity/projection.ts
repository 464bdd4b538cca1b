import type { UnlockCause } from '../../domain/device/events.ts';
import type { Recorded } from '../../domain/events.ts';
import { assertNever, type Instant, type Source, type Uuid } from '../../domain/kernel.ts';
import { categoryOfStream, defineProjection, defineTable, idOfStream, type Emit, type RowsOf } from '../projection.ts';
import type { ActivityRow } from '../read-models.ts';

/** What happened to a box, in sentences for its owner. Without names: those may have to be forgotten. */
interface ActivityTableRow {
  readonly position: string;
  readonly device_id: Uuid;
  /** Who had the box then: whoever has it later does not see it. */
  readonly owner_id: Uuid | null;
  readonly activity_type: ActivityRow['activityType'];
  readonly action: string;
  readonly source: string;
  readonly success: boolean;
  readonly description: string;
  readonly user_id: Uuid | null;
  readonly occurred_at: Instant;
}

/** Who has a box. */
interface OwnerRow {
  readonly device_id: Uuid;
  readonly owner_id: Uuid;
}

/** Who asked for an unlock, while its outcome is open. */
interface UnlockRow {
  readonly unlock_id: Uuid;
  readonly cause_kind: UnlockCause['kind'];
  readonly user_id: Uuid | null;
}

const tables = {
  activity: defineTable<ActivityTableRow>({
    name: 'activity',
    key: 'position',
    kind: 'append',
    columns: {
      position: 'numeric(20, 0) NOT NULL',
      device_id: 'uuid NOT NULL',
      owner_id: 'uuid',
      activity_type: 'text NOT NULL',
      action: 'text NOT NULL',
      source: 'text NOT NULL',
      success: 'boolean NOT NULL',
      description: 'text NOT NULL',
      user_id: 'uuid',
      occurred_at: 'timestamptz NOT NULL',
    },
    indexes: ['(device_id, position DESC)', '(owner_id, position DESC) WHERE owner_id IS NOT NULL'],
  }),
  owners: defineTable<OwnerRow>({
    name: 'owners',
    key: 'device_id',
    columns: { device_id: 'uuid NOT NULL', owner_id: 'uuid NOT NULL' },
    indexes: [],
  }),
  unlocks: defineTable<UnlockRow>({
    name: 'unlocks',
    key: 'unlock_id',
    columns: { unlock_id: 'uuid NOT NULL', cause_kind: 'text NOT NULL', user_id: 'uuid' },
    indexes: [],
  }),
};

type ActivityRows = RowsOf<typeof tables>;

interface Entry {
  readonly type: ActivityRow['activityType'];
  readonly action: string;
  readonly description: string;
  readonly success?: boolean;
  readonly source?: Source;
  readonly userId?: Uuid | null;
}

export const activityProjection = defineProjection({
  name: 'activity',
  version: 3,
  categories: ['device'],
  tables,

  load(event, want, writes) {
    if (event.type !== 'DeviceRegistered' && categoryOfStream(event.stream) === 'device') want.owners(idOfStream(event.stream));
    switch (event.type) {
      case 'DeviceRegistered':
        return writes.owners(idOfStream(event.stream));
      case 'UnlockRequested':
        return writes.unlocks(event.data.unlockId);
      case 'UnlockConfirmed':
      case 'UnlockFailed':
      case 'UnlockOutcomeUnknown':
      case 'UnlockSettled':
      case 'UnlockCancelled':
      case 'UnlockExpired':
        return want.unlocks(event.data.unlockId);
      default:
        return undefined;
    }
  },

  on: {
    DeviceRegistered: ({ stream }, rows) => rows.owners.absent(idOfStream(stream)),
    DeviceAssigned(event, rows, emit) {
      rows.owners.put({ device_id: idOfStream(event.stream), owner_id: event.data.userId });
      user(rows, emit, event, 'device_assigned', 'The box was added', event.data.userId);
    },
    DeviceRenamed: (event, rows, emit) => user(rows, emit, event, 'device_renamed', 'The box got another name'),
    DeviceLocationChanged: (event, rows, emit) => user(rows, emit, event, 'location_changed', 'The place of the box was changed'),
    DeviceUnlinkRequested: (event, rows, emit) => user(rows, emit, event, 'unlink_requested', 'Support was asked to remove the box', event.data.userId),
    DeviceUnlinked(event, rows, emit) {
      const description = event.data.by === 'owner' ? 'The box was removed by its owner' : 'The box was removed by support';
      user(rows, emit, event, 'device_unlinked', description, event.data.userId);
      rows.owners.delete(idOfStream(event.stream));
    },
    DeviceSettingsChanged: (event, rows, emit) => user(rows, emit, event, 'settings_changed', 'The settings were changed'),
    DeviceSettingsApplied(event, rows, emit) {
      const rejected = event.data.rejected?.length ?? 0;
      const description = rejected === 0 ? 'The box has taken over its settings' : 'The box has taken over some of its settings only';
      system(rows, emit, event, 'settings_applied', description, rejected === 0);
    },
    DeviceKeysRotated: (event, rows, emit) => system(rows, emit, event, 'keys_rotated', 'The box has a new key'),
    MaintenanceStarted: (event, rows, emit) => system(rows, emit, event, 'maintenance_started', 'The box is in maintenance'),
    MaintenanceEnded: (event, rows, emit) => system(rows, emit, event, 'maintenance_ended', 'The maintenance is over'),
    DeviceDecommissioned: (event, rows, emit) => system(rows, emit, event, 'decommissioned', 'The box was taken out of service'),

    LinkCreated: (event, rows, emit) => link(rows, emit, event, 'link_created', 'A link was created'),
    LinkUpdated: (event, rows, emit) => link(rows, emit, event, 'link_updated', 'A link was changed'),
    LinkRevoked: (event, rows, emit) => link(rows, emit, event, 'link_revoked', 'A link was revoked'),
    LinkDeleted: (event, rows, emit) => link(rows, emit, event, 'link_deleted', 'A link was deleted'),
    LinkExpired: (event, rows, emit) => link(rows, emit, event, 'link_expired', 'A link expired'),

    UnlockRequested(event, rows, emit) {
      const { unlockId, cause } = event.data;
      const userId = cause.kind === 'owner' || cause.kind === 'admin' ? cause.id : null;
      rows.unlocks.put({ unlock_id: unlockId, cause_kind: cause.kind, user_id: userId });
      const action = cause.kind === 'admin' ? 'emergency_unlock' : cause.kind === 'link' ? 'link_used' : 'unlock';
      add(rows, emit, event, { type: 'device_control', action, description: `${asked(cause.kind)} asked to open the box`, userId });
    },
    EmergencyUnlockUnexplained(event, rows, emit) {
      const { unlockId, adminId, userId } = event.data;
      add(rows, emit, event, { type: 'system_event', action: 'alert_raised', description: 'Support asked to open the box and gave no reason', success: false, userId: adminId });
      emit(['admin', userId === undefined ? undefined : `user:${userId}`], 'alert', {
        alert: 'emergency_unlock_unexplained',
        device_id: idOfStream(event.stream),
        command_id: unlockId,
        timestamp: event.metadata.occurredAt,
      });
    },
    UnlockConfirmed: (event, rows, emit) => outcome(rows, emit, event, event.data.unlockId, 'unlocked', 'opened the box', true),
    UnlockFailed: (event, rows, emit) => outcome(rows, emit, event, event.data.unlockId, 'unlock_failed', 'could not open the box', false),
    UnlockOutcomeUnknown(event, rows, emit) {
      outcome(rows, emit, event, event.data.unlockId, 'unlock_unknown', 'may have opened the box: it has not answered', false, true);
    },
    UnlockSettled(event, rows, emit) {
      const opened = event.data.outcome === 'opened';
      const description = opened ? 'did open the box, as it said later' : 'did not open the box, as it said later';
      outcome(rows, emit, event, event.data.unlockId, opened ? 'unlocked' : 'unlock_failed', description, opened);
    },
    UnlockCancelled: (event, rows, emit) => outcome(rows, emit, event, event.data.unlockId, 'unlock_cancelled', 'did not open the box: the request was called off', false),
    UnlockExpired: (event, rows, emit) => outcome(rows, emit, event, event.data.unlockId, 'unlock_expired', 'was too late to open the box', false),
    UnexplainedOpening: (event, rows, emit) => system(rows, emit, event, 'unexplained_opening', 'The box was opened, and nobody here asked for it', false),

    LockStateReported(event, rows, emit) {
      const { lockStatus } = event.data;
      switch (lockStatus) {
        case 'locked':
          return add(rows, emit, event, { type: 'device_control', action: 'lock', description: 'The box is locked' });
        case 'jammed':
          return system(rows, emit, event, 'jammed', 'The bolt of the box is stuck', false);
        case 'error':
          return system(rows, emit, event, 'lock_error', 'The lock of the box reports a fault', false);
        case 'unlocked': // who opened it is told with the outcome of the unlock
        case 'unknown':
          return undefined;
        default:
          return assertNever(lockStatus);
      }
    },
    DoorStateReported(event, rows, emit) {
      const open = event.data.doorOpen;
      system(rows, emit, event, open ? 'door_opened' : 'door_closed', open ? 'The door is open' : 'The door is closed');
    },
    BatteryLevelChanged: (event, rows, emit) => system(rows, emit, event, 'battery_update', `The battery is at ${event.data.level} %`),
    FirmwareReported: (event, rows, emit) => system(rows, emit, event, 'firmware_update', `The box runs firmware ${event.data.version}`),
    DeviceWentOnline: (event, rows, emit) => system(rows, emit, event, 'online', 'The box is online'),
    DeviceWentOffline: (event, rows, emit) => system(rows, emit, event, 'offline', 'The box is offline', false),
    DeviceTampered: (event, rows, emit) => system(rows, emit, event, 'tampered', 'The box reports that somebody tampers with it', false),
    DeviceTamperCleared: (event, rows, emit) => system(rows, emit, event, 'tamper_cleared', 'The box reports that it is no longer tampered with'),
    DeviceCloneSuspected: (event, rows, emit) => system(rows, emit, event, 'clone_suspected', 'Two boxes may be using the identity of this one', false),
    ParcelDetected: (event, rows, emit) => system(rows, emit, event, 'item_stored', 'There is a parcel in the box'),
    ParcelRemoved: (event, rows, emit) => system(rows, emit, event, 'item_collected', 'The parcel was taken out'),
  },
});

function add(rows: ActivityRows, emit: Emit, { stream, position, metadata }: Recorded, entry: Entry): void {
  const deviceId = idOfStream(stream);
  const { actor, source, occurredAt } = metadata;
  const row: ActivityTableRow = {
    position: String(position),
    device_id: deviceId,
    owner_id: rows.owners.get(deviceId)?.owner_id ?? null,
    activity_type: entry.type,
    action: entry.action,
    source: entry.source ?? source,
    success: entry.success ?? true,
    description: entry.description,
    user_id: entry.userId !== undefined ? entry.userId : actor.kind === 'user' || actor.kind === 'admin' ? actor.id : null,
    occurred_at: occurredAt,
  };
  rows.activity.put(row);
  emit(['admin'], 'device_activity', { device_id: deviceId, action: row.action, user: row.source, success: row.success, timestamp: occurredAt });
}

function user(rows: ActivityRows, emit: Emit, event: Recorded, action: string, description: string, userId?: Uuid): void {
  add(rows, emit, event, { type: 'user_action', action, description, ...(userId === undefined ? {} : { userId }) });
}

function link(rows: ActivityRows, emit: Emit, event: Recorded, action: string, description: string): void {
  add(rows, emit, event, { type: 'access_link', action, description });
}

function system(rows: ActivityRows, emit: Emit, event: Recorded, action: string, description: string, success = true): void {
  add(rows, emit, event, { type: 'system_event', action, description, success });
}

/** The box's answer is told as the doing of whoever asked for it. */
function outcome(
  rows: ActivityRows,
  emit: Emit,
  event: Recorded,
  unlockId: Uuid,
  action: string,
  did: string,
  success: boolean,
  open = false,
): void {
  const unlock = rows.unlocks.need(unlockId);
  if (!open) rows.unlocks.delete(unlockId);
  const description = `${asked(unlock.cause_kind)} ${did}`;
  add(rows, emit, event, { type: 'device_control', action, description, success, source: sourceOf(unlock.cause_kind), userId: unlock.user_id });
}

function asked(kind: UnlockCause['kind']): string {
  switch (kind) {
    case 'link':
      return 'Somebody with a link';
    case 'owner':
      return 'The owner';
    case 'admin':
      return 'Support';
    case 'schedule':
      return 'A schedule';
    default:
      return assertNever(kind);
  }
}

function sourceOf(kind: UnlockCause['kind']): Source {
  switch (kind) {
    case 'link':
      return 'delivery_link';
    case 'owner':
      return 'mobile_app';
    case 'admin':
      return 'web_dashboard';
    case 'schedule':
      return 'scheduled_task';
    default:
      return assertNever(kind);
  }
}
