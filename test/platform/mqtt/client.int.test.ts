import { createServer, type AddressInfo } from 'node:net';
import { Aedes } from 'aedes';
import { describe, expect, it } from 'vitest';
import { createClientBroker } from '../../../src/platform/mqtt/client.ts';
import { BrokerUnavailable, type UplinkMessage } from '../../../src/platform/mqtt/port.ts';
import { connectDevice, testDevice } from '../../support/mqtt-device.ts';
import { freePort } from '../../support/free-port.ts';
import { until } from '../../support/until.ts';

const login = (clientId: string) => ({ clientId, username: 'any', password: 'any' });

describe('external broker', () => {
  it('goes on with MQTT 3.1.1 where the broker has no other', async () => {
    const keepalives: (number | undefined)[] = [];
    const aedes = await Aedes.createBroker({
      preConnect(_client, { clientId, keepalive }, done) {
        if (clientId === 'up' || clientId === 'down') keepalives.push(keepalive);
        done(null, true);
      },
    });
    const server = createServer({ noDelay: true }, aedes.handle);
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const messages: UplinkMessage[] = [];
    const broker = createClientBroker({ url: `mqtt://127.0.0.1:${port}`, uplink: login('up'), downlink: login('down'), filters: ['loqey/devices/+/status'], keepaliveSeconds: 40 });
    broker.uplink.onMessage(async (message) => void messages.push(message));
    await broker.start();
    expect(broker.health()).toEqual({ healthy: true, detail: 'connected, MQTT 3.1.1' });
    expect(new Set(keepalives)).toEqual(new Set([40]));
    const box = testDevice();
    const device = await connectDevice(port, box);
    await device.subscribe(box.unlock);
    await device.publish(box.status, 'report');
    await until('it came', () => messages.length === 1);
    expect(await broker.downlink.publish(box.unlock, Buffer.from('open'), { qos: 1, ttlMs: 5_000 })).toEqual({ delivered: undefined });
    await until('it came', () => device.texts().includes('open'));
    device.vanish();
    await broker.stop();
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  });

  it('gives up on a broker that takes the connection and says nothing', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const broker = createClientBroker({ url: `mqtt://127.0.0.1:${port}`, uplink: login('up'), downlink: login('down'), filters: ['a'], startTimeoutMs: 1, timeoutMs: 50 });
    broker.uplink.onMessage(async () => undefined);
    await broker.start();
    await until('it gave up', () => broker.health().detail.includes('connack timeout'));
    await broker.stop();
    silent.close();
  });

  it('starts without a broker, says so, and connects when there is one', async () => {
    const port = await freePort();
    const broker = createClientBroker({ url: `mqtt://127.0.0.1:${port}`, uplink: login('up'), downlink: login('down'), filters: ['a'], startTimeoutMs: 50 });
    broker.uplink.onMessage(async () => undefined);
    await broker.start();
    expect(broker.health()).toMatchObject({ healthy: false });
    expect(broker.health().detail).toContain('ECONNREFUSED');
    await expect(broker.downlink.publish('a', Buffer.from('x'), { qos: 1, ttlMs: 1_000 })).rejects.toBeInstanceOf(BrokerUnavailable);
    await expect(broker.credentials.revoke('a')).rejects.toBeInstanceOf(BrokerUnavailable);
    const aedes = await Aedes.createBroker();
    const server = createServer({ noDelay: true }, aedes.handle);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    await until('it is connected', () => broker.health().healthy);
    await broker.stop();
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  });

  it('names what is wrong with an address', () => {
    expect(() => createClientBroker({ url: 'http://broker', uplink: login('up'), downlink: login('down'), filters: [] })).toThrow('must begin with mqtt:// or mqtts://');
  });
});
