import { describe, expect, it } from 'vitest';
import { applyChanges, differenceOf, lastChange } from '../../../src/audit/history/diff.ts';
import { createFold, leavesOf, sameValue, type Fold } from '../../../src/audit/history/fold.ts';
import { BLOCK, HistoryBusy, type History, type Until } from '../../../src/audit/history/history.ts';
import { shownDevice, shownLink, shownState } from '../../../src/audit/history/states.ts';
import { decideOpening, whyOpening, type Opening } from '../../../src/audit/history/why.ts';
import type { DeviceState } from '../../../src/domain/device/state.ts';
import { noUnlocks } from '../../../src/domain/device/state.ts';
import { noLinks } from '../../../src/domain/link/links.ts';
import { addMs } from '../../../src/domain/time.ts';
import type { EventStore, RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { later, now } from '../../support/given.ts';
import { ada, admin, bob, deviceId } from '../../domain/device/box.ts';
import { boxStream, counting, historyOver, lifeOfABox, linkIdOf, memoryMilestones, random } from './support.ts';

const SMALL = 8;

async function logOf(seed: number, steps: number): Promise<{ store: EventStore; events: readonly RecordedEvent[]; states: readonly DeviceState[] }> {
  const store = createMemoryStore(() => Date.parse(now));
  const states: DeviceState[] = [];
  for (const { event, state } of lifeOfABox(seed, steps)) {
    await store.append(boxStream, states.length === 0 ? 'no_stream' : BigInt(states.length - 1), [event]);
    // Other streams are in the same log.
    if (states.length % 7 === 0) await store.append('user-x', 'any', [{ ...event, eventId: `${event.eventId.slice(0, -1)}f` }]);
    states.push(state);
  }
  const events: RecordedEvent[] = [];
  for await (const event of store.readStream(boxStream)) events.push(event);
  return { store, events, states };
}

/** The whole prefix, from its first event on. */
function plainFold(events: readonly RecordedEvent[], count: number): Fold {
  const fold = createFold('device');
  for (const event of events.slice(0, count)) fold.take(event);
  return fold;
}

const withoutLinks = (state: unknown) => ({ ...(state as object), links: noLinks });

describe('a state of the past', () => {
  it.each([1, 2, 3, 4, 5, 6])('is the fold of the prefix, with milestones and without (%i)', async (seed) => {
    const { store, events, states } = await logOf(seed, 160);
    const pick = random(seed + 100);
    const histories: readonly History[] = [historyOver(store), historyOver(store, { blockSize: SMALL })];
    const instants = [...new Set(events.map(({ metadata }) => metadata.occurredAt))];
    for (let round = 0; round < 30; round++) {
      const revision = pick(events.length);
      const event = events[revision]!;
      const at = addMs(instants[pick(instants.length)]!, pick(3) - 1);
      const asked: readonly (readonly [Until, number])[] = [
        [{ kind: 'revision', revision: BigInt(revision) }, revision],
        [{ kind: 'position', position: event.position }, revision],
        [{ kind: 'position', position: event.position + 1n }, events.findLastIndex(({ position }) => position <= event.position + 1n)],
        // Never by comparing on the way: the last one that is not later, wherever it is.
        [{ kind: 'instant', at }, events.findLastIndex(({ metadata }) => metadata.occurredAt <= at)],
      ];
      for (const [until, last] of asked) {
        const linkId = linkIdOf(pick(20));
        const plain = plainFold(events, last + 1);
        for (const history of histories) {
          const past = await history.at('device', deviceId, until, [linkId]);
          if (last < 0) {
            expect(past).toMatchObject({ kind: 'not_yet', begins: { revision: 0n, eventId: events[0]!.eventId } });
            continue;
          }
          if (past.kind !== 'state') throw new Error(`${past.kind} at ${last}`);
          expect(past.end).toMatchObject({ revision: BigInt(last), eventId: events[last]!.eventId, position: events[last]!.position });
          expect(withoutLinks(past.fold.state)).toEqual(withoutLinks(states[last]));
          expect(past.fold.since).toEqual(plain.since);
          expect(shownLink(past.fold.state as DeviceState, linkId, at)).toEqual(shownLink(states[last]!, linkId, at));
          expect(past.fold.sinceOfLink(linkId)).toEqual(plain.sinceOfLink(linkId));
        }
      }
    }
  });

  it.each([11, 12, 13])('and a difference makes one of the other, and names the event that last changed each fact (%i)', async (seed) => {
    const { store, events } = await logOf(seed, 160);
    const history = historyOver(store, { blockSize: SMALL });
    const pick = random(seed);
    const shownAt = (revision: number) => leavesOf(shownDevice(plainFold(events, revision + 1).state as DeviceState));
    for (let round = 0; round < 15; round++) {
      const [first = 0, second = 0] = [pick(events.length), pick(events.length)].sort((a, b) => a - b);
      const from = await history.at('device', deviceId, { kind: 'revision', revision: BigInt(first) });
      const to = await history.at('device', deviceId, { kind: 'revision', revision: BigInt(second) });
      if (from.kind !== 'state' || to.kind !== 'state') throw new Error('no state');
      const before = shownState('device', from.fold.state);
      const after = shownState('device', to.fold.state);
      const changes = differenceOf(before, after);
      expect(applyChanges(before, changes)).toEqual(after);
      expect(applyChanges(null, differenceOf(null, after))).toEqual(after);
      for (const { path } of changes) {
        const changedAt = lastChange(to.fold.since, path);
        expect(changedAt, path).toBeGreaterThan(first);
        expect(changedAt, path).toBeLessThanOrEqual(second);
        const [was, is] = [shownAt(changedAt! - 1), shownAt(changedAt!)];
        const below = (leaves: object) => Object.entries(leaves).filter(([each]) => each === path || each.startsWith(`${path}/`));
        expect(below(was), path).not.toEqual(below(is));
        expect(below(is), path).toEqual(below(leavesOf(after)));
      }
    }
  });

  it('costs two blocks of a long stream, wherever it is looked at', async () => {
    const { store, events } = await logOf(21, 3_000);
    expect(events.length).toBeGreaterThan(10 * BLOCK);
    const reader = counting(store);
    const history = historyOver(reader);
    // Nobody read it before: this one makes the milestones.
    await history.at('device', deviceId, { kind: 'revision', revision: 0n });
    const pick = random(5);
    for (let round = 0; round < 40; round++) {
      const event = events[pick(events.length)]!;
      for (const until of [{ kind: 'revision', revision: event.revision }, { kind: 'position', position: event.position }, { kind: 'instant', at: event.metadata.occurredAt }] as const) {
        reader.events = 0;
        await history.at('device', deviceId, until);
        expect(reader.events, until.kind).toBeLessThanOrEqual(2 * BLOCK + 1);
      }
    }
  });

  it('has its milestones made in the background, by the appends that fill a block', async () => {
    const { store, events } = await logOf(22, 200);
    const milestones = memoryMilestones();
    const history = historyOver(store, { milestones, blockSize: SMALL });
    for (const { stream, revision } of events) history.grown(stream, revision);
    await history.settled();
    expect(milestones.kept.get(boxStream)?.map(({ revision }) => Number(revision))).toEqual(Array.from({ length: Math.floor(events.length / SMALL) }, (_, index) => (index + 1) * SMALL - 1));
    history.grown('refusal-20261121-3', 7n);
    history.grown(boxStream, 6n);
    await history.settled();
    expect([...milestones.kept.keys()]).toEqual([boxStream]);
    await history.stop();
  });

  it('forgets milestones of another log', async () => {
    const first = await logOf(31, 200);
    const other = await logOf(32, 200);
    const milestones = memoryMilestones();
    const until = { kind: 'revision', revision: 90n } as const;
    await historyOver(first.store, { milestones, blockSize: SMALL }).at('device', deviceId, until);
    // The same ids, another past: only the events themselves tell.
    const renamed = { readStream: async function* (...args: Parameters<EventStore['readStream']>) {
      for await (const event of other.store.readStream(...args)) yield { ...event, eventId: event.eventId.replace('0198c1de', '0198c1df') };
    } };
    const past = await historyOver(renamed, { milestones, blockSize: SMALL }).at('device', deviceId, until);
    if (past.kind !== 'state') throw new Error(past.kind);
    expect(withoutLinks(past.fold.state)).toEqual(withoutLinks(other.states[90]));
  });

  it('is nothing where there is no such stream, and many readers wait their turn', async () => {
    const { store } = await logOf(41, 20);
    const history = historyOver(store);
    expect(await history.at('user', ada, { kind: 'instant', at: now })).toEqual({ kind: 'never' });
    const all = await Promise.allSettled(Array.from({ length: 80 }, () => history.at('device', deviceId, { kind: 'instant', at: later(9_000) })));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(66);
    expect(all.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : [])).every((reason) => reason instanceof HistoryBusy)).toBe(true);
  });
});

describe('why a box opens or not', () => {
  it.each([51, 52, 53, 54, 55, 56, 57, 58])('is said by its own rules, with the event since which they say it (%i)', async (seed) => {
    const { store, events, states } = await logOf(seed, 200);
    const history = historyOver(store, { blockSize: SMALL });
    const pick = random(seed);
    const outcomes = new Set<string>();
    for (let round = 0; round < 40; round++) {
      const last = pick(events.length);
      const cause = [{ kind: 'link', id: linkIdOf(pick(12)) }, { kind: 'owner', id: pick(3) === 0 ? bob : ada }, { kind: 'admin', id: admin }] as const;
      const opening: Opening = {
        deviceId,
        cause: cause[pick(8) === 0 ? 2 : pick(3) === 0 ? 1 : 0],
        now: addMs(events[last]!.metadata.occurredAt, pick(600_000)),
        ...(pick(3) === 0 ? {} : { courier: { name: 'K', company: 'Q' } }),
        level0Deliveries: pick(2) === 0,
        localTime: () => ({ weekday: 1, time: '10:00' }),
      };
      const links = opening.cause.kind === 'link' ? [opening.cause.id] : [];
      const past = await history.at('device', deviceId, { kind: 'revision', revision: BigInt(last) }, links);
      if (past.kind !== 'state') throw new Error(past.kind);
      const why = await whyOpening(history, past.fold, opening);
      expect(why.outcome).toBe(decideOpening(states[last]!, opening).outcome);
      outcomes.add(why.outcome);

      // Event by event, back to the first one after which it is what it is.
      const idle = (state: DeviceState): DeviceState => (state.kind === 'unregistered' ? state : { ...state, unlocks: noUnlocks });
      const looksAt = decideOpening(idle(states[last]!), opening).outcome === why.outcome ? idle : (state: DeviceState) => state;
      const outcomeAt = (revision: number) => decideOpening(looksAt(states[revision]!), opening).outcome;
      let decided = last;
      while (decided > 0 && outcomeAt(decided - 1) === why.outcome) decided -= 1;
      if (decided > 0) expect(why.decidedBy).toEqual({ revision: BigInt(decided), before: outcomeAt(decided - 1) });
      else expect([undefined, { revision: 0n, before: 'device_not_found' }]).toContainEqual(why.decidedBy);

      for (const { path, value, revision } of why.facts) {
        const shown = leavesOf({ ...shownDevice(states[last]!), link: shownLink(states[last]!, opening.cause.id, opening.now) });
        expect(sameValue(shown[path], value), path).toBe(true);
        expect(revision, path).toBeLessThanOrEqual(last);
      }
    }
    expect(outcomes.size).toBeGreaterThan(2);
  });

  it('finds every fact that the rules look at among those whose events are known', async () => {
    const { store, events } = await logOf(61, 300);
    const history = historyOver(store);
    const known = new Set<string>();
    for (let revision = 0; revision < events.length; revision += 3) {
      const past = await history.at('device', deviceId, { kind: 'revision', revision: BigInt(revision) });
      if (past.kind !== 'state') throw new Error(past.kind);
      for (let index = 0; index < 10; index++) {
        const cause = { kind: 'link', id: linkIdOf(index) } as const;
        const { looked } = decideOpening(past.fold.state as DeviceState, { deviceId, cause, now: later(0), level0Deliveries: false, localTime: () => ({ weekday: 1, time: '10:00' }) });
        for (const path of looked) {
          if (path === '/kind' || path.startsWith('/unlocks/') || path === '/unlocks') continue;
          known.add(path);
          const since = path.startsWith('/link/') ? past.fold.sinceOfLink(cause.id) : past.fold.since;
          // A rule that looks at what is not shown would have its events passed over.
          expect(path === '/link/token_hash' ? 0 : lastChange(since ?? {}, path.replace(/^\/link/, '')), path).toBeDefined();
        }
      }
    }
    expect([...known].sort()).toEqual(expect.arrayContaining(['/assignment', '/assignment/assignment_id', '/link/expires_at', '/link/revoked_at', '/link/uses', '/maintenance']));
  });
});
