import type { LockStatus } from '../domain/device/events.ts';
import type { FailureReason } from '../bridge/protocol/reports.ts';
import { draw, type Amount, type Random } from './random.ts';
import type { Cancel, SimTime } from './time.ts';

export type MovementCause = 'command' | 'auto_relock' | 'manual' | 'keypad' | 'unknown';

/** One movement of the bolt as it happened, whatever the box says of it: the ground truth of every test. */
export interface Movement {
  /** True time, milliseconds since the epoch. */
  readonly at: number;
  readonly to: 'unlocked' | 'locked';
  readonly cause: MovementCause;
  readonly commandId?: string;
  /** False: it stuck half way. */
  readonly arrived: boolean;
}

/** `jammed_midway`: the bolt left its place and stuck. The others: it never left. */
export type BoltFault = 'jammed_midway' | 'jammed' | 'no_movement' | 'motor_fault';

export type DriveOutcome = { readonly arrived: true } | { readonly arrived: false; readonly reason: FailureReason };

export interface HardwareOptions {
  readonly time: SimTime;
  readonly random: Random;
  /** Travel time of the bolt, milliseconds. 0: it arrives before `drive` returns. */
  readonly boltMs: Amount;
  readonly boltSensor: boolean;
  /** Probability that one drive jams. */
  readonly jam: number;
  /** Percent. */
  readonly battery: number;
  readonly drainPerHour: number;
  readonly drainPerMovement: number;
}

/** What of a box is matter: it goes on existing without power. */
export class Hardware {
  readonly movements: Movement[] = [];
  /** Commands whose bolt was open before: nothing moved, and the box was open. */
  readonly foundOpen: string[] = [];
  readonly boltSensor: boolean;
  doorOpen = false;
  parcelPresent = false;
  tampered = false;
  serviceMode = false;
  /** Called for each movement as it begins. */
  onMovement: ((movement: Movement) => void) | undefined;
  /** Faults of the next drives, one each. */
  readonly faults: BoltFault[] = [];
  readonly #options: HardwareOptions;
  #position: 'locked' | 'unlocked' | 'between' = 'locked';
  /** What a box without a sensor believes; nothing after a loss of power. */
  #driven: LockStatus = 'unknown';
  #jammed = false;
  #motor: Cancel | undefined;
  #battery: number;
  #batteryAt: number;

  constructor(options: HardwareOptions) {
    this.#options = options;
    this.boltSensor = options.boltSensor;
    this.#battery = options.battery;
    this.#batteryAt = options.time.monotonic();
  }

  get moving(): boolean {
    return this.#motor !== undefined;
  }

  /** As the sensor measures it now; without one, as the motor was last driven. */
  get status(): LockStatus {
    if (!this.boltSensor) return this.#driven;
    if (this.#position !== 'between') return this.#position;
    return this.#jammed ? 'jammed' : 'unknown';
  }

  /** 0–100, whole. */
  get battery(): number {
    const now = this.#options.time.monotonic();
    this.#battery -= (this.#options.drainPerHour * (now - this.#batteryAt)) / 3_600_000;
    this.#batteryAt = now;
    return Math.max(0, Math.min(100, Math.round(this.#battery)));
  }

  set battery(level: number) {
    this.#battery = level;
    this.#batteryAt = this.#options.time.monotonic();
  }

  /** Runs the motor once. `done` is not called when the power goes before. */
  drive(to: 'unlocked' | 'locked', cause: MovementCause, commandId: string | undefined, done: (outcome: DriveOutcome) => void): void {
    const { time, random, boltMs, jam, drainPerMovement } = this.#options;
    this.#battery -= drainPerMovement;
    const fault = this.faults.shift() ?? (random() < jam ? 'jammed_midway' : undefined);
    // Without a sensor the box cannot see that the bolt stayed, unless the motor itself complains.
    const noticed = this.boltSensor || fault === 'motor_fault';
    const finish = (outcome: DriveOutcome): void => {
      this.#motor = undefined;
      if (outcome.arrived) this.#position = to;
      if (outcome.arrived || !noticed) this.#driven = to;
      done(noticed ? outcome : { arrived: true });
    };
    let outcome: DriveOutcome = { arrived: true };
    this.#jammed = false;
    if (fault === undefined) {
      this.#record({ at: time.now(), to, cause, ...(commandId === undefined ? {} : { commandId }), arrived: true });
    } else if (fault === 'jammed_midway') {
      this.#jammed = true;
      this.#record({ at: time.now(), to, cause, ...(commandId === undefined ? {} : { commandId }), arrived: false });
      outcome = { arrived: false, reason: 'jammed' };
    } else {
      outcome = { arrived: false, reason: fault };
    }
    const travelMs = draw(boltMs, random);
    if (travelMs <= 0) return finish(outcome);
    this.#motor = time.after(travelMs, () => finish(outcome));
  }

  /** Someone moves the bolt by hand or by force; no motor, no power needed. */
  moveByHand(to: 'unlocked' | 'locked', cause: MovementCause): void {
    this.#jammed = false;
    this.#record({ at: this.#options.time.now(), to, cause, arrived: true });
    this.#position = to;
  }

  losePower(): void {
    this.#motor?.();
    this.#motor = undefined;
    this.#driven = 'unknown';
  }

  #record(movement: Movement): void {
    this.#position = 'between';
    this.movements.push(movement);
    this.onMovement?.(movement);
  }
}
