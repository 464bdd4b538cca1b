import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import type { Provisioning } from '../../src/simulator/provisioning.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person, type RegisteredBox } from '../support/people.ts';
import { until } from '../support/until.ts';

// A box written from the old documents alone: their topics, their payloads, plain MQTT, no line of this repository.

interface OldPayload {
  readonly [name: string]: unknown;
}

/** How one family of old firmware says it. */
interface OldFirmware {
  readonly profile: Provisioning['profile'];
  readonly hardwareId?: string;
  readonly commandTopic: (box: RegisteredBox) => string;
  readonly prefix: (box: RegisteredBox) => string;
  /** What it calls itself in its payloads. */
  readonly name: (box: RegisteredBox) => string;
  /** Undefined: it has no topic for answers and says in its status that it is open. */
  readonly responseTopic: string | undefined;
  readonly hello: (name: string) => readonly (readonly [topic: string, payload: OldPayload])[];
  readonly answer: (name: string, success: boolean) => OldPayload;
}

const at = () => new Date().toISOString();
const loqeyHello: OldFirmware['hello'] = (name) => [
  ['status', { device_id: name, status: 'locked', battery: 79, online: true, timestamp: at(), firmware_version: '0.9.1' }],
  ['heartbeat', { device_id: name, online: true, battery: 79, signal_strength: -58, timestamp: at() }],
  ['battery', { level: 74 }],
];
const loqeyAnswer: OldFirmware['answer'] = (name, success) => ({
  device_id: name,
  command: 'unlock',
  success,
  message: success ? 'Device unlocked successfully' : 'Motor blocked',
  new_status: success ? 'unlocked' : 'locked',
  timestamp: at(),
  battery_level: 74,
});

const families: readonly OldFirmware[] = [
  {
    profile: 'loqey',
    prefix: ({ deviceId }) => `loqey/devices/${deviceId}`,
    commandTopic: ({ deviceId }) => `loqey/devices/${deviceId}/commands/unlock`,
    name: ({ deviceId }) => deviceId,
    responseTopic: 'responses',
    hello: loqeyHello,
    answer: loqeyAnswer,
  },
  {
    profile: 'loqey_serial',
    prefix: ({ serialNumber }) => `loqey/devices/${serialNumber}`,
    commandTopic: ({ serialNumber }) => `loqey/devices/${serialNumber}/command`,
    name: ({ serialNumber }) => serialNumber,
    responseTopic: 'responses',
    hello: () => [
      ['status', { status: 'locked', timestamp: at(), battery_level: '74' }],
      ['heartbeat', { timestamp: at(), status: 'online' }],
    ],
    answer: loqeyAnswer,
  },
  {
    profile: 'smartlock',
    hardwareId: 'A4CF12B37D5E',
    prefix: () => 'smartlock/A4CF12B37D5E',
    commandTopic: () => 'smartlock/A4CF12B37D5E/command',
    name: () => 'A4CF12B37D5E',
    responseTopic: 'response',
    hello: () => [
      ['status', { online: true, battery: 74, lock_status: 'locked', signal_strength: -58, temperature: 21.5, timestamp: at() }],
      ['heartbeat', { timestamp: at(), uptime: 86_400 }],
    ],
    answer: (_, success) => ({ request_id: 'whatever it was', success, status: success ? 'unlocked' : 'locked', timestamp: at() }),
  },
  {
    profile: 'transisttag',
    prefix: () => '/topic/transisttag',
    commandTopic: () => '/topic/transisttag/command',
    name: ({ deviceId }) => deviceId,
    responseTopic: undefined,
    hello: (name) => [['status', { device_id: name, status: 'locked', battery: 74, online: true, timestamp: at(), firmware_version: '0.8' }]],
    answer: (name, success) => ({ device_id: name, status: success ? 'unlocked' : 'locked', battery: 74, online: true, timestamp: at() }),
  },
];

class OldBox {
  readonly commands: OldPayload[] = [];
  readonly client: MqttClient;
  readonly firmware: OldFirmware;
  readonly box: RegisteredBox;
  blocked = false;

  private constructor(firmware: OldFirmware, box: RegisteredBox, client: MqttClient) {
    this.firmware = firmware;
    this.box = box;
    this.client = client;
    client.on('message', (_topic, payload) => this.onCommand(JSON.parse(payload.toString()) as OldPayload));
  }

  static async connect(firmware: OldFirmware, box: RegisteredBox): Promise<OldBox> {
    const { url, client_id: clientId, username, password } = box.provisioning.mqtt;
    const client = await mqtt.connectAsync(url, { clientId, username, password, keepalive: 60, connectTimeout: 10_000, reconnectPeriod: 0 });
    const old = new OldBox(firmware, box, client);
    const [granted] = await client.subscribeAsync(firmware.commandTopic(box), { qos: 1 });
    expect(granted?.qos).toBe(1);
    for (const [topic, payload] of firmware.hello(firmware.name(box))) await old.publish(topic, payload);
    return old;
  }

  publish(topic: string, payload: OldPayload): Promise<unknown> {
    return this.client.publishAsync(`${this.firmware.prefix(this.box)}/${topic}`, JSON.stringify(payload), { qos: 1 });
  }

  private onCommand(command: OldPayload): void {
    this.commands.push(command);
    // Payload A says `command`, payload B `action`; where it names a box, this firmware looks whether it is meant.
    const name = this.firmware.name(this.box);
    if (command['command'] !== 'unlock' || command['action'] !== 'unlock' || command['device_id'] !== name) return;
    void this.publish(this.firmware.responseTopic ?? 'status', this.firmware.answer(name, !this.blocked));
  }

  close(): Promise<void> {
    return this.client.endAsync();
  }
}

let app: RunningApp;
let admin: Person;
let owner: Person;

beforeAll(async () => {
  app = await startApp({ environment: 'development', allowLevel0Devices: true });
  admin = await signInAdmin(app.url, app.admin);
  owner = await newOwner(app.url);
});
afterAll(() => app.stop());

const outcome = (person: Person, commandId: string) =>
  until('the unlock to come to an end', async () => {
    const command = await person.api.get<{ status: string }>(`/commands/${commandId}`);
    return ['opened', 'failed', 'unknown', 'cancelled', 'expired'].includes(command.status) ? command.status : undefined;
  });

describe.each(families)('old firmware, $profile', (firmware) => {
  let box: RegisteredBox;
  let old: OldBox;

  beforeAll(async () => {
    box = await registerBox(admin, { profile: firmware.profile, ...(firmware.hardwareId === undefined ? {} : { hardware_id: firmware.hardwareId }) });
    await claim(owner, box);
    old = await OldBox.connect(firmware, box);
  });
  afterAll(() => old.close());

  test('the registration names its topics and its credentials', () => {
    expect(box.provisioning.topic_prefix).toBe(firmware.prefix(box));
    expect(box.provisioning.mqtt).toMatchObject({ client_id: `device_${box.deviceId}`, username: box.deviceId });
  });

  test('what it says of itself is shown to its owner', async () => {
    const status = await until('its report to be readable', async () => {
      const seen = await owner.api.get<{ lock_status: string; battery_level: number | null; is_online: boolean }>(`/devices/${box.deviceId}/status`);
      return seen.battery_level === 74 && seen.lock_status === 'locked' ? seen : undefined;
    });
    expect(status.is_online).toBe(true);
  });

  test('its owner opens it', async () => {
    const { command_id: commandId } = await owner.api.post<{ command_id: string }>(`/devices/${box.deviceId}/unlock`);
    expect(await outcome(owner, commandId)).toBe('opened');
    const [command] = old.commands;
    expect(command).toMatchObject({ command: 'unlock', action: 'unlock', device_id: firmware.name(box), source: 'mobile_app', user_id: owner.userId });
    expect(Date.parse(String(command?.['timestamp']))).toBeGreaterThan(Date.now() - 60_000);
    expect(JSON.stringify(command)).not.toContain(box.pin);
  });

  test('a courier opens it, and the secret of the link stays here', async () => {
    await old.publish('status', firmware.hello(firmware.name(box))[0]![1]); // shut again
    await until('it to be locked again', async () => (await owner.api.get<{ lock_status: string }>(`/devices/${box.deviceId}/status`)).lock_status === 'locked');
    const link = await newLink(owner, box.deviceId, 1);
    const answer = await tap(app.url, link.token);
    expect([answer.status, answer.body.delivery_complete]).toEqual([200, true]);
    expect(old.commands.at(-1)).toMatchObject({ source: 'delivery_link', access_token: link.id });
    expect(JSON.stringify(old.commands)).not.toContain(link.token);
    expect((await tap(app.url, link.token)).status).toBe(422);
  });

  test.skipIf(firmware.responseTopic === undefined)('its "it did not work" never gives a use back', async () => {
    old.blocked = true;
    const link = await newLink(owner, box.deviceId, 1);
    const answer = await tap(app.url, link.token);
    old.blocked = false;
    expect(answer.status).toBe(409);
    expect(answer.body.details).toMatchObject({ status: 'failed', use_returned: false });
    expect((await tap(app.url, link.token)).status).toBe(422);
  });

  test('rubbish from it does nothing, and the next word counts', async () => {
    for (const payload of ['', 'no json', '[]', '{"battery":1e9}', `{"status":"${'x'.repeat(3_000)}"}`, '{"__proto__":{"status":"unlocked"}}']) {
      await old.client.publishAsync(`${firmware.prefix(box)}/status`, payload, { qos: 1 });
    }
    await old.publish('status', { device_id: firmware.name(box), status: 'unlocked', lock_status: 'unlocked', battery: 55, online: true });
    await until('the next report to count', async () => (await owner.api.get<{ battery_level: number }>(`/devices/${box.deviceId}/status`)).battery_level === 55);
    expect(old.client.connected).toBe(true);
  });

  test('when it says goodbye, nobody can open it', async () => {
    await old.publish('status', { device_id: firmware.name(box), online: false });
    await until('it to be offline', async () => (await owner.api.call('POST', `/devices/${box.deviceId}/unlock`)).status === 409);
  });
});

describe('the end of level 0', () => {
  test('after one signed report nothing unsigned counts from this box, and none is sent to it', async () => {
    const firmware = families[0]!;
    const box = await registerBox(admin);
    const old = await OldBox.connect(firmware, box);
    await until('it to be believed', async () => (await admin.api.get<{ battery_level: number | null }>(`/admin/devices/${box.deviceId}`)).battery_level === 74);
    await old.close();

    // The new firmware comes once.
    const updated = createLockbox({ provisioning: box.provisioning, firstConnectWithinMs: 0, battery: 90 });
    await updated.start();
    await updated.ready();
    await until('its level to be known', async () => (await admin.api.get<{ protocol_level: number }>(`/admin/devices/${box.deviceId}`)).protocol_level === 1);
    await updated.stop();
    // Claimed while it is away: with its first report afterwards the box would get a new key, and the old firmware not even in.
    await claim(owner, box);

    const back = await OldBox.connect(firmware, box);
    const before = await owner.api.get<{ battery_level: number }>(`/devices/${box.deviceId}/status`);
    expect(before.battery_level).toBe(90);
    await back.publish('status', { device_id: box.deviceId, status: 'unlocked', battery: 12, online: true });
    await until('the unsigned reports to be counted as such', async () => /unsigned_from_pinned"} [1-9]/.test(await app.metrics.registry.metrics()));
    expect(await owner.api.get(`/devices/${box.deviceId}/status`)).toMatchObject({ battery_level: 90, lock_status: 'locked' });
    const answer = await owner.api.call<{ message: string }>('POST', `/devices/${box.deviceId}/unlock`);
    expect([answer.status, answer.body.message]).toEqual([409, 'Device is offline']);
    expect(back.commands).toEqual([]);
    await back.close();
  });

  test('where ALLOW_LEVEL0_DEVICES is false, such a box is heard and never opened', async () => {
    const strict = await startApp({ environment: 'development', allowLevel0Devices: false });
    try {
      const keeper = await signInAdmin(strict.url, strict.admin);
      const person = await newOwner(strict.url);
      const box = await registerBox(keeper);
      await claim(person, box);
      const link = await newLink(person, box.deviceId, 1);
      const old = await OldBox.connect(families[0]!, box);
      await until('it to be heard', async () => (await person.api.get<{ battery_level: number | null }>(`/devices/${box.deviceId}/status`)).battery_level === 74);
      expect((await person.api.call('POST', `/devices/${box.deviceId}/unlock`)).status).toBe(409);
      expect((await keeper.api.call('POST', `/admin/devices/${box.deviceId}/unlock`, { reason: 'stuck parcel' })).status).toBe(409);
      expect((await tap(strict.url, link.token)).status).toBeGreaterThanOrEqual(409);
      expect(old.commands).toEqual([]);
      await old.close();
    } finally {
      await strict.stop();
    }
  });
});
