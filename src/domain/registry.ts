import { UnknownEvent, type Codec, type WireEvent } from './codec.ts';
import { deviceCodec } from './device/codec.ts';
import type { DeviceCommand } from './device/commands.ts';
import { deviceDecider } from './device/device.ts';
import type { DeviceEvent } from './device/events.ts';
import { deviceStateVersion, type DeviceState } from './device/state.ts';
import { deviceCategory, deviceStream } from './device/stream.ts';
import type { DomainEvent, DomainEventType, Recorded } from './events.ts';
import type { Decider } from './kernel.ts';
import { systemCodec } from './system/codec.ts';
import { userCodec } from './user/codec.ts';
import type { UserCommand } from './user/commands.ts';
import type { UserEvent } from './user/events.ts';
import { userStateVersion, type UserState } from './user/state.ts';
import { userCategory, userStream } from './user/stream.ts';
import { userDecider } from './user/user.ts';

export { UnknownEvent } from './codec.ts';

/** Everything that a command handler needs of one kind of stream. */
export interface Aggregate<State = unknown, Command = never, Event extends DomainEvent = DomainEvent> {
  readonly category: string;
  readonly decider: Decider<State, Command, Event>;
  readonly codec: Codec<State, Event>;
  /** A snapshot of another version is not used. */
  readonly stateVersion: number;
  streamOf(id: string): string;
}

export const deviceAggregate: Aggregate<DeviceState, DeviceCommand, DeviceEvent> = {
  category: deviceCategory,
  decider: deviceDecider,
  codec: deviceCodec,
  stateVersion: deviceStateVersion,
  streamOf: deviceStream,
};

export const userAggregate: Aggregate<UserState, UserCommand, UserEvent> = {
  category: userCategory,
  decider: userDecider,
  codec: userCodec,
  stateVersion: userStateVersion,
  streamOf: userStream,
};

const codecs: ReadonlyMap<string, Codec> = new Map(
  [deviceCodec, userCodec, systemCodec].flatMap((codec) => codec.types.map((type) => [type, codec as Codec] as const)),
);

export const eventTypes: readonly DomainEventType[] = [...codecs.keys()] as DomainEventType[];

/**
 * What a store holds, in today's shape. Sealed values stay sealed.
 * @throws UnknownEvent
 */
export function decodeEvent(wire: WireEvent): DomainEvent {
  return codecOf(wire.type, wire.metadata.schemaVersion).decode(wire) as DomainEvent;
}

/**
 * A stored event in today's shape, with its place in the log.
 * @throws UnknownEvent
 */
export function recordedOf(stored: Omit<Recorded, 'type' | 'data' | 'metadata'> & WireEvent): Recorded {
  return { ...stored, ...decodeEvent(stored) } as Recorded;
}

/** The version in which this build writes events of this type. */
export function schemaVersionOf(type: DomainEventType): number {
  return codecOf(type, 0).schemaVersionOf(type);
}

function codecOf(type: string, schemaVersion: number): Codec {
  const codec = codecs.get(type);
  if (codec === undefined) throw new UnknownEvent(type, schemaVersion);
  return codec;
}
