import { hash } from 'node:crypto';
import { v7 } from 'uuid';
import { takeRandomBytes } from './random.ts';

/** Namespaces of derived ids. For ever: another value would make other devices and events of the same names. */
const SERIAL_NAMESPACE = '5f7d2c4e-6a1b-5c3d-9e8f-10a2b3c4d5e6';
const COMMAND_NAMESPACE = '0b9c8d7e-1f2a-5b3c-8d4e-5f60718293a4';

let lastMs = -Infinity;
let sequence = 0;

/** Time-ordered random id (UUIDv7): of two that this process makes the later one is the greater, also within a millisecond and when the clock goes back. */
export function newId(): string {
  const random = takeRandomBytes(16);
  const now = Date.now();
  if (now > lastMs) {
    lastMs = now;
    sequence = random.readUInt32BE(6) >>> 1; // half of its range is left to count on
  } else if (++sequence > 0xffff_ffff) {
    sequence = 0;
    lastMs++;
  }
  return v7({ random, msecs: lastMs, seq: sequence });
}

export function normaliseSerial(serial: string): string {
  return serial.trim().toUpperCase();
}

/** One serial number, one device id: so that "append with no stream" is the check for a duplicate serial. */
export function deviceIdOfSerial(serial: string): string {
  return nameBased(normaliseSerial(serial), SERIAL_NAMESPACE);
}

/** The id of the n-th event of a command: a repeat of the command makes the same ids. */
export function eventIdOf(commandId: string, index: number): string {
  return nameBased(`${index}`, commandId);
}

/** A command id that a repeat of the same cause makes again (idempotency keys, policies). */
export function derivedCommandId(...parts: readonly string[]): string {
  return nameBased(parts.join('|'), COMMAND_NAMESPACE);
}

/** When a `newId` was made, in milliseconds since the epoch. */
export function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** UUIDv5 (RFC 9562 §5.5). The library's takes three times as long, and every event of every command needs one. */
function nameBased(name: string, namespace: string): string {
  const text = Buffer.from(name);
  const digest = hash('sha1', Buffer.concat([Buffer.from(namespace.replaceAll('-', ''), 'hex'), text]), 'hex');
  const variant = ((Number.parseInt(digest.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-5${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}
