import { userSubject } from '../../domain/codec.ts';
import type { CourierDetails, DeviceLocation } from '../../domain/device/events.ts';
import type { Recorded } from '../../domain/events.ts';
import { isSealed, type Instant, type Sealed, type Uuid } from '../../domain/kernel.ts';
import type { UserProfile } from '../../domain/user/events.ts';
import type { Json } from '../../platform/event-store/port.ts';
import { defineProjection, defineTable, idOfStream, type AnyProjection, type Rows } from '../projection.ts';

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
  /** User, assignment, link or unlock id. */
  readonly ref: Uuid;
  readonly kind: 'user' | 'box' | 'link' | 'courier';
  /** Whose key sealed it: `user:<id>`, `delivery:<id>`. */
  readonly subject_id: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly since: Instant;
}

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
    since: 'timestamptz NOT NULL',
  },
  indexes: ['(subject_id)', '(kind, since)'],
});

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
      return { path: 'reason', value: event.data.reason };
    case 'UnlockRequested':
      return { path: 'courier', value: event.data.courier };
    default:
      return undefined;
  }
}

type Opened = { readonly value: unknown } | { readonly error: Error };

export function peopleProjection(opener: SealOpener): AnyProjection {
  const opened = new WeakMap<Recorded, Opened>();

  async function prepare(events: readonly Recorded[]): Promise<void> {
    const sealed = events.flatMap((event) => {
      const member = sealedOf(event);
      if (member === undefined || !isSealed(member.value)) return [];
      return [{ event, item: { sealed: member.value, eventType: event.type, path: member.path } }];
    });
    if (sealed.length === 0) return;
    try {
      const values = await opener.openMany(sealed.map(({ item }) => item));
      sealed.forEach(({ event }, i) => opened.set(event, { value: values[i] }));
    } catch (error) {
      if (!isBroken(error)) throw error; // the vault is away: the whole batch is tried again
      for (const { event, item } of sealed) opened.set(event, await openOne(item));
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
    const member = sealedOf(event);
    if (member === undefined || !isSealed(member.value)) return undefined; // an unsealed one is nobody's: it is not shown
    const found = opened.get(event);
    if (found === undefined) throw new Error(`${event.type} was not opened before it was handled`);
    if ('error' in found) throw found.error;
    return found.value === undefined ? undefined : { subject: member.value.sub, value: found.value as T };
  }

  function put(rows: Rows<PeopleRow>, event: Recorded, ref: Uuid, kind: PeopleRow['kind'], subject: string, fields: PeopleRow['fields']): void {
    rows.put({ ref, kind, subject_id: subject, fields, since: event.metadata.occurredAt });
  }

  function merge(rows: Rows<PeopleRow>, event: Recorded, ref: Uuid, kind: PeopleRow['kind'], subject: string, fields: PeopleRow['fields']): void {
    put(rows, event, ref, kind, subject, { ...rows.get(ref)?.fields, ...fields });
  }

  return defineProjection({
    name: 'people',
    version: 1,
    categories: ['device', 'user'],
    tables: { people },
    prepare,
    load(event, want) {
      switch (event.type) {
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
    on: {
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
        const courier = plain<CourierDetails>(event);
        if (courier !== undefined) put(rows.people, event, event.data.unlockId, 'courier', courier.subject, { ...courier.value });
      },
      /** The key is destroyed already: what is left is to forget what it opened. */
      SubjectErased(event, rows) {
        rows.people.deleteGroup(userSubject(idOfStream(event.stream)));
      },
    },
  });
}

/** By name: the class is an adapter's. */
function isBroken(error: unknown): error is Error {
  return error instanceof Error && error.name === 'SealBroken';
}
