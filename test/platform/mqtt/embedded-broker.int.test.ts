import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Metrics } from '../../../src/platform/metrics.ts';
import { createEmbeddedBroker, type EmbeddedBroker, type EmbeddedBrokerOptions } from '../../../src/platform/mqtt/embedded-broker.ts';
import { PublishTimedOut, type DeviceCredential, type UplinkMessage } from '../../../src/platform/mqtt/port.ts';
import { mqttContract } from '../../contract/mqtt.ts';
import { connectDevice, credentialOf, Refused, testDevice, type ConnectedDevice, type TestDevice } from '../../support/mqtt-device.ts';
import { freePort } from '../../support/free-port.ts';
import { until } from '../../support/until.ts';

mqttContract('embedded broker', async (handler) => {
  const vault = new Map<string, DeviceCredential>();
  const port = await freePort();
  const broker = createEmbeddedBroker({ host: '127.0.0.1', port, authenticate: async (username) => vault.get(username), limits: { messageBurst: 100 } });
  broker.uplink.onMessage(handler);
  await broker.start();
  return {
    broker,
    port,
    async register(device, ...passwords) {
      const credential = credentialOf(device, ...passwords);
      vault.set(device.id, credential);
      await broker.credentials.provision(credential, passwords);
    },
    async revoke(device) {
      vault.delete(device.id);
      await broker.credentials.revoke(device.id);
    },
    down: () => broker.stop(),
    up: () => broker.start(),
    bridgePath: undefined,
    stop: () => broker.stop(),
  };
});

describe('embedded broker', () => {
  const cleanUp: (() => void | Promise<void>)[] = [];
  afterEach(async () => {
    for (const undo of cleanUp.splice(0).toReversed()) await undo();
  });

  interface Rig {
    readonly broker: EmbeddedBroker;
    readonly port: number;
    readonly metrics: Metrics;
    readonly vault: Map<string, DeviceCredential>;
    readonly messages: UplinkMessage[];
    readonly device: (options?: Parameters<typeof connectDevice>[2], box?: TestDevice) => Promise<ConnectedDevice & { readonly box: TestDevice }>;
    readonly stranger: () => Socket & { readonly ended: Promise<void> };
  }

  async function rig(options: Partial<EmbeddedBrokerOptions> = {}, handle?: (message: UplinkMessage) => Promise<void>): Promise<Rig> {
    const metrics = new Metrics();
    const vault = new Map<string, DeviceCredential>();
    const messages: UplinkMessage[] = [];
    const broker = createEmbeddedBroker({ host: '127.0.0.1', port: 0, authenticate: async (username) => vault.get(username), metrics, ...options });
    broker.uplink.onMessage(async (message) => {
      messages.push(message);
      await handle?.(message);
    });
    await broker.start();
    cleanUp.push(() => broker.stop());
    const { port } = broker.address();
    return {
      broker,
      port,
      metrics,
      vault,
      messages,
      async device(connectOptions, box = testDevice()) {
        vault.set(box.id, credentialOf(box));
        const connection = await connectDevice(port, box, connectOptions);
        cleanUp.push(() => connection.vanish());
        return { ...connection, box };
      },
      stranger() {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        cleanUp.push(() => void socket.destroy());
        socket.resume();
        return Object.assign(socket, { ended: new Promise<void>((resolve) => socket.once('close', () => resolve())) });
      },
    };
  }

  async function counted(metrics: Metrics, name: string, reason: string): Promise<number> {
    const metric = await metrics.registry.getSingleMetric(name)?.get();
    return metric?.values.find(({ labels }) => labels['reason'] === reason)?.value ?? 0;
  }

  it('sends PUBACK only after the handler has stored the report', async () => {
    const gate = Promise.withResolvers<void>();
    const { device, messages } = await rig({}, () => gate.promise);
    const { box, client, publish } = await device();
    const acknowledged: string[] = [];
    client.on('packetreceive', ({ cmd }) => void acknowledged.push(cmd));
    const published = publish(box.status, 'report');
    await until('the handler has it', () => messages.length === 1);
    await ping(client);
    expect(acknowledged).not.toContain('puback');
    gate.resolve();
    await published;
    expect(acknowledged).toContain('puback');
  });

  /** The broker has answered something after all that it would have sent before. */
  async function ping(client: ConnectedDevice['client']): Promise<void> {
    await new Promise<void>((resolve) => client.subscribe('not/mine', () => resolve()));
  }

  it('ends the connection without PUBACK when the handler fails, so that the box sends again', async () => {
    const { device, messages, metrics } = await rig({}, () => Promise.reject(new Error('the disk is full')));
    const { box, publish, closed } = await device();
    await expect(publish(box.status, 'report')).rejects.toThrow('ended');
    expect(closed()).toBe(true);
    expect(messages).toHaveLength(1);
    expect(await counted(metrics, 'loqey_mqtt_dropped_messages_total', 'failed')).toBe(1);
  });

  it('ends the connection when the handler hangs', async () => {
    const { device } = await rig({ limits: { handlerTimeoutMs: 50, stopTimeoutMs: 50 } }, () => new Promise(() => undefined));
    const { box, publish } = await device();
    await expect(publish(box.status, 'report')).rejects.toThrow('ended');
  });

  it('drops and counts what is too large, too much, foreign or retained, and stays connected', async () => {
    const { device, messages, metrics } = await rig({ limits: { messagesPerSecond: 0.001, messageBurst: 8 } });
    const { box, publish, closed } = await device();
    await publish(box.status, Buffer.alloc(4_096));
    await publish(box.status, Buffer.alloc(4_097));
    await publish('loqey/devices/other/status', 'foreign');
    await publish(box.status, 'retained', { retain: true });
    for (let n = 0; n < 6; n++) await publish(box.status, `report ${n}`);
    expect(messages.map(({ payload }) => payload.length)).toEqual([4_096, 8, 8, 8, 8]);
    expect(closed()).toBe(false);
    const dropped = (reason: string) => counted(metrics, 'loqey_mqtt_dropped_messages_total', reason);
    expect([await dropped('too_large'), await dropped('foreign_topic'), await dropped('retained'), await dropped('rate')]).toEqual([1, 1, 1, 2]);
  });

  it('gives a device no new allowance for connecting again', async () => {
    const { device, messages, port } = await rig({ limits: { messagesPerSecond: 0.001, messageBurst: 2 } });
    const { box, publish } = await device();
    await publish(box.status, '1');
    await publish(box.status, '2');
    const again = await connectDevice(port, box);
    await again.publish(box.status, '3');
    again.vanish();
    expect(messages).toHaveLength(2);
  });

  const will = (box: TestDevice, text: string) => ({ will: { topic: box.status, payload: Buffer.from(text), qos: 1 as const, retain: false } });

  it('hands on the will of a device that vanished, and none of one that said goodbye', async () => {
    const { device, messages } = await rig();
    const box = testDevice();
    await (await device(will(box, 'polite'), box)).leave();
    (await device(will(box, 'lost'), box)).vanish();
    await until('the will came', () => messages.length > 0);
    expect(messages.map(({ payload }) => payload.toString())).toEqual(['lost']);
  });

  it('tries the handler again for a will, which nobody sends again', async () => {
    let failures = 2;
    const { device, messages } = await rig({}, async () => {
      if (failures-- > 0) throw new Error('not now');
    });
    const box = testDevice();
    (await device(will(box, 'lost'), box)).vanish();
    await until('the third try came', () => messages.length === 3);
  });

  it('refuses a keepalive of none, or of more than it allows', async () => {
    const { device } = await rig({ limits: { keepaliveSeconds: 60 } });
    await expect(device({ keepalive: 0 })).rejects.toBeInstanceOf(Refused);
    await expect(device({ keepalive: 61 })).rejects.toBeInstanceOf(Refused);
    await device({ keepalive: 60 });
  });

  it('does not hold what a box asked for against it when the vault cannot be read', async () => {
    const { device } = await rig({ authenticate: () => Promise.reject(new Error('no database')) });
    await expect(device()).rejects.toThrow('Server unavailable');
  });

  it('sees a credential that changed while it was being looked up', async () => {
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const box = testDevice();
    let credential: DeviceCredential | undefined = credentialOf(box);
    const { broker, port } = await rig({
      authenticate: async () => {
        const found = credential;
        asked.resolve();
        await gate.promise;
        return found;
      },
    });
    const connecting = connectDevice(port, box);
    connecting.catch(() => undefined);
    await asked.promise;
    credential = undefined;
    await broker.credentials.revoke(box.id);
    gate.resolve();
    await expect(connecting).rejects.toBeInstanceOf(Refused);
  });

  describe('strangers', () => {
    it('ends a connection at once whose first packet is too long, or is no CONNECT', async () => {
      const { stranger } = await rig();
      for (const bytes of [[0x10, 0x81, 0x20], [0x10, 0xff, 0xff, 0xff, 0x5f], [0x30, 0x02, 0, 0], [0x10, 0xff, 0xff, 0xff, 0xff]]) {
        const socket = stranger();
        socket.write(Buffer.from(bytes));
        await socket.ended;
      }
    });

    it('keeps no bytes of a length that promises 200 MB', async () => {
      const { stranger } = await rig({ limits: { maxStrangersPerAddress: 200 } });
      const sockets = Array.from({ length: 100 }, stranger);
      for (const socket of sockets) socket.write(Buffer.concat([Buffer.from([0x10, 0xff, 0xff, 0xff, 0x5f]), Buffer.alloc(100_000)]));
      await Promise.all(sockets.map(({ ended }) => ended));
    });

    it('ends a connection that never says who it is', async () => {
      const { stranger } = await rig({ limits: { connectTimeoutMs: 50 } });
      const silent = stranger();
      const half = stranger();
      half.write(Buffer.from([0x10, 0x7f, 0]));
      await Promise.all([silent.ended, half.ended]);
    });

    it('bounds them per address, and all connections too', async () => {
      const { stranger, device, metrics } = await rig({ limits: { maxStrangersPerAddress: 2, maxConnectionsPerAddress: 3 } });
      const first = await device(); // known: no stranger any more
      const [one, two, three] = [stranger(), stranger(), stranger()];
      await Promise.race([one.ended, two.ended, three.ended]);
      expect(await counted(metrics, 'loqey_mqtt_connections_ended_total', 'too_many_connections')).toBe(1);
      for (const socket of [one, two, three]) socket.destroy();
      await until('there is room again', () => device().then(() => true, () => false));
      expect(first.closed()).toBe(false);
    });
  });

  it('ends a session whose packet is larger than any may be', async () => {
    const { device } = await rig();
    const { box, publish } = await device();
    await expect(publish(box.status, Buffer.alloc(70_000))).rejects.toThrow('ended');
  });

  it('withdraws a command from a box that does not read, with its connection', async () => {
    const { broker, device } = await rig();
    const { box, client, subscribe } = await device();
    await subscribe(box.unlock);
    client.stream.pause();
    const publish = () => broker.downlink.publish(box.unlock, Buffer.alloc(60_000), { qos: 1, ttlMs: 200 });
    const answers = await Promise.allSettled(Array.from({ length: 400 }, publish)); // more than the kernel takes
    const late = answers.filter((answer) => answer.status === 'rejected');
    expect(late.length).toBeGreaterThan(0);
    for (const answer of late) expect(answer.reason).toBeInstanceOf(PublishTimedOut);
    expect(await publish()).toEqual({ delivered: false });
  });

  it('waits for reports in hand when it stops, acknowledges them, and takes no new ones', async () => {
    const gate = Promise.withResolvers<void>();
    const { broker, device, messages } = await rig({}, () => gate.promise);
    const box = testDevice();
    const { publish } = await device(will(box, 'gone'), box);
    const inHand = publish(box.status, 'in hand');
    await until('the handler has it', () => messages.length === 1);
    const stopping = broker.stop();
    const late = publish(box.status, 'late');
    late.catch(() => undefined);
    await new Promise(setImmediate);
    gate.resolve();
    await inHand;
    await stopping;
    await expect(late).rejects.toThrow('ended');
    expect(messages).toHaveLength(1);
    expect(broker.health().healthy).toBe(false);
  });

  it('lets a device of old firmware in only with signs of life that are close enough', async () => {
    const old = testDevice();
    const { device, metrics } = await rig({ keepaliveOf: async (username) => (username === old.id ? 30 : undefined) });
    await expect(device({ keepalive: 31 }, old)).rejects.toBeInstanceOf(Refused);
    await expect(device({ keepalive: 0 }, old), 'nobody may ask for none').rejects.toBeInstanceOf(Refused);
    await (await device({ keepalive: 30 }, old)).leave();
    await (await device({ keepalive: 60 })).leave();
    expect(await metrics.registry.getSingleMetricAsString('loqey_mqtt_connects_refused_total')).toContain('{reason="long_keepalive"} 1');
  });

  it('lets nobody in who is revoked while it is looked up how often it must show itself', async () => {
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { broker, device, vault } = await rig({
      keepaliveOf: async () => {
        asked.resolve();
        await gate.promise;
        return undefined;
      },
    });
    const box = testDevice();
    const connecting = device({}, box);
    connecting.catch(() => undefined);
    await asked.promise;
    vault.delete(box.id);
    await broker.credentials.revoke(box.id);
    gate.resolve();
    await expect(connecting).rejects.toBeInstanceOf(Refused);
  });

  it('says why it cannot listen, and can be started when the port is free', async () => {
    const { port, broker } = await rig();
    const second = createEmbeddedBroker({ host: '127.0.0.1', port, authenticate: async () => undefined });
    second.uplink.onMessage(async () => undefined);
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.stop();
    await broker.stop();
    await second.start();
    await second.stop();
  });
});
