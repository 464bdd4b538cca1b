import {
  BACKWARDS,
  END,
  ErrorType,
  FORWARDS,
  START,
  StreamNotFoundError,
  WrongExpectedVersionError,
  jsonEvent,
  type EventStoreDBClient,
  type ResolvedEvent,
  type StreamingRead,
} from '@eventstore/db-client';
import { fullJitter, pause } from '../backoff.ts';
import { component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { createSemaphore } from '../semaphore.ts';
import { encodeAppend } from './append-input.ts';
import { acquire, release, settled, within, type SharedClient } from './eventstoredb-client.ts';
import { AHEAD, openSource, type Source } from './eventstoredb-source.ts';
import { decode, fromStored, positionOf, toClient } from './eventstoredb-wire.ts';
import { fanOut } from './fan-out.ts';
import { isSystem, matcher } from './filter.ts';
import {
  AppendOutcomeUnknown,
  EventStoreUnavailable,
  WrongExpectedRevision,
  type AppendOptions,
  type AppendResult,
  type EventBatch,
  type EventStore,
  type EventToAppend,
  type ExpectedRevision,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type StreamMetadata,
  type SubscribeOptions,
} from './port.ts';

export interface EventStoreDbOptions {
  /** `esdb://host:2113?tls=false`. */
  readonly connectionString: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Appends without an answer yet, beyond which further ones are refused. Default 10,000. */
  readonly maxWaitingAppends?: number;
  /** Milliseconds that `stop` waits for appends under way. Default 5,000. */
  readonly drainMs?: number;
}

const APPEND_TIMEOUT_MS = 10_000;
/** One try: the client's own deadlines do nothing while a server is stalled. */
const ATTEMPT_MS = 3_000;
/** A read that yields nothing for so long is given up. */
const READ_TIMEOUT_MS = 10_000;
/**
 * A connection has 100 HTTP/2 streams, and a call beyond them waits for one without a word, its time-out running. Appends share
 * one, and so do the subscriptions that have caught up; reads have these, and wait for them here, in turn, before their time begins.
 * Reads of the whole log have their own: whoever takes an export slowly keeps no command from its stream.
 */
const READS = { streams: 64, log: 16 };
const MAX_WAITING_READS = 2_000;
/** A subscription that stays behind the log for so long without an event is made anew. */
const WATCHDOG_MS = 5_000;
/** How long a silence, while catching up, before the end of the log is asked for. */
const SETTLE_MS = 20;
const START_TIMEOUT_MS = 30_000;
const MAX_BATCH = 1_000;
/** Where a repeat at `any` looks for its own events: behind whatever others appended meanwhile. */
const REPEAT_WINDOW = 256;

/**
 * EventStoreDB (KurrentDB) behind the port. Lanes mean nothing here: the server itself coalesces what arrives together.
 * Each read and each subscription is one of the 100 HTTP/2 streams that a process has to a server: few subscriptions,
 * fanned out in process.
 */
export function createEventStoreDb(options: EventStoreDbOptions): EventStore {
  const { connectionString, metrics, maxWaitingAppends = 10_000, drainMs = 5_000 } = options;
  const logger = options.logger.child({ component: 'event-store' });
  const outcomes = metrics.counter('loqey_event_store_appends_total', 'Appends by what came of them', ['lane', 'outcome']);
  const seconds = metrics.histogram('loqey_event_store_append_seconds', 'From an append to its answer', ['lane']).labels('normal');
  const retries = metrics.counter('loqey_event_store_append_retries_total', 'Appends sent again after an error', ['lane']).labels('normal');
  const waitingGauge = metrics.gauge('loqey_event_store_appends_waiting', 'Appends that wait for their answer', ['lane']).labels('normal');
  const drops = metrics.counter('loqey_event_store_subscription_retries_total', 'Subscriptions that were dropped and made anew');
  const readsWaiting = metrics.gauge('loqey_event_store_reads_waiting', 'Reads that wait for one of the connection’s streams', ['of']);
  const places = {
    streams: createSemaphore({ places: READS.streams, maxWaiting: MAX_WAITING_READS, maxWaitMs: READ_TIMEOUT_MS }),
    log: createSemaphore({ places: READS.log, maxWaiting: MAX_WAITING_READS, maxWaitMs: READ_TIMEOUT_MS }),
  };
  const stopping = new AbortController();
  let shared: SharedClient | undefined;
  let waiting = 0;
  let draining = false;
  let drained = () => {};

  function client(): EventStoreDBClient {
    // A client that was disposed of would silently connect again.
    if (stopping.signal.aborted) throw new EventStoreUnavailable('The event store has stopped');
    shared ??= acquire(connectionString);
    return shared.client;
  }

  async function append(
    stream: string,
    expected: ExpectedRevision,
    events: readonly EventToAppend[],
    { timeoutMs = APPEND_TIMEOUT_MS }: AppendOptions = {},
  ): Promise<AppendResult> {
    encodeAppend(stream, expected, events); // checks only: the client encodes by itself
    if (draining) throw new EventStoreUnavailable('The event store has stopped');
    if (waiting >= maxWaitingAppends) {
      outcomes.inc({ lane: 'normal', outcome: 'refused' });
      throw new EventStoreUnavailable(`${waiting} appends are waiting already`);
    }
    waitingGauge.set(++waiting);
    const stop = seconds.startTimer();
    try {
      const result = await appendUntil(performance.now() + timeoutMs, stream, expected, events);
      outcomes.inc({ lane: 'normal', outcome: 'appended' });
      return result;
    } catch (error) {
      outcomes.inc({ lane: 'normal', outcome: outcomeOf(error) });
      throw error;
    } finally {
      stop();
      waitingGauge.set(--waiting);
      if (waiting === 0) drained();
    }
  }

  /**
   * Sends the same ids with the same expectation until there is an answer or the time is over. The server recognises
   * its repeats (except at `any`, where it only tries to), so a try whose outcome is unknown may be repeated.
   */
  async function appendUntil(
    deadline: number,
    stream: string,
    expected: ExpectedRevision,
    events: readonly EventToAppend[],
  ): Promise<AppendResult> {
    const proposed = events.map(toClient);
    let inDoubt = false;
    for (let attempt = 0; ; attempt++) {
      let failed: unknown;
      try {
        if (inDoubt && expected === 'any') {
          const stored = await within(ATTEMPT_MS, findRecent(stream, events));
          if (stored !== undefined) return stored;
        }
        const { nextExpectedRevision: revision, position } = await within(
          Math.min(ATTEMPT_MS, deadline - performance.now()),
          client().appendToStream(stream, proposed, { expectedRevision: expected }),
        );
        if (position !== undefined) return { revision, position: position.commit };
        return { revision, position: (await recordedAt(stream, revision)).position };
      } catch (error) {
        if (error instanceof WrongExpectedVersionError) {
          const stored = await findRepeat(stream, expected, events);
          if (stored !== undefined) return stored;
          const { actualVersion } = error;
          throw new WrongExpectedRevision(stream, expected, typeof actualVersion === 'bigint' ? actualVersion : undefined);
        }
        if (isFinal(error)) throw error;
        inDoubt ||= !wasNotSent(error);
        failed = error;
      }
      const left = deadline - performance.now();
      if (left <= 0 || stopping.signal.aborted) {
        if (inDoubt) throw new AppendOutcomeUnknown(stream, failed);
        throw new EventStoreUnavailable(`The append to ${stream} could not be made`, { cause: failed });
      }
      retries.inc();
      logger.warn({ err: failed, stream, attempt }, 'An append failed and is sent again');
      await pause(Math.min(left, fullJitter(attempt, { capMs: 1_000 })), stopping.signal);
    }
  }

  /** The answer of the first time, when the events right after `expected` are these. */
  async function findRepeat(stream: string, expected: ExpectedRevision, events: readonly EventToAppend[]) {
    if (expected === 'any') return undefined;
    const from = expected === 'no_stream' ? 0n : expected + 1n;
    const stored: RecordedEvent[] = [];
    for await (const one of readStream(stream, { from, limit: events.length })) stored.push(one);
    const last = stored.at(-1);
    const same = stored.length === events.length && stored.every((one, i) => one.eventId === events[i]?.eventId);
    return same && last !== undefined ? { revision: last.revision, position: last.position } : undefined;
  }

  async function findRecent(stream: string, events: readonly EventToAppend[]) {
    const lastId = events.at(-1)?.eventId;
    for await (const { eventId, revision, position } of readStream(stream, { direction: 'backwards', limit: REPEAT_WINDOW })) {
      if (eventId === lastId) return { revision, position };
    }
    return undefined;
  }

  async function recordedAt(stream: string, revision: bigint): Promise<RecordedEvent> {
    for await (const event of readStream(stream, { from: revision, limit: 1 })) return event;
    throw new EventStoreUnavailable(`Revision ${revision} of ${stream}, appended a moment ago, cannot be read`);
  }

  /**
   * Ends without an event where there is no such stream.
   *
   * @throws EventStoreUnavailable when nothing comes for 10 s, or so many others read that it was not even asked for
   */
  async function* follow(open: (client: EventStoreDBClient) => StreamingRead<ResolvedEvent>, of: keyof typeof places = 'streams'): AsyncGenerator<RecordedEvent> {
    const leave = await enter(of);
    try {
      yield* reading(open);
    } finally {
      leave();
    }
  }

  async function enter(of: keyof typeof places): Promise<() => void> {
    const place = places[of].acquire();
    if (typeof place === 'function') return place;
    const tell = () => readsWaiting.set({ of }, places[of].waiting);
    tell();
    try {
      return await place;
    } catch (error) {
      throw new EventStoreUnavailable('Too much is being read from the event store', { cause: error });
    } finally {
      tell();
    }
  }

  async function* reading(open: (client: EventStoreDBClient) => StreamingRead<ResolvedEvent>): AsyncGenerator<RecordedEvent> {
    const read = open(client());
    read.on('error', () => undefined); // one that arrives after the loop was left
    let since: number | undefined = performance.now();
    const watch = setInterval(() => {
      if (since !== undefined && performance.now() - since > READ_TIMEOUT_MS) read.destroy(new Error(`No answer within ${READ_TIMEOUT_MS} ms`));
    }, 500);
    try {
      for await (const resolved of read) {
        const event = decode(resolved);
        if (event === undefined) continue;
        since = undefined; // the consumer may take its time
        yield event;
        since = performance.now();
      }
    } catch (error) {
      if (error instanceof StreamNotFoundError) return;
      throw new EventStoreUnavailable('The event store cannot be read', { cause: error });
    } finally {
      clearInterval(watch);
      // A read that is left without this keeps its HTTP/2 stream; after a hundred the whole process hangs.
      await settled(read.cancel());
    }
  }

  async function* readStream(stream: string, { direction = 'forwards', from, limit }: ReadStreamOptions = {}) {
    if (limit !== undefined && limit <= 0) return;
    yield* follow((from_) =>
      from_.readStream(
        stream,
        {
          direction,
          fromRevision: from ?? (direction === 'forwards' ? START : END),
          ...(limit === undefined || limit === Infinity ? {} : { maxCount: limit }),
        },
        { highWaterMark: AHEAD },
      ),
    );
  }

  /** Filtered here: the client silently ignores a filter for reading all. */
  async function* readAll({ direction = 'forwards', after, before, limit = Infinity, filter }: ReadAllOptions = {}) {
    const matches = matcher(filter);
    const forwards = direction === 'forwards';
    const fromPosition = forwards ? positionOf(after, START) : positionOf(before, END);
    let left = limit;
    if (left <= 0) return;
    const open = (from: EventStoreDBClient) =>
      from.readAll({ direction: forwards ? FORWARDS : BACKWARDS, fromPosition }, { highWaterMark: AHEAD });
    for await (const event of follow(open, 'log')) {
      // Forwards, the server starts with the event at the position itself.
      if (!matches(event) || (forwards && after !== undefined && event.position <= after)) continue;
      yield event;
      if (--left <= 0) return;
    }
  }

  /** What the last look found: `end` of all events, and the last that is not the system's until there. */
  let looked: { readonly end: bigint; readonly head: bigint | undefined } | undefined;

  /** The system's own events may be any number (its figures, twice a minute): what was looked through is not looked through again. */
  async function head(): Promise<bigint | undefined> {
    const known = looked;
    let end: bigint | undefined;
    let from: bigint | undefined;
    for (let pageSize = 1; ; pageSize = 500) {
      const fromPosition = positionOf(from, END);
      const open = (at: EventStoreDBClient) => at.readAll({ direction: BACKWARDS, fromPosition, maxCount: pageSize });
      let read = 0;
      for await (const event of follow(open)) {
        read++;
        from = event.position;
        end ??= event.position;
        const isKnown = known !== undefined && end >= known.end && event.position <= known.end; // not so of a log that was put back
        if (!isKnown && isSystem(event)) continue;
        const found = isKnown ? known.head : event.position;
        if (looked === undefined || looked.end < end) looked = { end, head: found };
        return found;
      }
      if (read < pageSize) return undefined;
    }
  }

  /** A subscription of its own, unfiltered. */
  async function* subscribe({ after, signal, maxBatch = MAX_BATCH }: Omit<SubscribeOptions, 'filter'>): AsyncGenerator<EventBatch> {
    const either = AbortSignal.any([signal, stopping.signal]);
    let position = after;
    let failures = 0;
    while (!either.aborted) {
      let source: Source | undefined;
      try {
        source = openSource(client(), position, either);
        let live = false;
        let told = false; // whether the last batch said that it is live
        for (;;) {
          const resolved = await source.take(maxBatch, !live);
          if (resolved.length > 0) {
            const events = resolved.map(decode).filter((event) => event !== undefined);
            position = events.at(-1)?.position ?? position;
            failures = 0;
            told = live && source.isEmpty();
            yield { events: events.filter((event) => !isSystem(event)), position: position ?? 0n, live: told };
          } else if (either.aborted) {
            break;
          } else if (live && told) {
            await source.more(WATCHDOG_MS);
            if (source.isEmpty()) await insist(source, position);
          } else {
            await source.more(SETTLE_MS);
            if (!source.isEmpty()) continue;
            const end = await head();
            if (!source.isEmpty()) continue;
            if (end === undefined || (position !== undefined && position >= end)) {
              live = true;
              told = true;
              yield { events: [], position: position ?? 0n, live };
            } else {
              await source.more(WATCHDOG_MS);
              if (source.isEmpty() && !either.aborted) throw new Error(`No event for ${WATCHDOG_MS} ms, though the log goes on`);
            }
          }
          if (either.aborted) break;
        }
      } catch (error) {
        if (either.aborted) break;
        drops.inc();
        logger.warn({ err: error, position: String(position) }, 'A subscription was dropped and is made anew');
      } finally {
        await source?.close();
      }
      await pause(fullJitter(failures++), either);
    }
    // Only `signal` ends a subscription without an error: nobody may take a stopped store for the end of the log.
    if (!signal.aborted) throw new EventStoreUnavailable('The event store has stopped');
  }

  /** After a silence: is it that nothing happens, or that nothing arrives? @throws when the log went on without us */
  async function insist(source: Source, position: bigint | undefined): Promise<void> {
    const end = await head();
    if (end === undefined || (position !== undefined && position >= end)) return;
    await source.more(WATCHDOG_MS);
    if (source.isEmpty() && !stopping.signal.aborted) throw new Error(`No event for ${WATCHDOG_MS} ms, though the log goes on`);
  }

  async function readStreamMetadata(stream: string): Promise<StreamMetadata> {
    const open = (from: EventStoreDBClient) =>
      from.readStream(`$$${stream}`, { direction: BACKWARDS, fromRevision: END, maxCount: 1 });
    for await (const { data } of follow(open)) return fromStored(data);
    return {};
  }

  async function writeStreamMetadata(stream: string, { maxCount, maxAgeSeconds, custom }: StreamMetadata): Promise<void> {
    const data = { ...custom, ...(maxCount === undefined ? {} : { $maxCount: maxCount }), ...(maxAgeSeconds === undefined ? {} : { $maxAge: maxAgeSeconds }) };
    const event = jsonEvent({ type: '$metadata', data });
    try {
      await within(APPEND_TIMEOUT_MS, client().appendToStream(`$$${stream}`, event));
    } catch (error) {
      throw error instanceof EventStoreUnavailable ? error : new AppendOutcomeUnknown(`$$${stream}`, error);
    }
  }

  const lifecycle = component(
    async () => {
      const deadline = performance.now() + START_TIMEOUT_MS;
      for (let attempt = 0; ; attempt++) {
        try {
          await head();
          return;
        } catch (error) {
          if (performance.now() > deadline) throw error;
          await pause(fullJitter(attempt, { capMs: 1_000 }));
        }
      }
    },
    async () => {
      draining = true;
      if (waiting > 0) await settled(new Promise<void>((resolve) => (drained = resolve)), drainMs);
      stopping.abort();
      const last = shared;
      shared = undefined;
      if (last !== undefined) await release(last);
    },
  );

  return { append, readStream, readAll, subscribeAll: fanOut(subscribe), head, readStreamMetadata, writeStreamMetadata, ...lifecycle };
}

function outcomeOf(error: unknown): string {
  if (error instanceof WrongExpectedRevision) return 'conflict';
  if (error instanceof AppendOutcomeUnknown) return 'unknown';
  return error instanceof EventStoreUnavailable ? 'refused' : 'failed';
}

/** Answers of the server that another try would get again. */
const finalTypes: ReadonlySet<unknown> = new Set([
  ErrorType.ACCESS_DENIED,
  ErrorType.INVALID_ARGUMENT,
  ErrorType.STREAM_DELETED,
  ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED,
  ErrorType.MISSING_REQUIRED_METADATA_PROPERTY,
]);

function isFinal(error: unknown): boolean {
  return error instanceof EventStoreUnavailable || finalTypes.has((error as { type?: unknown }).type);
}

/** The connection was refused: the only failure after which nothing can have been appended. */
function wasNotSent(error: unknown): boolean {
  return error instanceof Error && /ECONNREFUSED|No connection established|Name resolution failed/.test(error.message);
}
