import { expect } from 'vitest';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { mqttConnector } from '../../src/simulator/mqtt-connector.ts';
import type { RunningApp } from '../support/app.ts';
import { connectDevice } from '../support/mqtt-device.ts';
import { claim, newOwner, registerBox, signInAdmin } from '../support/people.ts';
import { until } from '../support/until.ts';

interface Rejected {
  readonly counts: readonly { readonly reason: string; readonly count: number }[];
}

/**
 * Device protocol, section 13, 30, on a broker: a box that has signed once says unsigned things on its own topics and on those
 * that it would have in each other family. Nothing changes, and what came as far as here is counted.
 */
export async function pinnedBoxesAreBelievedByTheirSignatureAlone(app: RunningApp, brokerPort: number): Promise<void> {
  const admin = await signInAdmin(app.url, app.admin);
  const owner = await newOwner(app.url);
  for (const profile of ['loqey', 'loqey_serial'] as const) {
    const registered = await registerBox(admin, { profile });
    await claim(owner, registered);
    const { deviceId, serialNumber, provisioning } = registered;
    let password = '';
    const box = createLockbox({
      provisioning,
      firstConnectWithinMs: 0,
      battery: 77,
      connect: (request, handlers) => {
        password = request.password; // a claim gives it a new one
        return mqttConnector(request, handlers);
      },
    });
    await box.start();
    await box.ready();
    // The claim gives it a new key with the first heartbeat that finds the rotation begun.
    await until('a new key is on its way', async () => (await admin.api.get<{ rotating_to: number | null }>(`/admin/devices/${deviceId}`)).rotating_to === 2);
    expect(box.sendHeartbeat()).toBe(true);
    await until('it has its new key', () => box.state?.keyVersion === 2, 30_000);
    const seen = () => owner.api.get<Record<string, unknown>>(`/devices/${deviceId}/status`);
    await until('it is known', async () => (await seen())['battery_level'] === 77);
    await box.stop();
    const before = await seen();

    const device = { id: deviceId, password, status: `${provisioning.topic_prefix}/status`, unlock: '' };
    const body = JSON.stringify({ device_id: deviceId, status: 'unlocked', lock_status: 'unlocked', online: true, battery: 1, level: 1, success: true, new_status: 'unlocked', command: 'unlock' });
    const own = ['status', 'heartbeat', 'battery', 'responses'].map((kind) => `${provisioning.topic_prefix}/${kind}`);
    const foreign = [`loqey/devices/${profile === 'loqey' ? serialNumber : deviceId}/status`, `smartlock/${deviceId}/status`, `smartlock/${deviceId}/response`, '/topic/transisttag/status'];
    let connection = await connectDevice(brokerPort, device);
    for (const topic of [...own, ...foreign]) {
      if (connection.closed()) connection = await connectDevice(brokerPort, device);
      await connection.publish(topic, body).catch(() => undefined);
    }
    connection.vanish();
    await until('they are counted', async () => {
      const { counts } = await admin.api.get<Rejected>(`/admin/devices/${deviceId}/rejected-messages`);
      return (counts.find(({ reason }) => reason === 'unsigned_from_pinned')?.count ?? 0) >= own.length;
    });
    const after = await seen();
    for (const member of ['lock_status', 'battery_level']) expect(after[member], member).toEqual(before[member]);
    expect((await owner.api.call('POST', `/devices/${deviceId}/unlock`)).status).toBe(409);
  }
}
