import type { Terminal } from '../terminal.ts';
import type { Job } from './command.ts';
import { openingOrRefusal } from './history.ts';
import { moment } from './words.ts';

interface Step {
  readonly step: string;
  readonly state: 'done' | 'untold' | 'waiting' | 'broken' | 'not_reached';
  readonly offset_ms: number | null;
  readonly latency_ms: number | null;
  readonly note: string | null;
}

export interface Trace {
  readonly unlock_id: string;
  readonly device_id: string;
  readonly status: string;
  readonly started_at: string;
  readonly request: { readonly actor: { readonly kind: string; readonly id: string }; readonly ip_address: string | null };
  readonly steps: readonly Step[];
  readonly standing: { readonly is: 'complete' | 'under_way' | 'broken'; readonly step: string; readonly since: string; readonly text: string };
  readonly hops: readonly { readonly type: string; readonly offset_ms: number; readonly details: Readonly<Record<string, unknown>> }[];
}

const words: Readonly<Record<string, string>> = {
  request: 'the request came in',
  asked: 'allowed',
  dispatched: 'signed, and sent',
  published: 'the broker has it',
  acknowledged: 'the box has it',
  confirmed: 'the bolt moved',
  delivered: 'delivery complete',
};
/** What the steps are made of; other events of the same request are told below. */
const ofSteps: ReadonlySet<string> = new Set(['UnlockRequested', 'UnlockDispatched', 'UnlockPublished', 'UnlockAcknowledged', 'UnlockConfirmed']);
const MOST_OTHERS = 12;

export const trace: Job<[unlock: string]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const { path } = await openingOrRefusal(api, named);
  const found = await api.get<Trace>(`${path}/trace`);
  terminal.event('trace', { ...found });
  if (!terminal.json) terminal.out(drawn(found, terminal));
  return 0;
};

/** One line for each step: when, how long it took as a bar of the whole, and where it broke. */
export function drawn(found: Trace, { paint, columns = 100 }: Pick<Terminal, 'paint' | 'columns'>): string {
  const { steps, standing, hops, status, request } = found;
  const total = Math.max(1, ...steps.map(({ offset_ms: offset }) => offset ?? 0));
  const offsets = steps.map(({ offset_ms: offset }) => (offset === null ? '' : `+${length(offset)}`));
  const latencies = steps.map(({ latency_ms: latency }) => (latency === null ? '' : length(latency)));
  const [offsetWidth, latencyWidth] = [Math.max(...offsets.map((each) => each.length)), Math.max(...latencies.map((each) => each.length))];
  const room = columns - (20 + offsetWidth + latencyWidth);
  const text = (step: Step) => wordsOf(step, found);
  const textWidth = Math.max(...steps.map((step) => text(step).length));
  const bar = Math.max(0, Math.min(32, room - textWidth - 2));

  const lines = steps.map((step, index) => {
    const { state, offset_ms: offset, latency_ms: latency } = step;
    const { mark, colour } = look(state, paint);
    const from = offset === null ? 0 : offset - (latency ?? 0);
    const drawnBar = bar < 6 ? '' : `${barOf(offset === null ? undefined : [from / total, offset / total], bar)}  `;
    const line = `  ${(offsets[index] ?? '').padStart(offsetWidth)} ${mark} ${step.step.padEnd(12)} ${(latencies[index] ?? '').padStart(latencyWidth)}  ${drawnBar}${text(step)}`;
    return colour(line.slice(0, columns).trimEnd());
  });
  const others = hops.filter(({ type }) => !ofSteps.has(type));
  const { mark, colour } = look(standing.is === 'complete' ? 'done' : standing.is === 'broken' ? 'broken' : 'waiting', paint);
  const who = `${request.actor.kind} ${request.actor.id}${request.ip_address === null ? '' : `, from ${request.ip_address}`}`;
  return [
    `${paint.bold(status.toUpperCase())}   ${moment(found.started_at)}${found.started_at.slice(19, 23)} UTC   ${found.unlock_id}`,
    ...wrapped(`box ${found.device_id}, by ${who}`, columns, '  '),
    '',
    ...lines,
    ...(others.length === 0 ? [] : ['', ...others.slice(0, MOST_OTHERS).map(({ type, offset_ms: offset, details }) => paint.dim(`  ${`+${length(offset)}`.padStart(offsetWidth)}   ${type}${typeof details['reason'] === 'string' ? `: ${details['reason']}` : ''}`.slice(0, columns)))]),
    ...(others.length > MOST_OTHERS ? [paint.dim(`  and ${others.length - MOST_OTHERS} more: loqey audit list --unlock ${found.unlock_id}`)] : []),
    '',
    ...wrapped(`${mark} ${standing.text}`, columns, '  ').map(colour),
    ...(standing.is === 'complete' ? [] : [`  ${standing.is === 'broken' ? 'since' : 'waiting since'} ${moment(standing.since)}${standing.since.slice(19, 23)} UTC`]),
  ].join('\n');
}

function wordsOf({ step, state, note }: Step, { standing }: Trace): string {
  const said = words[step] ?? step;
  switch (state) {
    case 'done':
      return note === null ? said : `${said}, ${note}`;
    case 'untold':
      return 'not said, but so it was';
    case 'waiting':
      return 'waited for';
    case 'broken':
      return note === null ? (standing.step === 'dispatched' ? 'never sent' : 'never came') : note;
    case 'not_reached':
      return '';
  }
}

type Paint = Terminal['paint'];

function look(state: Step['state'], paint: Paint): { readonly mark: string; readonly colour: (text: string) => string } {
  const plain = (text: string) => text;
  switch (state) {
    case 'done':
      return { mark: '✔', colour: paint.isColorSupported ? paint.green : plain };
    case 'untold':
      return { mark: '✔', colour: paint.dim };
    case 'waiting':
      return { mark: '…', colour: paint.yellow };
    case 'broken':
      return { mark: '✖', colour: paint.red };
    case 'not_reached':
      return { mark: '·', colour: paint.dim };
  }
}

/** Where in the whole a step took its time. */
function barOf(part: readonly [from: number, to: number] | undefined, width: number): string {
  if (part === undefined) return ' '.repeat(width);
  const start = Math.min(width - 1, Math.round(part[0] * width));
  const end = Math.max(start + 1, Math.round(part[1] * width));
  return `${' '.repeat(start)}${'━'.repeat(end - start)}${' '.repeat(Math.max(0, width - end))}`;
}

/** `412 ms`, `40.0 s`, `2 min`. */
function length(ms: number): string {
  if (ms < 10_000) return `${ms} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function wrapped(text: string, columns: number, indent: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(last === undefined ? word : `${indent}${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
