import type { EventMetadata, Instant } from '../../domain/kernel.ts';

/**
 * The event store port. Its semantics are EventStoreDB's; `test/contract/event-store.ts` is their definition, run
 * against every adapter. Revisions count from 0n in a stream, positions grow over the whole log and are opaque outside.
 */
export interface EventStore {
  /**
   * Appends all events or none, at the end of `stream`, if it is where `expected` says.
   *
   * @throws WrongExpectedRevision with the actual revision
   * @throws AppendOutcomeUnknown when the store did not say (time-out, connection lost, COMMIT lost): the events may be
   *   there. Repeat with the same ids and the same expected revision: an adapter recognises its own ids and answers as
   *   the first time, so a repeat after an unknown outcome never stores twice.
   */
  append(
    stream: string,
    expected: ExpectedRevision,
    events: readonly EventToAppend[],
    options?: AppendOptions,
  ): Promise<AppendResult>;

  /** Forwards from `from` (inclusive; default 0n), or backwards from the end. A stream that does not exist yields nothing. */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /** The whole log without system events (`$…`), forwards after `after` (exclusive) or backwards before it. */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /**
   * Catch-up, then live, until `signal` aborts. Yields in position order, each batch once. `position` of a batch is safe
   * to persist once the batch is handled: everything up to it has been yielded. Reconnects by itself after any drop, from
   * the last batch that the consumer asked beyond, for ever, with full-jitter back-off; ends only by `signal`.
   * Pulls no more than a page ahead while the consumer works (back-pressure).
   */
  subscribeAll(options: SubscribeOptions): AsyncIterable<EventBatch>;

  /** Position of the last event in the log, the store's own events left out as in reads; undefined when there is none. */
  head(): Promise<bigint | undefined>;

  readStreamMetadata(stream: string): Promise<StreamMetadata>;
  writeStreamMetadata(stream: string, metadata: StreamMetadata): Promise<void>;

  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * An event that is not one of ours (bytes, or data or metadata that is no object) is read with `metadata.schemaVersion`
 * -1 and its text as `data.$malformed`: no codec knows it, so folds fail closed, and who needs no types goes on.
 */
export const MALFORMED_SCHEMA_VERSION = -1;

/** `any` is for streams that decide nothing (refusals, system log): aggregates always name a revision. */
export type ExpectedRevision = bigint | 'no_stream' | 'any';

export interface EventToAppend {
  readonly eventId: string;
  readonly type: string;
  readonly data: JsonObject;
  readonly metadata: EventMetadata;
}

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };
export type JsonObject = { readonly [key: string]: Json | undefined };

export interface RecordedEvent extends EventToAppend {
  readonly stream: string;
  readonly revision: bigint;
  readonly position: bigint;
  /** When the store recorded it; `metadata.occurredAt` is when it happened. */
  readonly recordedAt: Instant;
}

export interface AppendOptions {
  /** `urgent` is the unlock path: it never queues behind a full batch of others. Default `normal`. */
  readonly lane?: 'urgent' | 'normal';
  /** Milliseconds until the outcome counts as unknown. Default 10,000. */
  readonly timeoutMs?: number;
}

export interface AppendResult {
  /** Revision of the last event appended. */
  readonly revision: bigint;
  /** Position of the last event appended. */
  readonly position: bigint;
}

export interface ReadStreamOptions {
  readonly direction?: 'forwards' | 'backwards';
  readonly from?: bigint;
  readonly limit?: number;
}

export interface EventFilter {
  /** Any of these stream name prefixes, or (not and) any of these event types. Only one of the two. */
  readonly streamPrefixes?: readonly string[];
  readonly eventTypes?: readonly string[];
}

export interface ReadAllOptions {
  readonly direction?: 'forwards' | 'backwards';
  readonly after?: bigint;
  readonly before?: bigint;
  readonly limit?: number;
  readonly filter?: EventFilter;
}

export interface SubscribeOptions {
  /** Exclusive. `undefined` = from the start of the log. */
  readonly after: bigint | undefined;
  readonly filter?: EventFilter;
  readonly signal: AbortSignal;
  /** At most so many events in one batch. Default 1,000. */
  readonly maxBatch?: number;
}

export interface EventBatch {
  /** May be empty: then only the position moved on (filtered events, or the moment of catching up). */
  readonly events: readonly RecordedEvent[];
  readonly position: bigint;
  /** True when, at the time of yielding, the log held nothing beyond this batch. */
  readonly live: boolean;
}

export interface StreamMetadata {
  readonly maxCount?: number;
  readonly maxAgeSeconds?: number;
  readonly custom?: JsonObject;
}

export class WrongExpectedRevision extends Error {
  override readonly name = 'WrongExpectedRevision';
  readonly stream: string;
  readonly expected: ExpectedRevision;
  /** undefined: the stream does not exist. */
  readonly actual: bigint | undefined;

  constructor(stream: string, expected: ExpectedRevision, actual: bigint | undefined) {
    super(`Stream ${stream} is at ${actual ?? 'no stream'}, expected ${expected}`);
    this.stream = stream;
    this.expected = expected;
    this.actual = actual;
  }
}

export class AppendOutcomeUnknown extends Error {
  override readonly name = 'AppendOutcomeUnknown';
  readonly stream: string;

  constructor(stream: string, cause: unknown) {
    super(`The store did not say whether the append to ${stream} happened`, { cause });
    this.stream = stream;
  }
}

/** The store cannot be reached or refuses work for now; nothing was appended. */
export class EventStoreUnavailable extends Error {
  override readonly name: string = 'EventStoreUnavailable';
}
