import type { RelayMessage } from '../platform/relay/port.ts';
import type { CommandAction } from './protocol/commands.ts';

/** What travels on `device-reports` and `device-commands`: bytes unchanged, everything about them in headers. */

export interface ReportMessage {
  readonly kind: 'report';
  readonly topic: string;
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
}

export interface CommandMessage {
  readonly deviceId: string;
  readonly commandId: string;
  readonly action: CommandAction;
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly level: 0 | 1;
}

export function encodeReport(key: string, { topic, payload, receivedAt }: Omit<ReportMessage, 'kind'>): RelayMessage {
  return { key, value: payload, headers: { kind: 'report', topic, received_at: `${receivedAt}` } };
}

const empty = Buffer.alloc(0);

export function encodePublished({ deviceId, unlockId, delivered }: Omit<PublishedMessage, 'kind'>): RelayMessage {
  return { key: deviceId, value: empty, headers: { kind: 'published', unlock_id: unlockId, delivered: `${delivered}` } };
}

/** Undefined for what this version does not know: a newer bridge's message, or garbage. The caller counts it. */
export function decodeUp({ key, value, headers }: RelayMessage): ReportMessage | PublishedMessage | undefined {
  if (headers['kind'] === 'report') {
    const receivedAt = Number(headers['received_at']);
    const topic = headers['topic'];
    return topic === undefined || !Number.isFinite(receivedAt) ? undefined : { kind: 'report', topic, payload: value, receivedAt };
  }
  const unlockId = headers['unlock_id'];
  if (headers['kind'] !== 'published' || unlockId === undefined) return undefined;
  return { kind: 'published', deviceId: key, unlockId, delivered: headers['delivered'] !== 'false' };
}

export function encodeCommand(command: CommandMessage): RelayMessage {
  const { deviceId, commandId, action, topic, payload, qos, expiresAt, level } = command;
  return {
    key: deviceId,
    value: payload,
    headers: { command_id: commandId, action, topic, qos: `${qos}`, expires_at: `${expiresAt}`, level: `${level}` },
  };
}

export function decodeCommand({ key, value, headers }: RelayMessage): CommandMessage | undefined {
  const { command_id: commandId, action, topic } = headers;
  const expiresAt = Number(headers['expires_at']);
  if (commandId === undefined || action === undefined || topic === undefined || !Number.isFinite(expiresAt)) return undefined;
  return {
    deviceId: key,
    commandId,
    action: action as CommandAction,
    topic,
    payload: value,
    qos: headers['qos'] === '1' ? 1 : 0,
    expiresAt,
    level: headers['level'] === '1' ? 1 : 0,
  };
}
