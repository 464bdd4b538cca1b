import { accept, present, quiet, refuse, refuseCounting, type Instant } from '../kernel.ts';
import { addMs, secondsUntil } from '../time.ts';
import type { DeviceCommandOf } from './commands.ts';
import { assignmentOf, cancelUndispatched, isPast, standsOnAssignment, type DeviceDecision } from './rules.ts';
import type { RegisteredDevice } from './state.ts';

/** Who has the box. */

/** Wrong guesses of one account within `PIN_WINDOW_MS` that lock it; wrong guesses of all that end the PIN. */
export const PIN_TRIES = 5;
export const PIN_WINDOW_MS = 15 * 60_000;
const PIN_GUESSES_EVER = 100;

/**
 * A claim by PIN. The limits decide before the PIN does, so that a locked account learns nothing from a right guess; and
 * the PIN before the assignment, so that who has a box is told only to someone who holds its PIN.
 */
export function assignDevice(device: RegisteredDevice, { data }: DeviceCommandOf<'AssignDevice'>, now: Instant): DeviceDecision {
  const { assignment, pin } = device;
  if (device.decommissioned) return refuse('device_decommissioned');
  if (assignment?.userId === data.userId) return quiet;

  const mine = recentRefusals(device, data.userId, now);
  const oldest = mine.at(-PIN_TRIES);
  if (oldest !== undefined) return refuse('pin_locked', { retry_after: secondsUntil(addMs(oldest, PIN_WINDOW_MS), now) });

  if (pin.void) return refuse(assignment === null ? 'pin_void' : 'device_assigned');
  if (pin.tag !== data.pinTag) {
    const lastGuess = pin.guesses + 1 >= PIN_GUESSES_EVER;
    return refuseCounting(
      [
        { type: 'DevicePinRefused', data: { userId: data.userId } },
        ...(lastGuess ? [{ type: 'DevicePinVoided' as const, data: { reason: 'too_many_guesses' as const } }] : []),
      ],
      'pin_invalid',
      { tries_left: lastGuess ? 0 : PIN_TRIES - mine.length - 1 },
    );
  }
  if (assignment !== null) return refuse('device_assigned');
  if (isPast(pin.expiresAt, now)) return refuse('pin_expired', { expired_at: pin.expiresAt });
  return accept({ type: 'DeviceAssigned', data: { assignmentId: data.assignmentId, userId: data.userId, name: data.name } });
}

function recentRefusals(device: RegisteredDevice, userId: string, now: Instant): readonly Instant[] {
  if (device.pin.refusals.length === 0) return [];
  const since = addMs(now, -PIN_WINDOW_MS);
  return device.pin.refusals.filter((refusal) => refusal.userId === userId && refusal.at > since).map(({ at }) => at);
}

/** Sealed values cannot be compared: a repeat is recognised by its command id, and would change nothing. */
export function renameDevice(device: RegisteredDevice, { data }: DeviceCommandOf<'RenameDevice'>): DeviceDecision {
  const owner = assignmentOf(device, data.userId);
  if (!owner.ok) return owner.refusal;
  return accept({ type: 'DeviceRenamed', data: { assignmentId: owner.assignment.assignmentId, name: data.name } });
}

export function changeLocation(device: RegisteredDevice, { data }: DeviceCommandOf<'ChangeDeviceLocation'>): DeviceDecision {
  const owner = assignmentOf(device, data.userId);
  if (!owner.ok) return owner.refusal;
  return accept({ type: 'DeviceLocationChanged', data: { assignmentId: owner.assignment.assignmentId, location: data.location } });
}

export function requestUnlink(device: RegisteredDevice, { data }: DeviceCommandOf<'RequestUnlink'>): DeviceDecision {
  const owner = assignmentOf(device, data.userId, 'allowed');
  if (!owner.ok) return owner.refusal;
  const { assignmentId, unlinkRequested } = owner.assignment;
  if (unlinkRequested) return quiet;
  return accept({ type: 'DeviceUnlinkRequested', data: present({ assignmentId, userId: data.userId, reason: data.reason }) });
}

/** Ends the assignment, every grant made under it and the PIN, in one event. */
export function unlinkDevice(device: RegisteredDevice, { data }: DeviceCommandOf<'UnlinkDevice'>): DeviceDecision {
  const { assignment, previousOwnerId } = device;
  const byOwner = data.userId !== undefined;
  if (assignment === null || (byOwner && assignment.userId !== data.userId)) {
    if (assignment === null && previousOwnerId !== null && (!byOwner || previousOwnerId === data.userId)) return quiet;
    return refuse(byOwner ? 'not_the_owner' : 'device_not_assigned');
  }
  const { assignmentId, userId } = assignment;
  return accept(
    { type: 'DeviceUnlinked', data: present({ assignmentId, userId, by: data.by ?? (byOwner ? ('owner' as const) : ('admin' as const)), reason: data.reason }) },
    ...cancelUndispatched(device, 'assignment_ended', standsOnAssignment),
  );
}

/** Quiet where the box is no longer that user's: the policy that sends this may come late and more than once. */
export function suspendOwner(device: RegisteredDevice, { data }: DeviceCommandOf<'SuspendOwner'>): DeviceDecision {
  const { assignment } = device;
  if (assignment === null || assignment.userId !== data.userId || assignment.suspended) return quiet;
  return accept(
    { type: 'OwnerSuspended', data: { assignmentId: assignment.assignmentId, userId: data.userId } },
    ...cancelUndispatched(device, 'owner_suspended', standsOnAssignment),
  );
}

/** The links that the suspension ended stay ended. */
export function activateOwner(device: RegisteredDevice, { data }: DeviceCommandOf<'ActivateOwner'>): DeviceDecision {
  const { assignment } = device;
  if (assignment === null || assignment.userId !== data.userId || !assignment.suspended) return quiet;
  return accept({ type: 'OwnerActivated', data: { assignmentId: assignment.assignmentId, userId: data.userId } });
}
