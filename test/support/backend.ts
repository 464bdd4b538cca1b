import { createDispatcher, type Dispatcher } from '../../src/bridge/dispatcher.ts';
import { createDownlink } from '../../src/bridge/downlink.ts';
import { createIngest } from '../../src/bridge/ingest.ts';
import { createKeyring, type Keyring } from '../../src/bridge/keyring.ts';
import { createHttpAdapter, type HttpAdapter } from '../../src/bridge/http-adapter.ts';
import { createLiveDevices, type LiveDevices } from '../../src/bridge/live-devices.ts';
import { createMailbox, type Mailbox } from '../../src/bridge/mailbox.ts';
import { createPresence } from '../../src/bridge/presence.ts';
import { createProvisioner, type DeviceProvisioner } from '../../src/bridge/provisioning.ts';
import type { Profile } from '../../src/bridge/topics.ts';
import { createRejectedMessages, type RejectedMessages } from '../../src/bridge/rejected-messages.ts';
import { connectUplink } from '../../src/bridge/uplink.ts';
import { createCommandBus, type Aggregates } from '../../src/commands/handle.ts';
import type { AnyCommand, CommandContext, CommandOutcome, DeviceRegistration, UnlockService } from '../../src/commands/port.ts';
import { runReactor, type RunningReactor } from '../../src/commands/policies/reactor.ts';
import { createIdempotency } from '../../src/commands/idempotency.ts';
import { createRefusalLog, type RefusalLog } from '../../src/commands/refusals.ts';
import { createRegistration } from '../../src/commands/registration.ts';
import { createSnapshots, type Snapshots } from '../../src/commands/snapshots.ts';
import { createUnlockWatches, type UnlockWatches } from '../../src/commands/unlock-watch.ts';
import { createUnlockService, type UnlockSettings } from '../../src/commands/unlocks.ts';
import type { DomainEvent, Recorded } from '../../src/domain/events.ts';
import { recordedOf } from '../../src/domain/registry.ts';
import { systemClock, type Clock } from '../../src/platform/clock.ts';
import type { EventStore } from '../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { deviceIdOfSerial, newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import type { Downlink, PublishAnswer, UplinkMessage } from '../../src/platform/mqtt/port.ts';
import type { Database } from '../../src/platform/postgres/db.ts';
import { createNotifications } from '../../src/platform/postgres/notifications.ts';
import { createInProcessRelay } from '../../src/platform/relay/in-process.ts';
import type { Relay } from '../../src/platform/relay/port.ts';
import { ensureLogIdentity } from '../../src/projections/log-identity.ts';
import { createDeviceCredentials, type DeviceCredentials } from '../../src/platform/vault/device-credentials.ts';
import { createDeviceKeys, type DeviceKeys as DeviceKeyStore } from '../../src/platform/vault/device-keys.ts';
import { createMasterKey } from '../../src/platform/vault/master-key.ts';
import { createSealer, type Sealer } from '../../src/platform/vault/sealer.ts';
import { createTags } from '../../src/platform/vault/tags.ts';
import type { TestPostgres } from './servers.ts';
import { SimulatedBox } from './simulated-box.ts';

/** A clock that a test moves; it stands still otherwise. */
export class TestClock implements Clock {
  #ms: number;
  /** What an operator did to the wall clock; time itself went on. */
  #stepped = 0;
  constructor(ms = Date.parse('2026-11-21T10:00:00.000Z')) {
    this.#ms = ms;
  }
  now(): number {
    return this.#ms + this.#stepped;
  }
  monotonic(): number {
    return this.#ms;
  }
  advance(ms: number): void {
    this.#ms += ms;
  }
  step(ms: number): void {
    this.#stepped += ms;
  }
}

/** What the broker would have been given. */
export class TestDownlink implements Downlink {
  readonly published: { readonly topic: string; readonly payload: Buffer; readonly qos: 0 | 1; readonly ttlMs: number }[] = [];
  /** What becomes of a publication. */
  answer: (topic: string, payload: Buffer) => Promise<PublishAnswer> | PublishAnswer = () => ({ delivered: true });

  async publish(topic: string, payload: Buffer, { qos, ttlMs }: { readonly qos: 0 | 1; readonly ttlMs: number }): Promise<PublishAnswer> {
    this.published.push({ topic, payload, qos, ttlMs });
    return this.answer(topic, payload);
  }

  /** Bodies of the commands of one action, in order. */
  commands(action: string): readonly Record<string, unknown>[] {
    return this.published.map(({ payload }) => JSON.parse(payload.toString()) as Record<string, unknown>).filter((body) => body['action'] === action);
  }
}

export interface BackendOptions {
  readonly clock?: Clock;
  /** Default: a new pool and a new store on `url`, stopped with the backend. */
  readonly url: string;
  readonly settings?: Partial<UnlockSettings>;
  readonly soleWriter?: boolean;
  readonly allowLevel0?: boolean;
  /** Around the store: failures and delays. */
  readonly store?: (store: EventStore) => EventStore;
  readonly relay?: (relay: Relay) => Relay;
}

/** One process of the system without its edges: no HTTP, no MQTT, no read models. Everything else is the real thing. */
export interface Backend {
  readonly db: Database;
  readonly store: EventStore;
  readonly bus: Aggregates;
  readonly refusals: RefusalLog;
  readonly snapshots: Snapshots;
  readonly watches: UnlockWatches;
  readonly unlocks: UnlockService;
  readonly registration: DeviceRegistration;
  readonly provisioner: DeviceProvisioner;
  readonly credentials: DeviceCredentials;
  readonly deviceKeys: DeviceKeyStore;
  readonly sealer: Sealer;
  readonly live: LiveDevices;
  readonly rejected: RejectedMessages;
  readonly mailbox: Mailbox;
  readonly http: HttpAdapter;
  readonly keyring: Keyring;
  readonly relay: Relay;
  readonly dispatcher: Dispatcher;
  readonly downlink: TestDownlink;
  readonly metrics: Metrics;
  /** As if it had come from the broker; resolves where the broker would send the PUBACK. */
  uplink(topic: string, payload: Buffer, receivedAt?: number): Promise<void>;
  startReactor(): Promise<RunningReactor>;
  execute(command: AnyCommand, context?: Partial<CommandContext>): Promise<CommandOutcome>;
  events(stream: string): Promise<readonly Recorded<DomainEvent>[]>;
  /** The types of a box's events from its assignment on, or all. */
  types(stream: string): Promise<readonly string[]>;
  metric(name: string): Promise<number>;
  /** A box, registered and claimed, its keys in the vault. It has said nothing yet. */
  box(options?: { readonly profile?: Profile; readonly serial?: string; readonly hardwareId?: string }): Promise<SimulatedBox>;
  stop(): Promise<void>;
}

export const masterSecret = Buffer.alloc(32, 7);
export const ada = 'aaaaaaaa-0000-4000-8000-000000000001';

export const asSystem = (): CommandContext => {
  const commandId = newId();
  return { commandId, correlationId: commandId, actor: { kind: 'system', id: 'test' }, source: 'system' };
};

export async function startBackend(server: Pick<TestPostgres, 'connect'>, options: BackendOptions): Promise<Backend> {
  const { url, clock = systemClock } = options;
  const metrics = new Metrics();
  const logger = silentLogger;
  const db = server.connect(url);
  const notifications = createNotifications({ url, applicationName: 'loqey-test-listen', logger });
  const master = createMasterKey(masterSecret);
  const sealer = createSealer({ db, notifications, master, logger, metrics, inAdvance: ['delivery'], reserve: 8 });
  const deviceKeys = createDeviceKeys({ db, notifications, master });
  const credentials = createDeviceCredentials({ db, notifications });
  const tags = createTags(master);
  const plain = createPostgresEventStore({ url, logger, metrics });
  const store = options.store?.(plain) ?? plain;
  const refusals = createRefusalLog({ store, sealer, clock, logger, metrics });
  const snapshots = createSnapshots({ pool: db.pool, logger, metrics });
  const bus = createCommandBus({ store, sealer, refusals, snapshots, clock, metrics });
  const live = createLiveDevices(db, { soleWriter: options.soleWriter ?? true });
  const keyring = createKeyring(deviceKeys);
  const plainRelay = createInProcessRelay({ logger, metrics });
  const relay = options.relay?.(plainRelay) ?? plainRelay;
  const allowLevel0 = options.allowLevel0 ?? true;
  const provisioner = createProvisioner({ keys: deviceKeys, credentials, live, settings: { brokerUrl: () => 'mqtt://broker.test:1883', caPem: undefined } });
  const dispatcher = createDispatcher({ bus, live, keyring, relay, provisioner, allowLevel0, clock, logger, metrics });
  const rejected = createRejectedMessages({ db, logger, metrics, everyMs: 1 });
  const ingest = createIngest({ bus, live, keyring, relay, dispatcher, deviceKeys, provisioner, rejected, clock, logger, metrics });
  const mailbox = createMailbox({ db, notifications, clock });
  const http = createHttpAdapter({ relay, mailbox, live, keyring, credentials, clock, logger, metrics });
  const downlink = new TestDownlink();
  const down = createDownlink({ relay, downlink, clock, logger, metrics });
  const watches = createUnlockWatches({ store, onAppended: bus.onAppended, foreign: undefined, logger });
  const presence = createPresence(live, clock, allowLevel0);
  const settings: UnlockSettings = { ttlMs: 30_000, waitMs: 5_000, level0Deliveries: true, ...options.settings };
  const unlocks = createUnlockService({ bus, watches, presence, refusals, joins: createIdempotency(db.pool).joins, settings, clock, metrics });
  const registration = createRegistration({
    bus,
    provisioner,
    sealer,
    refusals,
    pinTag: tags.pinTag,
    settings: { pinLength: 6, pinExpiryHours: 24, defaultModel: 'LoqeyBox-V1' },
    clock,
  });
  let take: ((message: UplinkMessage) => Promise<void>) | undefined;
  connectUplink({ onMessage: (handler) => (take = handler) }, relay, metrics, clock);
  const reactors: RunningReactor[] = [];

  await notifications.start();
  await sealer.start();
  await store.start();
  await ensureLogIdentity(store, '0.0.0-test', () => new Date(clock.now()).toISOString());
  await refusals.start();
  await snapshots.start();
  await relay.start();
  await ingest.start();
  await down.start();
  await http.start();
  bus.onAppended((events) => dispatcher.hint(events));

  const execute = (command: AnyCommand, context: Partial<CommandContext> = {}) => bus.execute(command, { ...asSystem(), ...context });
  const events = async (stream: string) => {
    const found: Recorded<DomainEvent>[] = [];
    for await (const event of store.readStream(stream)) found.push(recordedOf(event));
    return found;
  };
  const uplink = (topic: string, payload: Buffer, receivedAt = clock.now()) => take!({ topic, payload, qos: 1, retain: false, receivedAt });

  return {
    db,
    store,
    bus,
    refusals,
    snapshots,
    watches,
    unlocks,
    registration,
    provisioner,
    credentials,
    deviceKeys,
    sealer,
    live,
    rejected,
    mailbox,
    http,
    keyring,
    relay,
    dispatcher,
    downlink,
    metrics,
    uplink,
    execute,
    events,
    types: async (stream) => (await events(stream)).map(({ type }) => type),
    async metric(name) {
      const found = metrics.registry.getSingleMetric(name);
      return ((await found?.get())?.values ?? []).reduce((sum, { value }) => sum + value, 0);
    },
    async startReactor() {
      const reactor = runReactor(dispatcher.reactor, { store, pool: db.pool, logId: '11111111-1111-4111-8111-111111111111', clock, logger, metrics });
      await reactor.start();
      reactors.push(reactor);
      return reactor;
    },
    async box({ profile = 'loqey', serial = `LQ-${newId().slice(-12)}`.toUpperCase(), hardwareId } = {}) {
      const registered = await registration.register({ serialNumber: serial, profile, ...(hardwareId === undefined ? {} : { hardwareId }) }, asSystem());
      if (registered.kind === 'refused') throw new Error(registered.refusal.code);
      const deviceId = deviceIdOfSerial(serial);
      const claimed = await execute({ type: 'AssignDevice', data: { deviceId, assignmentId: newId(), userId: ada, pinTag: tags.pinTag(deviceId, registered.pin), name: 'Box' } });
      if (claimed.kind === 'refused') throw new Error(claimed.refusal.code);
      const keys = (await keyring.of(deviceId))!.current;
      return new SimulatedBox({ deviceId, serialNumber: serial, profile, ...(hardwareId === undefined ? {} : { hardwareId }) }, keys, uplink, clock);
    },
    async stop() {
      await Promise.all(reactors.map((reactor) => reactor.stop()));
      await dispatcher.drained();
      await http.stop();
      await down.stop();
      await ingest.stop();
      await rejected.stop();
      await relay.stop();
      await snapshots.stop();
      await refusals.stop();
      await store.stop();
      await sealer.stop();
      await notifications.stop();
      await db.stop();
    },
  };
}
