import { randomBytes } from 'node:crypto';
import type { LockStatus } from '../domain/device/events.ts';
import { openSecret, type DeviceConfig } from '../bridge/protocol/commands.ts';
import { MAX_COMMAND_BYTES } from '../bridge/protocol/json.ts';
import { deriveKeys, httpBearer, mqttPassword, type DeviceKeys } from '../bridge/protocol/keys.ts';
import type { FailureReason, FinalRefusal, OpenRefusal, StatusCause, StatusReason } from '../bridge/protocol/reports.ts';
import { signReport, verifyCommand, type ReportKind } from '../bridge/protocol/signature.ts';
import type { BoxCore, BoxEvent, Connecting, RejectReason } from './box.ts';
import { FlashFailed, type Flash, type FlashImage, type OutboxEntry, type RingEntry, type StoredKey } from './flash.ts';
import type { Hardware, MovementCause } from './hardware.ts';
import type { Random } from './random.ts';
import { readCommand, type Received } from './received.ts';
import type { BoxTime, Cancel } from './time.ts';

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

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const MAX_WINDOW = 60 * SECOND;
const MAX_AHEAD = 5 * SECOND;
const CHALLENGE_LIFE = 5 * SECOND;
const RESYNC_AFTER = 4 * HOUR;
/** Of the box's oscillator between two answers. */
const DRIFT_ALLOWED = 5 * SECOND;
const BACK_BELIEVED_AFTER = 15 * 60 * SECOND;
const TRUST_LIFE = 8 * HOUR;
const ACCEPTED_AFTER = 300;
const MAX_ATTEMPTS = 2;
const ATTEMPTS_WITHIN = 5 * SECOND;
const STATUS_EVERY = 10 * MINUTE;
const RING = 16;
const EXECUTED_LISTED = 8;
const OUTBOX = 32;
const REPORTS_PER_BOOT = 1_000_000;
/** Since the first time it was sent; after the last, each minute. */
const REPEAT_AT = [5 * SECOND, 15 * SECOND, 60 * SECOND];

export const factoryConfig: DeviceConfig = {
  auto_lock_enabled: true,
  auto_lock_delay: 30,
  silent_mode: false,
  led_enabled: true,
  heartbeat_seconds: 60,
};

/**
 * The device side of protocol level 1, without a network: what the firmware of a box does between its power coming and
 * its power going. A restart is a new core over the same flash and hardware. Everything it knows about time comes from
 * answered challenges; everything it remembers is committed before the bolt moves.
 */
export class DeviceCore implements BoxCore {
  readonly #o: CoreOptions;
  readonly #bootedAt: number;
  readonly #rejects: Record<RejectReason, number> = { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 };
  readonly #timers = new Map<TimerName, Cancel>();
  readonly #repeats = new Map<number, { readonly since: number; due: number }>();
  #image: FlashImage;
  #current: DeviceKeys;
  #pending: DeviceKeys | undefined;
  #reports = 0;
  #connectId = hex(8);
  /** The version of the key whose password was given to the broker. */
  #passwordOf = 0;
  #online = false;
  #tryOldKey = false;
  #trust: { readonly base: number; readonly askedAt: number; readonly syncedAt: number } | undefined;
  /** Monotonic: since when the server says an earlier time than it did. */
  #backSince: number | undefined;
  #challenge: { readonly nonce: string; readonly askedAt: number } | undefined;
  #unheardHellos = 0;
  #batterySaid: number | undefined;
  #alive = true;

  /** Boots. Throws FlashFailed when not even the boot count can be written: then the box must stay silent. */
  constructor(options: CoreOptions) {
    this.#o = options;
    this.#bootedAt = options.time.monotonic();
    this.#image = options.flash.read() ?? blankImage(options.provisioned);
    this.#current = this.#derive(this.#image.keys.current);
    this.#pending = this.#image.keys.pending === undefined ? undefined : this.#derive(this.#image.keys.pending);
    this.#write({ bootCount: this.#image.bootCount + 1 });
    this.#reportInterrupted();
    options.emit({ type: 'booted', bootCount: this.#image.bootCount });
  }

  // ── Connection ────────────────────────────────────────────────────────────────────────────────────────────────────

  connecting(): Connecting {
    const pending = this.#image.keys.pending;
    const useNew = this.#pending !== undefined && pending?.answered === true && !this.#tryOldKey;
    const keys = useNew ? this.#pending! : this.#current;
    this.#connectId = hex(8);
    this.#passwordOf = keys.version;
    return {
      password: mqttPassword(keys),
      bearer: httpBearer(keys),
      will: { kind: 'status', payload: this.#report('status', { reason: 'will', ...this.#statusFacts(false) }).payload },
      otherPassword: pending?.answered === true,
    };
  }

  /** The broker took the connection and granted every subscription. */
  connected(): void {
    this.#online = true;
    const pending = this.#image.keys.pending;
    if (this.#pending !== undefined && pending !== undefined && this.#passwordOf === this.#pending.version) {
      this.#o.step('rotation_connected');
      if (this.#commit({ keys: { current: { version: pending.version, master: pending.master } } })) {
        this.#current = this.#pending;
        this.#pending = undefined;
        this.#o.step('rotation_finished');
        this.#o.emit({ type: 'key', version: this.#current.version });
      }
    }
    this.#tryOldKey = false;
    this.#unheardHellos = 0;
    this.#o.emit({ type: 'connected', connectId: this.#connectId });
    this.#hello();
    for (const entry of this.#image.outbox) this.#send(entry);
    this.#set('heartbeat', this.#heartbeatDelay(), () => this.#heartbeat());
    this.#set('status', STATUS_EVERY, () => this.#periodicStatus());
    this.#answerRotation();
  }

  /** "Not authorised": during a rotation the other key may be the one that the broker knows. */
  refused(): void {
    if (this.#image.keys.pending?.answered === true) this.#tryOldKey = !this.#tryOldKey;
  }

  disconnected(): void {
    this.#online = false;
    for (const name of ['heartbeat', 'status', 'repeat', 'challenge', 'reconnect'] as const) this.#clear(name);
  }

  /** Says goodbye, so that nobody waits for the will. */
  bye(): void {
    if (this.#online) this.#o.publish('status', this.#report('status', { reason: 'bye', ...this.#statusFacts(false) }).payload);
  }

  /** The power is gone. Nothing of this object acts again. */
  stop(): void {
    this.#alive = false;
    this.#online = false;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  // ── Commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Steps 1 and 2 of the state machine; silence for whatever is not provably from the server to this box. */
  message(payload: Buffer, retain: boolean): void {
    if (payload.length > MAX_COMMAND_BYTES) return this.#reject('too_large');
    if (retain) return this.#reject('retained');
    const keys = [this.#current, this.#pending].find((candidate) => candidate !== undefined && verifyCommand(payload, candidate.cmd));
    if (keys === undefined) return this.#reject('bad_signature');
    const command = readCommand(payload, this.#o.deviceId, keys.version);
    if ('problem' in command) {
      if (command.problem === 'foreign') return this.#reject('bad_signature');
      if (command.problem === 'unparsable' || command.commandId === undefined) return this.#reject('malformed');
      const { action = 'unknown', commandId, seq } = command;
      return this.#refuseOpenly({ action, commandId, seq }, command.problem);
    }
    this.#o.emit({ type: 'command', action: command.action, commandId: command.commandId });
    this.#o.step('command_verified');
    switch (command.action) {
      case 'unlock':
        return this.#unlock(command);
      case 'time':
        return this.#setTime(command);
      case 'ack':
        return this.#acknowledged(command.acked);
      case 'config':
        return this.#configure(command);
      case 'rotate_key':
        return this.#rotate(command, keys);
      case 'report':
        return this.#status('requested');
    }
  }

  /** Steps 3 to 10. The order of the checks is what makes a refusal a proof. */
  #unlock(command: Received): void {
    const { journal } = this.#image;
    const known = journal.ring.find(({ commandId }) => commandId === command.commandId);
    if (known !== undefined) return this.#answerAgain(known);
    if (command.seq <= journal.lastSeq) return this.#refuseOpenly(command, 'stale_seq');
    if (journal.createdAt === undefined || command.issuedAt < journal.createdAt) return this.#refuseOpenly(command, 'before_journal');
    const reason = this.#whyNot(command);
    if (reason !== undefined) return this.#refuse(command, reason);

    const entry: RingEntry = { commandId: command.commandId, seq: command.seq, result: 'started' };
    const ring = [...journal.ring, entry].slice(-RING);
    if (!this.#commit({ journal: { ...journal, lastSeq: command.seq, ring } })) return this.#refuseOpenly(command, 'storage_failed');
    this.#o.step('started_committed');
    const now = this.#now();
    if (now === undefined || now > command.expiresAt) {
      // The commit took so long that the command is late by now. Without its entry the number alone stays taken.
      const withdrawn = { ...this.#image.journal, ring: journal.ring };
      return this.#refuse(command, 'expired', withdrawn);
    }
    this.#actuate(command);
  }

  #whyNot(command: Received): FinalRefusal | undefined {
    const now = this.#now();
    if (now === undefined) return 'time_untrusted';
    if (command.expiresAt - command.issuedAt > MAX_WINDOW) return 'bad_window';
    if (command.issuedAt > now + MAX_AHEAD) return 'not_yet_valid';
    if (now > command.expiresAt) return 'expired';
    if (this.#o.hardware.moving) return 'busy';
    if (this.#o.hardware.battery < this.#o.lowBattery) return 'low_battery';
    if (this.#o.hardware.serviceMode) return 'service_mode';
    return undefined;
  }

  #actuate(command: Received): void {
    const start = { at: this.#o.time.monotonic(), status: this.#o.hardware.status };
    this.#clear('relock');
    this.#set('accepted', ACCEPTED_AFTER, () => this.#answerAccepted(command));
    const attempt = (number: number): void => {
      if (this.#o.hardware.status === 'unlocked') return this.#finish(command, start, undefined);
      this.#o.hardware.drive('unlocked', 'command', command.commandId, (outcome) => {
        if (!this.#alive) return;
        this.#o.step('bolt_moved');
        if (outcome.arrived) return this.#finish(command, start, undefined);
        const tired = number >= MAX_ATTEMPTS || this.#o.time.monotonic() - start.at >= ATTEMPTS_WITHIN;
        if (tired) this.#finish(command, start, outcome.reason);
        else attempt(number + 1);
      });
    };
    attempt(1);
  }

  /** Step 10: the result and its response are in flash before anyone hears of them. */
  #finish(command: Received, start: { readonly at: number; readonly status: LockStatus }, failure: FailureReason | undefined): void {
    this.#clear('accepted');
    const { commandId } = command;
    const result = failure === undefined ? 'opened' : 'failed';
    const answer = this.#response(command, {
      phase: 'final',
      success: failure === undefined,
      result,
      reason: failure,
      executed: true,
      message: failure === undefined ? 'Device unlocked successfully' : `The bolt did not open: ${failure}`,
      durationMs: Math.round(this.#o.time.monotonic() - start.at),
    });
    const done = { result, ...this.#atNow(), answer: answer.payload.toString() } as const;
    const { journal } = this.#image;
    const ring = journal.ring.map((entry) => (entry.commandId === commandId ? { ...entry, ...done } : entry));
    const entries = [outboxed('responses', answer, commandId)];
    if (this.#o.hardware.status !== start.status) {
      const facts = this.#statusFacts(true, { ...journal, ring });
      entries.push(outboxed('status', this.#report('status', { reason: 'changed', cause: 'command', command_id: commandId, ...facts })));
    }
    this.#commitOrKeep({ journal: { ...journal, ring }, outbox: this.#withOutbox(entries, ring) });
    this.#o.step('result_committed');
    for (const entry of entries) this.#send(entry);
    this.#o.emit(failure === undefined ? { type: 'opened', commandId } : { type: 'failed', commandId, reason: failure });
    if (failure === undefined) this.#planRelock();
    this.#sayBattery();
  }

  #answerAgain(entry: RingEntry): void {
    if (entry.answer === undefined) return this.#answerAccepted({ action: 'unlock', commandId: entry.commandId, seq: entry.seq });
    this.#publish('responses', Buffer.from(entry.answer));
  }

  #answerAccepted(command: Named): void {
    this.#publish('responses', this.#response(command, { phase: 'accepted', success: true, executed: null, message: 'The motor is running' }).payload);
  }

  /** A refusal that proves: the number is taken first, so that no copy of this command is ever carried out. */
  #refuse(command: Received, reason: FinalRefusal, journal = this.#image.journal): void {
    const taken = { ...journal, lastSeq: Math.max(journal.lastSeq, command.seq) };
    const answer = this.#response(command, { phase: 'final', success: false, result: 'refused', reason, executed: false, message: refusalText[reason], lastSeq: taken.lastSeq });
    const entry = outboxed('responses', answer, command.commandId, false);
    if (!this.#commit({ journal: taken, outbox: this.#withOutbox([entry], taken.ring) })) return this.#refuseOpenly(command, 'storage_failed');
    this.#send(entry);
    this.#o.emit({ type: 'refused', commandId: command.commandId, reason });
  }

  /** A refusal that proves nothing: another copy may have been, or may yet be, carried out. */
  #refuseOpenly(command: Named, reason: OpenRefusal): void {
    const waiting = this.#image.outbox.find(({ commandId }) => commandId === command.commandId);
    if (waiting !== undefined) this.#send(waiting);
    else {
      const answer = this.#response(command, { phase: 'final', success: false, result: 'refused', reason, executed: null, message: refusalText[reason] });
      const entry = outboxed('responses', answer, command.commandId);
      this.#commitOrKeep({ outbox: this.#withOutbox([entry], this.#image.journal.ring) });
      this.#send(entry);
    }
    this.#o.emit({ type: 'refused', commandId: command.commandId, reason });
  }

  #reportInterrupted(): void {
    const { journal } = this.#image;
    if (!journal.ring.some(({ result }) => result === 'started')) return;
    const entries: OutboxEntry[] = [];
    const ring = journal.ring.map((entry): RingEntry => {
      if (entry.result !== 'started') return entry;
      const command: Named = { action: 'unlock', commandId: entry.commandId, seq: entry.seq };
      const answer = this.#response(command, { phase: 'final', success: false, result: 'interrupted', executed: null, message: 'Power was lost while the motor was running' });
      entries.push(outboxed('responses', answer, entry.commandId));
      return { ...entry, result: 'interrupted', answer: answer.payload.toString() };
    });
    this.#write({ journal: { ...journal, ring }, outbox: this.#withOutbox(entries, ring) });
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Trusted time in milliseconds since the epoch: never behind the server's, at most five seconds ahead. */
  #now(): number | undefined {
    if (this.#trust === undefined) return undefined;
    const { base, askedAt, syncedAt } = this.#trust;
    const monotonic = this.#o.time.monotonic();
    if (monotonic - syncedAt > TRUST_LIFE) return undefined;
    return base + (monotonic - askedAt);
  }

  /**
   * The server's time, unless it went back: then the box's own clock goes on, so that a command that was too late stays
   * so. A server that says the same for a quarter of an hour has been set right, and nothing of before is on its way.
   */
  #believed(issuedAt: number, askedAt: number, monotonic: number): number {
    if (this.#trust === undefined) return issuedAt;
    const own = this.#trust.base + (askedAt - this.#trust.askedAt);
    // Ahead of the server by the way of an answer and by its own drift is what an honest box is.
    if (issuedAt >= own - CHALLENGE_LIFE - DRIFT_ALLOWED) {
      this.#backSince = undefined;
      return issuedAt;
    }
    this.#backSince ??= monotonic;
    return monotonic - this.#backSince >= BACK_BELIEVED_AFTER ? issuedAt : own;
  }

  #setTime(command: Received): void {
    const challenge = this.#challenge;
    const monotonic = this.#o.time.monotonic();
    if (challenge === undefined || command.nonce !== challenge.nonce || monotonic - challenge.askedAt > CHALLENGE_LIFE) return;
    this.#challenge = undefined; // one challenge, one answer
    this.#clear('challenge');
    this.#unheardHellos = 0;
    this.#trust = { base: this.#believed(command.issuedAt, challenge.askedAt, monotonic), askedAt: challenge.askedAt, syncedAt: monotonic };
    const { journal } = this.#image;
    // The moment of the answer, not the later "now": whatever the server issues from here on belongs to this journal.
    if (journal.createdAt === undefined) this.#commit({ journal: { ...journal, createdAt: command.issuedAt } });
    this.#o.emit({ type: 'time', now: this.#now()! });
  }

  /** A fresh challenge where one is wanted. A younger one stays open: its answer may be on the way. */
  #askTime(always: boolean): Readonly<Record<string, string>> {
    const monotonic = this.#o.time.monotonic();
    const due = this.#now() === undefined || monotonic - this.#trust!.syncedAt >= RESYNC_AFTER;
    if (!always && (!due || (this.#challenge !== undefined && monotonic - this.#challenge.askedAt <= CHALLENGE_LIFE))) return {};
    this.#challenge = { nonce: hex(16), askedAt: monotonic };
    return { time_challenge: this.#challenge.nonce };
  }

  // ── Configuration and keys ────────────────────────────────────────────────────────────────────────────────────────

  #configure(command: Received): void {
    if (this.#isLate(command)) return this.#refuseOther(command, 'expired');
    if (command.seq < this.#image.configVersion) return;
    const { config, rejected } =
      command.seq === this.#image.configVersion
        ? { config: this.#image.config, rejected: this.#image.configRejected ?? [] }
        : mergeConfig(this.#image.config, command.config);
    const answer = this.#response(command, {
      phase: 'final',
      success: true,
      result: 'applied',
      executed: true,
      message: 'Configuration applied',
      extra: { config_version: command.seq, ...(rejected.length === 0 ? {} : { rejected }) },
    });
    const entry = outboxed('responses', answer, command.commandId);
    if (!this.#commit({ configVersion: command.seq, config, configRejected: rejected, outbox: this.#withOutbox([entry], this.#image.journal.ring) })) return this.#refuseOpenly(command, 'storage_failed');
    this.#send(entry);
    this.#o.emit({ type: 'config', version: command.seq, rejected });
  }

  #rotate(command: Received, keys: DeviceKeys): void {
    this.#o.step('rotation_received');
    const { current, pending } = this.#image.keys;
    if (this.#isLate(command)) return this.#refuseOther(command, 'expired');
    if (pending !== undefined && pending.commandId === command.commandId) return this.#answerRotation();
    // One at a time. A later command with another key for the same version means that the server began anew.
    if (command.seq !== current.version + 1 || (pending !== undefined && command.issuedAt <= pending.issuedAt)) return this.#refuseOpenly(command, 'stale_seq');
    const master = newMaster(openSecret(command.secret, keys.enc, this.#o.deviceId, command.commandId));
    if (master === undefined) return this.#refuseOpenly(command, 'malformed');
    if (pending?.answered === true && pending.master === master) {
      // The key that it has answered with already, sent again: taking that back would put the old one into use again.
      const waiting = this.#image.outbox.find(({ commandId }) => commandId === pending.commandId);
      if (waiting !== undefined) this.#send(waiting);
      return;
    }
    const stored = { version: command.seq, master, commandId: command.commandId, seq: command.seq, issuedAt: command.issuedAt, answered: false };
    if (!this.#commit({ keys: { current, pending: stored } })) return this.#refuseOpenly(command, 'storage_failed');
    this.#pending = this.#derive(stored);
    this.#o.step('rotation_stored');
    this.#answerRotation();
  }

  /** `applied` only with an empty outbox: what is in there is signed with a key that the server is about to erase. */
  #answerRotation(): void {
    const { current, pending } = this.#image.keys;
    if (pending === undefined || this.#pending === undefined || pending.answered || this.#image.outbox.length > 0) return;
    const command: Named = { action: 'rotate_key', commandId: pending.commandId, seq: pending.seq };
    const answer = this.#response(command, { phase: 'final', success: true, result: 'applied', executed: true, message: 'New key stored' }, this.#pending);
    const entry = outboxed('responses', answer, pending.commandId);
    if (!this.#commit({ keys: { current, pending: { ...pending, answered: true } }, outbox: [entry] })) return;
    this.#o.step('rotation_answered');
    this.#send(entry);
    this.#set('reconnect', CHALLENGE_LIFE, () => this.#o.reconnect());
  }

  #isLate(command: Received): boolean {
    const now = this.#now();
    return now !== undefined && now > command.expiresAt;
  }

  /** For commands that take no number of the journal. */
  #refuseOther(command: Received, reason: 'expired'): void {
    const answer = this.#response(command, { phase: 'final', success: false, result: 'refused', reason, executed: false, message: refusalText[reason] });
    const entry = outboxed('responses', answer, command.commandId, false);
    this.#commitOrKeep({ outbox: this.#withOutbox([entry], this.#image.journal.ring) });
    this.#send(entry);
    this.#o.emit({ type: 'refused', commandId: command.commandId, reason });
  }

  // ── What happens at the box ───────────────────────────────────────────────────────────────────────────────────────

  /** `manual` and `keypad` are allowed openings; `unknown` is force. */
  openLocally(cause: 'manual' | 'keypad' | 'unknown'): void {
    this.#clear('relock');
    this.#o.hardware.moveByHand('unlocked', cause);
    this.#changed(cause);
    if (cause !== 'unknown') this.#planRelock();
  }

  sensed(what: 'tamper' | 'parcel' | 'door'): void {
    if (what === 'door') this.#changed('manual');
    else this.#mustArrive('status', { reason: what, ...this.#statusFacts(true) });
  }

  batteryChanged(): void {
    this.#sayBattery();
  }

  #planRelock(): void {
    const { auto_lock_enabled: enabled, auto_lock_delay: delay } = this.#image.config;
    if (enabled) this.#set('relock', delay * SECOND, () => this.#relock());
  }

  #relock(): void {
    if (this.#o.hardware.moving || this.#o.hardware.status === 'locked') return;
    this.#o.hardware.drive('locked', 'auto_relock', undefined, () => {
      if (!this.#alive) return;
      this.#changed('auto_relock');
    });
  }

  #changed(cause: StatusCause & MovementCause): void {
    this.#mustArrive('status', { reason: 'changed', cause, ...this.#statusFacts(true) });
    this.#sayBattery();
  }

  // ── Reports ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #hello(): void {
    const { boltSensor } = this.#o.hardware;
    this.#publish(
      'status',
      this.#report('status', {
        reason: 'hello',
        ...this.#statusFacts(true),
        firmware_version: this.#o.firmwareVersion,
        protocols: [1],
        capabilities: boltSensor ? ['bolt_sensor', 'door_sensor', 'parcel_sensor'] : ['door_sensor', 'parcel_sensor'],
        ...this.#askTime(true),
      }).payload,
    );
    // Nobody answered the challenge: perhaps nobody heard the hello, and without one no command comes.
    const patience = Math.min(CHALLENGE_LIFE * 2 ** this.#unheardHellos, MINUTE);
    this.#set('challenge', patience, () => {
      this.#unheardHellos++;
      this.#hello();
    });
  }

  #status(reason: StatusReason): void {
    this.#publish('status', this.#report('status', { reason, ...this.#statusFacts(true), ...this.#askTime(false) }).payload);
  }

  #periodicStatus(): void {
    this.#status('periodic');
    this.#set('status', STATUS_EVERY, () => this.#periodicStatus());
  }

  #heartbeat(): void {
    this.#publish('heartbeat', this.heartbeat());
    this.#sayBattery();
    this.#set('heartbeat', this.#heartbeatDelay(), () => this.#heartbeat());
  }

  /** The next heartbeat, signed. */
  heartbeat(): Buffer {
    const { journal, configVersion } = this.#image;
    return this.#report('heartbeat', {
      online: true,
      battery: this.#o.hardware.battery,
      signal_strength: this.#o.signalStrength,
      uptime: Math.floor((this.#o.time.monotonic() - this.#bootedAt) / SECOND),
      journal_id: journal.id,
      last_seq: journal.lastSeq,
      config_version: configVersion,
      rejects: { ...this.#rejects },
      ...this.#askTime(false),
    }).payload;
  }

  #sayBattery(): void {
    const level = this.#o.hardware.battery;
    const said = (this.#batterySaid ??= level);
    if (!this.#online || (Math.abs(level - said) < 5 && !(level < 20 && level !== said))) return;
    this.#batterySaid = level;
    this.#publish('battery', this.#report('battery', { level }).payload);
  }

  #statusFacts(online: boolean, journal = this.#image.journal): Readonly<Record<string, unknown>> {
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
      config_version: this.#image.configVersion,
    };
  }

  #response(command: Named, answer: Answer, keys: DeviceKeys = this.#signing): Report {
    const { hardware } = this.#o;
    return this.#report(
      'responses',
      {
        command: command.action,
        command_id: command.commandId,
        request_id: command.commandId,
        ...(command.seq === undefined ? {} : { seq: command.seq }),
        journal_id: this.#image.journal.id,
        last_seq: answer.lastSeq ?? this.#image.journal.lastSeq,
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

  #report(kind: ReportKind, body: Readonly<Record<string, unknown>>, keys: DeviceKeys = this.#signing): Report {
    if (++this.#reports >= (this.#o.reportsPerBoot ?? REPORTS_PER_BOOT)) {
      this.#write({ bootCount: this.#image.bootCount + 1 });
      this.#reports = 1;
    }
    const reportSeq = this.#image.bootCount * REPORTS_PER_BOOT + this.#reports;
    const now = this.#now();
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

  /** The new key from `applied` on: the old one may be erased at the server at any moment after. */
  get #signing(): DeviceKeys {
    return this.#pending !== undefined && this.#image.keys.pending?.answered === true ? this.#pending : this.#current;
  }

  // ── Outbox ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #mustArrive(kind: ReportKind, body: Readonly<Record<string, unknown>>): void {
    const entry = outboxed(kind, this.#report(kind, body));
    this.#commitOrKeep({ outbox: this.#withOutbox([entry], this.#image.journal.ring) });
    this.#send(entry);
  }

  /**
   * Over the limit goes first the oldest status, then the oldest response that `last_executed` repeats anyway, then the
   * oldest that proves nothing. A proof that exists nowhere else is never dropped for another; then the new one is sent once.
   */
  #withOutbox(entries: readonly OutboxEntry[], ring: readonly RingEntry[]): readonly OutboxEntry[] {
    const outbox = [...this.#image.outbox, ...entries];
    const listed = new Set(ring.slice(-EXECUTED_LISTED).map(({ commandId }) => commandId));
    while (outbox.length > OUTBOX) {
      const candidates = [
        outbox.findIndex(({ kind }) => kind === 'status'),
        outbox.findIndex(({ commandId }) => commandId !== undefined && listed.has(commandId)),
        outbox.findIndex(({ executed }) => executed !== false),
      ];
      outbox.splice(candidates.find((index) => index >= 0) ?? outbox.length - 1, 1);
    }
    return outbox;
  }

  #send(entry: OutboxEntry): void {
    if (!this.#online) return;
    this.#publish(entry.kind, Buffer.from(entry.payload));
    const since = this.#o.time.monotonic();
    this.#repeats.set(entry.reportSeq, { since, due: since + REPEAT_AT[0]! });
    this.#planRepeat();
  }

  #planRepeat(): void {
    let due = Infinity;
    const stored = new Set(this.#image.outbox.map(({ reportSeq }) => reportSeq));
    for (const [reportSeq, repeat] of this.#repeats) {
      if (stored.has(reportSeq)) due = Math.min(due, repeat.due);
      else this.#repeats.delete(reportSeq);
    }
    if (due === Infinity) this.#clear('repeat');
    else this.#set('repeat', due - this.#o.time.monotonic(), () => this.#repeatDue());
  }

  #repeatDue(): void {
    const monotonic = this.#o.time.monotonic();
    for (const entry of this.#image.outbox) {
      const repeat = this.#repeats.get(entry.reportSeq);
      if (repeat === undefined || repeat.due > monotonic) continue;
      this.#publish(entry.kind, Buffer.from(entry.payload));
      const next = REPEAT_AT.find((offset) => repeat.since + offset > monotonic);
      repeat.due = next === undefined ? monotonic + MINUTE : repeat.since + next;
    }
    this.#planRepeat();
  }

  #acknowledged(acked: readonly number[]): void {
    const done = this.#image.outbox.filter(({ reportSeq }) => acked.includes(reportSeq));
    if (done.length === 0) return;
    const rest = this.#image.outbox.filter((entry) => !done.includes(entry));
    this.#commitOrKeep({ outbox: rest });
    this.#planRepeat();
    for (const { reportSeq } of done) this.#o.emit({ type: 'acked', reportSeq });
    const { pending } = this.#image.keys;
    if (pending?.answered === true && done.some(({ commandId }) => commandId === pending.commandId)) this.#o.reconnect();
    else this.#answerRotation();
  }

  // ── Odds and ends ─────────────────────────────────────────────────────────────────────────────────────────────────

  #publish(kind: ReportKind, payload: Buffer): void {
    if (this.#online) this.#o.publish(kind, payload);
  }

  #reject(reason: RejectReason): void {
    this.#rejects[reason]++;
    this.#o.emit({ type: 'rejected', reason });
  }

  #commit(change: Partial<FlashImage>): boolean {
    try {
      this.#write(change);
      return true;
    } catch (error) {
      if (error instanceof FlashFailed) return false;
      throw error;
    }
  }

  /**
   * For what is true whether or not it could be written: kept in memory, it goes out with the next commit. A loss of
   * power before that makes "interrupted" of a result, or repeats a report: never more than was, never less safe.
   */
  #commitOrKeep(change: Partial<FlashImage>): void {
    if (!this.#commit(change)) this.#image = { ...this.#image, ...change };
  }

  #write(change: Partial<FlashImage>): void {
    const next = { ...this.#image, ...change };
    this.#o.flash.commit(next);
    this.#image = next;
  }

  #derive(key: StoredKey): DeviceKeys {
    return deriveKeys(Buffer.from(key.master, 'hex'), this.#o.deviceId, key.version);
  }

  #atNow(): { readonly at?: string } {
    const now = this.#now();
    return now === undefined ? {} : { at: toInstant(now) };
  }

  #heartbeatDelay(): number {
    return this.#image.config.heartbeat_seconds * SECOND * (0.9 + 0.2 * this.#o.random());
  }

  #set(name: TimerName, ms: number, run: () => void): void {
    this.#clear(name);
    this.#timers.set(
      name,
      this.#o.time.after(Math.max(0, ms), () => {
        this.#timers.delete(name);
        run();
      }),
    );
  }

  #clear(name: TimerName): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  get state(): CoreState {
    const { journal, outbox, configVersion, config, bootCount } = this.#image;
    return {
      journalId: journal.id,
      lastSeq: journal.lastSeq,
      ring: journal.ring,
      outbox: outbox.length,
      configVersion,
      config,
      keyVersion: this.#current.version,
      pendingKeyVersion: this.#pending?.version,
      bootCount,
      now: this.#now(),
      rejects: { ...this.#rejects },
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

type TimerName = 'heartbeat' | 'status' | 'repeat' | 'relock' | 'challenge' | 'accepted' | 'reconnect';

/** As much of a command as an answer needs. */
interface Named {
  readonly action: string;
  readonly commandId: string;
  readonly seq: number | undefined;
}

interface Answer {
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

interface Report {
  readonly reportSeq: number;
  readonly payload: Buffer;
}

const refusalText: Readonly<Record<FinalRefusal | OpenRefusal, string>> = {
  expired: 'The command came too late',
  not_yet_valid: 'The command is of the future',
  bad_window: 'The command is good for too long',
  time_untrusted: 'The box does not know the time yet',
  busy: 'The bolt is moving',
  low_battery: 'The battery is too low for the motor',
  service_mode: 'The box is in service mode',
  stale_seq: 'A command with this or a higher number came before',
  before_journal: 'The command is older than the journal of the box',
  storage_failed: 'The box could not write its journal',
  malformed: 'The command cannot be read',
  unknown_action: 'The box does not know this action',
  wrong_version: 'The box does not speak this version',
};

function outboxed(kind: ReportKind, report: Report, commandId?: string, executed?: boolean): OutboxEntry {
  return {
    reportSeq: report.reportSeq,
    kind,
    payload: report.payload.toString(),
    ...(commandId === undefined ? {} : { commandId }),
    ...(executed === undefined ? {} : { executed }),
  };
}

function blankImage(provisioned: StoredKey): FlashImage {
  return { bootCount: 0, journal: newJournal(), outbox: [], keys: { current: provisioned }, configVersion: 0, config: factoryConfig };
}

/** A journal that remembers nothing, and says so by its id. */
export function newJournal(): FlashImage['journal'] {
  return { id: hex(8), lastSeq: 0, ring: [] };
}

const configRules: Readonly<Record<keyof DeviceConfig, (value: unknown) => boolean>> = {
  auto_lock_enabled: isBoolean,
  auto_lock_delay: (value) => isIntegerIn(value, 5, 600),
  silent_mode: isBoolean,
  led_enabled: isBoolean,
  heartbeat_seconds: (value) => isIntegerIn(value, 30, 120),
};

/** What is unknown or out of range keeps its old value and is named. */
function mergeConfig(old: DeviceConfig, wanted: Readonly<Record<string, unknown>>): { readonly config: DeviceConfig; readonly rejected: readonly string[] } {
  const accepted: Record<string, unknown> = {};
  const rejected: string[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (Object.hasOwn(configRules, name) && configRules[name as keyof DeviceConfig](value)) accepted[name] = value;
    else rejected.push(name.slice(0, 40));
  }
  return { config: { ...old, ...accepted }, rejected: rejected.slice(0, 16) };
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function newMaster(secret: string | undefined): string | undefined {
  if (secret === undefined) return undefined;
  try {
    const { device_key: key } = JSON.parse(secret) as { device_key?: unknown };
    return typeof key === 'string' && /^[0-9a-f]{64}$/.test(key) ? key : undefined;
  } catch {
    return undefined;
  }
}

function toInstant(ms: number): string {
  return new Date(Math.floor(ms)).toISOString();
}

function hex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
