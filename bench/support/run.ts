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
