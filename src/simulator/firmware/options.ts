import type { ReportKind } from '../../bridge/protocol/signature.ts';
import type { BoxEvent } from '../box.ts';
import type { Flash, StoredKey } from '../flash.ts';
import type { Hardware } from '../hardware.ts';
import type { Random } from '../random.ts';
import type { BoxTime } from '../time.ts';

/** Where a test may cut the power: each is named after what has just happened. */
export const powerCutSteps = [
  'command_verified',
  'started_committed',
  'bolt_moved',
  'result_committed',
  'rotation_received',
  'rotation_stored',
  'rotation_answered',
  'rotation_connected',
  'rotation_finished',
] as const;
export type PowerCutStep = (typeof powerCutSteps)[number];

export interface CoreOptions {
  readonly deviceId: string;
  /** What the station flashed; the journal and rotated keys are in `flash`. */
  readonly provisioned: StoredKey;
  readonly flash: Flash;
  readonly hardware: Hardware;
  readonly time: BoxTime;
  /** Jitter only. */
  readonly random: Random;
  readonly firmwareVersion: string;
  /** Below this many percent the motor is not started. */
  readonly lowBattery: number;
  /** dBm */
  readonly signalStrength: number;
  /** A million; a test may run out sooner. */
  readonly reportsPerBoot?: number;
  readonly publish: (kind: ReportKind, payload: Buffer) => void;
  /** Ends the connection and makes another one. */
  readonly reconnect: () => void;
  readonly emit: (event: BoxEvent) => void;
  /** Called at each named step; it throws where the power goes. */
  readonly step: (step: PowerCutStep) => void;
}
