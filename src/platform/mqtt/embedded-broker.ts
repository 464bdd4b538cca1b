import type { Socket } from 'node:net';
import type { AuthenticateError, Client, PublishPacket } from 'aedes';
import { fullJitter, pause } from '../backoff.ts';
import { systemClock, type Clock } from '../clock.ts';
import { component } from '../lifecycle.ts';
import { silentLogger, type Logger } from '../logger.ts';
import { Metrics } from '../metrics.ts';
import { tokenBuckets } from '../token-buckets.ts';
import { examine, provenBy, type Admitted, type ConnectRefusal, type Introduction } from './admission.ts';
import { GuardedConnection } from './framing-guard.ts';
import { createListeners, type Address, type BrokerCertificate, type EmbeddedBrokerTls } from './listeners.ts';
import {
  BrokerUnavailable,
  PublishTimedOut,
  type DeviceBroker,
  type DeviceCredential,
  type PublishAnswer,
  type RefusedByBroker,
  type UplinkMessage,
} from './port.ts';
import { SessionMachine } from './session-only.ts';

export interface EmbeddedBrokerLimits {
  /** Remaining length of a packet from a client that is not let in yet; four times that in all. */
  readonly maxConnectBytes: number;
  /** Remaining length of any packet; beyond it the connection ends. */
  readonly maxPacketBytes: number;
  /** Payload of a publication; beyond it the message is dropped and counted. */
  readonly maxPayloadBytes: number;
  /** Per device, on average and at once; beyond it messages are dropped and counted. `Infinity` = no limit. */
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxStrangersPerAddress: number;
  /** Longest keepalive a client may ask for; 0 (none) is refused. */
  readonly keepaliveSeconds: number;
  /** From accept to CONNECT, TLS handshake included twice at most. */
  readonly connectTimeoutMs: number;
  /** How long a client may leave its socket full. */
  readonly drainTimeoutMs: number;
  /** A handler that makes no progress for this long ends the connection, so that the device sends again. */
  readonly handlerTimeoutMs: number;
  /** How long `stop` waits for handlers in flight. */
  readonly stopTimeoutMs: number;
}

const defaultLimits: EmbeddedBrokerLimits = {
  maxConnectBytes: 4_096,
  maxPacketBytes: 65_536,
  maxPayloadBytes: 4_096,
  messagesPerSecond: 5,
  messageBurst: 30,
  maxConnectionsPerAddress: 10_000,
  maxStrangersPerAddress: 1_000,
  keepaliveSeconds: 120,
  connectTimeoutMs: 10_000,
  drainTimeoutMs: 15_000,
  handlerTimeoutMs: 20_000,
  stopTimeoutMs: 5_000,
};

export interface EmbeddedBrokerOptions {
  readonly host: string;
  /** Without TLS. 0 = any free one; undefined: not without TLS. */
  readonly port: number | undefined;
  /** What the vault knows of this username now. Asked at each connect. */
  readonly authenticate: (username: string) => Promise<DeviceCredential | undefined>;
  /** Seconds between two signs of life that this device may ask for, where that is less than what all may. Asked at each connect. */
  readonly keepaliveOf?: (username: string) => Promise<number | undefined>;
  readonly tls?: EmbeddedBrokerTls;
  readonly limits?: Partial<EmbeddedBrokerLimits>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
}

export interface EmbeddedBroker extends DeviceBroker {
  /** Where it listens without TLS, or with TLS alone. Throws before `start`. */
  address(): Address;
  /** Throws where there is no TLS, and before `start`. */
  tlsAddress(): Address;
  /** For connections from now on. @throws when key and certificate do not fit; the old ones stay in use */
  renewCertificate(certificate: BrokerCertificate): void;
}

/** One device's connection after it was let in. */
interface Session {
  readonly username: string;
  readonly clientId: string;
  readonly passwordHash: string;
  readonly client: Client;
  publishTopics: ReadonlySet<string>;
  subscribeTopics: ReadonlySet<string>;
  revoked: boolean;
  /** Messages with the handler, and when the last one began or ended while there were any. */
  pending: number;
  progressAt: number;
}

class Connection extends GuardedConnection {
  session: Session | undefined;
  introduction: Introduction | undefined;
  certificateName: string | undefined;
}

type Told = { readonly [K in keyof Omit<RefusedByBroker, 'receivedAt'>]?: RefusedByBroker[K] | undefined } & Pick<RefusedByBroker, 'reason'>;

type DropReason = 'foreign_topic' | 'retained' | 'too_large' | 'rate' | 'revoked' | 'failed';

const NOT_AUTHORIZED = 5;
const SERVER_UNAVAILABLE = 3;
const WILL_ATTEMPTS = 5;
const NOTHING = Buffer.alloc(0);

/**
 * An MQTT 3.1.1 broker in this process, for devices only. aedes speaks the protocol; what becomes of a publication and who gets
 * a command is decided here, where it listens is `listeners.ts`, who may connect `admission.ts`.
 *
 * A publication goes to the uplink handler and nowhere else, and its PUBACK follows the handler: aedes would send it
 * first, so the handler runs in `authorizePublish`. A handler that fails ends the connection without PUBACK, and the
 * device sends again. What a device may not send is acknowledged, dropped and counted (MQTT 3.1.1 has no "no" for it,
 * and closing would make faulty firmware reconnect for ever).
 */
export function createEmbeddedBroker(options: EmbeddedBrokerOptions): EmbeddedBroker {
  const { host, authenticate, logger = silentLogger, metrics = new Metrics(), clock = systemClock } = options;
  const limits: EmbeddedBrokerLimits = { ...defaultLimits, ...options.limits };

  let handler: ((message: UplinkMessage) => Promise<void>) | undefined;
  let onRefused: ((refused: RefusedByBroker) => void) | undefined;
  let machine: SessionMachine | undefined;
  let sweep: NodeJS.Timeout | undefined;
  let stopping = false;
  let inFlight = 0;
  let onIdle: (() => void) | undefined;
  /** Raised by provision and revoke: what a lookup under way finds may be old by then. */
  let credentialsVersion = 0;

  const connections = new Set<Connection>();
  const sessions = new Map<string, Set<Connection>>();
  const subscribers = new Map<string, Set<Connection>>();
  /** Belongs to the device, not to its connection: connecting again refills nothing. */
  const mayPublish = tokenBuckets({ perSecond: limits.messagesPerSecond, burst: limits.messageBurst, clock });

  const connectedGauge = metrics.gauge('loqey_mqtt_connected_devices', 'Devices connected to the embedded broker');
  const refusedCounter = metrics.counter('loqey_mqtt_connects_refused_total', 'Connects the embedded broker refused', ['reason']);
  const endedCounter = metrics.counter('loqey_mqtt_connections_ended_total', 'Connections ended by an error', ['reason']);
  const droppedCounter = metrics.counter('loqey_mqtt_dropped_messages_total', 'Device messages dropped', ['reason']);
  const received = metrics.counter('loqey_mqtt_received_messages_total', 'Device messages taken').labels();

  const listeners = createListeners({
    host,
    port: options.port,
    tls: options.tls,
    limits,
    welcome,
    turnedAway(reason, certificate) {
      endedCounter.inc({ reason });
      if (certificate !== undefined) tellRefused({ reason: 'wrong_certificate', ...certificate });
    },
  });

  // Connections

  function welcome(socket: Socket, transport: Socket, certificateName?: string): void {
    const connection = new Connection(socket, transport, limits);
    connection.certificateName = certificateName;
    connections.add(connection);
    connection.once('close', () => {
      connections.delete(connection);
      if (connection.session !== undefined) forget(connection, connection.session);
    });
    machine!.handle(connection);
  }

  function forget(connection: Connection, session: Session): void {
    const mine = sessions.get(session.username);
    if (mine?.delete(connection) === true && mine.size === 0) sessions.delete(session.username);
    for (const topic of session.subscribeTopics) unsubscribe(connection, topic);
    connectedGauge.set(sessions.size);
  }

  function unsubscribe(connection: Connection, topic: string): void {
    const listening = subscribers.get(topic);
    if (listening?.delete(connection) === true && listening.size === 0) subscribers.delete(topic);
  }

  // Who may connect

  async function letIn(client: Client, username: string | undefined, password: Buffer | undefined): Promise<ConnectRefusal | undefined> {
    const connection = client.conn as Connection;
    const { introduction } = connection;
    if (introduction === undefined || username === undefined || password === undefined) return 'unknown_user';
    const applicant = { username, password, introduction, certificateName: connection.certificateName };
    let admitted: Admitted | ConnectRefusal;
    let longest: number | undefined;
    let version: number;
    do {
      version = credentialsVersion;
      admitted = examine(applicant, await authenticate(username));
      longest = typeof admitted === 'string' ? undefined : await options.keepaliveOf?.(username);
    } while (version !== credentialsVersion);
    if (typeof admitted === 'string') return admitted;
    if (longest !== undefined && (introduction.keepalive === 0 || introduction.keepalive > longest)) return 'long_keepalive';
    if (connection.destroyed || client.closed) return undefined;

    connection.session = {
      username,
      clientId: introduction.clientId,
      passwordHash: admitted.passwordHash,
      client,
      publishTopics: new Set(admitted.credential.publishTopics),
      subscribeTopics: new Set(admitted.credential.subscribeTopics),
      revoked: false,
      pending: 0,
      progressAt: 0,
    };
    connection.markKnown();
    listeners.known(connection.transport);
    let mine = sessions.get(username);
    if (mine === undefined) sessions.set(username, (mine = new Set()));
    mine.add(connection);
    connectedGauge.set(sessions.size);
    return undefined;
  }

  function refusal(reason: ConnectRefusal): AuthenticateError {
    const returnCode = reason === 'lookup_failed' ? SERVER_UNAVAILABLE : NOT_AUTHORIZED;
    return Object.assign(new Error(`refused: ${reason}`), { returnCode }) as AuthenticateError;
  }

  // What becomes of a publication

  function drop(reason: DropReason, session: Session | undefined, packet?: Pick<PublishPacket, 'topic' | 'payload'>): void {
    droppedCounter.inc({ reason });
    logger.debug({ clientId: session?.clientId, reason }, 'device message dropped');
    // A handler that failed has the message refused by nobody: the device sends it again.
    if (reason !== 'failed') tellRefused({ reason, username: session?.username, topic: packet?.topic, payload: packet?.payload as Buffer | undefined });
  }

  function tellRefused({ reason, username, claimed, address, topic, payload = NOTHING }: Told): void {
    onRefused?.({ reason, username, claimed, address, topic, payload, receivedAt: clock.now() });
  }

  /** Why this publication may not pass, or nothing. A will is the device's own last word: no rate, no live session. */
  function objection(session: Session, packet: PublishPacket, isWill: boolean): DropReason | undefined {
    if (session.revoked) return 'revoked';
    if (!isWill && !mayPublish(session.username)) return 'rate';
    if (packet.retain) return 'retained';
    if (!session.publishTopics.has(packet.topic)) return 'foreign_topic';
    if (packet.payload.length > limits.maxPayloadBytes) return 'too_large';
    return undefined;
  }

  function authorizePublish(client: Client | null, packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const connection = client?.conn as Connection | undefined;
    const session = connection?.session;
    if (connection === undefined || session === undefined) {
      drop('foreign_topic', undefined, packet);
      callback(new Error('not a device'));
      return;
    }
    const isWill = packet === connection.introduction?.will;
    const reason = objection(session, packet, isWill);
    if (reason !== undefined) {
      drop(reason, session, packet);
      callback(null);
      return;
    }
    if (stopping) {
      // Neither PUBACK nor error: the connection lives until those in hand are acknowledged, and the device sends this
      // one again later. A will now would call the box gone when it is the server.
      return;
    }
    const message: UplinkMessage = {
      topic: packet.topic,
      payload: packet.payload as Buffer,
      qos: packet.qos,
      retain: false,
      receivedAt: clock.now(),
    };
    if (isWill) {
      void handleWill(message, session).then(() => callback(null));
      return;
    }
    if (session.pending++ === 0) session.progressAt = clock.monotonic();
    inFlight++;
    handler!(message).then(
      () => {
        settled(session);
        received.inc();
        callback(null);
      },
      (error: unknown) => {
        settled(session);
        drop('failed', session);
        callback(message.qos === 0 ? null : new Error('the message could not be taken', { cause: error }));
      },
    );
  }

  function settled(session: Session): void {
    session.pending--;
    session.progressAt = clock.monotonic();
    if (--inFlight === 0) onIdle?.();
  }

  /** Nobody sends a will again, so its handler gets a few tries. */
  async function handleWill(message: UplinkMessage, session: Session): Promise<void> {
    inFlight++;
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await handler!(message);
          received.inc();
          return;
        } catch {
          if (attempt === WILL_ATTEMPTS || stopping) return drop('failed', session);
        }
        await pause(fullJitter(attempt));
      }
    } finally {
      if (--inFlight === 0) onIdle?.();
    }
  }

  // Lifecycle

  async function start(): Promise<void> {
    if (handler === undefined) throw new Error('The broker has no uplink handler: set it before start');
    stopping = false;
    const aedes = new SessionMachine({
      concurrency: 1_000,
      connectTimeout: limits.connectTimeoutMs,
      drainTimeout: limits.drainTimeoutMs,
      keepaliveLimit: limits.keepaliveSeconds,
      maxTopicLevels: 8,
      maxClientsIdLength: 64,
      maxInflightInbound: 0,
      preConnect(client, packet, callback) {
        packet.clean = true; // a stored session would keep commands for later
        const { will } = packet;
        (client.conn as Connection).introduction = {
          clientId: packet.clientId,
          will,
          willTopic: will?.topic,
          willRetain: will?.retain === true,
          keepalive: packet.keepalive ?? 0,
        };
        callback(null, true);
      },
      authenticate(client, username, password, done) {
        void letIn(client, username, password)
          .catch((error: unknown): ConnectRefusal => {
            logger.error({ err: error }, 'device credentials cannot be looked up');
            return 'lookup_failed';
          })
          .then((reason) => {
            if (reason === undefined) return done(null, true);
            refusedCounter.inc({ reason });
            const { introduction, transport } = client.conn as Connection;
            const address = transport.remoteAddress;
            logger.info({ reason, address }, 'device connect refused');
            // Only the password proves who it is; the reasons that are found after it concern a box of ours.
            const known = provenBy.has(reason) ? username : undefined;
            if (reason !== 'lookup_failed') tellRefused({ reason, username: known, claimed: username ?? introduction?.clientId, address, topic: introduction?.willTopic });
            done(refusal(reason), null);
          });
      },
      authorizePublish,
      authorizeSubscribe(client, subscription, callback) {
        const { session } = client.conn as Connection;
        const allowed = session?.subscribeTopics.has(subscription.topic) === true;
        if (!allowed) tellRefused({ reason: 'foreign_subscription', username: session?.username, topic: subscription.topic });
        callback(null, allowed ? subscription : null); // null = SUBACK 0x80
      },
      authorizeForward(client, packet) {
        const allowed = (client.conn as Connection).session?.subscribeTopics.has(packet.topic) === true;
        return allowed && !packet.retain ? packet : null;
      },
    });
    aedes.on('subscribe', (subscriptions, client) => {
      const connection = client.conn as Connection;
      if (connection.destroyed) return;
      for (const { topic } of subscriptions) {
        if (connection.session?.subscribeTopics.has(topic) !== true) continue;
        let listening = subscribers.get(topic);
        if (listening === undefined) subscribers.set(topic, (listening = new Set()));
        listening.add(connection);
      }
    });
    aedes.on('unsubscribe', (topics, client) => {
      for (const topic of topics) unsubscribe(client.conn as Connection, topic);
    });
    for (const event of ['clientError', 'connectionError'] as const) {
      aedes.on(event, (client, error) => {
        endedCounter.inc({ reason: error.name === 'FramingViolation' ? 'framing' : 'error' });
        logger.debug({ clientId: client.id, reason: error.message }, 'device connection ended');
      });
    }
    (aedes as NodeJS.EventEmitter).on('error', (error) => logger.error({ err: error }, 'embedded broker'));
    await aedes.listen();
    machine = aedes;
    try {
      await listeners.open();
    } catch (error) {
      aedes.close(); // its timers
      throw error;
    }
    sweep = setInterval(endStalled, 1_000);
    sweep.unref();
  }

  /** A handler that hangs must not hang its device too: it reconnects and sends again. */
  function endStalled(): void {
    const now = clock.monotonic();
    for (const connection of connections) {
      const session = connection.session;
      if (session !== undefined && session.pending > 0 && now - session.progressAt > limits.handlerTimeoutMs) {
        connection.destroy(new Error('the message was not taken in time'));
      }
    }
  }

  async function stop(): Promise<void> {
    stopping = true;
    clearInterval(sweep);
    const closed = listeners.close();
    if (inFlight > 0) {
      const idle = new Promise<void>((resolve) => (onIdle = resolve));
      await Promise.race([idle, pause(limits.stopTimeoutMs)]);
      onIdle = undefined;
    }
    await new Promise(setImmediate); // the last PUBACKs leave
    await new Promise<void>((resolve) => (machine === undefined ? resolve() : machine.close(resolve)));
    for (const connection of connections) connection.destroy();
    await closed;
    machine = undefined;
  }

  // The port

  async function publish(
    topic: string,
    payload: Buffer,
    { qos, ttlMs }: { readonly qos: 0 | 1; readonly ttlMs: number },
  ): Promise<PublishAnswer> {
    if (machine === undefined || stopping) throw new BrokerUnavailable('The embedded broker is not running');
    const listening = subscribers.get(topic);
    if (listening === undefined) return { delivered: false };
    const answers = await Promise.all([...listening].map((connection) => deliver(connection, topic, payload, qos, ttlMs)));
    return { delivered: answers.includes(true) ? true : undefined };
  }

  function deliver(connection: Connection, topic: string, payload: Buffer, qos: 0 | 1, ttlMs: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        // Still in our buffer: the box does not read. With the connection the bytes go too, so that they cannot be late.
        connection.destroy(new Error('a command was not taken in time'));
        reject(new PublishTimedOut(`Not taken within ${ttlMs} ms`));
      }, ttlMs);
      connection.session!.client.publish({ cmd: 'publish', topic, payload, qos, retain: false, dup: false }, () => {
        clearTimeout(timeout);
        resolve(!connection.destroyed);
      });
    });
  }

  const lifecycle = component(start, stop);
  return {
    ...lifecycle,
    uplink: {
      onMessage(next) {
        handler = next;
      },
      onRefused(next) {
        onRefused = next;
      },
    },
    downlink: { publish },
    credentials: {
      async provision(credential) {
        credentialsVersion++;
        for (const connection of sessions.get(credential.username) ?? []) {
          const session = connection.session!;
          if (!credential.passwordHashes.includes(session.passwordHash)) {
            connection.destroy(new Error('its password was changed'));
            continue;
          }
          for (const topic of session.subscribeTopics) if (!credential.subscribeTopics.includes(topic)) unsubscribe(connection, topic);
          session.publishTopics = new Set(credential.publishTopics);
          session.subscribeTopics = new Set(credential.subscribeTopics);
        }
      },
      async revoke(deviceId) {
        credentialsVersion++;
        for (const connection of sessions.get(deviceId) ?? []) {
          connection.session!.revoked = true;
          connection.destroy(new Error('its credential was revoked'));
        }
      },
    },
    health() {
      if (machine === undefined || stopping || !listeners.listening) return { healthy: false, detail: 'not listening' };
      return { healthy: true, detail: `${sessions.size} devices connected`, connectedDevices: sessions.size };
    },
    address: listeners.address,
    tlsAddress: listeners.tlsAddress,
    renewCertificate: listeners.renewCertificate,
  };
}
