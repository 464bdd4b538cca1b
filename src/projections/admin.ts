import { userSubject } from '../domain/codec.ts';
import type { Instant, Uuid } from '../domain/kernel.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { appendAction, type ActionContext } from '../platform/event-store/actions.ts';
import type { EventStore, JsonObject } from '../platform/event-store/port.ts';
import { newId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import { PROJECTIONS_CHANNEL, readCheckpoints, type Checkpoint, type ProjectionError } from './checkpoints.ts';
import { KEPT_MS, dropRetired } from './generations.ts';
import { systemLog } from './log-identity.ts';
import { generationFor, perform } from './perform.ts';
import { groupOf, type AnyProjection, type Group } from './projection.ts';
import { UnknownProjection, type RebuildProgress, type RebuildResult } from './rebuild.ts';
import { askRun, cancelRun, readRuns, RunPending, type ProjectionRun, type RunAction, type RunOptions } from './runs.ts';

/** What `loqey projections` and `/admin/projections` show and do. */
export interface ProjectionAdmin {
  status(): Promise<ProjectionsStatus>;
  /** Carries it out in this process: one read model, or all in one pass. @throws UnknownProjection · RunPending · RebuildRunning · NotResumable */
  rebuild(name: string, options?: RunOptions & Watching): Promise<readonly RebuildResult[]>;
  perform(name: string, action: RunAction, options?: RunOptions & Watching): Promise<readonly RebuildResult[]>;
  /** Has it carried out by a process with projections; recorded before. @throws UnknownProjection · RunPending · NotResumable */
  ask(name: string, action: RunAction, options: RunOptions, context: ActionContext): Promise<ProjectionRun>;
  /** Takes back what waits or runs; recorded before. undefined: nothing does. @throws UnknownProjection */
  cancel(name: string, context: ActionContext): Promise<ProjectionRun | undefined>;
  /**
   * Lets a stopped projection go on after the event it stands before: recorded, with who and why, before it happens.
   * @throws NotStoppedThere · UnknownProjection
   */
  skip(name: string, position: bigint, why: ActionContext & { readonly reason: string }): Promise<void>;
  /** Drops the generations that a rebuild replaced or that wait, instead of after 24 h. Answers their schemas. */
  dropRetired(name: string): Promise<readonly string[]>;
}

export interface Watching {
  /** Who asks: recorded before. */
  readonly by?: ActionContext;
  readonly onProgress?: (progress: RebuildProgress) => void;
  readonly signal?: AbortSignal;
}

export interface ProjectionsStatus {
  /** Of the log; undefined while it is empty. */
  readonly head: bigint | undefined;
  readonly projections: readonly ProjectionStatus[];
}

export interface ProjectionStatus {
  readonly name: string;
  readonly group: Group;
  /** `outdated`: this program has another version, which is built beside the one that is read. */
  readonly state: Checkpoint['state'] | 'missing' | 'outdated';
  readonly position: bigint | undefined;
  /** Positions of the log that it has not seen: events, with the embedded event store. */
  readonly behind: number;
  /** Age of the oldest event that it has not applied. */
  readonly lagSeconds: number;
  readonly version: number | undefined;
  /** Of this program. */
  readonly programVersion: number;
  readonly generation: number | undefined;
  readonly lastEventAt: Instant | undefined;
  readonly error: ProjectionError | undefined;
  readonly sizeBytes: number;
  readonly generations: readonly GenerationStatus[];
  /** What waits or runs for it, or what ended last. */
  readonly run: ProjectionRun | undefined;
}

export interface GenerationStatus {
  readonly generation: number;
  readonly version: number;
  /** `ready`: built, and waits to be switched to. `retired`: can be gone back to, where `resumable`. */
  readonly state: 'building' | 'ready' | 'active' | 'retired';
  readonly position: bigint | undefined;
  readonly since: Instant;
  /** When it is dropped. */
  readonly until: Instant | undefined;
  readonly resumable: boolean;
  readonly sizeBytes: number;
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
  /** For from where an administrator asked. */
  readonly sealer?: Pick<Sealer, 'seal'>;
}

export function createProjectionAdmin(options: ProjectionAdminOptions): ProjectionAdmin {
  const { db, store, projections, clock, sealer } = options;

  function namesOf(name: string): readonly string[] {
    const names = projections.map((projection) => projection.name);
    if (name === 'all') return names;
    if (!names.includes(name)) throw new UnknownProjection(name, names);
    return [name];
  }

  async function status(): Promise<ProjectionsStatus> {
    const [checkpoints, head, generations, runs] = await Promise.all([
      readCheckpoints(db),
      store.head(),
      db.pool.query<{ name: string; generation: number; version: number; state: GenerationStatus['state']; position: string; since: Instant; retiredAt: Instant | null; resumable: boolean; size: string }>(
        `SELECT g.name, g.generation, g.version, g.state, g.position, g.resumable, coalesce(g.retired_at, g.active_at, g.created_at) AS since, g.retired_at AS "retiredAt",
                coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE c.relkind = 'r' AND n.nspname = format('read_%s_%s_%s', g.name, g.version, g.generation)), 0) AS size
           FROM work.projection_generations g ORDER BY g.name, g.generation`,
      ),
      readRuns(db),
    ]);
    const ages = await agesOf(checkpoints, head);
    return {
      head,
      projections: projections.map((projection): ProjectionStatus => {
        const { name, version } = projection;
        const checkpoint = checkpoints.find((candidate) => candidate.name === name);
        const own = generations.rows.filter((generation) => generation.name === name);
        const position = checkpoint === undefined || checkpoint.position < 0n ? undefined : checkpoint.position;
        const ofIt = runs.filter(({ names }) => names.includes(name));
        return {
          name,
          group: groupOf(projection),
          state: checkpoint === undefined ? 'missing' : checkpoint.version === version ? checkpoint.state : 'outdated',
          position,
          behind: head === undefined || (position !== undefined && position >= head) ? 0 : Number(head - (position ?? 0n)),
          lagSeconds: ages.get(checkpoint?.position ?? -1n) ?? 0,
          version: checkpoint?.version,
          programVersion: version,
          generation: checkpoint?.generation,
          lastEventAt: checkpoint?.lastEventAt ?? undefined,
          error: checkpoint?.error ?? undefined,
          sizeBytes: own.reduce((sum, { size }) => sum + Number(size), 0),
          generations: own.map(({ generation, version: of, state, position: at, since, retiredAt, resumable, size }) => ({
            generation,
            version: of,
            state,
            // The live one's is the checkpoint's.
            position: state === 'active' ? position : BigInt(at) < 0n ? undefined : BigInt(at),
            since,
            until: retiredAt === null ? undefined : instant(Date.parse(retiredAt) + KEPT_MS),
            resumable,
            sizeBytes: Number(size),
          })),
          run: ofIt.find(({ state }) => state === 'running' || state === 'waiting') ?? ofIt[0],
        };
      }),
    };
  }

  /** Seconds since the first event after each position; most read models stand at the same one. */
  async function agesOf(checkpoints: readonly Checkpoint[], head: bigint | undefined): Promise<ReadonlyMap<bigint, number>> {
    const ages = new Map<bigint, number>();
    for (const position of new Set([-1n, ...checkpoints.map((checkpoint) => checkpoint.position)])) {
      if (head === undefined || position >= head) continue;
      for await (const { recordedAt } of store.readAll({ limit: 1, ...(position < 0n ? {} : { after: position }) })) {
        ages.set(position, Math.max(0, (clock.now() - Date.parse(recordedAt)) / 1_000));
      }
    }
    return ages;
  }

  const record = (type: 'ProjectionEventSkipped' | 'ProjectionActionRequested', data: JsonObject, context: ActionContext): Promise<Uuid> =>
    appendAction({ store, clock, sealFor: sealer === undefined ? undefined : (userId, ...what) => sealer.seal(userSubject(userId), ...what) }, systemLog, type, data, context);

  async function recordAction(name: string, action: RunAction, { generation, acceptDifferences }: RunOptions, context: ActionContext): Promise<void> {
    const data = { projection: name, action, ...(generation === undefined ? {} : { generation }), ...(acceptDifferences === true ? { acceptDifferences } : {}) };
    await record('ProjectionActionRequested', data, context);
  }

  const nameOf = ({ actor }: ActionContext) => `${actor.kind}:${actor.id}`;

  async function skip(name: string, position: bigint, { reason, ...context }: ActionContext & { readonly reason: string }): Promise<void> {
    namesOf(name === 'all' ? '' : name);
    const found = (await readCheckpoints(db)).find((checkpoint) => checkpoint.name === name);
    if (found?.state !== 'stopped' || found.error?.position !== String(position)) {
      const where = found?.state === 'stopped' ? `It stands before position ${found.error?.position}.` : 'It is not stopped.';
      throw new NotStoppedThere(`${name} does not stand before position ${position}. ${where}`);
    }
    await record('ProjectionEventSkipped', { projection: name, position: String(position), reason }, context);
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

  async function performHere(name: string, action: RunAction, { onProgress, signal, by, ...asked }: RunOptions & Watching = {}): Promise<readonly RebuildResult[]> {
    const names = namesOf(action === 'rebuild' ? name : single(name));
    if (action === 'switch' || action === 'rollback') await generationFor(db, projections, name, action, asked.generation);
    const run = await askRun(db, { names, action, options: asked, kind: 'local', askedBy: by === undefined ? 'command line' : nameOf(by) });
    if (by !== undefined) await recordAction(name, action, asked, by);
    return await perform(options, run, { onProgress, signal });
  }

  /** `all` is for rebuilds: nobody switches all without having looked. */
  const single = (name: string) => (name === 'all' ? '' : name);

  return {
    status,
    rebuild: (name, asked) => performHere(name, 'rebuild', asked),
    perform: performHere,
    async ask(name, action, asked, context) {
      const names = namesOf(action === 'rebuild' ? name : single(name));
      const { commandId = newId() } = context;
      const pending = (await readRuns(db)).find((run) => (run.state === 'waiting' || run.state === 'running') && run.names.some((each) => names.includes(each)));
      if (pending?.id === commandId) return pending;
      if (pending !== undefined) throw new RunPending(pending);
      if (action === 'switch' || action === 'rollback') await generationFor(db, projections, name, action, asked.generation);
      await recordAction(name, action, asked, { ...context, commandId });
      return await askRun(db, { id: commandId, names, action, options: asked, kind: 'asked', askedBy: nameOf(context) });
    },
    async cancel(name, context) {
      namesOf(single(name));
      const pending = (await readRuns(db)).find((run) => (run.state === 'waiting' || run.state === 'running') && run.names.includes(name));
      if (pending === undefined) return undefined;
      await record('ProjectionActionRequested', { projection: name, action: 'cancel' }, context);
      return await cancelRun(db, name);
    },
    skip,
    dropRetired: async (name) => (await dropRetired(db, 0, namesOf(name))).dropped,
  };
}
