import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import pc from 'picocolors';

/** Where a command writes: results on stdout, everything for the person who waits on stderr. */
export interface Terminal {
  readonly isTty: boolean;
  /** One JSON object per line instead of words. */
  readonly json: boolean;
  out(text: string): void;
  /** Progress, hints, errors. Nothing in JSON mode. */
  say(text: string): void;
  event(event: string, data: Readonly<Record<string, unknown>>): void;
  /** One line; `before` is said first. Undefined where nobody can be asked, or did not want to answer (Ctrl+C). */
  ask(question: string, before?: string): Promise<string | undefined>;
  /** The same, and nothing of the answer is shown. */
  askSecret(question: string): Promise<string | undefined>;
  /** Columns of the screen that results go to; undefined where they go to a file or a pipe, which have no end. */
  readonly columns: number | undefined;
  readonly paint: ReturnType<typeof pc.createColors>;
}

export interface TerminalOptions {
  readonly json: boolean;
  /** Absent: nobody can be asked. */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** NO_COLOR and FORCE_COLOR are heeded; default: colour on a terminal alone. */
  readonly color: boolean | undefined;
}

export function createTerminal({ json, stdin, stdout, stderr, color }: TerminalOptions): Terminal {
  const isTty = stderr.isTTY === true;
  return {
    isTty,
    json,
    paint: pc.createColors(color ?? isTty),
    out: (text) => void stdout.write(`${text}\n`),
    say: (text) => {
      if (!json) stderr.write(`${text}\n`);
    },
    event: (event, data) => {
      if (json) stdout.write(`${JSON.stringify({ event, ...data })}\n`);
    },
    columns: stdout.isTTY === true ? (stdout.columns ?? 80) : undefined,
    askSecret: (question) =>
      new Promise((resolve) => {
        if (json || !isTty || stdin?.isTTY !== true) return resolve(undefined);
        stderr.write(question);
        // Readline shows what is typed on its output: this one shows nothing.
        const prompt = createInterface({ input: stdin, output: new Writable({ write: (_chunk, _encoding, taken) => taken() }), terminal: true });
        prompt.once('close', () => resolve(undefined));
        prompt.question('', (answer) => {
          stderr.write('\n');
          resolve(answer);
          prompt.close();
        });
      }),
    ask: (question, before) =>
      new Promise((resolve) => {
        if (json || !isTty || stdin?.isTTY !== true) return resolve(undefined);
        if (before !== undefined) stderr.write(`${before}\n`);
        const prompt = createInterface({ input: stdin, output: stderr });
        prompt.once('close', () => resolve(undefined));
        prompt.question(question, (answer) => {
          resolve(answer.trim());
          prompt.close();
        });
      }),
  };
}

export interface TableOptions {
  /** Columns of the screen; absent: as wide as it is. */
  readonly columns?: number | undefined;
  /** Columns that may be cut, each no shorter than its head: text that is known by its beginning. */
  readonly flexible?: readonly number[];
  /** Columns that are cut when those are as short as can be. */
  readonly lastly?: readonly number[];
  /** So wide where there is room, that tables one after the other look like one. */
  readonly atLeast?: readonly number[];
}

/** Columns padded to their widest cell; numbers to the right. What is too wide for the screen is cut where it may be. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[], { columns, flexible = [], lastly = [], atLeast = [] }: TableOptions = {}): string {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)))];
  const widths = head.map((_, column) => Math.max(atLeast[column] ?? 0, ...cells.map((row) => width(row[column] ?? ''))));
  const isNumber = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  const least = (column: number) => Math.max(width(head[column] ?? ''), LEAST);
  for (;;) {
    const total = widths.reduce((sum, each) => sum + each + 2, -2);
    const widestOf = (among: readonly number[]) => among.filter((column) => (widths[column] ?? 0) > least(column)).sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    const widest = widestOf(flexible) ?? widestOf(lastly);
    if (columns === undefined || total <= columns || widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const text = cut(cell, widths[column] ?? 0);
          const space = ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(text)));
          return isNumber[column] === true ? space + text : text + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const LEAST = 6;

function cut(text: string, most: number): string {
  return width(text) <= most ? text : `${[...text].slice(0, Math.max(0, most - 1)).join('')}…`;
}

/** In terminal columns, for the Latin text and signs used here. */
function width(text: string): number {
  return [...text].length;
}

/** `4.1 s`, `0.3 s`, `2 min 10 s`. */
export function seconds(ms: number): string {
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const whole = Math.round(ms / 1_000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
