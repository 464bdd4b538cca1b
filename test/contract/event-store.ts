import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AppendOutcomeUnknown,
  EventStoreUnavailable,
  WrongExpectedRevision,
  type EventStore,
  type EventToAppend,
  type JsonObject,
  type RecordedEvent,
  type SubscribeOptions,
} from '../../src/platform/event-store/port.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

export interface StoreUnderTest {
  readonly store: EventStore;
  /** All that the store and its server say to each other goes through it. */
  readonly proxy: TcpProxy;
  /** A second store on the same log, as another process has it, where one process can hold two. */
  readonly other?: EventStore;
  stop(): Promise<void>;
}

/** What every event store promises. The log is shared by all tests: each uses its own streams and starts at the head. */
export function eventStoreContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`event store contract: ${name}`, () => {
    let under: StoreUnderTest;
    let store: EventStore;
    beforeAll(async () => {
      under = await makeStore();
      store = under.store;
    });
    afterAll(() => under?.stop());

    describe('append', () => {
      it('creates a stream, counts revisions from 0n, and goes on at the revision that it answered', async () => {
        const stream = newStream();
        const first = await store.append(stream, 'no_stream', [event()]);
        const second = await store.append(stream, first.revision, [event()]);
        expect([first.revision, second.revision]).toEqual([0n, 1n]);
        expect(second.position).toBeGreaterThan(first.position);
        expect(await store.head()).toBe(second.position);
        // Who waits until it has seen the head would wait for ever for what is not shown to it.
        await store.writeStreamMetadata(stream, { custom: { note: 'a system event' } });
        expect(await store.head()).toBe(second.position);
      });

      it('stores several events in order and answers with the last of them', async () => {
        const stream = newStream();
        const events = [event(), event(), event()];
        const result = await store.append(stream, 'no_stream', events);
        const stored = await all(store.readStream(stream));
        expect(stored.map(({ eventId, revision }) => [eventId, revision])).toEqual(events.map(({ eventId }, i) => [eventId, BigInt(i)]));
        expect(result).toEqual({ revision: 2n, position: stored.at(-1)?.position });
        expectIncreasing(stored.map((each) => each.position));
      });

      it.each([
        ['a stream that should not exist', 'no_stream' as const, 1n],
        ['an expectation behind', 0n, 1n],
        ['an expectation ahead', 5n, 1n],
      ])('refuses %s, names the actual revision and stores nothing', async (_, expected, actual) => {
        const stream = newStream();
        await store.append(stream, 'no_stream', [event(), event()]);
        const refused = await failure(store.append(stream, expected, [event(), event()]));
        expect(refused).toBeInstanceOf(WrongExpectedRevision);
        expect(refused).toMatchObject({ stream, expected, actual });
        expect(await all(store.readStream(stream))).toHaveLength(2);
      });

      it('refuses a revision of a stream that does not exist', async () => {
        const stream = newStream();
        const refused = await failure(store.append(stream, 3n, [event()]));
        expect(refused).toBeInstanceOf(WrongExpectedRevision);
        expect(refused).toMatchObject({ stream, expected: 3n, actual: undefined });
      });

      it('takes "any" wherever the stream is', async () => {
        const stream = newStream();
        const results = [await store.append(stream, 'any', [event()]), await store.append(stream, 'any', [event(), event()])];
        expect(results.map((each) => each.revision)).toEqual([0n, 2n]);
      });

      it('lets exactly one of twenty writers of one revision win', async () => {
        const stream = newStream();
        await store.append(stream, 'no_stream', [event()]);
        for (let round = 0n; round < 5n; round++) {
          const outcomes = await Promise.allSettled(
            Array.from({ length: 20 }, (_, i) => writer(under, i).append(stream, round, [event()], { lane: i === 7 ? 'urgent' : 'normal' })),
          );
          const lost = outcomes.filter((each) => each.status === 'rejected').map((each) => each.reason as unknown);
          expect(lost).toHaveLength(19);
          for (const reason of lost) expect(reason).toMatchObject({ name: 'WrongExpectedRevision', actual: round + 1n });
        }
        expect(await all(store.readStream(stream))).toHaveLength(6);
      });

      it('judges each of many concurrent appends on its own', async () => {
        const streams = Array.from({ length: 40 }, newStream);
        await Promise.all(streams.map((stream) => store.append(stream, 'no_stream', [event()])));
        const outcomes = await Promise.allSettled(
          streams.flatMap((stream, i) => [
            store.append(stream, i % 2 === 0 ? 0n : 7n, [event()]),
            store.append(newStream(), i % 3 === 0 ? 4n : 'no_stream', [event(), event()]),
          ]),
        );
        expect(outcomes.filter((each) => each.status === 'fulfilled')).toHaveLength(20 + 26);
        const revisions = await Promise.all(streams.map(async (stream) => (await all(store.readStream(stream))).length));
        expect(revisions).toEqual(streams.map((_, i) => (i % 2 === 0 ? 2 : 1)));
      });

      it('keeps the order of each writer, in its stream and in the log', async () => {
        const after = await store.head();
        const streams = Array.from({ length: 12 }, newStream);
        await Promise.all(
          streams.map(async (stream, w) => {
            let expected: bigint | 'no_stream' = 'no_stream';
            for (let n = 0; n < 15; n++) {
              expected = (await writer(under, w).append(stream, expected, n % 4 === 0 ? [event({ n }), event({ n })] : [event({ n })])).revision;
            }
          }),
        );
        const log = await all(store.readAll(after === undefined ? {} : { after }));
        expectIncreasing(log.map((each) => each.position));
        for (const stream of streams) {
          const mine = log.filter((each) => each.stream === stream);
          expect(mine.map((each) => each.revision)).toEqual(mine.map((_, i) => BigInt(i)));
          expect(mine).toEqual(await all(store.readStream(stream)));
        }
      });

      it.each([
        ['an upper-case id', [{ ...event(), eventId: randomUUID().toUpperCase() }]],
        ['no event', []],
        ['a type with a control character', [{ ...event(), type: 'A\u0000B' }]],
        ['data that is no object', [{ ...event(), data: [] as unknown as JsonObject }]],
        ['more than fits', [event({ text: 'x'.repeat(1024 * 1024) })]],
      ])('refuses %s alone, not its neighbours', async (_, events) => {
        const [bad, good] = await Promise.allSettled([
          store.append(newStream(), 'no_stream', events),
          store.append(newStream(), 'no_stream', [event()]),
        ]);
        expect(bad?.status).toBe('rejected');
        expect(good?.status).toBe('fulfilled');
      });

      it('gives back what it was given', async () => {
        const stream = newStream();
        const data = {
          text: 'Grüße, 日本語, 👩‍🚀, \u0000, \ud800, "quotes", back\\slash, {braces}, line\nend, \u2028',
          int64: '9223372036854775807',
          numbers: [0, -1.5, 1e300, 0.1],
          nested: { '': [true, false, null, [], {}], 'a.b': { '"': '\\' } },
          big: 'é'.repeat(200_000),
          absent: undefined,
        };
        const given = { ...event(), data, metadata: { ...event().metadata, traceparent: '00-ü\u0001' } };
        const before = Date.now();
        await store.append(stream, 'no_stream', [given]);
        const [stored] = await all(store.readStream(stream));
        const { absent: _absent, ...rest } = data;
        expect(stored).toMatchObject({ stream, revision: 0n, eventId: given.eventId, type: given.type, metadata: given.metadata });
        expect(stored?.data).toStrictEqual(rest);
        expect(stored?.recordedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        expect(Math.abs(Date.parse(stored?.recordedAt ?? '') - before)).toBeLessThan(60_000);
      });
    });

    describe('a repeated append', () => {
      it.each(['no_stream', 1n, 'any'] as const)('at %s answers as the first time and stores nothing', async (expected) => {
        const stream = newStream();
        if (expected !== 'no_stream') await store.append(stream, 'no_stream', [event(), event()]);
        const events = [event(), event(), event()];
        const first = await store.append(stream, expected, events);
        expect(await store.append(stream, expected, events)).toEqual(first);
        await store.append(stream, first.revision, [event()]);
        expect(await store.append(stream, expected, events)).toEqual(first);
        expect((await all(store.readStream(stream))).at(-1)?.revision).toBe(first.revision + 1n);
      });

      it('stores once when the connection was lost between the request and its answer', async () => {
        for (const expected of ['no_stream', 0n, 'any'] as const) {
          const stream = newStream();
          if (expected === 0n) await store.append(stream, 'no_stream', [event()]);
          const cut = under.proxy.cutBeforeAnswerTo(stream);
          const events = [event(), event()];
          const result = await store.append(stream, expected, events).catch((error: unknown) => {
            expect(error).toBeInstanceOf(AppendOutcomeUnknown);
            return store.append(stream, expected, events);
          });
          await cut;
          const stored = await all(store.readStream(stream));
          expect(stored.slice(-2).map((each) => each.eventId)).toEqual(events.map((each) => each.eventId));
          expect(stored).toHaveLength(expected === 0n ? 3 : 2);
          expect(result).toEqual({ revision: stored.at(-1)?.revision, position: stored.at(-1)?.position });
        }
      });

      it('stores once after an outcome that stayed unknown', async () => {
        const stream = newStream();
        await store.append(stream, 'no_stream', [event()]);
        const events = [event()];
        under.proxy.stall();
        const unknown = await failure(store.append(stream, 0n, events, { timeoutMs: 500 }));
        under.proxy.pass();
        expect(unknown).toBeInstanceOf(AppendOutcomeUnknown);
        expect(unknown).toMatchObject({ stream });
        await eventually(() => store.append(stream, 0n, events));
        expect(await all(store.readStream(stream))).toHaveLength(2);
      });

      it('says so while the server cannot be reached, and works again when it can', async () => {
        under.proxy.refuse();
        const refused = await failure(store.append(newStream(), 'no_stream', [event()], { timeoutMs: 700 }));
        under.proxy.pass();
        expect(refused instanceof EventStoreUnavailable || refused instanceof AppendOutcomeUnknown).toBe(true);
        await eventually(() => store.append(newStream(), 'no_stream', [event()]));
      });
    });

    describe('reading a stream', () => {
      let stream: string;
      beforeAll(async () => {
        stream = newStream();
        await store.append(stream, 'no_stream', Array.from({ length: 10 }, (_, n) => event({ n })));
      });
      const revisions = async (options: Parameters<EventStore['readStream']>[1]) =>
        (await all(store.readStream(stream, options))).map((each) => Number(each.revision));

      it('goes forwards from the start, from a revision, and up to a limit', async () => {
        expect(await revisions({})).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        expect(await revisions({ from: 7n })).toEqual([7, 8, 9]);
        expect(await revisions({ from: 3n, limit: 2 })).toEqual([3, 4]);
        expect(await revisions({ from: 10n })).toEqual([]);
      });

      it('goes backwards from the end, from a revision, and up to a limit', async () => {
        expect(await revisions({ direction: 'backwards' })).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        expect(await revisions({ direction: 'backwards', from: 2n })).toEqual([2, 1, 0]);
        expect(await revisions({ direction: 'backwards', limit: 1 })).toEqual([9]);
      });

      it('yields nothing for a stream that does not exist', async () => {
        expect(await all(store.readStream(newStream()))).toEqual([]);
        expect(await all(store.readStream(newStream(), { direction: 'backwards', limit: 1 }))).toEqual([]);
      });

      it('can be left in the middle as often as one likes', async () => {
        for (let n = 0; n < 150; n++) {
          for await (const _ of store.readStream(stream)) break;
          for await (const _ of store.readAll({ direction: 'backwards' })) break;
        }
        await store.append(newStream(), 'no_stream', [event()]);
      });
    });

    describe('reading all', () => {
      let prefix: string;
      let after: bigint;
      let stored: RecordedEvent[];
      const read = (options: Parameters<EventStore['readAll']>[0]) => all(store.readAll(options));

      beforeAll(async () => {
        prefix = `${newStream()}-`;
        after = (await store.append(newStream(), 'no_stream', [event()])).position;
        for (let n = 0; n < 12; n++) {
          await store.append(`${prefix}${n % 2 === 0 ? 'even' : 'odd'}`, 'any', [{ ...event({ n }), type: `${prefix}Type${n % 3}` }]);
        }
        await store.writeStreamMetadata(`${prefix}even`, { custom: { note: 'a system event' } });
        stored = await read({ after });
      });

      it('goes forwards after a position, in order, without system events', async () => {
        expect(stored.map((each) => each.data['n'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        expectIncreasing(stored.map((each) => each.position));
        expect(await read({ after: stored[9]?.position ?? 0n })).toEqual(stored.slice(10));
        expect(await read({ after, limit: 5 })).toEqual(stored.slice(0, 5));
        expect(await read({ after: (await store.head()) ?? 0n })).toEqual([]);
      });

      it('goes backwards from the end and before a position', async () => {
        expect(await read({ direction: 'backwards', limit: 12 })).toEqual(stored.toReversed());
        const before = stored[3]?.position ?? 0n;
        expect(await read({ direction: 'backwards', before, limit: 3 })).toEqual(stored.slice(0, 3).toReversed());
      });

      it('filters by stream prefix or event type, in both directions', async () => {
        const odd = stored.filter((each) => each.stream === `${prefix}odd`);
        const one = stored.filter((each) => each.type === `${prefix}Type1`);
        const streamPrefixes = [`${prefix}o`, 'nothing-'];
        const eventTypes = [`${prefix}Type1`, 'Nothing'];
        expect(odd).toHaveLength(6);
        expect(one).toHaveLength(4);
        expect(await read({ filter: { streamPrefixes } })).toEqual(odd);
        expect(await read({ after, filter: { eventTypes } })).toEqual(one);
        expect(await read({ direction: 'backwards', filter: { eventTypes }, limit: 3 })).toEqual(one.slice(1).toReversed());
        expect(await read({ direction: 'backwards', filter: { streamPrefixes } })).toEqual(odd.toReversed());
        expect(await read({ after, filter: { eventTypes: ['Nothing'] } })).toEqual([]);
      });

      it('refuses a filter that names both or nothing', async () => {
        expect(await failure(read({ filter: { streamPrefixes: ['a'], eventTypes: ['b'] } }))).toBeInstanceOf(RangeError);
        expect(await failure(read({ filter: {} }))).toBeInstanceOf(RangeError);
        expect(await failure(read({ filter: { eventTypes: [] } }))).toBeInstanceOf(RangeError);
      });
    });

    describe('a subscription to all', () => {
      it('catches up after its position, says when it is live, and stays so', async () => {
        const stream = newStream();
        const { position: after } = await store.append(stream, 'no_stream', [event()]);
        await store.append(stream, 0n, [event(), event()]);
        const batches: Array<{ revisions: bigint[]; live: boolean }> = [];
        let appended = false;
        for await (const batch of subscription({ after })) {
          batches.push({ revisions: batch.events.map((each) => each.revision), live: batch.live });
          if (batch.events.at(-1)?.revision === 4n) break;
          if (!batch.live || appended) continue;
          appended = true;
          expect(batches.flatMap((each) => each.revisions)).toEqual([1n, 2n]);
          await store.append(stream, 2n, [event(), event()]);
        }
        expect(batches.flatMap((each) => each.revisions)).toEqual([1n, 2n, 3n, 4n]);
        expect(batches.at(-1)?.live).toBe(true);
      });

      it('says that it is live when there was nothing to catch up with', async () => {
        const after = (await store.append(newStream(), 'no_stream', [event()])).position;
        for await (const batch of subscription({ after })) {
          expect(batch).toEqual({ events: [], position: after, live: true });
          break;
        }
      });

      it('starts at the beginning of the log without a position', async () => {
        const [first] = await all(store.readAll({ limit: 1 }));
        for await (const batch of subscription({ after: undefined, maxBatch: 3 })) {
          if (batch.events.length === 0) continue;
          expect(batch.events[0]).toEqual(first);
          break;
        }
      });

      it('yields batches of at most maxBatch, whose position covers exactly what was yielded', async () => {
        const stream = newStream();
        const { position: after } = await store.append(newStream(), 'no_stream', [event()]);
        await store.append(stream, 'no_stream', Array.from({ length: 25 }, () => event()));
        const seen: RecordedEvent[] = [];
        let position = after;
        for await (const batch of subscription({ after, maxBatch: 10 })) {
          expect(batch.events.length).toBeLessThanOrEqual(10);
          expect(batch.position).toBeGreaterThanOrEqual(batch.events.at(-1)?.position ?? position);
          position = batch.position;
          seen.push(...batch.events);
          // What a restart from this position would read, and what was seen, are the whole.
          expect([...seen, ...(await all(store.readAll({ after: position })))].map((each) => each.revision)).toHaveLength(25);
          if (seen.length === 25) break;
        }
        expect(seen.map((each) => each.revision)).toEqual(seen.map((_, i) => BigInt(i)));
      });

      it('filters, and moves its position on where nothing matches', async () => {
        const prefix = newStream();
        const { position: after } = await store.append(newStream(), 'no_stream', [event()]);
        await store.append(`${prefix}-a`, 'no_stream', [event()]);
        for (let n = 0; n < 30; n++) await store.append(newStream(), 'no_stream', [event()]);
        const { position: last } = await store.append(newStream(), 'no_stream', [event()]);
        const seen: string[] = [];
        let position = after;
        let appended = false;
        for await (const batch of subscription({ after, filter: { streamPrefixes: [prefix] }, maxBatch: 5 })) {
          expect(batch.position).toBeGreaterThanOrEqual(position);
          position = batch.position;
          seen.push(...batch.events.map((each) => each.stream));
          if (!batch.live || position < last) continue;
          if (seen.includes(`${prefix}-b`)) break;
          if (!appended) await Promise.all([store.append(newStream(), 'no_stream', [event()]), store.append(`${prefix}-b`, 'no_stream', [event()])]);
          appended = true;
        }
        expect(seen).toEqual([`${prefix}-a`, `${prefix}-b`]);
      });

      it('never skips a position while many append, some of them in vain', async () => {
        const after = (await store.append(newStream(), 'no_stream', [event()])).position;
        const prefix = newStream();
        const WRITERS = 16;
        const EACH = 40;
        const collect = async (options: Partial<SubscribeOptions>) => {
          const seen: RecordedEvent[] = [];
          for await (const { events } of subscription({ after, ...options })) {
            seen.push(...events);
            if (seen.filter((each) => each.stream.startsWith(prefix)).length >= WRITERS * EACH) break;
          }
          return seen;
        };
        const collected = Promise.all([
          collect({}),
          collect({ maxBatch: 7 }),
          collect({ filter: { streamPrefixes: [prefix] } }),
          collect({ filter: { eventTypes: ['Wanted'] }, maxBatch: 3 }),
        ]);
        await Promise.all(
          Array.from({ length: WRITERS }, async (_, w) => {
            for (let n = 0; n < EACH; n++) {
              const expected = n === 0 ? 'no_stream' : BigInt(n - 1);
              const from = writer(under, w);
              await Promise.all([
                from.append(`${prefix}-${w}`, expected, [{ ...event(), type: 'Wanted' }], { lane: n % 5 === 0 ? 'urgent' : 'normal' }),
                failure(from.append(`${prefix}-${w}-never`, 3n, [event()])),
              ]);
            }
          }),
        );
        const log = await all(store.readAll({ after }));
        for (const seen of await collected) {
          expect(seen.map((each) => each.position)).toEqual(log.map((each) => each.position));
        }
      });

      it('goes on after a lost connection, without a gap and without a repeat', async () => {
        const stream = newStream();
        const after = (await store.append(newStream(), 'no_stream', [event()])).position;
        const seen: bigint[] = [];
        let next = 0n;
        const appendSome = async () => {
          for (let n = 0; n < 20; n++, next++) {
            const expected = next === 0n ? 'no_stream' : next - 1n;
            const events = [event()];
            await eventually(() => store.append(stream, expected, events));
          }
        };
        await appendSome();
        let cuts = 0;
        for await (const { events, live } of subscription({ after, maxBatch: 7 })) {
          seen.push(...events.map((each) => each.revision));
          if (cuts === 0 || (live && seen.length === Number(next))) {
            if (cuts === 4) break;
            cuts++;
            under.proxy.cut();
            await appendSome();
          }
        }
        expect(seen).toEqual(Array.from({ length: Number(next) }, (_, i) => BigInt(i)));
      });

      it('goes on beside a connection that has gone silent', { timeout: 90_000 }, async () => {
        const stream = newStream();
        const { position: after } = await store.append(stream, 'no_stream', [event()]);
        const events = [event()];
        for await (const batch of subscription({ after }, 60_000)) {
          if (batch.events.length > 0) {
            expect(batch.events.map((each) => each.eventId)).toEqual(events.map((each) => each.eventId));
            break;
          }
          under.proxy.freeze();
          await eventually(() => store.append(stream, 0n, events), 40_000);
        }
        under.proxy.cut(); // the next test need not meet the silent ones again
      });

      it('pulls no more than a little ahead of a slow handler', async () => {
        const after = (await store.append(newStream(), 'no_stream', [event()])).position;
        const stream = newStream();
        const text = 'x'.repeat(20_000);
        for (let n = 0; n < 15; n++) await store.append(stream, 'any', Array.from({ length: 50 }, () => event({ text })));
        const total = 15 * 50 * text.length;
        const start = under.proxy.answered;
        const seen: bigint[] = [];
        for await (const { events } of subscription({ after, maxBatch: 20 })) {
          if (seen.length === 0 && events.length > 0) {
            await quiet(() => under.proxy.answered);
            expect(under.proxy.answered - start).toBeLessThan(total / 2);
          }
          seen.push(...events.map((each) => each.revision));
          if (seen.length === 15 * 50) break;
        }
        expect(seen).toEqual(seen.map((_, i) => BigInt(i)));
      });

      it('ends by its signal: while it waits, and in the middle of a handler', async () => {
        const after = (await store.head()) ?? 0n;
        const idle = new AbortController();
        const waiting = (async () => {
          for await (const { live } of store.subscribeAll({ after, signal: idle.signal })) if (live) queueMicrotask(() => idle.abort());
        })();
        await waiting;

        const stream = newStream();
        await store.append(stream, 'no_stream', Array.from({ length: 30 }, () => event()));
        const stop = new AbortController();
        let handled: bigint | undefined;
        const seen: bigint[] = [];
        for await (const batch of store.subscribeAll({ after, signal: stop.signal, maxBatch: 10 })) {
          if (batch.events.length === 0) continue;
          stop.abort();
          await store.head(); // the handler goes on with its work
          seen.push(...batch.events.map((each) => each.revision));
          handled = batch.position;
        }
        expect(seen.length).toBeLessThanOrEqual(10);
        const rest = await all(store.readAll({ after: handled ?? 0n }));
        expect([...seen, ...rest.map((each) => each.revision)]).toEqual(Array.from({ length: 30 }, (_, i) => BigInt(i)));
      });

      it('is as good the sixtieth time, others having been left in the middle', async () => {
        const after = (await store.append(newStream(), 'no_stream', [event()])).position;
        const { position } = await store.append(newStream(), 'no_stream', [event(), event()]);
        for (let n = 0; n < 60; n++) {
          for await (const batch of subscription({ after })) if (batch.position >= position) break;
        }
        await store.append(newStream(), 'no_stream', [event()]);
      });
    });

    describe('stream metadata', () => {
      it('is what was written last, and nothing at first', async () => {
        const stream = newStream();
        expect(await store.readStreamMetadata(stream)).toEqual({});
        await store.writeStreamMetadata(stream, { maxCount: 3, maxAgeSeconds: 86_400, custom: { owner: 'Grüße', n: 1 } });
        expect(await store.readStreamMetadata(stream)).toEqual({ maxCount: 3, maxAgeSeconds: 86_400, custom: { owner: 'Grüße', n: 1 } });
        await store.writeStreamMetadata(stream, { custom: { owner: 'other' } });
        expect(await store.readStreamMetadata(stream)).toEqual({ custom: { owner: 'other' } });
      });

      it('hides events from readers of the stream, not from expectations', async () => {
        const stream = newStream();
        await store.append(stream, 'no_stream', Array.from({ length: 5 }, () => event()));
        await store.writeStreamMetadata(stream, { maxCount: 2 });
        expect((await all(store.readStream(stream))).map((each) => each.revision)).toEqual([3n, 4n]);
        expect((await all(store.readStream(stream, { direction: 'backwards' }))).map((each) => each.revision)).toEqual([4n, 3n]);
        await store.append(stream, 4n, [event()]);
        expect((await all(store.readStream(stream, { from: 1n }))).map((each) => each.revision)).toEqual([4n, 5n]);
        await store.writeStreamMetadata(stream, { maxAgeSeconds: 1 });
        await eventually(async () => expect(await all(store.readStream(stream))).toEqual([]));
        expect((await store.append(stream, 5n, [event()])).revision).toBe(6n);
      });
    });

    it('holds 100,000 events in one stream', { timeout: 120_000 }, async () => {
      const stream = newStream();
      for (let n = 0; n < 100; n++) {
        await store.append(stream, n === 0 ? 'no_stream' : BigInt(n * 1000 - 1), Array.from({ length: 1000 }, (_, i) => event({ n: n * 1000 + i })));
      }
      let next = 0n;
      for await (const { revision, data } of store.readStream(stream)) {
        if (revision !== next || data['n'] !== Number(next)) throw new Error(`${revision} instead of ${next}`);
        next++;
      }
      expect(next).toBe(100_000n);
      const [last] = await all(store.readStream(stream, { direction: 'backwards', limit: 1 }));
      expect(last?.revision).toBe(99_999n);
      expect((await all(store.readStream(stream, { from: 99_990n }))).map((each) => each.data['n'])).toEqual(Array.from({ length: 10 }, (_, i) => 99_990 + i));
    });

    it('answers what is under way when it is stopped, and refuses work from then on', { timeout: 30_000 }, async () => {
      const underWay = Promise.all(Array.from({ length: 200 }, () => store.append(newStream(), 'no_stream', [event()])));
      const waiting = (async () => {
        for await (const _ of store.subscribeAll({ after: await store.head(), signal: new AbortController().signal }));
      })();
      const ended = failure(waiting);
      await Promise.all([store.stop(), store.stop()]);
      expect(await underWay).toHaveLength(200);
      expect(await ended).toBeInstanceOf(EventStoreUnavailable);
      expect(await failure(store.append(newStream(), 'no_stream', [event()]))).toBeInstanceOf(EventStoreUnavailable);
      expect(await failure(all(store.readStream('any')))).toBeInstanceOf(EventStoreUnavailable);
    });

    /** Ends with an error when what a test waits for does not come. */
    async function* subscription(options: Omit<SubscribeOptions, 'signal'>, timeoutMs = 20_000) {
      const signal = AbortSignal.timeout(timeoutMs);
      yield* store.subscribeAll({ ...options, signal });
      throw new Error(`Not seen within ${timeoutMs} ms`);
    }
  });
}

export function newStream(): string {
  return `contract-${randomUUID()}`;
}

export function event(data: JsonObject = {}): EventToAppend {
  const id = randomUUID();
  return {
    eventId: id,
    type: 'ContractTested',
    data,
    metadata: {
      schemaVersion: 1,
      commandId: id,
      correlationId: id,
      causationId: id,
      actor: { kind: 'system', id: 'test' },
      source: 'system',
      occurredAt: '2026-11-21T10:30:00.000Z',
    },
  };
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** The error that `work` ends with. */
export async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => {
      throw new Error('It did not fail', { cause: value });
    },
    (error: unknown) => error,
  );
}

/** Repeats `work` until it succeeds: for what needs a connection to come back, or time to pass. */
export async function eventually<T>(work: () => Promise<T>, timeoutMs = 20_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Waits until a number stays the same. */
async function quiet(value: () => number): Promise<void> {
  for (let last = -1, same = 0; same < 10; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = value() === last ? same + 1 : 0;
    last = value();
  }
}

function expectIncreasing(positions: readonly bigint[]): void {
  for (let i = 1; i < positions.length; i++) {
    if ((positions[i] ?? 0n) <= (positions[i - 1] ?? 0n)) throw new Error(`Position ${positions[i]} after ${positions[i - 1]}`);
  }
}

/** Half of the writers are of another process, where the store allows for two in this one. */
function writer({ store, other }: StoreUnderTest, index: number): EventStore {
  return index % 2 === 0 || other === undefined ? store : other;
}
