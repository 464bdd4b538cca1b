import type { DomainEvent, Recorded } from '../domain/events.ts';
import type { DeviceCommand } from '../domain/device/commands.ts';
import type { UserCommand } from '../domain/user/commands.ts';
import type { Actor, Origin, Refusal, Source, Uuid } from '../domain/kernel.ts';

/** Any command of an aggregate. Its stream follows from `data.deviceId` or `data.userId`. */
export type AnyCommand = DeviceCommand | UserCommand;

/** Who asks, from where, because of what. Becomes the metadata of each event that comes of it. */
export interface CommandContext {
  /** Derived from an Idempotency-Key or a cause where a repeat must be recognised; else new. */
  readonly commandId: Uuid;
  readonly correlationId: Uuid;
  /** Default: the command id. */
  readonly causationId?: Uuid;
  readonly actor: Actor;
  readonly source: Source;
  readonly origin?: Origin;
  readonly traceparent?: string;
  readonly receivedAt?: string;
  readonly deviceTime?: string;
  /** The unlock path goes before everything else. */
  readonly lane?: 'urgent' | 'normal';
}

export type CommandOutcome =
  | {
      readonly kind: 'accepted';
      /** The events of this command: appended now, or found again when `repeated`. Sealed values stay sealed. Empty = quiet. */
      readonly events: readonly Recorded<DomainEvent>[];
      readonly revision: bigint | undefined;
      /** Position of the last of `events`; undefined when quiet. */
      readonly position: bigint | undefined;
      /** True when this command id had been carried out before. */
      readonly repeated: boolean;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly position: bigint | undefined };

/** The only way to change an aggregate. */
export interface CommandBus {
  /**
   * Folds, decides, appends at the expected revision; retries conflicts with full jitter for at most 2 s.
   * @throws ConcurrencyConflict when 2 s were not enough · EventStoreUnavailable · UnknownEvent (a fold fails closed)
   */
  execute(command: AnyCommand, context: CommandContext): Promise<CommandOutcome>;
}

export class ConcurrencyConflict extends Error {
  override readonly name = 'ConcurrencyConflict';
}
