import type { Actor, Instant, Uuid } from './kernel.ts';
import { dayOf } from './time.ts';

/** Whose data key seals a value: `user:<id>`, `device:<id>`, `delivery:<unlockId>`, `refusals:<yyyymmdd>`. */
export type Subject = string;

export const userSubject = (userId: Uuid): Subject => `user:${userId}`;
export const deviceSubject = (deviceId: Uuid): Subject => `device:${deviceId}`;
export const deliverySubject = (unlockId: Uuid): Subject => `delivery:${unlockId}`;
export const refusalsSubject = (day: string): Subject => `refusals:${day}`;

export interface SealedPath {
  /** A member of `data`. */
  readonly path: string;
  readonly subject: Subject;
}

/** An event as a store holds it, as far as decoding needs it. */
export interface WireEvent {
  readonly type: string;
  readonly data: unknown;
  readonly metadata: { readonly schemaVersion: number };
}

/** Turns the data of one schema version into the next one's. Pure, wire to wire, and never opens a sealed value. */
export type Upcast = (data: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;

/** What one aggregate says of its events' wire form. The codec only declares what is sealed; `handle` seals. */
export interface Codec<State = unknown, Event extends { readonly type: string } = { readonly type: string }> {
  readonly types: readonly Event['type'][];
  /** The version in which events of this type are written today. */
  schemaVersionOf(type: Event['type']): number;
  /** The members of `data` that this event holds sealed, absent ones included. `state` is the one before the event. */
  sealedPaths(state: State, event: Event): readonly SealedPath[];
  /** For whom `metadata.origin` is sealed; undefined: this actor has none to record. */
  originSubject(actor: Actor, event: Event, occurredAt: Instant): Subject | undefined;
  /** @throws UnknownEvent for a type or a schema version that this build does not know */
  decode(wire: WireEvent): Event;
}

/** How one event type is written. */
export interface EventForm<State, Event> {
  readonly version: number;
  /** From version 1 to 2, from 2 to 3, …: `version - 1` of them. */
  readonly upcasts?: readonly Upcast[];
  readonly sealed?: { readonly [path: string]: (state: State, event: Event) => Subject };
}

/** One row per event type: the compiler points at a type that was forgotten. */
export type EventForms<State, Event extends { readonly type: string }> = {
  readonly [T in Event['type']]: EventForm<State, Extract<Event, { type: T }>>;
};

/** A newer build wrote this. A fold that skipped it would decide on less than what happened, so it fails. */
export class UnknownEvent extends Error {
  override readonly name = 'UnknownEvent';
  readonly type: string;
  readonly schemaVersion: number;

  constructor(type: string, schemaVersion: number) {
    super(`This build does not know the event ${type} in schema version ${schemaVersion}. A newer one wrote it: upgrade this process.`);
    this.type = type;
    this.schemaVersion = schemaVersion;
  }
}

export function createCodec<State, Event extends { readonly type: string; readonly data: object }>(
  forms: EventForms<State, Event>,
): Codec<State, Event> {
  const known = new Map<string, EventForm<State, never>>(Object.entries(forms));

  function formOf(type: string, schemaVersion: number): EventForm<State, never> {
    const form = known.get(type);
    if (form === undefined) throw new UnknownEvent(type, schemaVersion);
    return form;
  }

  return {
    types: [...known.keys()],

    schemaVersionOf(type) {
      return forms[type as Event['type']].version;
    },

    sealedPaths(state, event) {
      const { sealed } = formOf(event.type, 0);
      if (sealed === undefined) return [];
      return Object.entries(sealed).map(([path, subjectOf]) => ({ path, subject: subjectOf(state, event as never) }));
    },

    originSubject(actor, event, occurredAt) {
      return originSubject(actor, event, occurredAt);
    },

    decode({ type, data, metadata: { schemaVersion } }) {
      const { version, upcasts } = formOf(type, schemaVersion);
      if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > version) throw new UnknownEvent(type, schemaVersion);
      let current = data;
      for (let from = schemaVersion; from < version; from++) {
        const upcast = upcasts?.[from - 1];
        if (upcast === undefined) throw new UnknownEvent(type, schemaVersion);
        current = upcast(current as Readonly<Record<string, unknown>>);
      }
      return { type, data: current } as Event;
    },
  };
}

/**
 * Where somebody came from belongs to whoever acted: an account for its life, a courier for as long as that delivery's
 * details are kept, and what a courier was refused for as long as the refusals of that day.
 */
function originSubject(actor: Actor, event: { readonly type: string; readonly data?: object }, occurredAt: Instant): Subject | undefined {
  switch (actor.kind) {
    case 'user':
    case 'admin':
      return userSubject(actor.id);
    case 'courier': {
      const unlockId = event.type === 'UnlockRequested' ? (event.data as { unlockId?: Uuid } | undefined)?.unlockId : undefined;
      return unlockId === undefined ? refusalsSubject(dayOf(occurredAt)) : deliverySubject(unlockId);
    }
    case 'device':
    case 'system':
      return undefined;
  }
}
