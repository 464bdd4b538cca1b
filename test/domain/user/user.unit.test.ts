import { describe, expect, it } from 'vitest';
import type { UserCommand, UserCommandOf, UserCommandType } from '../../../src/domain/user/commands.ts';
import type { UserEvent, UserEventOf, UserEventType } from '../../../src/domain/user/events.ts';
import { SESSIONS_KEPT } from '../../../src/domain/user/state.ts';
import { noLogins, refuseUnknown, userDecider } from '../../../src/domain/user/user.ts';
import { at, later, now, specOf } from '../../support/given.ts';

const userId = 'aaaaaaaa-0000-4000-8000-000000000001';
const profile = { email: 'ada@example.com', firstName: 'Ada', lastName: 'L', residentState: 'BE' };
const { given } = specOf(userDecider);

function event<T extends UserEventType>(type: T, data: UserEventOf<T>['data']): UserEvent {
  return { type, data } as unknown as UserEvent;
}
function command<T extends UserCommandType>(type: T, data: Omit<UserCommandOf<T>['data'], 'userId'>): UserCommand {
  return { type, data: { userId, ...data } } as unknown as UserCommand;
}

const registered = event('UserRegistered', { userId, profile });
const suspended = event('UserSuspended', {});
const erased = event('SubjectErased', { requestedBy: 'owner', at: now });
const adminRole = event('AdminRoleGranted', { role: 'admin', permissions: ['devices'] });
const loggedIn = (sessionId: string, scope: 'user' | 'admin' = 'user') => event('LoginSucceeded', { sessionId, scope });
const wrongPassword = event('LoginRefused', { reason: 'password' });
const ended = (sessionId: string, reason: UserEventOf<'SessionEnded'>['data']['reason']) => event('SessionEnded', { sessionId, reason });
const logIn = (changes: Partial<UserCommandOf<'LogIn'>['data']> = {}) => command('LogIn', { sessionId: 's1', scope: 'user', passwordMatched: true, ...changes });
const wrong = logIn({ passwordMatched: false });

describe('RegisterUser', () => {
  const register = command('RegisterUser', { profile });
  it('happens once per stream: whoever comes second under the same address is not the first', () => {
    given().when(register).happens(registered).again().refused('user_exists');
  });
});

describe('anything asked of nobody', () => {
  it('is refused, and a login is told no more than that it failed', () => {
    given().when(command('VerifyEmail', {})).refused('user_not_found');
    given().when(logIn()).refused('credentials_invalid');
  });
  it('does not fold', () => {
    expect(() => given(suspended)).toThrow(/not whole/);
  });
});

describe('profile and address', () => {
  it('ChangeProfile is recorded, and said twice it changes nothing more', () => {
    const change = command('ChangeProfile', { profile: { ...profile, firstName: 'Augusta' } });
    const once = given(registered).when(change).happens(event('ProfileChanged', { profile: { ...profile, firstName: 'Augusta' } }));
    expect(given(registered, ...once.decision.events).when(change).state).toEqual(once.state);
  });
  it('ChangeProfile made of an older one is refused', () => {
    const changedAt = later(60);
    const history = [at(now, registered), at(changedAt, event('ProfileChanged', { profile }))] as const;
    given(...history).when(command('ChangeProfile', { profile, basedOn: now })).refused('profile_changed');
    given(...history).when(command('ChangeProfile', { profile, basedOn: changedAt })).happensAs('ProfileChanged');
    given(at(now, registered)).when(command('ChangeProfile', { profile, basedOn: now })).happensAs('ProfileChanged');
  });
  it('VerifyEmail happens once', () => {
    given(registered).when(command('VerifyEmail', {})).happens(event('EmailVerified', {})).again().quiet();
  });
});

describe('LogIn', () => {
  it('makes a session', () => {
    given(registered).when(logIn()).happens(loggedIn('s1')).again().quiet();
  });
  it('counts a wrong password', () => {
    given(registered).when(wrong).refusedWith('credentials_invalid', 'LoginRefused');
  });
  it('locks the account for 15 minutes after five, and then tells nobody that a password was right', () => {
    const five = [0, 1, 2, 3, 4].map((minute) => at(later(60 * minute), wrongPassword));
    given(registered, ...five).when(logIn(), later(5 * 60)).refused('login_locked', { retry_after: 14 * 60 });
    given(registered, ...five).when(wrong, later(5 * 60)).refused('login_locked');
    given(registered, ...five).when(logIn(), later(19 * 60)).happens(loggedIn('s1'));
  });
  it('does not count what is older than 15 minutes, nor what was before the last success', () => {
    const slow = [0, 4, 8, 12, 16].map((minute) => at(later(60 * minute), wrongPassword));
    given(registered, ...slow).when(logIn(), later(17 * 60)).happensAs('LoginSucceeded');
    given(registered, wrongPassword, wrongPassword, wrongPassword, wrongPassword, loggedIn('s0'), wrongPassword).when(logIn()).happensAs('LoginSucceeded');
  });
  it('locks twice as long with each further five in a row, for a day at most', () => {
    const tries = (count: number) => Array.from({ length: count }, (_, hour) => at(later(3600 * hour), wrongPassword));
    const lockedFor = (count: number, seconds: number) => {
      const last = 3600 * (count - 1);
      given(registered, ...tries(count)).when(logIn(), later(last + seconds - 1)).refused('login_locked', { retry_after: 1 });
      given(registered, ...tries(count)).when(logIn(), later(last + seconds)).happensAs('LoginSucceeded');
    };
    lockedFor(10, 30 * 60);
    lockedFor(15, 3600);
    lockedFor(20, 2 * 3600);
    lockedFor(60, 24 * 3600);
    given(registered, ...tries(11)).when(logIn(), later(3600 * 11)).happensAs('LoginSucceeded');
  });
  it('lets the owner in from where the owner signed in before, while others guess; not after a hundred', () => {
    const five = Array.from({ length: 5 }, () => wrongPassword);
    given(registered, ...five).when(logIn({ knownSource: true })).happensAs('LoginSucceeded');
    given(registered, ...five).when(logIn({ knownSource: true, passwordMatched: false })).refusedWith('credentials_invalid', 'LoginRefused');
    given(registered, ...five).when(logIn({ knownSource: false })).refused('login_locked');
    given(registered, ...Array.from({ length: 100 }, () => wrongPassword)).when(logIn({ knownSource: true })).refused('login_locked');
  });
  it('answers for an address without an account as for one with', () => {
    const history: (UserEvent | { readonly at: string; readonly events: readonly UserEvent[] })[] = [registered];
    let logins = noLogins;
    for (const second of [0, 10, 20, 30, 40, 50, 60, 2000, 2001, 2002, 2003, 2004, 2005, 5000]) {
      const unknown = refuseUnknown(logins, later(second));
      const known = given(...history).when(wrong, later(second)).decision;
      expect(known.refusal, `at ${second} s`).toEqual(unknown.refusal);
      logins = unknown.logins;
      history.push(at(later(second), ...known.events));
    }
    expect(logins.wrongInARow).toBe(11);
  });
  it('locks until a new password after a hundred wrong ones in a row, however slow', () => {
    const slow = Array.from({ length: 100 }, (_, hour) => at(later(3600 * hour), wrongPassword));
    given(registered, ...slow).when(logIn(), later(3600 * 200)).refused('login_locked', { until: 'password_reset' });
    given(registered, ...slow, event('PasswordChanged', { by: 'reset' })).when(logIn(), later(3600 * 200)).happensAs('LoginSucceeded');
  });
  it('tells of a suspension, or of a missing role, only to whoever knows the password', () => {
    given(registered, suspended).when(logIn()).refusedWith('user_suspended', 'LoginRefused');
    given(registered, suspended).when(wrong).refusedWith('credentials_invalid', 'LoginRefused');
    given(registered).when(logIn({ scope: 'admin' })).refusedWith('role_missing', 'LoginRefused');
    given(registered).when(logIn({ scope: 'admin', passwordMatched: false })).refusedWith('credentials_invalid', 'LoginRefused');
    given(registered, adminRole).when(logIn({ scope: 'admin' })).happens(loggedIn('s1', 'admin'));
  });
  it('counts those refusals too', () => {
    const five = Array.from({ length: 5 }, () => event('LoginRefused', { reason: 'suspended' }));
    given(registered, suspended, ...five).when(logIn()).refused('login_locked');
  });
  it('ends the oldest session where there are too many', () => {
    const many = Array.from({ length: SESSIONS_KEPT }, (_, index) => loggedIn(`old-${index}`));
    given(registered, ...many).when(logIn()).happens(loggedIn('s1'), ended('old-0', 'revoked'));
  });
});

describe('sessions', () => {
  it('EndSession ends a live one once', () => {
    const end = command('EndSession', { sessionId: 's1', reason: 'logout' });
    given(registered, loggedIn('s1')).when(end).happens(ended('s1', 'logout')).again().quiet();
    given(registered).when(end).quiet();
  });
  it('RecordRefreshTokenReuse ends the family of the token', () => {
    const reuse = command('RecordRefreshTokenReuse', { sessionId: 's1' });
    given(registered, loggedIn('s1'), loggedIn('s2'))
      .when(reuse)
      .happens(event('RefreshTokenReused', { sessionId: 's1' }), ended('s1', 'token_reused'))
      .again()
      .quiet();
    given(registered).when(reuse).quiet();
  });
});

describe('ChangePassword', () => {
  const change = (changes: Partial<UserCommandOf<'ChangePassword'>['data']> = {}) =>
    command('ChangePassword', { by: 'owner', passwordMatched: true, ...changes });
  it('ends every session', () => {
    given(registered, loggedIn('s1'), loggedIn('s2')).when(change()).happens(event('PasswordChanged', { by: 'owner' }), ended('s1', 'password_changed'), ended('s2', 'password_changed'));
  });
  it('needs the old one under the limits of a login, unless it is a reset', () => {
    given(registered).when(change({ passwordMatched: false })).refusedWith('credentials_invalid', 'LoginRefused');
    given(registered, ...Array.from({ length: 5 }, () => wrongPassword)).when(change()).refused('login_locked');
    given(registered, ...Array.from({ length: 5 }, () => wrongPassword)).when(change({ by: 'reset', passwordMatched: false })).happensAs('PasswordChanged');
    given(registered, suspended).when(change()).refused('user_suspended');
    given(registered, suspended).when(change({ by: 'admin', passwordMatched: false })).happensAs('PasswordChanged');
  });
});

describe('suspension', () => {
  it('ends every session, and is lifted once', () => {
    given(registered, loggedIn('s1')).when(command('SuspendUser', { reason: 'abuse' })).happens(event('UserSuspended', { reason: 'abuse' }), ended('s1', 'suspended')).again().quiet();
    given(registered, suspended).when(command('ActivateUser', {})).happens(event('UserActivated', {})).again().quiet();
    given(registered).when(command('ActivateUser', {})).quiet();
  });
});

describe('admin role', () => {
  const grant = (permissions: readonly string[]) => command('GrantAdminRole', { role: 'admin', permissions });
  it('is granted and changed', () => {
    given(registered).when(grant(['devices'])).happens(adminRole).again().quiet();
    given(registered, adminRole).when(grant(['devices', 'users'])).happensAs('AdminRoleGranted');
  });
  it('ends with the admin’s sessions', () => {
    given(registered, adminRole, loggedIn('s1'), loggedIn('s2', 'admin'))
      .when(command('RevokeAdminRole', {}))
      .happens(event('AdminRoleRevoked', {}), ended('s2', 'revoked'))
      .again()
      .quiet();
    given(registered).when(command('RevokeAdminRole', {})).quiet();
  });
});

describe('what leaves as a file', () => {
  const start = command('StartAuditExport', { format: 'csv', upTo: '42', filters: { q: true } });
  it('StartAuditExport is written down each time, of who administers and nobody else', () => {
    const started = event('AuditExportStarted', { format: 'csv', upTo: '42', filters: { q: true } });
    given(registered, adminRole).when(start).happens(started);
    given(registered, adminRole, started).when(start).happens(started);
    given(registered).when(start).refused('role_missing');
    given(registered, adminRole, event('AdminRoleRevoked', {})).when(start).refused('role_missing');
    given(registered, adminRole, erased).when(start).refused('user_erased');
  });
  it('StartPersonalDataExport is written down as long as there is anything personal', () => {
    given(registered, suspended).when(command('StartPersonalDataExport', {})).happens(event('PersonalDataExportStarted', {}));
    given(registered, erased).when(command('StartPersonalDataExport', {})).quiet();
  });
});

describe('EraseSubject', () => {
  const erase = command('EraseSubject', { requestedBy: 'owner' });
  it('ends the account for good', () => {
    given(registered, adminRole, loggedIn('s1')).when(erase).happens(erased, ended('s1', 'erased')).again().quiet();
  });
  it('leaves nobody to log in', () => {
    given(registered, erased).when(logIn()).refused('credentials_invalid');
    given(registered, erased).when(command('EndSession', { sessionId: 's1', reason: 'logout' })).quiet();
    given(registered, erased).when(command('VerifyEmail', {})).refused('user_erased');
    given(registered, erased).when(command('GrantAdminRole', { role: 'admin', permissions: [] })).refused('user_erased');
  });
});
