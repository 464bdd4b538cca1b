import { userInfo } from 'node:os';
import type { ActionContext } from '../platform/event-store/actions.ts';
import { createProjectionAdmin, NotStoppedThere, type ProjectionAdmin, type ProjectionStatus } from '../projections/admin.ts';
import type { Comparison } from '../projections/comparison.ts';
import { NotComparable, NotResumable, RebuildRunning, UnknownProjection, type RebuildProgress, type RebuildResult } from '../projections/rebuild.ts';
import { projections } from '../projections/registry.ts';
import { RunCancelled, RunPending, type ProjectionRun, type RunAction, type RunOptions } from '../projections/runs.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { RemoteFailure, remoteExit } from './remote/client.ts';
import { ago, details, moment } from './remote/words.ts';
import { seconds, table, type Terminal } from './terminal.ts';

async function withAdmin<T>(options: LocalOptions, work: (admin: ProjectionAdmin) => Promise<T>): Promise<T> {
  try {
    return await withLocal({ ...options, mending: true }, ({ ground, db, sealer }) => {
      const { store, logId, clock, logger } = ground;
      return work(createProjectionAdmin({ db, store, projections: projections({ sealer }), logId, clock, logger, sealer }));
    });
  } catch (error) {
    if (error instanceof UnknownProjection) throw new RemoteFailure(remoteExit.notFound, error.message);
    if (error instanceof RunPending || error instanceof RebuildRunning) throw new RemoteFailure(remoteExit.refused, error.message.replace(/\.?$/, '.'), ['How far it is: loqey projections status', 'Take it back: loqey projections cancel <name>']);
    if (error instanceof NotResumable || error instanceof NotComparable || error instanceof NotStoppedThere) throw new RemoteFailure(remoteExit.refused, error.message);
    if (error instanceof RunCancelled) throw new RemoteFailure(remoteExit.refused, 'It was taken back. What is read is as it was.');
    throw error;
  }
}

/** Whoever has the data folder may; who that was is in the audit log. */
const byHand = (): ActionContext => ({ actor: { kind: 'system', id: `cli:${userInfo().username}` } });

/** 0: all run; 1: one is stopped, missing or outdated. */
export async function projectionsStatus(options: LocalOptions, terminal: Terminal): Promise<number> {
  const { head, projections: all } = await withAdmin(options, (admin) => admin.status());
  for (const each of all) terminal.event('projection', eventOf(each));
  if (!terminal.json) {
    const rows = all.map((each) => [each.name, stateOf(each), each.position === undefined ? '-' : `${each.position}`, lagOf(each), each.generation ?? '-', ago(each.lastEventAt), megabytes(each.sizeBytes)]);
    terminal.out(table(['READ MODEL', 'STATE', 'POSITION', 'LAG', 'GENERATION', 'LAST EVENT', 'SIZE'], rows, { columns: terminal.columns, flexible: [1] }));
    terminal.out(`\nThe log ends at ${head ?? 'nothing: it is empty'}.`);
    for (const each of all) sayStop(each, terminal);
    const failed = new Map(all.flatMap(({ run }) => (run?.state === 'failed' ? [[run.id, run] as const] : [])));
    for (const run of failed.values()) sayFailure(run, terminal);
  }
  return all.every(({ state }) => state === 'running') ? 0 : 1;
}

/** 0: it runs; 1: it does not; 5: there is none of that name. */
export async function projectionsShow(options: LocalOptions, name: string, terminal: Terminal): Promise<number> {
  const { projections: all } = await withAdmin(options, (admin) => admin.status());
  const found = all.find((each) => each.name === name);
  if (found === undefined) throw new RemoteFailure(remoteExit.notFound, `There is no read model named ${name}. There are: ${all.map((each) => each.name).join(', ')}.`);
  const { state, position, version, programVersion, generation, lastEventAt, sizeBytes, generations, run } = found;
  terminal.event('projection', eventOf(found));
  if (!terminal.json) {
    terminal.out(
      details([
        ['Read model', name],
        ['State', stateOf(found)],
        ['Position', position === undefined ? null : `${position}`],
        ['Lag', lagOf(found)],
        ['Last event', moment(lastEventAt)],
        ['Version', version === programVersion || version === undefined ? programVersion : `${version}; this program has ${programVersion}`],
        ['Generation', generation],
        ['Size', megabytes(sizeBytes)],
        ...(run === undefined ? [] : ([['Last asked', `${run.action}, by ${run.askedBy} at ${moment(run.askedAt)}: ${run.state}`]] as const)),
      ]),
    );
    const cells = generations.map((each) => [each.generation, each.version, stateWords[each.state], each.position === undefined ? '-' : `${each.position}`, moment(each.since), moment(each.until), megabytes(each.sizeBytes)]);
    if (cells.length > 0) terminal.out(`\n${table(['GENERATION', 'VERSION', 'STATE', 'POSITION', 'SINCE (UTC)', 'UNTIL (UTC)', 'SIZE'], cells, { columns: terminal.columns, flexible: [2] })}`);
    for (const { comparison } of run?.results?.filter((result) => result.name === name) ?? []) if (comparison !== undefined) sayComparison(name, comparison, terminal);
    sayStop(found, terminal);
    if (run?.state === 'failed') sayFailure(run, terminal);
  }
  return state === 'running' ? 0 : 1;
}

const stateWords = { building: 'being built', ready: 'waits to be switched to', active: 'live', retired: 'former' } as const;
const megabytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MB`;

function lagOf({ behind, lagSeconds }: ProjectionStatus): string {
  return behind === 0 ? '-' : `${behind.toLocaleString('en')}, ${seconds(lagSeconds * 1_000)}`;
}

/** `live`, `building 42 %, 40,000/s, 12.0 s left`, `live; 4 waits to be switched to`. */
function stateOf({ state, error, generations, run }: ProjectionStatus): string {
  const words = state === 'running' ? 'live' : state === 'stopped' ? `stopped before ${error?.position ?? '?'}` : state.replace('_', ' ');
  const waiting = generations.filter((each) => each.state === 'ready').map(({ generation }) => `${generation} waits to be switched to`);
  return [words, ...(run === undefined ? [] : progressWords(run)), ...waiting].join('; ');
}

function progressWords({ action, state, progress }: ProjectionRun): readonly string[] {
  if (state === 'waiting') return [`${action} waits`];
  if (state !== 'running') return [];
  if (progress === null) return [`${action} begins`];
  const { phase, done, total, perSecond, secondsLeft } = progress;
  if (phase !== 'load') return [{ indexes: 'building its indexes', compare: 'being compared', switch: 'being switched to' }[phase]];
  const share = total === 0 ? 100 : Math.floor((done / total) * 100);
  return [`building ${share} %, ${Math.round(perSecond).toLocaleString('en')}/s${secondsLeft === undefined ? '' : `, ${seconds(secondsLeft * 1_000)} left`}`];
}

function sayStop({ name, error }: ProjectionStatus, terminal: Terminal): void {
  if (error === undefined) return;
  terminal.out(`✖ ${name} stands before ${error.type} ${error.eventId} at ${error.position} (${error.stream}): ${error.message}`);
  terminal.out(`  Go on after it: loqey projections skip ${name} --position ${error.position} --reason "…"`);
}

function sayFailure({ action, names, error, finishedAt }: ProjectionRun, terminal: Terminal): void {
  terminal.out(`✖ The ${action} of ${names.join(', ')} failed ${ago(finishedAt)}: ${error ?? 'it is not known why'}`);
}

function eventOf({ position, behind, lagSeconds, lastEventAt, sizeBytes, programVersion, generations, ...rest }: ProjectionStatus): Record<string, unknown> {
  return {
    ...rest,
    position: position?.toString(),
    behind,
    lag_seconds: lagSeconds,
    last_event_at: lastEventAt,
    size_bytes: sizeBytes,
    program_version: programVersion,
    generations: generations.map(({ position: at, sizeBytes: size, ...each }) => ({ ...each, position: at?.toString(), size_bytes: size })),
  };
}

/** 0: as asked; 1: it stopped at an event that it cannot take; 3: it differs, and was not switched to; 130: taken back. */
export async function projectionsPerform(options: LocalOptions, name: string, action: RunAction, asked: RunOptions, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const progress = progressBar(terminal);
  let results: readonly RebuildResult[];
  try {
    results = await withAdmin(options, (admin) => admin.perform(name, action, { ...asked, onProgress: progress.show, signal, by: byHand() }));
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.say('Given up. What is read is as it was.');
    return 130;
  } finally {
    progress.end();
  }
  for (const { failure, comparison, ...result } of results) terminal.event('projection', { ...result, ...(comparison === undefined ? {} : { comparison }), ...(failure === undefined ? {} : { problem: failure.problem }) });
  if (!terminal.json) {
    const rows = results.map(({ name: each, outcome, generation, events, seconds: took }) => [each, outcomeWords[outcome], generation, events, seconds(took * 1_000), Math.round(events / Math.max(took, 0.001))]);
    terminal.out(table(['READ MODEL', 'OUTCOME', 'GENERATION', 'EVENTS', 'TOOK', 'PER SECOND'], rows, { columns: terminal.columns, flexible: [1] }));
    for (const { name: each, comparison } of results) if (comparison !== undefined) sayComparison(each, comparison, terminal);
    for (const { failure } of results) if (failure !== undefined) terminal.say(`✖ ${failure.message} (event ${failure.problem.eventId})\n  Nothing that is read was changed.`);
    if (results.some(({ outcome }) => outcome === 'switched')) terminal.say(`The former rows are kept for 24 hours. Back to them: loqey projections rollback <name>`);
    if (results.some(({ outcome }) => outcome === 'ready')) terminal.say('It waits for 24 hours. Switch to it: loqey projections switch <name>');
    if (results.some(({ outcome }) => outcome === 'different')) terminal.say('What differs waits for 24 hours. Switch to it all the same: loqey projections switch <name> --accept-differences');
  }
  if (results.some(({ outcome }) => outcome === 'failed')) return 1;
  return results.some(({ outcome }) => outcome === 'different') ? remoteExit.refused : 0;
}

const outcomeWords: Readonly<Record<RebuildResult['outcome'], string>> = {
  switched: 'live',
  ready: 'waits to be switched to',
  equal: 'the same as the live one',
  different: 'differs from the live one',
  failed: 'stopped; as it was',
};

function sayComparison(name: string, { equal, position, live, next, tables }: Comparison, terminal: Terminal): void {
  terminal.out(`\n${name}: generation ${live.generation} (version ${live.version}) and ${next.generation} (version ${next.version}) at position ${position}: ${equal ? 'the same' : 'they differ'}`);
  const rows = tables.map((each) => [each.table, each.live?.rows ?? '-', each.next?.rows ?? '-', each.equal ? 'same' : each.differing, each.live?.hash.slice(0, 12) ?? '-', each.next?.hash.slice(0, 12) ?? '-']);
  terminal.out(table(['TABLE', 'ROWS', 'NEW ROWS', 'DIFFER', 'HASH', 'NEW HASH'], rows, { columns: terminal.columns, flexible: [0] }));
  for (const { table: where, onlyLive, onlyNext, rows: differing, differing: count } of tables) {
    if (onlyLive.length > 0) terminal.out(`  ${where}: not compared, because the new one has not: ${onlyLive.join(', ')}`);
    if (onlyNext.length > 0) terminal.out(`  ${where}: not compared, because the live one has not: ${onlyNext.join(', ')}`);
    for (const { key, kind, columns } of differing) terminal.out(`  ${where} ${key}: ${kind === 'changed' ? columns.join(', ') : kind === 'missing' ? 'not in the new one' : 'not in the live one'}`);
    if (count > differing.length) terminal.out(`  ${where}: and ${(count - differing.length).toLocaleString('en')} more`);
  }
}

export async function projectionsCancel(options: LocalOptions, name: string, terminal: Terminal): Promise<number> {
  const run = await withAdmin(options, (admin) => admin.cancel(name, byHand()));
  terminal.event('projection_cancelled', { name, found: run !== undefined });
  if (run === undefined) throw new RemoteFailure(remoteExit.refused, `Nothing waits or runs for ${name}.`);
  terminal.say(`The ${run.action} of ${run.names.join(', ')} ${run.state === 'cancelled' ? 'was taken back' : 'stops within a second'}. What is read is as it was.`);
  return 0;
}

export async function projectionsSkip(options: LocalOptions, name: string, { position, reason }: { readonly position: string; readonly reason: string }, terminal: Terminal): Promise<number> {
  if (!/^\d{1,20}$/.test(position)) throw new RemoteFailure(remoteExit.usage, `${position} is no position.`, ['Where it stands: loqey projections status']);
  if (reason.trim() === '') throw new RemoteFailure(remoteExit.usage, 'Why is it skipped? The reason is kept in the audit log: --reason "…"');
  await withAdmin(options, (admin) => admin.skip(name, BigInt(position), { ...byHand(), reason: reason.trim() }));
  terminal.event('projection_skipped', { name, position });
  terminal.say(`${name} goes on after ${position}. That is in the audit log.`);
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
