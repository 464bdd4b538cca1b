import { generate } from 'mqtt-packet';
import { pause } from '../backoff.ts';
import { systemClock, type Clock } from '../clock.ts';
import { component } from '../lifecycle.ts';
import { silentLogger, type Logger } from '../logger.ts';
import { Metrics } from '../metrics.ts';
import { createConnection, type BrokerLogin, type Connection, type ConnectionOptions } from './connection.ts';
import {
  BrokerUnavailable,
  PublishTimedOut,
  type CredentialRegistry,
  type DeviceBroker,
  type Downlink,
  type PublishAnswer,
  type UplinkMessage,
} from './port.ts';

export interface ClientBrokerOptions extends Pick<ConnectionOptions, 'url' | 'tls' | 'keepaliveSeconds' | 'timeoutMs'> {
  /** Subscribes to `filters` and may publish nothing. */
  readonly uplink: BrokerLogin;
  /** Publishes commands and may subscribe to nothing. */
  readonly downlink: BrokerLogin;
  /** What the uplink subscribes to. With `$share/<group>/…` several bridges split the load. */
  readonly filters: readonly string[];
  /** Who tells the broker about devices; without one `credentials` rejects. */
  readonly credentials?: CredentialRegistry;
  /** Messages with the handler at once. Default 1,000. */
  readonly maxInHand?: number;
  /** How long `start` waits for the first connection before it goes on trying in the background. Default 5,000. */
  readonly startTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
}

/** How long the broker keeps reports for an uplink that is away. */
const KEPT_SECONDS = 3_600;
/**
 * Of a shared group the broker goes on giving an absent member its part, so the absence must end soon: long enough for a
 * broken connection, too short for a dead bridge to hold back half of the reports.
 */
const KEPT_SECONDS_SHARED = 30;

/**
 * An external broker as seen from the bridge: two connections with two identities, so that neither a flood of reports
 * can delay a command nor one stolen password do both.
 */
export function createClientBroker(options: ClientBrokerOptions): DeviceBroker {
  const { logger = silentLogger, startTimeoutMs = 5_000 } = options;
  const up = createUplink(options);
  const down = createDownlink(options);

  const lifecycle = component(
    async () => {
      up.open();
      down.connection.open();
      const deadline = AbortSignal.timeout(startTimeoutMs);
      await Promise.all([up.ready(deadline), connected(down.connection, deadline)]);
      if (!health().healthy) logger.warn({ reason: health().detail }, 'the MQTT broker does not answer yet: going on trying');
    },
    async () => {
      await Promise.all([up.close(), down.connection.close()]);
    },
  );

  function health(): { healthy: boolean; detail: string } {
    const uplink = up.trouble();
    const downlink = down.connection.client.connected ? undefined : (down.connection.lastError() ?? 'not connected');
    if (uplink === undefined && downlink === undefined) return { healthy: true, detail: `connected, MQTT ${down.connection.version() === 5 ? '5' : '3.1.1'}` };
    return { healthy: false, detail: `uplink: ${uplink ?? 'connected'}, downlink: ${downlink ?? 'connected'}` };
  }

  return {
    ...lifecycle,
    uplink: up.port,
    downlink: down.port,
    credentials: options.credentials ?? withoutRegistry,
    health,
  };
}

const withoutRegistry: CredentialRegistry = {
  provision: () => Promise.reject(new BrokerUnavailable('This process has no identity to provision devices at the broker')),
  revoke: () => Promise.reject(new BrokerUnavailable('This process has no identity to provision devices at the broker')),
};

async function connected({ client }: Connection, signal: AbortSignal): Promise<void> {
  if (client.connected) return;
  await new Promise<void>((resolve) => {
    client.once('connect', () => resolve());
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function createUplink(options: ClientBrokerOptions) {
  const { filters, maxInHand = 1_000, stopTimeoutMs = 5_000, logger = silentLogger, metrics = new Metrics(), clock = systemClock } = options;
  const shared = filters.some((filter) => filter.startsWith('$share/'));
  const connection = createConnection({
    ...options,
    login: options.uplink,
    sessionExpirySeconds: shared ? KEPT_SECONDS_SHARED : KEPT_SECONDS,
    receiveMaximum: maxInHand,
    logger,
  });
  const { client } = connection;
  const failed = metrics.counter('loqey_mqtt_uplink_failures_total', 'Reports the uplink could not hand on; the broker sends them again');
  const inHandGauge = metrics.gauge('loqey_mqtt_uplink_in_hand', 'Reports with the uplink handler');

  /** Unacknowledged messages of the present connection, in the order they came. */
  let unacknowledged: { readonly messageId: number; done: boolean }[] = [];
  let inHand = 0;
  let held: (() => void) | undefined;
  let onIdle: (() => void) | undefined;
  let onSubscribed: (() => void) | undefined;
  let stopping = false;
  let subscribed = false;
  let subscribeError: string | undefined;
  let handler: ((message: UplinkMessage) => Promise<void>) | undefined;

  // mqtt.js gives one message at a time and sends its PUBACK when called back: one message per round trip to the relay.
  // So it is called back at once with an error, which means "no PUBACK from you", and the PUBACK is sent here when the
  // message is durable, in the order the messages came [MQTT-4.6.0-2].
  client.handleMessage = (packet, next) => {
    if (stopping) return; // unacknowledged: it comes again, here or to another bridge
    const { stream } = client;
    const acknowledged = packet.qos === 0 ? undefined : { messageId: packet.messageId ?? 0, done: false };
    if (acknowledged !== undefined) unacknowledged.push(acknowledged);
    inHandGauge.set(++inHand);
    const message: UplinkMessage = {
      topic: packet.topic.toString(),
      payload: packet.payload as Buffer,
      qos: packet.qos,
      retain: packet.retain,
      receivedAt: clock.now(),
    };
    handler!(message)
      .then(
        () => {
          if (acknowledged !== undefined) acknowledged.done = true;
          if (client.stream === stream) acknowledgeInOrder();
        },
        (error: unknown) => {
          failed.inc();
          logger.warn({ err: error }, 'a report could not be handed on: connecting again to get it again');
          if (packet.qos !== 0 && client.stream === stream) connection.reset();
        },
      )
      .finally(() => {
        inHandGauge.set(--inHand);
        if (inHand === 0) onIdle?.();
        if (inHand < maxInHand) release();
      });
    if (inHand >= maxInHand) held = () => next(new Error('acknowledged when it is durable'));
    else next(packet.qos === 0 ? undefined : new Error('acknowledged when it is durable'));
  };

  function release(): void {
    const next = held;
    held = undefined;
    next?.();
  }

  function acknowledgeInOrder(): void {
    const protocolVersion = connection.version();
    while (unacknowledged[0]?.done === true) {
      const { messageId } = unacknowledged.shift()!;
      client.stream.write(generate({ cmd: 'puback', messageId, reasonCode: 0 }, { protocolVersion }));
    }
  }

  client.on('close', () => {
    unacknowledged = [];
    held = undefined;
    subscribed = false;
  });

  client.on('connect', () => {
    // Also when the session was kept: it costs one packet, and a subscription that went missing comes back.
    client.subscribe([...filters], { qos: 1 }, (error, _requested, answer) => {
      const codes = answer?.granted ?? [];
      const refused = filters.filter((_filter, index) => typeof codes[index] !== 'number' || codes[index] > 2);
      if (error === null && refused.length === 0) {
        subscribed = true;
        subscribeError = undefined;
        onSubscribed?.();
        return;
      }
      subscribeError = `subscription refused: ${refused.join(', ')}`;
      logger.error({ err: error, refused }, 'the MQTT broker refused the uplink its subscriptions: check its role');
      connection.reset();
    });
  });

  return {
    port: {
      onMessage(next: (message: UplinkMessage) => Promise<void>) {
        handler = next;
      },
    },
    open() {
      if (handler === undefined) throw new Error('The broker has no uplink handler: set it before start');
      stopping = false;
      connection.open();
    },
    async ready(signal: AbortSignal) {
      if (subscribed) return;
      await new Promise<void>((resolve) => {
        onSubscribed = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    trouble: () => (subscribed ? undefined : (subscribeError ?? connection.lastError() ?? 'not connected')),
    async close() {
      stopping = true;
      if (inHand > 0) await Promise.race([new Promise<void>((resolve) => (onIdle = resolve)), pause(stopTimeoutMs)]);
      // A member of a shared group leaves it, so that the others get everything; alone, the broker keeps what comes.
      await connection.close(!shared);
    },
  };
}

interface InFlight {
  reasonCode: number;
  fail(error: Error): void;
}

function createDownlink(options: ClientBrokerOptions): { connection: Connection; port: Downlink } {
  const connection = createConnection({ ...options, login: options.downlink, logger: options.logger ?? silentLogger });
  const { client } = connection;
  const inFlight = new Map<number, InFlight>();

  // mqtt.js hides reason 16 (nobody is subscribed) behind success; this event comes just before it calls back.
  client.on('packetreceive', (packet) => {
    if (packet.cmd !== 'puback') return;
    const publication = inFlight.get(packet.messageId ?? 0);
    if (publication !== undefined) publication.reasonCode = packet.reasonCode ?? 0;
  });

  // mqtt.js would send what is unanswered again on the next connection, at any age: nothing may be left by then.
  client.prependListener('close', () => {
    for (const publication of inFlight.values()) {
      publication.fail(new PublishTimedOut('The connection ended before the broker answered: it may have the message'));
    }
  });

  function publish(topic: string, payload: Buffer, { qos, ttlMs }: { readonly qos: 0 | 1; readonly ttlMs: number }): Promise<PublishAnswer> {
    if (!client.connected) return Promise.reject(new BrokerUnavailable(`Not connected to the MQTT broker: ${connection.lastError() ?? 'not started'}`));
    return new Promise((resolve, reject) => {
      let messageId: number | undefined;
      const publication: InFlight = {
        reasonCode: 0,
        fail(error) {
          settle();
          reject(error); // before the withdrawal, which calls back with an error of its own
          if (messageId !== undefined) client.removeOutgoingMessage(messageId);
        },
      };
      const timeout = setTimeout(() => {
        publication.fail(new PublishTimedOut(`The broker did not answer within ${ttlMs} ms: it may have the message`));
        // The bytes may be in the kernel's buffer, on a path that comes back later. Reset, they are gone.
        connection.reset();
      }, ttlMs);
      function settle(): void {
        clearTimeout(timeout);
        if (messageId !== undefined && inFlight.get(messageId) === publication) inFlight.delete(messageId);
      }
      const properties = { messageExpiryInterval: Math.max(1, Math.floor(ttlMs / 1_000)) };
      client.publish(topic, payload, { qos, retain: false, ...(connection.version() === 5 ? { properties } : {}) }, (error) => {
        settle();
        if (error instanceof Error) reject(new BrokerUnavailable(`The MQTT broker refused it: ${error.message}`, { cause: error }));
        else resolve({ delivered: qos === 1 && connection.version() === 5 ? publication.reasonCode !== 16 : undefined });
      });
      if (qos === 1) {
        messageId = client.getLastMessageId();
        inFlight.set(messageId, publication);
      }
    });
  }

  return { connection, port: { publish } };
}
