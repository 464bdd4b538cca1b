import mqtt from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import { deriveKeys, mqttPassword } from '../../src/bridge/protocol/keys.ts';
import { memoryFlash, type Flash } from '../../src/simulator/flash.ts';
import type { PowerCutStep } from '../../src/simulator/firmware/options.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { claim, newOwner, registerBox, signInAdmin, type Person } from '../support/people.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto, type MosquittoServer } from '../support/servers.ts';
import { until } from '../support/until.ts';

/** Mosquitto knows one password at a time: the box finds out which. */
describeWithServer('mosquitto', mosquittoMissing(), 'A new key for a box at Mosquitto', () => {
  let mosquitto: MosquittoServer;
  let app: RunningApp;
  let admin: Person;
  const boxes: Lockbox[] = [];

  beforeAll(async () => {
    mosquitto = await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters });
    app = await startApp({
      mqttUrl: mosquitto.url,
      mqttUsername: mosquittoServices.uplink.username,
      mqttPassword: mosquittoServices.uplink.password,
      mqttDownlinkUsername: mosquittoServices.downlink.username,
      mqttDownlinkPassword: mosquittoServices.downlink.password,
      mqttAdminUsername: mosquittoServices.provisioner.username,
      mqttAdminPassword: mosquittoServices.provisioner.password,
    });
    admin = await signInAdmin(app.url, app.admin);
  });
  afterAll(async () => {
    await Promise.all(boxes.map((box) => box.stop()));
    await app.stop();
    await mosquitto.stop();
  });

  async function accepted(deviceId: string, password: string): Promise<boolean> {
    return new Promise((resolve) => {
      const client = mqtt.connect(mosquitto.url, { clientId: `device_${deviceId}`, username: deviceId, password, reconnectPeriod: 0, connectTimeout: 5_000 });
      client.once('connect', () => (resolve(true), client.end(true)));
      client.once('error', () => (resolve(false), client.end(true)));
    });
  }

  const passwordOf = (flash: Flash, deviceId: string) => {
    const { master, version } = flash.read()!.keys.current;
    return mqttPassword(deriveKeys(Buffer.from(master, 'hex'), deviceId, version));
  };

  const steps: readonly (PowerCutStep | 'nowhere')[] = ['nowhere', 'rotation_received', 'rotation_stored', 'rotation_answered', 'rotation_connected', 'rotation_finished'];
  it.each(steps)('with the power cut at %s', { timeout: 90_000 }, async (step) => {
    const owner = await newOwner(app.url);
    const registered = await registerBox(admin);
    const { deviceId } = registered;
    const flash = memoryFlash();
    const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: 10, flash });
    boxes.push(box);
    await box.start();
    await box.ready();
    await claim(owner, registered);
    await until('begun', async () => (await admin.api.get<{ rotating_to: number | null }>(`/admin/devices/${deviceId}`)).rotating_to === 2);
    if (step !== 'nowhere') box.faults.cutPowerAt(step, 200);
    expect(box.sendHeartbeat()).toBe(true);
    if (step === 'rotation_received') {
      // Nothing is stored: it is sent again at a hello, a minute after the first time at the earliest.
      await until('cut, and back', () => box.stats.powerCuts === 1 && box.connected);
      expect(await accepted(deviceId, registered.provisioning.mqtt.password)).toBe(true);
      return;
    }
    await until('the new key alone', () => box.state?.keyVersion === 2 && box.state.pendingKeyVersion === undefined, 80_000);
    await until('known to the server', async () => (await admin.api.get<{ key_version: number }>(`/admin/devices/${deviceId}`)).key_version === 2);
    await until('opens', async () => {
      const asked = await owner.api.call<{ command_id: string }>('POST', `/devices/${deviceId}/unlock`, {});
      if (asked.status !== 200) return false;
      return until('its end', async () => {
        const { status } = await owner.api.get<{ status: string }>(`/commands/${asked.body.command_id}`);
        return ['opened', 'failed', 'unknown', 'cancelled', 'expired'].includes(status) && status;
      }).then((status) => status === 'opened');
    });
    const password = passwordOf(flash, deviceId);
    await box.stop();
    expect(await accepted(deviceId, registered.provisioning.mqtt.password)).toBe(false);
    expect(await accepted(deviceId, password)).toBe(true);
  });
});
