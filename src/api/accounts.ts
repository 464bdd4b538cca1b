import type { CommandContext } from '../commands/port.ts';
import type { Uuid } from '../domain/kernel.ts';
import type { SessionScope, UserProfile } from '../domain/user/events.ts';
import { LOGIN_TRIES, LOGIN_WINDOW_MS } from '../domain/user/user.ts';
import { newId, timeOf } from '../platform/ids.ts';
import type { RateLimiter } from '../platform/rate-limits.ts';
import type { UserRow } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import type { Call } from './call.ts';
import { networkOf } from './client.ts';
import { ApiError, invalid, refused, unauthorized, unavailable } from './errors.ts';
import type { AccessGate } from './gate.ts';
import type { ApiDeps, Session } from './ports.ts';
import { guessLimit } from './rate-limit.ts';
import type { AccessTokens } from './tokens.ts';

/** bcrypt reads no further; a longer password would be cut off in silence. */
const MAX_PASSWORD_BYTES = 72;
/** In place of a user's id, so that an address without an account costs the same look-up. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/** From an attempt's new id to its account at most; and from when on nobody waits for that attempt any more. */
const CLAIM_USED_WITHIN_MS = 30_000;
const CLAIM_GIVEN_UP_MS = 120_000;

export interface TokenPair {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: 'bearer';
  readonly expires_in: number;
  readonly tokens: { readonly access: string; readonly refresh: string };
}

export interface SignedIn {
  readonly tokens: TokenPair;
  readonly user: Pick<UserRow, 'userId' | 'profile' | 'registeredAt' | 'emailVerified' | 'suspended' | 'adminRole' | 'permissions'>;
}

/** Registration, logins and sessions. */
export interface Accounts {
  /** An account without a session. @throws ApiError 409 for an address that has one */
  create(call: Call, profile: UserProfile, password: string): Promise<Uuid>;
  register(call: Call, profile: UserProfile, password: string): Promise<SignedIn>;
  logIn(call: Call, email: string, password: string, scope: SessionScope): Promise<SignedIn>;
  refresh(call: Call, refreshToken: string): Promise<TokenPair>;
  /** Ends every session of the account; the answer begins a new one for whoever changed it. */
  changePassword(call: Call, session: Session, current: string, next: string): Promise<TokenPair>;
  /** @param by the session that asks, of the same user */
  endSession(call: Call, by: Session, sessionId: Uuid, reason: 'logout' | 'revoked'): Promise<void>;
}

export function createAccounts(deps: ApiDeps, tokens: AccessTokens, gate: AccessGate, limiter: RateLimiter, settle: Api['settle']): Accounts {
  const { bus, credentials, logins, reads, settings, clock, metrics } = deps;
  const { passwords, emails, sessions } = credentials;
  const logger = deps.logger.child({ component: 'accounts' });
  const unknownLogins = metrics.counter('loqey_logins_unknown_total', 'Logins with an address that no account has');
  const guesses = guessLimit(limiter, 'login guesses', LOGIN_TRIES, LOGIN_WINDOW_MS / 1_000);

  /** A session starts as an event; what its holder proves it with comes after. */
  async function startSession(call: Call, userId: Uuid, scope: SessionScope, passwordMatched: boolean, knownSource = false): Promise<Session> {
    const sessionId = newId();
    const context = contextOf(call, { userId, scope }, 'login');
    const outcome = await bus.execute({ type: 'LogIn', data: { userId, sessionId, scope, passwordMatched, knownSource } }, context);
    if (outcome.kind === 'refused') {
      // An address whose registration never got as far as an account is as unknown as any other.
      throw outcome.refusal.code === 'user_not_found' ? badCredentials() : refused(outcome.refusal);
    }
    // The oldest sessions make room for a new one: what they are proved with ends with them.
    for (const event of outcome.events) if (event.type === 'SessionEnded') await sessions.end(event.data.sessionId);
    await settle(call, outcome.position);
    return { sessionId, userId, scope };
  }

  /**
   * The address is this user's from here on. One that an attempt claimed and never made an account of is taken over, but
   * only when that attempt is certainly over.
   *
   * @throws ApiError 409
   */
  async function takeAddress(email: string, userId: Uuid): Promise<void> {
    const holder = await emails.claim(email, userId);
    if (holder === userId) return;
    if (await exists(holder)) throw refused({ code: 'user_exists' });
    if (clock.now() - timeOf(holder) < CLAIM_GIVEN_UP_MS || !(await emails.adopt(email, holder, userId))) {
      throw new ApiError('conflict', 'A registration with this email address is under way. Try again in a few minutes');
    }
  }

  /** Asked of the user's own stream, which is never behind: ending a session that nobody has changes nothing. */
  async function exists(userId: Uuid): Promise<boolean> {
    const commandId = newId();
    const command = { type: 'EndSession', data: { userId, sessionId: commandId, reason: 'revoked' } } as const;
    const context = { commandId, correlationId: commandId, actor: { kind: 'system', id: 'registration' }, source: 'system' } as const;
    return (await bus.execute(command, context)).kind === 'accepted';
  }

  /** From there the owner gets in while others guess; losing it costs no more than that. */
  function signedInFrom(userId: Uuid, network: string): void {
    void logins.sources.remember(userId, network).catch((error: unknown) => logger.warn({ err: error }, 'Where an account signed in could not be remembered'));
  }

  function contextOf(call: Call, { userId, scope }: Pick<Session, 'userId' | 'scope'>, step?: string): CommandContext {
    return scope === 'admin'
      ? call.contextAs({ kind: 'admin', id: userId }, 'web_dashboard', step)
      : call.contextAs({ kind: 'user', id: userId }, 'mobile_app', step);
  }

  /** The first tokens of a session that has started. */
  async function open(call: Call, session: Session): Promise<{ readonly row: UserRow | undefined; readonly tokens: TokenPair }> {
    const { userAgent } = call.origin;
    const refreshToken = await sessions.issue({ ...session, ...(userAgent === undefined ? {} : { userAgent }) });
    const row = await reads.users.byId(session.userId);
    return { row, tokens: grant(session, refreshToken, row) };
  }

  /** An account as it is where the read models do not know it yet. */
  function accountOf(userId: Uuid, row: UserRow | undefined, profile: UserProfile | null): SignedIn['user'] {
    if (row !== undefined) return row;
    const registeredAt = new Date(clock.now()).toISOString();
    return { userId, profile, registeredAt, emailVerified: false, suspended: false, adminRole: null, permissions: [] };
  }

  function grant(session: Session, refreshToken: string, row: UserRow | undefined): TokenPair {
    const access = tokens.sign(session, row?.accessVersion ?? 0);
    return {
      access_token: access,
      refresh_token: refreshToken,
      token_type: 'bearer',
      expires_in: settings.tokens.accessSeconds,
      tokens: { access, refresh: refreshToken },
    };
  }

  async function create(call: Call, profile: UserProfile, password: string): Promise<Uuid> {
    checkLength('password', password);
    const hash = await passwords.hash(password);
    // A new id for each attempt: two registrations of one address never meet in one account.
    const userId = newId();
    const since = clock.now();
    // Stored before the account exists: no crash leaves an account that nobody can enter.
    await passwords.store(userId, hash);
    try {
      await takeAddress(profile.email, userId);
      // Beyond this the address may be taken from us as from an attempt that was given up.
      if (clock.now() - since > CLAIM_USED_WITHIN_MS) throw unavailable('The registration took too long. Try again');
    } catch (error) {
      await passwords.remove(userId);
      throw error;
    }
    // Who opens an account for somebody else is who acts.
    const context = call.who.kind === 'account' ? call.context() : contextOf(call, { userId, scope: 'user' });
    const outcome = await bus.execute({ type: 'RegisterUser', data: { userId, profile } }, context);
    if (outcome.kind === 'refused') throw refused(outcome.refusal);
    await settle(call, outcome.position);
    return userId;
  }

  return {
    create,

    async register(call, profile, password) {
      const userId = await create(call, profile, password);
      const opened = await open(call, await startSession(call, userId, 'user', true));
      signedInFrom(userId, networkOf(call.ip));
      return { tokens: opened.tokens, user: accountOf(userId, opened.row, profile) };
    },

    async logIn(call, email, password, scope) {
      // Counted for known and unknown addresses alike, and before the costly comparison.
      const network = networkOf(call.ip);
      const wait = await guesses.locked(`${email}|${network}`);
      if (wait !== undefined) throw refused({ code: 'login_locked', details: { retry_after: wait } });
      const userId = await emails.find(email);
      const hash = userId === undefined ? undefined : await passwords.hashOf(userId);
      const [{ matched, rehash }, knownSource] = await Promise.all([passwords.verify(password, hash), logins.sources.knows(userId ?? NOBODY, network)]);
      if (!matched) await guesses.wrong(`${email}|${network}`);
      if (userId === undefined) {
        unknownLogins.inc();
        throw refused(await logins.unknown.refuse(email));
      }
      const session = await startSession(call, userId, scope, matched, knownSource);
      signedInFrom(userId, network);
      if (rehash) {
        void passwords
          .hash(password)
          .then((stronger) => passwords.store(userId, stronger))
          .catch((error: unknown) => logger.warn({ err: error }, 'A password keeps its old cost: it could not be hashed again'));
      }
      const opened = await open(call, session);
      return { tokens: opened.tokens, user: accountOf(userId, opened.row, null) };
    },

    async refresh(call, refreshToken) {
      const rotation = await sessions.rotate(refreshToken);
      switch (rotation.kind) {
        case 'invalid':
          throw unauthorized();
        case 'reused': {
          const { userId, sessionId } = rotation.session;
          // Whoever has the stolen one, both have lost: the family is dead in the vault already.
          await bus.execute({ type: 'RecordRefreshTokenReuse', data: { userId, sessionId } }, contextOf(call, rotation.session));
          gate.forget(userId);
          throw unauthorized();
        }
        case 'rotated': {
          const row = await reads.users.byId(rotation.session.userId);
          if (row?.suspended === true) throw refused({ code: 'user_suspended' });
          if (row?.erased === true) throw unauthorized();
          return grant(rotation.session, rotation.refreshToken, row);
        }
      }
    },

    async changePassword(call, session, current, next) {
      checkLength('new_password', next);
      const { userId, scope } = session;
      const { matched } = await passwords.verify(current, await passwords.hashOf(userId));
      const hash = matched ? await passwords.hash(next) : undefined;
      // Wrong ones count as failed logins do, so the limit is the same one and is decided where they are counted.
      const outcome = await bus.execute({ type: 'ChangePassword', data: { userId, by: 'owner', passwordMatched: matched } }, contextOf(call, session));
      if (outcome.kind === 'refused') throw outcome.refusal.code === 'credentials_invalid' ? wrongPassword() : refused(outcome.refusal);
      if (hash === undefined) throw new Error('A password was changed by somebody who did not know it');
      await passwords.store(userId, hash);
      await sessions.endAll(userId);
      gate.forget(userId);
      await settle(call, outcome.position);
      return (await open(call, await startSession(call, userId, scope, true))).tokens;
    },

    async endSession(call, by, sessionId, reason) {
      const { userId } = by;
      // The vault first: whoever reads the session again because of the event finds it ended.
      await sessions.end(sessionId);
      gate.forget(userId);
      const outcome = await bus.execute({ type: 'EndSession', data: { userId, sessionId, reason } }, contextOf(call, by));
      if (outcome.kind === 'refused' && outcome.refusal.code !== 'session_not_found') throw refused(outcome.refusal);
      await settle(call, outcome.position);
    },
  };
}

function badCredentials(): ApiError {
  return refused({ code: 'credentials_invalid' });
}

/** Not 401: that would sign the app out. */
function wrongPassword(): ApiError {
  return new ApiError('forbidden', 'The current password is not right', { old_password: 'is not the current password', reason: 'credentials_invalid' });
}

function checkLength(field: string, password: string): void {
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) throw invalid(field, `must have at most ${MAX_PASSWORD_BYTES} bytes`);
}
