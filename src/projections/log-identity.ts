import type { Uuid } from '../domain/kernel.ts';
import { WrongExpectedRevision, type EventStore } from '../platform/event-store/port.ts';
import { newId } from '../platform/ids.ts';
import type { Database } from '../platform/postgres/db.ts';

export const systemLog = 'system-log';

/** The log is not what this database was built from. Stops the boot. */
export class LogIdentityError extends Error {
  override readonly name = 'LogIdentityError';
}

/**
 * The log's identity: its first event. An empty log gets one; of two processes that start at once, one writes it.
 *
 * @throws LogIdentityError when the log holds events but does not say whose it is
 */
export async function ensureLogIdentity(store: EventStore, version: string, now: () => string): Promise<Uuid> {
  const known = await readIdentity(store);
  if (known !== undefined) return known;
  for await (const { type, stream } of store.readAll({ limit: 1 })) {
    const written = await readIdentity(store); // between the two looks: another process starts as well
    if (written !== undefined) return written;
    throw new LogIdentityError(
      `The event log has no identity: its first event is ${type} in ${stream}, not LogStarted. ` +
        'It was not written by Loqey: set EVENTSTORE_URL or DATABASE_URL to the right log, or to an empty one.',
    );
  }
  const [eventId, logId, commandId] = [newId(), newId(), newId()];
  const metadata = {
    schemaVersion: 1,
    commandId,
    correlationId: commandId,
    causationId: commandId,
    actor: { kind: 'system', id: 'boot' },
    source: 'system',
    occurredAt: now(),
  } as const;
  try {
    await store.append(systemLog, 'no_stream', [{ eventId, type: 'LogStarted', data: { logId, version }, metadata }]);
    return logId;
  } catch (error) {
    if (!(error instanceof WrongExpectedRevision)) throw error;
    const other = await readIdentity(store); // another process was first
    if (other === undefined) throw error;
    return other;
  }
}

async function readIdentity(store: EventStore): Promise<Uuid | undefined> {
  for await (const { type, data } of store.readStream(systemLog, { limit: 1 })) {
    if (type === 'LogStarted' && typeof data['logId'] === 'string') return data['logId'];
  }
  return undefined;
}

/**
 * Every checkpoint must belong to this log and be within it.
 *
 * @throws LogIdentityError with what to do
 */
export async function checkLogIdentity(db: Database, store: EventStore, logId: Uuid): Promise<void> {
  const { rows } = await db.pool.query<{ name: string; log_id: string; position: string }>(
    'SELECT name, log_id, position FROM work.projections ORDER BY position DESC, name',
  );
  const other = rows.find((row) => row.log_id !== logId);
  if (other !== undefined) {
    throw new LogIdentityError(
      `The read model ${other.name} was built from log ${other.log_id}, but the event store holds log ${logId}. ` +
        'Set EVENTSTORE_URL and DATABASE_URL to ones that belong together; or, if this log is the right one, ' +
        'run "loqey projections rebuild all" to build the read models from it.',
    );
  }
  const furthest = rows[0];
  if (furthest === undefined) return;
  const head = (await store.head()) ?? -1n;
  if (BigInt(furthest.position) > head) {
    throw new LogIdentityError(
      `The read model ${furthest.name} is at position ${furthest.position}, but the log ends at ${head}: the log has lost its end. ` +
        'Restore a later backup of the log. Only if there is none, run "loqey projections rebuild all" to forget what is gone.',
    );
  }
}
