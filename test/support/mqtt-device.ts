import { createHash, randomUUID } from 'node:crypto';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import type { DeviceCredential } from '../../src/platform/mqtt/port.ts';

/** A box as the broker sees it: one identity, its topics, its password. */
export interface TestDevice {
  readonly id: string;
  readonly password: string;
  readonly status: string;
  readonly unlock: string;
}

export function testDevice(id: string = randomUUID()): TestDevice {
  return { id, password: randomUUID(), status: `loqey/devices/${id}/status`, unlock: `loqey/devices/${id}/commands/unlock` };
}

export function credentialOf(device: TestDevice, ...passwords: readonly string[]): DeviceCredential {
  const prefix = `loqey/devices/${device.id}`;
  return {
    deviceId: device.id,
    username: device.id,
    clientId: `device_${device.id}`,
    passwordHashes: (passwords.length === 0 ? [device.password] : passwords).map((password) => createHash('sha256').update(password).digest('hex')),
    publishTopics: ['status', 'heartbeat', 'battery', 'responses'].map((name) => `${prefix}/${name}`),
    subscribeTopics: ['unlock', 'config', 'system'].map((name) => `${prefix}/commands/${name}`),
  };
}

export interface ConnectedDevice {
  readonly client: MqttClient;
  readonly sessionPresent: boolean;
  /** What came, in order. */
  readonly received: IPublishPacket[];
  readonly texts: () => string[];
  readonly closed: () => boolean;
  /** The SUBACK's code; 128 also when the connection ended instead. */
  readonly subscribe: (filter: string, qos?: 0 | 1) => Promise<number>;
  /** Resolves with PUBACK; rejects when the connection ended first. */
  readonly publish: (topic: string, payload: string | Buffer, options?: { readonly qos?: 0 | 1 | 2; readonly retain?: boolean }) => Promise<void>;
  /** Ends the TCP connection without DISCONNECT. */
  readonly vanish: () => void;
  /** With DISCONNECT. */
  readonly leave: () => Promise<void>;
}

/** The connect was refused; `message` holds the broker's reason. */
export class Refused extends Error {}

/** Connects once; rejects with Refused. With `reconnectPeriod` the client goes on by itself and sends again. */
export async function connectDevice(port: number, device: TestDevice, options: IClientOptions = {}): Promise<ConnectedDevice> {
  const client = mqtt.connect({
    protocol: 'mqtt',
    host: '127.0.0.1',
    port,
    clientId: `device_${device.id}`,
    username: device.id,
    password: device.password,
    protocolVersion: 4,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    keepalive: 30,
    ...options,
  });
  client.setMaxListeners(0);
  const received: IPublishPacket[] = [];
  let closed = false;
  client.on('message', (_topic, _payload, packet) => received.push(packet));
  client.on('error', () => undefined);
  client.on('close', () => (closed = true));
  client.on('connect', () => {
    closed = false;
    if ('setNoDelay' in client.stream) (client.stream as unknown as { setNoDelay(on: boolean): void }).setNoDelay(true);
  });
  const sessionPresent = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', (connack) => resolve(connack.sessionPresent));
    client.once('error', (error) => reject(new Refused(error.message)));
    client.once('close', () => reject(new Refused('the connection was closed')));
  }).catch((error: unknown) => {
    client.end(true);
    throw error;
  });
  const whileOpen = <T>(begin: (done: (error: Error | null | undefined, value: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      const onClose = (): void => {
        if ((client.options.reconnectPeriod ?? 0) === 0) reject(new Error('the connection ended'));
      };
      client.once('close', onClose);
      begin((error, value) => {
        client.off('close', onClose);
        if (error instanceof Error) reject(error);
        else resolve(value);
      });
      if (closed) onClose();
    });
  return {
    client,
    sessionPresent,
    received,
    texts: () => received.map(({ payload }) => payload.toString()),
    closed: () => closed,
    subscribe: (filter, qos = 1) =>
      new Promise((resolve) => {
        if (closed) return resolve(128);
        client.once('close', () => resolve(128));
        client.subscribe(filter, { qos }, (_error, _granted, packet) => {
          const code = packet?.granted[0];
          resolve(typeof code === 'number' ? code : 128);
        });
      }),
    publish: async (topic, payload, { qos = 1, retain = false } = {}) => {
      await whileOpen((done) => client.publish(topic, payload, { qos, retain }, done));
    },
    vanish() {
      client.options.reconnectPeriod = 0;
      client.stream.destroy();
      client.end(true);
    },
    leave: () => client.endAsync(),
  };
}

/** 40 topics that are no box's own: as a subscription, a publication and a will each must be refused or have no effect. */
export function foreignTopics(own: TestDevice, victim: TestDevice): readonly string[] {
  const mine = `loqey/devices/${own.id}`;
  const theirs = `loqey/devices/${victim.id}`;
  return [
    '#',
    '+',
    '+/#',
    '+/+/+/+',
    '+/+/+/+/+',
    'loqey/#',
    'loqey/devices/#',
    'loqey/devices/+',
    'loqey/devices/+/#',
    'loqey/devices/+/status',
    'loqey/devices/+/responses',
    'loqey/devices/+/commands/#',
    'loqey/devices/+/commands/unlock',
    '+/devices/+/commands/unlock',
    `${theirs}/#`,
    `${theirs}/status`,
    `${theirs}/heartbeat`,
    `${theirs}/battery`,
    `${theirs}/responses`,
    `${theirs}/commands/unlock`,
    `${theirs}/commands/config`,
    `${theirs}/commands/system`,
    `${theirs}/command`,
    `${mine}/#`,
    `${mine}/commands/+`,
    `${mine}/command`,
    `${mine}/status/`,
    `/${mine}/status`,
    `${mine.toUpperCase()}/STATUS`,
    `$share/bridge/loqey/devices/+/status`,
    `$share/other/${theirs}/commands/unlock`,
    '$SYS/#',
    '$SYS/broker/uptime',
    '$CONTROL/dynamic-security/v1',
    '$CONTROL/dynamic-security/v1/response',
    'smartlock/+/command',
    `smartlock/${victim.id}/ota`,
    '/topic/transisttag/#',
    '/topic/transisttag/command',
    '/topic/transisttag/status',
  ];
}
