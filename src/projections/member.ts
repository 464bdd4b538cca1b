import type { Recorded } from '../domain/events.ts';
import { recordedOf } from '../domain/registry.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import { categoryOfStream, schemaOf, type AnyProjection, type Emit, type RowsOf, type Tables, type Wants } from './projection.ts';
import type { LiveChange } from './read-models.ts';
import { TableRows } from './rows.ts';
import type { Statement } from './pipeline.ts';
import type { Session } from './session.ts';

/** An event as stored, and what it decodes to, done once for all projections. */
export interface BatchEvent {
  readonly stored: RecordedEvent;
  readonly category: string;
  readonly event: Recorded | undefined;
  /** Why it does not decode. It matters only to whoever must know every type of its category. */
  readonly undecodable: Error | undefined;
}

export function decodeBatch(events: readonly RecordedEvent[]): readonly BatchEvent[] {
  return events.map((stored) => {
    const category = categoryOfStream(stored.stream);
    try {
      return { stored, category, event: recordedOf(stored), undecodable: undefined };
    } catch (error) {
      return { stored, category, event: undefined, undecodable: error as Error };
    }
  });
}

/** The event that a projection cannot take. */
export interface Poison {
  readonly event: RecordedEvent;
  readonly error: Error;
}

export interface Staged {
  /** What the projection tells others of the events it took. */
  readonly changes: readonly LiveChange[];
  readonly poison: Poison | undefined;
}

/** One projection, bound to the generation it writes to. */
export class Member {
  readonly projection: AnyProjection;
  readonly generation: number;
  readonly schema: string;
  /** Of the last event applied, -1 before the first. */
  position: bigint;
  /** Recorded time of that event. */
  lastEventAt: string | undefined;
  readonly #rows: Readonly<Record<string, TableRows>>;
  readonly #wants: Wants<Tables>;
  readonly #writes: Wants<Tables>;

  constructor(projection: AnyProjection, generation: number, position: bigint, cacheRows: number) {
    this.projection = projection;
    this.generation = generation;
    this.position = position;
    this.schema = schemaOf(projection.name, projection.version, generation);
    const tables = Object.entries(projection.tables);
    this.#rows = Object.fromEntries(tables.map(([name, table]) => [name, new TableRows(this.schema, table, cacheRows)]));
    this.#wants = Object.fromEntries(Object.entries(this.#rows).map(([name, rows]) => [name, rows.want]));
    this.#writes = Object.fromEntries(Object.entries(this.#rows).map(([name, rows]) => [name, rows.writes]));
  }

  get name(): string {
    return this.projection.name;
  }

  /** The events of a batch that this projection has something to do with, those it must stop at included. */
  relevant(batch: readonly BatchEvent[]): readonly BatchEvent[] {
    const { every, on, categories } = this.projection;
    return batch.filter(({ stored, event, category }) => {
      if (stored.position <= this.position) return false; // redelivered
      if (every !== undefined) return true;
      return event === undefined ? categories.includes(category) : on[event.type] !== undefined;
    });
  }

  want(events: readonly BatchEvent[], more: boolean): void {
    const { always, load, loadMore } = this.projection;
    if (!more && events.length > 0) always?.(this.#wants);
    for (const { event } of events) {
      if (event === undefined) continue;
      if (more) loadMore?.(event, this.#wants, this.#typedRows);
      else load?.(event, this.#wants, this.#writes);
    }
  }

  loading(): readonly { readonly rows: TableRows; readonly statement: Statement }[] {
    return Object.values(this.#rows).flatMap((rows) => {
      const statement = rows.loading();
      return statement === undefined ? [] : [{ rows, statement }];
    });
  }

  /** Runs the handlers; stops at the first that throws. */
  fold(events: readonly BatchEvent[], onChange: (change: LiveChange) => void): Poison | undefined {
    const { every, on } = this.projection;
    const rows = this.#typedRows;
    for (const { stored, event, undecodable } of events) {
      try {
        if (every !== undefined) {
          every(stored, rows);
          continue;
        }
        if (event === undefined) throw undecodable ?? new Error('The event does not decode');
        const emit: Emit = (topics, type, payload) =>
          onChange({
            position: stored.position,
            eventId: stored.eventId,
            topics: topics.filter((topic) => topic !== undefined),
            type,
            payload,
          });
        // The handler's type was checked with its event's by `defineProjection`; here any of them meets any event.
        (on[event.type] as ((event: Recorded, rows: RowsOf<Tables>, emit: Emit) => void) | undefined)?.(event, rows, emit);
      } catch (error) {
        return { event: stored, error: error as Error };
      }
    }
    return undefined;
  }

  writing(): readonly Statement[] {
    return Object.values(this.#rows).flatMap((rows) => rows.writing());
  }

  keep(): void {
    for (const rows of Object.values(this.#rows)) rows.keep();
  }

  discard(): void {
    for (const rows of Object.values(this.#rows)) rows.discard();
  }

  get #typedRows(): RowsOf<Tables> {
    return this.#rows as unknown as RowsOf<Tables>;
  }
}

/**
 * Brings the members' rows in memory to what they are after the batch; nothing is written yet. A member that cannot take
 * an event is staged up to the event before it, and says so.
 *
 * @param stored reads rows that are not known; sees everything that was sent on it before
 */
export async function stage(
  session: Session,
  members: readonly Member[],
  batch: readonly BatchEvent[],
): Promise<ReadonlyMap<Member, Staged>> {
  const work = members.map((member) => ({ member, events: member.relevant(batch) }));
  await Promise.all(
    work.map(async ({ member, events }) => {
      const { prepare } = member.projection;
      if (prepare === undefined || events.length === 0) return;
      await prepare(events.flatMap(({ event }) => (event === undefined ? [] : [event])));
    }),
  );
  await load(session, work);
  const staged = new Map<Member, Staged>();
  for (const { member, events } of work) {
    const changes: LiveChange[] = [];
    const poison = member.fold(events, (change) => changes.push(change));
    if (poison === undefined) {
      staged.set(member, { changes, poison });
      continue;
    }
    // What the handlers before it did is mixed with half of what this one did: fold again without it.
    member.discard();
    const before = batch.filter(({ stored }) => stored.position < poison.event.position);
    const again = await stage(session, [member], before);
    staged.set(member, { changes: again.get(member)?.changes ?? [], poison });
  }
  return staged;
}

async function load(session: Session, work: readonly { readonly member: Member; readonly events: readonly BatchEvent[] }[]): Promise<void> {
  for (const more of [false, true]) {
    for (const { member, events } of work) member.want(events, more);
    const loading = work.flatMap(({ member }) => member.loading());
    if (loading.length === 0) continue;
    const results = await session.read(loading.map(({ statement }) => statement));
    loading.forEach(({ rows }, i) => rows.loaded(results[i] ?? []));
  }
}
