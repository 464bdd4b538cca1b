import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { uplinkFilters } from '../bridge/topics.ts';
import { createEmbeddedBroker } from '../platform/mqtt/embedded-broker.ts';
import type { CredentialRegistry, DeviceBroker } from '../platform/mqtt/port.ts';
import { watchFiles } from '../platform/mqtt/tls-files.ts';
import type { DeviceCredentials } from '../platform/vault/device-credentials.ts';
import { stateOf, type Ground } from './ground.ts';

const LEVEL0_KEEPALIVE_SECONDS = 30;

export interface Broker {
  /** Undefined where this process has no bridge: then it only tells the broker about devices. */
  readonly device: DeviceBroker | undefined;
  /** The vault's record and the broker's, in this order. */
  readonly credentials: CredentialRegistry;
  /** What boxes are told to connect to. */
  url(): string;
  readonly caPem: string | undefined;
  describe(): string;
}

/** The embedded broker, or the identities at an external one. Not started: intake comes last. */
export async function openBroker(ground: Ground, vault: DeviceCredentials, isOldFirmware: (deviceId: string) => Promise<boolean>): Promise<Broker> {
  const { config, logger, metrics, clock, options } = ground;
  const { mqttTlsCaFile: caFile, mqttTlsCertFile: certFile, mqttTlsKeyFile: keyFile } = config;
  const caPem = caFile === undefined ? undefined : readFileSync(caFile, 'utf8');
  const isBridge = config.roles.includes('bridge');

  if (config.mqttUrl === undefined) {
    if (!isBridge) return { device: undefined, credentials: vault, url: () => config.mqttPublicUrl ?? '', caPem, describe: () => 'in another process' };
    const clientCaFile = config.mqttTlsClientCerts === 'off' ? undefined : (config.mqttTlsClientCaFile ?? caFile);
    const files =
      certFile === undefined || keyFile === undefined
        ? undefined
        : watchFiles({ cert: certFile, key: keyFile, ...(clientCaFile === undefined ? {} : { ca: clientCaFile }) }, { logger });
    const broker = createEmbeddedBroker({
      host: config.host,
      port: config.mqttPlain ? config.mqttBrokerPort : undefined,
      authenticate: (username) => vault.credential(username),
      // What such a box is sent it obeys whenever it comes: a dead connection must be noticed soon.
      ...(config.environment === 'production' && config.allowLevel0Devices
        ? { keepaliveOf: async (username: string) => ((await isOldFirmware(username)) ? LEVEL0_KEEPALIVE_SECONDS : undefined) }
        : {}),
      ...(files === undefined ? {} : { tls: { ...files.current, port: config.mqttTlsPort, clientCertificates: config.mqttTlsClientCerts } }),
      ...(options.brokerLimits === undefined ? {} : { limits: options.brokerLimits }),
      logger,
      metrics,
      clock,
    });
    if (files !== undefined) {
      files.onChange((renewed) => broker.renewCertificate(renewed));
      await ground.start('certificates', files);
    }
    const urlOf = (scheme: 'mqtt' | 'mqtts', { host, port }: { readonly host: string; readonly port: number }) =>
      `${scheme}://${host === '0.0.0.0' || host === '::' ? 'localhost' : host}:${port}`;
    // Boxes are told the encrypted one where there are two.
    const listening = () => (files === undefined ? urlOf('mqtt', broker.address()) : urlOf('mqtts', broker.tlsAddress()));
    return {
      device: broker,
      credentials: both(vault, broker.credentials),
      url: () => config.mqttPublicUrl ?? listening(),
      caPem,
      describe: () => `embedded, ${listening()}${files !== undefined && config.mqttPlain ? ` and ${urlOf('mqtt', broker.address())}` : ''}`,
    };
  }

  // Loaded where they are used, as all clients of the real engines.
  const { createClientBroker } = await import('../platform/mqtt/client.ts');
  const { createDynamicSecurity, SHARED_GROUP } = await import('../platform/mqtt/dynamic-security.ts');
  const url = config.mqttUrl;
  // Read at each connect: whoever renews them needs no restart here.
  const pem = <K extends 'ca' | 'cert' | 'key'>(name: K, path: string | undefined) => (path === undefined ? {} : { [name]: readFileSync(path, 'utf8') });
  const files = () => ({ ...pem('ca', caFile), ...pem('cert', certFile), ...pem('key', keyFile) });
  files(); // one that is missing stops the start, not the first connection
  const connecting = {
    url,
    ...(url.toLowerCase().startsWith('mqtts:') ? { tls: files } : {}),
    keepaliveSeconds: config.mqttKeepaliveSeconds,
    timeoutMs: config.mqttTimeoutSeconds * 1_000,
    logger,
  };
  // Its name is its own in any case: a broker throws out the former one of two with the same, and both would try again for ever.
  const provisioner =
    config.mqttAdminUsername === undefined
      ? undefined
      : await ground.start(
          'broker provisioner',
          createDynamicSecurity({ ...connecting, login: login(config.mqttAdminUsername, config.mqttAdminPassword, `${config.mqttClientId}_provisioner_${randomBytes(4).toString('hex')}`) }),
        );
  const device = isBridge
    ? createClientBroker({
        ...connecting,
        uplink: login(config.mqttUsername, config.mqttPassword, `${config.mqttClientId}_uplink`),
        downlink: login(config.mqttDownlinkUsername, config.mqttDownlinkPassword, `${config.mqttClientId}_downlink`),
        filters: uplinkFilters.map((filter) => `$share/${SHARED_GROUP}/${filter}`),
        metrics,
        clock,
      })
    : undefined;
  return {
    device,
    credentials: provisioner === undefined ? vault : both(vault, provisioner),
    url: () => config.mqttPublicUrl ?? url,
    caPem,
    describe: () => new URL(url).host,
  };
}

function login(username: string, password: string | undefined, clientId: string): { readonly username: string; readonly password: string; readonly clientId: string } {
  return { username, password: password ?? '', clientId };
}

/** The vault first, both ways: the embedded broker asks it at each connect, so a box cut off there cannot slip back in. */
function both(vault: CredentialRegistry, broker: CredentialRegistry): CredentialRegistry {
  return {
    async provision(credential, passwords) {
      await vault.provision(credential, passwords);
      await broker.provision(credential, passwords);
    },
    async revoke(deviceId) {
      await vault.revoke(deviceId);
      await broker.revoke(deviceId);
    },
  };
}

export function brokerHealth(ground: Ground, device: DeviceBroker): void {
  ground.health.set('mqtt', () => stateOf(device.health()));
}
