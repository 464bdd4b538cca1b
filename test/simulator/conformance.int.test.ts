import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { generate, parser, type IConnectPacket, type IPublishPacket, type ISubscribePacket } from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { ackCommand, newNonce, timeCommand, unlockCommand, type CommandInput } from '../../src/bridge/protocol/commands.ts';
import { deriveKeys, mqttPassword } from '../../src/bridge/protocol/keys.ts';
import type { SignedReport } from '../../src/bridge/protocol/reports.ts';
import { openReport } from '../../src/bridge/protocol/signed-reports.ts';
import { signCommand } from '../../src/bridge/protocol/signature.ts';
import { downTopics, parseUpTopic, topicFor, upTopics, type TopicOwner } from '../../src/bridge/topics.ts';
import { createEmbeddedBroker, type EmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { createLockbox, type Lockbox, type LockboxOptions } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import { until } from '../support/until.ts';

const masterKey = randomBytes(32);
const open: { stop(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

function owner(deviceId: string): TopicOwner {
  return { profile: 'loqey', deviceId, serialNumber: 'UNUSED' };
}

function box(port: number, options: Partial<LockboxOptions> = {}): Lockbox {
  const deviceId = randomUUID();
  const made = createLockbox({ provisioning: provision({ deviceId, masterKey, url: `mqtt://127.0.0.1:${port}` }), firstConnectWithinMs: 20, boltMs: 5, ...options });
  open.push(made);
  return made;
}

/** A broker that writes down what it is sent, and answers a SUBSCRIBE as it is told. */
async function stubBroker(grant: (attempt: number) => readonly number[]): Promise<{ readonly port: number; readonly seen: (IConnectPacket | ISubscribePacket | IPublishPacket | { cmd: 'disconnect' })[] }> {
  const seen: (IConnectPacket | ISubscribePacket | IPublishPacket | { cmd: 'disconnect' })[] = [];
  let attempts = 0;
  const server: Server = createServer((socket) => {
    const packets = parser({ protocolVersion: 4 });
    socket.on('data', (data: Buffer) => packets.parse(data));
    socket.on('error', () => undefined);
    packets.on('packet', (packet) => {
      if (packet.cmd === 'connect') {
        seen.push(packet);
        socket.write(generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }));
      } else if (packet.cmd === 'subscribe') {
        seen.push(packet);
        socket.write(generate({ cmd: 'suback', messageId: packet.messageId!, granted: [...grant(attempts++)] }));
      } else if (packet.cmd === 'publish') {
        seen.push(packet);
        socket.write(generate({ cmd: 'puback', messageId: packet.messageId! }));
      } else if (packet.cmd === 'disconnect') {
        seen.push({ cmd: 'disconnect' });
        socket.end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ stop: () => new Promise((resolve) => server.close(resolve)) });
  return { port: (server.address() as AddressInfo).port, seen };
}

/** A real broker, and as much of the server as a box needs: the time, and acks. */
async function server(port = 0): Promise<{ readonly broker: EmbeddedBroker; readonly port: number; readonly reports: SignedReport[]; readonly unlock: (deviceId: string) => Promise<string> }> {
  const reports: SignedReport[] = [];
  const broker = createEmbeddedBroker({
    host: '127.0.0.1',
    port,
    authenticate: async (username) => ({
      deviceId: username,
      username,
      clientId: `device_${username}`,
      passwordHashes: [createHash('sha256').update(mqttPassword(deriveKeys(masterKey, username, 1))).digest('hex')],
      publishTopics: upTopics(owner(username)),
      subscribeTopics: downTopics(owner(username)),
    }),
  });
  const input = (deviceId: string, forMs: number): CommandInput => ({
    commandId: randomUUID(),
    deviceId,
    source: 'system',
    issuedAt: new Date().toISOString(),
    expiresAt: new Date(Date.now() + forMs).toISOString(),
    keyVersion: 1,
    nonce: newNonce(),
  });
  broker.uplink.onMessage(async ({ topic, payload }) => {
    const { key, kind } = parseUpTopic(topic)!;
    const keys = deriveKeys(masterKey, key!, 1);
    const opened = openReport(kind, payload, key!, [keys]);
    expect(opened.ok).toBe(true);
    if (!opened.ok) return;
    const { report } = opened;
    reports.push(report);
    const down = topicFor(owner(key!), 'time');
    if ('timeChallenge' in report && report.timeChallenge !== undefined) {
      const { nonce: _, ...rest } = input(key!, 10_000);
      void broker.downlink.publish(down, signCommand(timeCommand({ ...rest, challenge: report.timeChallenge }), keys.cmd), { qos: 0, ttlMs: 5000 });
    }
    if (kind === 'responses' || (report.kind === 'status' && report.reason === 'changed')) {
      void broker.downlink.publish(down, signCommand(ackCommand({ ...input(key!, 30_000), acked: [report.reportSeq] }), keys.cmd), { qos: 0, ttlMs: 5000 });
    }
  });
  await broker.start();
  open.push(broker);
  return {
    broker,
    port: broker.address().port,
    reports,
    unlock: async (deviceId) => {
      const body = unlockCommand({ ...input(deviceId, 30_000), seq: Date.now() });
      await broker.downlink.publish(topicFor(owner(deviceId), 'unlock'), signCommand(body, deriveKeys(masterKey, deviceId, 1).cmd), { qos: 1, ttlMs: 5000 });
      return body['command_id'] as string;
    },
  };
}

describe('the simulated lockbox on a network', () => {
  it('18: a SUBACK of 0x80 ends the connection, and it tries again; hello only once every code is good', async () => {
    const { port, seen } = await stubBroker((attempt) => (attempt === 0 ? [1, 0x80, 1] : [1, 1, 1]));
    const one = box(port);
    const connected = one.waitFor('connected', { timeoutMs: 20_000 });
    await one.start();
    await connected;
    await until('a publish', () => seen.some(({ cmd }) => cmd === 'publish'));
    expect(seen.map(({ cmd }) => cmd)).toEqual(['connect', 'subscribe', 'disconnect', 'connect', 'subscribe', 'publish']);
    expect(seen[0]).toMatchObject({ clean: true, keepalive: 30, clientId: `device_${one.deviceId}`, username: one.deviceId });
  });

  it('19: the will has the connect_id of its connection, nothing is retained', async () => {
    const { port, seen } = await stubBroker(() => [1, 1, 1]);
    const one = box(port);
    const connected = one.waitFor('connected');
    await one.start();
    const { connectId } = await connected;
    await until('a publish', () => seen.some(({ cmd }) => cmd === 'publish'));
    const connect = seen[0] as IConnectPacket;
    const will = JSON.parse(connect.will!.payload.toString()) as Record<string, unknown>;
    expect(will).toMatchObject({ reason: 'will', connect_id: connectId, online: false });
    expect(connect.will).toMatchObject({ topic: `loqey/devices/${one.deviceId}/status`, qos: 1, retain: false });
    for (const packet of seen) if (packet.cmd === 'publish') expect(packet).toMatchObject({ qos: 1, retain: false });
  });

  it('opens over a real broker, says what it did, is acknowledged, says goodbye', async () => {
    const { port, reports, unlock } = await server();
    const one = box(port);
    await one.start();
    await one.ready();
    const opened = one.waitFor('opened');
    const acked = one.waitFor('acked');
    const commandId = await unlock(one.deviceId);
    await opened;
    await acked;
    expect(one.movements).toMatchObject([{ cause: 'command', commandId }]);
    expect(reports.find(({ kind }) => kind === 'responses')).toMatchObject({ commandId, result: 'opened' });
    await one.stop();
    await until('a goodbye', () => reports.some((report) => report.kind === 'status' && report.reason === 'bye'));
  });

  it('22: comes back when the broker does', async () => {
    const first = await server();
    const fleet = createFleet(Array.from({ length: 20 }, () => ({ provisioning: provision({ deviceId: randomUUID(), masterKey, url: `mqtt://127.0.0.1:${first.port}` }), firstConnectWithinMs: 50 })));
    open.push(fleet);
    await fleet.start();
    expect(await fleet.report(100)).toMatchObject({ acknowledged: 100, lost: 0 });
    await first.broker.stop();
    await until('all disconnected', () => fleet.totals().connected === 0);
    await server(first.port);
    await until('all connected again', () => fleet.totals().connected === 20, 30_000);
  });

  it('loses, delays and repeats messages, and still opens once per command', async () => {
    const { port, unlock } = await server();
    const one = box(port, { network: { duplicates: 0.5, delayMs: [0, 20] }, seed: 7 });
    await one.start();
    await one.ready();
    for (let n = 0; n < 5; n++) {
      const opened = one.waitFor('opened');
      await unlock(one.deviceId);
      await opened;
    }
    expect(one.stats.openings).toBe(5);
    expect(new Set(one.movements.map(({ commandId }) => commandId)).size).toBe(one.movements.length);
  });
});

describe('old firmware on a network', () => {
  it('opens for whatever says unlock, as often as it is told', async () => {
    const { port, seen } = await stubBroker(() => [1]);
    const deviceId = randomUUID();
    const one = createLockbox({ level: 0, provisioning: provision({ deviceId, masterKey, url: `mqtt://127.0.0.1:${port}`, profile: 'smartlock', key: 'hw-1' }), firstConnectWithinMs: 0, boltMs: 0 });
    open.push(one);
    await one.start();
    await one.ready();
    one.deliver(Buffer.from('{"command":"unlock","request_id":"r-1"}'));
    one.deliver(Buffer.from('{"action":"unlock","request_id":"r-1"}'));
    one.deliver(Buffer.from('not json'));
    expect(one.movements.length).toBe(2);
    await until('two responses', () => seen.filter((packet) => packet.cmd === 'publish' && packet.topic === 'smartlock/hw-1/response').length === 2);
    const answer = seen.find((packet) => packet.cmd === 'publish' && packet.topic.endsWith('response')) as IPublishPacket;
    expect(JSON.parse(answer.payload.toString())).toMatchObject({ request_id: 'r-1', success: true, status: 'unlocked' });
  });
});
