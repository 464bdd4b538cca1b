import { MAX_COMMAND_BYTES } from '../bridge/protocol/json.ts';
import { httpBearer, mqttPassword } from '../bridge/protocol/keys.ts';
import type { DeviceConfig } from '../bridge/protocol/commands.ts';
import type { BoxCore, Connecting, RejectReason } from './box.ts';
import { TrustedClock } from './firmware/clock.ts';
import { BoxKeys } from './firmware/keys.ts';
import { Line } from './firmware/line.ts';
import { Memory } from './firmware/memory.ts';
import { News } from './firmware/news.ts';
import type { CoreOptions } from './firmware/options.ts';
import { Outbox } from './firmware/outbox.ts';
import { Refusals } from './firmware/refusals.ts';
import { Reporter } from './firmware/reporter.ts';
import { Rotation } from './firmware/rotation.ts';
import { Settings } from './firmware/settings.ts';
import { Timers } from './firmware/timers.ts';
import { Unlocking } from './firmware/unlocking.ts';
import type { RingEntry } from './flash.ts';
import { readCommand, type Received } from './received.ts';

/**
 * The device side of protocol level 1, without a network: what the firmware of a box does between its power coming and
 * its power going. A restart is a new core over the same flash and hardware. Everything it knows about time comes from
 * answered challenges; everything it remembers is committed before the bolt moves. What it does is in `firmware`, by
 * concern; here it is put together, and told what happens.
 */
export class DeviceCore implements BoxCore {
  readonly #o: CoreOptions;
  readonly #memory: Memory;
  readonly #timers: Timers;
  readonly #clock: TrustedClock;
  readonly #keys: BoxKeys;
  readonly #line: Line;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;
  readonly #news: News;
  readonly #refusals: Refusals;
  readonly #unlocking: Unlocking;
  readonly #settings: Settings;
  readonly #rotation: Rotation;

  /** Boots. Throws FlashFailed when not even the boot count can be written: then the box must stay silent. */
  constructor(options: CoreOptions) {
    this.#o = options;
    const memory = (this.#memory = new Memory(options.flash, options.provisioned));
    const timers = (this.#timers = new Timers(options.time));
    const line = (this.#line = new Line(options));
    const clock = (this.#clock = new TrustedClock(options, memory));
    const keys = (this.#keys = new BoxKeys(options, memory));
    const reporter = (this.#reporter = new Reporter(options, { memory, clock, keys }));
    const outbox = (this.#outbox = new Outbox({ time: options.time, memory, timers, line }));
    const refusals = (this.#refusals = new Refusals(options, { memory, reporter, outbox }));
    const news = (this.#news = new News(options, { memory, timers, clock, line, reporter, outbox }));
    this.#unlocking = new Unlocking(options, { memory, timers, clock, line, reporter, outbox, refusals, news });
    this.#settings = new Settings(options, { memory, clock, reporter, outbox, refusals });
    this.#rotation = new Rotation(options, { memory, timers, clock, keys, reporter, outbox, refusals });
    memory.write({ bootCount: memory.image.bootCount + 1 });
    this.#unlocking.reportInterrupted();
    options.emit({ type: 'booted', bootCount: memory.image.bootCount });
  }

  connecting(): Connecting {
    const keys = this.#keys.forConnection();
    this.#reporter.newConnection();
    return {
      password: mqttPassword(keys),
      bearer: httpBearer(keys),
      will: { kind: 'status', payload: this.#goodbye('will') },
      otherPassword: this.#keys.hasAnswered,
    };
  }

  /** The broker took the connection and granted every subscription. */
  connected(): void {
    this.#line.online = true;
    this.#keys.connected();
    this.#news.heard();
    this.#o.emit({ type: 'connected', connectId: this.#reporter.connectId });
    this.#news.hello();
    for (const entry of this.#outbox.entries) this.#outbox.send(entry);
    this.#news.begin();
    this.#rotation.answer();
  }

  /** "Not authorised". */
  refused(): void {
    this.#keys.refused();
  }

  disconnected(): void {
    this.#line.online = false;
    this.#timers.clear('heartbeat', 'status', 'repeat', 'challenge', 'reconnect');
  }

  /** Says goodbye, so that nobody waits for the will. */
  bye(): void {
    if (this.#line.online) this.#o.publish('status', this.#goodbye('bye'));
  }

  /** The power is gone. Nothing of this object acts again. */
  stop(): void {
    this.#line.powered = false;
    this.#line.online = false;
    this.#timers.stop();
  }

  /** Steps 1 and 2 of the state machine; silence for whatever is not provably from the server to this box. */
  message(payload: Buffer, retain: boolean): void {
    if (payload.length > MAX_COMMAND_BYTES) return this.#news.reject('too_large');
    if (retain) return this.#news.reject('retained');
    const keys = this.#keys.verify(payload);
    if (keys === undefined) return this.#news.reject('bad_signature');
    const command = readCommand(payload, this.#o.deviceId, keys.version);
    if ('problem' in command) {
      if (command.problem === 'foreign') return this.#news.reject('bad_signature');
      if (command.problem === 'unparsable' || command.commandId === undefined) return this.#news.reject('malformed');
      const { action = 'unknown', commandId, seq } = command;
      return this.#refusals.open({ action, commandId, seq }, command.problem);
    }
    this.#o.emit({ type: 'command', action: command.action, commandId: command.commandId });
    this.#o.step('command_verified');
    switch (command.action) {
      case 'unlock':
        return this.#unlocking.command(command);
      case 'time':
        return this.#setTime(command);
      case 'ack':
        return this.#acknowledged(command.acked);
      case 'config':
        return this.#settings.command(command);
      case 'rotate_key':
        return this.#rotation.command(command, keys);
      case 'report':
        return this.#news.status('requested');
    }
  }

  openLocally(cause: 'manual' | 'keypad' | 'unknown'): void {
    this.#unlocking.openLocally(cause);
  }

  sensed(what: 'tamper' | 'parcel' | 'door'): void {
    if (what === 'door') this.#news.changed('manual');
    else this.#news.sensed(what);
  }

  batteryChanged(): void {
    this.#news.battery();
  }

  heartbeat(): Buffer {
    return this.#news.heartbeat();
  }

  #setTime(command: Received): void {
    if (!this.#clock.isAnswer(command)) return;
    // The hello was heard.
    this.#timers.clear('challenge');
    this.#news.heard();
    this.#clock.set(command);
  }

  #acknowledged(acked: readonly number[]): void {
    const done = this.#outbox.acknowledged(acked);
    for (const { reportSeq } of done) this.#o.emit({ type: 'acked', reportSeq });
    if (done.length > 0) this.#rotation.acknowledged(done);
  }

  #goodbye(reason: 'will' | 'bye'): Buffer {
    return this.#reporter.report('status', { reason, ...this.#reporter.statusFacts(false) }).payload;
  }

  get state(): CoreState {
    const { journal, outbox, configVersion, config, bootCount } = this.#memory.image;
    return {
      journalId: journal.id,
      lastSeq: journal.lastSeq,
      ring: journal.ring,
      outbox: outbox.length,
      configVersion,
      config,
      keyVersion: this.#keys.current.version,
      pendingKeyVersion: this.#keys.pending?.version,
      bootCount,
      now: this.#clock.now(),
      rejects: { ...this.#news.rejects },
    };
  }
}

export interface CoreState {
  readonly journalId: string;
  readonly lastSeq: number;
  readonly ring: readonly RingEntry[];
  readonly outbox: number;
  readonly configVersion: number;
  readonly config: DeviceConfig;
  readonly keyVersion: number;
  readonly pendingKeyVersion: number | undefined;
  readonly bootCount: number;
  /** Trusted time, milliseconds since the epoch. */
  readonly now: number | undefined;
  readonly rejects: Readonly<Record<RejectReason, number>>;
}
