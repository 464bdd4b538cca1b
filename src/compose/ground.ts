import { migrations } from '../../migrations/index.ts';
import type { HealthPart, PartHealth } from '../api/ports.ts';
import { checkLogIdentity, ensureLogIdentity } from '../projections/log-identity.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import { instant, systemClock, type Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import { createPostgresEventStore } from '../platform/event-store/postgres.ts';
import type { Component, Stack } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { Metrics } from '../platform/metrics.ts';
import type { EmbeddedBrokerLimits } from '../platform/mqtt/embedded-broker.ts';
import { createDatabase, isTransient, type Database } from '../platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../platform/postgres/embedded.ts';
import { migrate } from '../platform/postgres/migrate.ts';
import { createInProcessRelay } from '../platform/relay/in-process.ts';
import type { Relay } from '../platform/relay/port.ts';
import { noTracing, tracedRelay, tracedStore, type Tracing } from '../platform/tracing.ts';

/** Of the parts that have connections of their own (about 40 with every role), and of commands beside a server whose pools are full. */
const CONNECTIONS_BESIDES = 80;

/** Those that the roles of this process need (`secretsOf`); the others are undefined. */
export interface Secrets {
  readonly secretKey: string | undefined;
  /** 32 bytes. */
  readonly dataKeyMaster: Buffer | undefined;
  /** 32 bytes, an Ed25519 seed. */
  readonly auditSigningKey: Buffer | undefined;
}

export interface ComposeOptions {
  readonly config: Config;
  readonly secrets: Secrets;
  readonly version: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Tests and benchmarks raise them; otherwise they are the protocol's. */
  readonly brokerLimits?: Partial<EmbeddedBrokerLimits>;
  /** Tests send spans sooner. */
  readonly traceDelayMs?: number;
  /** Read models that do not fit the log do not stop this start: it is there to build them anew. */
  readonly mending?: boolean;
  /** What came up, for a person who waits. */
  readonly onStep?: (step: StartStep) => void;
  /** What does not answer yet, and why; told once. */
  readonly onWait?: (engine: string, reason: string) => void;
}

export interface StartStep {
  readonly name: 'event store' | 'read models' | 'relay' | 'device broker' | 'mail';
  readonly detail: string;
}

/** An engine may come up after this process, as after a power cut: it is waited for. */
const ENGINE_WAIT_MS = 30_000;

/** What every role of a process stands on. */
export interface Ground {
  readonly options: ComposeOptions;
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Of the database that holds the read models, the vault and, embedded, the log. */
  readonly url: string;
  readonly store: EventStore;
  readonly logId: string;
  readonly relay: Relay;
  readonly tracing: Tracing;
  /** A pool of its own, closed with the rest. */
  database(name: string, max: number): Database;
  /** Starts a part and remembers to stop it. */
  start<T extends Component>(name: string, part: T): Promise<T>;
  /** Remembers to stop what needs no start. */
  keep<T extends Pick<Component, 'stop'>>(name: string, part: T): T;
  readonly health: Map<HealthPart, () => PartHealth | Promise<PartHealth>>;
}

export async function openGround(options: ComposeOptions, parts: Stack): Promise<Ground> {
  const { config, logger, version, clock = systemClock, onStep } = options;
  const metrics = new Metrics();
  metrics.measureProcess();
  const health: Ground['health'] = new Map();
  const start = async <T extends Component>(name: string, part: T): Promise<T> => {
    parts.add(name, part);
    await part.start();
    return part;
  };

  // First, so that it is closed last: the spans of the stop are sent too.
  const tracing = await openTracing();
  const url = await openPostgres();
  const { applied, total } = await waitedFor('PostgreSQL', isTransient, () => migrate({ url, migrations, programVersion: version, logger }));
  const database = (name: string, max: number) =>
    parts.add(name, createDatabase({ url, max, applicationName: name, logger, metrics }));

  const opened = await start('event store', await openStore());
  const store = tracing.on ? tracedStore(opened, tracing) : opened;
  const logId = await ensureLogIdentity(store, version, () => instant(clock.now()));
  health.set('event_store', () => answering(() => store.head()));
  const head = await store.head();
  onStep?.({ name: 'event store', detail: `${config.eventStoreUrl === undefined ? 'embedded' : 'EventStoreDB'}, log ${logId.slice(0, 8)}, at ${head ?? 0n}` });

  const control = database('loqey-control', 2);
  if (options.mending !== true) await checkLogIdentity(control, store, logId);
  health.set('database', () => answering(() => control.pool.query('SELECT 1')));
  onStep?.({
    name: 'read models',
    detail: `${config.databaseUrl === undefined ? 'embedded PostgreSQL' : 'PostgreSQL'}, ${applied.length === 0 ? `${total} migrations in place` : `${applied.length} migrations applied`}`,
  });

  const plainRelay = await start('relay', await openRelay());
  const relay = tracing.on ? tracedRelay(plainRelay, tracing) : plainRelay;
  health.set('relay', () => stateOf(relay.health()));
  onStep?.({ name: 'relay', detail: config.kafkaBrokers === undefined ? 'in this process' : `Kafka at ${config.kafkaBrokers.join(', ')}` });

  return { options, config, clock, logger, metrics, url, store, logId, relay, tracing, database, start, keep: (name, part) => parts.add(name, part), health };

  async function waitedFor<T>(engine: string, isWorthWaiting: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + ENGINE_WAIT_MS;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!isWorthWaiting(error) || performance.now() > deadline) throw error;
        logger.warn({ engine, err: error }, 'An engine does not answer yet; waiting for it');
        if (attempt === 0) options.onWait?.(engine, (error as Error).message);
        await pause(fullJitter(attempt, { baseMs: 200, capMs: 1_000 }));
      }
    }
  }

  /** Its packages weigh 26 MB and a quarter of a second: only where a collector is named. */
  async function openTracing(): Promise<Tracing> {
    const { otlpEndpoint: endpoint, otlpHeaders: headers, otelServiceName: serviceName, traceRatio: ratio, environment } = config;
    if (endpoint === undefined) return noTracing;
    const { createOtelTracing } = await import('../platform/tracing-otel.ts');
    const delayMs = options.traceDelayMs;
    const otel = createOtelTracing({ endpoint, headers: headers ?? {}, serviceName, version, ratio, environment, logger, metrics, ...(delayMs === undefined ? {} : { delayMs }) });
    parts.add('tracing', otel);
    return otel;
  }

  async function openPostgres(): Promise<string> {
    if (config.databaseUrl !== undefined) return config.databaseUrl;
    const server = createEmbeddedPostgres({ dataDir: config.dataDir, logger, settings: { max_connections: `${config.databasePoolSize + CONNECTIONS_BESIDES}` } });
    parts.add('postgres', server);
    return server.start();
  }

  // The clients of the real engines are loaded where they are used: gRPC alone is tens of megabytes.
  async function openStore(): Promise<EventStore> {
    // On the database in the data folder there is one process, and now and then a command of the shell.
    if (config.eventStoreUrl === undefined) return createPostgresEventStore({ url, soleWriter: config.databaseUrl === undefined, logger, metrics });
    const { createEventStoreDb } = await import('../platform/event-store/eventstoredb.ts');
    return createEventStoreDb({ connectionString: config.eventStoreUrl, logger, metrics });
  }

  async function openRelay(): Promise<Relay> {
    if (config.kafkaBrokers === undefined) return createInProcessRelay({ logger, metrics });
    const { createKafkaRelay, ensureKafkaTopics } = await import('../platform/relay/kafka.ts');
    const { kafkaBrokers: brokers, kafkaClientId: clientId, kafkaTls: tls, kafkaUsername: username, kafkaPassword: password = '' } = config;
    const sasl = username === undefined ? {} : { sasl: { mechanism: config.kafkaSaslMechanism, username, password } };
    const relayOptions = { brokers, clientId, tls, ...sasl, fetchWaitMs: config.kafkaFetchWaitMs, sessionTimeoutMs: config.kafkaSessionSeconds * 1_000, logger, metrics };
    const topics = { partitions: config.kafkaPartitions, replicationFactor: config.kafkaReplication };
    await waitedFor('Kafka', (error) => (error as Error).name !== 'KafkaJSSASLAuthenticationError', () => ensureKafkaTopics(relayOptions, topics));
    return createKafkaRelay(relayOptions);
  }
}

export function stateOf({ healthy, detail }: { readonly healthy: boolean; readonly detail: string }): PartHealth {
  return { state: healthy ? 'healthy' : 'down', detail };
}

const ANSWER_MS = 2_000;

/** Healthy when it answers within two seconds. */
async function answering(ask: () => Promise<unknown>): Promise<PartHealth> {
  const since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
    });
    await Promise.race([ask(), late]);
    return { state: 'healthy', detail: `answered in ${Math.round(performance.now() - since)} ms` };
  } catch (error) {
    return { state: 'down', detail: (error as Error).message };
  } finally {
    clearTimeout(timer);
  }
}
