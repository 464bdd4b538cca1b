import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { UserCommand } from '../../../src/domain/user/commands.ts';
import type { UserEvent } from '../../../src/domain/user/events.ts';
import { SESSIONS_KEPT, type UserState } from '../../../src/domain/user/state.ts';
import { LOGIN_TRIES, LOGIN_WINDOW_MS, userDecider } from '../../../src/domain/user/user.ts';
import { addMs, fromMs, toMs } from '../../../src/domain/time.ts';
import { now as start } from '../../support/given.ts';

const userId = 'aaaaaaaa-0000-4000-8000-000000000001';
const profile = { email: 'ada@example.com', firstName: 'Ada', lastName: 'L', residentState: 'BE' };
const session = fc.nat({ max: 40 }).map((index) => `session-${index}`);

const commands: fc.Arbitrary<UserCommand> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<UserCommand>({ type: 'RegisterUser', data: { userId, profile } }) },
  {
    weight: 8,
    arbitrary: fc.record({ sessionId: session, scope: fc.constantFrom('user' as const, 'admin' as const), passwordMatched: fc.boolean() }).map(
      (data): UserCommand => ({ type: 'LogIn', data: { userId, ...data } }),
    ),
  },
  { weight: 2, arbitrary: session.map((sessionId): UserCommand => ({ type: 'EndSession', data: { userId, sessionId, reason: 'logout' } })) },
  { weight: 1, arbitrary: session.map((sessionId): UserCommand => ({ type: 'RecordRefreshTokenReuse', data: { userId, sessionId } })) },
  {
    weight: 1,
    arbitrary: fc.record({ by: fc.constantFrom('owner' as const, 'reset' as const), passwordMatched: fc.boolean() }).map(
      (data): UserCommand => ({ type: 'ChangePassword', data: { userId, ...data } }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<UserCommand>(
      { type: 'SuspendUser', data: { userId } },
      { type: 'ActivateUser', data: { userId } },
      { type: 'ActivateUser', data: { userId } },
      { type: 'GrantAdminRole', data: { userId, role: 'admin', permissions: [] } },
      { type: 'RevokeAdminRole', data: { userId } },
      { type: 'VerifyEmail', data: { userId } },
      { type: 'ChangeProfile', data: { userId, profile } },
    ),
  },
);
/** Each is a new guess, or a new value that cannot be compared: a repeat is known by its command id. */
const counts = (command: UserCommand) => command.type === 'ChangeProfile' || command.type === 'ChangePassword' || command.type === 'LogIn';

describe('a user, in any order', () => {
  it('logs in only as somebody who may, and repeats change nothing', () => {
    const steps = fc.array(fc.tuple(commands, fc.constantFrom(0, 1_000, 60_000, LOGIN_WINDOW_MS)), { maxLength: 120, size: 'max' });
    fc.assert(
      fc.property(steps, fc.boolean(), (history, erasedAtLast) => {
        let state: UserState = userDecider.initialState;
        let ms = toMs(start);
        const log: (readonly [UserEvent, string])[] = [];
        const refusedAt: string[] = [];
        const run = (command: UserCommand): void => {
          const now = fromMs(ms);
          const before = state;
          const { events, refusal } = userDecider.decide(state, command, now);
          for (const event of events) {
            log.push([event, now]);
            state = userDecider.evolve(state, event, now);
            if (event.type === 'LoginRefused') refusedAt.push(now);
            if (event.type === 'LoginSucceeded') {
              expect(before.kind === 'registered' && !before.suspended && !before.erased).toBe(true);
              if (event.data.scope === 'admin') expect(before.kind === 'registered' && before.admin !== null).toBe(true);
            }
          }
          if (refusal === undefined || !counts(command)) {
            const again = userDecider.decide(state, command, now);
            if (counts(command) && command.type !== 'LogIn') return;
            expect(again.events, `${command.type} repeated`).toEqual([]);
          }
        };
        run({ type: 'RegisterUser', data: { userId, profile } });
        for (const [command, passed] of history) {
          ms += passed;
          run(command);
          if (state.kind === 'unregistered') continue;
          expect(state.sessions.length).toBeLessThanOrEqual(SESSIONS_KEPT);
          if (state.suspended) expect(state.sessions).toEqual([]);
          if (state.admin === null) expect(state.sessions.filter(({ scope }) => scope === 'admin')).toEqual([]);
        }
        if (erasedAtLast) {
          run({ type: 'EraseSubject', data: { userId, requestedBy: 'owner' } });
          expect(state).toMatchObject({ erased: true, sessions: [], admin: null });
        }
        for (const [index, at] of refusedAt.entries()) {
          const sixth = refusedAt[index + LOGIN_TRIES];
          const between = log.some(([{ type }, when]) => (type === 'LoginSucceeded' || type === 'PasswordChanged') && when >= at && when <= (sixth ?? at));
          if (sixth !== undefined && !between) expect(sixth >= addMs(at, LOGIN_WINDOW_MS), 'more than five guesses in a window').toBe(true);
        }
        const refolded = log.reduce((folded, [event, at]) => userDecider.evolve(folded, event, at), userDecider.initialState);
        expect(refolded).toEqual(state);
        expect(JSON.parse(JSON.stringify(refolded))).toEqual(refolded);
      }),
      { numRuns: 500 },
    );
  }, 60_000);
});
