import type { DomainEvent, Recorded, RecordedOf } from '../../src/domain/events.ts';

/** What became of each command by the log. */
export function ends(events: readonly Recorded<DomainEvent>[]) {
  const requested = new Map<string, RecordedOf<'UnlockRequested'>>();
  const dispatched = new Set<string>();
  const returned = new Set<string>();
  const contradictions: string[] = [];
  for (const event of events) {
    switch (event.type) {
      case 'UnlockRequested':
        requested.set(event.data.unlockId, event);
        break;
      case 'UnlockDispatched':
        if (dispatched.has(event.data.unlockId)) contradictions.push(`${event.data.unlockId} dispatched twice`);
        dispatched.add(event.data.unlockId);
        break;
      case 'UnlockCancelled':
      case 'UnlockExpired':
        if (dispatched.has(event.data.unlockId)) contradictions.push(`${event.data.unlockId} dispatched, then ${event.type}`);
        returned.add(event.data.unlockId);
        break;
      case 'UnlockFailed':
      case 'UnlockSettled':
        if (event.data.useReturned) returned.add(event.data.unlockId);
        break;
      default:
    }
  }
  return { requested, dispatched, returned, contradictions };
}
