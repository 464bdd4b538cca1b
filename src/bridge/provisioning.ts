import { createHash } from 'node:crypto';
import { NotProvisionable, type ProvisioningBlock } from '../commands/port.ts';
import type { Provisioner } from '../commands/registration.ts';
import type { CredentialRegistry } from '../platform/mqtt/port.ts';
import type { DeviceKey, DeviceKeyring, DeviceKeys as DeviceKeyStore } from '../platform/vault/device-keys.ts';
import type { LiveDevices } from './live-devices.ts';
import { deriveKeys, mqttPassword } from './protocol/keys.ts';
import { downTopics, topicOwner, topicPrefix, upTopics, type TopicOwner } from './topics.ts';

export interface ProvisioningSettings {
  /** Where boxes reach the broker: `mqtts://broker.example:8883`. Asked when it is needed: an embedded broker's port may be any. */
  readonly brokerUrl: () => string;
  readonly caPem: string | undefined;
}

/** Two processes at one rotation are done after two rounds. */
const ROUNDS = 8;

export interface DeviceProvisioner extends Provisioner {
  /**
   * The key of this version, which the box is about to be sent: from here on the broker takes either. The same one each
   * time. Undefined: the box has it, or has no keys any more. @throws KeyRotationRunning when another version is pending
   */
  nextKey(deviceId: string, keyVersion: number): Promise<Buffer | undefined>;
  /** Who may connect as this box follows from its keys. */
  followKeys(deviceId: string): Promise<void>;
}

/** Keys, broker credential and row of a box. Each step can be repeated: what broke off is finished by its repeat. */
export function createProvisioner(deps: {
  readonly keys: Pick<DeviceKeyStore, 'create' | 'keyring' | 'stored' | 'promote' | 'replace' | 'erase'>;
  readonly credentials: CredentialRegistry;
  readonly live: LiveDevices;
  readonly settings: ProvisioningSettings;
}): DeviceProvisioner {
  const { keys, credentials, live, settings } = deps;

  async function allow(owner: TopicOwner, downlink: boolean, passwords: readonly string[]): Promise<void> {
    const { deviceId } = owner;
    await credentials.provision(
      {
        deviceId,
        username: deviceId,
        clientId: clientIdOf(deviceId),
        passwordHashes: passwords.map((each) => createHash('sha256').update(each).digest('hex')),
        publishTopics: upTopics(owner),
        subscribeTopics: downlink ? downTopics(owner) : [],
      },
      passwords,
    );
  }

  /** Looked at again after the write: another process may have ended a key in between, and what was written last must not bring it back. */
  async function followKeys(deviceId: string): Promise<void> {
    const device = await live.byId(deviceId);
    if (device === undefined) return;
    let ring = await keys.stored(deviceId);
    for (let round = 0; round < ROUNDS; round++) {
      const passwords = passwordsOf(deviceId, ring);
      await (passwords.length === 0 ? credentials.revoke(deviceId) : allow(topicOwner(device), device.downlink, passwords));
      const now = await keys.stored(deviceId);
      if (passwordsOf(deviceId, now).join() === passwords.join()) return;
      ring = now;
    }
    throw new Error(`The keys of box ${deviceId} change faster than its credential`);
  }

  function blockOf(owner: TopicOwner, { key, keyVersion }: DeviceKey): ProvisioningBlock {
    const { deviceId, profile } = owner;
    const password = mqttPassword(deriveKeys(key, deviceId, keyVersion));
    const block: ProvisioningBlock = {
      protocol: 1,
      profile,
      topic_prefix: topicPrefix(owner),
      mqtt: { url: settings.brokerUrl(), client_id: clientIdOf(deviceId), username: deviceId, password },
      device_key: key.toString('hex'),
      key_version: keyVersion,
    };
    return settings.caPem === undefined ? block : { ...block, ca_pem: settings.caPem };
  }

  return {
    async prepare(device, keyVersion) {
      const { deviceId, profile } = device;
      await live.add(deviceId, profile, topicKeyOf(device));
      // A box that has a key keeps it: its serial number asked for again must not begin a rotation.
      if ((await keys.keyring(deviceId)).current === undefined) await keys.create(deviceId, keyVersion);
    },

    async provision(device) {
      const { deviceId, profile } = device;
      const owner: TopicOwner = device;
      const { downlink } = await live.add(deviceId, profile, topicKeyOf(owner));
      const ring = await keys.keyring(deviceId);
      const { current: master } = ring;
      if (master === undefined) throw new NotProvisionable('no_key', `Box ${deviceId} has no key to be provisioned with`);
      const passwords = passwordsOf(deviceId, ring);
      await allow(owner, downlink, passwords);
      return blockOf(owner, master);
    },

    async reprovision(deviceId, keyVersion) {
      const device = await live.byId(deviceId);
      if (device === undefined) throw new Error(`Box ${deviceId} was never provisioned`);
      await keys.replace(deviceId, keyVersion);
      await followKeys(deviceId);
      const { current } = await keys.stored(deviceId);
      if (current?.keyVersion !== keyVersion) throw new Error(`Box ${deviceId} was provisioned by somebody else at the same moment`);
      return blockOf(topicOwner(device), current);
    },

    async nextKey(deviceId, keyVersion) {
      const { current } = await keys.stored(deviceId);
      if (current === undefined || current.keyVersion >= keyVersion) return undefined;
      const next = await keys.create(deviceId, keyVersion);
      // Before the box has it: whichever of the two it comes back with after a cut is good.
      await followKeys(deviceId);
      return next.key;
    },

    followKeys,

    async keepOnly(deviceId, keyVersion) {
      await keys.promote(deviceId, keyVersion);
      await followKeys(deviceId);
    },

    async revoke(deviceId) {
      // The keys first: whoever is at work on its credential then finds that it has none.
      await keys.erase(deviceId);
      await credentials.revoke(deviceId);
    },

    setPinned: (deviceId, pinned) => live.setLevel(deviceId, pinned ? 1 : 0),
  };
}

/** The current one first; empty where it has no keys. */
function passwordsOf(deviceId: string, { current, pending }: DeviceKeyring): readonly string[] {
  if (current === undefined) return [];
  return [current, ...(pending === undefined ? [] : [pending])].map(({ key, keyVersion }) => mqttPassword(deriveKeys(key, deviceId, keyVersion)));
}

const clientIdOf = (deviceId: string): string => `device_${deviceId}`;

function topicKeyOf({ profile, deviceId, serialNumber, hardwareId }: TopicOwner): string {
  switch (profile) {
    case 'loqey':
      return deviceId;
    case 'loqey_serial':
      return serialNumber;
    case 'smartlock':
      return hardwareId ?? serialNumber;
    case 'transisttag':
      return deviceId;
  }
}
