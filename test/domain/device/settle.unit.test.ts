import { describe, expect, it } from 'vitest';
import type { JournalStatus } from '../../../src/domain/device/commands.ts';
import { settleUnknown, type DispatchKnowledge } from '../../../src/domain/device/settle.ts';

const x: DispatchKnowledge = { commandId: 'x', seq: 100, expiresAt: '2026-11-21T10:30:30.000Z', journalId: 'j', reportSeq: 5 };
const status = (over: Partial<JournalStatus>): JournalStatus => ({
  reportSeq: 6,
  journalId: 'j',
  lastSeq: 99,
  lastExecuted: [],
  timeOk: true,
  timestamp: '2026-11-21T10:30:40.001Z',
  ...over,
});
const executed = (result: string, commandId = 'x', seq = 100): JournalStatus['lastExecuted'][number] => ({ commandId, seq, result });
const others = (count: number, firstSeq: number): JournalStatus['lastExecuted'] => Array.from({ length: count }, (_, n) => executed('opened', `o${n}`, firstSeq + n));

describe('settling a command whose outcome is unknown', () => {
  it('rule 1: the journal names it', () => {
    expect(settleUnknown(x, status({ lastSeq: 100, lastExecuted: [executed('opened')] }))).toBe('executed');
    expect(settleUnknown(x, status({ lastSeq: 100, lastExecuted: [executed('failed')] }))).toBe('executed_failed');
    expect(settleUnknown(x, status({ lastSeq: 100, lastExecuted: [executed('interrupted')] }))).toBe('executed_failed');
    expect(settleUnknown(x, status({ lastSeq: 100, lastExecuted: [executed('started')] }))).toBe('wait');
    expect(settleUnknown(x, status({ lastSeq: 100, lastExecuted: [executed('danced')] }))).toBe('unknown');
  });

  it('rule 2: its number is taken, and the list would name it', () => {
    expect(settleUnknown(x, status({ lastSeq: 100, timeOk: false }))).toBe('not_executed');
    expect(settleUnknown(x, status({ lastSeq: 120, lastExecuted: others(7, 101) }))).toBe('not_executed');
    expect(settleUnknown(x, status({ lastSeq: 120, lastExecuted: others(8, 99) }))).toBe('not_executed');
    expect(settleUnknown(x, status({ lastSeq: 120, lastExecuted: others(8, 101) }))).toBe('unknown');
  });

  it('rule 3: its number is not taken, and its time is over by the trusted clock of the box', () => {
    expect(settleUnknown(x, status({}))).toBe('not_executed');
    expect(settleUnknown(x, status({ timestamp: '2026-11-21T10:30:40.000Z' }))).toBe('unknown');
    expect(settleUnknown(x, status({ timeOk: false }))).toBe('unknown');
    const { timestamp: _, ...timeless } = status({});
    expect(settleUnknown(x, timeless)).toBe('unknown');
  });

  it('a status that is not newer, or of another journal, tells nothing', () => {
    for (const over of [{ reportSeq: 5 }, { reportSeq: 4 }, { journalId: 'k' }]) {
      expect(settleUnknown(x, status({ ...over, lastSeq: 100, lastExecuted: [executed('opened')] }))).toBe('unknown');
      expect(settleUnknown(x, status(over))).toBe('unknown');
    }
  });

  it('nothing known at dispatch, nothing given back', () => {
    expect(settleUnknown({ ...x, journalId: undefined }, status({}))).toBe('unknown');
    expect(settleUnknown({ ...x, reportSeq: undefined }, status({}))).toBe('unknown');
  });
});
