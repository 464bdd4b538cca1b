import type { DomainEvent } from '../events.ts';
import type { Instant, Uuid } from '../kernel.ts';
import type { DeviceCommand } from './commands.ts';
import { ANSWER_GRACE_MS } from './unlock.ts';

/**
 * What falls due because of an event: commands to send at their instant. Filled into a read model, hence rebuilt from the
 * log. Nothing is safe only because of it: every decision compares times itself, and each command is quiet when early.
 */
export type DeadlineChange =
  | { readonly kind: 'set'; readonly key: string; readonly dueAt: Instant; readonly command: DeviceCommand }
  /** A dispatched command has until its expiry to be taken, and so much longer to be answered. */
  | { readonly kind: 'postpone'; readonly key: string; readonly byMs: number }
  | { readonly kind: 'clear'; readonly key: string }
  /** Every deadline whose key starts so. */
  | { readonly kind: 'clear_all'; readonly prefix: string };

/** @param deviceId the box whose stream holds the event */
export function deadlinesOf(deviceId: Uuid, event: DomainEvent): readonly DeadlineChange[] {
  switch (event.type) {
    case 'UnlockRequested': {
      const { unlockId, expiresAt } = event.data;
      return [{ kind: 'set', key: unlockKey(unlockId), dueAt: expiresAt, command: { type: 'ExpireUnlock', data: { deviceId, unlockId } } }];
    }
    case 'UnlockDispatched':
      return [{ kind: 'postpone', key: unlockKey(event.data.unlockId), byMs: ANSWER_GRACE_MS }];
    case 'UnlockConfirmed':
    case 'UnlockFailed':
    case 'UnlockOutcomeUnknown':
    case 'UnlockCancelled':
    case 'UnlockExpired':
      return [{ kind: 'clear', key: unlockKey(event.data.unlockId) }];
    case 'LinkCreated':
      return [expiryOf(deviceId, event.data.linkId, event.data.expiresAt)];
    case 'LinkUpdated':
      return event.data.expiresAt === undefined ? [] : [expiryOf(deviceId, event.data.linkId, event.data.expiresAt)];
    case 'LinkRevoked':
    case 'LinkDeleted':
    case 'LinkExpired':
      return [{ kind: 'clear', key: linkKey(deviceId, event.data.linkId) }];
    case 'DeviceUnlinked':
    case 'OwnerSuspended':
      // Each link that was made before is void now: its expiry is no event any more.
      return [{ kind: 'clear_all', prefix: linkKey(deviceId, '') }];
    default:
      return [];
  }
}

const unlockKey = (unlockId: Uuid): string => `unlock:${unlockId}`;
const linkKey = (deviceId: Uuid, linkId: Uuid): string => `link:${deviceId}:${linkId}`;

function expiryOf(deviceId: Uuid, linkId: Uuid, expiresAt: Instant): DeadlineChange {
  return { kind: 'set', key: linkKey(deviceId, linkId), dueAt: expiresAt, command: { type: 'ExpireLink', data: { deviceId, linkId } } };
}
