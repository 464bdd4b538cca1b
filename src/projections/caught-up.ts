import { pause } from '../platform/backoff.ts';
import type { Query, Reader } from './schemas.ts';

const LOOK_EVERY_MS = 10;

interface Progress {
  readonly own: string | null;
  readonly others: string | null;
}

const progress: Query = {
  name: 'projections.progress',
  text: () => `SELECT max(position) FILTER (WHERE name = $1) AS own, max(position) FILTER (WHERE name <> $1) AS others
                 FROM work.projections WHERE state = 'running'`,
};

/**
 * A read model of the background group is a moment behind. Whoever reads it waits here, at most `timeoutMs`, until it shows
 * what the other ones showed when the question came; not at all while it is stopped or built.
 */
export async function caughtUp(reader: Reader, name: string, timeoutMs = 500): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let goal: bigint | undefined;
  for (;;) {
    const { own, others } = (await reader.first<Progress & Record<string, unknown>>(progress, [name])) ?? { own: null, others: null };
    if (own === null || others === null) return;
    goal ??= BigInt(others);
    if (BigInt(own) >= goal || performance.now() > deadline) return;
    await pause(LOOK_EVERY_MS);
  }
}
