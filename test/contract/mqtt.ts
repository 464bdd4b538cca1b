import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BrokerUnavailable, PublishTimedOut, type DeviceBroker, type UplinkMessage } from '../../src/platform/mqtt/port.ts';
import { connectDevice, foreignTopics, Refused, testDevice, type ConnectedDevice, type TestDevice } from '../support/mqtt-device.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

export interface MqttSubject {
  /** Started, with `handler`. */
  readonly broker: DeviceBroker;
  /** Where devices connect. */
  readonly port: number;
  /** Makes these passwords the good ones (default: the device's own). */
  register(device: TestDevice, ...passwords: readonly string[]): Promise<void>;
  revoke(device: TestDevice): Promise<void>;
  /** The broker itself goes away and comes back; undefined where it is not ours. */
  readonly down: (() => Promise<void>) | undefined;
  readonly up: (() => Promise<void>) | undefined;
  /** Between the bridge and the broker, where there is a network. */
  readonly bridgePath: TcpProxy | undefined;
  stop(): Promise<void>;
}

export type MqttFixture = (handler: (message: UplinkMessage) => Promise<void>) => Promise<MqttSubject>;

/** device-protocol, sections 2 and 3, and check 29: what every broker must do for boxes, and refuse them. */
export function mqttContract(name: string, make: MqttFixture): void {
  describe(`MQTT contract: ${name}`, () => {
    let subject: MqttSubject;
    let messages: UplinkMessage[] = [];
    let handle: (message: UplinkMessage) => Promise<void>;
    const store = async (message: UplinkMessage): Promise<void> => void messages.push(message);
    const open: ConnectedDevice[] = [];

    beforeAll(async () => {
      handle = store;
      subject = await make((message) => handle(message));
    });
    afterAll(() => subject.stop());
    beforeEach(() => {
      messages = [];
      handle = store;
    });
    afterEach(() => {
      for (const device of open.splice(0)) device.vanish();
    });

    async function registered(): Promise<TestDevice> {
      const device = testDevice();
      await subject.register(device);
      return device;
    }

    async function connected(device: TestDevice, options: Parameters<typeof connectDevice>[2] = {}): Promise<ConnectedDevice> {
      const connection = await connectDevice(subject.port, device, options);
      open.push(connection);
      return connection;
    }

    async function listening(device: TestDevice, options: Parameters<typeof connectDevice>[2] = {}): Promise<ConnectedDevice> {
      const connection = await connected(device, options);
      expect(await connection.subscribe(device.unlock)).toBe(1);
      return connection;
    }

    const command = (device: TestDevice, text: string, ttlMs = 5_000) =>
      subject.broker.downlink.publish(device.unlock, Buffer.from(text), { qos: 1, ttlMs });
    const textsFrom = (device: TestDevice) => messages.filter(({ topic }) => topic === device.status).map(({ payload }) => payload.toString());
    const healthy = () => until('the bridge is connected', () => subject.broker.health().healthy, 30_000);

    it('carries a report up and a command down, byte for byte', async () => {
      const device = await registered();
      const connection = await listening(device);
      const bytes = Buffer.from([0, 255, 254, 123, 195, 40, 10]);
      await connection.publish(device.status, bytes);
      const [message] = await until('it came', () => messages.length > 0 && messages);
      expect(message).toMatchObject({ topic: device.status, qos: 1, retain: false });
      expect(Buffer.compare(message!.payload, bytes)).toBe(0);
      expect(Math.abs(Date.now() - message!.receivedAt)).toBeLessThan(60_000);

      expect(await subject.broker.downlink.publish(device.unlock, bytes, { qos: 1, ttlMs: 5_000 })).toEqual({ delivered: true });
      const [packet] = await until('it came', () => connection.received.length > 0 && connection.received);
      expect(packet).toMatchObject({ topic: device.unlock, qos: 1, retain: false });
      expect(Buffer.compare(packet!.payload as Buffer, bytes)).toBe(0);
    });

    it('sends QoS 0 commands as such', async () => {
      const device = await registered();
      const connection = await listening(device);
      await subject.broker.downlink.publish(device.unlock, Buffer.from('zero'), { qos: 0, ttlMs: 5_000 });
      await until('it came', () => connection.received.length === 1);
      expect(connection.received[0]).toMatchObject({ qos: 0, retain: false });
    });

    it('keeps the order of one device, and does not make one report wait for the storing of another', async () => {
      const device = await registered();
      const connection = await connected(device);
      const gate = Promise.withResolvers<void>();
      handle = async (message) => {
        messages.push(message);
        await gate.promise;
      };
      const texts = Array.from({ length: 20 }, (_, n) => `report ${n}`);
      const published = Promise.all(texts.map((text) => connection.publish(device.status, text)));
      await until('all are in hand', () => messages.length === 20);
      expect(textsFrom(device)).toEqual(texts);
      gate.resolve();
      await published;
    });

    it('says that nobody is subscribed', async () => {
      const device = await registered();
      await connected(device);
      expect(await command(device, 'open')).toEqual({ delivered: false });
    });

    describe('credentials', () => {
      it('lets in a device with its own id, password and client id only', async () => {
        const [one, two] = [await registered(), await registered()];
        await connected(one);
        const attempts: Record<string, Parameters<typeof connectDevice>[2]> = {
          'a wrong password': { password: 'wrong' },
          'an empty password': { password: '' },
          "another device's password": { password: two.password },
          "another device's name with the own password": { username: two.id },
          "another device's name and client id": { username: two.id, clientId: `device_${two.id}` },
          "another device's client id": { clientId: `device_${two.id}` },
          'a client id of its own making': { clientId: 'attacker' },
          'no client id': { clientId: '' },
          'the client id in capitals': { clientId: `device_${one.id.toUpperCase()}` },
          'an unknown name': { username: 'nobody' },
          'a name that an object has anyway': { username: '__proto__', clientId: 'device___proto__' },
        };
        for (const [what, options] of Object.entries(attempts)) {
          await expect(connectDevice(subject.port, one, options), what).rejects.toBeInstanceOf(Refused);
        }
        await expect(connectDevice(subject.port, { ...one, id: '' }, { username: '', password: '' }), 'nobody at all').rejects.toBeInstanceOf(Refused);
      });

      it('takes a repeated provisioning without ending the live session', async () => {
        const device = await registered();
        const connection = await listening(device);
        await subject.register(device);
        await command(device, 'still here');
        await until('it came', () => connection.texts().includes('still here'));
        expect(connection.closed()).toBe(false);
      });

      it('ends the session of a password that was changed, and lets in the new one', async () => {
        const device = await registered();
        const connection = await listening(device);
        await subject.register(device, 'the new one');
        await until('the old session ended', () => connection.closed());
        await expect(connectDevice(subject.port, device)).rejects.toBeInstanceOf(Refused);
        await listening({ ...device, password: 'the new one' });
        expect(await command(device, 'open')).toEqual({ delivered: true });
      });

      it('ends the session of a revoked device, and does not let it in again', async () => {
        const device = await registered();
        const connection = await listening(device, { will: { topic: device.status, payload: Buffer.from('will'), qos: 1, retain: false } });
        await subject.revoke(device);
        await subject.revoke(device);
        await until('the session ended', () => connection.closed());
        await expect(connectDevice(subject.port, device)).rejects.toBeInstanceOf(Refused);
        expect(await command(device, 'open')).toEqual({ delivered: false });
        await subject.register(device);
        await listening(device);
        expect(await command(device, 'open')).toEqual({ delivered: true });
      });
    });

    describe('29: foreign topics', () => {
      let attacker: TestDevice;
      let victim: TestDevice;
      let watched: ConnectedDevice;

      beforeEach(async () => {
        attacker = await registered();
        victim = await registered();
        watched = await listening(victim);
        expect(new Set(foreignTopics(attacker, victim)).size).toBe(40);
      });

      it('refuses them as subscriptions', async () => {
        let connection = await listening(attacker);
        for (const topic of foreignTopics(attacker, victim)) {
          if (connection.closed()) connection = await listening(attacker);
          expect(await connection.subscribe(topic), topic).toBeGreaterThanOrEqual(0x80);
        }
        if (connection.closed()) connection = await listening(attacker);
        // What could leak now goes by first; the attacker's own command comes last.
        await watched.publish(victim.status, 'private');
        await command(victim, 'for the victim');
        await until('the victim has it', () => watched.texts().includes('for the victim'));
        await command(attacker, 'for the attacker');
        await until('the attacker has its own', () => connection.received.length > 0);
        expect(connection.texts()).toEqual(['for the attacker']);
      });

      it('gives them no effect as publications', async () => {
        let connection = await connected(attacker);
        for (const topic of foreignTopics(attacker, victim)) {
          if (connection.closed()) connection = await connected(attacker);
          await connection.publish(topic, 'forged').catch(() => undefined);
        }
        await nothingForged();
      });

      it('gives them no effect as wills', async () => {
        for (const topic of foreignTopics(attacker, victim)) {
          const will = { topic, payload: Buffer.from('forged'), qos: 1 as const, retain: false };
          await connected(attacker, { will }).then(
            (connection) => connection.vanish(),
            () => undefined,
          );
        }
        const will = { topic: attacker.status, payload: Buffer.from('own will'), qos: 1 as const, retain: false };
        (await connected(attacker, { will })).vanish();
        await until('its own will came', () => textsFrom(attacker).includes('own will'));
        await nothingForged();
      });

      /** What is sent now passes after all that was sent before. */
      async function nothingForged(): Promise<void> {
        const connection = await connected(attacker);
        await connection.publish(attacker.status, 'own');
        await until('its own came', () => textsFrom(attacker).includes('own'));
        await command(victim, 'genuine');
        await until('the victim has it', () => watched.received.length > 0);
        expect(watched.texts()).toEqual(['genuine']);
        expect(messages.filter(({ payload }) => payload.toString() === 'forged')).toEqual([]);
      }
    });

    describe('nothing is kept', () => {
      it('retains nothing that a device publishes or leaves as its will', async () => {
        const device = await registered();
        const first = await connected(device);
        await first.publish(device.status, 'retained', { retain: true }).catch(() => undefined);
        const will = { topic: device.status, payload: Buffer.from('retained will'), qos: 1 as const, retain: true };
        await connected(device, { will }).then(
          (connection) => connection.vanish(),
          () => undefined,
        );
        const last = await connected(device);
        await last.publish(device.status, 'plain');
        await until('the plain one came', () => textsFrom(device).includes('plain'));
        expect(textsFrom(device)).toEqual(['plain']);
        expect(messages.some(({ retain }) => retain)).toBe(false);
      });

      it('has no command for a device that subscribes after it was sent', async () => {
        const device = await registered();
        const connection = await connected(device);
        await command(device, 'early');
        await connection.subscribe(device.unlock);
        await command(device, 'live');
        await until('the live one came', () => connection.received.length > 0);
        expect(connection.texts()).toEqual(['live']);
      });

      it('has no late command for a device that asked for a kept session', async () => {
        const device = await registered();
        const first = await listening(device, { clean: false });
        first.vanish();
        await until('it is away', () => first.closed());
        await command(device, 'while away', 1_000).catch(() => undefined);
        const expired = Date.now() + 2_500; // brokers count message expiry in whole seconds
        await until('the command has expired', () => Date.now() > expired);
        const second = await listening(device, { clean: false });
        await command(device, 'live');
        await until('the live one came', () => second.texts().includes('live'));
        expect(second.texts()).toEqual(['live']);
      });
    });

    it('gives the client id to the newest connection', async () => {
      const device = await registered();
      const first = await listening(device);
      const second = await listening(device);
      await until('the first ended', () => first.closed());
      await command(device, 'open');
      await until('the second has it', () => second.texts().includes('open'));
      expect(first.received).toEqual([]);
    });

    it('lives on through garbage, oversized packets and lengths that promise 200 MB', async () => {
      const device = await registered();
      const connection = await listening(device);
      const frames = [
        ...Array.from({ length: 30 }, () => randomBytes(200)),
        Buffer.from([0x10, 0xff, 0xff, 0xff, 0x5f]), // CONNECT, 200 MB to follow
        Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), // PUBLISH before CONNECT
        Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01]), // a length of five bytes
        Buffer.concat([Buffer.from([0x10, 0x80, 0x80, 0x04]), Buffer.alloc(65_536, 0x41)]),
        Buffer.from('GET / HTTP/1.1\r\nHost: broker\r\n\r\n'),
        Buffer.from([0x10, 0x00]),
        Buffer.from([0xc0, 0x00]),
        Buffer.from([0xe0, 0x00]),
        Buffer.alloc(0),
      ];
      const sockets = frames.map((frame) => {
        const socket = connect(subject.port, '127.0.0.1');
        socket.on('error', () => undefined);
        socket.write(frame);
        return socket;
      });
      await connection.publish(device.status, 'still served');
      await until('it came', () => textsFrom(device).includes('still served'));
      await command(device, 'still served');
      await until('it came', () => connection.texts().includes('still served'));
      for (const socket of sockets) socket.destroy();
    });

    it('has every report again whose handler failed', async () => {
      const device = await registered();
      const connection = await connected(device, { reconnectPeriod: 50 });
      let failures = 3;
      handle = async (message) => {
        if (failures-- > 0) throw new Error('the disk is full');
        await store(message);
      };
      await connection.publish(device.status, 'must arrive');
      await until('it was handled', () => textsFrom(device).includes('must arrive'), 30_000);
      expect(failures).toBeLessThan(0);
      await healthy();
    });

    describe('commands are never late', () => {
      it('refuses them while the broker is away, and forgets them', async ({ skip }) => {
        const { down, up } = subject;
        if (down === undefined || up === undefined) return skip('the broker is not ours to stop');
        const device = await registered();
        await listening(device);
        await down();
        await expect(command(device, 'late', 2_000)).rejects.toSatisfy((error) => error instanceof BrokerUnavailable || error instanceof PublishTimedOut);
        await until('it knows', () => !subject.broker.health().healthy);
        await expect(command(device, 'late', 2_000)).rejects.toBeInstanceOf(BrokerUnavailable);
        await up();
        await healthy();
        const connection = await listening(device);
        await command(device, 'live');
        await until('the live one came', () => connection.received.length > 0);
        expect(connection.texts()).toEqual(['live']);
      });

      it('forgets what a silent connection to the device swallowed', async () => {
        const device = await registered();
        const path = await startTcpProxy({ host: '127.0.0.1', port: subject.port });
        const lost = await connectDevice(path.port, device);
        expect(await lost.subscribe(device.unlock)).toBe(1);
        path.freeze();
        await command(device, 'late', 500).catch(() => undefined);
        const connection = await listening(device);
        await command(device, 'live');
        await until('the live one came', () => connection.received.length > 0);
        expect(connection.texts()).toEqual(['live']);
        expect(lost.received).toEqual([]);
        lost.vanish();
        await path.close();
      });

      it('withdraws what a silent connection to the broker swallowed', async ({ skip }) => {
        const { bridgePath } = subject;
        if (bridgePath === undefined) return skip('there is no network between bridge and broker');
        const device = await registered();
        const connection = await listening(device);
        bridgePath.freeze();
        await expect(command(device, 'late', 300)).rejects.toBeInstanceOf(PublishTimedOut);
        await until('it takes commands again', () => command(device, 'live', 300).then(() => true, () => false), 30_000);
        await until('the live one came', () => connection.received.length > 0);
        expect(new Set(connection.texts())).toEqual(new Set(['live']));
        bridgePath.cut(); // the uplink is still on the silent path
        await healthy();
      });
    });

    it('has every report again that was in hand when the path to the broker broke', async ({ skip }) => {
      const { bridgePath } = subject;
      if (bridgePath === undefined) return skip('there is no network between bridge and broker');
      const device = await registered();
      const connection = await connected(device);
      const gate = Promise.withResolvers<void>();
      const begun: string[] = [];
      handle = async (message) => {
        begun.push(message.payload.toString());
        await gate.promise;
        await store(message);
      };
      const texts = Array.from({ length: 5 }, (_, n) => `report ${n}`);
      await Promise.all(texts.map((text) => connection.publish(device.status, text)));
      await until('all are in hand', () => begun.length === 5);
      bridgePath.cut();
      gate.resolve();
      await until('they came again', () => begun.length >= 10, 30_000);
      expect(begun.slice(5)).toEqual(texts);
      await healthy();
    });
  });
}
