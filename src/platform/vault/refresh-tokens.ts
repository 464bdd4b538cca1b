import { createHash, randomBytes } from 'node:crypto';
import { retryTransient, type Database } from '../postgres/db.ts';
import type { Notifications } from '../postgres/notifications.ts';
import { LoadingCache } from './loading-cache.ts';
import type { MasterKey } from './master-key.ts';

/** Sessions of people and the refresh tokens that prolong them. The tokens of one session are one family. */
export interface RefreshTokens {
  /** Begins the session and answers its first token. */
  issue(session: NewSession): Promise<string>;
  /** One statement, so of many exchanges of one token at the same time one does it and the others learn what it gave. */
  rotate(token: string): Promise<Rotation>;
  /** Those of a user that have not ended and whose tokens have not all run out, newest first. */
  list(userId: string): Promise<readonly LiveSession[]>;
  /** From memory, up to a second old; false as soon as another process's end of the session was heard of. */
  isLive(sessionId: string): Promise<boolean>;
  end(sessionId: string): Promise<void>;
  endAll(userId: string): Promise<void>;
  /** Ends them and leaves nothing of them: no program's name, no token. Can be repeated. */
  forget(userId: string): Promise<void>;
  /** Removes what expired and sessions without any token. Answers how many tokens. */
  sweep(): Promise<number>;
}

export type SessionScope = 'user' | 'admin';

export interface Session {
  readonly sessionId: string;
  readonly userId: string;
  readonly scope: SessionScope;
}

export interface NewSession extends Session {
  readonly userAgent?: string;
}

export interface LiveSession extends Session {
  /** The program that signed in, as it called itself. */
  readonly userAgent: string | undefined;
  readonly createdAt: string;
  /** When its tokens were last renewed. */
  readonly lastSeenAt: string;
}

export type Rotation =
  | { readonly kind: 'rotated'; readonly session: Session; readonly refreshToken: string }
  /** Exchanged before, and not just now: somebody has a copy. The whole session has ended. */
  | { readonly kind: 'reused'; readonly session: Session }
  /** Unknown, expired, or of a session that has ended. */
  | { readonly kind: 'invalid' };

export interface RefreshTokensOptions {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly master: MasterKey;
  readonly lifetimeDays: number;
  /** How long the same exchange may be repeated (an answer that got lost). Default 10 seconds. */
  readonly graceSeconds?: number;
}

const CHANNEL = 'work_sessions';
const LIVE_TTL_MS = 1_000;

interface TokenRow {
  readonly session_id: string;
  readonly user_id: string;
  readonly scope: SessionScope;
}

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
const sessionOf = (row: TokenRow): Session => ({ sessionId: row.session_id, userId: row.user_id, scope: row.scope });

export function createRefreshTokens(options: RefreshTokensOptions): RefreshTokens {
  const { db, notifications, master, lifetimeDays, graceSeconds = 10 } = options;
  const live = new LoadingCache<{ readonly live: true }>({ max: 50_000, ttlMs: LIVE_TTL_MS, load });
  notifications.on(CHANNEL, (sessionId) => live.invalidate(sessionId));
  notifications.onGap(() => live.clear());

  /** Each token has one successor, which only this server can tell: the vault holds hashes, yet a repeat gets the same. */
  const successorOf = (token: string) => Buffer.from(master.tag('refresh-successor', token), 'hex').toString('base64url');

  async function load(sessionIds: readonly string[]): Promise<Map<string, { live: true }>> {
    const { rows } = await retryTransient(() =>
      db.pool.query<{ session_id: string }>({
        name: 'work-sessions-live',
        text: 'SELECT session_id FROM work.sessions WHERE session_id = ANY($1) AND revoked_at IS NULL',
        values: [sessionIds],
      }),
    );
    return new Map(rows.map((row) => [row.session_id, { live: true }]));
  }

  async function endWhere(column: 'session_id' | 'user_id', id: string): Promise<void> {
    const { rows } = await db.pool.query<{ session_id: string }>(
      `WITH ended AS (UPDATE work.sessions SET revoked_at = now() WHERE ${column} = $1 AND revoked_at IS NULL RETURNING session_id),
            gone AS (DELETE FROM vault.refresh_tokens WHERE session_id IN (SELECT session_id FROM ended))
       SELECT session_id, pg_notify('${CHANNEL}', session_id) FROM ended`,
      [id],
    );
    for (const row of rows) live.invalidate(row.session_id);
  }

  return {
    async issue({ sessionId, userId, scope, userAgent }) {
      const token = randomBytes(32).toString('base64url');
      await db.pool.query(
        `WITH session AS (
           INSERT INTO work.sessions (session_id, user_id, scope, user_agent) VALUES ($1, $2, $3, $4)
           ON CONFLICT (session_id) DO NOTHING)
         INSERT INTO vault.refresh_tokens (token_hash, session_id, expires_at) VALUES ($5, $1, now() + make_interval(days => $6))`,
        [sessionId, userId, scope, userAgent?.slice(0, 300) ?? null, hashOf(token), lifetimeDays],
      );
      return token;
    },

    async rotate(token) {
      if (token.length > 200) return { kind: 'invalid' };
      const hash = hashOf(token);
      const successor = successorOf(token);
      // Of many at once the UPDATE lets one through: the others find used_at set when their turn comes.
      const { rows } = await retryTransient(() =>
        db.pool.query<TokenRow>(
          `WITH used AS (
             UPDATE vault.refresh_tokens AS t SET used_at = now(), successor = $2
               FROM work.sessions AS s
              WHERE t.token_hash = $1 AND t.used_at IS NULL AND t.expires_at > now()
                AND s.session_id = t.session_id AND s.revoked_at IS NULL
             RETURNING t.session_id, s.user_id, s.scope),
           next AS (
             INSERT INTO vault.refresh_tokens (token_hash, session_id, expires_at)
             SELECT $2, session_id, now() + make_interval(days => $3) FROM used
             ON CONFLICT (token_hash) DO NOTHING),
           seen AS (
             UPDATE work.sessions SET last_seen_at = now() WHERE session_id IN (SELECT session_id FROM used))
           SELECT session_id, user_id, scope FROM used`,
          [hash, hashOf(successor), lifetimeDays],
        ),
      );
      if (rows[0] !== undefined) return { kind: 'rotated', session: sessionOf(rows[0]), refreshToken: successor };

      const { rows: found } = await db.pool.query<TokenRow & { used: boolean; just_now: boolean; successor_unused: boolean }>(
        `SELECT t.session_id, s.user_id, s.scope, t.used_at IS NOT NULL AS used,
                t.used_at > now() - make_interval(secs => $2) AS just_now,
                next.token_hash IS NOT NULL AND next.used_at IS NULL AS successor_unused
           FROM vault.refresh_tokens AS t
           JOIN work.sessions AS s ON s.session_id = t.session_id AND s.revoked_at IS NULL
           LEFT JOIN vault.refresh_tokens AS next ON next.token_hash = t.successor
          WHERE t.token_hash = $1 AND t.expires_at > now()`,
        [hash, graceSeconds],
      );
      const row = found[0];
      if (row === undefined || !row.used) return { kind: 'invalid' };
      if (row.just_now) {
        // Once the successor was used its owner has it: a repeat that comes later still is a straggler and gets nothing.
        return row.successor_unused ? { kind: 'rotated', session: sessionOf(row), refreshToken: successor } : { kind: 'invalid' };
      }
      await endWhere('session_id', row.session_id);
      return { kind: 'reused', session: sessionOf(row) };
    },

    async list(userId) {
      const { rows } = await db.pool.query<Omit<TokenRow, 'user_id'> & { user_agent: string | null; created_at: string; last_seen_at: string }>(
        `SELECT session_id, scope, user_agent, created_at, last_seen_at FROM work.sessions
          WHERE user_id = $1 AND revoked_at IS NULL AND last_seen_at > now() - make_interval(days => $2)
          ORDER BY created_at DESC, session_id`,
        [userId, lifetimeDays],
      );
      return rows.map((row) => ({
        sessionId: row.session_id,
        userId,
        scope: row.scope,
        userAgent: row.user_agent ?? undefined,
        createdAt: row.created_at,
        lastSeenAt: row.last_seen_at,
      }));
    },

    isLive: async (sessionId) => (await live.get(sessionId)) !== undefined,
    end: (sessionId) => endWhere('session_id', sessionId),
    endAll: (userId) => endWhere('user_id', userId),

    async forget(userId) {
      await endWhere('user_id', userId);
      // Of sessions that had ended before, used tokens may be left as well.
      await db.pool.query(
        `WITH gone AS (DELETE FROM work.sessions WHERE user_id = $1 RETURNING session_id)
         DELETE FROM vault.refresh_tokens WHERE session_id IN (SELECT session_id FROM gone)`,
        [userId],
      );
    },

    async sweep() {
      const { rowCount } = await db.pool.query('DELETE FROM vault.refresh_tokens WHERE expires_at < now()');
      await db.pool.query(
        `DELETE FROM work.sessions AS s
          WHERE s.last_seen_at < now() - make_interval(days => $1)
            AND NOT EXISTS (SELECT 1 FROM vault.refresh_tokens AS t WHERE t.session_id = s.session_id)`,
        [lifetimeDays],
      );
      return rowCount ?? 0;
    },
  };
}
