import { accept, present, quiet, refuse } from '../kernel.ts';
import type { DeviceCommandOf } from './commands.ts';
import type { DeviceSettings } from './events.ts';
import { assignmentOf, type DeviceDecision } from './rules.ts';
import type { RegisteredDevice } from './state.ts';

/** What the owner wants of the box, and what the box says it has taken over. */

const RANGES = { autoLockDelay: [5, 600], heartbeatSeconds: [30, 120] } as const;

export function changeSettings(device: RegisteredDevice, { data }: DeviceCommandOf<'ChangeSettings'>): DeviceDecision {
  const owner = assignmentOf(device, data.userId);
  if (!owner.ok) return owner.refusal;
  const { desired, version } = device.settings;
  const wanted: DeviceSettings = { ...desired, ...present(data.changes) };
  for (const [key, [least, most]] of Object.entries(RANGES) as [keyof typeof RANGES, readonly [number, number]][]) {
    const value = wanted[key];
    if (!Number.isInteger(value) || value < least || value > most) return refuse('settings_invalid', { setting: key, least, most });
  }
  const same = (Object.keys(desired) as (keyof DeviceSettings)[]).every((key) => wanted[key] === desired[key]);
  return same ? quiet : accept({ type: 'DeviceSettingsChanged', data: { configVersion: version + 1, desired: wanted } });
}

/**
 * The box's own version. Above ours means that this log was restored from a backup: ours jumps beyond it and is sent
 * again. Numbers that no command could carry are not believed.
 */
export function reportSettingsVersion(device: RegisteredDevice, { data }: DeviceCommandOf<'ReportSettingsVersion'>): DeviceDecision {
  const { desired, version, applied } = device.settings;
  if (!Number.isSafeInteger(data.configVersion + 1)) return quiet;
  if (data.configVersion > version) {
    return accept({ type: 'DeviceSettingsChanged', data: { configVersion: data.configVersion + 1, desired } });
  }
  if (data.configVersion < version || data.configVersion === applied || version === 0) return quiet;
  return accept({ type: 'DeviceSettingsApplied', data: present({ configVersion: version, rejected: data.rejected }) });
}

/** How far the box is with what its owner wants. */
export function settingsStatus(device: {
  readonly configVersion: number;
  readonly appliedConfigVersion: number | null;
  readonly refusedSettings: readonly string[];
}): 'applied' | 'pending' | 'refused' {
  if (device.configVersion !== (device.appliedConfigVersion ?? 0)) return 'pending';
  return device.refusedSettings.length === 0 ? 'applied' : 'refused';
}
