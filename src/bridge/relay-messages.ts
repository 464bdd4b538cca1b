import type { RelayMessage } from '../platform/relay/port.ts';
import type { CommandAction } from './protocol/commands.ts';

/** What travels on `device-reports` and `device-commands`: bytes unchanged, everything about them in headers. */

export interface ReportMessage {
  readonly kind: 'report';
  readonly topic: string;
  readonly payload: Buffer;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Which way it came. */
  readonly via: Via;
}

/** How a box is reached: by the broker, or by what it fetches. A command goes one way, never both. */
export type Via = 'mqtt' | 'http';

/** Something that is no report: told so that an administrator can see it. Its payload is cut short. */
export interface RejectedMessage {
  readonly kind: 'rejected';
  readonly reason: string;
  readonly via: Via;
  /** Of whoever proved who it is. */
  readonly deviceId: string | undefined;
  readonly topic: string | undefined;
  /** What a stranger calls itself. */
  readonly claimed: string | undefined;
  readonly address: string | undefined;
  readonly size: number;
  readonly payload: Buffer;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

/** What the broker answered to an unlock. */
export interface PublishedMessage {
  readonly kind: 'published';
  readonly deviceId: string;
  readonly unlockId: string;
  /** False: the broker says that nobody is subscribed. */
  readonly delivered: boolean;
  readonly traceparent?: string;
}

export interface CommandMessage {
  readonly deviceId: string;
  readonly commandId: string;
  readonly action: CommandAction;
  readonly via: Via;
  /** Where it is published; a box that fetches has none. */
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly level: 0 | 1;
  /** The trace that it belongs to. */
  readonly traceparent?: string;
}

/** The bytes of an unlock are given away so close to their expiry and no closer. */
const UNLOCK_MARGIN_MS = 2_000;
const COPIES = 3;

/** Milliseconds since the epoch: from then on no byte of it leaves. */
export function lastMoment({ action, expiresAt }: Pick<CommandMessage, 'action' | 'expiresAt'>): number {
  return expiresAt - (action === 'unlock' ? UNLOCK_MARGIN_MS : 0);
}

/** How often the same bytes may leave: what no PUBACK came for up to twice more, and to old firmware once. */
export function maxCopies({ level, qos }: Pick<CommandMessage, 'level' | 'qos'>): number {
  return level === 1 && qos === 1 ? COPIES : 1;
}

export function encodeReport(key: string, { topic, payload, receivedAt, via = 'mqtt' }: Omit<ReportMessage, 'kind' | 'via'> & { readonly via?: Via }): RelayMessage {
  return { key, value: payload, headers: { kind: 'report', topic, received_at: `${receivedAt}`, ...(via === 'mqtt' ? {} : { via }) } };
}

/** Of the payload's beginning; what an administrator sees of it is less. */
const SAMPLE_BYTES = 1_024;

export function encodeRejected({ reason, via, deviceId, topic, claimed, address, size, payload, receivedAt }: Omit<RejectedMessage, 'kind'>): RelayMessage {
  const headers: Record<string, string> = { kind: 'rejected', reason, via, size: `${size}`, received_at: `${receivedAt}` };
  for (const [name, value] of Object.entries({ device_id: deviceId, topic, claimed, address })) if (value !== undefined) headers[name] = value.slice(0, 200);
  return { key: deviceId ?? 'strangers', value: payload.subarray(0, SAMPLE_BYTES), headers };
}

const empty = Buffer.alloc(0);

export function encodePublished({ deviceId, unlockId, delivered, traceparent }: Omit<PublishedMessage, 'kind'>): RelayMessage {
  return { key: deviceId, value: empty, headers: { kind: 'published', unlock_id: unlockId, delivered: `${delivered}`, ...tracing(traceparent) } };
}

/** As everywhere outside of our own log: the header of W3C. */
function tracing(traceparent: string | undefined): Readonly<Record<string, string>> {
  return traceparent === undefined ? {} : { traceparent };
}

/** Undefined for what this version does not know: a newer bridge's message, or garbage. The caller counts it. */
export function decodeUp({ key, value, headers }: RelayMessage): ReportMessage | PublishedMessage | RejectedMessage | undefined {
  const receivedAt = Number(headers['received_at']);
  const via = headers['via'] === 'http' ? 'http' : 'mqtt';
  if (headers['kind'] === 'report') {
    const topic = headers['topic'];
    return topic === undefined || !Number.isFinite(receivedAt) ? undefined : { kind: 'report', topic, payload: value, receivedAt, via };
  }
  if (headers['kind'] === 'rejected') {
    const { reason, device_id: deviceId, topic, claimed, address } = headers;
    const size = Number(headers['size']);
    if (reason === undefined || !Number.isFinite(receivedAt) || !Number.isSafeInteger(size)) return undefined;
    return { kind: 'rejected', reason, via, deviceId, topic, claimed, address, size, payload: value, receivedAt };
  }
  const unlockId = headers['unlock_id'];
  if (headers['kind'] !== 'published' || unlockId === undefined) return undefined;
  return { kind: 'published', deviceId: key, unlockId, delivered: headers['delivered'] !== 'false', ...tracing(headers['traceparent']) };
}

export function encodeCommand(command: CommandMessage): RelayMessage {
  const { deviceId, commandId, action, via, topic, payload, qos, expiresAt, level, traceparent } = command;
  return {
    key: deviceId,
    value: payload,
    // Without a topic no bridge, of whatever version, can publish what is to be fetched.
    headers: { command_id: commandId, action, ...(via === 'http' ? { via } : { topic }), qos: `${qos}`, expires_at: `${expiresAt}`, level: `${level}`, ...tracing(traceparent) },
  };
}

export function decodeCommand({ key, value, headers }: RelayMessage): CommandMessage | undefined {
  const { command_id: commandId, action } = headers;
  const via = headers['via'] === 'http' ? 'http' : 'mqtt';
  const topic = via === 'http' ? '' : headers['topic'];
  const expiresAt = Number(headers['expires_at']);
  if (commandId === undefined || action === undefined || topic === undefined || !Number.isFinite(expiresAt)) return undefined;
  return {
    deviceId: key,
    commandId,
    action: action as CommandAction,
    via,
    topic,
    payload: value,
    qos: headers['qos'] === '1' ? 1 : 0,
    expiresAt,
    level: headers['level'] === '1' ? 1 : 0,
    ...tracing(headers['traceparent']),
  };
}
