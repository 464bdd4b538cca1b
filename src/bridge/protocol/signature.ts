import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';

/** `cmd` or `rpt` of the device; bytes do too, five times slower. */
export type SigningKey = KeyObject | Buffer;

export type ReportKind = 'status' | 'heartbeat' | 'battery' | 'responses';
export const reportKinds: readonly ReportKind[] = ['status', 'heartbeat', 'battery', 'responses'];

/** `,"signature":"` + 64 lower hex digits + `"}`: every signed payload ends in exactly this many bytes. */
export const SUFFIX_BYTES = 80;

const opening = Buffer.from(',"signature":"', 'latin1');
const digits = 64;
const QUOTE = 0x22;
const BRACE = 0x7d;

const commandPrefix = Buffer.from('loqey-cmd-v1\n', 'latin1');
const reportPrefix: Readonly<Record<ReportKind, Buffer>> = {
  status: Buffer.from('loqey-rpt-v1\nstatus\n', 'latin1'),
  heartbeat: Buffer.from('loqey-rpt-v1\nheartbeat\n', 'latin1'),
  battery: Buffer.from('loqey-rpt-v1\nbattery\n', 'latin1'),
  responses: Buffer.from('loqey-rpt-v1\nresponses\n', 'latin1'),
};

/** The payload's bytes, made once. `body` has no signature member; a string is taken as the JSON text as it is. */
export function signCommand(body: object | string, cmdKey: SigningKey): Buffer {
  return sign(commandPrefix, body, cmdKey);
}

export function signReport(kind: ReportKind, body: object | string, rptKey: SigningKey): Buffer {
  return sign(reportPrefix[kind], body, rptKey);
}

/** Before anything is parsed. False for a payload of any other shape: too short, no signature, upper case, a space. */
export function verifyCommand(payload: Buffer, cmdKey: SigningKey): boolean {
  return verify(commandPrefix, payload, cmdKey);
}

export function verifyReport(payload: Buffer, rptKey: SigningKey, kind: ReportKind): boolean {
  return verify(reportPrefix[kind], payload, rptKey);
}

function sign(prefix: Buffer, body: object | string, key: SigningKey): Buffer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  if (!text.endsWith('}') || text.length < 3) throw new Error('Only a JSON object with at least one member can be signed');
  const signed = Buffer.from(text.slice(0, -1), 'utf8');
  const signature = createHmac('sha256', key).update(prefix).update(signed).digest('hex');
  return Buffer.concat([signed, opening, Buffer.from(`${signature}"}`, 'latin1')]);
}

function verify(prefix: Buffer, payload: Buffer, key: SigningKey): boolean {
  const end = payload.length - SUFFIX_BYTES;
  if (end < 2) return false;
  if (payload[payload.length - 1] !== BRACE || payload[payload.length - 2] !== QUOTE) return false;
  if (payload.compare(opening, 0, opening.length, end, end + opening.length) !== 0) return false;
  const expected = createHmac('sha256', key).update(prefix).update(payload.subarray(0, end)).digest('hex');
  // As text, not decoded: upper-case hex of the right value is another payload, and must fail.
  const stated = payload.subarray(end + opening.length, end + opening.length + digits);
  return timingSafeEqual(Buffer.from(expected, 'latin1'), stated);
}

/** Whether a payload ends as a signed one does. Says nothing about whose signature it is. */
export function looksSigned(payload: Buffer): boolean {
  const end = payload.length - SUFFIX_BYTES;
  return end >= 2 && payload[payload.length - 1] === BRACE && payload.compare(opening, 0, opening.length, end, end + opening.length) === 0;
}
