import type { DeviceCommand, DeviceCommandOf, DeviceCommandType } from '../../../src/domain/device/commands.ts';
import { deviceDecider } from '../../../src/domain/device/device.ts';
import type { DeviceEvent, DeviceEventOf, DeviceEventType } from '../../../src/domain/device/events.ts';
import type { RegisteredDevice, DeviceState } from '../../../src/domain/device/state.ts';
import { later, now, specOf } from '../../support/given.ts';

/** A box and the people around it, for specs. */
export const deviceId = '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10';
export const ada = 'aaaaaaaa-0000-4000-8000-000000000001';
export const bob = 'bbbbbbbb-0000-4000-8000-000000000002';
export const admin = 'cccccccc-0000-4000-8000-000000000003';
export const assignmentId = 'dddddddd-0000-4000-8000-000000000004';
export const linkId = 'eeeeeeee-0000-4000-8000-000000000005';
export const unlockId = '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50';
export const otherUnlockId = '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a51';
export const journalId = '5f0c9a1b2c3d4e5f';
export const pinTag = 'tag-of-the-right-pin';

const spec = specOf(deviceDecider);
export const given = spec.given;

type Data<T extends DeviceEventType> = DeviceEventOf<T>['data'];

/** `event('LinkRevoked', { linkId })` */
export function event<T extends DeviceEventType>(type: T, data: Data<T>): DeviceEvent {
  return { type, data } as unknown as DeviceEvent;
}

/** `command('RevokeLink', { linkId, userId: ada })`: the box is always this one. */
export function command<T extends DeviceCommandType>(type: T, data: Omit<DeviceCommandOf<T>['data'], 'deviceId'>): DeviceCommand {
  return { type, data: { deviceId, ...data } } as unknown as DeviceCommand;
}

export const registered = event('DeviceRegistered', {
  deviceId,
  serialNumber: 'LQ-0001',
  model: 'LoqeyBox-V1',
  profile: 'loqey',
  keyVersion: 1,
  pin: '482913',
  pinTag,
  pinExpiresAt: later(3600),
});
export const assigned = event('DeviceAssigned', { assignmentId, userId: ada, name: 'Loqey Box 0001' });
/** The box speaks level 1 and has been heard. */
export const pinned = event('DeviceProtocolPinned', { level: 1 });
export const online = event('DeviceWentOnline', { evidence: 'signed' });
export const suspended = event('OwnerSuspended', { assignmentId, userId: ada });
export const unlinked = event('DeviceUnlinked', { assignmentId, userId: ada, by: 'owner' });

export function linkCreated(changes: Partial<Data<'LinkCreated'>> = {}): DeviceEvent {
  return event('LinkCreated', {
    linkId,
    assignmentId,
    tokenHash: 'hash-of-the-token',
    token: 'secret-token',
    expiresAt: later(3600),
    maxUses: 1,
    requireIdentity: false,
    ...changes,
  });
}

export const byLink = { kind: 'link', id: linkId } as const;
export const byOwner = { kind: 'owner', id: ada } as const;
export const byAdmin = { kind: 'admin', id: admin } as const;

/** A box that its owner can open: `given(...owned)`. */
export const owned: readonly DeviceEvent[] = [registered, assigned, pinned, online];
export const shared: readonly DeviceEvent[] = [...owned, linkCreated()];

export function requested(changes: Partial<Data<'UnlockRequested'>> = {}): DeviceEvent {
  return event('UnlockRequested', { unlockId, cause: byLink, assignmentId, issuedAt: now, expiresAt: later(30), ...changes });
}
export const seq = Date.parse(now);
export function dispatched(changes: Partial<Data<'UnlockDispatched'>> = {}): DeviceEvent {
  return event('UnlockDispatched', { unlockId, level: 1, seq, keyVersion: 1, journalId, reportSeq: 7, ...changes });
}

export function requestUnlock(changes: Partial<DeviceCommandOf<'RequestUnlock'>['data']> = {}): DeviceCommand {
  return command('RequestUnlock', { unlockId, cause: byLink, ttlMs: 30_000, level0Deliveries: false, ...changes });
}
export function dispatchUnlock(changes: Partial<DeviceCommandOf<'DispatchUnlock'>['data']> = {}): DeviceCommand {
  return command('DispatchUnlock', { unlockId, level: 1, keyVersion: 1, journalId, reportSeq: 7, ...changes });
}
export function answer(changes: Partial<DeviceCommandOf<'RecordUnlockAnswer'>['data']>): DeviceCommand {
  return command('RecordUnlockAnswer', { unlockId, phase: 'final', result: 'opened', signed: true, journalId, seq, ...changes });
}

export function registeredState(state: DeviceState): RegisteredDevice {
  if (state.kind === 'unregistered') throw new Error('Not registered');
  return state;
}
