import { systemClock } from '../../src/platform/clock.ts';
import type { EventStore } from '../../src/platform/event-store/port.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { ensureLogIdentity } from '../../src/projections/log-identity.ts';
import { rebuild as rebuildReadModels } from '../../src/projections/rebuild.ts';
import { projections } from '../../src/projections/registry.ts';
import { measuredOnce, type Figure, type Point, type Reading } from '../support/figure.ts';
import { offline, type OfflineParts } from '../support/folders.ts';

export const rebuild: Figure = {
  name: 'rebuild',
  about: 'Each read model built anew from the log, and all of them in one pass, indexes included; beside reading the same log and nothing else.',
  beyond: 'Each event is decoded and folded into rows, which are written and indexed; personal data is opened first.',
  engines: ['embedded', 'real'],
  async run(bench) {
    const { growthCast: cast, rebuildEvents: events, pace } = bench.size;
    const opened = await bench.open({ cast, past: { boxes: 1_000, events }, seed: bench.seed });
    try {
      return await offline(opened.folder.dataDir, opened.environ, async (parts) => {
        const names = projections({ sealer: parts.sealer }).map(({ name }) => name);
        const lines: Reading[] = [];
        for (const name of names) lines.push(await measureRebuild(parts, [name], 1));
        lines.push(await measureRebuild(parts, names, pace.slices > 2 ? 3 : 1));
        return lines;
      });
    } finally {
      await opened.close();
    }
  },
};

/** Each time the log is read once without doing anything, then the rebuild: both as events a second. */
export async function measureRebuild({ db, store, sealer }: OfflineParts, names: readonly string[], times: number, at?: Point): Promise<Reading> {
  const all = projections({ sealer });
  const logId = await ensureLogIdentity(store, 'bench', () => new Date().toISOString());
  const values: number[] = [];
  const limits: number[] = [];
  for (let n = 0; n < times; n++) {
    limits.push(await readRate(store));
    const began = performance.now();
    const results = await rebuildReadModels({ db, store, projections: all, logId, clock: systemClock, logger, names });
    const failed = results.find(({ failure }) => failure !== undefined);
    if (failed?.failure !== undefined) throw failed.failure;
    values.push((results[0]?.events ?? 0) / ((performance.now() - began) / 1_000));
  }
  const what = names.length === 1 ? `rebuild of ${names[0]}, events` : `rebuild of all ${names.length} read models in one pass, events`;
  return measuredOnce({ figure: 'rebuild', what, unit: '/s', values, limit: { what: 'reading the log', values: limits }, ...(at === undefined ? {} : { at }) });
}

async function readRate(store: EventStore): Promise<number> {
  const ended = new AbortController();
  const began = performance.now();
  let read = 0;
  for await (const batch of store.subscribeAll({ after: undefined, maxBatch: 5_000, signal: ended.signal })) {
    read += batch.events.length;
    if (batch.live) break;
  }
  ended.abort();
  return read / ((performance.now() - began) / 1_000);
}
