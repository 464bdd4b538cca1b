import mqtt from 'mqtt';
import type { Connector, LinkHandlers } from './session.ts';

/** CONNACK codes that say who you are is the trouble: bad user name or password, not authorised. */
const NOT_AUTHORISED = new Set([4, 5]);
const GOODBYE_MS = 1000;

/**
 * One MQTT 3.1.1 connection by mqtt.js, which is told to do nothing by itself: no reconnect, no resubscribe, no queue
 * while offline. `Session` decides all that.
 */
export const mqttConnector: Connector = (request, handlers) => {
  const client = mqtt.connect(request.url, {
    clientId: request.clientId,
    username: request.username,
    password: request.password,
    clean: request.clean,
    keepalive: request.keepaliveSeconds,
    connectTimeout: request.connectTimeoutMs,
    will: { topic: request.will.topic, payload: request.will.payload, qos: 1, retain: false },
    protocolVersion: 4,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(request.ca === undefined ? {} : { ca: request.ca }),
    ...(request.certificate === undefined ? {} : { cert: request.certificate.cert, key: request.certificate.key }),
  });

  let outcome: Parameters<LinkHandlers['closed']>[0] = 'unreachable';
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    client.end(true);
    handlers.closed(outcome);
  };
  client.on('connect', () => {
    outcome = 'lost';
    // Otherwise Nagle and delayed ACKs add 40 ms to every answer.
    (client.stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
    handlers.connected();
  });
  client.on('message', (topic, payload, packet) => handlers.message(topic, payload, packet.retain));
  client.on('error', (error) => {
    if ('code' in error && typeof error.code === 'number' && NOT_AUTHORISED.has(error.code)) outcome = 'refused';
  });
  client.on('close', close);

  return {
    subscribe(filters, granted) {
      // The packet itself: the library reports a partly refused SUBACK as one error without its codes.
      client.on('packetreceive', (packet) => {
        if (packet.cmd === 'suback') granted(packet.granted.map(Number));
      });
      client.subscribe([...filters], { qos: 1 }, () => undefined);
    },
    publish(topic, payload, done) {
      client.publish(topic, payload, { qos: 1, retain: false }, (error) => {
        // Called with an error as well, when the connection ends before the PUBACK.
        if (error === undefined || error === null) done();
      });
    },
    end(how) {
      if (outcome !== 'refused') outcome = how === 'disconnect' ? 'ended' : 'lost';
      if (how === 'destroy' || !client.connected) return void client.end(true);
      // A broker that never acknowledges must not keep the box from going.
      const deadline = setTimeout(() => client.end(true), GOODBYE_MS);
      client.end(false, () => clearTimeout(deadline));
    },
  };
};
