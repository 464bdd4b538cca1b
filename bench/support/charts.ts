/**
 * Charts as SVG text, small enough to be read as they are. Colours that can be told apart on white and on black; no script, no
 * font, nothing from elsewhere.
 */
const TEXT = '#7d8590';
const GRID = '#7d85904d';
const LIMIT = '#9aa4af';
const SERIES = ['#2f81f7', '#d29922', '#3fb950', '#db61a2', '#a371f7', '#f0883e', '#39c5cf', '#f85149'];
const FONT = 'font-family="system-ui, sans-serif" font-size="12"';

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly limit?: number;
  /** How the value and the limit are said. */
  readonly told: string;
}

const WIDTH = 860;
const LEFT = 330;
const RIGHT = 170;
const ROW = 34;
const TOP = 46;

/** Each figure over its limit, on one logarithmic axis. */
export function barChart({ title, bars, axis }: { readonly title: string; readonly bars: readonly Bar[]; readonly axis: string }): string {
  const values = bars.flatMap(({ value, low, high, limit }) => [value, low, high, ...(limit === undefined ? [] : [limit])]).filter((value) => value > 0);
  const scale = logScale(Math.min(...values), Math.max(...values), LEFT, WIDTH - RIGHT);
  const height = TOP + bars.length * ROW + 30;
  const bottom = height - 30;
  const body = [
    ...scale.ticks.map((tick) => line(scale.at(tick), TOP - 8, scale.at(tick), bottom) + text(scale.at(tick), bottom + 16, short(tick), 'middle')),
    ...bars.flatMap(({ name, value, low, high, limit, told }, index) => {
      const y = TOP + index * ROW;
      return [
        text(LEFT - 8, y + 14, name, 'end'),
        rect(LEFT, y, scale.at(value) - LEFT, limit === undefined ? 18 : 12, SERIES[0]!, `${name}: ${told}`),
        ...(limit === undefined ? [] : [rect(LEFT, y + 13, scale.at(limit) - LEFT, 7, LIMIT, `limit of ${name}`)]),
        `<path d="M${fixed(scale.at(Math.max(low, scale.ticks[0]!)))} ${y + 6}H${fixed(scale.at(high))}" stroke="${TEXT}" stroke-width="1.5"/>`,
        text(Math.max(scale.at(high), scale.at(limit ?? 0)) + 6, y + 14, told, 'start'),
      ];
    }),
    text(LEFT, bottom + 28, axis, 'start'),
  ];
  return svg(WIDTH, height + 4, title, body);
}

const LEGEND_ROW = 20;

export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Lines over an axis where each step is ten times the one before. */
export function lineChart({ title, series, axis, level }: { readonly title: string; readonly series: readonly Series[]; readonly axis: string; readonly level: string }): string {
  const [top, left, right] = [TOP, 60, 560];
  const bottom = Math.max(310, top + series.length * LEGEND_ROW);
  const height = bottom + 50;
  const points = series.flatMap((each) => each.points);
  const x = logScale(Math.min(...points.map((point) => point.x)), Math.max(...points.map((point) => point.x)), left, right);
  const most = Math.max(2, ...points.map((point) => point.y)) * 1.1;
  const y = (value: number) => bottom - (value / most) * (bottom - top);
  const steps = stepsTo(most);
  const body = [
    ...steps.map((step) => line(left, y(step), right, y(step)) + text(left - 8, y(step) + 4, short(step), 'end')),
    ...x.ticks.map((tick) => text(x.at(tick), bottom + 18, short(tick), 'middle')),
    text(left, top - 12, level, 'start'),
    text((left + right) / 2, bottom + 38, axis, 'middle'),
    ...series.flatMap(({ name, points: of }, index) => {
      const colour = SERIES[index % SERIES.length]!;
      const dashed = index >= SERIES.length ? ' stroke-dasharray="5 3"' : '';
      const path = of.map((point, n) => `${n === 0 ? 'M' : 'L'}${fixed(x.at(point.x))} ${fixed(y(point.y))}`).join('');
      return [
        `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"${dashed}/>`,
        ...of.map((point) => `<circle cx="${fixed(x.at(point.x))}" cy="${fixed(y(point.y))}" r="3" fill="${colour}"><title>${escaped(name)}: ${short(point.y)}</title></circle>`),
        `<path d="M${right + 20} ${top + index * LEGEND_ROW - 4}h22" stroke="${colour}" stroke-width="3"${dashed}/>`,
        text(right + 48, top + index * LEGEND_ROW, name, 'start'),
      ];
    }),
  ];
  return svg(WIDTH, height, title, body);
}

interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

function logScale(least: number, most: number, from: number, to: number): Scale {
  const [low, high] = [Math.floor(Math.log10(least) + 1e-9), Math.ceil(Math.log10(most) - 1e-9)];
  const decades = Math.max(1, high - low);
  return {
    ticks: Array.from({ length: decades + 1 }, (_, n) => 10 ** (low + n)),
    at: (value) => (value <= 0 ? from : from + ((Math.log10(value) - low) / decades) * (to - from)),
  };
}

function stepsTo(most: number): readonly number[] {
  const rough = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 5, 10].map((times) => times * rough).find((each) => most / each <= 6) ?? rough * 10;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, n) => n * step);
}

function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`;
  return `${Number(value.toPrecision(3))}`;
}

const fixed = (value: number) => value.toFixed(1);
export const escaped = (raw: string) => raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const text = (x: number, y: number, said: string, anchor: string) => `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}" fill="${TEXT}">${escaped(said)}</text>`;
const line = (x1: number, y1: number, x2: number, y2: number) => `<path d="M${fixed(x1)} ${fixed(y1)}L${fixed(x2)} ${fixed(y2)}" stroke="${GRID}"/>`;
const rect = (x: number, y: number, width: number, height: number, colour: string, title: string) =>
  `<rect x="${fixed(x)}" y="${fixed(y)}" width="${fixed(Math.max(1, width))}" height="${height}" rx="2" fill="${colour}"><title>${escaped(title)}</title></rect>`;

function svg(width: number, height: number, title: string, body: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}" ${FONT}>`,
    `<text x="8" y="20" fill="${TEXT}" font-size="14" font-weight="600">${escaped(title)}</text>`,
    ...body,
    '</svg>',
    '',
  ].join('\n');
}
