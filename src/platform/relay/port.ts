/**
 * The relay port: what carries device reports up, device commands down and public integration events out. Ordered per
 * key, at least once. `test/contract/relay.ts` is its definition, run against every adapter.
 */
export interface Relay {
  /**
   * Resolves when the relay has taken all of them durably; rejects when it has not (the caller repeats or waits).
   * The in-process relay has taken a message when every group of its topic has handled it: there is no store in between.
   */
  publish(topic: RelayTopic, messages: readonly RelayMessage[]): Promise<void>;

  /**
   * One named group's consumer. Batches come in order per key; `handle` resolving is the commit. When it rejects, the
   * batch comes again after a back-off with full jitter, for ever; so the effect must be idempotent.
   */
  consume(options: ConsumeOptions): RelayConsumer;

  start(): Promise<void>;
  /** Stops taking, waits for handlers in flight, then closes. */
  stop(): Promise<void>;
  health(): RelayHealth;
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
