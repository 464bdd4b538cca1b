import { userInfo } from 'node:os';
import { createJobBoard, type JobBoard, type JobView } from '../jobs/board.ts';
import { jobNames, queues } from '../jobs/catalogue.ts';
import { newId } from '../platform/ids.ts';
import { createPgBossQueue } from '../platform/jobs/pg-boss.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { seconds, table, type Terminal } from './terminal.ts';

function withBoard<T>(options: LocalOptions, work: (board: JobBoard) => Promise<T>): Promise<T> {
  return withLocal(options, async ({ ground, db, sealer }) => {
    const { store, clock, logger } = ground;
    const queue = await ground.start('jobs', createPgBossQueue({ db, queues, logger, works: false }));
    return work(createJobBoard({ queue, db, store, sealer, clock }));
  });
}

/** Columns from which on the results of the last runs have their place. */
const WIDE = 110;

/** 0: all is well; 1: one fails. */
export async function jobsList(options: LocalOptions, terminal: Terminal): Promise<number> {
  const jobs = await withBoard(options, (board) => board.list());
  for (const { nextRun, lastRun, succeededAt, failuresInARow, givenUp, ...rest } of jobs) {
    terminal.event('job', { ...rest, next_run: nextRun, last_run: lastRun, succeeded_at: succeededAt, failures_in_a_row: failuresInARow, given_up: givenUp });
  }
  if (!terminal.json) {
    const rows = jobs.map((job) => [job.name, job.state, job.schedule ?? 'when needed', minute(job.lastRun?.startedAt), took(job), minute(job.nextRun), resultOf(job)]);
    const head = ['JOB', 'STATE', 'SCHEDULE (UTC)', 'LAST RUN', 'TOOK', 'NEXT RUN', 'RESULT'];
    if (terminal.columns === undefined || terminal.columns >= WIDE) terminal.out(table(head, rows, { columns: terminal.columns, flexible: [6] }));
    else {
      // Without what there is no room for; the days are those around today.
      terminal.out(table(head.slice(0, -1), rows.map((row) => row.slice(0, -1).map((cell) => cell.replace(/^\d{4}-(?=\d\d-\d\d )/, ''))), { columns: terminal.columns, flexible: [2, 0] }));
      terminal.say('With results: on a wider screen, or loqey jobs list --json');
    }
    for (const { name, lastRun, givenUp } of jobs) {
      if (lastRun?.error != null) terminal.out(`✖ ${name}: ${lastRun.error}`);
      if (givenUp > 0) terminal.out(`  ${name}: ${givenUp} given up`);
    }
  }
  return jobs.some(({ state }) => state === 'failed' || state === 'retrying') ? 1 : 0;
}

/** 0: it will run; 1: it waits or runs already; 5: there is no such job. */
export async function jobsRun(options: LocalOptions, name: string, terminal: Terminal): Promise<number> {
  const commandId = newId();
  const context = { commandId, correlationId: commandId, actor: { kind: 'system', id: `cli:${userInfo().username}` }, source: 'system' } as const;
  const asked = await withBoard(options, (board) => board.run(name, context));
  terminal.event('job_run', { name, known: asked !== undefined, started: asked?.started ?? false });
  if (asked === undefined) {
    terminal.say(`✖ There is no job ${name}. There are: ${jobNames.join(', ')}.`);
    return 5;
  }
  terminal.say(asked.started ? `${name} is queued: the server runs it at once.` : `${name} waits or runs already.`);
  return asked.started ? 0 : 1;
}

function minute(instant: string | null | undefined): string {
  return instant == null ? '-' : instant.slice(0, 16).replace('T', ' ');
}

function took({ lastRun }: JobView): string {
  return lastRun?.durationMs == null ? '-' : seconds(lastRun.durationMs);
}

function resultOf({ result }: JobView): string {
  return result === null ? '-' : Object.entries(result).map(([name, value]) => `${name}=${value}`).join(' ');
}
