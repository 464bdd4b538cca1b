import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { createEmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import { interleave, reading, type Figure, type Lane } from '../support/figure.ts';

const ID = '00000000-0000-4000-8000-000000000001';
const TOPIC = `loqey/devices/${ID}/commands/unlock`;
const PAYLOAD = Buffer.alloc(600, 'x');

/** From `publish` inside the process to the box's socket, without anything around it. */
export const broker: Figure = {
  name: 'broker',
  about: 'A command from the embedded broker’s publish to the box; beside the same bytes through a TCP socket.',
  beyond: 'A packet made and parsed, the rules of who may hear it, and the box’s acknowledgement.',
  engines: ['embedded'],
  async run({ size }) {
    const embedded = createEmbeddedBroker({
      host: '127.0.0.1',
      port: 0,
      limits: { messagesPerSecond: Infinity },
      authenticate: async (username) => ({
        deviceId: username,
        username,
        clientId: `device_${username}`,
        passwordHashes: [createHash('sha256').update('bench').digest('hex')],
        publishTopics: [],
        subscribeTopics: [TOPIC],
      }),
    });
    embedded.uplink.onMessage(async () => undefined);
    await embedded.start();
    const box = connect({ port: embedded.address().port, host: '127.0.0.1', noDelay: true });
    box.write(generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: `device_${ID}`, keepalive: 60, username: ID, password: Buffer.from('bench') }));
    await heard(box);
    box.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: TOPIC, qos: 1 }] }));
    await heard(box);

    const plain = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const accepted = new Promise<Socket>((resolve) => plain.once('connection', resolve));
    const socket = connect({ port: (plain.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true });
    const sender = await accepted;
    try {
      const taken = await interleave(
        [
          timed('limit', async () => {
            const arrived = heard(socket);
            sender.write(PAYLOAD);
            await arrived;
          }),
          timed('box', async () => {
            const arrived = heard(box);
            await embedded.downlink.publish(TOPIC, PAYLOAD, { qos: 1, ttlMs: 5_000 });
            await arrived;
          }),
        ],
        size.pace,
      );
      return [reading(taken, { figure: 'broker', what: 'publish in the process → box', unit: 'ms', of: 'box.times', limit: { what: 'the same bytes through TCP', of: 'limit.times' } })];
    } finally {
      for (const each of [box, socket, sender]) each.destroy();
      plain.close();
      await embedded.stop();
    }
  },
};

const heard = (socket: Socket) => once(socket, 'data');

function timed(name: string, one: () => Promise<void>): Lane {
  return {
    name,
    async slice(ms) {
      const times: number[] = [];
      for (const end = performance.now() + ms; performance.now() < end; ) {
        const since = performance.now();
        await one();
        times.push(performance.now() - since);
      }
      return { times };
    },
  };
}
