import type { MasterKey } from './master-key.ts';

/**
 * Keyed hashes to compare by where the value itself is sealed. Without DATA_KEY_MASTER a six-digit PIN cannot be tried
 * out against its tag.
 */
export interface Tags {
  /** Of a PIN on one device: the same PIN on another device has another tag. In the device's events. */
  pinTag(deviceId: string, pin: string): string;
  /** Of an address without regard to case and surrounding space. In vault.email_index only, never in an event. */
  emailTag(email: string): string;
}

export function createTags(master: MasterKey): Tags {
  return {
    pinTag: (deviceId, pin) => master.tag('device-pin', `${deviceId}|${pin}`),
    emailTag: (email) => master.tag('email', email.normalize('NFC').trim().toLowerCase()),
  };
}
