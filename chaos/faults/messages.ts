import { randomBytes } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { connectAsync, type MqttClient } from 'mqtt';
import type { Dice } from '../dice.ts';
import type { Fault } from '../faults.ts';
import { pause, type Box } from '../model.ts';
import type { World } from '../world.ts';

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

/** What no box ever says, made of what one said. */
function rubbish(box: Box, dice: Dice): Buffer {
  const said = Buffer.from(dice.anyOf([...box.puback.values()]) ?? '{}');
  const flipped = Buffer.from(said);
  if (flipped.length > 0) flipped[dice.between(0, flipped.length - 1)]! ^= 1 << dice.between(0, 7);
  return dice.oneOf([
    () => randomBytes(dice.between(0, 300)),
    () => flipped,
    () => said.subarray(0, dice.between(0, said.length)),
    () => Buffer.from(nested(1_000)),
    () => Buffer.concat([said, Buffer.alloc(5_000, 32)]),
    () => Buffer.alloc(60_000, 'x'),
    () => Buffer.from('{"__proto__":{"status":"unlocked"},"status":"unlocked","device_id":null}'),
  ])();
}

/** A second box with the same identity: the first one is thrown out, and comes back. */
async function asBox({ mqtt }: World, { deviceId, connection }: Box, work: (client: MqttClient) => Promise<void>): Promise<void> {
  if (connection.password === '') return;
  const client = await connectAsync(
    `mqtt://${mqtt.host}:${mqtt.port}`,
    { clientId: `device_${deviceId}`, username: deviceId, password: connection.password, protocolVersion: 4, clean: true, reconnectPeriod: 0, connectTimeout: 5_000 },
    false,
  ).catch(() => undefined);
  if (client === undefined) return; // its key was renewed meanwhile, or the broker is away
  client.on('error', () => undefined);
  await work(client);
  client.end(true);
}

/** Without waiting for an acknowledgement that may never come. */
function say(client: MqttClient, topic: string, payload: Buffer): void {
  client.publish(topic, payload, { qos: 1 }, () => undefined);
}

export const messages: readonly Fault[] = [
  {
    name: 'messages of boxes lost, doubled and overtaken',
    async strike({ model, dice }) {
      for (const { lockbox } of model.boxes) lockbox.faults.network({ loss: dice.next() * 0.3, duplicates: dice.next() * 0.6, delayMs: [0, dice.between(10, 900)] });
      await pause(dice.between(1_000, 4_000));
      for (const { lockbox } of model.boxes) lockbox.faults.network({});
    },
  },
  {
    name: 'old reports sent again, in any order',
    async strike({ world, model, dice }) {
      const box = dice.oneOf(model.boxes);
      await asBox(world, box, async (client) => {
        for (const [topic, text] of dice.shuffled([...box.said]).slice(0, 25)) say(client, topic, Buffer.from(text));
        await pause(500);
      });
    },
  },
  {
    name: 'rubbish and oversized reports from a box',
    async strike({ world, model, dice }) {
      const box = dice.oneOf(model.boxes);
      await asBox(world, box, async (client) => {
        for (let n = 0; n < 25; n++) say(client, `loqey/devices/${box.deviceId}/${dice.oneOf(['status', 'heartbeat', 'battery', 'responses', 'commands/unlock'])}`, rubbish(box, dice));
        await pause(500);
      });
    },
  },
  {
    name: 'old, doubled and forged commands at a box',
    async strike({ model, dice }) {
      for (const { lockbox, commands } of model.boxes) {
        for (let n = 0; n < 20; n++) {
          const command = dice.anyOf(commands);
          if (command === undefined) continue;
          const forged = Buffer.from(command);
          forged[dice.between(0, forged.length - 1)]! ^= 1 << dice.between(0, 7);
          lockbox.deliver(dice.chance(0.6) ? command : dice.oneOf([forged, randomBytes(200), Buffer.alloc(3_000, 'x')]), dice.chance(0.2));
        }
      }
      await pause(200);
    },
  },
  {
    name: 'strangers at the broker',
    async strike({ world, dice }) {
      const { host, port } = world.mqtt;
      const openings = [
        () => randomBytes(dice.between(1, 2_000)),
        () => Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), // a CONNECT of 256 MB, it says
        () => Buffer.from([0x10, 0x0c, 0, 4, 77, 81, 84, 84, 4]), // half a CONNECT, and silence
        () => Buffer.from([0x30, 0x05, 0, 1, 97, 1, 2]), // a publication before any CONNECT
      ];
      const sockets = Array.from({ length: 20 }, () => {
        const socket = connectTcp(port, host);
        socket.on('error', () => undefined);
        socket.on('connect', () => socket.write(dice.oneOf(openings)()));
        return socket;
      });
      await pause(dice.between(300, 1_500));
      for (const socket of sockets) socket.destroy();
    },
  },
];
