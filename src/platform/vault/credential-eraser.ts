import type { Database } from '../postgres/db.ts';
import type { EmailIndex } from './email-index.ts';
import type { Passwords } from './passwords.ts';
import type { RefreshTokens } from './refresh-tokens.ts';

/** What lets somebody in: address, password, sessions with their tokens. */
export interface CredentialEraser {
  /** Leaves none of them; the address is free from then on. Can be repeated. */
  forget(userId: string): Promise<void>;
  /** Those who have any. */
  holding(userIds: readonly string[]): Promise<readonly string[]>;
}

export function createCredentialEraser(deps: {
  readonly db: Database;
  readonly emails: Pick<EmailIndex, 'remove'>;
  readonly passwords: Pick<Passwords, 'remove'>;
  readonly sessions: Pick<RefreshTokens, 'forget'>;
}): CredentialEraser {
  const { db, emails, passwords, sessions } = deps;
  return {
    async forget(userId) {
      // Whoever is signed in goes first.
      await sessions.forget(userId);
      await passwords.remove(userId);
      await emails.remove(userId);
    },
    async holding(userIds) {
      const { rows } = await db.pool.query<{ user_id: string }>(
        `SELECT user_id FROM vault.email_index WHERE user_id = ANY($1) UNION
         SELECT user_id FROM vault.passwords WHERE user_id = ANY($1) UNION
         SELECT user_id FROM work.sessions WHERE user_id = ANY($1)`,
        [userIds],
      );
      return rows.map(({ user_id: userId }) => userId);
    },
  };
}
