import type { LockStatus } from '../../domain/device/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import { Fields, isHex16, isHex32, isText, isTime, isUuid } from './fields.ts';
import { isObject, MAX_REPORT_BYTES, parseObject, type JsonObject, type JsonProblem } from './json.ts';
import { verifyReport, type ReportKind, type SigningKey } from './signature.ts';

/** What a box says, of level 1 (signed) or level 0 (the old payloads). `undefined` = it did not say. */
export type Report = SignedReport | UnsignedReport;
export type SignedReport = StatusReport | WillReport | HeartbeatReport | BatteryReport | ResponseReport;
export type UnsignedReport = UnsignedStatus | UnsignedHeartbeat | UnsignedBattery | UnsignedResponse;

export type StatusReason = 'hello' | 'changed' | 'periodic' | 'requested' | 'tamper' | 'parcel' | 'bye';
export type StatusCause = 'command' | 'auto_relock' | 'manual' | 'keypad' | 'boot' | 'unknown';
export type Capability = 'bolt_sensor' | 'door_sensor' | 'parcel_sensor' | 'ota1';
export type ResponseCommand = 'unlock' | 'config' | 'rotate_key';
export type ResponseResult = 'opened' | 'failed' | 'interrupted' | 'refused' | 'applied';
export type ExecutedResult = 'started' | 'opened' | 'failed' | 'interrupted';
export type FailureReason = 'jammed' | 'motor_fault' | 'no_movement';
/** The box wrote the command's number before it said no: it can never execute it. Gives the use back. */
export type FinalRefusal = 'expired' | 'not_yet_valid' | 'bad_window' | 'time_untrusted' | 'busy' | 'low_battery' | 'service_mode';
/** Says nothing about whether another copy was or will be executed. Never gives a use back by itself. */
export type OpenRefusal = 'stale_seq' | 'before_journal' | 'storage_failed' | 'malformed' | 'unknown_action' | 'wrong_version';
export type ResponseReason = FailureReason | FinalRefusal | OpenRefusal;

interface SignedBase {
  readonly level: 1;
  readonly deviceId: Uuid;
  /** Strictly growing per device and key version, over restarts too. De-duplicates and orders. */
  readonly reportSeq: number;
  readonly keyVersion: number;
  readonly connectId: string;
  /** Whether the box's clock is trusted; without it `timestamp` is undefined, whatever was sent. */
  readonly timeOk: boolean;
  readonly timestamp: Instant | undefined;
}

interface Journal {
  readonly journalId: string;
  readonly lastSeq: number;
}

export interface ExecutedCommand {
  readonly commandId: Uuid;
  readonly seq: number;
  readonly result: ExecutedResult;
  readonly at: Instant | undefined;
}

interface StatusFacts extends SignedBase, Journal {
  readonly kind: 'status';
  readonly battery: number;
  readonly signalStrength: number | undefined;
  readonly lastExecuted: readonly ExecutedCommand[];
  readonly configVersion: number;
  readonly timeChallenge: string | undefined;
}

export interface StatusReport extends StatusFacts {
  readonly reason: StatusReason;
  readonly status: LockStatus;
  readonly cause: StatusCause | undefined;
  readonly commandId: Uuid | undefined;
  readonly online: boolean;
  readonly doorOpen: boolean | undefined;
  readonly parcelPresent: boolean | undefined;
  readonly tamper: boolean | undefined;
  /** These three are there in every `hello`. */
  readonly firmwareVersion: string | undefined;
  readonly protocols: readonly number[] | undefined;
  readonly capabilities: readonly string[] | undefined;
}

/** Written at connect time, published by the broker: it tells that this `connectId` ended, and nothing newer. */
export interface WillReport extends StatusFacts {
  readonly reason: 'will';
}

export interface HeartbeatReport extends SignedBase, Journal {
  readonly kind: 'heartbeat';
  readonly online: boolean;
  readonly battery: number;
  readonly signalStrength: number | undefined;
  /** Seconds since boot. */
  readonly uptime: number;
  readonly configVersion: number;
  readonly rejects: Rejects;
  readonly timeChallenge: string | undefined;
}

/** What the box met with silence, counted since its boot. */
export interface Rejects {
  readonly badSignature: number;
  readonly retained: number;
  readonly tooLarge: number;
  readonly malformed: number;
}

export interface BatteryReport extends SignedBase {
  readonly kind: 'battery';
  readonly battery: number;
}

export interface ResponseReport extends SignedBase, Journal {
  readonly kind: 'responses';
  readonly command: string;
  readonly commandId: Uuid;
  /** The command's number. Undefined where the box could not read it. */
  readonly seq: number | undefined;
  readonly phase: 'accepted' | 'final';
  readonly success: boolean;
  /** There in every final response. */
  readonly result: ResponseResult | undefined;
  readonly reason: ResponseReason | undefined;
  /** `undefined` (on the wire `null`): the box does not know, or does not say. */
  readonly executed: boolean | undefined;
  readonly evidence: 'sensor' | 'actuator' | undefined;
  readonly newStatus: LockStatus | undefined;
  readonly message: string | undefined;
  readonly battery: number | undefined;
  readonly durationMs: number | undefined;
  /** In answers to `config`. */
  readonly configVersion: number | undefined;
  readonly rejected: readonly string[] | undefined;
}

interface UnsignedBase {
  readonly level: 0;
  /** What the payload says of its sender: a device id, serial or hardware id. Unproven. */
  readonly deviceKey: string | undefined;
}

export interface UnsignedStatus extends UnsignedBase {
  readonly kind: 'status';
  readonly status: LockStatus | undefined;
  readonly online: boolean;
  readonly battery: number | undefined;
  readonly signalStrength: number | undefined;
  readonly firmwareVersion: string | undefined;
  /** Degrees Celsius. */
  readonly temperature: number | undefined;
}

export interface UnsignedHeartbeat extends UnsignedBase {
  readonly kind: 'heartbeat';
  readonly online: boolean;
  readonly battery: number | undefined;
  readonly signalStrength: number | undefined;
  /** Seconds. */
  readonly uptime: number | undefined;
}

export interface UnsignedBattery extends UnsignedBase {
  readonly kind: 'battery';
  readonly battery: number;
}

export interface UnsignedResponse extends UnsignedBase {
  readonly kind: 'responses';
  readonly command: string | undefined;
  readonly commandId: Uuid | undefined;
  readonly success: boolean;
  readonly newStatus: LockStatus | undefined;
  readonly battery: number | undefined;
  readonly message: string | undefined;
}

/** Why a payload has no effect but a counter. `field` names the member that is missing or wrong. */
export type ReportProblem = JsonProblem | 'bad_signature' | 'wrong_version' | 'wrong_device' | 'wrong_key_version' | 'invalid';
export type ParsedReport<R extends Report> =
  | { readonly ok: true; readonly report: R }
  | { readonly ok: false; readonly problem: ReportProblem; readonly field?: string };

export interface ReportKey {
  readonly version: number;
  readonly rpt: SigningKey;
}

/** Verifies under the first key that fits (the current one first, then a pending one), then parses. */
export function openReport(kind: ReportKind, payload: Buffer, deviceId: Uuid, keys: readonly ReportKey[]): ParsedReport<SignedReport> {
  if (payload.length > MAX_REPORT_BYTES) return { ok: false, problem: 'too_large' };
  const key = keys.find((candidate) => verifyReport(payload, candidate.rpt, kind));
  if (key === undefined) return { ok: false, problem: 'bad_signature' };
  return parseSigned(kind, payload, deviceId, key.version);
}

/** Of a payload whose signature is verified already, under the `rpt` key of this device and key version. */
export function parseSigned(kind: ReportKind, payload: Buffer, deviceId: Uuid, keyVersion: number): ParsedReport<SignedReport> {
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

/**
 * The old payloads: no signature, no number, no sender that can be believed. Strings and numbers are both taken, a value
 * out of its range drops the payload, and device clocks are not looked at.
 */
export function parseUnsigned(kind: ReportKind, payload: Buffer): ParsedReport<UnsignedReport> {
  const json = parseObject(payload, { maxBytes: MAX_REPORT_BYTES, integersOnly: false });
  if (!json.ok) return json;
  const fields = new Fields(json.value);
  const report = unsignedReaders[kind](fields);
  return fields.problem === undefined ? { ok: true, report } : { ok: false, problem: 'invalid', field: fields.problem };
}

const MAX = Number.MAX_SAFE_INTEGER;
const MAX_EXECUTED = 8;

const lockStatuses: ReadonlySet<LockStatus> = new Set<LockStatus>(['locked', 'unlocked', 'unknown', 'jammed', 'error']);
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

/** True for a refusal that proves, with the journal the server knew, that the bolt did not move for this command. */
export function isFinalRefusal(reason: ResponseReason | undefined): reason is FinalRefusal {
  return reason !== undefined && finalRefusals.has(reason);
}

type SignedReader = (fields: Fields, deviceId: Uuid, keyVersion: number) => SignedReport;
const readers: Readonly<Record<ReportKind, SignedReader>> = { status: readStatus, heartbeat: readHeartbeat, battery: readBattery, responses: readResponse };
const unsignedReaders: Readonly<Record<ReportKind, (fields: Fields) => UnsignedReport>> = {
  status: readUnsignedStatus,
  heartbeat: readUnsignedHeartbeat,
  battery: readUnsignedBattery,
  responses: readUnsignedResponse,
};

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
    uptime: looseNumber(fields, 0, MAX, 'uptime'),
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
