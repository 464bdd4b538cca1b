/**
 * The relay port: what carries device reports up, device commands down and public integration events out. Ordered per
 * key, at least once. `test/contract/relay.ts` is its definition, run against every adapter.
 */
export interface Relay {
  /**
   * Resolves when the relay has taken all of them durably. Rejects with RelayUnavailable when it has not, or when that is
   * not known: the caller repeats, in the same order, so a message may come twice.
   * The in-process relay has no store in between: it has taken a message when every group of the topic has handled it,
   * so the publisher is the durable side. Never await a publish inside a handler that this publish waits for, directly
   * or around a corner (A publishes to B's topic, B to A's): it would wait for itself until its timeout.
   * A device topic without a running group is refused; `loqey.events` may have no reader.
   *
   * `apart`: these keep no order with the others of their topic, and neither wait for the other.
   */
  publish(topic: RelayTopic, messages: readonly RelayMessage[], options?: PublishOptions): Promise<void>;

  /**
   * One named group's consumer. Batches come in order per key; `handle` resolving is the commit. When it rejects, the
   * batch comes again, for ever: from a relay with a store after a back-off with full jitter, in process by the
   * publisher's repeat (its `publish` rejects). So the effect must be idempotent.
   */
  consume(options: ConsumeOptions): RelayConsumer;

  start(): Promise<void>;
  /** Stops taking, waits for handlers in flight, then closes. */
  stop(): Promise<void>;
  health(): RelayHealth;
}

export interface PublishOptions {
  readonly apart?: boolean;
}

export type RelayTopic = 'device-reports' | 'device-commands' | 'loqey.events';

export interface RelayMessage {
  /** The partition key: the device id (integration events: the aggregate id). */
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ConsumeOptions {
  readonly topic: RelayTopic;
  readonly group: string;
  /** Default 500. */
  readonly maxBatch?: number;
  /**
   * `after` (default): commit once handled, at least once. `before`: commit first, at most once (level 0 commands).
   */
  readonly commit?: 'after' | 'before';
  /** Batches handled at the same time, never two with the same key. Default 1. */
  readonly concurrency?: number;
  readonly handle: (batch: readonly RelayMessage[]) => Promise<void>;
}

export interface RelayConsumer {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Messages taken but not yet handled, where the adapter knows. */
  lag(): number | undefined;
}

export interface RelayHealth {
  readonly healthy: boolean;
  readonly detail: string;
}

/** The relay cannot take it now; nothing was taken, or it is not known. */
export class RelayUnavailable extends Error {
  override readonly name = 'RelayUnavailable';
}
