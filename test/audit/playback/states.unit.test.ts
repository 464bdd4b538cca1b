import { describe, expect, it } from 'vitest';
import { applyChanges } from '../../../src/audit/history/diff.ts';
import { createFold } from '../../../src/audit/history/fold.ts';
import { shownState } from '../../../src/audit/history/states.ts';
import { createStatesBeside } from '../../../src/audit/playback/states.ts';
import type { RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { boxStream, historyOver, lifeOfABox } from '../history/support.ts';

async function store(steps: number) {
  const log = createMemoryStore(() => 0);
  for (const { event } of lifeOfABox(3, steps)) await log.append(boxStream, 'any', [event]);
  return log;
}

/** What the states beside each event must be: one fold from the first event on. */
function folded(events: readonly RecordedEvent[]): readonly unknown[] {
  const fold = createFold('device');
  return events.map((event) => {
    fold.take(event);
    return shownState('device', fold.state);
  });
}

describe('the states beside the events', () => {
  it.each([
    ['every event, from the first on', (n: number) => n >= 0],
    ['every third one: what a filter leaves out counts all the same', (n: number) => n % 3 === 0],
    ['those from the middle on', (n: number) => n > 300],
    ['a few, far apart', (n: number) => n % 180 === 7],
  ])('are those of one fold of the whole stream: %s', async (_, isShown) => {
    const log = await store(800);
    const wanted = folded(log.all);
    // Small blocks: most folds begin at a milestone, with the links that are asked for.
    const states = createStatesBeside({ history: historyOver(log, { blockSize: 16 }), store: log });
    let before: unknown = undefined;
    for (const [n, event] of log.all.entries()) {
      if (!isShown(n)) continue;
      const [box, ...links] = await states.beside(event);
      expect(box).toMatchObject({ kind: 'device', state: wanted[n] });
      expect(applyChanges(n === 0 ? null : (wanted[n - 1] as never), box?.changes ?? [])).toEqual(wanted[n]);
      for (const link of links) expect(link).toMatchObject({ kind: 'link', state: { link_id: link.id } });
      if (event.type === 'LinkCreated') expect(links.map(({ id }) => id)).toContain((event.data as { linkId: string }).linkId);
      before = box;
    }
    expect(before).toBeDefined();
  });

  it('go back with whoever goes back, and there are none of what folds to nothing', async () => {
    const log = await store(200);
    const wanted = folded(log.all);
    const states = createStatesBeside({ history: historyOver(log), store: log });
    for (const n of [40, 39, 10, 11, 59, 0]) expect((await states.beside(log.all[n]!))[0]?.state).toEqual(wanted[n]);
    expect(await states.beside({ stream: 'refusal-20261121-1', revision: 0n })).toEqual([]);
    expect(await states.beside({ stream: 'audit-head', revision: 0n })).toEqual([]);
  });

  it('are not there, and the line is, where a newer program wrote the event or too many ask', async () => {
    const log = await store(20);
    await log.append(boxStream, 'any', [{ eventId: '01939b6e-7c00-7000-8000-0000000000ff', type: 'OfTheFuture', data: {}, metadata: log.all[0]!.metadata }]);
    const states = createStatesBeside({ history: historyOver(log), store: log });
    expect(await states.beside(log.all.at(-1)!)).toEqual([{ kind: 'device', id: boxStream.slice('device-'.length), state: null, changes: [] }]);
    expect((await states.beside(log.all.at(-2)!))[0]?.state).not.toBeNull();
  });
});
