import { accept, assertNever, present, quiet, refuse, refuseCounting, type Decider, type Decision, type Instant, type Refusal } from '../kernel.ts';
import { addMs, secondsUntil } from '../time.ts';
import type { UserCommand, UserCommandOf } from './commands.ts';
import type { SessionEndReason, UserEvent } from './events.ts';
import { noUser, SESSIONS_KEPT, type LoginState, type RegisteredUser, type Session, type UserState } from './state.ts';

/** Refused logins within `LOGIN_WINDOW_MS` that lock an account for as long. */
export const LOGIN_TRIES = 5;
export const LOGIN_WINDOW_MS = 15 * 60_000;
/** From the tenth wrong password in a row on each fifth locks, twice as long as the one before, up to this. */
const LONGEST_LOGIN_LOCK_MS = 24 * 3_600_000;
/** Wrong passwords in a row, however slowly, after which only a new password opens the account again. */
const WRONG_IN_A_ROW = 100;

type UserDecision = Decision<UserEvent>;

export const userDecider: Decider<UserState, UserCommand, UserEvent> = { initialState: noUser, decide, evolve };

function decide(state: UserState, command: UserCommand, now: Instant): UserDecision {
  if (command.type === 'RegisterUser') return registerUser(state, command);
  if (state.kind === 'unregistered') return refuse(command.type === 'LogIn' ? 'credentials_invalid' : 'user_not_found');
  if (state.erased) return afterErasure(command);
  switch (command.type) {
    case 'ChangeProfile':
      return changeProfile(state, command);
    case 'VerifyEmail':
      return state.emailVerified ? quiet : accept({ type: 'EmailVerified', data: {} });
    case 'ChangePassword':
      return changePassword(state, command, now);
    case 'LogIn':
      return logIn(state, command, now);
    case 'EndSession':
      return endSession(state, command);
    case 'RecordRefreshTokenReuse':
      return refreshTokenReused(state, command);
    case 'SuspendUser':
      return state.suspended
        ? quiet
        : accept({ type: 'UserSuspended', data: present({ reason: command.data.reason }) }, ...endSessions(state.sessions, 'suspended'));
    case 'ActivateUser':
      return state.suspended ? accept({ type: 'UserActivated', data: {} }) : quiet;
    case 'GrantAdminRole':
      return grantAdminRole(state, command);
    case 'RevokeAdminRole':
      return state.admin === null
        ? quiet
        : accept(
            { type: 'AdminRoleRevoked', data: {} },
            ...endSessions(state.sessions.filter(({ scope }) => scope === 'admin'), 'revoked'),
          );
    case 'StartAuditExport': {
      const { format, upTo, filters } = command.data;
      return state.admin === null ? refuse('role_missing') : accept({ type: 'AuditExportStarted', data: { format, upTo, filters } });
    }
    case 'StartPersonalDataExport':
      return accept({ type: 'PersonalDataExportStarted', data: {} });
    case 'EraseSubject':
      return eraseSubject(state, command, now);
    default:
      return assertNever(command, 'command');
  }
}

/** An address whose registration broke off leads two people to one stream: the second is not the first. */
function registerUser(state: UserState, { data }: UserCommandOf<'RegisterUser'>): UserDecision {
  return state.kind === 'registered' ? refuse('user_exists') : accept({ type: 'UserRegistered', data });
}

/**
 * Sealed values cannot be compared: a repeat is recognised by its command id, and would change nothing. Who changes one
 * member sends the others as they were read: if the profile was changed since, that would take the change back.
 */
function changeProfile(state: RegisteredUser, { data: { profile, basedOn } }: UserCommandOf<'ChangeProfile'>): UserDecision {
  return basedOn === undefined || basedOn === state.profileAt ? accept({ type: 'ProfileChanged', data: { profile } }) : refuse('profile_changed');
}

function afterErasure(command: UserCommand): UserDecision {
  switch (command.type) {
    case 'EraseSubject':
    case 'EndSession':
    case 'RecordRefreshTokenReuse':
    case 'StartPersonalDataExport': // there is nothing personal left in it
      return quiet;
    case 'LogIn':
      return refuse('credentials_invalid');
    default:
      return refuse('user_erased');
  }
}

/** The limits decide before the match: a locked account tells nobody that the password was right. */
function logIn(state: RegisteredUser, { data }: UserCommandOf<'LogIn'>, now: Instant): UserDecision {
  if (state.sessions.some(({ sessionId }) => sessionId === data.sessionId)) return quiet;
  const locked = loginLock(state.logins, now);
  // From where the owner signed in before, somebody else's guesses do not keep the owner out: that place has a limit of its own.
  const lockedOut = locked !== undefined && !(data.knownSource === true && state.logins.wrongInARow < WRONG_IN_A_ROW);
  if (lockedOut) return { events: [], refusal: locked };
  if (!data.passwordMatched) return loginRefused('password', 'credentials_invalid');
  // Only who knows the password learns that the account is suspended, or is no admin's.
  if (state.suspended) return loginRefused('suspended', 'user_suspended');
  if (data.scope === 'admin' && state.admin === null) return loginRefused('role', 'role_missing');
  const { sessionId, scope } = data;
  return accept(
    { type: 'LoginSucceeded', data: { sessionId, scope } },
    ...endSessions(state.sessions.slice(0, Math.max(0, state.sessions.length + 1 - SESSIONS_KEPT)), 'revoked'),
  );
}

function loginLock(logins: LoginState, now: Instant): Refusal | undefined {
  const { refusals, wrongInARow } = logins;
  if (wrongInARow >= WRONG_IN_A_ROW) return { code: 'login_locked', details: { until: 'password_reset' } };
  const last = refusals.at(-1);
  if (last === undefined) return undefined;
  const until = addMs(last, lockLength(logins, last));
  return now < until ? { code: 'login_locked', details: { retry_after: secondsUntil(until, now) } } : undefined;
}

/** Milliseconds from the last refusal. */
function lockLength({ refusals, wrongInARow }: LoginState, last: Instant): number {
  const rounds = wrongInARow / LOGIN_TRIES;
  const growing = rounds >= 2 && Number.isInteger(rounds) ? Math.min(LOGIN_WINDOW_MS * 2 ** (rounds - 1), LONGEST_LOGIN_LOCK_MS) : 0;
  const fifthLast = refusals.at(-LOGIN_TRIES);
  // Five within the window lock for the length of the window, whatever was wrong with them.
  const withinWindow = fifthLast !== undefined && last <= addMs(fifthLast, LOGIN_WINDOW_MS);
  return Math.max(growing, withinWindow ? LOGIN_WINDOW_MS : 0);
}

function withRefusal({ refusals, wrongInARow }: LoginState, at: Instant, passwordWrong: boolean): LoginState {
  const since = addMs(at, -LOGIN_WINDOW_MS);
  return { refusals: [...refusals.filter((refusal) => refusal > since), at], wrongInARow: wrongInARow + (passwordWrong ? 1 : 0) };
}

export const noLogins: LoginState = { refusals: [], wrongInARow: 0 };

/**
 * What an address without an account is told, and what is remembered of it: exactly as if it had an account and the
 * password was wrong.
 */
export function refuseUnknown(logins: LoginState, now: Instant): { readonly logins: LoginState; readonly refusal: Refusal } {
  const locked = loginLock(logins, now);
  return locked === undefined ? { logins: withRefusal(logins, now, true), refusal: { code: 'credentials_invalid' } } : { logins, refusal: locked };
}

function loginRefused(reason: 'password' | 'suspended' | 'role', code: 'credentials_invalid' | 'user_suspended' | 'role_missing'): UserDecision {
  return refuseCounting([{ type: 'LoginRefused', data: { reason } }], code);
}

/** The owner must know the old one, under the limits of a login; every session has to log in anew. */
function changePassword(state: RegisteredUser, { data }: UserCommandOf<'ChangePassword'>, now: Instant): UserDecision {
  if (data.by === 'owner') {
    const locked = loginLock(state.logins, now);
    if (locked !== undefined) return { events: [], refusal: locked };
    if (!data.passwordMatched) return loginRefused('password', 'credentials_invalid');
    if (state.suspended) return refuse('user_suspended');
  }
  return accept({ type: 'PasswordChanged', data: { by: data.by } }, ...endSessions(state.sessions, 'password_changed'));
}

/** The owner must know the password, under the limits of a login. What follows is for ever. */
function eraseSubject(state: RegisteredUser, { data }: UserCommandOf<'EraseSubject'>, now: Instant): UserDecision {
  const { requestedBy, passwordMatched, ground } = data;
  if (passwordMatched !== undefined) {
    const locked = loginLock(state.logins, now);
    if (locked !== undefined) return { events: [], refusal: locked };
    if (!passwordMatched) return loginRefused('password', 'credentials_invalid');
  }
  return accept({ type: 'SubjectErased', data: present({ requestedBy, at: now, ground }) }, ...endSessions(state.sessions, 'erased'));
}

function endSession(state: RegisteredUser, { data }: UserCommandOf<'EndSession'>): UserDecision {
  return accept(...endSessions(state.sessions.filter(({ sessionId }) => sessionId === data.sessionId), data.reason));
}

function refreshTokenReused(state: RegisteredUser, { data }: UserCommandOf<'RecordRefreshTokenReuse'>): UserDecision {
  const { sessionId } = data;
  if (!state.sessions.some((session) => session.sessionId === sessionId)) return quiet;
  return accept(
    { type: 'RefreshTokenReused', data: { sessionId } },
    { type: 'SessionEnded', data: { sessionId, reason: 'token_reused' } },
  );
}

function grantAdminRole(state: RegisteredUser, { data }: UserCommandOf<'GrantAdminRole'>): UserDecision {
  const { role, permissions } = data;
  const same =
    state.admin?.role === role &&
    state.admin.permissions.length === permissions.length &&
    permissions.every((permission) => state.admin?.permissions.includes(permission));
  return same ? quiet : accept({ type: 'AdminRoleGranted', data: { role, permissions } });
}

function endSessions(sessions: readonly Session[], reason: SessionEndReason): readonly UserEvent[] {
  return sessions.map(({ sessionId }) => ({ type: 'SessionEnded', data: { sessionId, reason } }));
}

function evolve(state: UserState, event: UserEvent, at: Instant): UserState {
  if (event.type === 'UserRegistered') {
    return {
      kind: 'registered',
      userId: event.data.userId,
      suspended: false,
      erased: false,
      emailVerified: false,
      profileAt: at,
      admin: null,
      logins: noLogins,
      sessions: [],
    };
  }
  if (state.kind === 'unregistered') throw new Error(`${event.type} before UserRegistered: this stream is not whole`);
  switch (event.type) {
    case 'ProfileChanged':
      return { ...state, profileAt: at };
    case 'RefreshTokenReused':
    case 'AuditExportStarted':
    case 'PersonalDataExportStarted':
      return state;
    case 'EmailVerified':
      return { ...state, emailVerified: true };
    case 'PasswordChanged':
      return { ...state, logins: noLogins };
    case 'LoginSucceeded': {
      const { sessionId, scope } = event.data;
      return { ...state, logins: noLogins, sessions: [...state.sessions, { sessionId, scope }] };
    }
    case 'LoginRefused':
      return { ...state, logins: withRefusal(state.logins, at, event.data.reason === 'password') };
    case 'SessionEnded':
      return { ...state, sessions: state.sessions.filter(({ sessionId }) => sessionId !== event.data.sessionId) };
    case 'UserSuspended':
      return { ...state, suspended: true };
    case 'UserActivated':
      return { ...state, suspended: false };
    case 'AdminRoleGranted':
      return { ...state, admin: { role: event.data.role, permissions: event.data.permissions } };
    case 'AdminRoleRevoked':
      return { ...state, admin: null };
    case 'SubjectErased':
      return { ...state, erased: true, admin: null };
    default:
      return assertNever(event, 'event');
  }
}
