import type { Database } from '../postgres/db.ts';
import type { Tags } from './tags.ts';

/**
 * One address, one user. The row is written before the user's first event: one whose user never came to be (a crash
 * between the two) is taken over by the next registration.
 */
export interface EmailIndex {
  /** The user who holds the address: `userId`, unless another one was first. */
  claim(email: string, userId: string): Promise<string>;
  /** Takes the address from `from`, for whom there is no user. False: somebody else has it by now. */
  adopt(email: string, from: string, to: string): Promise<boolean>;
  find(email: string): Promise<string | undefined>;
  /** All addresses of a user: on erasure, or when a registration was refused. */
  remove(userId: string): Promise<void>;
}

export function createEmailIndex({ db, tags }: { readonly db: Database; readonly tags: Pick<Tags, 'emailTag'> }): EmailIndex {
  const holder = async (text: string, values: readonly string[]) =>
    (await db.pool.query<{ user_id: string }>(text, [...values])).rows[0]?.user_id;
  const find = (email: string) => holder('SELECT user_id FROM vault.email_index WHERE tag = $1', [tags.emailTag(email)]);

  return {
    find,
    async claim(email, userId) {
      for (;;) {
        const claimed = await holder(
          'INSERT INTO vault.email_index (tag, user_id) VALUES ($1, $2) ON CONFLICT (tag) DO NOTHING RETURNING user_id',
          [tags.emailTag(email), userId],
        );
        const held = claimed ?? (await find(email));
        if (held !== undefined) return held; // else it was removed between the two
      }
    },
    async adopt(email, from, to) {
      const adopted = await holder(
        'UPDATE vault.email_index SET user_id = $3, created_at = now() WHERE tag = $1 AND user_id = $2 RETURNING user_id',
        [tags.emailTag(email), from, to],
      );
      return adopted !== undefined;
    },
    async remove(userId) {
      await db.pool.query('DELETE FROM vault.email_index WHERE user_id = $1', [userId]);
    },
  };
}
