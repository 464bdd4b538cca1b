import { accept, present, quiet, refuse } from '../kernel.ts';
import type { DeviceCommandOf } from './commands.ts';
import { cancelUndispatched, standsOnAssignment, type DeviceDecision } from './rules.ts';
import type { DeviceState, RegisteredDevice } from './state.ts';

/** Registration, PIN, maintenance, decommissioning, keys and protocol level: what admins do to a box. */

export function registerDevice(state: DeviceState, { data }: DeviceCommandOf<'RegisterDevice'>): DeviceDecision {
  if (state.kind === 'registered') {
    return state.pin.tag === data.pinTag && state.serialNumber === data.serialNumber ? quiet : refuse('device_exists');
  }
  const { deviceId, serialNumber, model, profile, hardwareId, keyVersion, pin, pinTag, pinExpiresAt } = data;
  return accept({
    type: 'DeviceRegistered',
    data: present({ deviceId, serialNumber, model, profile, hardwareId, keyVersion, pin, pinTag, pinExpiresAt }),
  });
}

/** The old PIN is dead from this event on; whoever has the box keeps it (docs/coverage.md, S0-98). */
export function regeneratePin(device: RegisteredDevice, { data }: DeviceCommandOf<'RegeneratePin'>): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  const { pin } = device;
  if (!pin.void && pin.tag === data.pinTag && pin.expiresAt === data.pinExpiresAt) return quiet;
  return accept({ type: 'DevicePinRegenerated', data: { pin: data.pin, pinTag: data.pinTag, pinExpiresAt: data.pinExpiresAt } });
}

/** Each look is a fact of its own. */
export function viewPin(device: RegisteredDevice): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  if (device.pin.void) return refuse('pin_void');
  return accept({ type: 'DevicePinViewed', data: {} });
}

export function startMaintenance(device: RegisteredDevice, { data }: DeviceCommandOf<'StartMaintenance'>): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  if (device.maintenance) return quiet;
  return accept(
    { type: 'MaintenanceStarted', data: present({ reason: data.reason }) },
    ...cancelUndispatched(device, 'device_in_maintenance', standsOnAssignment),
  );
}

export function endMaintenance(device: RegisteredDevice): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  return device.maintenance ? accept({ type: 'MaintenanceEnded', data: {} }) : quiet;
}

/** For good. The owner's assignment ends by its own event; nothing is opened. */
export function decommission(device: RegisteredDevice, { data }: DeviceCommandOf<'DecommissionDevice'>): DeviceDecision {
  if (device.decommissioned) return quiet;
  const { assignment } = device;
  return accept(
    ...(assignment === null
      ? []
      : [{ type: 'DeviceUnlinked' as const, data: { assignmentId: assignment.assignmentId, userId: assignment.userId, by: 'admin' as const } }]),
    { type: 'DeviceDecommissioned', data: present({ reason: data.reason }) },
    ...cancelUndispatched(device, 'device_decommissioned', () => true),
  );
}

/** One rotation at a time: the server signs with the old key until the box has answered with the new one. */
export function startKeyRotation(device: RegisteredDevice, { data }: DeviceCommandOf<'StartKeyRotation'>): DeviceDecision {
  const { version, rotatingTo, due } = device.keys;
  const { ifDue = false } = data;
  if (device.decommissioned) return ifDue ? quiet : refuse('device_decommissioned');
  if (rotatingTo !== null || (ifDue && !due)) return quiet;
  // Old firmware has no key to sign with: it could neither take a new one nor say that it did.
  if (device.protocol.level === 0) return ifDue ? quiet : refuse('key_rotation_unsupported');
  return accept({ type: 'DeviceKeyRotationStarted', data: { keyVersion: version + 1 } });
}

/**
 * The box signs with this key, or was flashed with it: that ends any rotation. Also one that a log restored from a backup
 * does not know of.
 */
export function completeKeyRotation(device: RegisteredDevice, { data }: DeviceCommandOf<'CompleteKeyRotation'>): DeviceDecision {
  if (data.keyVersion <= device.keys.version) return quiet;
  return accept({ type: 'DeviceKeysRotated', data: { keyVersion: data.keyVersion, by: data.by } });
}

export function pinProtocol(device: RegisteredDevice): DeviceDecision {
  return device.protocol.level === 1 ? quiet : accept({ type: 'DeviceProtocolPinned', data: { level: 1 } });
}

/** What was accepted while answers could be proved is not sent to a box whose answers cannot. */
export function unpinProtocol(device: RegisteredDevice, { data }: DeviceCommandOf<'UnpinProtocol'>): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  if (device.protocol.level === 0) return quiet;
  return accept(
    { type: 'DeviceProtocolUnpinned', data: { reason: data.reason } },
    ...cancelUndispatched(device, 'undeliverable', () => true),
  );
}

export function acceptLevel0Deliveries(device: RegisteredDevice, { data }: DeviceCommandOf<'AcceptLevel0Deliveries'>): DeviceDecision {
  if (device.decommissioned) return refuse('device_decommissioned');
  if (device.protocol.level === 1 || device.protocol.level0Deliveries) return quiet;
  return accept({ type: 'Level0DeliveriesAccepted', data: { reason: data.reason } });
}
