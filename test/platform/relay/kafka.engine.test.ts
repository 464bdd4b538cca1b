import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKafkaRelay, ensureKafkaTopics } from '../../../src/platform/relay/kafka.ts';
import { RelayUnavailable } from '../../../src/platform/relay/port.ts';
import { relayContract } from '../../contract/relay.ts';
import { describeWithServer } from '../../support/optional-server.ts';
import { kafkaMissing, startKafka, type KafkaServer } from '../../support/servers-kafka.ts';
import { until } from '../../support/until.ts';

describeWithServer('kafka', kafkaMissing(), 'Kafka relay', () => {
  let kafka: KafkaServer;
  let made = 0;
  const run = `t${process.pid}-${Date.now()}`;
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);

  // The mock cluster answers a fetch only when its time is up, and a join to a known group only just before its session's.
  const forTheMock = { fetchWaitMs: 10, sessionTimeoutMs: 4_500 };

  async function fresh() {
    const topicPrefix = `${run}-${made++}.`;
    await kafka.createTopics(topicPrefix, 4);
    return (extra: object = {}) =>
      createKafkaRelay({ brokers: kafka.brokers, clientId: 'contract', topicPrefix, startTimeoutMs: 20_000, ...forTheMock, ...extra });
  }

  beforeAll(async () => {
    process.on('warning', onWarning);
    kafka = await startKafka();
  });
  afterAll(async () => {
    process.off('warning', onWarning);
    await kafka.stop();
  });

  relayContract('Kafka', {
    stores: true,
    async make() {
      const relay = await fresh();
      return { relay: relay(), anotherProcess: relay };
    },
  });

  describe('outages', () => {
    it('refuses while the cluster is away, and goes on by itself when it is back', async ({ skip }) => {
      const { down, up } = kafka;
      if (down === undefined || up === undefined) return skip('the cluster is not ours to stop');
      const relay = (await fresh())({ publishTimeoutMs: 1_000 });
      const got: string[] = [];
      const consumer = relay.consume({ topic: 'device-reports', group: 'readers', handle: async (batch) => void got.push(...batch.map(({ value }) => value.toString())) });
      await relay.start();
      await consumer.start();
      const publish = (text: string) => relay.publish('device-reports', [{ key: 'a', value: Buffer.from(text), headers: {} }]);
      await publish('before');
      await until('the first came', () => got.includes('before'));
      await down();
      await expect(publish('meanwhile')).rejects.toBeInstanceOf(RelayUnavailable);
      await up();
      await until('it takes again', () => publish('after').then(() => true, () => false), 60_000);
      await until('the consumer goes on', () => got.includes('after'), 60_000);
      await consumer.stop();
      await relay.stop();
    }, 150_000);

    it('starts without a cluster, says so, and refuses at once', async () => {
      const relay = createKafkaRelay({ brokers: ['127.0.0.1:1'], clientId: 'contract', startTimeoutMs: 50 });
      await relay.start();
      expect(relay.health().healthy).toBe(false);
      await expect(relay.publish('device-reports', [{ key: 'a', value: Buffer.from('a'), headers: {} }])).rejects.toBeInstanceOf(RelayUnavailable);
      await relay.stop();
    });
  });

  it('creates only the topics that are missing', async () => {
    const topicPrefix = `${run}-ensured.`;
    await kafka.createTopics(topicPrefix, 2);
    expect(await ensureKafkaTopics({ brokers: kafka.brokers, clientId: 'contract', topicPrefix }, { partitions: 2 })).toEqual([]);
  });

  it("sets no timer with a negative delay, as kafkajs does by itself on Node 24", () => {
    expect(warnings.filter((warning) => warning.includes('Negative'))).toEqual([]);
  });
});
