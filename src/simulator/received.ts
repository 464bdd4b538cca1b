import { commandActions, MAX_ACKED, type CommandAction } from '../bridge/protocol/commands.ts';
import { Fields, isHex32, isTime, isUuid } from '../bridge/protocol/fields.ts';
import { isObject, MAX_COMMAND_BYTES, parseObject, type JsonObject } from '../bridge/protocol/json.ts';

/** A command as a box reads it, its signature verified before. Times are milliseconds since the epoch. */
export interface Received {
  readonly action: CommandAction;
  readonly commandId: string;
  readonly seq: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly nonce: string;
  /** `ack` */
  readonly acked: readonly number[];
  /** `config` */
  readonly config: JsonObject;
  /** `rotate_key` */
  readonly secret: string;
}

/** What is not a command for this box; answered only where it can be named. */
export type Unreadable =
  | { readonly problem: 'unparsable' }
  | { readonly problem: 'foreign' }
  | {
      readonly problem: 'wrong_version' | 'unknown_action' | 'malformed';
      readonly commandId: string | undefined;
      readonly action: string | undefined;
      readonly seq: number | undefined;
    };

const actions: ReadonlySet<string> = new Set(commandActions);

/** Steps 1 (device id) and 2 of the box's state machine. `keyVersion` is that of the key that verified. */
export function readCommand(payload: Buffer, deviceId: string, keyVersion: number): Received | Unreadable {
  const json = parseObject(payload, { maxBytes: MAX_COMMAND_BYTES, integersOnly: true });
  if (!json.ok) return { problem: 'unparsable' };
  const { value } = json;
  if (value['device_id'] !== deviceId) return { problem: 'foreign' };

  const fields = new Fields(value);
  const action = value['action'];
  const commandId = isUuid(value['command_id']) ? value['command_id'] : undefined;
  const seq = Number.isSafeInteger(value['seq']) ? (value['seq'] as number) : undefined;
  const unreadable = (problem: 'wrong_version' | 'unknown_action' | 'malformed'): Unreadable => ({
    problem,
    commandId,
    action: typeof action === 'string' && action.length <= 32 ? action : undefined,
    seq,
  });
  if (value['v'] !== 1) return unreadable('wrong_version');
  if (typeof action !== 'string' || value['command'] !== action) return unreadable('malformed');
  if (!actions.has(action)) return unreadable('unknown_action');

  const issuedAt = fields.string('issued_at', isTime);
  const received: Received = {
    action: action as CommandAction,
    commandId: fields.string('command_id', isUuid),
    seq: fields.integer('seq', 0, Number.MAX_SAFE_INTEGER),
    issuedAt: Date.parse(issuedAt),
    expiresAt: Date.parse(fields.string('expires_at', isTime)),
    nonce: fields.string('nonce', isHex32),
    acked: action === 'ack' ? readAcked(fields) : [],
    config: action === 'config' ? readConfig(fields) : {},
    secret: action === 'rotate_key' ? fields.text('secret', MAX_COMMAND_BYTES) : '',
  };
  if (value['request_id'] !== received.commandId) fields.fail('request_id');
  if (value['timestamp'] !== issuedAt) fields.fail('timestamp');
  if (value['key_version'] !== keyVersion) fields.fail('key_version');
  if (action === 'config' && value['config_version'] !== received.seq) fields.fail('config_version');
  return fields.problem === undefined ? received : unreadable('malformed');
}

function readAcked(fields: Fields): readonly number[] {
  const acked = fields.raw('acked');
  if (Array.isArray(acked) && acked.length <= MAX_ACKED && acked.every((seq) => Number.isSafeInteger(seq))) return acked as number[];
  fields.fail('acked');
  return [];
}

function readConfig(fields: Fields): JsonObject {
  const config = fields.raw('config');
  if (isObject(config)) return config;
  fields.fail('config');
  return {};
}
