import type { Instant, Uuid } from '../kernel.ts';
import type { AdminRole, AuditExportFilters, ErasureGround, SessionEndReason, SessionScope, UserProfile } from './events.ts';

/** What may be asked of a user. Passwords are checked before: a decider sees only whether they matched. */
export type UserCommand =
  | C<'RegisterUser', { profile: UserProfile }>
  /** `basedOn`: of when the profile is that this one was made of. */
  | C<'ChangeProfile', { profile: UserProfile; basedOn?: Instant }>
  | C<'VerifyEmail', object>
  | C<'ChangePassword', { by: 'owner' | 'reset' | 'admin'; passwordMatched: boolean }>
  /** Limits decide before the match counts: a locked account refuses a right password too. */
  | C<'LogIn', { sessionId: Uuid; scope: SessionScope; passwordMatched: boolean; /** From where this account signed in before. */ knownSource?: boolean }>
  | C<'EndSession', { sessionId: Uuid; reason: SessionEndReason }>
  | C<'RecordRefreshTokenReuse', { sessionId: Uuid }>
  | C<'SuspendUser', { reason?: string }>
  | C<'ActivateUser', object>
  | C<'GrantAdminRole', { role: AdminRole; permissions: readonly string[] }>
  | C<'RevokeAdminRole', object>
  /** Before the first byte of it leaves. */
  | C<'StartAuditExport', { format: 'csv' | 'ndjson'; upTo: string; filters: AuditExportFilters }>
  | C<'StartPersonalDataExport', object>
  /** `passwordMatched`: of an owner, who is asked for it again. */
  | C<'EraseSubject', { requestedBy: 'owner' | 'admin'; passwordMatched?: boolean; ground?: ErasureGround }>;

interface C<Type extends string, Data> {
  readonly type: Type;
  readonly data: Readonly<Data & { userId: Uuid }>;
}

export type UserCommandType = UserCommand['type'];
export type UserCommandOf<T extends UserCommandType> = Extract<UserCommand, { type: T }>;
