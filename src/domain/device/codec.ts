import { createCodec, deliverySubject, deviceSubject, userSubject, type EventForm, type Upcast } from '../codec.ts';
import type { DeviceEvent } from './events.ts';
import { ownerIdOf } from './rules.ts';
import type { DeviceState } from './state.ts';

const v1: EventForm<DeviceState, DeviceEvent> = { version: 1 };

/** Names, places and links are the owner's: of the assignment before the event, where the event itself does not say. */
const owner = (state: DeviceState): string => {
  const userId = ownerIdOf(state);
  if (userId === undefined) throw new Error('An owner’s words about a box that nobody has');
  return userSubject(userId);
};
const thisBox = (state: DeviceState): string => {
  if (state.kind === 'unregistered') throw new Error('Something sealed for a box that is not registered');
  return deviceSubject(state.deviceId);
};
/** What an administrator says about a box goes with whoever has it at that moment: with the owner of before, where the event ends that. */
const ownerElseBox = (state: DeviceState): string => {
  const userId = ownerIdOf(state);
  return userId === undefined ? thisBox(state) : userSubject(userId);
};

const unchanged: Upcast = (data) => data;
/** Version 1 had the reason in clear. */
const sealedReason = { version: 2, upcasts: [unchanged], sealed: { reason: ownerElseBox } } as const;
/** In version 1 an administrator's words stood where a device's code does. */
const remarkApart: Upcast = ({ reason, ...data }) => {
  if (reason === undefined) return data;
  return data['by'] === 'admin' ? { ...data, remark: reason } : { ...data, reason };
};

export const deviceCodec = createCodec<DeviceState, DeviceEvent>({
  DeviceRegistered: { version: 1, sealed: { pin: (_, { data }) => deviceSubject(data.deviceId) } },
  DevicePinRegenerated: { version: 1, sealed: { pin: thisBox } },
  DevicePinViewed: v1,
  DevicePinRefused: v1,
  DevicePinVoided: v1,
  MaintenanceStarted: sealedReason,
  MaintenanceEnded: v1,
  DeviceDecommissioned: sealedReason,
  DeviceAssigned: { version: 1, sealed: { name: (_, { data }) => userSubject(data.userId) } },
  DeviceRenamed: { version: 1, sealed: { name: owner } },
  DeviceLocationChanged: { version: 1, sealed: { location: owner } },
  DeviceUnlinkRequested: { version: 1, sealed: { reason: (_, { data }) => userSubject(data.userId) } },
  DeviceUnlinked: { version: 1, sealed: { reason: (_, { data }) => userSubject(data.userId) } },
  OwnerSuspended: v1,
  OwnerActivated: v1,
  DeviceSettingsChanged: v1,
  DeviceSettingsApplied: v1,
  DeviceKeyRotationStarted: v1,
  DeviceKeysRotated: v1,
  DeviceProtocolPinned: v1,
  DeviceProtocolUnpinned: sealedReason,
  Level0DeliveriesAccepted: sealedReason,
  LinkCreated: { version: 1, sealed: { token: owner, name: owner } },
  LinkUpdated: { version: 1, sealed: { name: owner } },
  LinkRevoked: v1,
  LinkDeleted: v1,
  LinkExpired: v1,
  UnlockRequested: { version: 2, upcasts: [unchanged], sealed: { courier: (_, { data }) => deliverySubject(data.unlockId), reason: ownerElseBox } },
  EmergencyUnlockUnexplained: v1,
  UnlockDispatched: v1,
  UnlockPublished: v1,
  UnlockAcknowledged: v1,
  UnlockConfirmed: v1,
  UnlockFailed: v1,
  UnlockOutcomeUnknown: v1,
  UnlockSettled: { version: 2, upcasts: [remarkApart], sealed: { remark: ownerElseBox } },
  UnlockCancelled: v1,
  UnlockExpired: v1,
  UnexplainedOpening: v1,
  LockStateReported: v1,
  DoorStateReported: v1,
  BatteryLevelChanged: v1,
  FirmwareReported: v1,
  DeviceWentOnline: v1,
  DeviceWentOffline: v1,
  DeviceTampered: v1,
  DeviceTamperCleared: v1,
  DeviceCloneSuspected: v1,
  ParcelDetected: v1,
  ParcelRemoved: v1,
});
