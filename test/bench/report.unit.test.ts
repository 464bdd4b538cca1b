import { describe, expect, it } from 'vitest';
import { figures } from '../../bench/registry.ts';
import { barChart, lineChart } from '../../bench/support/charts.ts';
import { measuredOnce, type Point, type Reading, type Unit } from '../../bench/support/figure.ts';
import { axesOf, costOf, reportOf, worst } from '../../bench/support/report.ts';
import { renewed, rounded, withSpread, withUnit, type Run } from '../../bench/support/run.ts';

const line = (figure: string, what: string, unit: Unit, values: readonly number[], limit?: readonly number[], at?: Point): Reading =>
  measuredOnce({ figure, what, unit, values, ...(limit === undefined ? {} : { limit: { what: `limit of ${figure}`, values: limit } }), ...(at === undefined ? {} : { at }) });

const grown = (events: number, ms: number, boxes = 1_000) => line('tap', 'tap → box', 'ms', [ms], [2], { boxes, events });

const run: Run = {
  version: 1,
  at: '2026-11-21T20:00:00.000Z',
  seconds: 1_500,
  engines: 'embedded',
  mode: 'full',
  seed: 7,
  figures: ['tap', 'reads'],
  machine: { cores: 2, processor: 'Some CPU', memoryGb: 24, system: 'linux x64', node: '24.1.0', postgres: '18.4' },
  readings: [
    line('tap', 'tap → box', 'ms', [4, 6, 5], [1, 2, 1]),
    line('tap', 'tap → answer', 'ms', [8, 8, 8], [1, 1, 1]),
    line('reads', 'reads <of 5>', '/s', [1_000], [4_000]),
    line('start', 'memory', 'MB', [123.4]),
    grown(10_000, 4),
    grown(100_000, 4),
    grown(1_000_000, 5),
  ],
  failures: [{ figure: 'fleet', reason: 'Error: no /proc\n    at line 1' }],
};

describe('figures in words', () => {
  it('has three digits that count', () => {
    expect([0, 0.01234, 0.5, 1.005, 16.34, 123.4, 1_234, 98_765, 1_234_567, Number.NaN].map(rounded)).toEqual(['0', '0.012', '0.500', '1.00', '16.3', '123', '1,230', '98,800', '1,230,000', '–']);
    expect(withUnit(1_234, '/s')).toBe('1,230/s');
    expect(withUnit(2, 'ms')).toBe('2.00 ms');
  });

  it('shows a spread only where something was repeated', () => {
    expect(withSpread({ median: 2, low: 1, high: 3, n: 5 })).toBe('2.00 (1.00–3.00)');
    expect(withSpread({ median: 2, low: 2, high: 2, n: 1 })).toBe('2.00');
  });
});

describe('the report', () => {
  const { markdown, charts } = reportOf([run], { tap: 'It decides.', reads: 'It looks.' });

  it('says on what and how it was measured, without names or folders', () => {
    expect(markdown).toContain('2026-11-21, full run of 25 minutes, seed 7. 2 cores (Some CPU), 24 GB');
    expect(markdown).not.toMatch(/\/(root|home|work|tmp)\//);
  });

  it('has each figure beside its limit, with the ratio', () => {
    expect(markdown).toContain('| tap → box | 5.00 ms (4.00–6.00) |  | limit of tap | 1.00 ms | 4.00 (3.00–5.00) |');
    expect(markdown).toContain('| reads <of 5> | 1,000/s |  | limit of reads | 4,000/s | 4.00 |');
    expect(markdown).toContain('| memory | 123 MB |  | | | |');
  });

  it('names what is furthest from its limit, one of each figure, with what is done for it', () => {
    expect(worst(run.readings, 5).map(({ what }) => what)).toEqual(['tap → answer', 'reads <of 5>']);
    expect(markdown).toContain('- **8.00 times**: tap → answer, 8.00 ms beside 1.00 ms (limit of tap). What is done for it: it decides.');
  });

  it('says what could not be measured', () => {
    expect(markdown).toContain('- fleet: Error: no /proc\n');
  });

  it('shows growth as what one operation costs at the largest beside the smallest', () => {
    expect(markdown).toContain('| tap → box | 4.00 ms (2.00) | 4.00 ms (2.00) | 5.00 ms (2.50) | 1.25 |');
    expect(markdown).not.toContain('Growing boxes');
  });

  it('names no chart that it does not make, and makes none that it does not name', () => {
    const named = [...markdown.matchAll(/\(report\/([\w.-]+\.svg)\)/g)].map(([, name]) => name);
    expect(new Set(named)).toEqual(new Set(Object.keys(charts)));
    expect(named).toHaveLength(3);
  });

  it('takes a rate upside down for its cost where it has no limit', () => {
    expect(costOf(line('f', 'w', '/s', [4]))).toBe(0.25);
    expect(costOf(line('f', 'w', 'MB', [4]))).toBe(4);
  });

  it('finds the points at which one grows and the other stays', () => {
    const points = [[1_000, 10], [1_000, 100], [1_000, 1_000], [1_000, 400], [10_000, 400], [100_000, 400]].map(([boxes = 0, events = 0]) => ({ boxes, events }));
    expect(axesOf(points).map(({ name, points: of }) => [name, of.map((point) => point[name])])).toEqual([
      ['events', [10, 100, 400, 1_000]],
      ['boxes', [1_000, 10_000, 100_000]],
    ]);
    expect(axesOf([{ boxes: 1, events: 1 }])).toEqual([]);
  });
});

describe('charts', () => {
  const bars = [{ name: 'a <b> & "c"', value: 10, low: 5, high: 20, limit: 2, told: '10 ms' }, { name: 'without', value: 3, low: 3, high: 3, told: '3 ms' }];

  it('are well-formed, escape what they are given, and hold no number that is none', () => {
    for (const svg of [barChart({ title: 'T', bars, axis: 'ms' }), lineChart({ title: 'T', axis: 'events', level: 'times', series: [{ name: 'x & y', points: [{ x: 10, y: 1 }, { x: 1_000, y: 1.5 }] }] })]) {
      expect(svg).toMatch(/^<svg [^>]*viewBox/);
      expect(svg.trimEnd()).toMatch(/<\/svg>$/);
      expect(svg).not.toMatch(/NaN|Infinity|undefined|<b>|& /);
    }
  });

  it('draw on a logarithmic axis: ten times as much is one step', () => {
    const svg = lineChart({ title: 'T', axis: 'x', level: 'y', series: [{ name: 's', points: [1, 10, 100].map((x) => ({ x, y: 1 })) }] });
    const at = [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(at[1]! - at[0]!).toBeCloseTo(at[2]! - at[1]!, 1);
  });

  it('keep the lowest and the highest inside', () => {
    const widths = [...barChart({ title: 'T', bars, axis: 'ms' }).matchAll(/width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(Math.max(...widths)).toBeLessThanOrEqual(860);
  });
});

describe('the registry', () => {
  it('has each name once, and says of each what is measured beside which limit', () => {
    expect(new Set(figures.map(({ name }) => name)).size).toBe(figures.length);
    for (const { about, beyond, engines } of figures) {
      expect(about).toMatch(/\.$/);
      expect(beyond).toMatch(/\.$/);
      expect(engines).toContain('embedded');
    }
  });
});

describe('a run of some figures', () => {
  const whole: Run = { ...run, figures: ['tap', 'reads', 'start', 'growth'], readings: run.readings };
  const later: Run = { ...run, at: '2026-11-22T08:30:00.000Z', figures: ['growth', 'fleet'], readings: [grown(10_000, 9), line('fleet', 'memory', 'MB', [1])], failures: [] };

  it('takes the place of what there was of them; the rest stays, and the report says which were measured again', () => {
    const both = renewed(whole, later);
    expect(both.readings.filter(({ at }) => at !== undefined)).toEqual([later.readings[0]]);
    expect(both.readings.filter(({ at }) => at === undefined)).toEqual([...whole.readings.slice(0, 4), later.readings[1]]);
    expect(both.failures).toEqual([]); // the fleet's is mended
    expect(both.figures).toEqual(['tap', 'reads', 'start', 'growth', 'fleet']);
    expect(reportOf([both], {}).markdown).toContain('Measured again on 2026-11-22 08:30: growth, fleet.');
    expect(renewed(both, { ...later, at: '2026-11-23T00:00:00.000Z', figures: ['growth'] }).again).toEqual([
      { at: later.at, figures: ['fleet'] },
      { at: '2026-11-23T00:00:00.000Z', figures: ['growth'] },
    ]);
  });

  it('stands alone where all was measured, as a short run beside a long one, and on another machine', () => {
    for (const other of [{ ...later, figures: [...whole.figures, 'fleet'] }, { ...later, mode: 'quick' as const }, { ...later, machine: { ...run.machine, cores: 4 } }]) {
      expect(renewed(whole, other)).toBe(other);
    }
  });
});
