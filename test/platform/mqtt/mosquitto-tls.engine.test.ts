import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { commandFilters, uplinkFilters } from '../../../src/bridge/topics.ts';
import { createClientBroker } from '../../../src/platform/mqtt/client.ts';
import { createDynamicSecurity, type DynamicSecurity } from '../../../src/platform/mqtt/dynamic-security.ts';
import type { DeviceBroker, UplinkMessage } from '../../../src/platform/mqtt/port.ts';
import { createAuthority, opensslMissing, type TestAuthority, type TestCertificate } from '../../support/certificates.ts';
import { root } from '../../support/compose-file.ts';
import { freePort } from '../../support/free-port.ts';
import { connectDevice, credentialOf, Refused, testDevice, type ConnectedDevice, type TestDevice } from '../../support/mqtt-device.ts';
import { describeWithServers } from '../../support/optional-server.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto, type MosquittoServer } from '../../support/servers-mosquitto.ts';
import { until } from '../../support/until.ts';

const missing = { mosquitto: process.env['TEST_MQTT_URL'] === undefined ? mosquittoMissing() : 'TEST_MQTT_URL names one with listeners of its own', openssl: opensslMissing() };

/** The listeners of deploy/mosquitto as they are, with certificates made for this run. */
describeWithServers(missing, 'Mosquitto over TLS', () => {
  let devices: TestAuthority;
  let services: TestAuthority;
  let server: MosquittoServer;
  let provisioner: DynamicSecurity;
  let bridge: DeviceBroker;
  let withPassword: number;
  let withCertificate: number;
  const messages: UplinkMessage[] = [];
  const open: ConnectedDevice[] = [];

  beforeAll(async () => {
    [devices, services] = [createAuthority('Boxes'), createAuthority('Servers')];
    const certificate = services.issue('localhost', ['localhost']);
    [withPassword, withCertificate] = [await freePort(), await freePort()];
    const deployed = (name: string, port: number): string =>
      readFileSync(join(root, 'deploy/mosquitto/listeners', name), 'utf8')
        .replace(/^listener \d+$/m, `listener ${port} 127.0.0.1`)
        .replace('/mosquitto/tls/server.crt', certificate.certFile)
        .replace('/mosquitto/tls/server.key', certificate.keyFile)
        .replace('/mosquitto/tls/devices-ca.crt', devices.caFile);
    server = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters }, { listeners: `${deployed('tls.conf', withPassword)}\n${deployed('tls-certificates.conf', withCertificate)}` });
    const url = `mqtts://localhost:${withPassword}`;
    const tls = () => ({ ca: services.ca });
    provisioner = createDynamicSecurity({ url, tls, login: { clientId: 'provisioner', ...mosquittoServices.provisioner } });
    await provisioner.start();
    bridge = createClientBroker({
      url,
      tls,
      uplink: { clientId: 'bridge-uplink', ...mosquittoServices.uplink },
      downlink: { clientId: 'bridge-downlink', ...mosquittoServices.downlink },
      filters: uplinkFilters,
      credentials: provisioner,
    });
    bridge.uplink.onMessage(async (message) => void messages.push(message));
    await bridge.start();
  });
  afterEach(() => {
    for (const each of open.splice(0)) each.vanish();
  });
  afterAll(async () => {
    await bridge.stop();
    await provisioner.stop();
    await server.stop();
    devices.remove();
    services.remove();
  });

  async function box(): Promise<TestDevice> {
    const device = testDevice();
    await provisioner.provision(credentialOf(device), [device.password]);
    return device;
  }

  async function connected(port: number, device: TestDevice, certificate?: TestCertificate, options: IClientOptions = {}): Promise<ConnectedDevice> {
    const own = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key };
    const connection = await connectDevice(port, device, { protocol: 'mqtts', host: 'localhost', ca: services.ca, ...own, ...options });
    open.push(connection);
    return connection;
  }

  async function opens(device: TestDevice, connection: ConnectedDevice): Promise<void> {
    expect(await connection.subscribe(device.unlock)).toBe(1);
    await connection.publish(device.status, 'hello');
    await until('it came', () => messages.some(({ topic, payload }) => topic === device.status && payload.toString() === 'hello'));
    expect(await bridge.downlink.publish(device.unlock, Buffer.from('open'), { qos: 1, ttlMs: 5_000 })).toEqual({ delivered: true });
    await until('it has it', () => connection.texts().includes('open'));
  }

  it('bridge, provisioner and boxes speak it, with passwords', async () => {
    expect(bridge.health()).toMatchObject({ healthy: true });
    const device = await box();
    await opens(device, await connected(withPassword, device));
    await expect(connected(withPassword, device, undefined, { password: 'wrong' })).rejects.toBeInstanceOf(Refused);
    await expect(connected(withPassword, device, undefined, { ca: devices.ca }), 'a server of another authority').rejects.toBeInstanceOf(Refused);
  });

  it("a bridge that does not trust the broker's certificate is not connected, and says why", async () => {
    const suspicious = createClientBroker({
      url: `mqtts://localhost:${withPassword}`,
      tls: () => ({ ca: devices.ca }),
      uplink: { clientId: 'other-uplink', ...mosquittoServices.uplink },
      downlink: { clientId: 'other-downlink', ...mosquittoServices.downlink },
      filters: uplinkFilters,
      startTimeoutMs: 500,
    });
    suspicious.uplink.onMessage(async () => undefined);
    await suspicious.start();
    expect(suspicious.health()).toMatchObject({ healthy: false, detail: expect.stringMatching(/certificate|unable to verify/i) as string });
    await suspicious.stop();
  });

  it("a box's certificate replaces its password: the name in it is who it is", async () => {
    const [one, other] = [await box(), await box()];
    const certificate = devices.issue(one.id);
    await opens(one, await connected(withCertificate, one, certificate, { password: 'not looked at' }));

    await expect(connected(withCertificate, one), 'none').rejects.toBeInstanceOf(Refused);
    await expect(connected(withCertificate, one, services.issue(one.id)), 'of another authority').rejects.toBeInstanceOf(Refused);

    // Whatever name and client id it gives, it is who the certificate says, and takes nobody's place.
    const victim = await connected(withCertificate, other, devices.issue(other.id));
    expect(await victim.subscribe(other.unlock)).toBe(1);
    const impostor = await connected(withCertificate, other, certificate, { username: other.id, clientId: `device_${other.id}` });
    expect(await impostor.subscribe(other.unlock)).toBeGreaterThanOrEqual(0x80);
    await impostor.publish(other.status, 'forged').catch(() => undefined);
    await victim.publish(other.status, 'genuine');
    await until('the genuine one came', () => messages.some(({ payload }) => payload.toString() === 'genuine'));
    expect(messages.some(({ payload }) => payload.toString() === 'forged')).toBe(false);
    expect(victim.closed()).toBe(false);
  });

  it('a certificate of a box that was shut out opens nothing', async () => {
    const device = await box();
    const certificate = devices.issue(device.id);
    const connection = await connected(withCertificate, device, certificate);
    await provisioner.revoke(device.id);
    await until('its session ended', () => connection.closed());
    const back = await connected(withCertificate, device, certificate).catch(() => undefined);
    if (back === undefined) return;
    expect(await back.subscribe(device.unlock)).toBeGreaterThanOrEqual(0x80);
    await back.publish(device.status, 'from the past').catch(() => undefined);
    await bridge.downlink.publish(device.unlock, Buffer.from('open'), { qos: 1, ttlMs: 2_000 });
    expect(messages.some(({ payload }) => payload.toString() === 'from the past')).toBe(false);
    expect(back.received).toEqual([]);
  });
});
