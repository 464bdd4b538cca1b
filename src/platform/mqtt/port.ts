/**
 * What the bridge needs of a device broker. Two separate identities: uplink may publish nothing, downlink may subscribe
 * to nothing (device protocol, section 2). `test/contract/mqtt.ts` runs the rules over every adapter.
 */
export interface DeviceBroker {
  readonly uplink: Uplink;
  readonly downlink: Downlink;
  readonly credentials: CredentialRegistry;
  start(): Promise<void>;
  stop(): Promise<void>;
  health(): BrokerHealth;
}

export interface UplinkMessage {
  readonly topic: string;
  /** The bytes as they came: never re-encoded, signatures cover them. */
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Milliseconds since the epoch, when the bridge had it. */
  readonly receivedAt: number;
}

export interface Uplink {
  /**
   * The one handler; set before `start`. The sender's PUBACK follows its resolution where the broker allows it
   * (embedded: always; an external broker: the bridge's own PUBACK). A rejection leaves the message unacknowledged.
   */
  onMessage(handler: (message: UplinkMessage) => Promise<void>): void;
  /** Runs for what the broker refused by itself, where it tells (embedded: always). Set before `start`; must not throw. */
  onRefused?(handler: (refused: RefusedByBroker) => void): void;
}

export interface RefusedByBroker {
  readonly reason: string;
  /** Who it was, where that is proven. */
  readonly username: string | undefined;
  /** What a stranger called itself. */
  readonly claimed: string | undefined;
  readonly address: string | undefined;
  readonly topic: string | undefined;
  readonly payload: Buffer;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

export interface Downlink {
  /**
   * Publishes exactly these bytes, never retained. With QoS 1 resolves when the broker has answered (its PUBACK).
   * Never queued while disconnected: rejects with BrokerUnavailable. After `ttlMs` it is withdrawn from the client's own
   * queue and rejects with PublishTimedOut: the broker may or may not have it. So it does when the connection ends.
   */
  publish(topic: string, payload: Buffer, options: { readonly qos: 0 | 1; readonly ttlMs: number }): Promise<PublishAnswer>;
}

export interface PublishAnswer {
  /** False when the broker said that nobody is subscribed; undefined when it cannot tell. */
  readonly delivered: boolean | undefined;
}

export interface BrokerHealth {
  readonly healthy: boolean;
  readonly detail: string;
  readonly connectedDevices?: number;
}

/** What one device may do at the broker. Topics are literal, never patterns. */
export interface DeviceCredential {
  readonly deviceId: string;
  /** Equals the device id (device protocol, section 1). */
  readonly username: string;
  /** `device_<device id>`. */
  readonly clientId: string;
  /** SHA-256 of each password that is good now (two during a key rotation), lower hex. */
  readonly passwordHashes: readonly string[];
  readonly publishTopics: readonly string[];
  readonly subscribeTopics: readonly string[];
}

/** Where the broker learns who may connect. Embedded: reads the vault. Mosquitto: dynamic security commands. */
export interface CredentialRegistry {
  /**
   * Idempotent. `passwords` are in clear where the broker must hash them itself (Mosquitto, which takes the first alone).
   * Ends live sessions whose password is gone.
   */
  provision(credential: DeviceCredential, passwords: readonly string[]): Promise<void>;
  /** Idempotent. Ends the live session. What the broker looks up (the vault) must know of it before. */
  revoke(deviceId: string): Promise<void>;
}

export class BrokerUnavailable extends Error {
  override readonly name = 'BrokerUnavailable';
}

export class PublishTimedOut extends Error {
  override readonly name = 'PublishTimedOut';
}
