import { describe, expect, it } from 'vitest';
import { createInProcessRelay } from '../../../src/platform/relay/in-process.ts';
import { RelayUnavailable, type RelayMessage } from '../../../src/platform/relay/port.ts';
import { relayContract } from '../../contract/relay.ts';

relayContract('in process', {
  stores: false,
  make: async () => ({ relay: createInProcessRelay(), anotherProcess: undefined }),
});

describe('in-process relay', () => {
  const message = (key: string): RelayMessage => ({ key, value: Buffer.from(key), headers: {} });

  it('has taken a message only when every group has handled it', async () => {
    const relay = createInProcessRelay();
    const gate = Promise.withResolvers<void>();
    const quick = relay.consume({ topic: 'device-reports', group: 'quick', handle: async () => undefined });
    const slow = relay.consume({ topic: 'device-reports', group: 'slow', handle: () => gate.promise });
    await Promise.all([relay.start(), quick.start(), slow.start()]);
    let taken = false;
    const published = relay.publish('device-reports', [message('a')]).then(() => (taken = true));
    await new Promise(setImmediate);
    expect(taken).toBe(false);
    gate.resolve();
    await published;
    await relay.stop();
  });

  it('tells the publisher when a group could not handle it', async () => {
    const relay = createInProcessRelay();
    const fine = relay.consume({ topic: 'device-reports', group: 'fine', handle: async () => undefined });
    const broken = relay.consume({ topic: 'device-reports', group: 'broken', handle: () => Promise.reject(new Error('disk full')) });
    await Promise.all([relay.start(), fine.start(), broken.start()]);
    await expect(relay.publish('device-reports', [message('a')])).rejects.toThrow(RelayUnavailable);
    await relay.stop();
  });

  it('refuses device topics that nothing reads, or whose reader is stopped', async () => {
    const relay = createInProcessRelay();
    await relay.start();
    await expect(relay.publish('device-commands', [message('a')])).rejects.toThrow('Nothing here reads device-commands');
    const consumer = relay.consume({ topic: 'device-commands', group: 'downlink', handle: async () => undefined });
    await expect(relay.publish('device-commands', [message('a')])).rejects.toThrow('is not running');
    await consumer.start();
    await relay.publish('device-commands', [message('a')]);
    await relay.stop();
  });

  it('bounds what waits, and refuses the rest at once', async () => {
    const relay = createInProcessRelay({ maxQueued: 10 });
    const gate = Promise.withResolvers<void>();
    const consumer = relay.consume({ topic: 'device-reports', group: 'slow', maxBatch: 1, handle: () => gate.promise });
    await Promise.all([relay.start(), consumer.start()]);
    const publishes = Array.from({ length: 30 }, (_, n) => relay.publish('device-reports', [message(`${n}`)]).then(() => 'taken', () => 'refused'));
    gate.resolve();
    const answers = await Promise.all(publishes);
    expect(answers.slice(0, 11)).toEqual(Array.from({ length: 11 }, () => 'taken')); // one in hand, ten waiting
    expect(answers.slice(11)).toEqual(Array.from({ length: 19 }, () => 'refused'));
    await relay.stop();
  });

  it('answers a publish that nobody handles in time, and hands over nothing of it afterwards', async () => {
    const relay = createInProcessRelay({ publishTimeoutMs: 20 });
    const gate = Promise.withResolvers<void>();
    const handled: string[] = [];
    const consumer = relay.consume({
      topic: 'device-reports',
      group: 'stuck',
      maxBatch: 1,
      handle: async ([first]) => {
        await gate.promise;
        handled.push(first!.key);
      },
    });
    await Promise.all([relay.start(), consumer.start()]);
    const [inHand, waiting] = await Promise.allSettled([relay.publish('device-reports', [message('a')]), relay.publish('device-reports', [message('b')])]);
    expect(inHand.status).toBe('rejected');
    expect(waiting.status).toBe('rejected');
    gate.resolve();
    await relay.stop();
    expect(handled).toEqual(['a']);
  });

  it('refuses what still waits when it is stopped', async () => {
    const relay = createInProcessRelay();
    const gate = Promise.withResolvers<void>();
    const consumer = relay.consume({ topic: 'device-reports', group: 'slow', maxBatch: 1, handle: () => gate.promise });
    await Promise.all([relay.start(), consumer.start()]);
    const first = relay.publish('device-reports', [message('a')]);
    const second = relay.publish('device-reports', [message('b')]);
    const stopping = relay.stop();
    await expect(second).rejects.toThrow('was stopped');
    gate.resolve();
    await first;
    await stopping;
  });
});
