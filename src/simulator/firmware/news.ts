import type { StatusCause, StatusReason } from '../../bridge/protocol/reports.ts';
import type { RejectReason } from '../box.ts';
import type { MovementCause } from '../hardware.ts';
import { CHALLENGE_LIFE, type TrustedClock } from './clock.ts';
import type { Line } from './line.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import type { Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Reporter } from './reporter.ts';
import type { Timers } from './timers.ts';
import { MINUTE, SECOND } from './units.ts';

const STATUS_EVERY = 10 * MINUTE;

/** What the box says without being asked: hello, heartbeats, statuses, battery. */
export class News {
  readonly rejects: Record<RejectReason, number> = { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 };
  readonly #o: CoreOptions;
  readonly #memory: Memory;
  readonly #timers: Timers;
  readonly #clock: TrustedClock;
  readonly #line: Line;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;
  readonly #bootedAt: number;
  #unheardHellos = 0;
  #batterySaid: number | undefined;

  constructor(options: CoreOptions, parts: Pick<Parts, 'memory' | 'timers' | 'clock' | 'line' | 'reporter' | 'outbox'>) {
    this.#o = options;
    ({ memory: this.#memory, timers: this.#timers, clock: this.#clock, line: this.#line, reporter: this.#reporter, outbox: this.#outbox } = parts);
    this.#bootedAt = options.time.monotonic();
  }

  hello(): void {
    const { boltSensor } = this.#o.hardware;
    this.#line.publish(
      'status',
      this.#reporter.report('status', {
        reason: 'hello',
        ...this.#reporter.statusFacts(true),
        firmware_version: this.#o.firmwareVersion,
        protocols: [1],
        capabilities: boltSensor ? ['bolt_sensor', 'door_sensor', 'parcel_sensor'] : ['door_sensor', 'parcel_sensor'],
        ...this.#clock.ask(true),
      }).payload,
    );
    // Nobody answered the challenge: perhaps nobody heard the hello, and without one no command comes.
    const patience = Math.min(CHALLENGE_LIFE * 2 ** this.#unheardHellos, MINUTE);
    this.#timers.set('challenge', patience, () => {
      this.#unheardHellos++;
      this.hello();
    });
  }

  /** Somebody heard it, or a new connection begins. */
  heard(): void {
    this.#unheardHellos = 0;
  }

  /** From the hello on. */
  begin(): void {
    this.#timers.set('heartbeat', this.#heartbeatDelay(), () => this.#heartbeat());
    this.#timers.set('status', STATUS_EVERY, () => this.#periodicStatus());
  }

  status(reason: StatusReason): void {
    this.#line.publish('status', this.#reporter.report('status', { reason, ...this.#reporter.statusFacts(true), ...this.#clock.ask(false) }).payload);
  }

  /** The bolt or the door moved. */
  changed(cause: StatusCause & MovementCause): void {
    this.#outbox.mustArrive('status', this.#reporter.report('status', { reason: 'changed', cause, ...this.#reporter.statusFacts(true) }));
    this.battery();
  }

  sensed(reason: 'tamper' | 'parcel'): void {
    this.#outbox.mustArrive('status', this.#reporter.report('status', { reason, ...this.#reporter.statusFacts(true) }));
  }

  /** Where it changed by five points, or at all below twenty. */
  battery(): void {
    const level = this.#o.hardware.battery;
    const said = (this.#batterySaid ??= level);
    if (!this.#line.online || (Math.abs(level - said) < 5 && !(level < 20 && level !== said))) return;
    this.#batterySaid = level;
    this.#line.publish('battery', this.#reporter.report('battery', { level }).payload);
  }

  /** The next heartbeat, signed. */
  heartbeat(): Buffer {
    const { journal, configVersion } = this.#memory.image;
    return this.#reporter.report('heartbeat', {
      online: true,
      battery: this.#o.hardware.battery,
      signal_strength: this.#o.signalStrength,
      uptime: Math.floor((this.#o.time.monotonic() - this.#bootedAt) / SECOND),
      journal_id: journal.id,
      last_seq: journal.lastSeq,
      config_version: configVersion,
      rejects: { ...this.rejects },
      ...this.#clock.ask(false),
    }).payload;
  }

  /** Met with silence, and counted. */
  reject(reason: RejectReason): void {
    this.rejects[reason]++;
    this.#o.emit({ type: 'rejected', reason });
  }

  #periodicStatus(): void {
    this.status('periodic');
    this.#timers.set('status', STATUS_EVERY, () => this.#periodicStatus());
  }

  #heartbeat(): void {
    this.#line.publish('heartbeat', this.heartbeat());
    this.battery();
    this.#timers.set('heartbeat', this.#heartbeatDelay(), () => this.#heartbeat());
  }

  #heartbeatDelay(): number {
    return this.#memory.image.config.heartbeat_seconds * SECOND * (0.9 + 0.2 * this.#o.random());
  }
}
