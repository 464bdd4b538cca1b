import type { DomainEvent, Recorded } from '../domain/events.ts';
import type { DeviceCommand, InFlightUnlock } from '../domain/device/commands.ts';
import type { CourierDetails, DeviceProfile, UnlockCause } from '../domain/device/events.ts';
import type { UserCommand } from '../domain/user/commands.ts';
import type { Actor, Instant, Origin, Refusal, RefusalCode, Source, Uuid } from '../domain/kernel.ts';

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
  /** A refusal that the caller does not take for an answer yet (it waits its turn), so it is not one for the log. */
  readonly unrecorded?: RefusalCode;
  /**
   * The idempotency key came before: what its command made is looked for in the log, also where the fold has forgotten
   * the id, and is believed before this attempt's own events (another process may be carrying out the same request).
   * False: as far as is known it is new. What its command made a day ago and more was for another request, which is refused
   * instead of being answered with that. Absent: an id that means the same for ever, as a policy's.
   */
  readonly seenBefore?: boolean;
}

export type CommandOutcome =
  | {
      readonly kind: 'accepted';
      /** The events of this command: appended now, or found again when it created something. Sealed values stay sealed. Empty = quiet. */
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
   * @throws ConcurrencyConflict when 2 s were not enough · KeyUsedLongAgo · EventStoreUnavailable · UnknownEvent (a fold
   *   fails closed)
   */
  execute(command: AnyCommand, context: CommandContext): Promise<CommandOutcome>;
}

export class ConcurrencyConflict extends Error {
  override readonly name = 'ConcurrencyConflict';
}

/** A box cannot be let in, and asking again does not change that. */
export class NotProvisionable extends Error {
  override readonly name = 'NotProvisionable';
  /** By its topics it would be another box (old firmware names itself by its hardware id); its key was erased, or lost with a restore. */
  readonly reason: 'topics_taken' | 'no_key';

  constructor(reason: NotProvisionable['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Keys are kept for a day. What this one stood for before is done and over; nothing was done now. */
export class KeyUsedLongAgo extends Error {
  override readonly name = 'KeyUsedLongAgo';
}

/** How far one request to open has come. Request is not done: only `opened` says that the bolt moved. */
export interface UnlockProgress {
  readonly unlockId: Uuid;
  readonly deviceId: Uuid;
  readonly state: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';
  readonly requestedAt: Instant;
  readonly expiresAt: Instant;
  /** When the state above was reached. */
  readonly at: Instant;
  /** Why it failed, was cancelled or is unknown. */
  readonly reason?: string;
  /** True where the use came back: proven unopened. */
  readonly useReturned: boolean;
  /** Of the event that it came by. */
  readonly position: bigint;
}

export interface UnlockAsk {
  readonly deviceId: Uuid;
  readonly cause: UnlockCause;
  readonly courier?: CourierDetails;
  readonly reason?: string;
  /** Of the link's window, where it has one. */
  readonly timeZone?: string;
}

export type UnlockReply =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'progress'; readonly unlock: UnlockProgress; readonly repeated: boolean };

/** The one way to ask a box to open. */
export interface UnlockService {
  /**
   * Refuses at once what cannot be (offline, no use left counting those in flight); waits its turn where the box is busy,
   * first come first served; then, with `until: 'outcome'`, waits for the box's answer. `UNLOCK_WAIT_SECONDS` bounds both
   * together; what is not known by then is answered as it stands.
   */
  request(ask: UnlockAsk, context: CommandContext, until: 'accepted' | 'outcome'): Promise<UnlockReply>;

  /**
   * For a revocation that was just accepted: waits up to `timeoutMs` for the end of an opening already dispatched under
   * that right, and names it if it is still under way.
   */
  awaitInFlight(deviceId: Uuid, linkId: Uuid | undefined, timeoutMs: number): Promise<InFlightUnlock | undefined>;
}

/** What the station that flashes a box writes into it. Answered once, at registration (device protocol, section 1). */
export interface ProvisioningBlock {
  readonly protocol: 1;
  readonly profile: DeviceProfile;
  readonly topic_prefix: string;
  readonly mqtt: { readonly url: string; readonly client_id: string; readonly username: string; readonly password: string };
  readonly device_key: string;
  readonly key_version: number;
  readonly ca_pem?: string;
}

export interface RegisterDeviceInput {
  readonly serialNumber: string;
  readonly model?: string;
  readonly profile?: DeviceProfile;
  readonly hardwareId?: string;
}

export type RegisterDeviceReply =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | {
      readonly kind: 'registered';
      readonly deviceId: Uuid;
      readonly serialNumber: string;
      readonly pin: string;
      readonly provisioning: ProvisioningBlock;
      readonly position: bigint | undefined;
    };

/** Registration and PINs: what needs the vault beside the box's stream. */
export interface DeviceRegistration {
  register(input: RegisterDeviceInput, context: CommandContext): Promise<RegisterDeviceReply>;
  regeneratePin(
    deviceId: Uuid,
    context: CommandContext,
  ): Promise<{ readonly kind: 'refused'; readonly refusal: Refusal } | { readonly kind: 'regenerated'; readonly pin: string; readonly position: bigint | undefined }>;
  /** For a box whose key was lost or is known to others: what it is flashed with anew. Every earlier key ends at once. */
  reprovision(
    deviceId: Uuid,
    reason: string,
    context: CommandContext,
  ): Promise<{ readonly kind: 'refused'; readonly refusal: Refusal } | { readonly kind: 'reprovisioned'; readonly provisioning: ProvisioningBlock; readonly position: bigint | undefined }>;
  /** The keyed tag that a claim is compared by. */
  pinTag(deviceId: Uuid, pin: string): string;
}

/** Same key, same answer: the command id of a repeat is the first one's (design: command path). */
export interface Idempotency {
  /**
   * @param principal user id, or the link id of a courier
   * @param requestHash SHA-256 of what was asked; another one under the same key is a mistake of the client
   */
  begin(principal: string, route: string, key: string, requestHash: string): Promise<{ readonly kind: 'go'; readonly commandId: Uuid; readonly repeated: boolean } | { readonly kind: 'mismatch' }>;
}
