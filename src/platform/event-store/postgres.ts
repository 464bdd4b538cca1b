import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import { newId } from '../ids.ts';
import { component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { clientConfig, instantOf, isTransient, sqlState } from '../postgres/db.ts';
import { encodeAppend } from './append-input.ts';
import { matcher } from './filter.ts';
import { CLOSE_TIMEOUT_MS, closeClient, createLane, type Append } from './postgres-lane.ts';
import {
  EventStoreUnavailable,
  type AppendResult,
  type EventBatch,
  type EventFilter,
  type EventStore,
  type Json,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type StreamMetadata,
  type SubscribeOptions,
} from './port.ts';
import { Tail } from './tail.ts';

export interface PostgresEventStoreOptions {
  /** A database whose schema `log` is there (migration 20261121T0900_log). */
  readonly url: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Appends that wait in one lane, beyond which further ones are refused. Default 10,000. */
  readonly maxWaitingAppends?: number;
  /** Milliseconds between two looks at the end of the log, for appends of other processes. Default 500. */
  readonly pollMs?: number;
  /**
   * Default false. True where hardly anybody else appends: the look is then enough. A commit that notifies wakes every
   * connection that listens, this process's own commits too.
   */
  readonly soleWriter?: boolean;
  /** Milliseconds that `stop` waits for appends under way. Default 5,000. */
  readonly drainMs?: number;
}

/** Events of one page: large enough that the round trip does not count, small enough to hold a few in memory. */
const PAGE = 1_000;
/** Positions that one filtered page looks through, so that a filter that matches little still moves on. */
const WINDOW = 20_000n;
/** Connections of each of the two pools for reading. */
const READERS = 4;
const READ_RETRY_MS = 5_000;
/** A connection that has gone silent is left after this; the server's own statement timeout is shorter. */
const QUERY_TIMEOUT_MS = 6_000;
const APPEND_TIMEOUT_MS = 10_000;
const START_TIMEOUT_MS = 10_000;

/** `position, stream, revision, event_id, type, data, metadata, recorded_at`, each as its text. */
export type Row = [string, string, string, string, string, string, string, string];
export const columns = 'e.position, e.stream, e.revision, e.event_id, e.type, e.data, e.metadata, e.recorded_at';

const asText: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

/**
 * The event store in tables of PostgreSQL. Connections: one for urgent appends, one for the others, one that listens,
 * up to four for reading streams, up to four for reading all.
 */
export function createPostgresEventStore(options: PostgresEventStoreOptions): EventStore {
  const { url, metrics, maxWaitingAppends = 10_000, pollMs = 500, soleWriter = false, drainMs = 5_000 } = options;
  const logger = options.logger.child({ component: 'event-store' });
  const reconnects = metrics.counter('loqey_event_store_subscription_retries_total', 'Reads of a subscription that failed');
  const tail = new Tail();
  const stopping = new AbortController();

  const config = (name: string, settings = ''): pg.ClientConfig => {
    const base = clientConfig(url, `loqey-events-${name}`);
    // Plans are kept for a connection's life and made when the table may still be empty: name the index scan.
    const scans = '-c enable_seqscan=off -c enable_bitmapscan=off -c plan_cache_mode=force_generic_plan';
    return { ...base, types: asText, query_timeout: QUERY_TIMEOUT_MS, options: `${base.options ?? ''} ${scans} ${settings}` };
  };
  const readPool = (name: string) => {
    const pool = new pg.Pool({ ...config(name), max: READERS, idleTimeoutMillis: 60_000 });
    const clients = new Set<pg.PoolClient>();
    pool.on('error', () => undefined);
    pool.on('connect', (client) => {
      clients.add(client);
      client.on('error', (error) => logger.warn({ err: error, pool: name }, 'A connection for reading broke'));
    });
    pool.on('remove', (client) => clients.delete(client));
    const end = async () => {
      const timer = setTimeout(() => clients.forEach((client) => client.connection.stream.destroy()), CLOSE_TIMEOUT_MS);
      await pool.end();
      clearTimeout(timer);
    };
    return { query: pool.query.bind(pool) as pg.Pool['query'], end };
  };
  const streams = readPool('streams');
  const all = readPool('all');

  const lane = (name: 'urgent' | 'normal') =>
    createLane({
      name,
      client: config(name, '-c synchronous_commit=on'), // whatever the server's own setting is
      maxWaiting: maxWaitingAppends,
      onAppended,
      logger,
      metrics,
    });
  const lanes = { urgent: lane('urgent'), normal: lane('normal') };

  /** The highest position that this process appended and its subscriptions are about to be told. */
  let announcing: bigint | undefined;

  function onAppended(append: Append, last: AppendResult, recordedAt: string): void {
    const { stream, events } = append;
    const offset = BigInt(events.length - 1);
    events.forEach((event, i) => {
      const k = BigInt(i);
      // Parsed from the stored text, so that a subscriber sees what a read would give, never the appender's own object.
      tail.remember(
        {
          stream,
          revision: last.revision - offset + k,
          position: last.position - offset + k,
          eventId: event.eventId,
          type: event.type,
          data: JSON.parse(event.data),
          metadata: JSON.parse(event.metadata),
          recordedAt,
        },
        500 + event.data.length + event.metadata.length,
      );
    });
    if (announcing === undefined) {
      // A turn later: whoever waits for the append goes first, an unlock's bytes before any read model.
      setImmediate(() => {
        const seen = announcing ?? 0n;
        announcing = undefined;
        tail.advance(seen);
      });
    }
    if (announcing === undefined || last.position > announcing) announcing = last.position;
  }

  /** @throws EventStoreUnavailable for whatever may pass, once it was tried on a fresh connection too */
  async function query(pool: Pick<pg.Pool, 'query'>, name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    const deadline = performance.now() + READ_RETRY_MS;
    for (let attempt = 0; ; attempt++) {
      if (stopping.signal.aborted) throw new EventStoreUnavailable('The event store has stopped');
      try {
        const result = await pool.query<Row>({ name, text, values: [...values], rowMode: 'array' } as pg.QueryArrayConfig);
        return result.rows;
      } catch (error) {
        // The pool may hold a connection or several of a server that was restarted: as many tries as it has, and one.
        if (isTransient(error) && attempt < READERS && performance.now() < deadline) continue;
        const state = sqlState(error);
        if (state !== undefined && !isTransient(error) && state !== '57014' && !state.startsWith('53')) throw error;
        throw new EventStoreUnavailable('The event store cannot be read', { cause: error });
      }
    }
  }

  /** Of all events, the store's own too. */
  async function end(): Promise<bigint | undefined> {
    const [row] = await query(all, 'log.end', 'SELECT max(e.position) FROM log.events e', []);
    const position = row?.[0];
    if (position === undefined || position === null) return undefined;
    tail.advance(BigInt(position));
    return BigInt(position);
  }

  async function head(): Promise<bigint | undefined> {
    const [row] = await query(all, 'log.head', `SELECT e.position FROM log.events e WHERE NOT (e.stream ^@ '$' OR e.type ^@ '$') ORDER BY e.position DESC LIMIT 1`, []);
    const position = row?.[0];
    if (position === undefined || position === null) return undefined;
    tail.advance(BigInt(position));
    return BigInt(position);
  }

  /** Up to `limit` events after (or before) a position, and how far the page has looked. */
  async function page(
    from: bigint,
    direction: 'forwards' | 'backwards',
    filter: EventFilter | undefined,
    limit: number,
  ): Promise<{ events: RecordedEvent[]; reached: bigint; more: boolean }> {
    const forwards = direction === 'forwards';
    const bounds = forwards ? 'e.position > $1 AND e.position <= $3' : 'e.position < $1 AND e.position >= $3';
    const order = `ORDER BY e.position ${forwards ? 'ASC' : 'DESC'} LIMIT $2`;
    // A filtered page ends at a position that is known to be committed: it must not jump over one that is not.
    const edge = forwards ? min(from + WINDOW, tail.seen) : max(from - WINDOW, 1n);
    let rows: Row[];
    if (filter === undefined) {
      const bound = forwards ? 2n ** 63n - 1n : 1n;
      rows = await query(all, `log.all.${direction}`, `SELECT ${columns} FROM log.events e WHERE ${bounds} ${order}`, [from, limit, bound]);
    } else if (filter.streamPrefixes !== undefined) {
      const text = `SELECT ${columns} FROM log.events e WHERE ${bounds} AND e.stream ^@ ANY ($4::text[]) ${order}`;
      rows = await query(all, `log.streams.${direction}`, text, [from, limit, edge, filter.streamPrefixes]);
    } else {
      const text = `SELECT ${columns} FROM log.events e WHERE ${bounds} AND e.type = ANY ($4::text[]) ${order}`;
      rows = await query(all, `log.types.${direction}`, text, [from, limit, edge, filter.eventTypes]);
    }
    const last = rows.at(-1);
    const full = rows.length === limit && last !== undefined;
    const reached = full || filter === undefined ? BigInt(last?.[0] ?? from) : edge;
    if (forwards) tail.advance(reached);
    return {
      events: rows.map(decode).filter(matcher(filter)),
      reached,
      more: full || (filter !== undefined && (forwards ? reached < tail.seen : reached > 1n)),
    };
  }

  async function* readAll({ direction = 'forwards', after, before, limit = Infinity, filter }: ReadAllOptions = {}) {
    matcher(filter); // a wrong filter fails before the first read
    const forwards = direction === 'forwards';
    const last = await end();
    if (last === undefined) return;
    let from = forwards ? (after ?? 0n) : (before ?? last + 1n);
    let left = limit;
    while (left > 0) {
      const { events, reached, more } = await page(from, direction, filter, Math.min(PAGE, left));
      for (const event of events) {
        if (left-- <= 0) return;
        yield event;
      }
      if (!more) return;
      from = reached;
    }
  }

  async function* readStream(stream: string, { direction = 'forwards', from, limit = Infinity }: ReadStreamOptions = {}) {
    const forwards = direction === 'forwards';
    const visible = 'e.revision >= log.first_visible($1)';
    const text = forwards
      ? `SELECT ${columns} FROM log.events e WHERE e.stream = $1 AND e.revision >= $2 AND ${visible} ORDER BY e.revision LIMIT $3`
      : `SELECT ${columns} FROM log.events e WHERE e.stream = $1 AND e.revision <= $2 AND ${visible} ORDER BY e.revision DESC LIMIT $3`;
    let next = from ?? (forwards ? 0n : 2n ** 63n - 1n);
    let left = limit;
    while (left > 0) {
      const size = Math.min(PAGE, left);
      const rows = await query(streams, `log.stream.${direction}`, text, [stream, next, size]);
      for (const row of rows) yield decode(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < size) return;
      left -= rows.length;
      next = BigInt(last[2]) + (forwards ? 1n : -1n);
      if (next < 0n) return;
    }
  }

  async function* subscribeAll({ after, filter, signal, maxBatch = PAGE }: SubscribeOptions): AsyncGenerator<EventBatch> {
    const matches = matcher(filter);
    const wake = () => tail.wake();
    signal.addEventListener('abort', wake);
    const ended = () => signal.aborted || stopping.signal.aborted;
    let position = after ?? 0n;
    let caughtUp = false;
    let ahead: ReturnType<typeof page> | undefined;
    let failures = 0;
    try {
      while (!ended()) {
        const own = tail.after(position, maxBatch);
        const newest = own.at(-1);
        if (newest !== undefined) {
          position = newest.position;
          ahead = undefined;
          caughtUp = position >= tail.seen;
          yield { events: own.filter(matches), position, live: caughtUp };
          continue;
        }
        if (caughtUp && tail.seen <= position) {
          await tail.beyond(position);
          continue;
        }
        let found: Awaited<ReturnType<typeof page>>;
        try {
          if (!caughtUp && ahead === undefined) await end();
          found = await orAborted(ahead ?? page(position, 'forwards', filter, maxBatch), signal);
          failures = 0;
        } catch (error) {
          if (ended()) break;
          ahead = undefined;
          reconnects.inc();
          logger.warn({ err: error, position: String(position) }, 'A subscription cannot read and tries again');
          await pause(fullJitter(failures++), signal);
          continue;
        }
        const moved = found.reached > position;
        const first = !caughtUp;
        caughtUp = !found.more;
        position = found.reached > position ? found.reached : position;
        // While the consumer works on a full page the next one is read, one and no more.
        ahead = found.more ? page(position, 'forwards', filter, maxBatch) : undefined;
        ahead?.catch(() => undefined); // awaited at the next turn, or never when the consumer leaves
        if (moved || (first && caughtUp)) yield { events: found.events, position, live: caughtUp };
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
    // Only `signal` ends a subscription without an error: nobody may take a stopped store for the end of the log.
    if (!signal.aborted) throw new EventStoreUnavailable('The event store has stopped');
  }

  async function readStreamMetadata(stream: string): Promise<StreamMetadata> {
    for await (const { data } of readStream(`$$${stream}`, { direction: 'backwards', limit: 1 })) return fromStored(data);
    return {};
  }

  async function writeStreamMetadata(stream: string, metadata: StreamMetadata): Promise<void> {
    const data = JSON.stringify(toStored(metadata));
    const event = { eventId: newId(), type: '$metadata', data, metadata: '{}' };
    await lanes.normal.append({
      stream: `$$${stream}`, expected: 'any', events: [event], bytes: data.length, timeoutMs: APPEND_TIMEOUT_MS,
    });
  }

  /** Wakes subscriptions for what other processes appended. Hints may get lost: the poll below is what they rest on. */
  async function listen(): Promise<void> {
    const stopped = new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      const client = new pg.Client(config('listen'));
      const ended = new Promise<void>((resolve) => {
        client.on('end', resolve);
        client.on('error', () => resolve());
      });
      client.on('notification', ({ payload, processId }) => {
        // Our own appends announce themselves, with their events: the notification alone would send every reader to the tables.
        if (processId === lanes.urgent.backend() || processId === lanes.normal.backend()) return;
        if (payload !== undefined && /^\d+$/.test(payload)) tail.advance(BigInt(payload));
      });
      try {
        await client.connect();
        await client.query('LISTEN loqey_log');
        attempt = 0;
        await Promise.race([ended, stopped]);
      } catch (error) {
        logger.debug({ err: error }, 'Cannot listen for appends of other processes; the poll goes on');
      }
      await closeClient(client);
      await pause(fullJitter(attempt), stopping.signal);
    }
  }

  async function poll(): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(pollMs, stopping.signal);
      if (!tail.hasWaiting || stopping.signal.aborted) continue;
      await end().catch((error: unknown) => logger.debug({ err: error }, 'The end of the log cannot be read'));
    }
  }

  let background: Promise<unknown> = Promise.resolve();
  const lifecycle = component(
    async () => {
      const deadline = performance.now() + START_TIMEOUT_MS;
      for (let attempt = 0; ; attempt++) {
        try {
          await Promise.all([lanes.urgent.start(), lanes.normal.start(), end()]);
          break;
        } catch (error) {
          if (performance.now() > deadline || !(isTransient(error) || error instanceof EventStoreUnavailable)) throw error;
          await pause(fullJitter(attempt, { capMs: 1_000 }));
        }
      }
      background = Promise.all([soleWriter ? undefined : listen(), poll()]);
    },
    async () => {
      await Promise.all([lanes.urgent.stop(drainMs), lanes.normal.stop(drainMs)]);
      stopping.abort();
      tail.wake();
      await background;
      await Promise.all([streams.end(), all.end()]);
    },
  );

  return {
    append(stream, expected, events, { lane: name = 'normal', timeoutMs = APPEND_TIMEOUT_MS } = {}) {
      try {
        return lanes[name].append({ stream, expected, ...encodeAppend(stream, expected, events), timeoutMs });
      } catch (error) {
        return Promise.reject(error as Error);
      }
    },
    readStream,
    readAll,
    subscribeAll,
    head,
    readStreamMetadata,
    writeStreamMetadata,
    ...lifecycle,
  };
}

export function decode(row: Row): RecordedEvent {
  return {
    position: BigInt(row[0]),
    stream: row[1],
    revision: BigInt(row[2]),
    eventId: row[3],
    type: row[4],
    data: JSON.parse(row[5]),
    metadata: JSON.parse(row[6]),
    recordedAt: instantOf(row[7]),
  };
}

/** As EventStoreDB stores it, so that a copied log means the same there. */
function toStored({ maxCount, maxAgeSeconds, custom }: StreamMetadata): Record<string, Json | undefined> {
  return { ...custom, $maxCount: maxCount, $maxAge: maxAgeSeconds };
}

function fromStored(data: Readonly<Record<string, Json | undefined>>): StreamMetadata {
  const { $maxCount, $maxAge, ...custom } = data;
  return {
    ...(typeof $maxCount === 'number' ? { maxCount: $maxCount } : {}),
    ...(typeof $maxAge === 'number' ? { maxAgeSeconds: $maxAge } : {}),
    ...(Object.keys(custom).length > 0 ? { custom } : {}),
  };
}

/** The work goes on, but nobody waits for it: a stalled server must not delay a stop. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const min = (a: bigint, b: bigint) => (a < b ? a : b);
const max = (a: bigint, b: bigint) => (a > b ? a : b);
