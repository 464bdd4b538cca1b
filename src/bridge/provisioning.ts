import { createHash } from 'node:crypto';
import type { ProvisioningBlock } from '../commands/port.ts';
import type { Provisioner } from '../commands/registration.ts';
import type { CredentialRegistry } from '../platform/mqtt/port.ts';
import type { DeviceKeys as DeviceKeyStore } from '../platform/vault/device-keys.ts';
import type { LiveDevices } from './live-devices.ts';
import { deriveKeys, mqttPassword } from './protocol/keys.ts';
import { downTopics, topicPrefix, upTopics, type TopicOwner } from './topics.ts';

export interface ProvisioningSettings {
  /** Where boxes reach the broker: `mqtts://broker.example:8883`. Asked when it is needed: an embedded broker's port may be any. */
  readonly brokerUrl: () => string;
  readonly caPem: string | undefined;
}

/** Keys, broker credential and row of a new box. Each step can be repeated: a registration that broke off is finished by its repeat. */
export function createProvisioner(deps: {
  readonly keys: Pick<DeviceKeyStore, 'create' | 'keyring'>;
  readonly credentials: CredentialRegistry;
  readonly live: LiveDevices;
  readonly settings: ProvisioningSettings;
}): Provisioner {
  const { keys, credentials, live, settings } = deps;
  return {
    async prepare(deviceId, keyVersion) {
      // A box that has a key keeps it: its serial number asked for again must not begin a rotation.
      if ((await keys.keyring(deviceId)).current === undefined) await keys.create(deviceId, keyVersion);
    },

    async provision(device) {
      const { current: master, pending } = await keys.keyring(device.deviceId);
      if (master === undefined) throw new Error(`Box ${device.deviceId} has no key to be provisioned with`);
      const owner: TopicOwner = device;
      const passwords = [master, ...(pending === undefined ? [] : [pending])].map(({ key, keyVersion }) => mqttPassword(deriveKeys(key, device.deviceId, keyVersion)));
      const password = passwords[0]!;
      const clientId = `device_${device.deviceId}`;
      const { downlink } = await live.add(device.deviceId, device.profile, topicKeyOf(owner));
      await credentials.provision(
        {
          deviceId: device.deviceId,
          username: device.deviceId,
          clientId,
          passwordHashes: passwords.map((each) => createHash('sha256').update(each).digest('hex')),
          publishTopics: upTopics(owner),
          subscribeTopics: downlink ? downTopics(owner) : [],
        },
        passwords,
      );
      const block: ProvisioningBlock = {
        protocol: 1,
        profile: device.profile,
        topic_prefix: topicPrefix(owner),
        mqtt: { url: settings.brokerUrl(), client_id: clientId, username: device.deviceId, password },
        device_key: master.key.toString('hex'),
        key_version: master.keyVersion,
      };
      return settings.caPem === undefined ? block : { ...block, ca_pem: settings.caPem };
    },

    async revoke(deviceId) {
      await credentials.revoke(deviceId);
    },

    setPinned: (deviceId, pinned) => live.setLevel(deviceId, pinned ? 1 : 0),
  };
}

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
