import { interleave, reading, type Figure, type Lane, type Reading } from '../support/figure.ts';

/** The event store by itself: 300-byte events, each writer one event after another to a stream of its own. */
export const eventStore: Figure = {
  name: 'event-store',
  about: 'Appends by 1, 10 and 32 writers; beside one row and one commit each over as many connections to PostgreSQL.',
  beyond: 'The revision checked, the repeat recognised, positions in the order of commits. Appends that come at once share a transaction, so with many writers they are faster than a row each.',
  engines: ['embedded', 'real'],
  async run({ size, limits }) {
    const { call } = await limits();
    const lines: Reading[] = [];
    for (const writers of [1, 10, 32]) {
      const lane = (name: string, run: (many: number, ms: number) => Promise<{ readonly rate: number; readonly waits: readonly number[] }>): Lane => ({
        name,
        slice: async (ms) => ({ ...(await run(writers, ms)) }),
      });
      const taken = await interleave([lane('limit', call.insertEach), lane('append', call.append)], size.pace);
      const by = `by ${writers} writer${writers === 1 ? '' : 's'}`;
      lines.push(
        reading(taken, { figure: 'event-store', what: `appends ${by}`, unit: '/s', of: 'append.rate', limit: { what: 'a row and a commit each', of: 'limit.rate' } }),
        reading(taken, { figure: 'event-store', what: `one append ${by}`, unit: 'ms', of: 'append.waits', limit: { what: 'a row and a commit', of: 'limit.waits' } }),
      );
    }
    return lines;
  },
};
