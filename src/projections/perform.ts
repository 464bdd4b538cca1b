import { NotResumable, rebuild, type Finish, type RebuildOptions, type RebuildProgress, type RebuildResult } from './rebuild.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { AnyProjection } from './projection.ts';
import { carryOut, type ProjectionRun } from './runs.ts';

export type PerformOptions = Omit<RebuildOptions, 'names' | 'signal' | 'onProgress' | 'finish' | 'compare' | 'acceptDifferences' | 'generation' | 'onLocked' | 'beforeSwitch'>;

export interface PerformExtras {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined;
  /** Of an upgrade: whether it may be switched to yet. */
  readonly finish?: (name: string) => Promise<Finish>;
}

/**
 * Carries out what was asked.
 *
 * @throws RebuildRunning: somebody else is at it · NotResumable · NotComparable · RunCancelled
 */
export async function perform(options: PerformOptions, run: ProjectionRun, { signal, onProgress, finish }: PerformExtras = {}): Promise<readonly RebuildResult[]> {
  const { db } = options;
  const { names, action, options: asked } = run;
  const name = names[0] ?? '';
  const acceptDifferences = asked.acceptDifferences === true;
  return await carryOut(db, run, signal, async (running) => {
    const base = {
      ...options,
      names,
      signal: running.signal,
      acceptDifferences,
      onLocked: running.begin,
      beforeSwitch: running.check,
      onProgress: (progress: RebuildProgress) => {
        running.progress(progress);
        onProgress?.(progress);
      },
    };
    switch (action) {
      case 'rebuild':
        return await rebuild({ ...base, ...(asked.generation === undefined ? {} : { generation: asked.generation }), finish: finish ?? (asked.switch === false ? 'ready' : 'switch'), compare: asked.compare === true });
      case 'compare': {
        const generation = asked.generation ?? (await generationsOf(db, name)).find(({ state, resumable }) => state === 'ready' && resumable)?.generation;
        return await rebuild({ ...base, ...(generation === undefined ? {} : { generation }), finish: 'look', compare: true });
      }
      case 'switch':
        return await rebuild({ ...base, generation: await generationFor(db, options.projections, name, action, asked.generation), finish: 'switch', compare: !acceptDifferences });
      case 'rollback':
        return await rebuild({ ...base, generation: await generationFor(db, options.projections, name, action), finish: 'switch' });
    }
  });
}

interface Generation {
  readonly generation: number;
  readonly version: number;
  readonly state: string;
  readonly resumable: boolean;
}

/**
 * The generation that would be switched to: the one that waits, or that was replaced last, or the one that was named.
 *
 * @throws NotResumable in words that say what to do
 */
export async function generationFor(db: Database, projections: readonly AnyProjection[], name: string, action: 'switch' | 'rollback', wanted?: number): Promise<number> {
  const all = await generationsOf(db, name);
  const own = projections.find((projection) => projection.name === name)?.version;
  const state = action === 'switch' ? 'ready' : 'retired';
  const found = wanted === undefined ? all.find((each) => each.state === state) : all.find(({ generation }) => generation === wanted);
  if (found === undefined) {
    if (wanted !== undefined) throw new NotResumable(`${name} has no generation ${wanted}: it was dropped, or never was.`);
    throw new NotResumable(
      action === 'switch'
        ? `No generation of ${name} waits to be switched to. Build one: loqey projections rebuild ${name} --no-switch`
        : `${name} has no former generation to go back to: they are kept for 24 hours.`,
    );
  }
  const which = `Generation ${found.generation} of ${name}`;
  if (found.state === 'active') throw new NotResumable(`${which} is the live one.`);
  if (found.version !== own) throw new NotResumable(`${which} is of version ${found.version}, and this program has version ${own}: start the program that made it, and it goes back by itself.`);
  if (!found.resumable) throw new NotResumable(`${which} was not finished, or was replaced by an earlier release: it cannot be brought up to date.`);
  return found.generation;
}

/** Newest first. */
async function generationsOf(db: Database, name: string): Promise<readonly Generation[]> {
  const { rows } = await db.pool.query<Generation>(
    'SELECT generation, version, state, resumable FROM work.projection_generations WHERE name = $1 ORDER BY coalesce(retired_at, created_at) DESC, generation DESC',
    [name],
  );
  return rows;
}
