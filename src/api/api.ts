import type { AnyCommand, CommandOutcome } from '../commands/port.ts';
import type { Uuid } from '../domain/kernel.ts';
import { PIN_TRIES, PIN_WINDOW_MS } from '../domain/device/assignment.ts';
import { inMemoryRateLimiter, type RateLimiter } from '../platform/rate-limits.ts';
import { createAccounts, type Accounts } from './accounts.ts';
import { createExports, type Exports } from './audit-export.ts';
import type { Call } from './call.ts';
import { refused, refusedToOwner, unavailable } from './errors.ts';
import { AccessGate } from './gate.ts';
import type { ApiDeps } from './ports.ts';
import { guessLimit, type GuessLimit } from './rate-limit.ts';
import { positionTokens, type PositionTokens } from './position.ts';
import { RecentTimes } from './recent-times.ts';
import { accessTokens, type AccessTokens } from './tokens.ts';

export type Accepted = Extract<CommandOutcome, { kind: 'accepted' }>;

/** What routes and sockets share. */
export interface Api {
  readonly deps: ApiDeps;
  readonly tokens: AccessTokens;
  readonly gate: AccessGate;
  readonly accounts: Accounts;
  readonly limiter: RateLimiter;
  /** Wrong serials and PINs of one account, whichever boxes it tries. */
  readonly claimGuesses: GuessLimit;
  readonly positions: PositionTokens;
  /** Of the audit log, under way. */
  readonly exports: Exports;
  /** Of this process, of what it answered lately. */
  readonly times: RecentTimes;
  /**
   * Carries out a command for this call. Whoever reads after the answer sees what it did: see `settle`.
   *
   * @param step names a further command of the same call
   * @throws ApiError with the words of its refusal
   */
  execute(call: Call, command: AnyCommand, step?: string): Promise<Accepted>;
  /**
   * Read your writes: the answer that follows may be read from the read models.
   *
   * @param of whom the change concerns. What a box or its links are is waited for by whoever reads it, where reads can wait; who
   *   may do what is known before the answer, everywhere
   */
  settle(call: Call, position: bigint | undefined, of?: 'accounts' | 'boxes'): Promise<void>;
  /** The caller is told of what is at `position`: where reads can wait, those that follow see it. Waits for nothing itself. */
  told(position: bigint): void;
  /**
   * What `look` finds in the read models. Nothing is only believed where they have all that the log has: who has just made
   * something, here or in another process, is not told that it does not exist.
   *
   * @throws ApiError 503 while they are behind
   */
  found<T>(look: () => Promise<T | undefined>): Promise<T | undefined>;
  /** `in_flight` of a revocation that came too late to stop an opening. */
  inFlight(deviceId: Uuid, linkId?: Uuid): Promise<{ readonly in_flight?: { readonly command_id: string; readonly expires_at: string } }>;
  /** Ends what listens. */
  stop(): void;
}

export function createApi(deps: ApiDeps): Api {
  const { settings, clock } = deps;
  const tokens = accessTokens(settings.tokens, clock);
  const gate = new AccessGate({ users: deps.reads.users, sessions: deps.credentials.sessions, live: deps.live, clock });

  async function settle(call: Call, position: bigint | undefined, of: 'accounts' | 'boxes' = 'accounts'): Promise<void> {
    if (position === undefined) return;
    if (call.position === undefined || position > call.position) call.position = position;
    deps.fresh?.acknowledged(position);
    if (of === 'boxes' && deps.fresh !== undefined) return;
    if (!(await deps.live.reached(position, settings.readYourWritesMs))) call.consistent = false;
  }

  const limiter = deps.rateLimiter ?? inMemoryRateLimiter(clock);
  return {
    deps,
    tokens,
    gate,
    accounts: createAccounts(deps, tokens, gate, limiter, settle),
    limiter,
    claimGuesses: guessLimit(limiter, 'claim guesses', PIN_TRIES, PIN_WINDOW_MS / 1_000),
    positions: positionTokens(deps.logId),
    exports: createExports(),
    times: new RecentTimes(),
    settle,
    told: (position) => deps.fresh?.acknowledged(position),

    async execute(call, command, step) {
      const outcome = await deps.bus.execute(command, call.context(step));
      await settle(call, outcome.position, 'deviceId' in command.data ? 'boxes' : 'accounts');
      // Who claims a box by its serial number is nobody's owner yet, and is told of a wrong one.
      const byOwner = call.route?.access.kind === 'account' && command.type !== 'AssignDevice';
      if (outcome.kind === 'refused') throw byOwner ? refusedToOwner(outcome.refusal) : refused(outcome.refusal);
      return outcome;
    },

    async found(look) {
      const row = await look();
      if (row !== undefined) return row;
      if (!(await deps.live.current(settings.readYourWritesMs))) throw unavailable('What was written last cannot be read yet. Try again');
      return look();
    },

    async inFlight(deviceId, linkId) {
      const under = await deps.unlocks.awaitInFlight(deviceId, linkId, settings.inFlightWaitMs);
      return under === undefined ? {} : { in_flight: { command_id: under.unlockId, expires_at: under.expiresAt } };
    },

    stop: () => gate.stop(),
  };
}
