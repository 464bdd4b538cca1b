import type { LockStatus } from '../../domain/device/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { JsonProblem } from './json.ts';

/**
 * What a box says, of level 1 (signed; read by `signed-reports.ts`) or level 0 (the old payloads; `unsigned-reports.ts`).
 * `undefined` = it did not say.
 */
export type Report = SignedReport | UnsignedReport;
export type SignedReport = StatusReport | WillReport | HeartbeatReport | BatteryReport | ResponseReport;
export type UnsignedReport = UnsignedStatus | UnsignedHeartbeat | UnsignedBattery | UnsignedResponse;

export type StatusReason = 'hello' | 'changed' | 'periodic' | 'requested' | 'tamper' | 'parcel' | 'bye';
export type StatusCause = 'command' | 'auto_relock' | 'manual' | 'keypad' | 'boot' | 'unknown';
export type ResponseResult = 'opened' | 'failed' | 'interrupted' | 'refused' | 'applied';
export type ExecutedResult = 'started' | 'opened' | 'failed' | 'interrupted';
export type FailureReason = 'jammed' | 'motor_fault' | 'no_movement';
/** The box wrote the command's number before it said no: it can never execute it. Gives the use back. */
export type FinalRefusal = 'expired' | 'not_yet_valid' | 'bad_window' | 'time_untrusted' | 'busy' | 'low_battery' | 'service_mode';
/** Says nothing about whether another copy was or will be executed. Never gives a use back by itself. */
export type OpenRefusal = 'stale_seq' | 'before_journal' | 'storage_failed' | 'malformed' | 'unknown_action' | 'wrong_version';
export type ResponseReason = FailureReason | FinalRefusal | OpenRefusal;

export interface SignedBase {
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

export interface StatusFacts extends SignedBase, Journal {
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

export const lockStatuses: ReadonlySet<LockStatus> = new Set<LockStatus>(['locked', 'unlocked', 'unknown', 'jammed', 'error']);
