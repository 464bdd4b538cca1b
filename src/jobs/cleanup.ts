import type { Logger } from '../platform/logger.ts';
import type { JobResult, JobRun } from './runner.ts';

/** Removes what is kept for a while only. Can be repeated. */
export interface RetentionTask {
  readonly name: string;
  /** How much was removed, where that is known. */
  run(): Promise<unknown>;
}

/** Each task in turn. One that fails does not keep the others from their work; the job says so after the last. */
export function cleanup(tasks: readonly RetentionTask[], logger: Logger): JobRun {
  return async (signal) => {
    const result: Record<string, number | boolean> = {};
    const failed: string[] = [];
    for (const { name, run } of tasks) {
      signal.throwIfAborted();
      try {
        result[name.replaceAll(' ', '_')] = figureOf(await run());
      } catch (error) {
        logger.warn({ err: error, task: name }, 'What was kept long enough could not be removed');
        failed.push(`${name}: ${(error as Error).message}`);
      }
    }
    if (failed.length > 0) throw new Error(failed.join('; '));
    return result satisfies JobResult;
  };
}

function figureOf(value: unknown): number | boolean {
  if (typeof value === 'number') return value;
  const keys = (value as { keys?: unknown } | null | undefined)?.keys;
  return typeof keys === 'number' ? keys : true;
}
