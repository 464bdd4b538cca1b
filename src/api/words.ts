import type { CancelReason } from '../domain/device/events.ts';
import type { RefusalCode } from '../domain/kernel.ts';
import type { UnlockState } from '../projections/read-models.ts';
import { ApiError, refusalWords, type ErrorDetails } from './errors.ts';

/** What a courier reads: a heading and one or two short sentences. */
export interface CourierWords {
  readonly heading: string;
  readonly text: string;
}

const NOT_OPENED: CourierWords = {
  heading: 'The box did not open',
  text: 'It did not open, and will not open later by itself.',
};
const CANCELLED: CourierWords = { heading: 'This link was cancelled', text: 'The sender cancelled it. Nothing was opened.' };
const GONE: CourierWords = { heading: 'This box no longer accepts deliveries', text: 'Ask the sender for another place.' };

/** Why a courier's request was refused, for the courier. Where it is absent, the message of the refusal says it. */
export const courierWords: Partial<Readonly<Record<RefusalCode, CourierWords>>> = {
  link_not_found: {
    heading: 'This link is not valid',
    text: 'Check that the whole link was copied. If it is still not valid, ask the sender for a new one.',
  },
  link_expired: { heading: 'This link has expired', text: 'Ask the sender for a new link.' },
  link_used: {
    heading: 'This link has already been used',
    text: 'If that was you and the door is still closed, choose "The door did not open".',
  },
  link_revoked: CANCELLED,
  link_not_yet_valid: { heading: 'This link is not valid yet', text: 'Come back later, or ask the sender to change it.' },
  link_outside_hours: { heading: 'Deliveries are not accepted at this hour', text: 'The box cannot be opened now.' },
  link_void: GONE,
  device_busy: { heading: 'The box is being opened by someone else', text: 'Wait a moment.' },
  device_offline: {
    heading: 'The box has no connection',
    text: 'It cannot be opened right now and will not open later by itself. Your link has not been used up.',
  },
  device_in_maintenance: { heading: 'This box is out of service', text: 'It cannot take deliveries now.' },
  device_decommissioned: GONE,
  device_not_found: GONE,
  device_not_assigned: GONE,
  owner_suspended: GONE,
  level0_no_deliveries: GONE,
  identity_required: { heading: 'Two details are missing', text: 'Enter your name and company so the owner knows who delivered.' },
};

/** How far an opening has come or how it ended: one sentence for programs' users, heading and text for a courier. */
export function stateWords(state: UnlockState, reason?: string | null): CourierWords & { readonly message: string } {
  switch (state) {
    case 'requested':
    case 'dispatched':
      return { message: 'Asking the box to open', heading: 'Asking the box to open…', text: 'Stay with the box.' };
    case 'published':
    case 'acknowledged':
      return { message: 'The box is opening', heading: 'The box is opening…', text: 'Stay with the box.' };
    case 'opened':
      return {
        message: 'Device unlocked successfully',
        heading: 'The box is open.',
        text: 'Put the parcel in, then push the door until it clicks.',
      };
    case 'failed':
      return reason === 'jammed'
        ? { message: 'The door is stuck', heading: 'The door is stuck', text: 'Press the door in gently, then try again. Do not use force.' }
        : { message: NOT_OPENED.heading, ...NOT_OPENED };
    case 'expired':
      return { message: NOT_OPENED.heading, ...NOT_OPENED };
    case 'cancelled':
      return cancelledWords(reason);
    case 'unknown':
      return {
        message: 'We are not sure whether the box opened',
        heading: 'We are not sure whether the box opened',
        text: 'Look at the door. If it is open, put the parcel in and close it.',
      };
  }
}

function cancelledWords(reason: string | null | undefined): CourierWords & { readonly message: string } {
  const code = cancelCodes[reason ?? ''];
  if (code === undefined) return { message: NOT_OPENED.heading, ...NOT_OPENED };
  return { message: refusalWords[code].message, ...(courierWords[code] ?? NOT_OPENED) };
}

/** Why the dispatcher cancelled, as the refusal that the same reason is at the request. */
export const cancelCodes: Readonly<Record<string, RefusalCode>> = {
  link_revoked: 'link_revoked',
  link_expired: 'link_expired',
  assignment_ended: 'link_void',
  owner_suspended: 'owner_suspended',
  device_in_maintenance: 'device_in_maintenance',
  device_decommissioned: 'device_decommissioned',
  device_unreachable: 'device_offline',
} satisfies Record<Exclude<CancelReason, 'undeliverable'>, RefusalCode>;

const NOT_USED_UP = ' Your link has not been used up.';

/** Heading and text of an opening; "not used up" only where the use really came back. */
export function outcomeWords(state: UnlockState, reason: string | null | undefined, useReturned: boolean): CourierWords {
  const { heading, text } = stateWords(state, reason);
  const mayRepeat = state === 'failed' || state === 'expired' || (state === 'cancelled' && reason === 'undeliverable');
  return { heading, text: mayRepeat && useReturned && !text.includes(NOT_USED_UP) ? text + NOT_USED_UP : text };
}

/** The error that a courier gets for an opening that ended otherwise than opened, within the wait of the request. */
export function endedWithoutOpening(
  state: 'failed' | 'unknown' | 'cancelled' | 'expired',
  reason: string | undefined,
  useReturned: boolean,
  commandId: string,
): ApiError {
  const { message } = stateWords(state, reason);
  const code = state === 'cancelled' ? (cancelCodes[reason ?? ''] ?? 'device_offline') : undefined;
  const details: ErrorDetails = {
    reason: code ?? reason ?? state,
    status: state,
    command_id: commandId,
    use_returned: useReturned,
    ...outcomeWords(state, reason, useReturned),
  };
  return new ApiError(code === undefined ? 'conflict' : refusalWords[code].code, message, details);
}

/** Adds to a refusal what a courier reads. */
export function forCourier(error: ApiError): ApiError {
  const words = courierWords[error.details?.['reason'] as RefusalCode];
  return words === undefined ? error : new ApiError(error.code, error.message, { ...error.details, ...words }, error.headers);
}
