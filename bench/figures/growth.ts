import { projections } from '../../src/projections/registry.ts';
import { openSession } from '../../src/projections/session.ts';
import { measuredOnce, type Figure, type Point, type Reading } from '../support/figure.ts';
import { offline } from '../support/folders.ts';
import type { Bench } from '../support/bench.ts';
import { measureCommands, measureLogins, measureReads } from './http.ts';
import { measureRebuild } from './rebuild.ts';
import { measureReports } from './reports.ts';
import { measureTap } from './tap.ts';

/**
 * The same figures on logs and fleets of growing size: what one operation costs must stay what it is. The boxes and owners
 * that are measured are among those of the past, with a history as long as the others'.
 */
export const growth: Figure = {
  name: 'growth',
  about: 'The figures again at 1,000 to 100,000 boxes and 10,000 to 1,000,000 events, with start to ready and memory.',
  beyond: 'As with each of the figures.',
  engines: ['embedded', 'real'],
  async run(bench) {
    const [first] = bench.size.growth;
    // The boxes are in PostgreSQL, whatever holds the log: with the real engines the log alone grows.
    const points = bench.engines === 'real' ? bench.size.growth.filter(({ boxes, events }) => boxes === first?.boxes && `${events}`.startsWith('1')) : bench.size.growth;
    const lines: Reading[] = [];
    for (const point of points) {
      bench.say(`at ${point.boxes.toLocaleString('en')} boxes and ${point.events.toLocaleString('en')} events`);
      lines.push(...(await measureAt(bench, point)));
    }
    return lines;
  },
};

async function tidy(url: string): Promise<void> {
  const session = await openSession({ url, name: 'bench-tidy', statementTimeoutMs: 0 });
  try {
    for (const text of ['VACUUM (ANALYZE)', 'CHECKPOINT']) await session.read([{ text, values: [] }]);
  } finally {
    await session.close();
  }
}

async function measureAt(bench: Bench, at: Point): Promise<readonly Reading[]> {
  const { growthCast: cast, growthPace: pace } = bench.size;
  const opened = await bench.open({ cast, past: at, seed: bench.seed });
  try {
    const lines: Reading[] = [];
    const postgresMs = await offline(opened.folder.dataDir, opened.environ, async (parts) => {
      lines.push(await measureRebuild(parts, projections({ sealer: parts.sealer }).map(({ name }) => name), 1, at));
      // What a rebuild leaves PostgreSQL to tidy up takes it minutes, in which everything else is several times slower. What is
      // measured is a server that has run for a while: the tidying is done at once, and everything is on the disk.
      await tidy(parts.db.url);
      return parts.postgresMs;
    });
    const rig = await bench.rigOn(opened);
    try {
      lines.push(
        measuredOnce({ figure: 'start', what: 'start → ready', unit: 's', values: [rig.server.readyMs / 1_000], limit: { what: 'PostgreSQL alone', values: [postgresMs / 1_000] }, at }),
        measuredOnce({ figure: 'start', what: 'memory after the start', unit: 'MB', values: [(await rig.server.call.memory()).rss / 1024 ** 2], at }),
        ...(await measureTap(bench, rig, pace, at)),
        ...(await measureCommands(bench, rig, pace, 32, at)),
        ...(await measureReads(bench, rig, pace, at)),
        ...(await measureReports(bench, rig, pace, at)),
        ...(await measureLogins(bench, rig, { ...pace, warmupMs: 0 }, at)),
        measuredOnce({ figure: 'start', what: 'memory after the work', unit: 'MB', values: [(await rig.server.call.memory()).rss / 1024 ** 2], at }),
      );
    } finally {
      await rig.stop();
    }
    return lines;
  } finally {
    await opened.close();
  }
}
