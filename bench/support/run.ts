import type { Engines, Reading, Unit } from './figure.ts';
import type { Machine } from './machine.ts';
import type { Spread } from './statistics.ts';

/** One run of the command: what `--json` writes and the report is made from. */
export interface Run {
  readonly version: 1;
  /** ISO 8601. */
  readonly at: string;
  readonly seconds: number;
  readonly engines: Engines;
  readonly mode: 'quick' | 'full';
  readonly seed: number;
  readonly figures: readonly string[];
  readonly machine: Machine;
  readonly readings: readonly Reading[];
  /** What could not be measured, and why. */
  readonly failures: readonly { readonly figure: string; readonly reason: string }[];
  /** Figures that were measured in later runs, each run with its day. */
  readonly again?: readonly { readonly at: string; readonly figures: readonly string[] }[];
}

/** What `later` measured takes the place of what `kept` has of it; the other figures stay, where both were as thorough on such a machine. */
export function renewed(kept: Run, later: Run): Run {
  const whole = kept.figures.every((figure) => later.figures.includes(figure));
  if (whole || kept.mode !== later.mode || JSON.stringify(kept.machine) !== JSON.stringify(later.machine)) return later;
  const isRenewed = (figure: string): boolean => later.figures.includes(figure);
  const figureOf = ({ figure, at }: Reading): string => (at === undefined ? figure : 'growth');
  const again = (kept.again ?? []).map(({ at, figures }) => ({ at, figures: figures.filter((figure) => !isRenewed(figure)) })).filter(({ figures }) => figures.length > 0);
  return {
    ...kept,
    figures: [...new Set([...kept.figures, ...later.figures])],
    readings: [...kept.readings.filter((reading) => !isRenewed(figureOf(reading))), ...later.readings],
    failures: [...kept.failures.filter(({ figure }) => !isRenewed(figure)), ...later.failures],
    again: [...again, { at: later.at, figures: later.figures }],
  };
}

/** Three digits that count, with thousands apart. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const whole = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  const digits = Math.min(3, Math.max(0, 2 - whole));
  return Number(value.toPrecision(3)).toLocaleString('en', { minimumFractionDigits: value === 0 ? 0 : digits, maximumFractionDigits: digits });
}

export function withUnit(value: number, unit: Unit): string {
  return unit === '/s' ? `${rounded(value)}/s` : `${rounded(value)} ${unit}`;
}

/** `3.1 (2.9–3.4)`; alone where nothing was repeated. */
export function withSpread({ median, low, high, n }: Spread, show: (value: number) => string = rounded): string {
  return n < 2 ? show(median) : `${show(median)} (${rounded(low)}–${rounded(high)})`;
}
