import type { Terminal } from '../terminal.ts';
import { moment } from './words.ts';

/** What a playback says, as far as a screen shows it. */
export interface PlaybackFrame {
  readonly entry: { readonly timestamp: string; readonly summary: string; readonly outcome: string; readonly event_id: string };
  readonly gap_ms: number;
  readonly skipped_ms: number;
  readonly states: readonly StateBeside[];
}

interface StateBeside {
  readonly kind: 'device' | 'user' | 'link';
  readonly id: string;
  readonly state: Facts | null;
  readonly changes: readonly { readonly path: string; readonly before: unknown; readonly after: unknown }[];
}

type Facts = { readonly [name: string]: unknown };
type Paint = Terminal['paint'];

/** From here on the states are beside the events; on a narrower screen, and in a file, below them. */
const BESIDE_FROM = 100;
/** Changes of one thing that are shown; the others are counted. */
const CHANGES = 6;

/** One entry of the past with what it was about, as lines of a screen. */
export function linesOf({ entry, skipped_ms: skippedMs, states }: PlaybackFrame, paint: Paint, columns: number | undefined): readonly string[] {
  const refused = entry.outcome !== 'accepted';
  const head = `${moment(entry.timestamp).slice(5)}  `;
  const beside = columns !== undefined && columns >= BESIDE_FROM;
  const width = columns === undefined ? Infinity : beside ? Math.floor(columns / 2) - 2 : columns;
  const left = wrapped(`${refused ? '✖ ' : ''}${entry.summary}`, width - head.length).map((line, n) => ({ text: (n === 0 ? head : ' '.repeat(head.length)) + line, painted: (n === 0 ? paint.dim(head) : ' '.repeat(head.length)) + (refused ? paint.red(line) : line) }));
  const right = states.flatMap((each) => statesOf(each, paint, beside ? (columns ?? 0) - width - 3 : width - 4));
  const gap = skippedMs < 1_000 ? [] : [paint.dim(cut(`${' '.repeat(head.length)}… ${spanOf(skippedMs)} in which nothing happened`, columns ?? Infinity))];
  if (!beside) return [...gap, ...left.map(({ painted }) => painted), ...right.map((line) => `    ${line}`)];
  const rows = Array.from({ length: Math.max(left.length, right.length) }, (_, n) => {
    const line = left[n];
    return `${line?.painted ?? ''}${' '.repeat(Math.max(0, width - [...(line?.text ?? '')].length))} ${paint.dim('│')} ${right[n] ?? ''}`.trimEnd();
  });
  return [...gap, ...rows];
}

function statesOf({ kind, id, state, changes }: StateBeside, paint: Paint, width: number): readonly string[] {
  const head = cut(state === null ? `${nameOf(kind)} ${id.slice(0, 8)}: nothing to be had` : factsOf(kind, id, state).join(' · '), width);
  // Of what has just come about everything is new.
  if (changes.length > CHANGES && changes.every(({ before }) => before === null)) return [paint.bold(cut(`${head} · new`, width))];
  const shown = changes.slice(0, CHANGES).map(({ path, before, after }) => {
    const name = path.slice(1).replaceAll('/', '.');
    const [was, is] = [valueOf(before), valueOf(after)];
    const plain = cut(`  ${name}  ${was} → ${is}`, width);
    // Painted only where all of it is there: a cut escape would colour the rest of the screen.
    return plain.endsWith('…') ? paint.yellow(plain) : `  ${name}  ${paint.dim(was)} → ${paint.yellow(is)}`;
  });
  const more = changes.length > CHANGES ? [paint.dim(`  and ${changes.length - CHANGES} more`)] : [];
  return [paint.bold(head), ...shown, ...more];
}

const nameOf = (kind: StateBeside['kind']): string => (kind === 'device' ? 'box' : kind === 'user' ? 'account' : 'link');

/** What a person would say of it in one line. */
function factsOf(kind: StateBeside['kind'], id: string, state: Facts): readonly string[] {
  const text = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? [`${value}`] : []);
  switch (kind) {
    case 'device': {
      const { lock_status: lock, online, battery, door_open: door } = (state['reported'] ?? {}) as Facts;
      const { current } = (state['unlocks'] ?? {}) as { readonly current?: Facts | null };
      return [
        ...text(state['serial_number']),
        ...text(state['lifecycle_status']),
        ...text(lock),
        online === true ? 'online' : 'offline',
        ...(door === true ? ['door open'] : []),
        ...(typeof battery === 'number' ? [`${battery} %`] : []),
        ...(current == null ? [] : [`opening: ${String(current['phase'])}`]),
      ];
    }
    case 'link':
      return [`link ${id.slice(0, 8)}`, ...text(state['status']), ...(typeof state['uses_left'] === 'number' ? [`${state['uses_left']} left`] : [])];
    case 'user':
      return [`account ${id.slice(0, 8)}`, state['erased'] === true ? 'erased' : state['suspended'] === true ? 'suspended' : 'active', ...text((state['admin'] as Facts | null)?.['role'])];
  }
}

function valueOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean);
}

function wrapped(text: string, width: number): readonly string[] {
  if (width < 24) return [text];
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && [...line].length + 1 + [...word].length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function cut(text: string, most: number): string {
  return [...text].length <= most ? text : `${[...text].slice(0, Math.max(0, most - 1)).join('')}…`;
}

/** `4 s`, `12 min`, `3 h`, `2 d`. */
export function spanOf(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
