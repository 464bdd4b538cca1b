import { refuse, type Decision, type Instant, type Uuid } from '../kernel.ts';
import type { CancelReason, DeviceEvent } from './events.ts';
import type { Assignment, DeviceState, OpenUnlock, RegisteredDevice } from './state.ts';

/** What several commands ask before they decide. */

export type DeviceDecision = Decision<DeviceEvent>;

/** The assignment of this user, or why there is none to act under. A suspended owner may give up rights, not use them. */
export function assignmentOf(
  device: RegisteredDevice,
  userId: Uuid,
  suspended: 'allowed' | 'refused' = 'refused',
): { readonly ok: true; readonly assignment: Assignment } | { readonly ok: false; readonly refusal: Decision<never> } {
  const { assignment } = device;
  if (assignment === null || assignment.userId !== userId) return { ok: false, refusal: refuse('not_the_owner') };
  if (assignment.suspended && suspended === 'refused') return { ok: false, refusal: refuse('owner_suspended') };
  return { ok: true, assignment };
}

/**
 * An unlock that was not dispatched yet and whose right ends with this decision: it ends in the same append, so that an
 * answered revocation is never followed by an opening.
 */
export function cancelUndispatched(
  device: RegisteredDevice,
  reason: CancelReason,
  concerned: (unlock: OpenUnlock) => boolean,
): readonly DeviceEvent[] {
  const { current } = device.unlocks;
  if (current === null || current.phase !== 'requested' || !concerned(current)) return [];
  return [{ type: 'UnlockCancelled', data: { unlockId: current.unlockId, reason } }];
}

/** Everything but an admin's emergency unlock stands on an assignment. */
export const standsOnAssignment = (unlock: OpenUnlock): boolean => unlock.cause.kind !== 'admin';

export type Lifecycle = 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';

/** docs/coverage.md, S0-16: `assigned` until the first report of a box that was never heard of. */
export function lifecycleOf(device: RegisteredDevice): Lifecycle {
  if (device.decommissioned) return 'decommissioned';
  if (device.maintenance) return 'maintenance';
  if (device.assignment === null) return 'available';
  return device.seen ? 'active' : 'assigned';
}

export function ownerIdOf(state: DeviceState): Uuid | undefined {
  return state.kind === 'registered' ? state.assignment?.userId : undefined;
}

export function isPast(instant: Instant, now: Instant): boolean {
  return instant <= now;
}
