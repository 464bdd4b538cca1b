import type { Instant, Sensitive, Uuid } from '../kernel.ts';

/** Everything that is ever written to `user-<id>`. Wire form of schema version 1, for ever. */
export type UserEvent =
  | E<'UserRegistered', { userId: Uuid; profile: Sensitive<UserProfile> }>
  | E<'ProfileChanged', { profile: Sensitive<UserProfile> }>
  | E<'EmailVerified', Empty>
  | E<'PasswordChanged', { by: 'owner' | 'reset' | 'admin' }>
  | E<'LoginSucceeded', { sessionId: Uuid; scope: SessionScope }>
  /** Written only while it counts towards the limit. */
  | E<'LoginRefused', { reason: 'password' | 'suspended' | 'role' }>
  | E<'SessionEnded', { sessionId: Uuid; reason: SessionEndReason }>
  /** A rotated refresh token came again: its whole family ended. */
  | E<'RefreshTokenReused', { sessionId: Uuid }>
  /** `reason`: words about this person, which go with the person's key. Version 1 had them in clear. */
  | E<'UserSuspended', { reason?: Sensitive<string> }>
  | E<'UserActivated', Empty>
  | E<'AdminRoleGranted', { role: AdminRole; permissions: readonly string[] }>
  | E<'AdminRoleRevoked', Empty>
  /** This administrator was about to be sent a file of the audit log, up to this position; how much of it arrived nobody knows. */
  | E<'AuditExportStarted', { format: 'csv' | 'ndjson'; upTo: string; filters: AuditExportFilters }>
  /** Somebody, the actor, was about to be sent everything that is kept of this person. */
  | E<'PersonalDataExportStarted', Empty>
  /** `ground`: why an administrator did it. Never a text: a name in it would outlive the person's key. */
  | E<'SubjectErased', { requestedBy: 'owner' | 'admin'; at: Instant; ground?: ErasureGround }>;

interface E<Type extends string, Data> {
  readonly type: Type;
  readonly data: Readonly<Data>;
}
type Empty = Record<never, never>;

export type UserEventType = UserEvent['type'];
export type UserEventOf<T extends UserEventType> = Extract<UserEvent, { type: T }>;

export interface UserProfile {
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly residentState: string;
  readonly zipCode?: string;
  readonly phoneNumber?: string;
}

export type AdminRole = 'super_admin' | 'admin' | 'support';
/** Asked for by the person; nobody needs the data any more; it should never have been taken; a law or a court wants it. */
export type ErasureGround = 'requested' | 'no_longer_needed' | 'unlawful' | 'legal_obligation';
/**
 * By what a file of the audit log was narrowed. A value only where it is an id, a time, a position or one of a list; of what
 * somebody typed (words, an address) only that it was there: it may be anybody's name.
 */
export interface AuditExportFilters {
  readonly q?: true;
  readonly action?: true;
  readonly types?: true;
  readonly ip?: true;
  readonly actorId?: Uuid | true;
  readonly actorKind?: string;
  readonly source?: string;
  readonly outcome?: string;
  readonly deviceId?: Uuid;
  readonly userId?: Uuid;
  readonly linkId?: Uuid;
  readonly unlockId?: Uuid;
  readonly correlationId?: Uuid;
  readonly from?: Instant;
  readonly to?: Instant;
  readonly after?: string;
  readonly before?: string;
  readonly namedBefore?: Instant;
}
export type SessionScope = 'user' | 'admin';
export type SessionEndReason = 'logout' | 'revoked' | 'password_changed' | 'suspended' | 'token_reused' | 'erased';
