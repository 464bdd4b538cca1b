import type pg from 'pg';
import type { Instant, Uuid } from '../domain/kernel.ts';
import type { Database } from '../platform/postgres/db.ts';
import { newId } from '../platform/ids.ts';
import type { ProjectionError } from './checkpoints.ts';
import type { Comparison } from './comparison.ts';
import { RebuildFailure, type RebuildProgress, type RebuildResult } from './rebuild.ts';

/** What is asked of read models and takes its time. */
export type RunAction = 'rebuild' | 'compare' | 'switch' | 'rollback';

export interface RunOptions {
  /** Default true: `rebuild` switches to what it built. */
  readonly switch?: boolean;
  /** Hold it against the live one first; a difference leaves it waiting. */
  readonly compare?: boolean;
  readonly acceptDifferences?: boolean;
  /** Of `switch`: which one, where it is not the one that waits. */
  readonly generation?: number;
}

/** One row of `work.projection_runs`. */
export interface ProjectionRun {
  readonly id: Uuid;
  readonly names: readonly string[];
  readonly action: RunAction;
  readonly options: RunOptions;
  readonly kind: 'asked' | 'local' | 'upgrade';
  readonly state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly askedBy: string;
  readonly askedAt: Instant;
  readonly startedAt: Instant | null;
  readonly finishedAt: Instant | null;
  readonly progress: RebuildProgress | null;
  readonly results: readonly RunResult[] | null;
  readonly error: string | null;
  readonly attempts: number;
}

export interface RunResult {
  readonly name: string;
  readonly version: number;
  readonly generation: number;
  readonly outcome: RebuildResult['outcome'];
  readonly events: number;
  readonly seconds: number;
  readonly comparison?: Comparison;
  /** The event that it cannot take. */
  readonly problem?: ProjectionError;
}

/** One that names the same read model is under way or waits. */
export class RunPending extends Error {
  override readonly name = 'RunPending';
  readonly run: ProjectionRun;

  constructor(run: ProjectionRun) {
    super(`A ${run.action} of ${run.names.length === 1 ? run.names[0] : 'read models'} ${run.state === 'running' ? 'is under way' : 'waits'} already`);
    this.run = run;
  }
}

/** Somebody took it back while it ran. */
export class RunCancelled extends Error {
  override readonly name = 'RunCancelled';
}

/** A run whose process has not been heard of for so long has broken off, unless its locks say otherwise. */
const SILENT_SECONDS = 5;
const BEAT_MS = 1_000;
/** A run that breaks its process each time is not tried for ever. */
const ATTEMPTS = 3;
const KEPT_DAYS = 30;
/** Any constant: runs are asked for one after another. */
const ASKING = 7_020_126_112_309_500n;

const columns = `id, names, action, options, kind, state, asked_by AS "askedBy", asked_at AS "askedAt", started_at AS "startedAt", finished_at AS "finishedAt",
  progress, results, error, attempts`;

/** @throws RunPending where one of the names is taken */
export async function askRun(
  db: Database,
  { names, action, options, kind, askedBy, id = newId() }: Pick<ProjectionRun, 'names' | 'action' | 'options' | 'kind' | 'askedBy'> & { readonly id?: Uuid },
): Promise<ProjectionRun> {
  return await db.transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [String(ASKING)]);
    await endSilent(client);
    const { rows: known } = await client.query<ProjectionRun>(`SELECT ${columns} FROM work.projection_runs WHERE id = $1`, [id]);
    if (known[0] !== undefined) return known[0]; // the same request again
    const { rows: pending } = await client.query<ProjectionRun>(
      `SELECT ${columns} FROM work.projection_runs WHERE state IN ('waiting', 'running') AND names && $1::text[] ORDER BY asked_at LIMIT 1`,
      [names],
    );
    if (pending[0] !== undefined) throw new RunPending(pending[0]);
    await client.query(`DELETE FROM work.projection_runs WHERE state NOT IN ('waiting', 'running') AND asked_at < now() - make_interval(days => $1)`, [KEPT_DAYS]);
    const { rows } = await client.query<ProjectionRun>(
      `INSERT INTO work.projection_runs (id, names, action, options, kind, state, asked_by) VALUES ($1, $2, $3, $4, $5, 'waiting', $6) RETURNING ${columns}`,
      [id, names, action, JSON.stringify(options), kind, askedBy],
    );
    const [run] = rows;
    if (run === undefined) throw new Error('The run was not stored');
    return run;
  });
}

/** What waits or runs, or ended lately, newest first. */
export async function readRuns(db: Database, limit = 50): Promise<readonly ProjectionRun[]> {
  const { rows } = await db.pool.query<ProjectionRun>(`SELECT ${columns} FROM work.projection_runs ORDER BY asked_at DESC, id DESC LIMIT $1`, [limit]);
  return rows;
}

export async function readRun(db: Database, id: Uuid): Promise<ProjectionRun | undefined> {
  const { rows } = await db.pool.query<ProjectionRun>(`SELECT ${columns} FROM work.projection_runs WHERE id = $1`, [id]);
  return rows[0];
}

/** A command line that was killed leaves nothing to be done; nor does an upgrade, which is begun anew. */
async function endSilent(client: Pick<pg.ClientBase, 'query'>): Promise<void> {
  await client.query(
    `UPDATE work.projection_runs SET state = 'failed', error = 'It broke off', finished_at = now()
      WHERE kind <> 'asked' AND state IN ('waiting', 'running') AND updated_at < now() - make_interval(secs => $1)`,
    [SILENT_SECONDS * 3],
  );
}

/** The oldest asked one that nobody is at, as far as can be told without its locks. */
export async function nextRun(db: Database): Promise<ProjectionRun | undefined> {
  await endSilent(db.pool);
  await db.pool.query(
    `UPDATE work.projection_runs SET state = 'failed', error = 'It broke off ' || attempts || ' times', finished_at = now()
      WHERE kind = 'asked' AND state = 'running' AND attempts >= $2 AND updated_at < now() - make_interval(secs => $1)`,
    [SILENT_SECONDS, ATTEMPTS],
  );
  const { rows } = await db.pool.query<ProjectionRun>(
    `SELECT ${columns} FROM work.projection_runs
      WHERE kind = 'asked' AND (state = 'waiting' OR state = 'running' AND updated_at < now() - make_interval(secs => $1)) ORDER BY asked_at LIMIT 1`,
    [SILENT_SECONDS],
  );
  return rows[0];
}

/** @returns the run that was taken back, or is about to be; undefined: nothing of that name waits or runs */
export async function cancelRun(db: Database, name: string): Promise<ProjectionRun | undefined> {
  const { rows } = await db.pool.query<ProjectionRun>(
    `UPDATE work.projection_runs
        SET cancel = true, state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END, finished_at = CASE state WHEN 'waiting' THEN now() END
      WHERE id = (SELECT id FROM work.projection_runs WHERE state IN ('waiting', 'running') AND $1 = ANY (names) ORDER BY asked_at LIMIT 1) RETURNING ${columns}`,
    [name],
  );
  return rows[0];
}

export interface Running {
  readonly signal: AbortSignal;
  /** To be called when nobody else can be at it any more. @throws RunCancelled */
  begin(): Promise<void>;
  /** Whether it was taken back, looked at now. @throws RunCancelled */
  check(): Promise<void>;
  progress(progress: RebuildProgress): void;
}

/**
 * Carries out a run and keeps its row: that it lives, how far it is, what came of it. Stopped by `signal` it waits again,
 * for this process or another one, where it was asked for; what a command line began is over.
 */
export async function carryOut(
  db: Database,
  run: Pick<ProjectionRun, 'id' | 'kind'>,
  signal: AbortSignal | undefined,
  work: (running: Running) => Promise<readonly RebuildResult[]>,
): Promise<readonly RebuildResult[]> {
  const ended = new AbortController();
  const both = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  let progress: RebuildProgress | undefined;
  let begun = false;
  const beat = async () => {
    const { rows } = await db.pool.query<{ cancel: boolean }>(
      'UPDATE work.projection_runs SET updated_at = now(), progress = coalesce($2::json, progress) WHERE id = $1 RETURNING cancel',
      [run.id, progress === undefined ? null : JSON.stringify(progress)],
    );
    if (rows[0]?.cancel === true) ended.abort(new RunCancelled('It was taken back'));
  };
  const timer = setInterval(() => void (begun ? beat().catch(() => undefined) : undefined), BEAT_MS);
  timer.unref();
  const end = async (state: ProjectionRun['state'], error: string | null, results: readonly RebuildResult[] | null) => {
    clearInterval(timer);
    const told = state === 'waiting' ? null : results?.map(toldOf);
    await db.pool.query(
      `UPDATE work.projection_runs SET state = $2, error = $3, results = $4, progress = coalesce($5::json, progress), finished_at = CASE WHEN $2 = 'waiting' THEN NULL ELSE now() END, updated_at = now()
        WHERE id = $1 AND state IN ('waiting', 'running')`,
      [run.id, state, error, told == null ? null : JSON.stringify(told), progress === undefined ? null : JSON.stringify(progress)],
    );
  };
  try {
    const results = await work({
      signal: both,
      async begin() {
        if (begun) return;
        const { rowCount } = await db.pool.query(
          `UPDATE work.projection_runs SET state = 'running', started_at = coalesce(started_at, now()), updated_at = now(), attempts = attempts + 1, progress = NULL
            WHERE id = $1 AND state IN ('waiting', 'running') AND NOT cancel`,
          [run.id],
        );
        if (rowCount === 0) throw new RunCancelled('It was taken back');
        begun = true;
      },
      async check() {
        await beat();
        both.throwIfAborted();
      },
      progress(now) {
        progress = now;
      },
    });
    const failure = results.find((result) => result.failure !== undefined)?.failure;
    await end(failure === undefined ? 'done' : 'failed', failure?.message ?? null, results);
    return results;
  } catch (error) {
    const cancelled = error instanceof RunCancelled || ended.signal.aborted;
    const stopped = cancelled || signal?.aborted === true;
    if (run.kind === 'asked') {
      // Not begun: somebody else is at it. Stopped with its process: it is done by the next one.
      if (cancelled) await end('cancelled', null, null).catch(() => undefined);
      else if (begun) await end(stopped ? 'waiting' : 'failed', stopped ? null : (error as Error).message, null).catch(() => undefined);
    } else if (begun) await end(stopped ? 'cancelled' : 'failed', stopped ? null : (error as Error).message, null).catch(() => undefined);
    else await db.pool.query('DELETE FROM work.projection_runs WHERE id = $1', [run.id]).catch(() => undefined); // nothing happened
    throw cancelled && !(error instanceof RunCancelled) ? new RunCancelled('It was taken back') : error;
  } finally {
    clearInterval(timer);
  }
}

function toldOf({ failure, ...rest }: RebuildResult): RunResult {
  return { ...rest, ...(failure instanceof RebuildFailure ? { problem: failure.problem } : {}) };
}

/** For a run that cannot begin: whoever looks at it is told why. */
export async function giveUp(db: Database, id: Uuid, error: string): Promise<void> {
  await db.pool.query(`UPDATE work.projection_runs SET state = 'failed', error = $2, finished_at = now() WHERE id = $1 AND state IN ('waiting', 'running')`, [id, error]);
}
