import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deriveKeys, httpBearer } from '../../src/bridge/protocol/keys.ts';
import { httpConnector } from '../../src/simulator/http-connector.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { connectDevice, Refused } from '../support/mqtt-device.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person, type RegisteredBox } from '../support/people.ts';
import { startPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

interface Rejected {
  readonly counts: readonly { readonly reason: string; readonly count: number }[];
  readonly messages: readonly { readonly reason: string; readonly via: string; readonly topic: string | null; readonly sample: string; readonly claimed?: string | null; readonly address?: string | null }[];
}

let app: RunningApp;
let admin: Person;
let owner: Person;
const boxes: Lockbox[] = [];

beforeAll(async () => {
  app = await startApp();
  admin = await signInAdmin(app.url, app.admin);
  owner = await newOwner(app.url);
});
afterEach(async () => {
  await Promise.all(boxes.splice(0).map((box) => box.stop()));
});
afterAll(() => app.stop());

async function claimed(): Promise<RegisteredBox> {
  const registered = await registerBox(admin);
  await claim(owner, registered);
  return registered;
}

async function overHttp({ provisioning }: RegisteredBox): Promise<Lockbox> {
  const box = createLockbox({ provisioning, connect: httpConnector({ api: app.url, waitSeconds: 5 }), firstConnectWithinMs: 0, boltMs: 5 });
  boxes.push(box);
  await box.start();
  await box.ready();
  return box;
}

const bearerOf = ({ deviceId, provisioning }: RegisteredBox) => httpBearer(deriveKeys(Buffer.from(provisioning.device_key, 'hex'), deviceId, provisioning.key_version));

async function ask(registered: RegisteredBox, method: string, path: string, body?: string, bearer = bearerOf(registered)) {
  const response = await fetch(`${app.url}/api/v1/devices/${registered.deviceId}${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: JSON.parse(text) as Record<string, unknown> };
}

const rejectedOf = (deviceId: string, count: number) =>
  until('they are recorded', async () => {
    const page = await admin.api.get<Rejected>(`/admin/devices/${deviceId}/rejected-messages`);
    return page.messages.length >= count && page;
  });

describe('a box without MQTT', () => {
  test('is claimed, opened by its owner and a courier, relocks, comes back after a power cut; its own record says the same', async () => {
    const registered = await claimed();
    const box = await overHttp(registered);
    await owner.api.post(`/devices/${registered.deviceId}/unlock`);
    await until('it opened', () => box.stats.openings === 1);
    // The claim gave it a new key, with its next heartbeat, and with that a new connection.
    await until('a new key is on its way', async () => (await admin.api.get<{ rotating_to: number | null }>(`/admin/devices/${registered.deviceId}`)).rotating_to === 2);
    expect(box.sendHeartbeat()).toBe(true);
    await until('it has its new key', () => box.state?.keyVersion === 2 && box.state.now !== undefined);
    const link = await newLink(owner, registered.deviceId, 1);
    const answer = await tap(app.url, link.token);
    expect([answer.status, answer.body]).toMatchObject([200, { delivery_complete: true }]);
    expect(box.movements.filter(({ to }) => to === 'unlocked').length).toBeGreaterThan(0);
    await until('its answers were acknowledged', () => box.state?.outbox === 0, 30_000);

    const again = box.waitFor('time', { timeoutMs: 20_000 });
    box.powerOff();
    box.powerOn();
    await again;
    await until('it can be opened again', async () => (await owner.api.call('POST', `/devices/${registered.deviceId}/unlock`)).status === 200);
    await until('it opened', () => box.stats.openings === 3);
    const trace = await admin.api.get<{ hops?: unknown }>(`/admin/unlocks/${box.movements.findLast(({ cause }) => cause === 'command')!.commandId!}/trace`);
    expect(JSON.stringify(trace)).toContain('UnlockPublished');
  });

  test('signs in with its own key and nothing else', async () => {
    const [one, other] = [await claimed(), await claimed()];
    const refusals = [
      await ask(one, 'POST', '/status', '{}', bearerOf(other)),
      await ask(one, 'POST', '/status', '{}', one.provisioning.mqtt.password),
      await ask(one, 'POST', '/status', '{}', owner.token),
      await ask(one, 'GET', '/commands', undefined, admin.token),
      await ask(one, 'PUT', `/commands/${one.deviceId}`, undefined, 'x'),
    ];
    for (const { status, body, headers } of refusals) {
      expect([status, body['error'], body['message'], headers.get('www-authenticate')]).toEqual([401, 'unauthorized', 'Invalid device credential', 'Bearer']);
    }
    // And its key opens nothing of its owner's.
    expect((await fetch(`${app.url}/api/v1/devices/${one.deviceId}/status`, { headers: { authorization: `Bearer ${bearerOf(one)}` } })).status).toBe(401);
    const { messages } = await until('they are recorded', async () => {
      const page = await admin.api.get<Rejected>('/admin/rejected-messages');
      return page.messages.some(({ claimed: who }) => who === one.deviceId) && page;
    });
    expect(messages.filter(({ reason }) => reason === 'wrong_credential').map(({ via, claimed, sample }) => [via, claimed, sample])).toContainEqual(['http', one.deviceId, '']);
    await admin.api.post(`/admin/devices/${one.deviceId}/decommission`, { reason: 'broken' });
    await until('it is shut out', async () => (await ask(one, 'GET', '/commands?wait=0')).status === 401);
  });

  test('is told what is wrong with a request, not with a signature', async () => {
    const registered = await claimed();
    expect(await ask(registered, 'POST', '/status', 'no json at all')).toMatchObject({ status: 202, body: { message: 'Taken' } });
    expect(await ask(registered, 'POST', '/heartbeat', '')).toMatchObject({ status: 202 });
    expect(await ask(registered, 'POST', '/status', 'x'.repeat(4_097))).toMatchObject({ status: 413, body: { error: 'payload_too_large', message: 'A report has at most 4,096 bytes' } });
    expect(await ask(registered, 'POST', '/status', 'x'.repeat(100_000))).toMatchObject({ status: 413, body: { error: 'payload_too_large' } });
    expect(await ask(registered, 'GET', '/commands?wait=26')).toMatchObject({ status: 400, body: { error: 'validation_error', details: { wait: expect.any(String) as string } } });
    expect(await ask(registered, 'PUT', `/commands/${registered.deviceId}`)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Command not found' } });
    expect(await ask(registered, 'POST', '/readings', '{}')).toMatchObject({ status: 404 });
    for (let n = 0; n < 40; n++) {
      const { status, headers } = await ask(registered, 'POST', '/battery', '{"level":50}');
      if (status === 429) {
        expect(headers.get('retry-after')).toBe('1');
        break;
      }
      expect([n, status]).toEqual([n, 202]);
    }
    const { counts, messages } = await until('all are recorded', async () => {
      const page = await rejectedOf(registered.deviceId, 4);
      return page.counts.some(({ reason }) => reason === 'rate') && page;
    });
    expect(counts.map(({ reason }) => reason)).toEqual(expect.arrayContaining(['not_json', 'too_large', 'rate']));
    expect(messages.every(({ via, topic }) => via === 'http' && topic?.includes(registered.deviceId) === true)).toBe(true);
  });
});

describe('what is refused over MQTT', () => {
  const deviceOf = ({ deviceId, provisioning }: RegisteredBox) => ({ id: deviceId, password: provisioning.mqtt.password, status: `loqey/devices/${deviceId}/status`, unlock: `loqey/devices/${deviceId}/commands/unlock` });
  const port = () => Number(new URL(app.addresses.mqtt!).port);

  test('is shown to administrators, of each box and of strangers, by reason, without its secrets', async () => {
    const [registered, other] = [await claimed(), await claimed()];
    const device = deviceOf(registered);
    const connection = await connectDevice(port(), device);
    await connection.publish(device.status, '{"battery":900,"pin":"482913"}');
    await connection.publish(`loqey/devices/${other.deviceId}/status`, '{"status":"unlocked"}');
    await connection.publish(device.status, Buffer.alloc(5_000, 0x41));
    await connection.publish(device.status, '{"status":"locked"}', { retain: true });
    expect(await connection.subscribe('#')).toBe(128);
    connection.vanish();
    await expect(connectDevice(port(), device, { clientId: `device_${other.deviceId}` })).rejects.toBeInstanceOf(Refused);
    await expect(connectDevice(port(), device, { password: 'wrong' })).rejects.toBeInstanceOf(Refused);

    const { messages } = await rejectedOf(registered.deviceId, 6);
    const byReason = new Map(messages.map((message) => [message.reason, message]));
    expect([...byReason.keys()].sort()).toEqual(['foreign_client_id', 'foreign_subscription', 'foreign_topic', 'invalid', 'retained', 'too_large']);
    expect(byReason.get('invalid')!.sample).toBe('{"battery":900,"pin":"…"}');
    expect(byReason.get('foreign_topic')).toMatchObject({ topic: `loqey/devices/${other.deviceId}/status`, via: 'mqtt' });
    expect(byReason.get('foreign_subscription')).toMatchObject({ topic: '#' });
    // Whose topic it was is not the one who sent it.
    expect((await admin.api.get<Rejected>(`/admin/devices/${other.deviceId}/rejected-messages`)).messages).toEqual([]);
    const strangers = await until('the wrong password is recorded', async () => {
      const page = await admin.api.get<Rejected>('/admin/rejected-messages');
      return page.messages.some(({ reason }) => reason === 'wrong_password') && page;
    });
    expect(strangers.messages.find(({ reason }) => reason === 'wrong_password')).toMatchObject({ claimed: registered.deviceId, address: expect.stringContaining('127.0.0.1') as string });
    expect(JSON.stringify([messages, strangers])).not.toContain('482913');
  });

  test('an owner does not see it, nor anybody of a box that there is not', async () => {
    const registered = await claimed();
    expect((await owner.api.call('GET', `/admin/devices/${registered.deviceId}/rejected-messages`)).status).toBe(403);
    expect((await admin.api.call('GET', '/admin/devices/00000000-0000-4000-8000-000000000000/rejected-messages')).status).toBe(404);
  });
});

describe('a bridge alone', () => {
  test('starts without any secret, lets boxes in by the hashes of the vault, and says how it is', async () => {
    const database = await startPostgres();
    const databaseUrl = await database.createDatabase();
    const { secretKey, dataKeyMaster, auditSigningKey } = testSecrets();
    const everything = await startApp({ databaseUrl }, { secrets: { secretKey, dataKeyMaster, auditSigningKey } });
    const keeper = await signInAdmin(everything.url, everything.admin);
    const registered = await registerBox(keeper);
    const none = { secretKey: undefined, dataKeyMaster: undefined, auditSigningKey: undefined };
    const bridge = await startApp({ databaseUrl, roles: ['bridge'] }, { secrets: none });
    try {
      expect((await fetch(`${bridge.url}/health/ready`)).status).toBe(200);
      expect(await (await fetch(`${bridge.url}/health`)).json()).toMatchObject({ status: 'healthy', services: { mqtt: 'healthy', worker: 'not_here' } });
      const device = { id: registered.deviceId, password: registered.provisioning.mqtt.password, status: `loqey/devices/${registered.deviceId}/status`, unlock: `loqey/devices/${registered.deviceId}/commands/unlock` };
      const connection = await connectDevice(Number(new URL(bridge.addresses.mqtt!).port), device);
      expect(await connection.subscribe(device.unlock)).toBe(1);
      connection.vanish();
      // The others cannot: they open what is sealed.
      for (const role of ['api', 'worker', 'projector'] as const) {
        await expect(startApp({ databaseUrl, roles: [role] }, { secrets: none })).rejects.toThrow('DATA_KEY_MASTER is needed');
      }
      const projector = await startApp({ databaseUrl, roles: ['projector'] }, { secrets: { ...none, dataKeyMaster } });
      expect((await fetch(`${projector.url}/health/live`)).status).toBe(200);
      await projector.stop();
    } finally {
      await bridge.stop();
      await everything.stop();
      await database.stop();
    }
  });
});
