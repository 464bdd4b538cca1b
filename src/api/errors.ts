import { ConcurrencyConflict, KeyUsedLongAgo } from '../commands/port.ts';
import type { Refusal, RefusalCode } from '../domain/kernel.ts';
import { AppendOutcomeUnknown, EventStoreUnavailable } from '../platform/event-store/port.ts';

/** The `error` member of the envelope; each has its one status. */
export const statusOfCode = {
  validation_error: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  unprocessable: 422,
  rate_limited: 429,
  internal_error: 500,
  unavailable: 503,
} as const;

export type ErrorCode = keyof typeof statusOfCode;
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

/** What a caller is told. Everything else that is thrown is an internal error and is told nobody but the log. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(code: ErrorCode, message: string, details?: ErrorDetails, headers?: Readonly<Record<string, string>>) {
    super(message);
    this.code = code;
    this.details = details;
    this.headers = headers;
  }

  get status(): number {
    return statusOfCode[this.code];
  }
}

export const invalid = (field: string, text: string, message = `Invalid ${field}`) =>
  new ApiError('validation_error', message, { [field]: text });
export const unauthorized = (message = 'Invalid or expired token') =>
  new ApiError('unauthorized', message, undefined, { 'WWW-Authenticate': 'Bearer' });
export const forbidden = (message = 'Insufficient permissions') => new ApiError('forbidden', message);
export const notFound = (message = 'Not found') => new ApiError('not_found', message);
export const tooMany = (message: string, retryAfterSeconds: number, headers: Readonly<Record<string, string>> = {}) =>
  new ApiError('rate_limited', message, { retry_after: retryAfterSeconds }, { 'Retry-After': `${retryAfterSeconds}`, ...headers });
export const keyUsedBefore = () =>
  new ApiError('unprocessable', 'This Idempotency-Key was used with another request', { 'Idempotency-Key': 'use a new key for a new request' });
export const unavailable = (message: string, retryAfterSeconds = 1) =>
  new ApiError('unavailable', message, undefined, { 'Retry-After': `${retryAfterSeconds}` });

interface Words {
  readonly code: ErrorCode;
  readonly message: string;
  /** The request member that is wrong, for a refusal that is a mistake in the request. */
  readonly field?: readonly [name: string, text: string];
}

/** The single mapping from why a command was refused to what its caller reads. */
export const refusalWords: Readonly<Record<RefusalCode, Words>> = {
  device_not_found: { code: 'not_found', message: 'Device not found' },
  device_exists: { code: 'conflict', message: 'A device with this serial number is already registered' },
  hardware_id_taken: { code: 'conflict', message: 'A device with this hardware id is already registered', field: ['hardware_id', 'belongs to another device'] },
  device_decommissioned: { code: 'unprocessable', message: 'This device is out of service for good' },
  device_in_maintenance: { code: 'unprocessable', message: 'The device is in maintenance' },
  device_assigned: { code: 'conflict', message: 'Device already assigned to another user' },
  device_not_assigned: { code: 'unprocessable', message: 'The device is not assigned to a user' },
  // Whoever is not the owner learns nothing of the box, not even that it exists.
  not_the_owner: { code: 'not_found', message: 'Device not found or access denied' },
  owner_suspended: { code: 'unprocessable', message: "The owner's account is suspended" },
  pin_invalid: { code: 'forbidden', message: 'Invalid PIN' },
  pin_locked: { code: 'rate_limited', message: 'Too many wrong PINs. Try again later' },
  pin_void: { code: 'unprocessable', message: 'This PIN is no longer valid. Ask support for a new one' },
  pin_expired: { code: 'unprocessable', message: 'This PIN has expired. Ask support for a new one' },
  lock_not_supported: { code: 'unprocessable', message: 'Devices can only be unlocked; lock state is reported by the device' },

  link_not_found: { code: 'not_found', message: 'Access link not found' },
  link_exists: { code: 'conflict', message: 'This access link already exists' },
  link_expired: { code: 'unprocessable', message: 'Access link has expired' },
  link_used: { code: 'unprocessable', message: 'Access link has already been used' },
  link_revoked: { code: 'unprocessable', message: 'Access link was cancelled' },
  link_void: { code: 'unprocessable', message: 'Access link is no longer valid' },
  link_not_yet_valid: { code: 'unprocessable', message: 'Access link is not valid yet' },
  link_outside_hours: { code: 'unprocessable', message: 'The device cannot be opened with this link at this hour' },
  link_expiry_invalid: {
    code: 'validation_error',
    message: 'Invalid expires_at',
    field: ['expires_at', 'must be in the future and not further away than the longest life of a link'],
  },
  link_uses_invalid: {
    code: 'validation_error',
    message: 'Invalid max_uses',
    field: ['max_uses', 'must not be less than the uses already taken'],
  },
  identity_required: {
    code: 'validation_error',
    message: 'Name and company are required',
    field: ['delivery_person_name', 'this link asks for the name and company of the delivery person'],
  },
  level0_no_deliveries: { code: 'unprocessable', message: 'This box cannot take deliveries' },

  device_busy: { code: 'conflict', message: 'The box is busy' },
  device_offline: { code: 'conflict', message: 'Device is offline' },
  unlock_not_found: { code: 'not_found', message: 'Command not found' },
  unlock_not_open: { code: 'conflict', message: 'This command has already ended' },
  settings_invalid: { code: 'validation_error', message: 'Invalid settings' },
  key_rotation_unsupported: { code: 'unprocessable', message: 'The firmware of this device cannot take a new key' },

  user_not_found: { code: 'not_found', message: 'User not found' },
  user_exists: { code: 'conflict', message: 'This email address is already registered' },
  profile_changed: { code: 'conflict', message: 'The profile was changed meanwhile. Read it and try again' },
  user_suspended: { code: 'forbidden', message: 'User account is suspended' },
  user_erased: { code: 'not_found', message: 'User not found' },
  credentials_invalid: { code: 'unauthorized', message: 'Invalid email or password' },
  login_locked: { code: 'rate_limited', message: 'Too many failed logins. Try again later' },
  session_not_found: { code: 'unauthorized', message: 'Invalid or expired token' },
  last_super_admin: { code: 'conflict', message: 'The last super_admin cannot be removed: make another one first' },
  role_missing: { code: 'forbidden', message: 'Insufficient permissions' },

  conflict: { code: 'conflict', message: 'The device is being changed by others. Try again' },
};

/** The words of a refusal, with its reason for programs and what it says for people. */
export function refused({ code: reason, details = {} }: Refusal): ApiError {
  const { code, message, field } = refusalWords[reason];
  const headers = typeof details['retry_after'] === 'number' ? { 'Retry-After': `${details['retry_after']}` } : undefined;
  return new ApiError(code, message, { ...(field === undefined ? {} : { [field[0]]: field[1] }), reason, ...details }, headers);
}

/** To an owner a box that there is not is as one of somebody else: the difference would tell which ones there are. */
export function refusedToOwner(refusal: Refusal): ApiError {
  return refused(refusal.code === 'device_not_found' ? { code: 'not_the_owner' } : refusal);
}

/**
 * Anything thrown → what its caller is told.
 * @param isTransient whether an infrastructure error is worth the same request again
 */
export function toApiError(error: unknown, isTransient: (error: unknown) => boolean): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ConcurrencyConflict) return new ApiError('conflict', refusalWords.conflict.message);
  if (error instanceof KeyUsedLongAgo) return keyUsedBefore();
  if (error instanceof EventStoreUnavailable) return unavailable('The service cannot store anything right now. Try again');
  if (error instanceof AppendOutcomeUnknown) {
    return unavailable('It is not known whether this was stored. Repeat it with the same Idempotency-Key');
  }
  if (error instanceof Error) {
    if (error.name === 'UnknownEvent') return unavailable('This version of the service cannot read newer data');
    if (error.name === 'ReadModelUnavailable') return unavailable(`${error.message}. Try again`, (error as { retryAfterSeconds?: number }).retryAfterSeconds ?? 1);
    if (error.name === 'TooBusy') return tooMany('Too many logins at once. Try again', 1);
    if (isTransient(error)) return unavailable('The service is not available right now. Try again');
  }
  return new ApiError('internal_error', 'An unexpected error occurred');
}
