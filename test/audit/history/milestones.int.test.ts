import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFold, foldVersionOf } from '../../../src/audit/history/fold.ts';
import { createMilestoneStore } from '../../../src/audit/history/milestones.ts';
import { shownDevice, shownLink } from '../../../src/audit/history/states.ts';
import type { DeviceState } from '../../../src/domain/device/state.ts';
import type { EventStore, RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../../src/platform/event-store/postgres.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { deviceId } from '../../domain/device/box.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { boxStream, counting, historyOver, lifeOfABox, linkIdOf, random } from './support.ts';

const SMALL = 16;
let postgres: TestPostgres;
let pool: ReturnType<TestPostgres['connect']>['pool'];
let store: EventStore;
let events: readonly RecordedEvent[];

beforeAll(async () => {
  postgres = await startPostgres();
  const url = await postgres.migratedDatabase();
  pool = postgres.connect(url).pool;
  store = createPostgresEventStore({ url, logger: silentLogger, metrics: new Metrics() });
  await store.start();
  const life = [...lifeOfABox(71, 400)].map(({ event }) => event);
  for (let from = 0; from < life.length; from += 100) await store.append(boxStream, from === 0 ? 'no_stream' : BigInt(from - 1), life.slice(from, from + 100));
  const read: RecordedEvent[] = [];
  for await (const event of store.readStream(boxStream)) read.push(event);
  events = read;
});
afterAll(async () => {
  await store?.stop();
  await postgres?.stop();
});

const kept = async () => (await pool.query<{ milestones: number; links: number }>('SELECT (SELECT count(*)::int FROM work.milestones) AS milestones, (SELECT count(*)::int FROM work.milestone_links) AS links')).rows[0];

describe('milestones in the database', () => {
  it('give the same states as the whole fold, by revision, position and instant', async () => {
    const reader = counting(store);
    const history = historyOver(reader, { milestones: createMilestoneStore(pool), blockSize: SMALL });
    const pick = random(3);
    await history.at('device', deviceId, { kind: 'revision', revision: 0n });
    expect(await kept()).toMatchObject({ milestones: Math.floor(events.length / SMALL) });
    for (let round = 0; round < 40; round++) {
      const event = events[pick(events.length)]!;
      const linkId = linkIdOf(pick(30));
      const at = event.metadata.occurredAt;
      for (const [until, last] of [
        [{ kind: 'revision', revision: event.revision }, Number(event.revision)],
        [{ kind: 'position', position: event.position }, Number(event.revision)],
        [{ kind: 'instant', at }, events.findLastIndex(({ metadata }) => metadata.occurredAt <= at)],
      ] as const) {
        const plain = createFold('device');
        for (const each of events.slice(0, last + 1)) plain.take(each);
        reader.events = 0;
        const past = await history.at('device', deviceId, until, [linkId]);
        if (past.kind !== 'state') throw new Error(past.kind);
        expect(reader.events).toBeLessThanOrEqual(2 * SMALL + 1);
        expect(past.end).toMatchObject({ revision: BigInt(last), eventId: events[last]!.eventId });
        expect(shownDevice(past.fold.state as DeviceState)).toEqual(shownDevice(plain.state as DeviceState));
        expect(past.fold.since).toEqual(plain.since);
        expect(shownLink(past.fold.state as DeviceState, linkId, at)).toEqual(shownLink(plain.state as DeviceState, linkId, at));
        expect(past.fold.sinceOfLink(linkId)).toEqual(plain.sinceOfLink(linkId));
      }
    }
  });

  it('are made once, however many fold at the same time, and go on where they ended', async () => {
    await createMilestoneStore(pool).forget(boxStream);
    expect(await kept()).toEqual({ milestones: 0, links: 0 });
    const half = BigInt(SMALL * 10 - 1);
    // A reader for whom the stream ends earlier: as it was when the first milestones were made.
    const earlier = {
      async *readStream(...args: Parameters<EventStore['readStream']>) {
        for await (const event of store.readStream(...args)) if (event.revision <= half) yield event;
      },
    };
    const until = { kind: 'instant', at: events[5]!.metadata.occurredAt } as const;
    await historyOver(earlier, { milestones: createMilestoneStore(pool), blockSize: SMALL }).at('device', deviceId, until);
    expect(await kept()).toMatchObject({ milestones: 10 });
    const both = [0, 1].map(() => historyOver(store, { milestones: createMilestoneStore(pool), blockSize: SMALL }));
    await Promise.all(both.map((history) => history.at('device', deviceId, until)));
    expect(await kept()).toMatchObject({ milestones: Math.floor(events.length / SMALL) });
    const plain = createFold('device');
    for (const event of events) plain.take(event);
    const last = await both[0]!.at('device', deviceId, { kind: 'revision', revision: events.at(-1)!.revision }, [linkIdOf(0)]);
    if (last.kind !== 'state') throw new Error(last.kind);
    expect(shownDevice(last.fold.state as DeviceState)).toEqual(shownDevice(plain.state as DeviceState));
    expect(last.fold.sinceOfLink(linkIdOf(0))).toEqual(plain.sinceOfLink(linkIdOf(0)));
  });

  it('of an older fold are not used, and go when new ones are made', async () => {
    await pool.query(`UPDATE work.milestones SET fold = 'older', core = '{}'`);
    await pool.query(`UPDATE work.milestone_links SET fold = 'older', body = '{}'`);
    const history = historyOver(store, { milestones: createMilestoneStore(pool), blockSize: SMALL });
    const past = await history.at('device', deviceId, { kind: 'revision', revision: events.at(-1)!.revision });
    expect(past.kind).toBe('state');
    const { rows } = await pool.query<{ fold: string }>('SELECT DISTINCT fold FROM work.milestones');
    expect(rows).toEqual([{ fold: `${foldVersionOf('device')}.${SMALL}` }]);
  });

  it('hold nothing of people but their ids', async () => {
    const { rows } = await pool.query<{ text: string }>('SELECT core::text AS text FROM work.milestones UNION ALL SELECT body::text FROM work.milestone_links');
    expect(rows.length).toBeGreaterThan(10);
    // A sealed value, and what the log seals: names, PINs, tokens, couriers.
    for (const { text } of rows) expect(text).not.toMatch(/"\$s"|"name"|"pin":"|"token":|"courier"/);
  });
});
