import type { Bench } from './bench.ts';
import { quantile, spread, timesLimit, type Spread } from './statistics.ts';

export type Engines = 'embedded' | 'real';
export type Unit = 'ms' | 's' | 'µs' | '/s' | 'MB' | 'kB' | '% of a core';

/** The size of what the figure was measured on, where that is what is varied. */
export interface Point {
  readonly boxes: number;
  readonly events: number;
}

/** One line of the table: what was measured, beside the least that it could be here. */
export interface Reading {
  readonly figure: string;
  readonly what: string;
  readonly unit: Unit;
  readonly value: Spread;
  /** 99th percentile over all slices, where single operations were timed. */
  readonly p99?: number;
  readonly limit?: { readonly what: string; readonly value: Spread; readonly p99?: number };
  /** How many times its limit: 1 is as good as it gets. */
  readonly ratio?: Spread;
  readonly at?: Point;
}

/** Something that can be measured by its name. */
export interface Figure {
  readonly name: string;
  /** One sentence: what, and beside which limit. */
  readonly about: string;
  /** What the system does for it that its limit does not. */
  readonly beyond: string;
  readonly engines: readonly Engines[];
  run(bench: Bench): Promise<readonly Reading[]>;
}

/** What one slice gave: a number, or the times of single operations. */
export type Slice = Readonly<Record<string, number | readonly number[]>>;

/** Something that can be done for a while. */
export interface Lane {
  readonly name: string;
  slice(ms: number): Promise<Slice>;
}

export interface Pace {
  readonly slices: number;
  readonly sliceMs: number;
  readonly warmupMs: number;
}

/** All slices of all lanes, in the order in which they ran. */
export class Slices {
  readonly #taken = new Map<string, (number | readonly number[])[]>();

  add(lane: string, slice: Slice): void {
    for (const [name, value] of Object.entries(slice)) {
      const key = `${lane}.${name}`;
      this.#taken.set(key, [...(this.#taken.get(key) ?? []), value]);
    }
  }

  /** One number for each slice: as it was given, or the median of its times. */
  values(key: string): number[] {
    return this.#of(key).map((value) => (typeof value === 'number' ? value : quantile(value, 0.5)));
  }

  /** Of every single time of every slice; undefined where none was timed. */
  p99(key: string): number | undefined {
    const times = this.#of(key).flatMap((value) => (typeof value === 'number' ? [] : [...value]));
    return times.length === 0 ? undefined : quantile(times, 0.99);
  }

  /** A slice's own 99th percentile. */
  p99s(key: string): number[] {
    return this.#of(key).flatMap((value) => (typeof value === 'number' ? [] : [quantile(value, 0.99)]));
  }

  #of(key: string): readonly (number | readonly number[])[] {
    const taken = this.#taken.get(key);
    if (taken === undefined) throw new Error(`No slice gave ${key}; there are ${[...this.#taken.keys()].join(', ')}`);
    return taken;
  }
}

/**
 * Runs the lanes in alternating slices, every second time in the reverse order: a machine that changes its speed in between
 * hits all of them alike.
 */
export async function interleave(lanes: readonly Lane[], { slices, sliceMs, warmupMs }: Pace): Promise<Slices> {
  const taken = new Slices();
  if (warmupMs > 0) for (const lane of lanes) await lane.slice(warmupMs);
  for (let n = 0; n < slices; n++) {
    for (const lane of n % 2 === 0 ? lanes : lanes.toReversed()) taken.add(lane.name, await lane.slice(sliceMs));
  }
  return taken;
}

export interface Asked {
  readonly figure: string;
  readonly what: string;
  readonly unit: Unit;
  /** `lane.name` of the slices. */
  readonly of: string;
  readonly limit?: { readonly what: string; readonly of: string };
  /** The slices' 99th percentiles instead of their medians. */
  readonly p99?: boolean;
  readonly at?: Point;
}

/** A line of the table from the slices. */
export function reading(slices: Slices, { figure, what, unit, of, limit, p99 = false, at }: Asked): Reading {
  const side = (key: string) => {
    const values = p99 ? slices.p99s(key) : slices.values(key);
    const tail = slices.p99(key);
    return { values, told: { value: spread(values), ...(tail === undefined ? {} : { p99: tail }) } };
  };
  const ours = side(of);
  const least = limit === undefined ? undefined : side(limit.of);
  return {
    figure,
    what,
    unit,
    ...ours.told,
    ...(limit === undefined || least === undefined ? {} : { limit: { what: limit.what, ...least.told }, ratio: timesLimit(ours.values, least.values, unit) }),
    ...(at === undefined ? {} : { at }),
  };
}

/** A line that was measured once, or by other means. */
export function measuredOnce(line: Omit<Reading, 'value' | 'limit' | 'ratio'> & { readonly values: readonly number[]; readonly limit?: { readonly what: string; readonly values: readonly number[] } }): Reading {
  const { values, limit, ...rest } = line;
  return {
    ...rest,
    value: spread(values),
    ...(limit === undefined ? {} : { limit: { what: limit.what, value: spread(limit.values) }, ratio: timesLimit(values, limit.values, rest.unit) }),
  };
}
