import type { Uuid } from '../domain/kernel.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { isTransient, type Database } from '../platform/postgres/db.ts';
import { readCheckpoints, type Checkpoint, type ProjectionError } from './checkpoints.ts';
import { canBeFed, isStillFed } from './feeders.ts';
import { startEmpty } from './generations.ts';
import { perform } from './perform.ts';
import type { AnyProjection } from './projection.ts';
import { RebuildRunning, type Finish, type RebuildFailure, type RebuildResult } from './rebuild.ts';
import { askRun, giveUp, nextRun, RunCancelled, RunPending, type ProjectionRun } from './runs.ts';
import { openSession } from './session.ts';

export interface BuilderOptions {
  readonly db: Database;
  readonly store: EventStore;
  readonly projections: readonly AnyProjection[];
  readonly logId: Uuid;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where a version of this program cannot be built: why. Shared with the groups, which show it. */
  readonly failures: Map<string, ProjectionError>;
  /** Milliseconds between two looks. Default 1,000. */
  readonly lookMs?: number;
}

/** How far a generation that waits may fall behind before it is brought up to date again: so the switch itself is short. */
const STALE_SECONDS = 10;

interface Waiting {
  readonly name: string;
  readonly generation: number;
  readonly state: 'ready' | 'retired';
  readonly stale: boolean;
}

/**
 * Builds beside the groups, in every process with projections, whether it leads or stands by: what this program has in
 * another version than the one that is read, and what was asked for. The locks of a rebuild see to it that one process does.
 *
 * A version of this program is switched to once no process is left that can feed the one before: until then that one is
 * read, everywhere, and the new one waits beside it. A program that is older than what is read builds nothing while a
 * process of the newer one is there, so that two of a rolling upgrade do not switch to and fro.
 */
export function createBuilder(options: BuilderOptions): Component {
  const { db, projections, failures, lookMs = 1_000 } = options;
  const logger = options.logger.child({ component: 'projection-builder' });
  let stop = new AbortController();
  let running: Promise<void> = Promise.resolve();

  async function loop(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; ) {
      try {
        await upgrade(signal);
        if (signal.aborted) return;
        await asked(signal);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        attempt++;
        // A database that is away is said by those who wait for it.
        logger[isTransient(error) ? 'warn' : 'error']({ err: error }, 'Read models could not be built; it is tried again');
      }
      await pause(lookMs + (attempt === 0 ? 0 : fullJitter(attempt, { baseMs: 500, capMs: 30_000 })), signal);
    }
  }

  async function upgrade(signal: AbortSignal): Promise<void> {
    const checkpoints = new Map((await readCheckpoints(db)).map((checkpoint) => [checkpoint.name, checkpoint]));
    const others = projections.filter(({ name, version }) => !failures.has(name) && checkpoints.get(name)?.version !== version);
    if (others.length === 0) return;
    const waiting = await waitingOf(others);
    const anew: AnyProjection[] = [];
    for (const projection of others) {
      const { name, version } = projection;
      const live = checkpoints.get(name);
      const found = waiting.get(name);
      if (live !== undefined && live.version > version && (await isStillFed(db, name, live.version, signal))) continue;
      if (found === undefined) anew.push(projection);
      else if (live === undefined || !(await canBeFed(db, name, live.version)) || (found.stale && found.state === 'ready')) await build([projection], checkpoints, signal, found.generation);
      if (signal.aborted) return;
    }
    if (anew.length > 0) await build(anew, checkpoints, signal);
  }

  /** Generations of this program's versions that can be brought up to date: they wait, or were replaced not long ago. */
  async function waitingOf(others: readonly AnyProjection[]): Promise<ReadonlyMap<string, Waiting>> {
    const { rows } = await db.pool.query<Waiting>(
      `SELECT DISTINCT ON (g.name) g.name, g.generation, g.state, coalesce(g.retired_at < now() - make_interval(secs => $3), true) AS stale
         FROM work.projection_generations g JOIN unnest($1::text[], $2::integer[]) AS own (name, version) ON own.name = g.name AND own.version = g.version
        WHERE g.state IN ('ready', 'retired') AND g.resumable ORDER BY g.name, g.generation DESC`,
      [others.map(({ name }) => name), others.map(({ version }) => version), STALE_SECONDS],
    );
    return new Map(rows.map((row) => [row.name, row]));
  }

  async function build(chosen: readonly AnyProjection[], checkpoints: ReadonlyMap<string, Checkpoint>, signal: AbortSignal, generation?: number): Promise<void> {
    const names = chosen.map(({ name }) => name);
    const finish = async (name: string): Promise<Finish> => {
      const live = checkpoints.get(name);
      return live !== undefined && (await isStillFed(db, name, live.version, signal)) ? 'ready' : 'switch';
    };
    let results: readonly RebuildResult[];
    try {
      const run = await askRun(db, { names, action: 'rebuild', options: generation === undefined ? {} : { generation }, kind: 'upgrade', askedBy: 'system' });
      if (generation === undefined) logger.info({ projections: names }, 'Read models of another version are built beside the running ones');
      results = await perform(options, run, { signal, finish });
    } catch (error) {
      // Another process is at it, or somebody took it back: the next look decides anew.
      if (error instanceof RebuildRunning || error instanceof RunPending || error instanceof RunCancelled) return;
      throw error;
    }
    for (const { name, failure } of results) if (failure !== undefined) await withoutBuild(name, failure, checkpoints.has(name));
  }

  /** What has no earlier version starts empty and follows the log up to the event it cannot take; else that one stays. */
  async function withoutBuild(name: string, failure: RebuildFailure, hasEarlier: boolean): Promise<void> {
    const projection = projections.find((candidate) => candidate.name === name);
    if (projection === undefined) return;
    if (hasEarlier) {
      failures.set(name, failure.problem);
      return;
    }
    const own = await openSession({ url: db.url, name: 'loqey-projector-empty', statementTimeoutMs: 60_000 });
    try {
      await startEmpty(own, projection, options.logId);
    } finally {
      await own.close().catch(() => undefined);
    }
  }

  async function asked(signal: AbortSignal): Promise<void> {
    const run = await nextRun(db);
    if (run === undefined || (await isOthers(run))) return;
    try {
      const results = await perform(options, run, { signal });
      for (const { name, outcome } of results) if (outcome === 'switched') failures.delete(name);
    } catch (error) {
      if (error instanceof RebuildRunning || error instanceof RunCancelled || signal.aborted) return;
      await giveUp(db, run.id, (error as Error).message);
      logger.warn({ err: error, run: run.id, action: run.action, projections: run.names }, 'What was asked of read models could not be done');
    }
  }

  /** What is read in another version is built by a process that has that one, as long as there is one. */
  async function isOthers({ names }: ProjectionRun): Promise<boolean> {
    const checkpoints = (await readCheckpoints(db)).filter(({ name }) => names.includes(name));
    for (const { name, version } of checkpoints) {
      const own = projections.find((projection) => projection.name === name)?.version;
      if (own !== version && (await canBeFed(db, name, version))) return true;
    }
    return false;
  }

  return component(
    async () => {
      stop = new AbortController();
      running = loop(stop.signal);
    },
    async () => {
      stop.abort();
      await running;
    },
  );
}
