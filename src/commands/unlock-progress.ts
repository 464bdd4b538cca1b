import type { DeviceEventOf } from '../domain/device/events.ts';
import type { DomainEvent, Recorded } from '../domain/events.ts';
import type { UnlockProgress } from './port.ts';

const ended: ReadonlySet<UnlockProgress['state']> = new Set(['opened', 'failed', 'unknown', 'cancelled', 'expired']);

/** True when nothing more is expected of this attempt; `unknown` may still be settled much later. */
export function isOver({ state }: UnlockProgress): boolean {
  return ended.has(state);
}

/** The unlock that an event is about. */
export function unlockIdOf(event: DomainEvent): string | undefined {
  return event.type.startsWith('Unlock') ? (event.data as { unlockId?: string }).unlockId : undefined;
}

/** One step on. Events of other unlocks, and all others, leave it as it is. */
export function advance(progress: UnlockProgress | undefined, event: Recorded<DomainEvent>): UnlockProgress | undefined {
  const { position, metadata: { occurredAt: at } } = event;
  if (event.type === 'UnlockRequested') {
    const { unlockId, issuedAt, expiresAt } = event.data;
    const deviceId = event.stream.slice('device-'.length);
    return { unlockId, deviceId, state: 'requested', requestedAt: issuedAt, expiresAt, at, position, useReturned: false };
  }
  if (progress === undefined || unlockIdOf(event) !== progress.unlockId) return progress;
  switch (event.type) {
    case 'UnlockDispatched':
      return { ...progress, state: 'dispatched', at, position };
    case 'UnlockPublished':
      // The box can answer before the broker's own answer is recorded.
      return progress.state === 'dispatched' ? { ...progress, state: 'published', at, position } : progress;
    case 'UnlockAcknowledged':
      return { ...progress, state: 'acknowledged', at, position };
    case 'UnlockConfirmed':
      return { ...progress, state: 'opened', at, position };
    case 'UnlockFailed':
      return { ...progress, state: 'failed', at, position, reason: event.data.reason, useReturned: event.data.useReturned };
    case 'UnlockOutcomeUnknown':
      return { ...progress, state: 'unknown', at, position, reason: event.data.reason };
    case 'UnlockSettled':
      return {
        ...progress,
        state: event.data.outcome === 'opened' ? 'opened' : 'failed',
        at,
        position,
        ...reasonOf(event.data),
        useReturned: event.data.useReturned,
      };
    case 'UnlockCancelled':
      return { ...progress, state: 'cancelled', at, position, reason: event.data.reason, useReturned: true };
    case 'UnlockExpired':
      return { ...progress, state: 'expired', at, position, useReturned: true };
    default:
      return progress;
  }
}

/** A code. What an administrator says of it is for the audit log alone. */
function reasonOf({ by, outcome, reason }: DeviceEventOf<'UnlockSettled'>['data']): { readonly reason?: string } {
  const code = reason ?? (by === 'admin' && outcome === 'not_opened' ? 'not_opened' : undefined);
  return code === undefined ? {} : { reason: code };
}
