import { execFile, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { ensureKafkaTopics, relayTopics } from '../../src/platform/relay/kafka.ts';

export interface KafkaServer {
  readonly brokers: readonly string[];
  /** The three relay topics under a prefix of their own, each with `partitions`. */
  createTopics(topicPrefix: string, partitions: number): Promise<void>;
  /** The broker stops accepting and answering; undefined where it is not ours to stop. */
  readonly down: (() => Promise<void>) | undefined;
  readonly up: (() => Promise<void>) | undefined;
  /** Each of its answers takes so much longer. */
  readonly slow: ((milliseconds: number) => Promise<void>) | undefined;
  stop(): Promise<void>;
}

const headers = ['/usr/include/librdkafka/rdkafka_mock.h', '/usr/local/include/librdkafka/rdkafka_mock.h', '/opt/homebrew/include/librdkafka/rdkafka_mock.h'];
const compilers = ['/usr/bin/cc', '/usr/local/bin/cc'];

/** Why there is no Kafka here, or nothing. */
export function kafkaMissing(): string | undefined {
  if (process.env['TEST_KAFKA_BROKERS'] !== undefined) return undefined;
  if (!compilers.some(existsSync)) return 'TEST_KAFKA_BROKERS is not set, and there is no cc for the mock cluster';
  if (!headers.some(existsSync)) return 'TEST_KAFKA_BROKERS is not set, and there is no librdkafka-dev for the mock cluster';
  return undefined;
}

/** The cluster of TEST_KAFKA_BROKERS where set, else librdkafka's mock cluster: Kafka's protocol, in memory. */
export async function startKafka(): Promise<KafkaServer> {
  const external = process.env['TEST_KAFKA_BROKERS'];
  if (external !== undefined) {
    const brokers = external.split(',');
    return {
      brokers,
      async createTopics(topicPrefix, partitions) {
        await ensureKafkaTopics({ brokers, clientId: 'test', topicPrefix }, { partitions });
      },
      down: undefined,
      up: undefined,
      slow: undefined,
      stop: async () => undefined,
    };
  }
  const missing = kafkaMissing();
  if (missing !== undefined) throw new Error(`Kafka cannot be started here: ${missing}`);
  const folder = await mkdtemp(join(tmpdir(), 'loqey-kafka-'));
  const program = join(folder, 'kafka-mock');
  const source = new URL('./kafka-mock/kafka-mock.c', import.meta.url).pathname;
  await promisify(execFile)('cc', ['-O1', '-o', program, source, '-lrdkafka']);
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('The mock cluster ended');
    return value;
  };
  const tell = async (command: string): Promise<void> => {
    child.stdin.write(`${command}\n`);
    await said();
  };
  // The program ends with its stdin, so with this process too; what is left is its folder.
  const onExit = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', onExit);
  const brokers = (await said()).split(',');
  return {
    brokers,
    async createTopics(topicPrefix, partitions) {
      for (const topic of relayTopics) await tell(`create ${topicPrefix}${topic} ${partitions}`);
    },
    down: () => tell('down'),
    up: () => tell('up'),
    slow: (milliseconds) => tell(`slow ${milliseconds}`),
    async stop() {
      process.off('exit', onExit);
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
