import { barChart, lineChart, type Bar } from './charts.ts';
import type { Engines, Point, Reading } from './figure.ts';
import { rounded, withSpread, withUnit, type Run } from './run.ts';
import { isBetterLess } from './statistics.ts';

export interface Report {
  readonly markdown: string;
  /** By file name, in a folder `report` beside the Markdown. */
  readonly charts: Readonly<Record<string, string>>;
}

const NAMES: Readonly<Record<Engines, string>> = { embedded: 'Embedded set-up', real: 'Real engines' };
const PARTS: Readonly<Record<Engines, string>> = {
  embedded: 'PostgreSQL from npm with its ordinary, durable settings holds the log too; relay and MQTT broker are in the process.',
  real: 'EventStoreDB (in memory), Mosquitto, and Kafka’s protocol through librdkafka’s test cluster; PostgreSQL from npm.',
};
const SHOWN_WORST = 3;

/** Everything here follows from the runs: the page is never written by hand. */
export function reportOf(runs: readonly Run[], beyond: Readonly<Record<string, string>>): Report {
  const charts: Record<string, string> = {};
  const lines: string[] = [
    '# Measured',
    '',
    'Made by `npm run bench -- --report`, never by hand. Each figure stands beside its limit: what the same machine did in the same',
    'minutes with the same parts and nothing else. The last column says how many times its limit a figure takes: 1 is as good as it gets.',
    '',
  ];
  for (const run of runs) lines.push(...sectionOf(run, beyond, charts));
  lines.push(
    '## How it is measured',
    '',
    '- Figure and limit run in alternating slices, every second time in the reverse order: a machine that changes its speed hits both.',
    '- A value is the median of its slices, in brackets the lowest and the highest. The ratio is made slice by slice. A 99th percentile is',
    '  of all single operations where they were timed one by one.',
    '- Server, limits, boxes and load are processes of their own on the same cores; what they take from each other is in the figures.',
    '- Nothing is switched off: events are on disk before they are acknowledged. Only the limits of requests and reports a second are lifted.',
    '- On growing logs the people and boxes that are measured are part of the past, with a history as long as the others’; boxes that only',
    '  report have none.',
    '',
    'Again: `npm run bench` (about 25 minutes), `npm run bench -- --quick` (three), one figure `npm run bench -- tap`, all names',
    '`npm run bench -- --list`, where the time goes `npm run bench -- tap reports --profile`.',
    '',
  );
  return { markdown: lines.join('\n'), charts };
}

function sectionOf(run: Run, beyond: Readonly<Record<string, string>>, charts: Record<string, string>): string[] {
  const { engines, machine, readings, failures } = run;
  const base = readings.filter(({ at }) => at === undefined);
  const add = (name: string, title: string, svg: string) => {
    charts[`${engines}-${name}.svg`] = svg;
    return [`![${title}](report/${engines}-${name}.svg)`, ''];
  };
  const ofUnits = (units: readonly string[]) => base.filter(({ unit, limit }) => units.includes(unit) && limit !== undefined);
  const bars = (list: readonly Reading[]) =>
    list.map(({ what, unit, value, limit }): Bar => ({ name: fitted(what), value: value.median, low: value.low, high: value.high, ...(limit === undefined ? {} : { limit: limit.value.median }), told: `${withUnit(value.median, unit)}${limit === undefined ? '' : `, limit ${withUnit(limit.value.median, unit)}`}` }));
  const [times, rates] = [ofUnits(['ms']), ofUnits(['/s'])];
  return [
    `## ${NAMES[engines]}`,
    '',
    `${run.at.slice(0, 10)}, ${run.mode} run of ${Math.round(run.seconds / 60)} minutes, seed ${run.seed}. ${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB,`,
    `${machine.system}, Node ${machine.node}, PostgreSQL ${machine.postgres}. ${PARTS[engines]}`,
    ...(run.again ?? []).map(({ at, figures }) => `Measured again on ${at.slice(0, 16).replace('T', ' ')}: ${figures.join(', ')}.`),
    '',
    ...worstOf(base, beyond),
    '| what | measured | p99 | limit | measured | times its limit |',
    '|---|--:|--:|---|--:|--:|',
    ...base.map(rowOf),
    '',
    ...(times.length === 0 ? [] : add('times', 'Times beside their limits', barChart({ title: 'Times beside their limits (grey)', bars: bars(times), axis: 'milliseconds, less is better' }))),
    ...(rates.length === 0 ? [] : add('rates', 'Rates beside their limits', barChart({ title: 'Rates beside their limits (grey)', bars: bars(rates), axis: 'a second, more is better' }))),
    ...growthOf(readings, add),
    ...(failures.length === 0 ? [] : ['Not measured:', '', ...failures.map(({ figure, reason }) => `- ${figure}: ${reason.split('\n')[0]}`), '']),
  ];
}

function rowOf({ what, unit, value, p99, limit, ratio }: Reading): string {
  const told = withSpread(value, (each) => withUnit(each, unit));
  const tail = p99 === undefined ? '' : withUnit(p99, unit);
  if (limit === undefined) return `| ${what} | ${told} | ${tail} | | | |`;
  return `| ${what} | ${told} | ${tail} | ${limit.what} | ${withUnit(limit.value.median, unit)} | ${ratio === undefined ? '' : withSpread(ratio)} |`;
}

/** Furthest from its limit, one of each figure, with what the system does for it. */
export function worst(readings: readonly Reading[], count: number): readonly Reading[] {
  const sorted = readings.filter(({ ratio }) => ratio !== undefined && Number.isFinite(ratio.median)).toSorted((a, b) => b.ratio!.median - a.ratio!.median);
  const figures = new Set<string>();
  return sorted.filter(({ figure }) => !figures.has(figure) && figures.add(figure)).slice(0, count);
}

function worstOf(readings: readonly Reading[], beyond: Readonly<Record<string, string>>): string[] {
  const found = worst(readings, SHOWN_WORST);
  if (found.length === 0) return [];
  return [
    'Furthest from their limits:',
    '',
    ...found.map(({ figure, what, unit, value, limit, ratio }) => `- **${rounded(ratio!.median)} times**: ${what}, ${withUnit(value.median, unit)} beside ${withUnit(limit!.value.median, unit)} (${limit!.what}). What is done for it: ${lowerFirst(beyond[figure] ?? 'see the figure.')}`),
    '',
  ];
}

/** What a unit of work costs: a time as it is, a rate upside down; beside its limit where there is one. */
export function costOf({ value, unit, ratio }: Reading): number {
  if (ratio !== undefined) return ratio.median;
  return isBetterLess(unit) ? value.median : 1 / value.median;
}

interface Axis {
  readonly name: 'events' | 'boxes';
  readonly title: string;
  readonly points: readonly Point[];
}

/** The points at which one of the two grows and the other stays. */
export function axesOf(points: readonly Point[]): readonly Axis[] {
  const distinct = [...new Map(points.map((point) => [`${point.boxes}/${point.events}`, point])).values()];
  const along = (name: 'events' | 'boxes', fixed: 'events' | 'boxes'): Axis | undefined => {
    const groups = Map.groupBy(distinct, (point) => point[fixed]);
    const [best = []] = [...groups.values()].toSorted((a, b) => b.length - a.length);
    const value = best[0]?.[fixed] ?? 0;
    const title = name === 'events' ? `events in the log (${value.toLocaleString('en')} boxes)` : `boxes (${value.toLocaleString('en')} events)`;
    return best.length < 2 ? undefined : { name, title, points: best.toSorted((a, b) => a[name] - b[name]) };
  };
  return [along('events', 'boxes'), along('boxes', 'events')].filter((axis) => axis !== undefined);
}

function growthOf(readings: readonly Reading[], add: (name: string, title: string, svg: string) => string[]): string[] {
  const grown = readings.filter(({ at }) => at !== undefined);
  const lines: string[] = [];
  for (const { name, title, points } of axesOf(grown.map(({ at }) => at!))) {
    const at = (what: string, point: Point) => grown.find((each) => each.what === what && each.at?.boxes === point.boxes && each.at.events === point.events);
    const all = [...new Set(grown.map(({ what }) => what))].flatMap((what) => {
      const found = points.map((point) => at(what, point));
      return found.every((each) => each !== undefined) ? [{ what, found }] : [];
    });
    const growth = ({ found }: (typeof all)[number]) => costOf(found.at(-1)!) / costOf(found[0]!);
    const heading = `Growing ${name}`;
    const series = all.map(({ what, found }) => ({ name: fitted(what, 40), points: found.map((each, n) => ({ x: points[n]![name], y: costOf(each) / costOf(found[0]!) })) }));
    lines.push(
      `### ${heading}`,
      '',
      `In brackets how many times its limit. The last column is what one operation costs at the largest, beside the smallest: 1 is flat.`,
      '',
      `| ${title} | ${points.map((point) => point[name].toLocaleString('en')).join(' | ')} | cost grew |`,
      `|---|${points.map(() => '--:|').join('')}--:|`,
      ...all.map((row) => `| ${row.what} | ${row.found.map((each) => `${withUnit(each.value.median, each.unit)}${each.ratio === undefined ? '' : ` (${rounded(each.ratio.median)})`}`).join(' | ')} | ${rounded(growth(row))} |`),
      '',
      ...add(`growth-${name}`, heading, lineChart({ title: `${heading}: what one operation costs`, series, axis: title, level: 'times its cost at the smallest (beside its limit)' })),
    );
  }
  return lines;
}

const lowerFirst = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

function fitted(what: string, most = 50): string {
  return what.length <= most ? what : `${what.slice(0, most - 1)}…`;
}
