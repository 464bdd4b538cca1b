import { userSubject } from '../../domain/codec.ts';
import type { CourierDetails, DeviceLocation } from '../../domain/device/events.ts';
import type { Recorded } from '../../domain/events.ts';
import { isSealed, type Instant, type Origin, type Sealed, type Uuid } from '../../domain/kernel.ts';
import { eventTypes } from '../../domain/registry.ts';
import type { UserProfile } from '../../domain/user/events.ts';
import type { Json } from '../../platform/event-store/port.ts';
import { byParts } from '../grams.ts';
import { defineProjection, defineTable, idOfStream, type AnyProjection, type Emit, type Handlers, type Rows, type RowsOf } from '../projection.ts';

/** What opens seals, as the vault does. */
export interface SealOpener {
  /** undefined: erased. @throws SealBroken */
  open(sealed: Sealed, eventType: string, path: string): Promise<Json | undefined>;
  /** Same order; throws where any of them would. */
  openMany(items: readonly { readonly sealed: Sealed; readonly eventType: string; readonly path: string }[]): Promise<(Json | undefined)[]>;
}

/**
 * The only plaintext personal data of the read side. Every other read model names ids, and queries join when they render.
 * One row per thing that somebody's words describe; all rows of a person go with its data key.
 */
interface PeopleRow {
  /** User, assignment, link, unlock, event or command id. Of a reason: of the unlock that it is asked for with, else of the command. */
  readonly ref: Uuid;
  readonly kind: 'user' | 'box' | 'link' | 'courier' | 'reason' | OriginKind;
  /** Whose key sealed it: `user:<id>`, `delivery:<id>`, `refusals:<day>`. */
  readonly subject_id: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** In lower case, what people and boxes are looked for by; null for what nobody looks for. */
  readonly words: string | null;
  readonly since: Instant;
}

/** From where somebody acted: kept as long as an account, as a courier's details, or as refusals of strangers. */
type OriginKind = 'origin' | 'courier_origin' | 'refusal_origin';

const people = defineTable<PeopleRow>({
  name: 'people',
  key: 'ref',
  group: 'subject_id',
  cached: false, // retention deletes rows whose key has died, without an event
  columns: {
    ref: 'uuid NOT NULL',
    kind: 'text NOT NULL',
    subject_id: 'text NOT NULL',
    fields: 'jsonb NOT NULL',
    words: 'text',
    since: 'timestamptz NOT NULL',
  },
  indexes: ['(subject_id)', '(kind, since)', `((fields->>'ip')) WHERE fields->>'ip' IS NOT NULL`, '(words, ref) WHERE words IS NOT NULL', `${byParts} WHERE words IS NOT NULL`],
});

type PeopleTables = { readonly people: typeof people };

/** The sealed member of an event that this read model shows. */
function sealedOf(event: Recorded): { readonly path: string; readonly value: unknown } | undefined {
  switch (event.type) {
    case 'UserRegistered':
    case 'ProfileChanged':
      return { path: 'profile', value: event.data.profile };
    case 'DeviceAssigned':
    case 'DeviceRenamed':
    case 'LinkCreated':
    case 'LinkUpdated':
      return { path: 'name', value: event.data.name };
    case 'DeviceLocationChanged':
      return { path: 'location', value: event.data.location };
    case 'DeviceUnlinkRequested':
    case 'UserSuspended':
    case 'MaintenanceStarted':
    case 'DeviceDecommissioned':
    case 'DeviceProtocolUnpinned':
    case 'Level0DeliveriesAccepted':
      return { path: 'reason', value: event.data.reason };
    case 'UnlockRequested':
      // A courier says who they are, an administrator why.
      return event.data.cause.kind === 'admin' ? { path: 'reason', value: event.data.reason } : { path: 'courier', value: event.data.courier };
    case 'UnlockSettled':
      return { path: 'remark', value: event.data.remark };
    default:
      return undefined;
  }
}

function sealedIn(event: Recorded): readonly { readonly path: string; readonly sealed: Sealed }[] {
  const member = sealedOf(event);
  const { origin } = event.metadata;
  return [
    ...(member !== undefined && isSealed(member.value) ? [{ path: member.path, sealed: member.value }] : []),
    ...(isSealed(origin) ? [{ path: ORIGIN, sealed: origin }] : []),
  ];
}

const ORIGIN = 'metadata.origin';

function originKind(subject: string): OriginKind {
  if (subject.startsWith('delivery:')) return 'courier_origin';
  return subject.startsWith('refusals:') ? 'refusal_origin' : 'origin';
}

type Opened = { readonly value: unknown } | { readonly error: Error };

export function peopleProjection(opener: SealOpener): AnyProjection {
  const opened = new WeakMap<Sealed, Opened>();

  async function prepare(events: readonly Recorded[]): Promise<void> {
    const items = events.flatMap((event) => sealedIn(event).map(({ path, sealed }) => ({ sealed, eventType: event.type, path })));
    if (items.length === 0) return;
    try {
      const values = await opener.openMany(items);
      items.forEach(({ sealed }, i) => opened.set(sealed, { value: values[i] }));
    } catch (error) {
      if (!isBroken(error)) throw error; // the vault is away: the whole batch is tried again
      for (const item of items) opened.set(item.sealed, await openOne(item));
    }
  }

  /** A broken seal stops this projection at its event, like anything else that it cannot take. */
  async function openOne({ sealed, eventType, path }: { readonly sealed: Sealed; readonly eventType: string; readonly path: string }): Promise<Opened> {
    try {
      return { value: await opener.open(sealed, eventType, path) };
    } catch (error) {
      if (!isBroken(error)) throw error;
      return { error };
    }
  }

  /** undefined: not given, or erased. */
  function plain<T>(event: Recorded): { readonly subject: string; readonly value: T } | undefined {
    const value = sealedOf(event)?.value;
    return isSealed(value) ? open(event, value) : undefined; // an unsealed one is nobody's: it is not shown
  }

  function open<T>(event: Recorded, sealed: Sealed): { readonly subject: string; readonly value: T } | undefined {
    const found = opened.get(sealed);
    if (found === undefined) throw new Error(`${event.type} was not opened before it was handled`);
    if ('error' in found) throw found.error;
    return found.value === undefined ? undefined : { subject: sealed.sub, value: found.value as T };
  }

  function put(rows: Rows<PeopleRow>, event: Recorded, ref: Uuid, kind: PeopleRow['kind'], subject: string, fields: PeopleRow['fields']): void {
    rows.put({ ref, kind, subject_id: subject, fields, words: wordsOf(kind, fields), since: event.metadata.occurredAt });
  }

  function merge(rows: Rows<PeopleRow>, event: Recorded, ref: Uuid, kind: PeopleRow['kind'], subject: string, fields: PeopleRow['fields']): void {
    put(rows, event, ref, kind, subject, { ...rows.get(ref)?.fields, ...fields });
  }

  /** What an administrator said is shown in the audit log, in the entry of this event, and found by its words. */
  function putWords(event: Recorded, rows: RowsOf<PeopleTables>, ref: Uuid = event.metadata.commandId): void {
    const words = plain<string>(event);
    if (words === undefined) return;
    const path = sealedOf(event)?.path ?? '';
    put(rows.people, event, ref, 'reason', words.subject, { type: event.type, [path]: words.value, position: String(event.position) });
  }

  function putOrigin(event: Recorded, rows: Rows<PeopleRow>): void {
    const sealed = event.metadata.origin;
    const origin = isSealed(sealed) ? open<Origin>(event, sealed) : undefined;
    if (origin === undefined) return;
    put(rows, event, event.eventId, originKind(origin.subject), origin.subject, { ...origin.value, position: String(event.position) });
  }

  /** Any event may say from where somebody acted. */
  function withOrigins(handlers: Handlers<PeopleTables>): Handlers<PeopleTables> {
    type AnyHandler = (event: Recorded, rows: RowsOf<PeopleTables>, emit: Emit) => void;
    const own = handlers as Readonly<Record<string, AnyHandler | undefined>>;
    return Object.fromEntries(
      eventTypes.map((type): [string, AnyHandler] => [
        type,
        (event, rows, emit) => {
          putOrigin(event, rows.people);
          own[type]?.(event, rows, emit);
        },
      ]),
    );
  }

  return defineProjection({
    name: 'people',
    version: 6,
    personal: true,
    categories: ['device', 'user', 'refusal'],
    tables: { people },
    prepare,
    load(event, want, writes) {
      switch (event.type) {
        case 'DeviceAssigned':
          return writes.people(event.data.assignmentId);
        case 'LinkCreated':
          return writes.people(event.data.linkId);
        case 'DeviceRenamed':
        case 'DeviceLocationChanged':
        case 'DeviceUnlinkRequested':
          return want.people(event.data.assignmentId);
        case 'LinkUpdated':
          return want.people(event.data.linkId);
        default:
          return undefined;
      }
    },
    on: withOrigins({
      UserRegistered(event, rows) {
        const profile = plain<UserProfile>(event);
        if (profile !== undefined) put(rows.people, event, event.data.userId, 'user', profile.subject, { ...profile.value });
      },
      ProfileChanged(event, rows) {
        const profile = plain<UserProfile>(event);
        if (profile !== undefined) put(rows.people, event, idOfStream(event.stream), 'user', profile.subject, { ...profile.value });
      },
      DeviceAssigned(event, rows) {
        const name = plain<string>(event);
        if (name !== undefined) put(rows.people, event, event.data.assignmentId, 'box', name.subject, { name: name.value });
      },
      DeviceRenamed(event, rows) {
        const name = plain<string>(event);
        if (name !== undefined) merge(rows.people, event, event.data.assignmentId, 'box', name.subject, { name: name.value });
      },
      DeviceLocationChanged(event, rows) {
        const location = plain<DeviceLocation>(event);
        if (location === undefined) return;
        const { latitude = null, longitude = null, address = null } = location.value;
        merge(rows.people, event, event.data.assignmentId, 'box', location.subject, { latitude, longitude, address });
      },
      DeviceUnlinkRequested(event, rows) {
        const reason = plain<string>(event);
        if (reason !== undefined) merge(rows.people, event, event.data.assignmentId, 'box', reason.subject, { unlinkReason: reason.value });
      },
      LinkCreated(event, rows) {
        const name = plain<string>(event);
        if (name !== undefined) put(rows.people, event, event.data.linkId, 'link', name.subject, { name: name.value });
      },
      LinkUpdated(event, rows) {
        const name = plain<string>(event);
        if (name !== undefined) merge(rows.people, event, event.data.linkId, 'link', name.subject, { name: name.value });
      },
      UnlockRequested(event, rows) {
        if (event.data.cause.kind === 'admin') return putWords(event, rows, event.data.unlockId);
        const courier = plain<CourierDetails>(event);
        if (courier !== undefined) put(rows.people, event, event.data.unlockId, 'courier', courier.subject, { ...courier.value });
      },
      UnlockSettled: (event, rows) => putWords(event, rows),
      MaintenanceStarted: (event, rows) => putWords(event, rows),
      DeviceDecommissioned: (event, rows) => putWords(event, rows),
      DeviceProtocolUnpinned: (event, rows) => putWords(event, rows),
      Level0DeliveriesAccepted: (event, rows) => putWords(event, rows),
      UserSuspended: (event, rows) => putWords(event, rows),
      /** The key is destroyed already: what is left is to forget what it opened. */
      SubjectErased(event, rows) {
        rows.people.deleteGroup(userSubject(idOfStream(event.stream)));
      },
    }),
  });
}

/** Of a person, and of a box as its owner calls it. */
function wordsOf(kind: PeopleRow['kind'], fields: PeopleRow['fields']): string | null {
  const names = kind === 'user' ? ['email', 'firstName', 'lastName'] : kind === 'box' ? ['name', 'address'] : [];
  const words = names.flatMap((name) => (typeof fields[name] === 'string' ? [fields[name]] : []));
  return words.length === 0 ? null : words.join(' ').toLowerCase();
}

/** By name: the class is an adapter's. */
function isBroken(error: unknown): error is Error {
  return error instanceof Error && error.name === 'SealBroken';
}
