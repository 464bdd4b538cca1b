/** CSV as RFC 4180 has it, and as spreadsheets write it: with a mark of UTF-8, with semicolons or tabs, with any line ends. */

export interface CsvRecord {
  /** The line on which it begins, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

export class CsvError extends Error {
  override readonly name = 'CsvError';
}

export interface CsvLimits {
  /** Characters of one cell. */
  readonly cell: number;
  /** Cells of one record. */
  readonly cells: number;
}

const DELIMITERS = [',', ';', '\t'] as const;

/**
 * Records as their bytes arrive; empty lines are left out. The delimiter is the one that the first line has most of.
 *
 * @throws CsvError for what is not UTF-8, a quote that is never closed, and what is beyond the limits
 */
export async function* readCsv(chunks: AsyncIterable<Uint8Array>, limits: CsvLimits): AsyncGenerator<CsvRecord> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  // Of the first line, until it is whole.
  let head = '';
  let machine: Machine | undefined;
  for await (const chunk of chunks) {
    const text = decoded(() => decoder.decode(chunk, { stream: true }));
    if (machine !== undefined) yield* machine.take(text);
    else {
      head += text;
      const end = head.search(/[\r\n]/);
      if (end < 0 && head.length <= limits.cell * limits.cells) continue;
      machine = new Machine(delimiterOf(end < 0 ? head : head.slice(0, end)), limits);
      yield* machine.take(head);
      head = '';
    }
  }
  const rest = decoded(() => decoder.decode());
  machine ??= new Machine(delimiterOf(head), limits);
  yield* machine.take(head + rest);
  yield* machine.end();
}

function decoded(decode: () => string): string {
  let text: string;
  try {
    text = decode();
  } catch {
    throw new CsvError('is not UTF-8: save it as "CSV UTF-8"');
  }
  if (text.includes('\0')) throw new CsvError('is not UTF-8: save it as "CSV UTF-8"');
  return text;
}

function delimiterOf(line: string): string {
  const outside = line.replaceAll(/"[^"]*"/g, '');
  const counts = DELIMITERS.map((delimiter) => outside.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))] ?? ',';
}

class Machine {
  private readonly delimiter: string;
  private readonly limits: CsvLimits;
  private cells: string[] = [];
  private cell = '';
  private state: 'start' | 'plain' | 'quoted' | 'closed' = 'start';
  private line = 1;
  private begun = 1;
  private afterReturn = false;

  constructor(delimiter: string, limits: CsvLimits) {
    this.delimiter = delimiter;
    this.limits = limits;
  }

  *take(text: string): Generator<CsvRecord> {
    for (const sign of text) {
      const isSecondHalf = sign === '\n' && this.afterReturn;
      this.afterReturn = sign === '\r';
      const isLineEnd = sign === '\r' || sign === '\n';
      if (this.state === 'quoted') {
        if (isLineEnd && !isSecondHalf) this.line++;
        if (sign === '"') this.state = 'closed';
        else this.add(sign);
        continue;
      }
      if (isSecondHalf) continue;
      if (isLineEnd) {
        yield* this.record();
        this.begun = ++this.line;
      } else if (sign === this.delimiter) this.next();
      else if (sign === '"' && this.state === 'start') this.state = 'quoted';
      else if (sign === '"' && this.state === 'closed') {
        // Two quotes within quotes are one.
        this.add(sign);
        this.state = 'quoted';
      } else if (this.state === 'closed') throw new CsvError(`has something after a closing quote in line ${this.line}`);
      else {
        this.state = 'plain';
        this.add(sign);
      }
    }
  }

  *end(): Generator<CsvRecord> {
    if (this.state === 'quoted') throw new CsvError(`has a quote in line ${this.begun} that is never closed`);
    yield* this.record();
  }

  private add(sign: string): void {
    this.cell += sign;
    if (this.cell.length > this.limits.cell) throw new CsvError(`has a cell of more than ${this.limits.cell} characters in line ${this.begun}`);
  }

  private next(): void {
    this.cells.push(this.cell);
    if (this.cells.length >= this.limits.cells) throw new CsvError(`has more than ${this.limits.cells} columns in line ${this.begun}`);
    this.cell = '';
    this.state = 'start';
  }

  private *record(): Generator<CsvRecord> {
    const cells = [...this.cells, this.cell];
    this.cells = [];
    this.cell = '';
    this.state = 'start';
    if (cells.some((cell) => cell.trim() !== '')) yield { line: this.begun, cells };
  }
}

/** What a spreadsheet would take for a formula, also after spaces. */
const FORMULA = /^[\s]*[=+\-@\t\r]/;

/**
 * One line. A cell that a spreadsheet would carry out as a formula gets an apostrophe before it; what a machine must read
 * back unchanged goes into a cell of JSON, which begins with a brace.
 */
export function csvLine(cells: readonly (string | number | null | undefined)[]): string {
  return `${cells.map(cellOf).join(',')}\r\n`;
}

function cellOf(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return `${value}`;
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}
