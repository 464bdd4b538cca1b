import type { LockStatus } from '../../domain/device/events.ts';
import { Fields, isUuid } from './fields.ts';
import { MAX_REPORT_BYTES, parseObject } from './json.ts';
import { lockStatuses, type ParsedReport, type UnsignedBattery, type UnsignedHeartbeat, type UnsignedReport, type UnsignedResponse, type UnsignedStatus } from './reports.ts';
import type { ReportKind } from './signature.ts';

/**
 * Reports of level 0, the old payloads: no signature, no number, no sender that can be believed. Strings and numbers are both taken, a value
 * out of its range drops the payload, and device clocks are not looked at.
 */
export function parseUnsigned(kind: ReportKind, payload: Buffer): ParsedReport<UnsignedReport> {
  const json = parseObject(payload, { maxBytes: MAX_REPORT_BYTES, integersOnly: false });
  if (!json.ok) return json;
  const fields = new Fields(json.value);
  const report = unsignedReaders[kind](fields);
  return fields.problem === undefined ? { ok: true, report } : { ok: false, problem: 'invalid', field: fields.problem };
}

const unsignedReaders: Readonly<Record<ReportKind, (fields: Fields) => UnsignedReport>> = {
  status: readUnsignedStatus,
  heartbeat: readUnsignedHeartbeat,
  battery: readUnsignedBattery,
  responses: readUnsignedResponse,
};

function readUnsignedStatus(fields: Fields): UnsignedStatus {
  return {
    level: 0,
    kind: 'status',
    deviceKey: looseKey(fields),
    status: looseLock(fields, 'status', 'lock_status', 'new_status'),
    online: looseBoolean(fields, 'online') ?? onlineWord(fields) ?? true,
    battery: looseNumber(fields, 0, 100, 'battery', 'battery_level', 'level'),
    signalStrength: looseNumber(fields, -120, 0, 'signal_strength'),
    firmwareVersion: fields.optionalText('firmware_version', 20),
    temperature: looseNumber(fields, -80, 150, 'temperature'),
  };
}

function readUnsignedHeartbeat(fields: Fields): UnsignedHeartbeat {
  return {
    level: 0,
    kind: 'heartbeat',
    deviceKey: looseKey(fields),
    online: looseBoolean(fields, 'online') ?? onlineWord(fields) ?? true,
    battery: looseNumber(fields, 0, 100, 'battery', 'battery_level', 'level'),
    signalStrength: looseNumber(fields, -120, 0, 'signal_strength'),
    uptime: looseNumber(fields, 0, Number.MAX_SAFE_INTEGER, 'uptime'),
  };
}

function readUnsignedBattery(fields: Fields): UnsignedBattery {
  const battery = looseNumber(fields, 0, 100, 'level', 'battery', 'battery_level');
  if (battery === undefined) fields.fail('level');
  return { level: 0, kind: 'battery', deviceKey: looseKey(fields), battery: battery ?? 0 };
}

function readUnsignedResponse(fields: Fields): UnsignedResponse {
  const commandId = fields.raw('command_id') ?? fields.raw('request_id');
  const success = looseBoolean(fields, 'success');
  if (success === undefined) fields.fail('success');
  return {
    level: 0,
    kind: 'responses',
    deviceKey: looseKey(fields),
    command: fields.optionalText('command', 32),
    commandId: isUuid(commandId) ? commandId : undefined,
    success: success ?? false,
    newStatus: looseLock(fields, 'new_status', 'lock_status', 'status'),
    battery: looseNumber(fields, 0, 100, 'battery_level', 'battery', 'level'),
    message: fields.optionalText('message', 120),
  };
}

function looseKey(fields: Fields): string | undefined {
  return fields.optionalText('device_id', 64);
}

/** The first of the names that holds a value; numbers may be written as text. */
function looseNumber(fields: Fields, min: number, max: number, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = fields.raw(name);
    if (value === undefined) continue;
    const number = typeof value === 'string' && /^-?\d{1,15}(\.\d{1,6})?$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && number >= min && number <= max) return Math.round(number);
    fields.fail(name);
    return undefined;
  }
  return undefined;
}

function looseBoolean(fields: Fields, name: string): boolean | undefined {
  const value = fields.raw(name);
  switch (value) {
    case undefined:
      return undefined;
    case true:
    case 'true':
    case 1:
    case '1':
      return true;
    case false:
    case 'false':
    case 0:
    case '0':
      return false;
    default:
      fields.fail(name);
      return undefined;
  }
}

/** `status` carries the bolt in one old style and the connection in another. */
function onlineWord(fields: Fields): boolean | undefined {
  const status = fields.raw('status');
  return status === 'online' ? true : status === 'offline' ? false : undefined;
}

function looseLock(fields: Fields, ...names: readonly string[]): LockStatus | undefined {
  for (const name of names) {
    const value = fields.raw(name);
    if (typeof value !== 'string') continue;
    const status = value.toLowerCase();
    if ((lockStatuses as ReadonlySet<string>).has(status)) return status as LockStatus;
  }
  return undefined;
}
