import type { Profiler } from 'node:inspector';
import { escaped } from './charts.ts';

/** A function and what runs below it, in microseconds of CPU samples. */
export interface Frame {
  readonly name: string;
  /** `src/api/app.ts:12`, `pg`, `node:net`; empty for the engine itself. */
  readonly place: string;
  readonly total: number;
  readonly self: number;
  readonly children: readonly Frame[];
}

/** What the process did nothing in. */
const IDLE = new Set(['(idle)', '(program)', '(root)']);
/** The profiler's own work. */
const PROFILER = 'node:inspector';

/** The call tree of a CPU profile: calls of the same function from the same place are one, idle time is left out. */
export function framesOf(profile: Profiler.Profile): Frame {
  const selfOf = new Map<number, number>();
  const { samples = [], timeDeltas = [] } = profile;
  for (const [index, id] of samples.entries()) selfOf.set(id, (selfOf.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));

  function frame(ids: readonly number[], name: string, place: string): Frame {
    const below = new Map<string, number[]>();
    for (const id of ids) {
      for (const child of nodes.get(id)?.children ?? []) {
        const { functionName, url, lineNumber } = nodes.get(child)!.callFrame;
        if (IDLE.has(functionName) || url.startsWith(PROFILER)) continue;
        const key = `${functionName || '(anonymous)'}\n${placeOf(url, lineNumber)}`;
        below.set(key, [...(below.get(key) ?? []), child]);
      }
    }
    const children = [...below].map(([key, group]) => frame(group, ...(key.split('\n') as [string, string])));
    const self = ids.reduce((sum, id) => sum + (IDLE.has(nodes.get(id)?.callFrame.functionName ?? '') ? 0 : (selfOf.get(id) ?? 0)), 0);
    return { name, place, self, total: self + children.reduce((sum, child) => sum + child.total, 0), children: children.toSorted((a, b) => b.total - a.total) };
  }
  const root = profile.nodes.find(({ callFrame }) => callFrame.functionName === '(root)') ?? profile.nodes[0];
  return frame(root === undefined ? [] : [root.id], 'all', '');
}

/** Without the machine's folders: a file of this project, or the package that it belongs to. */
export function placeOf(url: string, line: number): string {
  const modules = url.lastIndexOf('node_modules/');
  if (modules >= 0) return /^(@[^/]+\/[^/]+|[^/]+)/.exec(url.slice(modules + 'node_modules/'.length))?.[0] ?? url;
  const own = /(?:^|\/)((?:src|bench|test|migrations)\/.*)$/.exec(url)?.[1];
  return own === undefined ? url : `${own}:${line + 1}`;
}

export interface Cost {
  readonly name: string;
  readonly place: string;
  /** Of all the CPU time of the process. */
  readonly share: number;
}

/** The functions that took most themselves, wherever they were called. */
export function topCosts(root: Frame, count: number): readonly Cost[] {
  return gathered(root, count, ({ name, place, self }) => [`${name}\n${place}`, self]);
}

/** The packages and files that took most, with what the engine did for them. */
export function topPlaces(root: Frame, count: number): readonly Cost[] {
  const shares = new Map<string, number>();
  const walk = (frame: Frame, owner: string) => {
    const place = frame.place.replace(/:\d+$/, '') || owner;
    shares.set(place, (shares.get(place) ?? 0) + frame.self);
    for (const child of frame.children) walk(child, place);
  };
  walk(root, '(engine)');
  return ranked(shares, root.total, count).map(({ key, share }) => ({ name: key, place: '', share }));
}

/** The functions of this project in which most time was spent, with all that they called. */
export function topPaths(root: Frame, count: number): readonly Cost[] {
  const totals = new Map<string, number>();
  const walk = (frame: Frame, above: ReadonlySet<string>) => {
    const key = `${frame.name}\n${frame.place}`;
    const ours = frame.place.startsWith('src/') && !above.has(key); // not twice where it calls itself
    if (ours) totals.set(key, (totals.get(key) ?? 0) + frame.total);
    const here = ours ? new Set([...above, key]) : above;
    for (const child of frame.children) walk(child, here);
  };
  walk(root, new Set());
  return named(ranked(totals, root.total, count));
}

function gathered(root: Frame, count: number, of: (frame: Frame) => [string, number]): readonly Cost[] {
  const totals = new Map<string, number>();
  const walk = (frame: Frame) => {
    const [key, value] = of(frame);
    totals.set(key, (totals.get(key) ?? 0) + value);
    frame.children.forEach(walk);
  };
  walk(root);
  return named(ranked(totals, root.total, count));
}

const ranked = (totals: ReadonlyMap<string, number>, all: number, count: number) =>
  [...totals].toSorted((a, b) => b[1] - a[1]).slice(0, count).map(([key, total]) => ({ key, share: all === 0 ? 0 : total / all }));

const named = (list: readonly { readonly key: string; readonly share: number }[]): readonly Cost[] =>
  list.map(({ key, share }) => {
    const [name = '', place = ''] = key.split('\n');
    return { name, place, share };
  });

const WIDTH = 1_400;
const ROW = 17;
const LEAST = 0.001;

/** The call tree from the top down: as wide as its share of the time. What is too narrow to be seen is left out. */
export function flameGraph(root: Frame, title: string): string {
  const boxes: string[] = [];
  let depth = 0;
  const draw = (frame: Frame, x: number, level: number) => {
    const share = frame.total / Math.max(1, root.total);
    if (share < LEAST) return;
    depth = Math.max(depth, level);
    const width = share * WIDTH;
    const label = `${frame.name}${frame.place === '' ? '' : ` ${frame.place}`}`;
    const shown = width > 30 ? label.slice(0, Math.floor(width / 6.2)) : '';
    boxes.push(
      `<g><title>${escaped(label)}: ${(share * 100).toFixed(1)} %, itself ${((frame.self / Math.max(1, root.total)) * 100).toFixed(1)} %</title>` +
        `<rect x="${x.toFixed(1)}" y="${30 + level * ROW}" width="${Math.max(0.5, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${colourOf(frame.place)}"/>` +
        (shown === '' ? '' : `<text x="${(x + 3).toFixed(1)}" y="${30 + level * ROW + 12}">${escaped(shown)}</text>`) +
        '</g>',
    );
    let at = x;
    for (const child of frame.children) {
      draw(child, at, level + 1);
      at += (child.total / Math.max(1, root.total)) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = 30 + (depth + 1) * ROW + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="ui-monospace, monospace" font-size="10.5" fill="#1f2328">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="4" y="18" font-size="13">${escaped(title)}</text>`,
    ...boxes,
    '</svg>',
    '',
  ].join('\n');
}

/** This project, its packages, Node, the engine. */
function colourOf(place: string): string {
  if (place.startsWith('src/')) return '#f2a65a';
  if (place.startsWith('node:')) return '#9ecae1';
  return place === '' ? '#d0d7de' : '#a8d5a2';
}
