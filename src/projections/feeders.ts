import { pause } from '../platform/backoff.ts';
import type { Database } from '../platform/postgres/db.ts';
import { readCheckpoints, type Checkpoint } from './checkpoints.ts';
import type { AnyProjection } from './projection.ts';
import type { Session } from './session.ts';

/** Class of the shared advisory locks of processes that can feed a version of a read model. Any constant. */
const FEEDERS = 20_261_123;

/** How often, and for how long together, somebody must be missing to be gone: whoever loses its connection comes back at once. */
const LOOKS = 3;
const LOOK_MS = 400;

const keyOf = (name: string, version: number) => `${name}@${version}`;

/** For as long as the session lives others know that this process has these versions, whether it leads or stands by. */
export async function announceVersions(session: Session, projections: readonly AnyProjection[]): Promise<void> {
  await session.read(projections.map(({ name, version }) => ({ text: 'SELECT pg_advisory_lock_shared($1, hashtext($2))', values: [FEEDERS, keyOf(name, version)] })));
}

/** Whether a process has this version of the read model, and so can feed it. */
export async function canBeFed(db: Database, name: string, version: number): Promise<boolean> {
  const { rows } = await db.pool.query<{ found: boolean }>({
    name: 'projections.feeders',
    text: `SELECT EXISTS (
             SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1::bigint::oid
                AND objid = (hashtext($2)::bigint & 4294967295)::oid AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           ) AS found`,
    values: [FEEDERS, keyOf(name, version)],
  });
  return rows[0]?.found === true;
}

/** The same, and patient: gone is who is missing several times. */
export async function isStillFed(db: Database, name: string, version: number, signal?: AbortSignal): Promise<boolean> {
  for (let look = 0; look < LOOKS; look++) {
    if (look > 0) await pause(LOOK_MS, signal);
    if (signal?.aborted === true || (await canBeFed(db, name, version))) return true;
  }
  return false;
}

/** Of those of `projections`, what is read in another version than theirs. */
export async function otherVersions(db: Database, projections: readonly AnyProjection[]): Promise<readonly Checkpoint[]> {
  return (await readCheckpoints(db)).filter((checkpoint) => projections.some(({ name, version }) => name === checkpoint.name && version !== checkpoint.version));
}
