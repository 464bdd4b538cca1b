import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { RemoteFailure } from '../../src/shell/remote/client.ts';
import { momentOf } from '../../src/shell/remote/history.ts';
import { drawn, type Trace } from '../../src/shell/remote/trace.ts';

const plain = pc.createColors(false);
const step = (name: string, state: Trace['steps'][number]['state'], offset: number | null = null, latency: number | null = null, note: string | null = null) => ({ step: name, state, offset_ms: offset, latency_ms: latency, note });
const found = (over: Partial<Trace>): Trace => ({
  unlock_id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  device_id: '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  status: 'opened',
  started_at: '2026-11-21T14:02:11.204Z',
  request: { actor: { kind: 'courier', id: 'eeeeeeee-0000-4000-8000-000000000005' }, ip_address: '203.0.113.7' },
  steps: [
    step('request', 'done', 0),
    step('asked', 'done', 6, 6, 'use 1 of 1'),
    step('dispatched', 'done', 8, 2),
    step('published', 'done', 21, 13),
    step('acknowledged', 'untold'),
    step('confirmed', 'done', 406, 385),
    step('delivered', 'done', 406, 0),
  ],
  standing: { is: 'complete', step: 'delivered', since: '2026-11-21T14:02:11.610Z', text: 'The bolt moved 400 ms after it was asked for.' },
  hops: [{ type: 'UnlockConfirmed', offset_ms: 406, details: {} }, { type: 'LockStateReported', offset_ms: 410, details: {} }],
  ...over,
});

describe('the way of an opening, drawn', () => {
  it('has a line for each step with its time, as a bar of the whole', () => {
    expect(drawn(found({}), { paint: plain, columns: 80 }).split('\n')).toEqual([
      'OPENED   2026-11-21 14:02:11.204 UTC   0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
      'box 6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10, by courier',
      '  eeeeeeee-0000-4000-8000-000000000005, from 203.0.113.7',
      '',
      '    +0 ms ✔ request              ━                       the request came in',
      '    +6 ms ✔ asked          6 ms  ━                       allowed, use 1 of 1',
      '    +8 ms ✔ dispatched     2 ms  ━                       signed, and sent',
      '   +21 ms ✔ published     13 ms  ━                       the broker has it',
      '          ✔ acknowledged                                 not said, but so it was',
      '  +406 ms ✔ confirmed    385 ms   ━━━━━━━━━━━━━━━━━━━━━  the bolt moved',
      '  +406 ms ✔ delivered      0 ms                       ━  delivery complete',
      '',
      '  +410 ms   LockStateReported',
      '',
      '✔ The bolt moved 400 ms after it was asked for.',
    ]);
  });

  it('says where it broke, and keeps to the screen', () => {
    const broken = found({
      status: 'unknown',
      steps: [step('asked', 'done', 0), step('dispatched', 'done', 8, 8), step('published', 'done', 21, 13), step('acknowledged', 'broken', null, null, 'no_answer'), step('confirmed', 'not_reached')],
      standing: { is: 'broken', step: 'acknowledged', since: '2026-11-21T14:02:11.225Z', text: 'The broker has it, and the box never answered. The use of the link stays counted. The box will not open later.' },
      hops: [{ type: 'UnlockOutcomeUnknown', offset_ms: 40_008, details: { reason: 'no_answer' } }],
    });
    const text = drawn(broken, { paint: plain, columns: 60 });
    expect(text).toMatch(/✖ acknowledged +no_answer\n/);
    expect(text).toMatch(/· confirmed\n/);
    expect(text).toContain('+40.0 s   UnlockOutcomeUnknown: no_answer');
    expect(text).toContain('✖ The broker has it, and the box never answered. The use of\n  the link stays counted. The box will not open later.\n  since 2026-11-21 14:02:11.225 UTC');
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(line.startsWith('UNKNOWN') ? 80 : 60); // an id is not cut
    expect(drawn(broken, { paint: pc.createColors(true), columns: 100 })).toContain('\u001b[31m');
  });

  it('says what is waited for', () => {
    const waiting = found({ status: 'published', steps: [step('asked', 'done', 0), step('dispatched', 'done', 8, 8), step('published', 'waiting'), step('confirmed', 'not_reached')], standing: { is: 'under_way', step: 'published', since: '2026-11-21T14:02:11.225Z', text: 'It was sent; the broker has not said that it has it.' }, hops: [] });
    expect(drawn(waiting, { paint: plain, columns: undefined })).toMatch(/… published +waited for\n(.|\n)*… It was sent; the broker has not said that it has it\.\n {2}waiting since 2026-11-21 14:02:11\.225 UTC/);
  });
});

describe('a moment', () => {
  const now = Date.parse('2026-11-21T10:00:00.000Z');
  it.each([
    ['2026-11-21T14:02:11Z', '2026-11-21T14:02:11.000Z'],
    ['2026-11-21T14:02:11.204+03:00', '2026-11-21T11:02:11.204Z'],
    ['2026-11-21 14:02', '2026-11-21T14:02:00.000Z'],
    ['2026-11-21', '2026-11-21T00:00:00.000Z'],
    ['10m', '2026-11-21T09:50:00.000Z'],
    ['2 h', '2026-11-21T08:00:00.000Z'],
    ['3d ago', '2026-11-18T10:00:00.000Z'],
    ['EREREREREREREREREREREQAAAAAAAAAB', 'EREREREREREREREREREREQAAAAAAAAAB'],
  ])('%s is written as %s', (text, moment) => {
    expect(momentOf(text, now)).toBe(moment);
  });
  it.each(['yesterday', '14:02', '2026-13-45', '10 years', ''])('%s is none', (text) => {
    expect(() => momentOf(text, now)).toThrow(RemoteFailure);
  });
});
