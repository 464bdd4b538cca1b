import { generate, type Packet } from 'mqtt-packet';
import type { Dice } from '../dice.ts';
import { text } from '../hostile.ts';
import type { Login } from './wire.ts';

/** Bytes that are nearly MQTT, or not at all. */
export function nextFrame(login: Login, dice: Dice): Buffer {
  const made = dice.chance(0.15) ? dice.bytes(1 + dice.int(60)) : written(packet(login, dice));
  return dice.chance(0.6) ? broken(made, dice) : made;
}

function written(given: Packet): Buffer {
  try {
    return generate(given);
  } catch {
    // What the library refuses to write, a client that uses none does not.
    return Buffer.from([0x30, 4, 0, 9, 0x61, 0x62]);
  }
}

function packet(login: Login, dice: Dice): Packet {
  const messageId = dice.pick([0, 1, 2, 65_535, dice.int(65_536)]);
  const topic = dice.pick(['', '#', '+', '$SYS/#', 'loqey/devices/+/status', `loqey/devices/${login.username}/status`, `loqey/devices/${login.username}/commands/#`, 'a/b', text(dice).slice(0, 300)]);
  const payload = dice.bytes(dice.pick([0, 1, 100, 5_000]));
  switch (dice.int(13)) {
    case 0:
      return {
        cmd: 'connect', protocolId: dice.pick(['MQTT', 'MQIsdp']), protocolVersion: dice.pick([3, 4, 5]), clean: dice.chance(0.5), clientId: dice.pick([login.clientId, '', 'x'.repeat(3_000), text(dice).slice(0, 100)]), keepalive: dice.pick([0, 1, 60, 65_535]),
        ...(dice.chance(0.7) ? { username: dice.pick([login.username, 'x', text(dice).slice(0, 100)]), password: Buffer.from(dice.pick([login.password, '', 'x'.repeat(2_000)])) } : {}),
        ...(dice.chance(0.3) ? { will: { topic: topic === '' ? 'x' : topic, payload, qos: dice.pick([0, 1, 2]), retain: dice.chance(0.5) } } : {}),
      } as Packet;
    case 1:
    case 2:
      return { cmd: 'publish', topic: topic === '' ? 'x' : topic, payload, qos: dice.pick([0, 1, 2]), retain: dice.chance(0.3), dup: dice.chance(0.3), messageId };
    case 3:
      return { cmd: 'subscribe', messageId, subscriptions: Array.from({ length: 1 + dice.int(20) }, () => ({ topic: topic === '' ? '#' : topic, qos: dice.pick([0, 1, 2]) })) };
    case 4:
      return { cmd: 'unsubscribe', messageId, unsubscriptions: [topic === '' ? 'x' : topic] };
    case 5:
      return { cmd: 'pingreq' };
    case 6:
      return { cmd: 'puback', messageId };
    case 7:
      return { cmd: 'pubrec', messageId };
    case 8:
      return { cmd: 'pubrel', messageId };
    case 9:
      return { cmd: 'pubcomp', messageId };
    case 10:
      return { cmd: 'disconnect' };
    case 11:
      return { cmd: 'connack', returnCode: 0, sessionPresent: false };
    default:
      return { cmd: 'pingresp' };
  }
}

function broken(given: Buffer, dice: Dice): Buffer {
  const made = Buffer.from(given);
  switch (dice.int(9)) {
    case 0:
      made[0] = dice.int(256);
      return made;
    case 1:
      return Buffer.concat([made.subarray(0, 1), dice.pick([Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.from([0xff, 0xff, 0xff, 0x7f]), Buffer.from([0x80, 0x80, 0x80, 0x80, 0x01]), Buffer.from([0]), Buffer.from([0x80, 0x00])]), made.subarray(2)]);
    case 2:
      return made.subarray(0, dice.int(made.length + 1));
    case 3:
      return Buffer.concat([made, dice.bytes(dice.int(20))]);
    case 4:
      if (made.length > 1) made[1] = dice.int(128);
      return made;
    case 5:
      if (made.length > 3) made.writeUInt16BE(dice.pick([0, 1, 0xffff, 0x7fff]), 2);
      return made;
    default:
      for (let count = 1 + dice.int(4); count > 0; count--) made[dice.int(made.length)] = dice.int(256);
      return made;
  }
}
