import mqtt from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLockbox, type Lockbox, type LockboxOptions } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { claim, newOwner, registerBox, signInAdmin, type Person, type RegisteredBox } from '../support/people.ts';
import { until } from '../support/until.ts';

/** The whole system and a simulated box: what its owner and an administrator do to it beside opening it. */
let app: RunningApp;
let admin: Person;
const boxes: Lockbox[] = [];
beforeAll(async () => {
  app = await startApp();
  admin = await signInAdmin(app.url, app.admin);
});
afterEach(async () => {
  await Promise.all(boxes.splice(0).map((box) => box.stop()));
});
afterAll(() => app.stop());

interface Owned {
  readonly owner: Person;
  readonly registered: RegisteredBox;
  readonly box: Lockbox;
  readonly path: string;
}

async function aBox(options: Partial<LockboxOptions> = {}): Promise<Owned> {
  const owner = await newOwner(app.url);
  const registered = await registerBox(admin);
  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: 10, ...options });
  boxes.push(box);
  await box.start();
  await box.ready();
  await claim(owner, registered);
  const path = `/devices/${registered.deviceId}`;
  await until('online', async () => (await owner.api.get<{ is_online: boolean }>(`${path}/status`)).is_online);
  return { owner, registered, box, path };
}

const ofAdmin = ({ registered }: Owned) => `/admin/devices/${registered.deviceId}`;
const keyed = (box: Lockbox, version: number) => until(`key ${version}`, () => box.state?.keyVersion === version && box.state.pendingKeyVersion === undefined);

async function opens({ owner, path, box }: Owned): Promise<void> {
  await until('reachable, and open', async () => {
    const answer = await owner.api.call<{ command_id?: string }>('POST', `${path}/unlock`, {});
    if (answer.status !== 200) return false;
    await until('its end', async () => !['requested', 'dispatched', 'published', 'acknowledged'].includes((await owner.api.get<{ status: string }>(`/commands/${answer.body.command_id}`)).status));
    return (await owner.api.get<{ status: string }>(`/commands/${answer.body.command_id}`)).status === 'opened';
  });
  expect(box.status).toBe('unlocked');
}

/** What the broker says to this password. */
async function knocks({ registered }: Owned, password: string): Promise<string> {
  const { url, client_id: clientId, username } = registered.provisioning.mqtt;
  return new Promise((resolve) => {
    const client = mqtt.connect(url, { clientId, username, password, reconnectPeriod: 0, connectTimeout: 5_000 });
    client.once('connect', () => (resolve('accepted'), client.end(true)));
    client.once('error', (error) => (resolve(error.message), client.end(true)));
  });
}

describe('settings', () => {
  test('reach the box, and what it made of them reaches the app', async () => {
    const owned = await aBox();
    const { owner, path, box } = owned;
    const applied = box.waitFor('config');
    expect(await owner.api.put(`${path}/settings`, { auto_lock_delay: 5, led_enabled: false })).toMatchObject({ auto_lock_delay: 5, led_enabled: false, config_version: 1 });
    expect(await applied).toMatchObject({ version: 1, rejected: [] });
    expect(box.state?.config).toMatchObject({ auto_lock_delay: 5, led_enabled: false, silent_mode: false });
    const settings = await until('applied', async () => {
      const said = await owner.api.get<Record<string, unknown>>(`${path}/settings`);
      return said['status'] === 'applied' && said;
    });
    expect(settings).toMatchObject({ applied_version: 1, refused: [], reported: { auto_lock_delay: 5, led_enabled: false } });
    const activity = await owner.api.get<{ action: string }[]>(`${path}/activity`);
    expect(activity.map(({ action }) => action)).toEqual(expect.arrayContaining(['settings_changed', 'settings_applied']));
    const audit = await admin.api.get<{ action: string; actor: { kind: string } }[]>(`/admin/logs/audit?device_id=${owned.registered.deviceId}`);
    expect(audit).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: 'device_settings_changed', actor: expect.objectContaining({ kind: 'user' }) as unknown }),
        expect.objectContaining({ action: 'device_settings_applied', actor: expect.objectContaining({ kind: 'device' }) as unknown }),
      ]),
    );
  });

  test('changed while the box is away wait for its hello', async () => {
    const { owner, path, box } = await aBox();
    box.powerOff();
    await owner.api.put(`${path}/settings`, { silent_mode: true });
    expect(await owner.api.get(`${path}/settings`)).toMatchObject({ status: 'pending', silent_mode: true, reported: { silent_mode: false } });
    const applied = box.waitFor('config');
    box.powerOn();
    await applied;
    await until('applied', async () => (await owner.api.get<{ status: string }>(`${path}/settings`)).status === 'applied');
  });
});

describe('keys', () => {
  test('are new for a new owner, and again on an administrator’s order; the old password is refused', async () => {
    const owned = await aBox();
    const { box, registered } = owned;
    // The box is given it with its next heartbeat.
    await until('begun', async () => (await admin.api.get<{ rotating_to: number | null }>(ofAdmin(owned))).rotating_to === 2);
    expect(box.sendHeartbeat()).toBe(true);
    await keyed(box, 2);
    await until('told', async () => (await admin.api.get<{ key_version: number }>(ofAdmin(owned))).key_version === 2);
    await opens(owned);
    await until('the old password is nobody’s', async () => /not authorized/i.test(await knocks(owned, registered.provisioning.mqtt.password)));

    expect(await admin.api.post(`${ofAdmin(owned)}/rotate-keys`, {})).toMatchObject({ message: 'Key rotation started', key_version: 2, rotating_to: 3 });
    await keyed(box, 3);
    await opens(owned);
    expect(await until('told', async () => {
      const page = await admin.api.get<{ key_version: number; rotating_to: number | null; keys_rotated_at: string | null }>(ofAdmin(owned));
      return page.key_version === 3 && page;
    })).toMatchObject({ rotating_to: null, keys_rotated_at: expect.any(String) as string });
  });
});

describe('decommissioning', () => {
  test('in the middle of an opening: its end is heard, then the box is cut off', async () => {
    const owned = await aBox({ boltMs: 700 });
    const { owner, path, box } = owned;
    const { command_id: commandId } = await owner.api.post<{ command_id: string }>(`${path}/unlock`, {});
    await until('the box has it', () => box.stats.received > 0 && (box.state?.ring.length ?? 0) > 0);
    const gone = box.waitFor('disconnected');
    const answer = await admin.api.post<Record<string, unknown>>(`${ofAdmin(owned)}/decommission`, { reason: 'broken' });
    expect(answer).not.toHaveProperty('in_flight');
    const [opened] = await until('its end', async () => {
      const rows = await admin.api.get<{ unlock_id: string | null }[]>(`/admin/logs/audit?device_id=${owned.registered.deviceId}&type=UnlockConfirmed`);
      return rows.length === 1 && rows;
    });
    expect(opened?.unlock_id).toBe(commandId);
    await gone;
  });

  test('in the middle of one that takes longer names it', async () => {
    const owned = await aBox({ boltMs: 4_500 });
    const { owner, path, box } = owned;
    const { command_id: commandId } = await owner.api.post<{ command_id: string }>(`${path}/unlock`, {});
    await until('the box has it', () => (box.state?.ring.length ?? 0) > 0);
    const gone = box.waitFor('disconnected', { timeoutMs: 20_000 });
    expect(await admin.api.post(`${ofAdmin(owned)}/decommission`, {})).toMatchObject({ in_flight: { command_id: commandId } });
    await gone;
  });
});

describe('an opening that nobody asked for', () => {
  test('is told wherever the box is shown', async () => {
    const { owner, path, box } = await aBox();
    box.hands.openAtBox('unknown');
    const health = await until('told', async () => {
      const said = await owner.api.get<{ alerts: { alert: string }[] }>(`${path}/health`);
      return said.alerts.length > 0 && said;
    });
    expect(health.alerts).toMatchObject([{ alert: 'unexplained_opening' }]);
    expect((await owner.api.get<{ action: string }[]>(`${path}/activity`)).map(({ action }) => action)).toContain('unexplained_opening');
  });
});
