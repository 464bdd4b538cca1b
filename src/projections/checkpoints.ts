import type { Instant, Uuid } from '../domain/kernel.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Member } from './member.ts';
import type { LiveChange } from './read-models.ts';
import type { Statement } from './pipeline.ts';
import type { Session } from './session.ts';

/** What is in `work.projections`. */
export interface Checkpoint {
  readonly name: string;
  readonly version: number;
  readonly generation: number;
  readonly position: bigint;
  readonly logId: Uuid;
  readonly state: 'running' | 'catching_up' | 'stopped';
  readonly error: ProjectionError | null;
  readonly lastEventAt: Instant | null;
}

/** The event that stopped a projection. */
export interface ProjectionError {
  /** Opaque; what `skip` takes. */
  readonly position: string;
  readonly eventId: Uuid;
  readonly type: string;
  readonly stream: string;
  readonly message: string;
}

export function problemOf({ position, eventId, type, stream }: RecordedEvent, error: Error): ProjectionError {
  return { position: String(position), eventId, type, stream, message: error.message };
}

/** Told by the live group after each batch, with its position. */
export const LIVE_CHANNEL = 'loqey_live';
/** Told when a checkpoint's generation or state changed, with the projection's name. */
export const PROJECTIONS_CHANNEL = 'loqey_projections';
/** The SQLSTATE of `work.advance_projections` when the fence does not hold. */
export const FENCED = 'LQ001';

/** Changes of events older than this are not told to anyone, and told ones are not kept longer. */
export const LIVE_CHANGES_KEPT_MS = 24 * 3_600_000;

export async function readCheckpoints(db: Database): Promise<readonly Checkpoint[]> {
  const { rows } = await db.pool.query<Omit<Checkpoint, 'position'> & { position: string }>({
    name: 'projections.checkpoints',
    text: `SELECT name, version, generation, position, log_id AS "logId", state, error, last_event_at AS "lastEventAt"
             FROM work.projections ORDER BY name`,
  });
  return rows.map((row) => ({ ...row, position: BigInt(row.position) }));
}

export interface BatchEnd {
  readonly position: bigint;
  readonly lastEventAt: Instant | undefined;
}

/**
 * Writes what is staged in the members and moves their checkpoints, all or nothing, in one round trip.
 * Then the members start the next batch from there.
 *
 * @throws an error with SQLSTATE `FENCED` when another runner moved a checkpoint, or a rebuild its generation
 */
export async function writeLive(
  session: Session,
  members: readonly Member[],
  changes: readonly LiveChange[],
  end: BatchEnd,
  now: number,
  notify: boolean,
): Promise<void> {
  await session.write([
    // First: it holds the rows until the commit, so a rebuild that switches waits, and a second runner fails here.
    {
      name: 'projections.advance',
      text: 'SELECT work.advance_projections($1::text[], $2::integer[], $3::numeric[], $4::numeric, $5::timestamptz)',
      values: [
        members.map(({ name }) => name),
        members.map(({ generation }) => generation),
        members.map(({ position }) => String(position)),
        String(end.position),
        end.lastEventAt ?? null,
      ],
    },
    ...members.flatMap((member) => member.writing()),
    ...writingChanges(changes, end, now),
    ...(notify ? [notifying(LIVE_CHANNEL, String(end.position))] : []),
  ]);
  for (const member of members) {
    member.keep();
    member.position = end.position;
    member.lastEventAt = end.lastEventAt ?? member.lastEventAt;
  }
}

export function notifying(channel: string, payload: string): Statement {
  return { name: 'projections.notify', text: 'SELECT pg_notify($1, $2)', values: [channel, payload] };
}

function writingChanges(changes: readonly LiveChange[], end: BatchEnd, now: number): readonly Statement[] {
  if (changes.length === 0) return [];
  // A batch of old events is a catch-up after a long time: whoever resumes from before it must read anew.
  if (end.lastEventAt !== undefined && Date.parse(end.lastEventAt) < now - LIVE_CHANGES_KEPT_MS) {
    const text = 'UPDATE work.live_floor SET position = greatest(position, $1::numeric)';
    return [{ name: 'projections.floor', text, values: [String(end.position)] }];
  }
  const rows = changes.flatMap(({ position, eventId, topics, type, payload }, i) =>
    topics.map((topic) => ({ position: String(position), topic, change_no: i, topics, event_id: eventId, type, payload })),
  );
  const columns = 'position, topic, change_no, topics, event_id, type, payload';
  return [
    {
      name: 'projections.changes',
      text: `INSERT INTO work.live_changes (${columns}) SELECT ${columns} FROM json_to_recordset($1::json)
               AS r (position numeric, topic text, change_no integer, topics text[], event_id uuid, type text, payload jsonb)`,
      values: [JSON.stringify(rows)],
    },
  ];
}

/** The changes of a range of positions, in order, put together from their rows. */
export async function readChanges(db: Database, after: bigint, upTo: bigint): Promise<readonly LiveChange[]> {
  const { rows } = await db.pool.query<StoredChange>({
    name: 'projections.changes_between',
    text: `SELECT DISTINCT ON (position, change_no, event_id, type) ${changeColumns} FROM work.live_changes
            WHERE position > $1::numeric AND position <= $2::numeric ORDER BY position, change_no, event_id, type LIMIT 10000`,
    values: [String(after), String(upTo)],
  });
  return rows.map(changeOf);
}

export interface StoredChange {
  readonly position: string;
  readonly eventId: Uuid;
  readonly topics: readonly string[];
  readonly type: string;
  readonly payload: LiveChange['payload'];
}

export const changeColumns = 'position, event_id AS "eventId", topics, type, payload';

export function changeOf({ position, eventId, topics, type, payload }: StoredChange): LiveChange {
  return { position: BigInt(position), eventId, topics, type, payload };
}
