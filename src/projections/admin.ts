import type { Actor, Instant, Uuid } from '../domain/kernel.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import { newId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Database } from '../platform/postgres/db.ts';
import { PROJECTIONS_CHANNEL, readCheckpoints, type Checkpoint, type ProjectionError } from './checkpoints.ts';
import { dropRetired } from './generations.ts';
import { systemLog } from './log-identity.ts';
import type { AnyProjection } from './projection.ts';
import { rebuild, UnknownProjection, type RebuildProgress, type RebuildResult } from './rebuild.ts';

/** What `loqey projections` shows and does. */
export interface ProjectionAdmin {
  status(): Promise<ProjectionsStatus>;
  /** One read model, or all in one pass. @throws UnknownProjection · RebuildRunning */
  rebuild(name: string, options?: { readonly onProgress?: (progress: RebuildProgress) => void; readonly signal?: AbortSignal }): Promise<readonly RebuildResult[]>;
  /**
   * Lets a stopped projection go on after the event it stands before: recorded, with who and why, before it happens.
   * @throws NotStoppedThere
   */
  skip(name: string, position: bigint, why: { readonly actor: Actor; readonly reason: string }): Promise<void>;
  /** Drops the generations that a rebuild replaced, instead of after 24 h. Answers their schemas. */
  dropRetired(name: string): Promise<readonly string[]>;
}

export interface ProjectionsStatus {
  /** Of the log; undefined while it is empty. */
  readonly head: bigint | undefined;
  readonly projections: readonly ProjectionStatus[];
}

export interface ProjectionStatus {
  readonly name: string;
  /** `outdated`: this program has another version, which is built when the server starts. */
  readonly state: Checkpoint['state'] | 'missing' | 'outdated';
  readonly position: bigint | undefined;
  readonly version: number | undefined;
  readonly generation: number | undefined;
  readonly lastEventAt: Instant | undefined;
  readonly error: ProjectionError | undefined;
  readonly sizeBytes: number;
  readonly generations: readonly { readonly generation: number; readonly version: number; readonly state: string; readonly since: Instant }[];
}

export class NotStoppedThere extends Error {
  override readonly name = 'NotStoppedThere';
}

export interface ProjectionAdminOptions {
  readonly db: Database;
  readonly store: EventStore;
  readonly projections: readonly AnyProjection[];
  readonly logId: Uuid;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createProjectionAdmin(options: ProjectionAdminOptions): ProjectionAdmin {
  const { db, store, projections, clock } = options;

  function namesOf(name: string): readonly string[] {
    const names = projections.map((projection) => projection.name);
    if (name === 'all') return names;
    if (!names.includes(name)) throw new UnknownProjection(name, names);
    return [name];
  }

  async function status(): Promise<ProjectionsStatus> {
    const [checkpoints, head, generations] = await Promise.all([
      readCheckpoints(db),
      store.head(),
      db.pool.query<{ name: string; generation: number; version: number; state: string; since: Instant; size: string }>(
        `SELECT g.name, g.generation, g.version, g.state, coalesce(g.retired_at, g.active_at, g.created_at) AS since,
                coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE c.relkind = 'r' AND n.nspname = format('read_%s_%s_%s', g.name, g.version, g.generation)), 0) AS size
           FROM work.projection_generations g ORDER BY g.name, g.generation`,
      ),
    ]);
    return {
      head,
      projections: projections.map(({ name, version }): ProjectionStatus => {
        const checkpoint = checkpoints.find((candidate) => candidate.name === name);
        const own = generations.rows.filter((generation) => generation.name === name);
        return {
          name,
          state: checkpoint === undefined ? 'missing' : checkpoint.version === version ? checkpoint.state : 'outdated',
          position: checkpoint === undefined || checkpoint.position < 0n ? undefined : checkpoint.position,
          version: checkpoint?.version,
          generation: checkpoint?.generation,
          lastEventAt: checkpoint?.lastEventAt ?? undefined,
          error: checkpoint?.error ?? undefined,
          sizeBytes: own.reduce((sum, { size }) => sum + Number(size), 0),
          generations: own.map(({ generation, version: of, state, since }) => ({ generation, version: of, state, since })),
        };
      }),
    };
  }

  async function skip(name: string, position: bigint, { actor, reason }: { readonly actor: Actor; readonly reason: string }): Promise<void> {
    namesOf(name);
    const at = async () => (await readCheckpoints(db)).find((checkpoint) => checkpoint.name === name);
    const found = await at();
    if (found?.state !== 'stopped' || found.error?.position !== String(position)) {
      const where = found?.state === 'stopped' ? `It stands before position ${found.error?.position}.` : 'It is not stopped.';
      throw new NotStoppedThere(`${name} does not stand before position ${position}. ${where}`);
    }
    const commandId = newId();
    await store.append(systemLog, 'any', [
      {
        eventId: newId(),
        type: 'ProjectionEventSkipped',
        data: { projection: name, position: String(position), reason },
        metadata: {
          schemaVersion: 1,
          commandId,
          correlationId: commandId,
          causationId: commandId,
          actor,
          source: 'system',
          occurredAt: instant(clock.now()),
        },
      },
    ]);
    // Only from where it was seen to stand: of two who skip at once, one event is passed, not two.
    const { rowCount } = await db.pool.query(
      `WITH moved AS (
         UPDATE work.projections SET position = $1::numeric, state = 'running', error = NULL, updated_at = now()
          WHERE name = $2 AND state = 'stopped' AND generation = $3 AND position = $4::numeric RETURNING name
       ) SELECT pg_notify($5, name) FROM moved`,
      [String(position), name, found.generation, String(found.position), PROJECTIONS_CHANNEL],
    );
    if (rowCount === 0) throw new NotStoppedThere(`${name} was moved on by somebody else at the same time.`);
  }

  return {
    status,
    rebuild: async (name, { onProgress, signal } = {}) =>
      rebuild({ ...options, names: namesOf(name), ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) }),
    skip,
    dropRetired: async (name) => dropRetired(db, 0, namesOf(name)),
  };
}
