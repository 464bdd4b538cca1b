import type { Socket } from 'node:net';
import pg from 'pg';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { clientConfig } from './db.ts';

/** For reads of a few rows by an index. One that is slow keeps those behind it waiting: it belongs to the pool. */
export interface QuickReads extends Component {
  /**
   * undefined: not to be had now (no connection, or too much under way); ask the pool.
   *
   * @throws as a query of the pool does
   */
  query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>> | undefined;
}

export interface QuickReadsOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Shared connections: two, so that a read that takes long after all leaves one for the others. */
const LANES = 2;
/** Reads under way on one of them; further ones go to the pool. */
const MAX_UNDER_WAY = 64;
/** From one try to connect to the next. */
const RECONNECT_MS = 1_000;

/**
 * Reads that share connections: what is asked in one turn of the event loop goes out in one piece, each read with a Sync of
 * its own, so that the error of one is not another's. With a connection for each, system calls and wake-ups cost more than
 * the reads (measured: docs/decisions/0139).
 */
export function createQuickReads({ url, applicationName, logger, metrics }: QuickReadsOptions): QuickReads {
  const reads = metrics.counter('loqey_postgres_quick_reads_total', 'Reads for shared connections, by where they went', ['to']);
  const [toLane, toPool] = [reads.labels('lane'), reads.labels('pool')];
  const config = clientConfig(url, applicationName);
  const lanes = Array.from({ length: LANES }, () => createLane(config, logger.child({ component: 'postgres', pool: applicationName })));
  return {
    ...component(
      async () => void (await Promise.all(lanes.map((lane) => lane.connect()))),
      async () => void (await Promise.all(lanes.map((lane) => lane.stop()))),
    ),
    query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig) {
      const lane = lanes.reduce((least, each) => (each.underWay < least.underWay ? each : least));
      const answer = lane.query<Row>(statement);
      (answer === undefined ? toPool : toLane).inc();
      return answer;
    },
  };
}

/** What the driver does not declare. */
type PipeliningClient = pg.Client & { readonly connection: { readonly stream: Socket } };

function createLane(config: pg.ClientConfig, logger: Logger) {
  let client: PipeliningClient | undefined;
  let underWay = 0;
  let corked: PipeliningClient | undefined;
  let again: NodeJS.Timeout | undefined;
  let connecting: Promise<void> | undefined;
  let stopped = true;

  /** Does not fail: without a connection the pool reads. */
  function connect(): Promise<void> {
    connecting ??= tryToConnect().finally(() => (connecting = undefined));
    return connecting;
  }

  async function tryToConnect(): Promise<void> {
    stopped = false;
    const made = new pg.Client({ ...config, pipeline: true } as pg.ClientConfig) as PipeliningClient;
    const lost = (error?: Error): void => {
      if (client !== made) return;
      client = undefined;
      if (stopped) return;
      logger.warn({ err: error }, 'A connection for quick reads broke; the pool reads until there is a new one');
      retry();
    };
    made.on('error', lost);
    made.on('end', lost);
    try {
      await made.connect();
      if (stopped) await made.end();
      else client = made;
    } catch (error) {
      logger.warn({ err: error }, 'No connection for quick reads; the pool reads until there is one');
      await made.end().catch(() => undefined); // it never was one
      retry();
    }
  }

  function retry(): void {
    if (!stopped) again = setTimeout(() => void connect(), RECONNECT_MS).unref();
  }

  /** Until the end of this turn of the event loop whatever is asked waits in the socket, and then goes out at once. */
  function gather(asked: PipeliningClient): void {
    if (corked === asked) return;
    corked = asked;
    const { stream } = asked.connection;
    stream.cork();
    setImmediate(() => {
      if (corked === asked) corked = undefined;
      stream.uncork();
    });
  }

  return {
    connect,

    /** Infinity: none can be taken. */
    get underWay() {
      return client === undefined ? Infinity : underWay;
    },

    query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>> | undefined {
      if (client === undefined || underWay >= MAX_UNDER_WAY) return undefined;
      gather(client);
      underWay++;
      return client.query<Row>(statement).finally(() => underWay--);
    },

    async stop() {
      stopped = true;
      clearTimeout(again);
      await connecting;
      await client?.end();
    },
  };
}
