import { component } from '../lifecycle.ts';
import { silentLogger, type Logger } from '../logger.ts';
import { Metrics } from '../metrics.ts';
import { RelayUnavailable, type ConsumeOptions, type Relay, type RelayConsumer, type RelayMessage, type RelayTopic } from './port.ts';

export interface InProcessRelayOptions {
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** Messages a group may have waiting; beyond it `publish` rejects at once. Default 20,000: 5,000 boxes with all they may have in flight. */
  readonly maxQueued?: number;
  /** How long a publish waits for the handlers before it rejects. Default 30,000. */
  readonly publishTimeoutMs?: number;
}

/** One publish: settled by its last handled message or its first failed one. */
interface Unit {
  pending: number;
  settled: boolean;
  resolve(): void;
  reject(error: Error): void;
}

interface Entry {
  readonly message: RelayMessage;
  readonly unit: Unit;
}

interface Member {
  readonly options: ConsumeOptions;
  readonly inFlight: Set<Promise<void>>;
  running: boolean;
}

interface Group {
  readonly topic: RelayTopic;
  readonly name: string;
  readonly members: Member[];
  /** Keys in the hands of a handler: what else they have waits, so order per key survives concurrency. */
  readonly busyKeys: Set<string>;
  queue: Entry[];
  /** Messages in the hands of handlers. */
  inHand: number;
  /** When each batch in flight began, monotonic milliseconds, oldest first; for health. */
  readonly batchesSince: Set<number>;
  readonly waiting: { set(value: number): void };
}

const STUCK_MS = 10_000;

/**
 * The relay of one process. No message outlives it: `publish` resolves when every group has handled its messages, and
 * rejects when a handler did, so that whoever holds the message durably (the box's outbox, the store's checkpoint)
 * publishes it again. What arrives while a handler is busy makes up the next batch.
 */
export function createInProcessRelay(options: InProcessRelayOptions = {}): Relay {
  const { logger = silentLogger, metrics = new Metrics(), maxQueued = 20_000, publishTimeoutMs = 30_000 } = options;
  const groups = new Map<string, Group>();
  let open = false;

  const failures = metrics.counter('loqey_relay_handler_failures_total', 'Batches that a relay handler rejected', ['topic', 'group']);
  const waiting = metrics.gauge('loqey_relay_waiting_messages', 'Messages waiting for a relay handler', ['topic', 'group']);

  function groupOf(topic: RelayTopic, name: string): Group {
    const id = `${topic}\n${name}`;
    let group = groups.get(id);
    if (group === undefined) {
      group = {
        topic,
        name,
        members: [],
        busyKeys: new Set(),
        queue: [],
        inHand: 0,
        batchesSince: new Set(),
        waiting: waiting.labels(topic, name),
      };
      groups.set(id, group);
    }
    return group;
  }

  function publish(topic: RelayTopic, messages: readonly RelayMessage[]): Promise<void> {
    if (!open) return Promise.reject(new RelayUnavailable('The relay is not running'));
    if (messages.length === 0) return Promise.resolve();
    const readers: Group[] = [];
    for (const group of groups.values()) if (group.topic === topic) readers.push(group);
    if (readers.length === 0) {
      if (topic === 'loqey.events') return Promise.resolve();
      return Promise.reject(new RelayUnavailable(`Nothing here reads ${topic}: the part of the system that does is missing`));
    }
    for (const group of readers) {
      if (!group.members.some((member) => member.running)) {
        return Promise.reject(new RelayUnavailable(`Group ${group.name} of ${topic} is not running`));
      }
      if (group.queue.length + messages.length > maxQueued) {
        return Promise.reject(new RelayUnavailable(`Group ${group.name} of ${topic} has ${group.queue.length} messages waiting`));
      }
    }
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(
        () => unit.reject(new RelayUnavailable(`${topic} was not handled within ${publishTimeoutMs} ms`)),
        publishTimeoutMs,
      );
      const unit: Unit = {
        pending: messages.length * readers.length,
        settled: false,
        resolve() {
          if (unit.settled) return;
          unit.settled = true;
          clearTimeout(timeout);
          resolve();
        },
        reject(error) {
          if (unit.settled) return;
          unit.settled = true;
          clearTimeout(timeout);
          reject(error);
        },
      };
      for (const group of readers) {
        for (const message of messages) group.queue.push({ message, unit });
        dispatch(group);
      }
    });
  }

  function dispatch(group: Group): void {
    for (const member of group.members) {
      while (group.queue.length > 0 && member.running && member.inFlight.size < (member.options.concurrency ?? 1)) {
        const batch = take(group, member.options.maxBatch ?? 500);
        if (batch.length === 0) break;
        const work = run(group, member, batch).finally(() => {
          member.inFlight.delete(work);
          dispatch(group);
        });
        member.inFlight.add(work);
      }
    }
    group.waiting.set(group.queue.length);
  }

  /** The oldest messages whose key is free. Those of a publish that has been answered already are left out. */
  function take(group: Group, maxBatch: number): Entry[] {
    const batch: Entry[] = [];
    const left: Entry[] = [];
    let index = 0;
    for (; index < group.queue.length && batch.length < maxBatch; index++) {
      const entry = group.queue[index]!;
      if (entry.unit.settled) continue;
      (group.busyKeys.has(entry.message.key) ? left : batch).push(entry);
    }
    group.queue = left.length === 0 ? group.queue.slice(index) : left.concat(group.queue.slice(index));
    return batch;
  }

  async function run(group: Group, member: Member, batch: readonly Entry[]): Promise<void> {
    const keys = new Set<string>();
    for (const { message } of batch) keys.add(message.key);
    for (const key of keys) group.busyKeys.add(key);
    const since = performance.now();
    group.batchesSince.add(since);
    group.inHand += batch.length;
    // At most once: taken before it is handled, so that no repeat can follow a failure.
    const before = member.options.commit === 'before';
    if (before) done(batch);
    try {
      await member.options.handle(batch.map((entry) => entry.message));
      if (!before) done(batch);
    } catch (error) {
      failures.inc({ topic: group.topic, group: group.name });
      logger.warn({ err: error, topic: group.topic, group: group.name, messages: batch.length }, 'relay handler failed');
      const reason = new RelayUnavailable(`Group ${group.name} of ${group.topic} could not handle it`, { cause: error });
      if (!before) for (const { unit } of batch) unit.reject(reason);
    } finally {
      group.batchesSince.delete(since);
      group.inHand -= batch.length;
      for (const key of keys) group.busyKeys.delete(key);
    }
  }

  function done(batch: readonly Entry[]): void {
    for (const { unit } of batch) if (--unit.pending === 0) unit.resolve();
  }

  function refuseWaiting(group: Group): void {
    const queue = group.queue;
    group.queue = [];
    for (const { unit } of queue) unit.reject(new RelayUnavailable(`Group ${group.name} of ${group.topic} was stopped`));
  }

  function consume(consumeOptions: ConsumeOptions): RelayConsumer {
    const group = groupOf(consumeOptions.topic, consumeOptions.group);
    const member: Member = { options: consumeOptions, inFlight: new Set(), running: false };
    group.members.push(member);
    const lifecycle = component(
      async () => {
        member.running = true;
        dispatch(group);
      },
      async () => {
        member.running = false;
        if (!group.members.some((other) => other.running)) refuseWaiting(group);
        await Promise.all(member.inFlight);
      },
    );
    return {
      ...lifecycle,
      lag: () => group.queue.length + group.inHand,
    };
  }

  const lifecycle = component(
    async () => {
      open = true;
    },
    async () => {
      open = false;
      for (const group of groups.values()) refuseWaiting(group);
      await Promise.all([...groups.values()].flatMap((group) => group.members.flatMap((member) => [...member.inFlight])));
    },
  );

  return {
    ...lifecycle,
    publish,
    consume,
    health() {
      if (!open) return { healthy: false, detail: 'not running' };
      const now = performance.now();
      for (const group of groups.values()) {
        const [oldest] = group.batchesSince;
        if (oldest !== undefined && now - oldest > STUCK_MS) {
          return { healthy: false, detail: `${group.topic}/${group.name} has been handling one batch for ${Math.round((now - oldest) / 1000)} s` };
        }
      }
      const queued = [...groups.values()].reduce((sum, group) => sum + group.queue.length, 0);
      return { healthy: true, detail: `${queued} messages waiting` };
    },
  };
}
