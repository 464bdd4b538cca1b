import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/platform/logger.ts';
import { createClientBroker } from '../../../src/platform/mqtt/client.ts';
import { createEmbeddedBroker, type EmbeddedBroker, type EmbeddedBrokerOptions } from '../../../src/platform/mqtt/embedded-broker.ts';
import type { DeviceCredential, RefusedByBroker, UplinkMessage } from '../../../src/platform/mqtt/port.ts';
import { watchFiles } from '../../../src/platform/mqtt/tls-files.ts';
import { createAuthority, type TestAuthority, type TestCertificate } from '../../support/certificates.ts';
import { connectDevice, credentialOf, Refused, testDevice, type ConnectedDevice, type TestDevice } from '../../support/mqtt-device.ts';
import { until } from '../../support/until.ts';

// Certificates as they would be in use: made by openssl for this run.
let ours: TestAuthority;
let foreign: TestAuthority;
let server: TestCertificate;
const cleanUp: (() => void | Promise<void>)[] = [];

beforeAll(() => {
  ours = createAuthority();
  foreign = createAuthority('Somebody else');
  server = ours.issue('localhost', ['localhost', '127.0.0.1']);
});
afterEach(async () => {
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
});
afterAll(() => {
  ours.remove();
  foreign.remove();
});

interface Rig {
  readonly broker: EmbeddedBroker;
  readonly messages: UplinkMessage[];
  readonly refused: RefusedByBroker[];
  readonly box: () => TestDevice;
  /** Connects with TLS; `certificate` is the box's own. */
  readonly connect: (box: TestDevice, certificate?: TestCertificate, options?: IClientOptions) => Promise<ConnectedDevice>;
}

async function rig(tls: Partial<NonNullable<EmbeddedBrokerOptions['tls']>> = {}, port?: number): Promise<Rig> {
  const vault = new Map<string, DeviceCredential>();
  const messages: UplinkMessage[] = [];
  const refused: RefusedByBroker[] = [];
  const broker = createEmbeddedBroker({ host: '127.0.0.1', port, authenticate: async (username) => vault.get(username), tls: { port: 0, key: server.key, cert: server.cert, ca: ours.ca, ...tls } });
  broker.uplink.onMessage(async (message) => void messages.push(message));
  broker.uplink.onRefused?.((each) => refused.push(each));
  await broker.start();
  cleanUp.push(() => broker.stop());
  return {
    broker,
    messages,
    refused,
    box() {
      const device = testDevice();
      vault.set(device.id, credentialOf(device));
      return device;
    },
    async connect(device, certificate, options = {}) {
      const own = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key };
      const connection = await connectDevice(broker.tlsAddress().port, device, { protocol: 'mqtts', host: 'localhost', ca: ours.ca, ...own, ...options });
      cleanUp.push(() => connection.vanish());
      return connection;
    },
  };
}

/** What the server shows to whoever connects now. */
function shownBy(broker: EmbeddedBroker): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: broker.tlsAddress().port, host: 'localhost', ca: [ours.ca, foreign.ca], servername: 'localhost' }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('the embedded broker over TLS', () => {
  it('carries reports and commands, resets under TLS too, and takes nothing older than 1.2', async () => {
    const { broker, messages, box, connect } = await rig();
    const device = box();
    const connection = await connect(device);
    await connection.publish(device.status, 'over TLS');
    expect(messages.map(({ payload }) => payload.toString())).toEqual(['over TLS']);
    expect(await connection.subscribe(device.unlock)).toBe(1);
    await broker.downlink.publish(device.unlock, Buffer.from('open'), { qos: 1, ttlMs: 5_000 });
    await until('it came', () => connection.texts().includes('open'));
    await broker.credentials.revoke(device.id);
    await until('it ended', () => connection.closed());
    const old = connectTls({ port: broker.tlsAddress().port, host: 'localhost', ca: ours.ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
    await new Promise<void>((resolve) => old.once('error', () => resolve()));
  });

  it('is told from another one by its certificate', async () => {
    const { box, connect } = await rig();
    await expect(connect(box(), undefined, { ca: foreign.ca })).rejects.toThrow(/certificate/);
    await expect(connect(box(), undefined, { host: '127.0.0.2' })).rejects.toThrow(/127\.0\.0\.2|altnames/);
  });

  it('listens without TLS only where it is told to, and each box may come either way', async () => {
    const both = await rig({}, 0);
    const device = both.box();
    const plain = await connectDevice(both.broker.address().port, device);
    await plain.publish(device.status, 'plain');
    await plain.leave();
    await (await both.connect(device)).publish(device.status, 'encrypted');
    expect(both.messages.map(({ payload }) => payload.toString())).toEqual(['plain', 'encrypted']);
    const alone = await rig();
    expect(alone.broker.address()).toEqual(alone.broker.tlsAddress());
    await expect(connectDevice(alone.broker.tlsAddress().port, alone.box())).rejects.toBeInstanceOf(Refused);
  });

  it('that cannot have its second port gives the first one back', async () => {
    const { broker } = await rig();
    const taken = broker.tlsAddress().port;
    const second = createEmbeddedBroker({ host: '127.0.0.1', port: 0, authenticate: async () => undefined, tls: { port: taken, key: server.key, cert: server.cert } });
    second.uplink.onMessage(async () => undefined);
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.stop();
    expect(second.health().healthy).toBe(false);
  });
});

describe("a box's own certificate", () => {
  it('where it is required: its name is the MQTT identity, and the password stays needed', async () => {
    const { box, connect, refused } = await rig({ clientCertificates: 'required' });
    const [one, other] = [box(), box()];
    const certificate = ours.issue(one.id);
    const connection = await connect(one, certificate);
    await connection.publish(one.status, 'known by both');
    await connection.leave();

    await expect(connect(one), 'none').rejects.toBeInstanceOf(Refused);
    await expect(connect(other, certificate), "another box with this one's certificate").rejects.toBeInstanceOf(Refused);
    await expect(connect(one, certificate, { password: 'wrong' }), 'the certificate alone').rejects.toBeInstanceOf(Refused);
    await expect(connect(one, certificate, { clientId: `device_${other.id}` }), "another box's client id").rejects.toBeInstanceOf(Refused);
    await expect(connect(one, foreign.issue(one.id)), 'of another authority').rejects.toBeInstanceOf(Refused);
    await expect(connect(one, ours.issue(`device_${one.id}`)), 'of another name').rejects.toBeInstanceOf(Refused);
    await expect(connect(one, ours.issue(one.id.toUpperCase())), 'in capitals').rejects.toBeInstanceOf(Refused);
    expect(refused.map(({ reason, username }) => [reason, username])).toEqual([
      ['wrong_certificate', other.id],
      ['wrong_password', undefined],
      ['foreign_client_id', one.id],
      ['wrong_certificate', one.id],
      ['wrong_certificate', one.id],
    ]);
  });

  it('where it is optional: none will do, a wrong one will not', async () => {
    const { box, connect, refused } = await rig({ clientCertificates: 'optional' });
    const [one, other] = [box(), box()];
    await (await connect(one)).leave();
    await (await connect(one, ours.issue(one.id))).leave();
    await expect(connect(one, ours.issue(other.id))).rejects.toBeInstanceOf(Refused);
    await expect(connect(one, foreign.issue(one.id))).rejects.toBeInstanceOf(Refused);
    expect(refused.map(({ reason, username, claimed }) => [reason, username, claimed])).toEqual([
      ['wrong_certificate', one.id, one.id],
      ['wrong_certificate', undefined, one.id],
    ]);
  });

  it('does not outlive its connection: a resumed TLS session shows it again or is none', async () => {
    const { broker, box } = await rig({ clientCertificates: 'required' });
    const certificate = ours.issue(box().id);
    const options = { port: broker.tlsAddress().port, host: 'localhost', ca: ours.ca, servername: 'localhost' };
    const sessions: Buffer[] = [];
    const first = connectTls({ ...options, cert: certificate.cert, key: certificate.key });
    first.on('session', (session: Buffer) => sessions.push(session));
    await new Promise<void>((resolve, reject) => first.once('secureConnect', () => resolve()).once('error', reject));
    first.write('not MQTT');
    await new Promise<void>((resolve) => first.once('close', () => resolve()));
    const second = connectTls({ ...options, ...(sessions[0] === undefined ? {} : { session: sessions[0] }) });
    second.on('secureConnect', () => second.write('GET / HTTP/1.1\r\n\r\n'));
    await new Promise<void>((resolve) => second.once('error', () => resolve()).once('close', () => resolve()));
    expect(second.isSessionReused()).toBe(false);
  });
});

describe('certificates are renewed while it runs', () => {
  it('for the embedded broker, when the files change; what does not fit is not used', async () => {
    const { broker, box, connect } = await rig();
    const [certFile, keyFile] = [join(ours.folder, 'used.crt'), join(ours.folder, 'used.key')];
    const use = (certificate: TestCertificate): void => (copyFileSync(certificate.certFile, certFile), copyFileSync(certificate.keyFile, keyFile));
    use(server);
    const files = watchFiles({ cert: certFile, key: keyFile }, { logger: silentLogger, everyMs: 10 });
    files.onChange((renewed) => broker.renewCertificate(renewed));
    await files.start();
    cleanUp.push(() => files.stop());

    const before = await shownBy(broker);
    const device = box();
    const living = await connect(device);
    const next = ours.issue('localhost', ['localhost']);
    copyFileSync(next.certFile, certFile); // half of it: the key is still the old one's
    writeFileSync(keyFile, 'not a key');
    expect(await shownBy(broker)).toBe(before);
    use(next);
    await until('the new one is shown', async () => (await shownBy(broker)) !== before);
    expect(files.current.cert).toBe(next.cert);
    await living.publish(device.status, 'whoever was there stays');
    expect(() => broker.renewCertificate({ cert: next.cert, key: server.key })).toThrow();
    await (await connect(box())).leave();
  });

  it('a start without the file says so', () => {
    expect(() => watchFiles({ cert: join(ours.folder, 'none.crt') }, { logger: silentLogger })).toThrow('ENOENT');
  });

  it('for the client of an external broker, at each connect', async () => {
    const { broker } = await rig();
    let ca = foreign.ca;
    const client = createClientBroker({
      url: `mqtts://localhost:${broker.tlsAddress().port}`,
      uplink: { clientId: 'up', username: 'up', password: 'x' },
      downlink: { clientId: 'down', username: 'down', password: 'x' },
      filters: ['a'],
      tls: () => ({ ca }),
      startTimeoutMs: 200,
    });
    client.uplink.onMessage(async () => undefined);
    await client.start();
    cleanUp.push(() => client.stop());
    expect(client.health().detail).toMatch(/self.signed|certificate/i);
    ca = ours.ca;
    // Trusted now, and refused for its name and password instead.
    await until('the certificate is no longer the trouble', () => /authori|refused|version/i.test(client.health().detail), 30_000);
    ca = 'half a file';
    await until('it lives on', () => !client.health().healthy);
  });
});
