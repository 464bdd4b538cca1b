import { deriveKeys, mqttPassword } from '../bridge/protocol/keys.ts';
import type { Profile, TopicOwner } from '../bridge/topics.ts';

/** What registration answers, once, for the station that flashes the box: all that a box ever knows of its server. */
export interface Provisioning {
  readonly protocol?: number;
  readonly profile: Profile;
  readonly topic_prefix: string;
  readonly mqtt: { readonly url: string; readonly client_id: string; readonly username: string; readonly password: string };
  /** 64 lower hex. */
  readonly device_key: string;
  readonly key_version: number;
  readonly ca_pem?: string;
}

/** The provisioning block of a box whose key is made up here: for tests, and for firmware without a server. */
export function provision(input: { readonly deviceId: string; readonly masterKey: Buffer; readonly keyVersion?: number; readonly url: string; readonly profile?: Profile; readonly key?: string }): Provisioning {
  const { deviceId, masterKey, keyVersion = 1, url, profile = 'loqey', key = deviceId } = input;
  const prefix: Readonly<Record<Profile, string>> = {
    loqey: `loqey/devices/${deviceId}`,
    loqey_serial: `loqey/devices/${key}`,
    smartlock: `smartlock/${key}`,
    transisttag: '/topic/transisttag',
  };
  return {
    protocol: 1,
    profile,
    topic_prefix: prefix[profile],
    mqtt: { url, client_id: `device_${deviceId}`, username: deviceId, password: mqttPassword(deriveKeys(masterKey, deviceId, keyVersion)) },
    device_key: masterKey.toString('hex'),
    key_version: keyVersion,
  };
}

/** The box knows its topics by its prefix alone. */
export function topicOwner({ profile, topic_prefix, mqtt: { username } }: Provisioning): TopicOwner {
  const key = topic_prefix.split('/').at(-1)!;
  return { profile, deviceId: username, serialNumber: key, hardwareId: key };
}
