import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { instantOf, isTransient, sqlState } from '../postgres/db.ts';
import type { EncodedEvent } from './append-input.ts';
import {
  AppendOutcomeUnknown,
  EventStoreUnavailable,
  WrongExpectedRevision,
  type AppendResult,
  type ExpectedRevision,
} from './port.ts';

/** A batch holds the lock of all appends, so its size bounds what an urgent append waits for: a few milliseconds. */
const MAX_BATCH_EVENTS = 256;
const MAX_BATCH_BYTES = 1024 * 1024;
/** While the server works on one batch the next is on its way, if so many wait: fewer gain more by sharing a commit. */
const MAX_IN_FLIGHT = 2;
const WORTH_A_SECOND = 16;
export const CLOSE_TIMEOUT_MS = 1_000;

export interface Append {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly events: readonly EncodedEvent[];
  readonly bytes: number;
  readonly timeoutMs: number;
}

/** Events that this process has just made durable, told before their callers are answered. */
export type Appended = (append: Append, result: AppendResult, recordedAt: string) => void;

export interface LaneOptions {
  readonly name: 'urgent' | 'normal';
  /** Of the lane's one connection; with a query_timeout well within the time that a caller waits. */
  readonly client: pg.ClientConfig;
  /** Appends waiting, beyond which a further one is refused. */
  readonly maxWaiting: number;
  readonly onAppended: Appended;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface Lane {
  append(append: Append): Promise<AppendResult>;
  /** Connects, so that the first append does not pay for it. */
  start(): Promise<void>;
  /** Refuses new appends, waits up to `drainMs` for those under way, then gives up on them. */
  stop(drainMs: number): Promise<void>;
  /** The server process of its connection, as notifications name it. */
  backend(): number | undefined;
}

interface Waiting extends Append {
  settled: boolean;
  /** An attempt was sent and nobody said that it failed: the events may be stored. */
  inDoubt: boolean;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

type Verdict = 'appended' | 'conflict' | 'repeated';
const verdictNames: readonly Verdict[] = ['appended', 'conflict', 'repeated'];

interface Answer {
  readonly verdict: Verdict;
  readonly revision: bigint;
  readonly position: bigint;
}

interface Answers {
  readonly recordedAt: string;
  readonly list: readonly Answer[];
}

/**
 * One connection, whose batches fill while earlier ones are under way. A batch is one statement, hence one transaction
 * without BEGIN and COMMIT: the answer arrives only after the commit, and a failed commit is an error.
 */
export function createLane({ name, client: config, maxWaiting, onAppended, logger, metrics }: LaneOptions): Lane {
  const waitingGauge = metrics
    .gauge('loqey_event_store_appends_waiting', 'Appends that wait for the batch before theirs', ['lane'])
    .labels(name);
  const outcomes = metrics.counter('loqey_event_store_appends_total', 'Appends by what came of them', ['lane', 'outcome']);
  const retries = metrics
    .counter('loqey_event_store_append_retries_total', 'Batches sent again after an error', ['lane'])
    .labels(name);
  const seconds = metrics
    .histogram('loqey_event_store_append_seconds', 'From sending a batch to knowing that it is durable', ['lane'])
    .labels(name);

  let queue: Waiting[] = [];
  let inFlight = 0;
  let failures = 0;
  let backingOff = false;
  let pumping = false;
  let client: pg.Client | undefined;
  let connecting: Promise<pg.Client> | undefined;
  let stopped = false;
  let idle = () => {};
  const stopping = new AbortController();

  function connected(): Promise<pg.Client> {
    if (client !== undefined) return Promise.resolve(client);
    connecting ??= connect().finally(() => (connecting = undefined));
    return connecting;
  }

  async function connect(): Promise<pg.Client> {
    const fresh = new pg.Client({ ...config, pipeline: true });
    const forget = () => {
      if (client === fresh) client = undefined;
    };
    fresh.on('error', (error) => {
      logger.warn({ err: error, lane: name }, 'The connection for appends broke');
      forget();
    });
    fresh.on('end', forget);
    await fresh.connect();
    client = fresh;
    return fresh;
  }

  /** Not asked but cut: the server or the network may have gone silent. */
  function disconnect(broken: pg.Client | undefined): void {
    broken?.connection.stream.destroy();
    if (client === broken) client = undefined;
  }

  function settle(append: Waiting, outcome: Verdict | 'unknown' | 'refused' | 'failed', act: () => void): void {
    if (append.settled) return;
    append.settled = true;
    clearTimeout(append.timer);
    outcomes.inc({ lane: name, outcome });
    act();
  }

  function giveUp(append: Waiting, cause: unknown): void {
    if (append.inDoubt) {
      settle(append, 'unknown', () => append.reject(new AppendOutcomeUnknown(append.stream, cause)));
    } else {
      const message = `The append to ${append.stream} could not be made`;
      settle(append, 'refused', () => append.reject(new EventStoreUnavailable(message, { cause })));
    }
  }

  function nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let events = 0;
    let bytes = 0;
    let taken = 0;
    for (const append of queue) {
      if (!append.settled) {
        if (batch.length > 0 && (events + append.events.length > MAX_BATCH_EVENTS || bytes + append.bytes > MAX_BATCH_BYTES)) break;
        batch.push(append);
        events += append.events.length;
        bytes += append.bytes;
      }
      taken++;
    }
    queue = taken === queue.length ? [] : queue.slice(taken);
    return batch;
  }

  function pump(): void {
    pumping = false;
    while (!backingOff && inFlight < MAX_IN_FLIGHT && queue.length >= (inFlight === 0 ? 1 : WORTH_A_SECOND)) {
      const batch = nextBatch();
      if (batch.length === 0) break;
      inFlight++;
      void deliver(batch);
    }
    waitingGauge.set(queue.length);
    if (inFlight === 0 && queue.length === 0) idle();
  }

  async function deliver(batch: readonly Waiting[]): Promise<void> {
    const again = await send(batch);
    inFlight--;
    if (again.length === 0) {
      failures = 0;
    } else {
      queue = [...again, ...queue];
      retries.inc();
      if (!backingOff) {
        backingOff = true;
        await pause(fullJitter(failures++, { baseMs: 20, capMs: 1_000 }), stopping.signal);
        backingOff = false;
      }
    }
    if (stopping.signal.aborted) {
      for (const append of queue) giveUp(append, new Error('The event store has stopped'));
    }
    pump();
  }

  /** Sends one batch and settles its appends; returns those to send again, with the same ids. */
  async function send(batch: readonly Waiting[]): Promise<readonly Waiting[]> {
    let connection: pg.Client;
    try {
      connection = await connected();
    } catch (error) {
      logger.warn({ err: error, lane: name }, 'No connection for appends');
      return batch;
    }
    const doubtBefore = batch.map((append) => append.inDoubt);
    for (const append of batch) append.inDoubt = true;
    const stopTimer = seconds.startTimer();
    let answers: Answers;
    try {
      answers = parse(await connection.query(appendQuery(batch)), batch.length);
    } catch (error) {
      const certain = saysRolledBack(error);
      if (certain) batch.forEach((append, i) => (append.inDoubt = doubtBefore[i] ?? false));
      else disconnect(connection);
      if (!certain || isTransient(error) || sqlState(error) === '57014' /* statement_timeout */) {
        logger.warn({ err: error, lane: name, appends: batch.length }, 'A batch of appends failed and is sent again');
        return batch;
      }
      return fail(batch, error);
    }
    stopTimer();

    // First what subscriptions wait for, then the callers.
    answers.list.forEach((answer, i) => {
      const append = batch[i];
      if (append !== undefined && answer.verdict === 'appended') onAppended(append, answer, answers.recordedAt);
    });
    answers.list.forEach(({ verdict, revision, position }, i) => {
      const append = batch[i];
      if (append === undefined) return;
      settle(append, verdict, () => {
        if (verdict !== 'conflict') append.resolve({ revision, position });
        else append.reject(new WrongExpectedRevision(append.stream, append.expected, revision < 0n ? undefined : revision));
      });
    });
    return [];
  }

  /** The server refused the whole batch for good: a full disk, a missing table, or one append that it cannot take. */
  async function fail(batch: readonly Waiting[], error: unknown): Promise<readonly Waiting[]> {
    logger.error({ err: error, lane: name, appends: batch.length }, 'A batch of appends was refused');
    const state = sqlState(error) ?? '';
    if (state.startsWith('53') || state.startsWith('58')) {
      for (const append of batch) giveUp(append, error);
      return [];
    }
    const [only, ...others] = batch;
    if (only === undefined) return [];
    if (others.length === 0) {
      settle(only, 'failed', () => only.reject(error as Error));
      return [];
    }
    // One at a time, so that a bad append fails alone.
    const again: Waiting[] = [];
    for (const append of batch) again.push(...(await send([append])));
    return again;
  }

  return {
    append({ stream, expected, events, bytes, timeoutMs }) {
      if (stopped) return Promise.reject(new EventStoreUnavailable('The event store has stopped'));
      if (queue.length >= maxWaiting) {
        outcomes.inc({ lane: name, outcome: 'refused' });
        return Promise.reject(new EventStoreUnavailable(`${queue.length} appends are waiting already`));
      }
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => giveUp(append, new Error(`No answer within ${timeoutMs} ms`)), timeoutMs);
        const append: Waiting = {
          stream, expected, events, bytes, timeoutMs, settled: false, inDoubt: false, resolve, reject, timer,
        };
        queue.push(append);
        // Not at once: appends made in the same turn share the batch.
        if (!pumping) queueMicrotask(pump);
        pumping = true;
      });
    },

    // pg knows it since the connection was made; its types do not say so.
    backend: () => (client as (pg.Client & { readonly processID?: number }) | undefined)?.processID,

    async start() {
      await connected();
    },

    async stop(drainMs) {
      stopped = true;
      const drained = new Promise<void>((resolve) => (idle = resolve));
      pump();
      const timer = setTimeout(() => {
        stopping.abort();
        disconnect(client);
      }, drainMs);
      await drained;
      clearTimeout(timer);
      if (client !== undefined) await closeClient(client);
    },
  };
}

/** Says goodbye; a server that does not answer it within a second is left. */
export async function closeClient(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), CLOSE_TIMEOUT_MS);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}

const appendText = 'SELECT verdicts, revisions, positions, recorded_at FROM log.append($1, $2, $3, $4, $5, $6, $7, $8)';

function appendQuery(batch: readonly Append[]): pg.QueryArrayConfig {
  const events = batch.flatMap((append) => append.events);
  let first = 1; // of an append's events among all: arrays of PostgreSQL count from 1
  const firsts = batch.map((append) => {
    const mine = first;
    first += append.events.length;
    return mine;
  });
  return {
    name: 'log.append',
    text: appendText,
    rowMode: 'array',
    values: [
      textArray(batch, (append) => append.stream),
      `{${batch.map(({ expected }) => (expected === 'no_stream' ? -1 : expected === 'any' ? -2 : expected)).join(',')}}`,
      `{${firsts.join(',')}}`,
      `{${batch.map((append) => append.events.length).join(',')}}`,
      `{${events.map((event) => event.eventId).join(',')}}`,
      textArray(events, (event) => event.type),
      textArray(events, (event) => event.data),
      textArray(events, (event) => event.metadata),
    ],
  };
}

/**
 * An array literal of PostgreSQL. None of these texts holds a raw control character or a lone surrogate (checked names,
 * and the output of JSON.stringify), so JSON's quoting escapes exactly what an array element needs: `"` and `\`.
 */
function textArray<T>(items: readonly T[], text: (item: T) => string): string {
  return `{${items.map((item) => JSON.stringify(text(item))).join(',')}}`;
}

function parse(result: pg.QueryArrayResult, count: number): Answers {
  const [verdicts, revisions, positions, recordedAt] = result.rows[0] as [string, string, string, string];
  const items = (array: string) => array.slice(1, -1).split(',');
  const revisionList = items(revisions);
  const positionList = items(positions);
  const list = items(verdicts).map((verdict, i) => ({
    verdict: verdictNames[Number(verdict)] ?? 'conflict',
    revision: BigInt(revisionList[i] ?? ''),
    position: BigInt(positionList[i] ?? ''),
  }));
  if (list.length !== count) throw new Error(`log.append answered for ${list.length} appends of ${count}`);
  return { recordedAt: instantOf(recordedAt), list };
}

/**
 * An answer of the server is a certain rollback; except when the connection is being ended by it, which can overtake a
 * commit that has happened.
 */
function saysRolledBack(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && !state.startsWith('57P') && !state.startsWith('08');
}
