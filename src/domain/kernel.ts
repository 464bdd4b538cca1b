/**
 * The words every aggregate is written in. Pure: no clock, no randomness, no I/O.
 */

/** ISO-8601 in UTC with milliseconds, `2026-11-21T10:30:00.000Z`. Compares in time order as text. */
export type Instant = string;

/** A lower-case UUID. */
export type Uuid = string;

/**
 * A value that the log holds only as ciphertext (design: personal data is sealed from the first event on).
 * `sub` is the subject whose data key `k` opens it; `n` the nonce, `c` ciphertext and tag, both base64url.
 */
export interface Sealed {
  readonly $s: 1;
  readonly sub: string;
  readonly k: string;
  readonly n: string;
  readonly c: string;
}

/**
 * Plain on the way from a decider to `handle`, which seals it before the append; `Sealed` in everything read back.
 * Deciders carry it unopened.
 */
export type Sensitive<T> = T | Sealed;

export function isSealed(value: unknown): value is Sealed {
  return typeof value === 'object' && value !== null && (value as { $s?: unknown }).$s === 1;
}

/** Why a command was refused. The API maps each code to one status and sentence (api/errors.ts). */
export type RefusalCode =
  // whom and what
  | 'device_not_found'
  | 'device_exists'
  | 'hardware_id_taken'
  | 'device_decommissioned'
  | 'device_in_maintenance'
  | 'device_assigned'
  | 'device_not_assigned'
  | 'not_the_owner'
  | 'owner_suspended'
  | 'pin_invalid'
  | 'pin_locked'
  | 'pin_void'
  | 'pin_expired'
  | 'lock_not_supported'
  // links
  | 'link_not_found'
  | 'link_exists'
  | 'link_expired'
  | 'link_used'
  | 'link_revoked'
  | 'link_void'
  | 'link_not_yet_valid'
  | 'link_outside_hours'
  | 'link_expiry_invalid'
  | 'link_uses_invalid'
  | 'identity_required'
  | 'level0_no_deliveries'
  // unlocks
  | 'device_busy'
  | 'device_offline'
  | 'unlock_not_found'
  | 'unlock_not_open'
  | 'settings_invalid'
  | 'key_rotation_unsupported'
  // users
  | 'user_not_found'
  | 'user_exists'
  | 'profile_changed'
  | 'user_suspended'
  | 'user_erased'
  | 'credentials_invalid'
  | 'login_locked'
  | 'session_not_found'
  | 'role_missing'
  | 'last_super_admin'
  // anywhere
  | 'conflict';

export interface Refusal {
  readonly code: RefusalCode;
  /** What a person needs besides the code: `{ expires_at }`, `{ retry_after }`, `{ tries_left }`. No personal data. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * What a decider answers. No events and no refusal = quiet (the state already is as asked).
 * A refusal with events = a refusal that counts (a wrong PIN): both are carried out.
 */
export interface Decision<E> {
  readonly events: readonly E[];
  readonly refusal?: Refusal;
}

export const quiet: Decision<never> = { events: [] };

export function accept<E>(...events: readonly E[]): Decision<E> {
  return { events };
}

export function refuse(code: RefusalCode, details?: Refusal['details']): Decision<never> {
  return { events: [], refusal: details === undefined ? { code } : { code, details } };
}

/** A refusal that is itself a fact the aggregate must remember. */
export function refuseCounting<E>(events: readonly E[], code: RefusalCode, details?: Refusal['details']): Decision<E> {
  return { events, refusal: details === undefined ? { code } : { code, details } };
}

/**
 * One aggregate: how a command becomes events, and how events become the state that decides.
 * `now` is read anew by the caller for each attempt; a decider has no other clock. `at` is the event's
 * `metadata.occurredAt`, which is the `now` of the decision that made it. A state is plain JSON: it can be a snapshot.
 */
export interface Decider<State, Command, Event> {
  readonly initialState: State;
  decide(state: State, command: Command, now: Instant): Decision<Event>;
  evolve(state: State, event: Event, at: Instant): State;
}

/** Makes a missed case of a union an error at compile time and a loud one at run time. */
export function assertNever(value: never, what = 'value'): never {
  throw new Error(`Unexpected ${what}: ${JSON.stringify(value)}`);
}

export type ActorKind = 'user' | 'admin' | 'courier' | 'device' | 'system';

export interface Actor {
  readonly kind: ActorKind;
  /** User id, admin's user id, link id (courier), device id, or the name of the part of the system. */
  readonly id: string;
}

/** Where a command came in (docs/coverage.md, S0-16). */
export type Source =
  | 'mobile_app'
  | 'web_dashboard'
  | 'delivery_link'
  | 'scheduled_task'
  | 'mqtt_device'
  | 'http_device'
  | 'system';

/**
 * The metadata of every event, in its wire form, for ever. Stream, revision, position, event id and recorded time
 * belong to the store. Absent instead of null.
 */
export interface EventMetadata {
  readonly schemaVersion: number;
  readonly commandId: Uuid;
  readonly correlationId: Uuid;
  /** The command's or event's id that led here; the command id itself where a person started it. */
  readonly causationId: Uuid;
  readonly actor: Actor;
  readonly source: Source;
  readonly occurredAt: Instant;
  /** When a report reached the backend, and what the box's own trusted clock said. */
  readonly receivedAt?: Instant;
  readonly deviceTime?: Instant;
  readonly orgId?: Uuid;
  readonly traceparent?: string;
  /** Address and user agent, sealed for the acting subject. */
  readonly origin?: Sensitive<Origin>;
}

export interface Origin {
  readonly ip?: string;
  readonly userAgent?: string;
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Leaves out what is undefined: on the wire a thing is absent, never null. */
export function present<T extends object>(value: T): Present<T> {
  const kept: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) if (member !== undefined) kept[key] = member;
  return kept as Present<T>;
}
