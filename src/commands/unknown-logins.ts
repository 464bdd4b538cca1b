import type pg from 'pg';
import type { Refusal } from '../domain/kernel.ts';
import type { LoginState } from '../domain/user/state.ts';
import { noLogins, refuseUnknown } from '../domain/user/user.ts';
import { instant, type Clock } from '../platform/clock.ts';

/** Failed logins with addresses that no account has. */
export interface UnknownLogins {
  /** Counts one more, and answers what an account would have answered to a wrong password. */
  refuse(email: string): Promise<Refusal>;
  /** Removes what was last tried two days ago; for a job. Answers how many. */
  prune(): Promise<number>;
}

/**
 * Whoever tries an address must not learn whether it has an account: not at the sixth try, not at another process, and not
 * the next day. So the rule is the one of `domain/user`, kept beside it for addresses without a stream.
 */
export function createUnknownLogins({ pool, keyOf, clock }: { readonly pool: pg.Pool; readonly keyOf: (email: string) => Buffer; readonly clock: Clock }): UnknownLogins {
  return {
    async refuse(email) {
      const key = keyOf(email);
      // Many at once with one address: each must see the one before, or a burst would be answered unlike an account's.
      for (;;) {
        const { rows } = await pool.query<{ logins: LoginState; version: string }>('SELECT logins, xmin::text AS version FROM work.unknown_logins WHERE key = $1', [key]);
        const known = rows[0];
        const { logins, refusal } = refuseUnknown(known?.logins ?? noLogins, instant(clock.now()));
        if (refusal.code !== 'credentials_invalid') return refusal;
        const { rowCount } =
          known === undefined
            ? await pool.query('INSERT INTO work.unknown_logins (key, logins) VALUES ($1, $2) ON CONFLICT DO NOTHING', [key, JSON.stringify(logins)])
            : await pool.query('UPDATE work.unknown_logins SET logins = $2, updated_at = now() WHERE key = $1 AND xmin::text = $3', [key, JSON.stringify(logins), known.version]);
        if (rowCount === 1) return refusal;
      }
    },

    async prune() {
      const { rowCount } = await pool.query(`DELETE FROM work.unknown_logins WHERE updated_at < now() - interval '2 days'`);
      return rowCount ?? 0;
    },
  };
}
