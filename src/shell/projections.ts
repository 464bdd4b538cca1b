import { createProjectionAdmin, type ProjectionAdmin } from '../projections/admin.ts';
import type { RebuildProgress } from '../projections/rebuild.ts';
import { projections } from '../projections/registry.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { details, moment } from './remote/words.ts';
import { seconds, table, type Terminal } from './terminal.ts';

function withAdmin<T>(options: LocalOptions, work: (admin: ProjectionAdmin) => Promise<T>): Promise<T> {
  return withLocal({ ...options, mending: true }, ({ ground, db, sealer }) => {
    const { store, logId, clock, logger } = ground;
    return work(createProjectionAdmin({ db, store, projections: projections({ sealer }), logId, clock, logger }));
  });
}

/** 0: all run; 1: one is stopped, missing or outdated. */
export async function projectionsStatus(options: LocalOptions, terminal: Terminal): Promise<number> {
  const { head, projections: all } = await withAdmin(options, (admin) => admin.status());
  for (const { position, lastEventAt, sizeBytes, ...rest } of all) terminal.event('projection', { ...rest, position: position?.toString(), behind: behind(head, position), last_event_at: lastEventAt, size_bytes: sizeBytes });
  if (!terminal.json) {
    const rows = all.map(({ name, state, position, generation, lastEventAt, sizeBytes }) => [
      name,
      state,
      position === undefined ? '-' : `${position}`,
      behind(head, position),
      generation ?? '-',
      moment(lastEventAt),
      `${(sizeBytes / 1_048_576).toFixed(1)} MB`,
    ]);
    terminal.out(table(['READ MODEL', 'STATE', 'POSITION', 'BEHIND', 'GENERATION', 'LAST EVENT (UTC)', 'SIZE'], rows as (string | number)[][], { columns: terminal.columns, flexible: [0] }));
    terminal.out(`\nThe log ends at ${head ?? 'nothing: it is empty'}.`);
    for (const { name, error } of all) {
      if (error !== undefined) terminal.out(`✖ ${name} stands before an event it cannot take: ${JSON.stringify(error)}`);
    }
  }
  return all.every(({ state }) => state === 'running') ? 0 : 1;
}

/** 0: it runs; 1: it does not; 5: there is none of that name. */
export async function projectionsShow(options: LocalOptions, name: string, terminal: Terminal): Promise<number> {
  const { head, projections: all } = await withAdmin(options, (admin) => admin.status());
  const found = all.find((each) => each.name === name);
  if (found === undefined) {
    terminal.say(`There is no read model ${name}. There are: ${all.map((each) => each.name).join(', ')}`);
    return 5;
  }
  const { state, position, version, generation, lastEventAt, sizeBytes, error, generations } = found;
  terminal.event('projection', { name, state, version, generation, position: position?.toString(), behind: behind(head, position), last_event_at: lastEventAt, size_bytes: sizeBytes, error, generations });
  if (!terminal.json) {
    terminal.out(
      details([
        ['Read model', name],
        ['State', state],
        ['Position', position === undefined ? null : `${position}, ${behind(head, position).toLocaleString('en')} behind`],
        ['Last event', moment(lastEventAt)],
        ['Version', version],
        ['Generation', generation],
        ['Size', `${(sizeBytes / 1_048_576).toFixed(1)} MB`],
        ...(error === undefined ? [] : ([['Stands before', `${error.type} at ${error.position}: ${error.message}`]] as const)),
      ]),
    );
    const cells = generations.map((each) => [each.generation, each.version, each.state, moment(each.since)]);
    if (cells.length > 0) terminal.out(`\n${table(['GENERATION', 'VERSION', 'STATE', 'SINCE (UTC)'], cells, { columns: terminal.columns })}`);
  }
  return state === 'running' ? 0 : 1;
}

function behind(head: bigint | undefined, position: bigint | undefined): number {
  return head === undefined ? 0 : Number(head - (position ?? 0n));
}

export async function projectionsRebuild(options: LocalOptions, name: string, terminal: Terminal): Promise<number> {
  const progress = progressBar(terminal);
  const results = await withAdmin(options, (admin) => admin.rebuild(name, { onProgress: progress.show }));
  progress.end();
  for (const { name: each, events, seconds: took } of results) terminal.event('rebuilt', { name: each, events, seconds: took });
  if (!terminal.json) {
    const rows = results.map(({ name: each, events, seconds: took }) => [each, events, seconds(took * 1_000), Math.round(events / Math.max(took, 0.001))]);
    terminal.out(table(['READ MODEL', 'EVENTS', 'TOOK', 'PER SECOND'], rows));
    terminal.say('The old rows are kept for 24 hours; queries read the new ones.');
  }
  return 0;
}

const WIDTH = 30;

/** On a terminal one line that moves; in a pipe one line for each tenth. */
function progressBar(terminal: Terminal): { show(progress: RebuildProgress): void; end(): void } {
  let tenth = -1;
  return {
    show({ phase, done, total, perSecond, secondsLeft }) {
      const share = total === 0 ? 1 : Math.min(1, done / total);
      const words = `${phase.padEnd(7)} ${done.toLocaleString('en')} of ${total.toLocaleString('en')} events, ${Math.round(perSecond).toLocaleString('en')}/s${secondsLeft === undefined ? '' : `, about ${seconds(secondsLeft * 1_000)} left`}`;
      if (terminal.isTty && !terminal.json) {
        const filled = Math.round(share * WIDTH);
        process.stderr.write(`\r\u001b[K${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${words}`);
      } else if (Math.floor(share * 10) !== tenth) {
        tenth = Math.floor(share * 10);
        terminal.say(words);
        terminal.event('progress', { phase, done, total, per_second: Math.round(perSecond) });
      }
    },
    end() {
      if (terminal.isTty && !terminal.json) process.stderr.write('\r\u001b[K');
    },
  };
}
