import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { DeviceSettings } from '../../domain/device/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';

export type CommandAction = 'unlock' | 'config' | 'time' | 'ack' | 'report' | 'rotate_key';
export const commandActions: readonly CommandAction[] = ['unlock', 'config', 'time', 'ack', 'report', 'rotate_key'];

/** For the log of the box only. */
export type CommandSource = 'mobile_app' | 'web_dashboard' | 'delivery_link' | 'scheduled_task' | 'system';

/** How long each command is good, in milliseconds. */
export const commandValidityMs: Readonly<Record<CommandAction, number>> = {
  unlock: 30_000,
  config: 60_000,
  rotate_key: 60_000,
  time: 10_000,
  ack: 30_000,
  report: 30_000,
};

/** What is retried by the broker and what is not worth it. */
export const commandQos: Readonly<Record<CommandAction, 0 | 1>> = {
  unlock: 1,
  config: 1,
  rotate_key: 1,
  time: 0,
  ack: 0,
  report: 0,
};

/** The most report numbers that one `ack` names. */
export const MAX_ACKED = 16;

/** The settings of a box as they are on the wire, always all of them. */
export interface DeviceConfig {
  readonly auto_lock_enabled: boolean;
  /** Seconds, 5–600. */
  readonly auto_lock_delay: number;
  readonly silent_mode: boolean;
  readonly led_enabled: boolean;
  /** 30–120. */
  readonly heartbeat_seconds: number;
}

/**
 * What every command says. For firmware of level 0 `deviceId` is the key that it knows itself by (serial, hardware id or
 * UUID); the body is otherwise the same, its signature is ignored there. There is no member for a PIN or a link's secret.
 */
export interface CommandInput {
  readonly commandId: Uuid;
  readonly deviceId: string;
  readonly source: CommandSource;
  readonly userId?: Uuid;
  /** The link's public id, never its secret token. */
  readonly linkId?: Uuid;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
  readonly keyVersion: number;
  /** 32 lower hex digits, random; see `newNonce`. */
  readonly nonce: string;
}

/** A command without its signature, members in the order of the wire. Give it to `signCommand`. */
export type CommandBody = Readonly<Record<string, unknown>> & { readonly action: CommandAction };

export function newNonce(): string {
  return randomBytes(16).toString('hex');
}

/** `seq`: above the last one sent, the clock in milliseconds, and the highest `last_seq` that the box ever reported. */
export function unlockCommand(input: CommandInput & { readonly seq: number }): CommandBody {
  return envelope('unlock', input, input.seq);
}

export function configCommand(input: CommandInput & { readonly configVersion: number; readonly desired: DeviceSettings }): CommandBody {
  const { autoLockEnabled, autoLockDelay, silentMode, ledEnabled, heartbeatSeconds } = input.desired;
  const config: DeviceConfig = {
    auto_lock_enabled: autoLockEnabled,
    auto_lock_delay: autoLockDelay,
    silent_mode: silentMode,
    led_enabled: ledEnabled,
    heartbeat_seconds: heartbeatSeconds,
  };
  return { ...envelope('config', input, input.configVersion), config_version: input.configVersion, config };
}

/** The answer to a box's challenge, which takes the place of the nonce. */
export function timeCommand(input: Omit<CommandInput, 'nonce'> & { readonly challenge: string }): CommandBody {
  return envelope('time', { ...input, nonce: input.challenge }, 0);
}

export function ackCommand(input: CommandInput & { readonly acked: readonly number[] }): CommandBody {
  if (input.acked.length === 0 || input.acked.length > MAX_ACKED) throw new Error(`An ack names 1 to ${MAX_ACKED} reports, not ${input.acked.length}`);
  return { ...envelope('ack', input, 0), acked: input.acked };
}

/** Asks for a `status` now. */
export function reportCommand(input: CommandInput): CommandBody {
  return envelope('report', input, 0);
}

/** `secret`: `sealSecret` of `{"device_key":"<64 hex>"}` under the current `enc` key. */
export function rotateKeyCommand(input: CommandInput & { readonly newKeyVersion: number; readonly secret: string }): CommandBody {
  return { ...envelope('rotate_key', input, input.newKeyVersion), secret: input.secret };
}

function envelope(action: CommandAction, input: CommandInput, seq: number): CommandBody {
  return {
    v: 1,
    command: action,
    action,
    command_id: input.commandId,
    request_id: input.commandId,
    device_id: input.deviceId,
    source: input.source,
    ...(input.userId === undefined ? {} : { user_id: input.userId }),
    ...(input.linkId === undefined ? {} : { access_token: input.linkId }),
    timestamp: input.issuedAt,
    issued_at: input.issuedAt,
    expires_at: input.expiresAt,
    seq,
    key_version: input.keyVersion,
    nonce: input.nonce,
  };
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Lower hex of iv ‖ ciphertext ‖ tag. Bound to one device and one command, so that it is worthless in another. */
export function sealSecret(plaintext: string, encKey: Buffer, deviceId: string, commandId: string, iv: Buffer = randomBytes(IV_BYTES)): string {
  const cipher = createCipheriv('aes-256-gcm', encKey, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData(deviceId, commandId));
  return Buffer.concat([iv, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('hex');
}

/** `undefined` when the secret is not of this key, device and command, or was changed. */
export function openSecret(sealed: string, encKey: Buffer, deviceId: string, commandId: string): string | undefined {
  if (!/^([0-9a-f]{2})+$/.test(sealed)) return undefined;
  const bytes = Buffer.from(sealed, 'hex');
  if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', encKey, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(additionalData(deviceId, commandId));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  try {
    return decipher.update(bytes.subarray(IV_BYTES, bytes.length - TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}

function additionalData(deviceId: string, commandId: string): Buffer {
  return Buffer.from(`loqey-enc-v1\n${deviceId}\n${commandId}\n`, 'utf8');
}
