import type { Profiler } from 'node:inspector';
import { describe, expect, it } from 'vitest';
import { flameGraph, framesOf, placeOf, topCosts, topPaths, topPlaces } from '../../bench/support/profile.ts';

const node = (id: number, functionName: string, url: string, children: number[] = []): Profiler.ProfileNode => ({ id, callFrame: { functionName, scriptId: '0', url, lineNumber: 9, columnNumber: 0 }, children });

const ours = 'file:///somewhere/loqey/src/bridge/ingest.ts';
const profile: Profiler.Profile = {
  startTime: 0,
  endTime: 100,
  nodes: [
    node(1, '(root)', '', [2, 3, 4, 8]),
    node(2, '(idle)', ''),
    node(3, 'handle', ours, [5, 6]),
    node(4, 'handle', ours, [7]),
    node(5, 'query', 'file:///somewhere/loqey/node_modules/pg/lib/client.js'),
    node(6, 'writev', ''),
    node(7, 'query', 'file:///somewhere/loqey/node_modules/pg/lib/client.js'),
    node(8, 'post', 'node:inspector'),
  ],
  samples: [2, 3, 5, 6, 7, 8],
  timeDeltas: [1_000, 10, 20, 30, 40, 500],
};

describe('a CPU profile', () => {
  const root = framesOf(profile);

  it('joins calls of the same function, and leaves out idle time and the profiler', () => {
    expect(root.total).toBe(100);
    expect(root.children.map(({ name, place, total, self }) => [name, place, total, self])).toEqual([['handle', 'src/bridge/ingest.ts:10', 100, 10]]);
    expect(root.children[0]?.children.map(({ name, place, total }) => [name, place, total])).toEqual([['query', 'pg', 60], ['writev', '', 30]]);
  });

  it('ranks functions, packages and paths by their share', () => {
    expect(topCosts(root, 2)).toEqual([{ name: 'query', place: 'pg', share: 0.6 }, { name: 'writev', place: '', share: 0.3 }]);
    expect(topPlaces(root, 2).map(({ name, share }) => [name, share])).toEqual([['pg', 0.6], ['src/bridge/ingest.ts', 0.4]]);
    expect(topPaths(root, 5)).toEqual([{ name: 'handle', place: 'src/bridge/ingest.ts:10', share: 1 }]);
  });

  it('shows no folder of the machine', () => {
    expect(placeOf('file:///a/node_modules/@scope/name/index.js', 1)).toBe('@scope/name');
    expect(flameGraph(root, 'tap')).not.toContain('somewhere');
    expect(flameGraph(root, 'a & b')).toContain('a &amp; b');
  });
});
