import type { LockStatus } from '../../domain/device/events.ts';
import type { DeviceKeys } from '../../bridge/protocol/keys.ts';
import type { FailureReason, FinalRefusal, OpenRefusal } from '../../bridge/protocol/reports.ts';
import { signReport, type ReportKind } from '../../bridge/protocol/signature.ts';
import type { Journal } from '../flash.ts';
import type { TrustedClock } from './clock.ts';
import type { BoxKeys } from './keys.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import type { Parts } from './parts.ts';
import { hex, toInstant } from './units.ts';

/** Results that a status lists. */
export const EXECUTED_LISTED = 8;
const REPORTS_PER_BOOT = 1_000_000;

export interface Report {
  readonly reportSeq: number;
  readonly payload: Buffer;
}

/** As much of a command as an answer needs. */
export interface Named {
  readonly action: string;
  readonly commandId: string;
  readonly seq: number | undefined;
}

export interface Answer {
  readonly phase: 'accepted' | 'final';
  readonly success: boolean;
  readonly result?: 'opened' | 'failed' | 'interrupted' | 'refused' | 'applied';
  readonly reason?: FailureReason | FinalRefusal | OpenRefusal | undefined;
  readonly executed: boolean | null;
  readonly message: string;
  readonly durationMs?: number;
  readonly lastSeq?: number;
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** Makes signed reports: each with the next number, whether or not it is sent. */
export class Reporter {
  readonly #o: CoreOptions;
  readonly #memory: Memory;
  readonly #clock: TrustedClock;
  readonly #keys: BoxKeys;
  #reports = 0;
  #connectId = hex(8);

  constructor(options: CoreOptions, parts: Pick<Parts, 'memory' | 'clock' | 'keys'>) {
    this.#o = options;
    ({ memory: this.#memory, clock: this.#clock, keys: this.#keys } = parts);
  }

  get connectId(): string {
    return this.#connectId;
  }

  newConnection(): void {
    this.#connectId = hex(8);
  }

  report(kind: ReportKind, body: Readonly<Record<string, unknown>>, keys: DeviceKeys = this.#keys.signing): Report {
    if (++this.#reports >= (this.#o.reportsPerBoot ?? REPORTS_PER_BOOT)) {
      this.#memory.write({ bootCount: this.#memory.image.bootCount + 1 });
      this.#reports = 1;
    }
    const reportSeq = this.#memory.image.bootCount * REPORTS_PER_BOOT + this.#reports;
    const now = this.#clock.now();
    const payload = signReport(
      kind,
      {
        v: 1,
        device_id: this.#o.deviceId,
        report_seq: reportSeq,
        key_version: keys.version,
        connect_id: this.#connectId,
        time_ok: now !== undefined,
        ...(now === undefined ? {} : { timestamp: toInstant(now) }),
        ...body,
      },
      keys.rpt,
    );
    return { reportSeq, payload };
  }

  response(command: Named, answer: Answer, keys: DeviceKeys = this.#keys.signing): Report {
    const { hardware } = this.#o;
    const { journal } = this.#memory.image;
    return this.report(
      'responses',
      {
        command: command.action,
        command_id: command.commandId,
        request_id: command.commandId,
        ...(command.seq === undefined ? {} : { seq: command.seq }),
        journal_id: journal.id,
        last_seq: answer.lastSeq ?? journal.lastSeq,
        phase: answer.phase,
        success: answer.success,
        ...(answer.result === undefined ? {} : { result: answer.result }),
        ...(answer.reason === undefined ? {} : { reason: answer.reason }),
        executed: answer.executed,
        ...(command.action === 'unlock' ? { evidence: hardware.boltSensor ? 'sensor' : 'actuator' } : {}),
        new_status: hardware.status satisfies LockStatus,
        message: answer.message,
        battery_level: hardware.battery,
        ...(answer.durationMs === undefined ? {} : { duration_ms: answer.durationMs }),
        ...answer.extra,
      },
      keys,
    );
  }

  statusFacts(online: boolean, journal: Journal = this.#memory.image.journal): Readonly<Record<string, unknown>> {
    const { hardware } = this.#o;
    return {
      status: hardware.status,
      online,
      battery: hardware.battery,
      signal_strength: this.#o.signalStrength,
      door_open: hardware.doorOpen,
      parcel_present: hardware.parcelPresent,
      tamper: hardware.tampered,
      journal_id: journal.id,
      last_seq: journal.lastSeq,
      last_executed: journal.ring.slice(-EXECUTED_LISTED).map(({ commandId, seq, result, at }) => ({
        command_id: commandId,
        seq,
        result,
        ...(at === undefined ? {} : { at }),
      })),
      config_version: this.#memory.image.configVersion,
    };
  }
}
