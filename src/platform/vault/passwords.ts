import { availableParallelism } from 'node:os';
import { getRounds } from 'bcryptjs';
import { Piscina } from 'piscina';
import { component, type Component } from '../lifecycle.ts';
import type { Metrics } from '../metrics.ts';
import type { Database } from '../postgres/db.ts';
import type { PasswordTask } from './password-worker.ts';

/** Bcrypt ignores what is beyond: two passwords that differ only there would be one. */
const MAX_PASSWORD_BYTES = 72;

export interface Passwords extends Component {
  /** @throws PasswordTooLong, TooBusy */
  hash(password: string): Promise<string>;
  /**
   * Takes as long without a stored hash as with one. `rehash`: right, but hashed at another cost than today's.
   *
   * @throws TooBusy
   */
  verify(password: string, hash: string | undefined): Promise<{ readonly matched: boolean; readonly rehash: boolean }>;
  hashOf(userId: string): Promise<string | undefined>;
  store(userId: string, hash: string): Promise<void>;
  remove(userId: string): Promise<void>;
}

/** More logins at once than can be served soon: worth a 429. */
export class TooBusy extends Error {
  override readonly name = 'TooBusy';
  readonly retryAfterSeconds = 2;

  constructor() {
    super('Too many passwords are being checked at once');
  }
}

export class PasswordTooLong extends Error {
  override readonly name = 'PasswordTooLong';

  constructor() {
    super(`A password has at most ${MAX_PASSWORD_BYTES} bytes`);
  }
}

export interface PasswordsOptions {
  readonly db: Database;
  readonly metrics: Metrics;
  /** Bcrypt cost of new hashes. */
  readonly rounds: number;
  /** Default: one, two where cores are plenty. */
  readonly threads?: number;
  /** Tasks that wait beyond those under way. Default 40: at cost 12 about ten seconds of one thread. */
  readonly maxQueue?: number;
}

/** A salt and a hash that no password has: comparing with it costs what comparing costs. */
const NOBODY = `${'.'.repeat(22)}${'.'.repeat(31)}`;

export function createPasswords({ db, metrics, rounds, threads, maxQueue = 40 }: PasswordsOptions): Passwords {
  const durations = metrics.histogram('loqey_password_work_seconds', 'Hashing or comparing one password, waiting included', ['kind']);
  const refused = metrics.counter('loqey_password_work_refused_total', 'Password work refused because the queue was full');
  let pool: Piscina<PasswordTask, string | boolean> | undefined;

  const lifecycle = component(
    async () => {
      pool = new Piscina({
        filename: new URL('./password-worker.ts', import.meta.url).href,
        // A thread weighs as much as the rest of an idle process: it is there while people sign in.
        minThreads: 0,
        maxThreads: threads ?? (availableParallelism() >= 4 ? 2 : 1),
        maxQueue,
        idleTimeout: 10_000,
      });
    },
    async () => {
      await pool?.close();
      pool = undefined;
    },
  );

  async function run(task: PasswordTask): Promise<string | boolean> {
    if (pool === undefined) throw new Error('Passwords are checked only between start and stop');
    if (pool.queueSize >= maxQueue) {
      refused.inc();
      throw new TooBusy();
    }
    const stopTimer = durations.startTimer({ kind: task.kind });
    try {
      return await pool.run(task);
    } finally {
      stopTimer();
    }
  }

  return {
    ...lifecycle,
    async hash(password) {
      if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) throw new PasswordTooLong();
      return (await run({ kind: 'hash', password, rounds })) as string;
    },
    async verify(password, hash) {
      // Too long is compared all the same, and wrong whatever bcrypt says: it takes as long as any other.
      const possible = hash !== undefined && Buffer.byteLength(password) <= MAX_PASSWORD_BYTES;
      const compared = await run({ kind: 'compare', password, hash: hash ?? `$2b$${`${rounds}`.padStart(2, '0')}$${NOBODY}` });
      const matched = possible && compared === true;
      return { matched, rehash: matched && getRounds(hash) !== rounds };
    },
    async hashOf(userId) {
      const { rows } = await db.pool.query<{ hash: string }>('SELECT hash FROM vault.passwords WHERE user_id = $1', [userId]);
      return rows[0]?.hash;
    },
    async store(userId, hash) {
      await db.pool.query(
        `INSERT INTO vault.passwords (user_id, hash) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, updated_at = now()`,
        [userId, hash],
      );
    },
    async remove(userId) {
      await db.pool.query('DELETE FROM vault.passwords WHERE user_id = $1', [userId]);
    },
  };
}
