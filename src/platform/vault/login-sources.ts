import type { Database } from '../postgres/db.ts';
import type { MasterKey } from './master-key.ts';

/** From where an account signed in, for a month. Neither can be read from what is kept. */
export interface LoginSources {
  knows(userId: string, network: string): Promise<boolean>;
  remember(userId: string, network: string): Promise<void>;
  /** Answers how many were removed. */
  prune(): Promise<number>;
}

const KEEP = '30 days';

export function createLoginSources({ db, master }: { readonly db: Database; readonly master: MasterKey }): LoginSources {
  const keyOf = (userId: string, network: string) => Buffer.from(master.tag('login-source', `${userId}|${network}`), 'hex').subarray(0, 16);
  return {
    async knows(userId, network) {
      const { rowCount } = await db.pool.query(`SELECT FROM work.login_sources WHERE key = $1 AND seen_at > now() - interval '${KEEP}'`, [keyOf(userId, network)]);
      return rowCount === 1;
    },
    async remember(userId, network) {
      await db.pool.query('INSERT INTO work.login_sources (key) VALUES ($1) ON CONFLICT (key) DO UPDATE SET seen_at = now()', [keyOf(userId, network)]);
    },
    async prune() {
      const { rowCount } = await db.pool.query(`DELETE FROM work.login_sources WHERE seen_at < now() - interval '${KEEP}'`);
      return rowCount ?? 0;
    },
  };
}
