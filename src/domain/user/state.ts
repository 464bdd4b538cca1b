import type { Instant, Uuid } from '../kernel.ts';
import type { AdminRole, SessionScope } from './events.ts';

/** What a user's stream folds to: no name, no address, no password. Plain JSON, bounded. */
export const userStateVersion = 2;

export type UserState = UnregisteredUser | RegisteredUser;

export interface UnregisteredUser {
  readonly kind: 'unregistered';
}

export interface RegisteredUser {
  readonly kind: 'registered';
  readonly userId: Uuid;
  readonly suspended: boolean;
  readonly erased: boolean;
  readonly emailVerified: boolean;
  /** When the profile became what it is. */
  readonly profileAt: Instant;
  readonly admin: { readonly role: AdminRole; readonly permissions: readonly string[] } | null;
  readonly logins: LoginState;
  /** Oldest first, at most `SESSIONS_KEPT`. */
  readonly sessions: readonly Session[];
}

export interface Session {
  readonly sessionId: Uuid;
  readonly scope: SessionScope;
}

export interface LoginState {
  /** Refused logins of the last 15 minutes, oldest first. */
  readonly refusals: readonly Instant[];
  /** Wrong passwords since the last right one. */
  readonly wrongInARow: number;
}

/** A login beyond it ends the oldest session. */
export const SESSIONS_KEPT = 32;

export const noUser: UserState = { kind: 'unregistered' };
