import mqtt from 'mqtt';
import type { Provisioning } from '../simulator/provisioning.ts';

const TIMEOUT_MS = 3_000;

/** A box with good credentials of its own publishes to another's command topic. Answers what the broker made of it. */
export async function tryToCommand({ mqtt: login }: Provisioning, topic: string, payload: Buffer): Promise<string> {
  const client = mqtt.connect(login.url, {
    clientId: login.client_id,
    username: login.username,
    password: login.password,
    clean: true,
    protocolVersion: 4,
    reconnectPeriod: 0,
    connectTimeout: TIMEOUT_MS,
  });
  client.on('error', () => undefined); // a refused connection is an answer too: `close` follows
  try {
    return await new Promise<string>((resolve) => {
      const timer = setTimeout(() => resolve('no acknowledgement'), TIMEOUT_MS);
      const settle = (outcome: string) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      client.once('close', () => settle('it ended the connection'));
      client.once('connect', () => {
        client.publish(topic, payload, { qos: 1 }, (error) => settle(error === undefined || error === null ? 'taken and dropped' : 'refused'));
      });
    });
  } finally {
    await client.endAsync(true);
  }
}
