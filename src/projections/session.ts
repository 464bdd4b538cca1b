import pg from 'pg';
import { clientConfig, CommitOutcomeUnknown, TransactionRolledBack } from '../platform/postgres/db.ts';
import { pipeline, type ResultRow, type Statement } from './pipeline.ts';

export type { Statement } from './pipeline.ts';

/** One connection of its own, on which a whole transaction is one round trip. */
export interface Session {
  /** In one round trip; within `transaction`, part of it. Answers the rows of each statement. */
  read(statements: readonly Statement[]): Promise<readonly (readonly ResultRow[])[]>;
  /**
   * All or none, committed when it resolves, in one round trip. Not within `transaction`.
   * @throws the error of the first statement that failed · CommitOutcomeUnknown when the connection was lost
   */
  write(statements: readonly Statement[]): Promise<void>;
  /** Runs `work` between BEGIN and COMMIT; nothing else may use the session meanwhile. */
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
  /** Called once when the connection breaks. */
  readonly onLost?: (error: Error) => void;
}

export async function openSession({ url, name, statementTimeoutMs, onLost }: SessionOptions): Promise<Session> {
  const timeouts = { statement: statementTimeoutMs, ...(statementTimeoutMs === 0 ? { query: 0 } : {}) };
  const config = clientConfig(url, name, timeouts);
  const types = config.types ?? pg.types;
  const client = new pg.Client(config);
  const parsed = new Set<string>();
  let lost = false;
  let closing = false;
  const onError = (error: Error) => {
    if (lost || closing) return;
    lost = true;
    onLost?.(error);
  };
  client.on('error', onError);
  client.on('end', () => onError(new Error('The connection terminated unexpectedly')));
  await client.connect();
  // Read models and their checkpoints are lost or kept together in a crash, and then caught up: no commit waits for the disk.
  await client.query('SET synchronous_commit = off');

  return {
    read: (statements) => pipeline(client, parsed, types, statements),
    async write(statements) {
      try {
        await pipeline(client, parsed, types, statements);
      } catch (error) {
        // An answer of the server is a certain rollback; without one, the commit may have happened.
        if (error instanceof pg.DatabaseError && !error.code?.startsWith('57P')) throw error;
        throw new CommitOutcomeUnknown(error);
      }
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
