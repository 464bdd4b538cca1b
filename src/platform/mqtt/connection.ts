import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { MqttClient, type IClientOptions } from 'mqtt';
import { fullJitter, pause } from '../backoff.ts';
import type { Logger } from '../logger.ts';

export interface BrokerLogin {
  /** Fixed and its own: two clients with one id end each other's connection for ever. */
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

export interface BrokerTls {
  /** PEM; default: the system's authorities. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface ConnectionOptions {
  /** `mqtt://host:1883` or `mqtts://host:8883`. */
  readonly url: string;
  readonly login: BrokerLogin;
  /** Asked for at each connect: certificates are renewed while the program runs. */
  readonly tls?: () => BrokerTls;
  /** Seconds between signs of life: by their absence each side notices that the other is gone, after one and a half times as long. Default 15. */
  readonly keepaliveSeconds?: number;
  /** How long the broker may take to let us in. Default 10,000. */
  readonly timeoutMs?: number;
  /** How long the broker keeps the session after the connection, in seconds. 0 = a clean one each time. Default 0. */
  readonly sessionExpirySeconds?: number;
  /** Messages the broker may send before it has an answer (MQTT 5). Default 100. */
  readonly receiveMaximum?: number;
  readonly logger: Logger;
}

/** One mqtt.js client that goes on trying for ever and never keeps a publication for later. */
export interface Connection {
  readonly client: MqttClient;
  /** MQTT 5, or 3.1.1 when the broker said that it has no other. */
  version(): 4 | 5;
  /** Why it is not connected, as far as known. */
  lastError(): string | undefined;
  /** Ends the connection so that nothing unsent is left to be delivered later; the client then connects again. */
  reset(): void;
  open(): void;
  /** Says DISCONNECT where it can. `keepSession` false ends a kept session too. */
  close(keepSession?: boolean): Promise<void>;
}

const STABLE_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** "Unacceptable protocol version" (3.1.1) and "Unsupported Protocol Version" (5). */
const WRONG_VERSION = new Set([1, 132]);

export function createConnection(options: ConnectionOptions): Connection {
  const { url, login, tls, keepaliveSeconds = 15, timeoutMs = 10_000, sessionExpirySeconds = 0, receiveMaximum = 100, logger } = options;
  const { hostname, port, protocol } = new URL(url);
  if (protocol !== 'mqtt:' && protocol !== 'mqtts:') throw new Error(`The broker's URL must begin with mqtt:// or mqtts://, not ${protocol}//`);
  const secure = protocol === 'mqtts:';
  let transport: Socket | undefined;
  let lastError: string | undefined;
  let attempt = 0;
  let stable: NodeJS.Timeout | undefined;

  // Own streams: no Nagle from the first byte (else 44 ms), and under TLS a socket that can be reset.
  function stream(): Socket {
    const tcp = connectTcp({ host: hostname, port: Number(port) || (secure ? 8883 : 1883), noDelay: true, keepAlive: true });
    transport = tcp;
    if (!secure) return tcp;
    tcp.on('error', () => undefined); // handed on by the TLS socket
    try {
      return connectTls({ socket: tcp, host: hostname, ...(isIP(hostname) === 0 ? { servername: hostname } : {}), minVersion: 'TLSv1.2', ...tls?.() });
    } catch (error) {
      // Half of a new certificate is written, or it has another key: the next attempt reads it anew.
      tcp.destroy(error as Error);
      return tcp;
    }
  }

  const settings: IClientOptions = {
    ...login,
    protocolVersion: 5,
    clean: sessionExpirySeconds === 0,
    properties: { sessionExpiryInterval: sessionExpirySeconds, receiveMaximum },
    keepalive: keepaliveSeconds,
    connectTimeout: timeoutMs,
    reconnectPeriod: 1, // set anew before each attempt; 0 would mean never
    reconnectOnConnackError: true,
    resubscribe: false, // the owner subscribes at each connect and reads the answer
    queueQoSZero: false,
    manualConnect: true,
  };
  const client = new MqttClient(stream, settings);

  function nextPeriod(): void {
    client.options.reconnectPeriod = 1 + fullJitter(attempt, { baseMs: 100, capMs: 10_000 });
  }
  client.on('reconnect', () => {
    attempt++;
    nextPeriod();
  });
  client.on('connect', () => {
    lastError = undefined;
    // A connection that fails again at once is not a success: a broker that throws us out keeps its distance.
    stable = setTimeout(() => {
      attempt = 0;
      nextPeriod();
    }, STABLE_MS);
  });
  client.on('close', () => clearTimeout(stable));
  client.on('error', (error) => {
    lastError = error.message;
    const code = 'code' in error ? error.code : undefined;
    if (typeof code === 'number' && WRONG_VERSION.has(code) && client.options.protocolVersion === 5) {
      client.options.protocolVersion = 4;
      delete client.options.properties;
      logger.info({ clientId: login.clientId }, 'the MQTT broker has no MQTT 5: going on with 3.1.1, without message expiry');
      return;
    }
    logger.warn({ clientId: login.clientId, reason: error.message }, 'MQTT connection failed');
  });

  return {
    client,
    version: () => (client.options.protocolVersion === 5 ? 5 : 4),
    lastError: () => lastError,
    reset() {
      if (transport !== undefined && !transport.destroyed) transport.resetAndDestroy();
    },
    open() {
      client.connect();
    },
    async close(keepSession = true) {
      clearTimeout(stable);
      const ended = new Promise((resolve) => {
        if (!client.connected) client.end(true, resolve);
        else if (keepSession || client.options.protocolVersion !== 5) client.end(false, resolve);
        else client.end(false, { properties: { sessionExpiryInterval: 0 } }, resolve);
      });
      await Promise.race([ended, pause(CLOSE_TIMEOUT_MS)]);
      transport?.destroy();
    },
  };
}
