import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { RemoteFailure } from '../../src/shell/remote/client.ts';
import { linesOf, spanOf, type PlaybackFrame } from '../../src/shell/remote/playback-view.ts';
import { speedOf } from '../../src/shell/remote/playback.ts';

const plain = pc.createColors(false);
const frame: PlaybackFrame = {
  entry: { timestamp: '2026-11-21T10:00:05.123Z', summary: 'A courier opened LB-004471 with the link “Parcel Friday”: the bolt moved after 412 ms', outcome: 'accepted', event_id: '3f2a9c01-7a10-5c3e-8f00-4b1d2e3f4a50' },
  gap_ms: 90_000,
  skipped_ms: 88_000,
  states: [
    {
      kind: 'device',
      id: '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
      state: { serial_number: 'LB-004471', lifecycle_status: 'assigned', reported: { lock_status: 'unlocked', online: true, battery: 87, door_open: false }, unlocks: { current: null } },
      changes: [
        { path: '/reported/lock_status', before: 'locked', after: 'unlocked' },
        { path: '/unlocks/current', before: { phase: 'acknowledged', unlock_id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50', cause: { kind: 'link', id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a51' } }, after: null },
      ],
    },
    { kind: 'link', id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a51', state: { status: 'used', uses_left: 0 }, changes: [{ path: '/uses', before: 0, after: 1 }] },
  ],
};

describe('a line of a playback', () => {
  it('has the states beside it on a wide screen', () => {
    expect(linesOf(frame, plain, 120).join('\n')).toBe(
      [
        '                … 88 s in which nothing happened',
        '11-21 10:00:05  A courier opened LB-004471 with the link   │ LB-004471 · assigned · unlocked · online · 87 %',
        '                “Parcel Friday”: the bolt moved after 412  │   reported.lock_status  locked → unlocked',
        '                ms                                         │   unlocks.current  {"phase":"acknowledged","unlock_id":"01…',
        '                                                           │ link 0198c1de · used · 0 left',
        '                                                           │   uses  0 → 1',
      ].join('\n'),
    );
  });

  it('has them below it on a narrow one, and in a file as long as they are', () => {
    expect(linesOf(frame, plain, 80).slice(1)).toEqual([
      '11-21 10:00:05  A courier opened LB-004471 with the link “Parcel Friday”: the',
      '                bolt moved after 412 ms',
      '    LB-004471 · assigned · unlocked · online · 87 %',
      '      reported.lock_status  locked → unlocked',
      '      unlocks.current  {"phase":"acknowledged","unlock_id":"0198c1de-7a10-7c3e-…',
      '    link 0198c1de · used · 0 left',
      '      uses  0 → 1',
    ]);
    expect(linesOf(frame, plain, undefined)[1]).toBe('11-21 10:00:05  A courier opened LB-004471 with the link “Parcel Friday”: the bolt moved after 412 ms');
  });

  it.each([60, 80, 99, 100, 120, 200])('fits a screen of %i columns', (columns) => {
    expect(Math.max(...linesOf(frame, plain, columns).map((line) => [...line].length))).toBeLessThanOrEqual(columns);
  });

  it('is as wide in colour as without', () => {
    // eslint-disable-next-line no-control-regex
    const bare = linesOf(frame, pc.createColors(true), 120).map((line) => line.replaceAll(/\u001b\[\d+m/g, '').trimEnd());
    expect(bare).toEqual(linesOf(frame, plain, 120));
  });

  it('counts what it does not show, and says where there is nothing to be had', () => {
    const changes = Array.from({ length: 9 }, (_, n) => ({ path: `/fact_${n}`, before: n === 0 ? 'old' : null, after: n }));
    const lines = linesOf({ ...frame, skipped_ms: 0, states: [{ kind: 'user', id: 'abcdefgh-1', state: { suspended: true, admin: { role: 'support' } }, changes }, { kind: 'device', id: 'abcdefgh-2', state: null, changes: [] }] }, plain, 80);
    expect(lines).toContain('    account abcdefgh · suspended · support');
    expect(lines).toContain('      and 3 more');
    const fresh = { kind: 'user' as const, id: 'abcdefgh-3', state: {}, changes: changes.slice(1) };
    expect(linesOf({ ...frame, states: [fresh] }, plain, 80).at(-1)).toBe('    account abcdefgh · active · new');
    expect(lines).toContain('    box abcdefgh: nothing to be had');
  });
});

it('a speed is a number, with or without an x, or max', () => {
  expect([speedOf('1'), speedOf('10x'), speedOf('0.5X'), speedOf('max')]).toEqual([1, 10, 0.5, 'max']);
  for (const text of ['0', '-1', 'fast', '', 'x', '1e9']) expect(() => speedOf(text), text).toThrow(RemoteFailure);
});

it('a span is said in the largest unit that tells something', () => {
  expect([4_000, 119_000, 120_000, 7_199_000, 7_200_000, 172_800_000].map(spanOf)).toEqual(['4 s', '119 s', '2 min', '119 min', '2 h', '2 d']);
});
