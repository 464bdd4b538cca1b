import { describe, expect, it } from 'vitest';
import { dayChart } from '../../src/shell/remote/figures.ts';
import { ago, details, shown } from '../../src/shell/remote/words.ts';
import { table } from '../../src/shell/terminal.ts';

const head = ['SERIAL', 'NAME', 'BOXES', 'OWNER'];
const rows = [
  ['LB-004471', 'Mill Lane 12', 1_200, 'maximiliane.von.und.zu.hohenlohe@a-rather-long-domain.example.com'],
  ['LB-004490', 'Dépôt 😀', 3, '-'],
];
const widest = (text: string) => Math.max(...text.split('\n').map((line) => [...line].length));

describe('a table', () => {
  it('is as wide as it is where nothing ends the line', () => {
    expect(table(head, rows)).toBe(
      [
        'SERIAL     NAME          BOXES  OWNER',
        'LB-004471  Mill Lane 12  1,200  maximiliane.von.und.zu.hohenlohe@a-rather-long-domain.example.com',
        'LB-004490  Dépôt 😀           3  -',
      ].join('\n'),
    );
  });

  it.each([40, 60, 80, 120])('fits a screen of %i columns by cutting what may be cut, the longest first', (columns) => {
    const text = table(head, rows, { columns, flexible: [1, 3] });
    expect(widest(text)).toBeLessThanOrEqual(columns);
    expect(text).toContain('LB-004471');
    expect(text).toContain('1,200');
    if (columns < 98) expect(text).toContain('…');
  });

  it('keeps what a thing is known by as long as it can', () => {
    const text = table(head, rows, { columns: 29, flexible: [1, 3], lastly: [0] });
    expect(text.split('\n')[1]).toBe('LB-00…  Mill …  1,200  maxim…');
    expect(table(head, rows, { columns: 40, flexible: [1, 3], lastly: [0] })).toContain('LB-004471');
    expect(table(['A', 'B'], [['x', 'y']], { atLeast: [4, 2] })).toBe('A     B\nx     y');
  });

  it('is never cut to nothing', () => {
    const text = table(head, rows, { columns: 10, flexible: [1, 3] });
    expect(text.split('\n')[1]).toBe('LB-004471  Mill …  1,200  maxim…');
  });
});

describe('words', () => {
  const now = Date.parse('2026-11-21T10:00:00.000Z');
  it.each([[4_000, '4 s ago'], [180_000, '3 min ago'], [7_200_000, '2 h ago'], [259_200_000, '3 d ago'], [-5_000, '0 s ago']])('%i ms is %s', (ms, words) => {
    expect(ago(new Date(now - ms).toISOString(), now)).toBe(words);
  });
  it('say how many of how many', () => {
    expect([shown(1, 1, 'box'), shown(2, 1_200, 'box'), shown(0, 0, 'account'), ago(null)]).toEqual(['1 box', '2 of 1,200 boxes', '0 accounts', '-']);
    expect(details([['Name', null], ['Serial', 'LB-1']])).toBe('Name    -\nSerial  LB-1');
  });
});

describe('a chart of days', () => {
  const days = [
    { date: '2026-11-19', deliveries: 3, attempts: 5 },
    { date: '2026-11-20', deliveries: 0, attempts: 0 },
    { date: '2026-11-21', deliveries: 2, attempts: 2 },
  ];
  it('has a column for each delivery where there is room', () => {
    expect(dayChart(days, 80)).toBe('2026-11-19  ███░░ 3 of 5\n2026-11-20  0\n2026-11-21  ██ 2');
  });
  it.each([40, 80])('fits a screen of %i columns, and shows one of many', (columns) => {
    const chart = dayChart([...days, { date: '2026-11-22', deliveries: 90_000, attempts: 100_000 }], columns);
    expect(widest(chart)).toBeLessThanOrEqual(columns);
    expect(chart).toContain('2026-11-21  █ 2');
  });
});
