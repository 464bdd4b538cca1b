import { createInterface } from 'node:readline';
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
  readonly paint: ReturnType<typeof pc.createColors>;
}

export interface TerminalOptions {
  readonly json: boolean;
  /** Absent: nobody can be asked. */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
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

/** Columns padded to their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ''))));
  const isNumber = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const space = ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(cell)));
          return isNumber[column] === true ? space + cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
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
