import { describe, expect, it } from 'vitest';
import { interleave, measuredOnce, reading, type Lane } from '../../bench/support/figure.ts';
import { median, quantile, spread, timesLimit } from '../../bench/support/statistics.ts';

describe('statistics of a benchmark', () => {
  it('takes quantiles by the nearest rank and medians in the middle', () => {
    expect(quantile([5, 1, 3, 2, 4], 0.5)).toBe(3);
    expect(quantile([5, 1, 3, 2, 4], 0.99)).toBe(5);
    expect(quantile([7], 0)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
    expect(spread([2, 9, 4])).toEqual({ median: 4, low: 2, high: 9, n: 3 });
  });

  it('says of times and of rates alike how many times the limit they take, slice by slice', () => {
    expect(timesLimit([2, 8], [1, 2], 'ms')).toEqual({ median: 3, low: 2, high: 4, n: 2 });
    expect(timesLimit([500, 100], [1_000, 400], '/s')).toEqual({ median: 3, low: 2, high: 4, n: 2 });
    expect(timesLimit([10], [10, 20], '% of a core').median).toBe(1);
  });
});

describe('alternating slices', () => {
  const pace = { slices: 3, sliceMs: 5, warmupMs: 1 };

  function lanes(order: string[]): Lane[] {
    const lane = (name: string, each: (n: number) => readonly number[] | number): Lane => {
      let n = 0;
      return {
        name,
        slice: async (ms) => {
          order.push(`${name}${ms === pace.warmupMs ? ' to warm up' : ''}`);
          return { it: each(ms === pace.warmupMs ? -1 : n++) };
        },
      };
    };
    return [lane('limit', (n) => [1 + n, 1 + n, 10 + n]), lane('ours', (n) => [2 + 2 * n, 2 + 2 * n, 100])];
  }

  it('runs every second round in the reverse order, so that no side always has the fresher machine', async () => {
    const order: string[] = [];
    await interleave(lanes(order), pace);
    expect(order).toEqual(['limit to warm up', 'ours to warm up', 'limit', 'ours', 'ours', 'limit', 'limit', 'ours']);
  });

  it('makes a line of medians, the tail of all operations, and a ratio; what warmed up is in none of them', async () => {
    const taken = await interleave(lanes([]), pace);
    expect(reading(taken, { figure: 'f', what: 'w', unit: 'ms', of: 'ours.it', limit: { what: 'l', of: 'limit.it' } })).toEqual({
      figure: 'f',
      what: 'w',
      unit: 'ms',
      value: { median: 4, low: 2, high: 6, n: 3 },
      p99: 100,
      limit: { what: 'l', value: { median: 2, low: 1, high: 3, n: 3 }, p99: 12 },
      ratio: { median: 2, low: 2, high: 2, n: 3 },
    });
    expect(reading(taken, { figure: 'f', what: 'w', unit: 'ms', of: 'ours.it', p99: true }).value).toEqual({ median: 100, low: 100, high: 100, n: 3 });
    expect(() => reading(taken, { figure: 'f', what: 'w', unit: 'ms', of: 'theirs.it' })).toThrow('there are limit.it, ours.it');
  });

  it('takes what was measured by other means', () => {
    const at = { boxes: 10, events: 100 };
    expect(measuredOnce({ figure: 'f', what: 'w', unit: '/s', values: [50], limit: { what: 'l', values: [100] }, at })).toMatchObject({ value: { median: 50 }, ratio: { median: 2 }, at });
    expect(measuredOnce({ figure: 'f', what: 'w', unit: 'MB', values: [50] })).not.toHaveProperty('ratio');
  });
});
