import { deliverySubject, userSubject, type Subject } from '../domain/codec.ts';
import type { RecordedOf } from '../domain/events.ts';
import type { Instant, Refusal, Uuid } from '../domain/kernel.ts';
import { recordedOf, userAggregate } from '../domain/registry.ts';
import type { ErasureGround } from '../domain/user/events.ts';
import type { UserState } from '../domain/user/state.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Aggregates } from './handle.ts';
import type { AdminRoles } from './admin-roles.ts';
import type { CommandContext } from './port.ts';
import type { Reactor } from './policies/reactor.ts';
import type { BoxesOfOwner } from './policies/suspension.ts';

/** `SubjectErased` as the log has it: from here on the erasure is carried out, whatever happens. */
export interface Erased {
  readonly eventId: Uuid;
  readonly userId: Uuid;
  readonly requestedBy: 'owner' | 'admin';
  readonly at: Instant;
  readonly revision: bigint;
  readonly position: bigint;
}

/** How far an erasure is. */
export interface ErasureRecord {
  readonly eventId: Uuid;
  readonly userId: Uuid;
  readonly requestedAt: Instant;
  /** Boxes that were taken off the account, and whose data keys are destroyed. */
  readonly boxes: readonly Uuid[];
  readonly subjects: readonly Subject[];
  /** Counts once it is complete: then it is kept outside, too. */
  readonly receipt: unknown;
  /** Null while it is under way. */
  readonly completedAt: Instant | null;
}

/** Each call can be repeated. */
export interface ErasureRecords {
  begin(erased: Erased): Promise<void>;
  /** Adds to what is noted, before it is done: after a crash nobody could tell it from the log alone. Answers all of it. */
  note(eventId: Uuid, more: { readonly boxes?: readonly Uuid[]; readonly subjects?: readonly Subject[] }): Promise<Pick<ErasureRecord, 'boxes' | 'subjects'>>;
  /** The first receipt stays. Answers it. */
  sign(eventId: Uuid, receipt: unknown): Promise<unknown>;
  complete(eventId: Uuid): Promise<void>;
  byId(eventId: Uuid): Promise<ErasureRecord | undefined>;
  ofUser(userId: Uuid): Promise<ErasureRecord | undefined>;
}

/** What opens seals and lets people in. Each call can be repeated. */
export interface ErasureVault {
  /** All at once. Answers how many keys of theirs are destroyed by now. */
  destroyKeys(subjects: readonly Subject[]): Promise<{ readonly keys: number }>;
  /** Password, address, sessions and their tokens. */
  forgetCredentials(userId: Uuid): Promise<void>;
}

export interface ErasureDeps {
  readonly bus: Pick<Aggregates, 'execute' | 'load'>;
  readonly store: Pick<EventStore, 'readStream'>;
  readonly boxes: BoxesOfOwner;
  readonly records: ErasureRecords;
  readonly vault: ErasureVault;
  readonly logger: Logger;
}

/** Where something readable is kept outside of the log and the vault. Can be repeated. */
export interface ReadableTraces {
  /** Openings that couriers asked for at the person's boxes; as of a moment not before the call. @throws where that cannot be known */
  deliveriesOf(userId: Uuid): Promise<readonly Uuid[]>;
  /** After the keys: whatever was opened before is shown by now, and goes. @throws where the read models are behind */
  forget(userId: Uuid, subjects: readonly Subject[], boxes: readonly Uuid[]): Promise<void>;
}

/** Signs what was done and keeps it where a restored backup does not reach. */
export interface ErasureNotary {
  receipt(erased: Erased, done: { readonly keys: number; readonly deliveries: number; readonly boxes: number }): unknown;
  keep(receipt: unknown): Promise<void>;
}

export type ErasureReply =
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly position: bigint | undefined }
  | { readonly kind: 'erased'; readonly erasureId: Uuid; readonly position: bigint | undefined };

export interface ErasureRequest {
  readonly requestedBy: 'owner' | 'admin';
  /** Of an owner. */
  readonly passwordMatched?: boolean;
  readonly ground?: ErasureGround;
}

/** Asking for an erasure: decided by the person's own stream, never for the last super_admin. A repeat is quiet. */
export interface ErasureRequests {
  request(userId: Uuid, asked: ErasureRequest, context: CommandContext): Promise<ErasureReply>;
  byId(erasureId: Uuid): Promise<ErasureRecord | undefined>;
}

export function createErasureRequests(deps: ErasureDeps & { readonly roles: Pick<AdminRoles, 'guard'> }): ErasureRequests {
  const { bus, records, roles, logger } = deps;
  return {
    byId: (erasureId) => records.byId(erasureId),

    async request(userId, asked, context) {
      const command = { type: 'EraseSubject', data: { userId, ...asked } } as const;
      // From where somebody asked for the own erasure would be sealed under the key that it destroys.
      const { origin: _goes, ...rest } = context;
      const outcome = await roles.guard(command, context, () => bus.execute(command, asked.requestedBy === 'owner' ? rest : context));
      if (outcome.kind === 'refused') return outcome;
      const erased = await erasureOf(deps.store, userId);
      if (erased === undefined) throw new Error(`The erasure of ${userId} is not in its stream`);
      try {
        await beginErasure(deps, erased);
      } catch (error) {
        // It is decided and in the log: who carries it out from there does this first.
        logger.warn({ err: error, userId }, 'An erasure was decided and is carried out a moment later');
      }
      return { kind: 'erased', erasureId: erased.eventId, position: outcome.position };
    },
  };
}

/** What waits for nothing and nobody: from here on nothing that the log says of this person can be read. */
async function beginErasure({ records, vault }: Pick<ErasureDeps, 'records' | 'vault'>, erased: Erased): Promise<void> {
  const subject = userSubject(erased.userId);
  await records.begin(erased);
  await records.note(erased.eventId, { subjects: [subject] });
  await vault.destroyKeys([subject]);
  await vault.forgetCredentials(erased.userId);
}

export type CarryOut = (erased: Erased) => Promise<void>;

/**
 * Carries an erasure out, from the first step to the last, each of which can be repeated: after a crash it begins again, and
 * once it is done another run changes nothing. Throws where a step is not possible yet.
 */
export function createErasureProcess(deps: ErasureDeps & { readonly traces: ReadableTraces; readonly notary: ErasureNotary }): CarryOut {
  const { bus, boxes, records, vault, traces, notary } = deps;

  /** As an owner's own unlink: every link ends, the PIN too, what was asked for and not sent is cancelled, the next owner brings a new key. */
  async function release(deviceId: Uuid, { userId, eventId, requestedBy }: Erased): Promise<void> {
    await bus.execute(
      { type: 'UnlinkDevice', data: { deviceId, userId, by: requestedBy } },
      {
        commandId: derivedCommandId('erasure', eventId, deviceId),
        correlationId: eventId,
        causationId: eventId,
        actor: { kind: 'system', id: ERASURE },
        source: 'system',
      },
    );
  }

  return async (erased) => {
    const { userId, eventId } = erased;
    await beginErasure(deps, erased);

    const owned = await boxes.deviceIdsOf(userId);
    const noted = await records.note(eventId, { boxes: owned });
    for (const deviceId of owned) await release(deviceId, erased);

    // Nobody opens a box of theirs from here on: what couriers told there is complete.
    const deliveries = (await traces.deliveriesOf(userId)).map(deliverySubject);
    const { subjects } = await records.note(eventId, { subjects: deliveries });
    const { keys } = await vault.destroyKeys(subjects);
    await traces.forget(userId, subjects, noted.boxes);

    const receipt = await records.sign(eventId, notary.receipt(erased, { keys, deliveries: subjects.length - 1, boxes: noted.boxes.length }));
    // Nobody is told that it is done before a restored backup could be told, too.
    await notary.keep(receipt);
    await records.complete(eventId);
  };
}

const ERASURE = 'erasure';

/** Carries out every erasure of the log; again for a box that was claimed at the same moment. */
export function erasureReactor({ bus, store }: Pick<ErasureDeps, 'bus' | 'store'>, carryOut: CarryOut): Reactor {
  return {
    name: ERASURE,
    eventTypes: ['SubjectErased', 'DeviceAssigned'],
    startFrom: 'start',
    sideBySide: 8,
    async react(event) {
      if (event.type === 'SubjectErased') return carryOut(erasedOf(event));
      if (event.type !== 'DeviceAssigned') return;
      const { state } = await bus.load<UserState>(userAggregate, event.data.userId);
      if (state.kind !== 'registered' || !state.erased) return;
      const erased = await erasureOf(store, event.data.userId);
      if (erased !== undefined) await carryOut(erased);
    },
  };
}

function erasedOf({ eventId, stream, revision, position, data }: RecordedOf<'SubjectErased'>): Erased {
  return { eventId, userId: stream.slice('user-'.length), requestedBy: data.requestedBy, at: data.at, revision, position };
}

/** Sessions that end with it come after it; then nothing does. */
const LAST_EVENTS = 100;

/** How somebody was erased; undefined: this log does not know of it. */
export async function erasureOf(store: Pick<EventStore, 'readStream'>, userId: Uuid): Promise<Erased | undefined> {
  for await (const wire of store.readStream(userAggregate.streamOf(userId), { direction: 'backwards', limit: LAST_EVENTS })) {
    if (wire.type === 'SubjectErased') return erasedOf(recordedOf(wire) as RecordedOf<'SubjectErased'>);
  }
  return undefined;
}

/** What is true of backups, told before an erasure and after it. */
export function backupsSay(days: number, until: string): string {
  return (
    `Backups that were made before still hold the keys, wrapped, and with them the data. They are kept for ${days} days, until ${until}. ` +
    'If one of them is restored before then, this erasure is carried out again at the start.'
  );
}
