import pg from 'pg';
import { clientConfig, CommitOutcomeUnknown, TransactionRolledBack } from '../platform/postgres/db.ts';

/** A prepared statement: parsed once per connection under its name. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * One connection of its own, on which statements are sent without waiting for the answers of those before: a whole
 * transaction is one round trip.
 */
export interface Session {
  /** Each in a transaction of its own; all in one round trip. */
  read(statements: readonly Statement[]): Promise<readonly pg.QueryResult[]>;
  /**
   * All or none, in one round trip.
   * @throws the error of the first statement that failed · TransactionRolledBack · CommitOutcomeUnknown
   */
  write(statements: readonly Statement[]): Promise<void>;
  /** Runs `work` between BEGIN and COMMIT. */
  transaction<T>(work: () => Promise<T>): Promise<T>;
  /** True once the connection is lost: nothing on it will work again. */
  readonly lost: boolean;
  close(): Promise<void>;
}

export interface SessionOptions {
  readonly url: string;
  readonly name: string;
  /** Milliseconds for one statement on the server; 0 = no limit. */
  readonly statementTimeoutMs: number;
  readonly onNotification?: (channel: string, payload: string) => void;
  /** Called once when the connection breaks. */
  readonly onLost?: (error: Error) => void;
}

export async function openSession({ url, name, statementTimeoutMs, onNotification, onLost }: SessionOptions): Promise<Session> {
  const timeouts = { statement: statementTimeoutMs, ...(statementTimeoutMs === 0 ? { query: 0 } : {}) };
  const client = new pg.Client({ ...clientConfig(url, name, timeouts), pipeline: true });
  let lost = false;
  let closing = false;
  const onError = (error: Error) => {
    if (lost || closing) return;
    lost = true;
    onLost?.(error);
  };
  client.on('error', onError);
  client.on('end', () => onError(new Error('The connection terminated unexpectedly')));
  if (onNotification !== undefined) client.on('notification', ({ channel, payload }) => onNotification(channel, payload ?? ''));
  await client.connect();
  // Read models and their checkpoints are lost or kept together in a crash, and then caught up: no commit waits for the disk.
  await client.query('SET synchronous_commit = off');

  const send = ({ name: statement, text, values }: Statement): Promise<pg.QueryResult> =>
    client.query({ ...(statement === undefined ? {} : { name: statement }), text, values: [...values] });

  return {
    read: (statements) => allOrFirstError(statements.map(send)),
    async write(statements) {
      const sent = [client.query('BEGIN'), ...statements.map(send)];
      const committed = client.query('COMMIT');
      const [work, commit] = await Promise.allSettled([allOrFirstError(sent), committed]);
      if (work.status === 'rejected') {
        // The server answers COMMIT of a failed transaction with ROLLBACK; a lost connection may have been lost after it.
        if (commit.status === 'rejected' && !(work.reason instanceof pg.DatabaseError)) throw new CommitOutcomeUnknown(work.reason);
        throw work.reason;
      }
      if (commit.status === 'rejected') {
        if (commit.reason instanceof pg.DatabaseError && !commit.reason.code?.startsWith('57P')) throw commit.reason;
        throw new CommitOutcomeUnknown(commit.reason);
      }
      if (commit.value.command !== 'COMMIT') throw new TransactionRolledBack();
    },
    async transaction(work) {
      await client.query('BEGIN');
      try {
        const result = await work();
        const { command } = await client.query('COMMIT');
        if (command !== 'COMMIT') throw new TransactionRolledBack();
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined); // a lost connection has rolled back already
        throw error;
      }
    },
    get lost() {
      return lost;
    },
    async close() {
      closing = true;
      await client.end();
    },
  };
}

/** Waits for all, so that nothing is left unanswered on the connection, then throws the first error in their order. */
async function allOrFirstError<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}
