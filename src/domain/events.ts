import type { DeviceEvent } from './device/events.ts';
import type { EventMetadata, Instant } from './kernel.ts';
import type { SystemEvent } from './system/events.ts';
import type { UserEvent } from './user/events.ts';

/** Any event of this system, newest shape. */
export type DomainEvent = DeviceEvent | UserEvent | SystemEvent;
export type DomainEventType = DomainEvent['type'];

/** An event with where and when the log holds it: what projections and reactors see. */
export type Recorded<Ev extends DomainEvent = DomainEvent> = Ev & {
  readonly eventId: string;
  readonly stream: string;
  readonly revision: bigint;
  readonly position: bigint;
  readonly recordedAt: Instant;
  readonly metadata: EventMetadata;
};

export type RecordedOf<T extends DomainEventType> = Recorded<Extract<DomainEvent, { type: T }>>;
