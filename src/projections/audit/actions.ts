import type { DomainEventType } from '../../domain/events.ts';
import type { AuditRow } from '../read-models.ts';

/** Names that others know (docs/coverage.md, S0-16, S0-51); every other event is called by its type: `link_revoked`. */
const named: { readonly [T in DomainEventType]?: string } = {
  UnlockConfirmed: 'device_unlock',
  DeviceAssigned: 'device_assigned',
  LinkCreated: 'link_created',
  DevicePinRegenerated: 'pin_regenerated',
  BatteryLevelChanged: 'battery_update',
  FirmwareReported: 'firmware_update',
  EmergencyUnlockUnexplained: 'alert_raised',
  CommandRefused: 'command_refused',
};

const refused: ReadonlySet<string> = new Set<DomainEventType>(['CommandRefused', 'RefusalsSuppressed', 'DevicePinRefused', 'LoginRefused', 'RefreshTokenReused']);
const failed: ReadonlySet<string> = new Set<DomainEventType>(['UnlockFailed', 'UnlockExpired', 'UnlockCancelled', 'UnlockOutcomeUnknown']);

const names = new Map<string, string>(Object.entries(named));

/** `device_unlock`, `link_created`; for a type without a name of its own, the type in snake case. */
export function actionOf(type: string): string {
  let name = names.get(type);
  if (name === undefined) {
    name = type.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
    if (names.size < 1_000) names.set(type, name); // types of other programs must not fill the memory
  }
  return name;
}

export function outcomeOf(type: string): AuditRow['outcome'] {
  if (refused.has(type)) return 'refused';
  return failed.has(type) ? 'failed' : 'accepted';
}
