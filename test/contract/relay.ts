import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest';
import { RelayUnavailable, type ConsumeOptions, type Relay, type RelayConsumer, type RelayMessage, type RelayTopic } from '../../src/platform/relay/port.ts';
import { until } from '../support/until.ts';

/** One relay with topics of its own. `anotherProcess` = a second relay on the same topics, where the adapter has a store. */
export interface RelaySubject {
  readonly relay: Relay;
  readonly anotherProcess: (() => Relay) | undefined;
}

export interface RelayFixture {
  /** Called once before all tests. */
  readonly setUp?: () => Promise<void>;
  readonly tearDown?: () => Promise<void>;
  /** A relay that is not started, on topics that no other test uses. */
  readonly make: () => Promise<RelaySubject>;
  /** True: what was published while a group was away comes when it is back. False: publishing is refused meanwhile. */
  readonly stores: boolean;
}

const TIMEOUT = 60_000;

export function relayContract(name: string, fixture: RelayFixture): void {
  describe(`relay contract: ${name}`, () => {
    beforeAll(async () => fixture.setUp?.());
    afterAll(async () => fixture.tearDown?.());
    const cleanUp: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const undo of cleanUp.splice(0).toReversed()) await undo();
    });

    async function started(): Promise<{ relay: Relay; anotherProcess: RelaySubject['anotherProcess'] }> {
      const { relay, anotherProcess } = await fixture.make();
      await relay.start();
      cleanUp.push(() => relay.stop());
      return { relay, anotherProcess };
    }

    async function consuming(relay: Relay, options: Partial<ConsumeOptions> & Pick<ConsumeOptions, 'handle'>): Promise<RelayConsumer> {
      const consumer = relay.consume({ topic: 'device-reports', group: 'readers', ...options });
      await consumer.start();
      cleanUp.push(() => consumer.stop());
      return consumer;
    }

    it('is refused while the relay is not running', async () => {
      const { relay } = await fixture.make();
      await expect(relay.publish('device-reports', [message('a', 0)])).rejects.toBeInstanceOf(RelayUnavailable);
      expect(relay.health().healthy).toBe(false);
      await relay.start();
      expect(relay.health()).toMatchObject({ healthy: true });
      await relay.stop();
      await expect(relay.publish('device-reports', [message('a', 0)])).rejects.toBeInstanceOf(RelayUnavailable);
    });

    it('carries the bytes and the headers as they are', async () => {
      const { relay } = await started();
      const got: RelayMessage[] = [];
      await consuming(relay, { handle: async (batch) => void got.push(...batch) });
      const value = Buffer.from([0, 255, 254, 10, 13, 195, 40]);
      await relay.publish('device-reports', [{ key: 'böx', value, headers: { 'event-id': 'é', empty: '' } }]);
      await until('it came', () => got.length === 1);
      expect(got[0]).toMatchObject({ key: 'böx', headers: { 'event-id': 'é', empty: '' } });
      expect(Buffer.compare(got[0]!.value, value)).toBe(0);
    });

    it('keeps the order of each key, in batches no larger than asked for', async () => {
      const { relay } = await started();
      const got: RelayMessage[] = [];
      let largest = 0;
      let atOnce = 0;
      let mostAtOnce = 0;
      await consuming(relay, {
        maxBatch: 20,
        async handle(batch) {
          mostAtOnce = Math.max(mostAtOnce, ++atOnce);
          await turns(3);
          largest = Math.max(largest, batch.length);
          got.push(...batch);
          atOnce--;
        },
      });
      const keys = ['a', 'b', 'c', 'd', 'e'];
      const publishes: Promise<void>[] = [];
      for (let n = 0; n < 100; n++) for (const key of keys) publishes.push(relay.publish('device-reports', [message(key, n)]));
      await Promise.all(publishes);
      await until('all came', () => got.length === 500);
      for (const key of keys) expect(numbersOf(got, key)).toEqual(range(100));
      expect(largest).toBeLessThanOrEqual(20);
      expect(largest).toBeGreaterThan(1);
      expect(mostAtOnce).toBe(1);
    });

    it('carries what goes apart too, beside what keeps order', async () => {
      const { relay } = await started();
      const got: RelayMessage[] = [];
      await consuming(relay, { handle: async (batch) => void got.push(...batch) });
      await Promise.all([
        ...range(50).map((n) => relay.publish('device-reports', [message('a', n)])),
        relay.publish('device-reports', [message('apart', 0)], { apart: true }),
      ]);
      await until('all came', () => got.length === 51);
      expect(numbersOf(got, 'a')).toEqual(range(50));
      expect(numbersOf(got, 'apart')).toEqual([0]);
    });

    it('never has two batches of one key in hand, and keeps its order, with concurrency', async () => {
      const { relay } = await started();
      const got: RelayMessage[] = [];
      const inHand = new Set<string>();
      let overlaps = 0;
      await consuming(relay, {
        maxBatch: 5,
        concurrency: 4,
        async handle(batch) {
          const keys = new Set(batch.map(({ key }) => key));
          for (const key of keys) {
            if (inHand.has(key)) overlaps++;
            inHand.add(key);
          }
          await turns(2);
          got.push(...batch);
          for (const key of keys) inHand.delete(key);
        },
      });
      const keys = Array.from({ length: 12 }, (_, n) => `key-${n}`);
      await Promise.all(range(25).flatMap((n) => keys.map((key) => relay.publish('device-reports', [message(key, n)]))));
      await until('all came', () => got.length === 300);
      expect(overlaps).toBe(0);
      for (const key of keys) expect(numbersOf(got, key)).toEqual(range(25));
    });

    it('brings a batch again after its handler failed, still in order', async () => {
      const { relay } = await started();
      const handled: RelayMessage[] = [];
      let failures = 3;
      await consuming(relay, {
        maxBatch: 4,
        async handle(batch) {
          if (failures > 0) {
            failures--;
            throw new Error('not now');
          }
          handled.push(...batch);
        },
      });
      await untilTaken(relay, 'device-reports', range(10).map((n) => message('a', n)));
      await until('all came', () => numbersOf(handled, 'a').includes(9));
      expect(failures).toBe(0);
      expect([...new Set(numbersOf(handled, 'a'))]).toEqual(range(10));
    });

    it('never brings a batch again that was committed before', async () => {
      const { relay } = await started();
      const seen: RelayMessage[] = [];
      const consumer = await consuming(relay, {
        commit: 'before',
        maxBatch: 1,
        async handle(batch) {
          seen.push(...batch);
          throw new Error('too late to say so');
        },
      });
      await relay.publish('device-reports', [message('a', 0)]);
      await relay.publish('device-reports', [message('a', 1)]);
      await until('both came', () => seen.length === 2);
      await consumer.stop();
      await consumer.start();
      await relay.publish('device-reports', [message('a', 2)]);
      await until('the third came', () => seen.length > 2);
      expect(numbersOf(seen, 'a')).toEqual([0, 1, 2]);
    }, TIMEOUT);

    it('gives every group all messages', async () => {
      const { relay } = await started();
      const first: RelayMessage[] = [];
      const second: RelayMessage[] = [];
      await Promise.all([
        consuming(relay, { group: 'first', handle: async (batch) => void first.push(...batch) }),
        consuming(relay, { group: 'second', handle: async (batch) => void second.push(...batch) }),
      ]);
      await Promise.all(range(20).map((n) => relay.publish('device-reports', [message('a', n)])));
      await until('both have all', () => first.length === 20 && second.length === 20);
      expect(numbersOf(first, 'a')).toEqual(range(20));
      expect(numbersOf(second, 'a')).toEqual(range(20));
    }, TIMEOUT);

    it('lets two consumers of a group share the work', async () => {
      const { relay, anotherProcess } = await started();
      const second = anotherProcess?.() ?? relay;
      if (second !== relay) {
        await second.start();
        cleanUp.push(() => second.stop());
      }
      const handled: RelayMessage[] = [];
      const counts = [0, 0];
      const handler = (index: 0 | 1) => async (batch: readonly RelayMessage[]) => {
        await turns(5);
        counts[index]! += batch.length;
        handled.push(...batch);
      };
      await consuming(relay, { maxBatch: 5, handle: handler(0) });
      await consuming(second, { maxBatch: 5, handle: handler(1) });
      const keys = range(40).map((n) => `key-${n}`);
      let n = 0;
      await until(
        'both had some',
        async () => {
          await untilTaken(relay, 'device-reports', keys.map((key) => message(key, n)));
          n++;
          await until('what was published came', () => new Set(handled.map(identity)).size === n * keys.length);
          return counts.every((count) => count > 0);
        },
        TIMEOUT,
      );
      for (const key of keys) expect([...new Set(numbersOf(handled, key))]).toEqual(range(n));
    }, 2 * TIMEOUT);

    it('goes on after a restart of its consumer where it was', async () => {
      const { relay } = await started();
      const handled: RelayMessage[] = [];
      const consumer = await consuming(relay, { handle: async (batch) => void handled.push(...batch) });
      await relay.publish('device-reports', range(5).map((n) => message('a', n)));
      await until('the first came', () => handled.length === 5);
      await consumer.stop();
      const rest = range(10).slice(5).map((n) => message('a', n));
      if (fixture.stores) await relay.publish('device-reports', rest);
      else await expect(relay.publish('device-reports', rest)).rejects.toBeInstanceOf(RelayUnavailable);
      expect(handled).toHaveLength(5);
      await consumer.start();
      if (!fixture.stores) await relay.publish('device-reports', rest);
      await until('the rest came', () => handled.length >= 10);
      expect(numbersOf(handled, 'a')).toEqual(range(10));
    }, TIMEOUT);

    it('waits, when stopped, for the handler in flight, and does not bring its batch again', async () => {
      const { relay } = await started();
      const handled: RelayMessage[] = [];
      const gate = Promise.withResolvers<void>();
      let entered = false;
      const consumer = await consuming(relay, {
        async handle(batch) {
          entered = true;
          await gate.promise;
          handled.push(...batch);
        },
      });
      const published = relay.publish('device-reports', [message('a', 0)]);
      await until('the handler began', () => entered);
      let stopped = false;
      const stopping = consumer.stop().then(() => (stopped = true));
      await turns(20);
      expect(stopped).toBe(false);
      gate.resolve();
      await stopping;
      await published;
      expect(numbersOf(handled, 'a')).toEqual([0]);
      await consumer.start();
      await relay.publish('device-reports', [message('a', 1)]);
      await until('the next came', () => handled.length > 1);
      expect(numbersOf(handled, 'a')).toEqual([0, 1]);
    }, TIMEOUT);

    it('holds what comes too fast outside the handler', async () => {
      const { relay } = await started();
      const gate = Promise.withResolvers<void>();
      const sizes: number[] = [];
      let handled = 0;
      const consumer = await consuming(relay, {
        maxBatch: 50,
        async handle(batch) {
          sizes.push(batch.length);
          await gate.promise;
          handled += batch.length;
        },
      });
      const publishes = Promise.all(range(400).map((n) => relay.publish('device-reports', [message(`key-${n % 7}`, n)])));
      await until('the handler has a batch', () => sizes.length > 0);
      if (fixture.stores) await publishes;
      await turns(20);
      expect(sizes).toHaveLength(1);
      expect(consumer.lag()).toBeGreaterThan(0);
      gate.resolve();
      await publishes;
      await until('all were handled', () => handled >= 400);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(50);
      await until('nothing is behind', () => consumer.lag() === 0);
    }, TIMEOUT);

    it('takes integration events that nobody reads', async () => {
      const { relay } = await started();
      await relay.publish('loqey.events', [message('a', 0)]);
    });

    it('starts and stops any number of times', async () => {
      const { relay } = await fixture.make();
      await Promise.all([relay.start(), relay.start()]);
      await Promise.all([relay.stop(), relay.stop()]);
      await relay.stop();
    });
  });
}

function message(key: string, n: number): RelayMessage {
  return { key, value: Buffer.from(String(n)), headers: { n: String(n) } };
}

function identity({ key, headers }: RelayMessage): string {
  return `${key}#${headers['n']}`;
}

function numbersOf(messages: readonly RelayMessage[], key: string): number[] {
  return messages.filter((candidate) => candidate.key === key).map(({ headers }) => Number(headers['n']));
}

function range(length: number): number[] {
  return Array.from({ length }, (_, n) => n);
}

/** Lets everything that is ready run, `count` times. */
async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate);
}

/** As a publisher does that must not lose it: again, in the same order, until it is taken. */
async function untilTaken(relay: Relay, topic: RelayTopic, messages: readonly RelayMessage[]): Promise<void> {
  await until('the relay took it', () =>
    relay.publish(topic, messages).then(
      () => true,
      (error: unknown) => {
        if (error instanceof RelayUnavailable) return false;
        throw error;
      },
    ),
  );
}
