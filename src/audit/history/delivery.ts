import type { DeviceEvent, UnlockCause, UnlockEvidence } from '../../domain/device/events.ts';
import type { Instant, Sensitive, Uuid } from '../../domain/kernel.ts';

/** One opening, folded from its own events: from the request to what became of it. */
export type DeliveryState = Delivery | null;

export interface Delivery {
  readonly unlockId: Uuid;
  readonly cause: UnlockCause;
  readonly assignmentId: Uuid | null;
  readonly status: DeliveryStatus;
  /** A code, or an administrator's words where the event that was folded has them readable. */
  readonly reason: string | null;
  readonly evidence: UnlockEvidence | null;
  /** Of its link: given back on proof that the bolt did not move. */
  readonly useReturned: boolean;
  readonly requestedAt: Instant;
  readonly expiresAt: Instant;
  readonly dispatchedAt: Instant | null;
  readonly publishedAt: Instant | null;
  readonly acknowledgedAt: Instant | null;
  readonly openedAt: Instant | null;
  readonly endedAt: Instant | null;
}

export type DeliveryStatus = 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';

/** Events of other openings and of the box itself change nothing. */
export function evolveDelivery(state: DeliveryState, event: DeviceEvent, at: Instant): DeliveryState {
  if (event.type === 'UnlockRequested') {
    const { unlockId, cause, assignmentId, expiresAt, reason } = event.data;
    if (state !== null) return state;
    return {
      unlockId,
      cause,
      assignmentId: assignmentId ?? null,
      status: 'requested',
      reason: readable(reason),
      evidence: null,
      useReturned: false,
      requestedAt: at,
      expiresAt,
      dispatchedAt: null,
      publishedAt: null,
      acknowledgedAt: null,
      openedAt: null,
      endedAt: null,
    };
  }
  if (state === null || !('unlockId' in event.data) || event.data.unlockId !== state.unlockId) return state;
  switch (event.type) {
    case 'UnlockDispatched':
      return { ...state, status: 'dispatched', dispatchedAt: at };
    case 'UnlockPublished':
      return { ...state, status: 'published', publishedAt: event.data.publishedAt ?? at };
    case 'UnlockAcknowledged':
      return { ...state, status: 'acknowledged', acknowledgedAt: at };
    case 'UnlockConfirmed':
      return { ...state, status: 'opened', evidence: event.data.evidence, openedAt: at, endedAt: at };
    case 'UnlockFailed':
      return { ...state, status: 'failed', reason: event.data.reason, useReturned: event.data.useReturned, endedAt: at };
    case 'UnlockOutcomeUnknown':
      return { ...state, status: 'unknown', reason: event.data.reason };
    case 'UnlockSettled': {
      const { outcome, evidence, useReturned, reason, remark } = event.data;
      const opened = outcome === 'opened';
      return {
        ...state,
        status: opened ? 'opened' : 'failed',
        reason: reason ?? readable(remark) ?? (opened ? null : 'not_opened'),
        evidence: evidence ?? null,
        useReturned,
        openedAt: opened ? at : null,
        endedAt: at,
      };
    }
    case 'UnlockCancelled':
      return { ...state, status: 'cancelled', reason: event.data.reason, useReturned: true, endedAt: at };
    case 'UnlockExpired':
      return { ...state, status: 'expired', useReturned: true, endedAt: at };
    default:
      return state;
  }
}

function readable(words: Sensitive<string> | undefined): string | null {
  return typeof words === 'string' ? words : null;
}
