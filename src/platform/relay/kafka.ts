import { createRequire } from 'node:module';
import { Kafka, Partitioners, logLevel, type Consumer, type EachBatchPayload, type IHeaders, type KafkaConfig, type KafkaMessage } from 'kafkajs';
import { fullJitter, pause } from '../backoff.ts';
import { component } from '../lifecycle.ts';
import { silentLogger, type Logger } from '../logger.ts';
import { Metrics } from '../metrics.ts';
import { RelayUnavailable, type ConsumeOptions, type Relay, type RelayConsumer, type RelayMessage, type RelayTopic } from './port.ts';

export interface KafkaRelayOptions {
  /** `host:port`, any of the cluster. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly tls?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly sasl?: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string };
  /** Before each topic and group, where several systems share a cluster. Default none. */
  readonly topicPrefix?: string;
  /** Messages of one topic waiting to be sent; beyond it `publish` rejects at once. Default 10,000. */
  readonly maxQueued?: number;
  /** How long a publish waits for the cluster before it rejects. Default 30,000. */
  readonly publishTimeoutMs?: number;
  /** How long `start` waits for the cluster or the group before it goes on trying in the background. Default 10,000. */
  readonly startTimeoutMs?: number;
  /**
   * How long the cluster may hold a fetch while there is nothing; also how long a stop may take. Kafka answers as soon as
   * there is something, librdkafka's test cluster only then: it needs a few milliseconds here. Default 500.
   */
  readonly fetchWaitMs?: number;
  /** After so long without a sign of life a consumer's part goes to the others. Default 45,000. */
  readonly sessionTimeoutMs?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export const relayTopics: readonly RelayTopic[] = ['device-reports', 'device-commands', 'loqey.events'];

const LEAVE_MS = 2_000;
const MAX_BATCH_MESSAGES = 1_000;
/** Well below `message.max.bytes`, which is 1 MiB by default and counts per partition. */
const MAX_BATCH_BYTES = 512 * 1024;
const DEFAULT_CONSUMED = 500;

interface Unit {
  readonly messages: readonly RelayMessage[];
  readonly bytes: number;
  settled: boolean;
  settle(error?: Error): void;
}

/** The relay on Kafka: survives restarts of everything, and several processes share the work of a group. */
export function createKafkaRelay(options: KafkaRelayOptions): Relay {
  const {
    topicPrefix = '',
    maxQueued = 10_000,
    publishTimeoutMs = 30_000,
    startTimeoutMs = 10_000,
    fetchWaitMs = 500,
    sessionTimeoutMs = 45_000,
    logger = silentLogger,
    metrics = new Metrics(),
  } = options;
  const heartbeatMs = Math.floor(sessionTimeoutMs / 15);
  const kafka = createKafka(options);
  const consumers: (RelayConsumer & { running(): boolean })[] = [];
  const failures = metrics.counter('loqey_relay_handler_failures_total', 'Batches that a relay handler rejected', ['topic', 'group']);
  const sendFailures = metrics.counter('loqey_relay_send_failures_total', 'Batches that the relay did not take');
  const sent = metrics.counter('loqey_relay_sent_messages_total', 'Messages that the relay took', ['topic']);
  let stopping = new AbortController();
  /** What the last request of any topic failed with. */
  let trouble: string | undefined = 'not started';

  // Producers

  /**
   * A connection of its own for one topic, or part of it: the cluster works off a connection's requests one after another, and a command that
   * is to open a box must not wait for a batch of reports. One request at a time, so that a retry overtakes nothing.
   */
  function createLane(topic: RelayTopic) {
    // Not the idempotent producer: it is experimental and dies for good on an out-of-order sequence. Consumers know
    // repeats by the ids in the messages.
    const producer = kafka.producer({
      idempotent: false,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    let queue: Unit[] = [];
    let queued = 0;
    let sending: Promise<void> | undefined;
    let connected = false;

    function publish(messages: readonly RelayMessage[]): Promise<void> {
      if (!connected || stopping.signal.aborted) return Promise.reject(new RelayUnavailable(`Kafka is not connected: ${trouble ?? 'stopped'}`));
      if (messages.length === 0) return Promise.resolve();
      if (queued + messages.length > maxQueued) return Promise.reject(new RelayUnavailable(`${queued} messages are waiting for Kafka`));
      return new Promise((resolve, reject) => {
        const timeout = setTimeout(
          () => unit.settle(new RelayUnavailable(`Kafka did not answer within ${publishTimeoutMs} ms: it may have the messages`)),
          publishTimeoutMs,
        );
        const unit: Unit = {
          messages,
          bytes: messages.reduce((sum, { value }) => sum + value.length, 0),
          settled: false,
          settle(error) {
            if (unit.settled) return;
            unit.settled = true;
            clearTimeout(timeout);
            if (error === undefined) resolve();
            else reject(error);
          },
        };
        queue.push(unit);
        queued += messages.length;
        sending ??= send();
      });
    }

    /** What came while a request was under way makes up the next one. */
    async function send(): Promise<void> {
      await Promise.resolve(); // what is published in the same turn goes along
      while (queue.length > 0) {
        const units = takeUnits();
        if (units.length === 0) continue;
        const messages = units.flatMap((unit) => unit.messages.map(({ key, value, headers }) => ({ key, value, headers: { ...headers } })));
        try {
          await producer.send({ topic: topicPrefix + topic, acks: -1, timeout: 10_000, messages });
          sent.inc({ topic }, messages.length);
          for (const unit of units) unit.settle();
          trouble = undefined;
        } catch (error) {
          sendFailures.inc();
          trouble = (error as Error).message;
          logger.warn({ err: error, topic, messages: messages.length }, 'Kafka did not take a batch');
          const reason = new RelayUnavailable(`Kafka did not take it, or did not say so: ${trouble}`, { cause: error });
          for (const unit of units) unit.settle(reason);
        }
      }
      sending = undefined; // in the same turn as the last look at the queue: nothing can come in between and be left
    }

    function takeUnits(): readonly Unit[] {
      let messages = 0;
      let bytes = 0;
      let count = 0;
      for (const unit of queue) {
        if (count > 0 && (messages + unit.messages.length > MAX_BATCH_MESSAGES || bytes + unit.bytes > MAX_BATCH_BYTES)) break;
        count++;
        messages += unit.messages.length;
        bytes += unit.bytes;
      }
      const units = queue.slice(0, count);
      queue = queue.slice(count);
      queued -= messages;
      return units.filter((unit) => !unit.settled);
    }

    return {
      publish,
      queued: () => queued,
      connected: () => connected,
      async connect(signal: AbortSignal): Promise<void> {
        for (let attempt = 1; !signal.aborted; attempt++) {
          try {
            await producer.connect();
            connected = true;
            trouble = undefined;
            return;
          } catch (error) {
            trouble = (error as Error).message;
            logger.warn({ reason: trouble }, 'Kafka is not reachable: going on trying');
            await pause(fullJitter(attempt, { baseMs: 200, capMs: 10_000 }), signal);
          }
        }
      },
      async close(): Promise<void> {
        if (sending !== undefined) await Promise.race([sending, pause(publishTimeoutMs)]);
        for (const unit of queue) unit.settle(new RelayUnavailable('The relay was stopped'));
        queue = [];
        queued = 0;
        connected = false;
        await producer.disconnect().catch(() => undefined);
      },
    };
  }

  const lanes = new Map(relayTopics.map((topic) => [topic, createLane(topic)]));
  /** What the broker says of a command goes up while the box's answer to it is on its way. */
  const apart = createLane('device-reports');
  const allLanes = [...lanes.values(), apart];

  // Consumers

  function consume(consumeOptions: ConsumeOptions): RelayConsumer {
    const { topic, group, maxBatch = DEFAULT_CONSUMED, commit = 'after', concurrency = 1, handle } = consumeOptions;
    const groupId = `${topicPrefix}${group}.${topic}`; // members of one group must all read the same topic
    const behind = new Map<number, number>();
    let stopped = new AbortController();
    let ended: Promise<void> | undefined;
    let joined = false;

    async function run(signal: AbortSignal, onJoined: () => void): Promise<void> {
      for (let attempt = 1; !signal.aborted; attempt++) {
        const consumer = kafka.consumer({
          groupId,
          sessionTimeout: sessionTimeoutMs,
          rebalanceTimeout: Math.max(60_000, sessionTimeoutMs),
          heartbeatInterval: heartbeatMs,
          allowAutoTopicCreation: false,
          maxWaitTimeInMs: fetchWaitMs,
        });
        // kafkajs gives up for good on errors it calls not retriable: then a new consumer begins.
        const crashed = new Promise<void>((resolve) => {
          consumer.on(consumer.events.CRASH, ({ payload }) => {
            logger.warn({ groupId, err: payload.error, restart: payload.restart }, 'Kafka consumer crashed');
            joined = false;
            if (!payload.restart) resolve();
          });
        });
        consumer.on(consumer.events.GROUP_JOIN, () => {
          joined = true;
          attempt = 1;
          onJoined();
        });
        consumer.on(consumer.events.REBALANCING, () => behind.clear());
        const work = async (): Promise<void> => {
          await consumer.connect();
          await consumer.subscribe({ topics: [topicPrefix + topic], fromBeginning: true }); // the default loses what came before
          await consumer.run({
            autoCommit: false, // it would be waited for before the next fetch
            eachBatchAutoResolve: false,
            partitionsConsumedConcurrently: concurrency,
            eachBatch: (payload) => eachBatch(consumer, payload, signal),
          });
          await crashed;
        };
        try {
          await Promise.race([work(), aborted(signal)]);
        } catch (error) {
          logger.warn({ groupId, reason: (error as Error).message }, 'Kafka consumer could not start: going on trying');
        }
        const leaving = consumer.disconnect().catch(() => undefined);
        // A member waits for its handler; one that is still joining has none, and its join may take a minute.
        await (joined ? leaving : Promise.race([leaving, pause(LEAVE_MS)]));
        joined = false;
        await pause(fullJitter(attempt, { baseMs: 200, capMs: 10_000 }), signal);
      }
    }

    async function eachBatch(consumer: Consumer, payload: EachBatchPayload, signal: AbortSignal): Promise<void> {
      const { batch } = payload;
      const { partition } = batch;
      const heartbeat = (): Promise<void> => payload.heartbeat();
      const over = (): boolean => signal.aborted || !payload.isRunning() || payload.isStale();
      for (let begin = 0; begin < batch.messages.length; begin += maxBatch) {
        if (over()) return;
        const part = batch.messages.slice(begin, begin + maxBatch);
        const last = part.at(-1)!.offset;
        const next = BigInt(last) + 1n;
        behind.set(partition, Number(BigInt(batch.highWatermark) - BigInt(part[0]!.offset)));
        const messages = part.map(fromKafka);
        if (commit === 'before') {
          await consumer.commitOffsets([{ topic: batch.topic, partition, offset: next.toString() }]);
          if (over()) return; // kafkajs commits nothing, without an error, once it is stopping
          payload.resolveOffset(last);
          await attend(handle(messages), heartbeat, heartbeatMs).catch(failed);
        } else {
          const beat = await repeat(messages, heartbeat, over, signal);
          if (beat === 'over') return;
          payload.resolveOffset(last);
          // Sent before the next heartbeat, so before this member can lose its part; the next messages need not wait for the
          // answer. One that fails is made good by the next one, and what comes again is known by its ids.
          const committed = payload.commitOffsetsIfNecessary(payload.uncommittedOffsets()).catch((error: unknown) => logger.warn({ err: error, groupId }, 'Kafka did not take how far a consumer is; it is told again'));
          if (beat instanceof Error || over()) await committed;
          if (beat instanceof Error) throw beat; // the group is being divided anew: kafkajs joins again
        }
        behind.set(partition, Number(BigInt(batch.highWatermark) - next));
        await heartbeat();
      }
    }

    /** Until the handler has done it. An Error = done, and the group wants its members back. */
    async function repeat(
      messages: readonly RelayMessage[],
      heartbeat: () => Promise<void>,
      over: () => boolean,
      signal: AbortSignal,
    ): Promise<'done' | 'over' | Error> {
      for (let attempt = 1; ; attempt++) {
        try {
          return (await attend(handle(messages), heartbeat, heartbeatMs)) ?? 'done';
        } catch (error) {
          failed(error);
        }
        await pause(fullJitter(attempt), signal);
        if (over()) return 'over';
        await heartbeat();
      }
    }

    function failed(error: unknown): void {
      failures.inc({ topic, group });
      logger.warn({ err: error, topic, group }, 'relay handler failed');
    }

    const lifecycle = component(
      async () => {
        stopped = new AbortController();
        const { signal } = stopped;
        await new Promise<void>((resolve) => {
          const timeout = setTimeout(resolve, startTimeoutMs);
          ended = run(signal, () => (clearTimeout(timeout), resolve()));
        });
      },
      async () => {
        stopped.abort();
        await ended;
      },
    );
    const consumer = {
      ...lifecycle,
      running: () => joined || ended === undefined || stopped.signal.aborted,
      lag: () => (joined ? [...behind.values()].reduce((sum, count) => sum + count, 0) : undefined),
    };
    consumers.push(consumer);
    return consumer;
  }

  const lifecycle = component(
    async () => {
      stopping = new AbortController();
      const connecting = Promise.all(allLanes.map((lane) => lane.connect(stopping.signal)));
      await Promise.race([connecting, pause(startTimeoutMs, stopping.signal)]);
    },
    async () => {
      await Promise.all(consumers.map((consumer) => consumer.stop()));
      stopping.abort();
      await Promise.all(allLanes.map((lane) => lane.close()));
    },
  );

  return {
    ...lifecycle,
    publish: (topic, messages, options) => (options?.apart === true && topic === 'device-reports' ? apart : lanes.get(topic)!).publish(messages),
    consume,
    health() {
      const idle = consumers.filter((consumer) => !consumer.running()).length;
      if (trouble !== undefined || !allLanes.every((lane) => lane.connected())) return { healthy: false, detail: trouble ?? 'not connected' };
      if (idle > 0) return { healthy: false, detail: `${idle} of ${consumers.length} consumers have not joined their group` };
      return { healthy: true, detail: `connected, ${allLanes.reduce((sum, lane) => sum + lane.queued(), 0)} messages waiting` };
    },
  };
}

/** Creates the topics that are missing; for set-up and development. An existing topic is left as it is. */
export async function ensureKafkaTopics(
  options: KafkaRelayOptions,
  { partitions, replicationFactor = -1 }: { readonly partitions: number; readonly replicationFactor?: number },
): Promise<readonly string[]> {
  const admin = createKafka(options).admin();
  await admin.connect();
  try {
    const known = new Set(await admin.listTopics());
    const missing = relayTopics.map((topic) => (options.topicPrefix ?? '') + topic).filter((topic) => !known.has(topic));
    if (missing.length > 0) {
      await admin.createTopics({ topics: missing.map((topic) => ({ topic, numPartitions: partitions, replicationFactor })), waitForLeaders: true });
    }
    return missing;
  } finally {
    await admin.disconnect();
  }
}

function createKafka({ brokers, clientId, tls, sasl, logger = silentLogger }: KafkaRelayOptions): Kafka {
  withoutBusyTimer();
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: 5_000,
    authenticationTimeout: 10_000,
    requestTimeout: 15_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5 },
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...rest } = entry.log;
      logger.debug({ kafka: rest }, message);
    },
    ...(tls === undefined ? {} : { ssl: tls }),
    // kafkajs has one type per mechanism; their shapes are the same
    ...(sasl === undefined ? {} : { sasl: sasl as NonNullable<KafkaConfig['sasl']> }),
  };
  return new Kafka(config);
}

/**
 * Waits for the handler, with heartbeats meanwhile, so that a long one does not lose its partitions. Resolves with the
 * heartbeat's error (the group is being divided anew), rejects with the handler's.
 */
async function attend(work: Promise<void>, heartbeat: () => Promise<void>, heartbeatMs: number): Promise<Error | undefined> {
  let lost: Error | undefined;
  const timer = setInterval(() => {
    heartbeat().catch((error: Error) => (lost = error));
  }, heartbeatMs);
  try {
    await work;
    return lost;
  } finally {
    clearInterval(timer);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function fromKafka({ key, value, headers }: KafkaMessage): RelayMessage {
  return { key: key?.toString() ?? '', value: value ?? Buffer.alloc(0), headers: plainHeaders(headers) };
}

function plainHeaders(headers: IHeaders | undefined): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) plain[name] = first.toString();
  }
  return plain;
}

interface RequestQueue {
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

/**
 * kafkajs 2.2.4 sets a timer after every answer even with nothing to send, with a negative delay where the cluster does
 * not throttle: Node 24 warns of it, and it makes a loop of 1 ms. Here the timer is set only when something waits.
 */
function withoutBusyTimer(): void {
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as { readonly prototype: RequestQueue };
  prototype.scheduleCheckPendingRequests = function schedule() {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
    const throttledMs = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttledMs > 0 ? throttledMs : 10,
    );
  };
}
