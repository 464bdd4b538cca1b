import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';

export type Client = pg.PoolClient;

export interface DatabaseOptions {
  readonly url: string;
  /** Most connections this pool opens. */
  readonly max: number;
  /** Shown in pg_stat_activity and as the label of the pool's metrics: `loqey-api`, `loqey-unlock`. */
  readonly applicationName: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly timeouts?: Partial<Timeouts>;
}

/** All in milliseconds; 0 switches one off. */
export interface Timeouts {
  /** A connection from the pool or to the server. */
  readonly connect: number;
  /** One statement, on the server. */
  readonly statement: number;
  /** Waiting for a lock, on the server. */
  readonly lock: number;
  /** A transaction that nobody continues, on the server. */
  readonly idleInTransaction: number;
  /** One query seen from here: for a server or network that has gone silent. */
  readonly query: number;
}

const defaultTimeouts: Timeouts = {
  connect: 3_000,
  statement: 5_000,
  lock: 2_000,
  idleInTransaction: 10_000,
  query: 15_000,
};

export interface Database {
  readonly url: string;
  readonly pool: pg.Pool;
  /**
   * Runs `work` in one transaction and commits it; any error rolls it back and is thrown on.
   *
   * @throws TransactionRolledBack when the server answered COMMIT with ROLLBACK (a swallowed error inside `work`)
   * @throws CommitOutcomeUnknown when the connection was lost during COMMIT: repeat only what is idempotent
   */
  transaction<T>(work: (client: Client) => Promise<T>, options?: TransactionOptions): Promise<T>;
  stop(): Promise<void>;
}

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable';
  readonly readOnly?: boolean;
  /** Milliseconds, instead of the pool's. */
  readonly statementTimeoutMs?: number;
}

export class TransactionRolledBack extends Error {
  override readonly name = 'TransactionRolledBack';

  constructor() {
    super('The server rolled the transaction back at COMMIT: a statement in it had failed');
  }
}

export class CommitOutcomeUnknown extends Error {
  override readonly name = 'CommitOutcomeUnknown';

  constructor(cause: unknown) {
    super('The connection was lost during COMMIT: it may or may not have happened', { cause });
  }
}

/** Type ids of pg_type. */
const DATE = 1082;
const TIMESTAMP = 1114;
const TIMESTAMPTZ = 1184;

/**
 * `timestamptz` as it comes over the wire (`2026-11-21 10:30:00.123456+00`) → `2026-11-21T10:30:00.123Z`.
 * Instants are text everywhere: they sort as text, and a `Date` would be one conversion more in each direction.
 */
export function instantOf(wire: string): string {
  if (wire.length < 22 || !wire.endsWith('+00') || wire[10] !== ' ') {
    if (wire === 'infinity' || wire === '-infinity') return wire;
    return new Date(wire).toISOString();
  }
  const fraction = wire.length > 22 ? wire.slice(20, -3).padEnd(3, '0').slice(0, 3) : '000';
  return `${wire.slice(0, 10)}T${wire.slice(11, 19)}.${fraction}Z`;
}

/** int8 and numeric stay text (they exceed a double), dates and naive timestamps too (a `Date` would shift them). */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (format !== 'binary') {
      if (oid === TIMESTAMPTZ) return instantOf;
      if (oid === DATE || oid === TIMESTAMP) return (text: string) => text;
    }
    return pg.types.getTypeParser(oid, format);
  }) as pg.CustomTypesConfig['getTypeParser'],
};

/** What a pool and a single connection are made with. UTC and ISO dates are what `instantOf` reads. */
export function clientConfig(url: string, applicationName: string, timeouts: Partial<Timeouts> = {}): pg.ClientConfig {
  const t = { ...defaultTimeouts, ...timeouts };
  return {
    connectionString: url,
    application_name: applicationName,
    types,
    keepAlive: true,
    connectionTimeoutMillis: t.connect,
    ...(t.statement > 0 ? { statement_timeout: t.statement } : {}),
    ...(t.lock > 0 ? { lock_timeout: t.lock } : {}),
    ...(t.idleInTransaction > 0 ? { idle_in_transaction_session_timeout: t.idleInTransaction } : {}),
    ...(t.query > 0 ? { query_timeout: t.query } : {}),
    options: '-c timezone=UTC -c datestyle=ISO',
  };
}

export function createDatabase(options: DatabaseOptions): Database {
  const { url, max, applicationName, metrics } = options;
  const logger = options.logger.child({ component: 'postgres', pool: applicationName });
  const pool = new pg.Pool({ ...clientConfig(url, applicationName, options.timeouts), max, idleTimeoutMillis: 60_000 });

  const lost = metrics.counter('loqey_postgres_connections_lost_total', 'Connections that broke', ['pool']);
  const connections = metrics.gauge('loqey_postgres_connections', 'Open connections of a pool', ['pool', 'state']);
  const inUse = connections.labels(applicationName, 'in_use');
  const waiting = connections.labels(applicationName, 'waiting');
  const measure = () => {
    inUse.set(pool.totalCount - pool.idleCount);
    waiting.set(pool.waitingCount);
  };
  pool.on('acquire', measure);
  pool.on('release', measure);

  const onLost = (error: Error) => {
    lost.inc({ pool: applicationName });
    logger.warn({ err: error }, 'A database connection broke');
  };
  // Without these two a restart of the server ends this process: the pool listens to idle clients only.
  pool.on('error', () => undefined); // already counted by the client's own handler
  pool.on('connect', (client) => client.on('error', onLost));

  let ended: Promise<void> | undefined;
  return {
    url,
    pool,
    transaction: (work, transactionOptions) => runTransaction(pool, work, transactionOptions),
    stop: () => (ended ??= pool.end()),
  };
}

async function runTransaction<T>(
  pool: pg.Pool,
  work: (client: Client) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query(beginStatement(options));
    let result: T;
    try {
      result = await work(client);
    } catch (error) {
      // A client that cannot roll back is in an unknown state: it must not go back into the pool.
      await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    }
    await commit(client).catch((error: Error) => {
      if (error instanceof CommitOutcomeUnknown) broken = error;
      throw error;
    });
    return result;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) && isTransient(error)) broken ??= error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}

function beginStatement({ isolation, readOnly, statementTimeoutMs }: TransactionOptions): string {
  const modes = [
    ...(isolation === undefined ? [] : [`ISOLATION LEVEL ${isolation}`]),
    ...(readOnly === true ? ['READ ONLY'] : []),
  ];
  const begin = ['BEGIN', ...modes].join(' ');
  return statementTimeoutMs === undefined ? begin : `${begin}; SET LOCAL statement_timeout = ${Math.trunc(statementTimeoutMs)}`;
}

/** A COMMIT of a failed transaction succeeds with the tag ROLLBACK: the tag is the only sign. */
export async function commit(client: pg.ClientBase): Promise<void> {
  let answer: pg.QueryResult;
  try {
    answer = await client.query('COMMIT');
  } catch (error) {
    // An answer of the server (a deferred constraint, a serialisation failure) is a certain rollback; except when it is
    // being shut down, which can overtake a commit that has happened.
    if (error instanceof pg.DatabaseError && !isShutdown(error.code)) throw error;
    throw new CommitOutcomeUnknown(error);
  }
  if (answer.command !== 'COMMIT') throw new TransactionRolledBack();
}

/** The SQLSTATE of a server's answer, undefined for everything else. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const transientErrnos = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);
const transientMessages = /connection terminated|timeout exceeded|query read timeout|connection timeout|client has encountered a connection error/i;

const isShutdown = (code: string | undefined) => code === '57P01' || code === '57P02' || code === '57P03';

/** Disk, memory or connections were short, the machine failed, or the server took too long: nothing that was asked for is at fault. */
const isMachine = (code: string) => code.startsWith('53') || code.startsWith('58') || code === '57014';

/** Worth another try as it is: the connection or the server was lost, the machine had nothing left, or the transaction lost a race. */
export function isTransient(error: unknown): boolean {
  if (error instanceof CommitOutcomeUnknown) return true;
  if (error instanceof pg.DatabaseError) {
    const code = error.code ?? '';
    return code.startsWith('08') || code.startsWith('40') || isShutdown(code) || isMachine(code) || code === '55P03';
  }
  if (!(error instanceof Error)) return false;
  const { code: errno, syscall } = error as NodeJS.ErrnoException;
  // A server that is gone has no socket file; one that is flooded does not take the connection.
  if (syscall === 'connect' && (errno === 'ENOENT' || errno === 'EAGAIN')) return true;
  return (errno !== undefined && transientErrnos.has(errno)) || transientMessages.test(error.message);
}

export interface RetryOptions {
  /** Milliseconds from the first try; then the last error is thrown. Default 5,000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** Repeats `work` while it fails transiently. A lost COMMIT is repeated too: `work` must be idempotent. */
export async function retryTransient<T>(work: () => Promise<T>, { deadlineMs = 5_000, signal }: RetryOptions = {}): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const left = deadline - performance.now();
      if (!isTransient(error) || left <= 0 || signal?.aborted === true) throw error;
      await pause(Math.min(left, fullJitter(attempt, { capMs: 1_000 })), signal);
    }
  }
}
