import type { Uuid } from '../../domain/kernel.ts';
import { Fields, isHex16, isHex32, isText, isTime, isUuid } from './fields.ts';
import { isObject, MAX_REPORT_BYTES, parseObject, type JsonObject } from './json.ts';
import {
  lockStatuses,
  type BatteryReport,
  type ExecutedCommand,
  type ExecutedResult,
  type FailureReason,
  type FinalRefusal,
  type HeartbeatReport,
  type OpenRefusal,
  type ParsedReport,
  type Rejects,
  type ResponseReason,
  type ResponseReport,
  type ResponseResult,
  type SignedBase,
  type SignedReport,
  type StatusCause,
  type StatusFacts,
  type StatusReason,
  type StatusReport,
  type WillReport,
} from './reports.ts';
import { verifyReport, type ReportKind, type SigningKey } from './signature.ts';

export interface ReportKey {
  readonly version: number;
  readonly rpt: SigningKey;
}

/**
 * Reports of level 1: what is not signed by this box under a key of its own is none. A report that is wrong in one member, or
 * contradicts itself, has no effect at all (docs/decisions/0021): it decides about a use of somebody's link. Verifies under
 * the first key that fits (the current one first, then a pending one), then parses.
 */
export function openReport(kind: ReportKind, payload: Buffer, deviceId: Uuid, keys: readonly ReportKey[]): ParsedReport<SignedReport> {
  if (payload.length > MAX_REPORT_BYTES) return { ok: false, problem: 'too_large' };
  const key = keys.find((candidate) => verifyReport(payload, candidate.rpt, kind));
  if (key === undefined) return { ok: false, problem: 'bad_signature' };
  return parseSigned(kind, payload, deviceId, key.version);
}

/** Of a payload whose signature is verified already, under the `rpt` key of this device and key version. */
function parseSigned(kind: ReportKind, payload: Buffer, deviceId: Uuid, keyVersion: number): ParsedReport<SignedReport> {
  const json = parseObject(payload, { maxBytes: MAX_REPORT_BYTES, integersOnly: true });
  if (!json.ok) return json;
  const { value } = json;
  if (value['v'] !== 1) return { ok: false, problem: 'wrong_version' };
  if (value['device_id'] !== deviceId) return { ok: false, problem: 'wrong_device' };
  if (value['key_version'] !== keyVersion) return { ok: false, problem: 'wrong_key_version' };
  const fields = new Fields(value);
  const report = readers[kind](fields, deviceId, keyVersion);
  return fields.problem === undefined ? { ok: true, report } : { ok: false, problem: 'invalid', field: fields.problem };
}

const MAX = Number.MAX_SAFE_INTEGER;
const MAX_EXECUTED = 8;

const reasons: ReadonlySet<StatusReason | 'will'> = new Set<StatusReason | 'will'>(['hello', 'changed', 'periodic', 'requested', 'tamper', 'parcel', 'bye', 'will']);
const causes: ReadonlySet<StatusCause> = new Set<StatusCause>(['command', 'auto_relock', 'manual', 'keypad', 'boot', 'unknown']);
const phases: ReadonlySet<'accepted' | 'final'> = new Set<'accepted' | 'final'>(['accepted', 'final']);
const evidences: ReadonlySet<'sensor' | 'actuator'> = new Set<'sensor' | 'actuator'>(['sensor', 'actuator']);
const results: ReadonlySet<ResponseResult> = new Set<ResponseResult>(['opened', 'failed', 'interrupted', 'refused', 'applied']);
const executedResults: ReadonlySet<string> = new Set<ExecutedResult>(['started', 'opened', 'failed', 'interrupted']);
const failureReasons: ReadonlySet<ResponseReason> = new Set<FailureReason>(['jammed', 'motor_fault', 'no_movement']);
const finalRefusals: ReadonlySet<ResponseReason> = new Set<FinalRefusal>(['expired', 'not_yet_valid', 'bad_window', 'time_untrusted', 'busy', 'low_battery', 'service_mode']);
const openRefusals: ReadonlySet<ResponseReason> = new Set<OpenRefusal>(['stale_seq', 'before_journal', 'storage_failed', 'malformed', 'unknown_action', 'wrong_version']);
const responseReasons: ReadonlySet<ResponseReason> = new Set([...failureReasons, ...finalRefusals, ...openRefusals]);

type SignedReader = (fields: Fields, deviceId: Uuid, keyVersion: number) => SignedReport;
const readers: Readonly<Record<ReportKind, SignedReader>> = { status: readStatus, heartbeat: readHeartbeat, battery: readBattery, responses: readResponse };

function readBase(fields: Fields, deviceId: Uuid, keyVersion: number): SignedBase {
  const timeOk = fields.boolean('time_ok');
  const timestamp = fields.optionalString('timestamp', isTime);
  if (timeOk && timestamp === undefined) fields.fail('timestamp');
  return {
    level: 1,
    deviceId,
    reportSeq: fields.integer('report_seq', 0, MAX),
    keyVersion,
    connectId: fields.string('connect_id', isHex16),
    timeOk,
    timestamp: timeOk ? timestamp : undefined,
  };
}

function readStatus(fields: Fields, deviceId: Uuid, keyVersion: number): StatusReport | WillReport {
  const facts: StatusFacts = {
    ...readBase(fields, deviceId, keyVersion),
    kind: 'status',
    journalId: fields.string('journal_id', isHex16),
    lastSeq: fields.integer('last_seq', 0, MAX),
    battery: fields.integer('battery', 0, 100),
    signalStrength: fields.optionalInteger('signal_strength', -120, 0),
    lastExecuted: readExecuted(fields),
    configVersion: fields.integer('config_version', 0, MAX),
    timeChallenge: fields.optionalString('time_challenge', isHex32),
  };
  const reason = fields.oneOf('reason', reasons);
  const status = fields.optionalOneOf('status', lockStatuses);
  const said = {
    cause: fields.optionalOneOf('cause', causes),
    commandId: fields.optionalString('command_id', isUuid),
    online: fields.optionalBoolean('online') ?? reason !== 'bye',
    doorOpen: fields.optionalBoolean('door_open'),
    parcelPresent: fields.optionalBoolean('parcel_present'),
    tamper: fields.optionalBoolean('tamper'),
    firmwareVersion: fields.optionalText('firmware_version', 20),
    protocols: readList(fields, 'protocols', 16, (item): item is number => Number.isSafeInteger(item)),
    capabilities: readList(fields, 'capabilities', 32, isCapabilityName),
  };
  if (reason === 'will') return { ...facts, reason };
  if (status === undefined) fields.fail('status');
  const report: StatusReport = { ...facts, reason, status: status ?? 'unknown', ...said };
  if (reason === 'changed' && report.cause === undefined) fields.fail('cause');
  if (report.cause === 'command' && report.commandId === undefined) fields.fail('command_id');
  if (reason === 'hello') {
    if (report.firmwareVersion === undefined) fields.fail('firmware_version');
    if (report.protocols === undefined) fields.fail('protocols');
    if (report.capabilities === undefined) fields.fail('capabilities');
  }
  return report;
}

function readHeartbeat(fields: Fields, deviceId: Uuid, keyVersion: number): HeartbeatReport {
  return {
    ...readBase(fields, deviceId, keyVersion),
    kind: 'heartbeat',
    journalId: fields.string('journal_id', isHex16),
    lastSeq: fields.integer('last_seq', 0, MAX),
    online: fields.boolean('online'),
    battery: fields.integer('battery', 0, 100),
    signalStrength: fields.optionalInteger('signal_strength', -120, 0),
    uptime: fields.integer('uptime', 0, MAX),
    configVersion: fields.integer('config_version', 0, MAX),
    rejects: readRejects(fields),
    timeChallenge: fields.optionalString('time_challenge', isHex32),
  };
}

function readBattery(fields: Fields, deviceId: Uuid, keyVersion: number): BatteryReport {
  return { ...readBase(fields, deviceId, keyVersion), kind: 'battery', battery: fields.integer('level', 0, 100) };
}

function readResponse(fields: Fields, deviceId: Uuid, keyVersion: number): ResponseReport {
  const commandId = fields.string('command_id', isUuid);
  const requestId = fields.raw('request_id');
  if (requestId !== undefined && requestId !== commandId) fields.fail('request_id');
  const phase = fields.oneOf('phase', phases);
  const report: ResponseReport = {
    ...readBase(fields, deviceId, keyVersion),
    kind: 'responses',
    journalId: fields.string('journal_id', isHex16),
    lastSeq: fields.integer('last_seq', 0, MAX),
    command: fields.text('command', 32),
    commandId,
    seq: fields.optionalInteger('seq', 0, MAX),
    phase,
    success: fields.boolean('success'),
    result: fields.optionalOneOf('result', results),
    reason: fields.optionalOneOf('reason', responseReasons),
    executed: fields.optionalBoolean('executed'),
    evidence: fields.optionalOneOf('evidence', evidences),
    newStatus: fields.optionalOneOf('new_status', lockStatuses),
    message: fields.optionalText('message', 120),
    battery: fields.optionalInteger('battery_level', 0, 100),
    durationMs: fields.optionalInteger('duration_ms', 0, 600_000),
    configVersion: fields.optionalInteger('config_version', 0, MAX),
    rejected: readList(fields, 'rejected', 16, (item): item is string => isText(item, 40)),
  };
  if (phase === 'final') checkOutcome(fields, report);
  return report;
}

/** A final response must not contradict itself: `executed` decides whether a use comes back. */
function checkOutcome(fields: Fields, report: ResponseReport): void {
  const { result, reason, executed } = report;
  if (result === undefined) return fields.fail('result');
  if (report.success !== (result === 'opened' || result === 'applied')) fields.fail('success');
  switch (result) {
    case 'opened':
      if (executed !== true) fields.fail('executed');
      if (report.evidence === undefined) fields.fail('evidence');
      return;
    case 'failed':
      if (reason === undefined || !failureReasons.has(reason)) fields.fail('reason');
      if (executed !== true) fields.fail('executed');
      if (report.evidence === undefined) fields.fail('evidence');
      return;
    case 'interrupted':
      if (executed === false) fields.fail('executed');
      return;
    case 'refused':
      if (reason === undefined || failureReasons.has(reason)) fields.fail('reason');
      else if (executed !== (finalRefusals.has(reason) ? false : undefined)) fields.fail('executed');
      return;
    case 'applied':
      return;
  }
}

function readExecuted(fields: Fields): readonly ExecutedCommand[] {
  const list = fields.raw('last_executed');
  if (!Array.isArray(list) || list.length > MAX_EXECUTED) {
    fields.fail('last_executed');
    return [];
  }
  return list.map((item: unknown) => {
    const entry: JsonObject = isObject(item) ? item : {};
    const { command_id: commandId, seq, result, at = null } = entry;
    const fits = isUuid(commandId) && Number.isSafeInteger(seq) && (seq as number) >= 0 && typeof result === 'string' && executedResults.has(result) && (at === null || isTime(at));
    if (!fits) fields.fail('last_executed');
    return { commandId, seq, result, at: at ?? undefined } as ExecutedCommand;
  });
}

function readRejects(fields: Fields): Rejects {
  const stated = fields.raw('rejects') ?? {};
  if (!isObject(stated)) fields.fail('rejects');
  const counters = new Fields(isObject(stated) ? stated : {});
  const rejects = {
    badSignature: counters.optionalInteger('bad_signature', 0, MAX) ?? 0,
    retained: counters.optionalInteger('retained', 0, MAX) ?? 0,
    tooLarge: counters.optionalInteger('too_large', 0, MAX) ?? 0,
    malformed: counters.optionalInteger('malformed', 0, MAX) ?? 0,
  };
  if (counters.problem !== undefined) fields.fail(`rejects.${counters.problem}`);
  return rejects;
}

function readList<T>(fields: Fields, name: string, maxItems: number, test: (item: unknown) => item is T): readonly T[] | undefined {
  const list = fields.raw(name);
  if (list === undefined) return undefined;
  if (Array.isArray(list) && list.length <= maxItems && list.every(test)) return list;
  fields.fail(name);
  return undefined;
}

/** Known or not: a box may have what this version does not know. */
function isCapabilityName(item: unknown): item is string {
  return typeof item === 'string' && /^[a-z][a-z0-9_]{0,31}$/.test(item);
}
