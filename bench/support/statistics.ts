/** The q-th quantile of the samples, nearest rank; NaN of none. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

/** The middle of the samples; of an even number the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[Math.floor(half)]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** What several slices gave: their median, the least and the most. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

export function spread(samples: readonly number[]): Spread {
  return { median: median(samples), low: Math.min(...samples), high: Math.max(...samples), n: samples.length };
}

/** What is better: a time, a weight or a cost the less, a rate the more. */
export function isBetterLess(unit: string): boolean {
  return !unit.endsWith('/s');
}

/**
 * How many times its limit each slice took: 1 is as good as the limit, 3 is three times the time or a third of the rate.
 * Slice by slice, because the two sides of one slice met the same machine.
 */
export function timesLimit(values: readonly number[], limits: readonly number[], unit: string): Spread {
  const n = Math.min(values.length, limits.length);
  return spread(Array.from({ length: n }, (_, i) => (isBetterLess(unit) ? values[i]! / limits[i]! : limits[i]! / values[i]!)));
}
