import type { LockStatus } from '../../domain/device/events.ts';
import type { FailureReason, FinalRefusal } from '../../bridge/protocol/reports.ts';
import type { OutboxEntry, RingEntry } from '../flash.ts';
import type { Received } from '../received.ts';
import type { TrustedClock } from './clock.ts';
import type { Line } from './line.ts';
import type { Memory } from './memory.ts';
import type { News } from './news.ts';
import type { CoreOptions } from './options.ts';
import { outboxed, type Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Refusals } from './refusals.ts';
import type { Named, Reporter } from './reporter.ts';
import type { Timers } from './timers.ts';
import { SECOND, toInstant } from './units.ts';

const MAX_WINDOW = 60 * SECOND;
const MAX_AHEAD = 5 * SECOND;
const ACCEPTED_AFTER = 300;
const MAX_ATTEMPTS = 2;
const ATTEMPTS_WITHIN = 5 * SECOND;
const RING = 16;

/** Steps 3 to 10 of the state machine: remember, then move. */
export class Unlocking {
  readonly #o: CoreOptions;
  readonly #memory: Memory;
  readonly #timers: Timers;
  readonly #clock: TrustedClock;
  readonly #line: Line;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;
  readonly #refusals: Refusals;
  readonly #news: News;

  constructor(options: CoreOptions, parts: Pick<Parts, 'memory' | 'timers' | 'clock' | 'line' | 'reporter' | 'outbox' | 'refusals' | 'news'>) {
    this.#o = options;
    ({ memory: this.#memory, timers: this.#timers, clock: this.#clock, line: this.#line, reporter: this.#reporter, outbox: this.#outbox, refusals: this.#refusals, news: this.#news } = parts);
  }

  /** The order of the checks is what makes a refusal a proof. */
  command(command: Received): void {
    const { journal } = this.#memory.image;
    const known = journal.ring.find(({ commandId }) => commandId === command.commandId);
    if (known !== undefined) return this.#answerAgain(known);
    if (command.seq <= journal.lastSeq) return this.#refusals.open(command, 'stale_seq');
    if (journal.createdAt === undefined || command.issuedAt < journal.createdAt) return this.#refusals.open(command, 'before_journal');
    const reason = this.#whyNot(command);
    if (reason !== undefined) return this.#refusals.final(command, reason);

    const entry: RingEntry = { commandId: command.commandId, seq: command.seq, result: 'started' };
    const ring = [...journal.ring, entry].slice(-RING);
    if (!this.#memory.commit({ journal: { ...journal, lastSeq: command.seq, ring } })) return this.#refusals.open(command, 'storage_failed');
    this.#o.step('started_committed');
    const now = this.#clock.now();
    if (now === undefined || now > command.expiresAt) {
      // The commit took so long that the command is late by now. Without its entry the number alone stays taken.
      const withdrawn = { ...this.#memory.image.journal, ring: journal.ring };
      return this.#refusals.final(command, 'expired', withdrawn);
    }
    this.#actuate(command);
  }

  /** At the start: what was begun and has no result lost its power in between. Perhaps it opened. */
  reportInterrupted(): void {
    const { journal } = this.#memory.image;
    if (!journal.ring.some(({ result }) => result === 'started')) return;
    const entries: OutboxEntry[] = [];
    const ring = journal.ring.map((entry): RingEntry => {
      if (entry.result !== 'started') return entry;
      const command: Named = { action: 'unlock', commandId: entry.commandId, seq: entry.seq };
      const answer = this.#reporter.response(command, { phase: 'final', success: false, result: 'interrupted', executed: null, message: 'Power was lost while the motor was running' });
      entries.push(outboxed('responses', answer, entry.commandId));
      return { ...entry, result: 'interrupted', answer: answer.payload.toString() };
    });
    this.#memory.write({ journal: { ...journal, ring }, outbox: this.#outbox.with(entries, ring) });
  }

  /** `manual` and `keypad` are allowed openings; `unknown` is force. */
  openLocally(cause: 'manual' | 'keypad' | 'unknown'): void {
    this.#timers.clear('relock');
    this.#o.hardware.moveByHand('unlocked', cause);
    this.#news.changed(cause);
    if (cause !== 'unknown') this.#planRelock();
  }

  #whyNot(command: Received): FinalRefusal | undefined {
    const now = this.#clock.now();
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
    this.#timers.clear('relock');
    this.#timers.set('accepted', ACCEPTED_AFTER, () => this.#answerAccepted(command));
    const attempt = (number: number): void => {
      if (this.#o.hardware.status === 'unlocked') {
        this.#o.hardware.foundOpen.push(command.commandId);
        return this.#finish(command, start, undefined);
      }
      this.#o.hardware.drive('unlocked', 'command', command.commandId, (outcome) => {
        if (!this.#line.powered) return;
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
    this.#timers.clear('accepted');
    const { commandId } = command;
    const result = failure === undefined ? 'opened' : 'failed';
    const answer = this.#reporter.response(command, {
      phase: 'final',
      success: failure === undefined,
      result,
      reason: failure,
      executed: true,
      message: failure === undefined ? 'Device unlocked successfully' : `The bolt did not open: ${failure}`,
      durationMs: Math.round(this.#o.time.monotonic() - start.at),
    });
    const now = this.#clock.now();
    const done = { result, ...(now === undefined ? {} : { at: toInstant(now) }), answer: answer.payload.toString() } as const;
    const { journal } = this.#memory.image;
    const ring = journal.ring.map((entry) => (entry.commandId === commandId ? { ...entry, ...done } : entry));
    const entries = [outboxed('responses', answer, commandId)];
    if (this.#o.hardware.status !== start.status) {
      const facts = this.#reporter.statusFacts(true, { ...journal, ring });
      entries.push(outboxed('status', this.#reporter.report('status', { reason: 'changed', cause: 'command', command_id: commandId, ...facts })));
    }
    this.#memory.commitOrKeep({ journal: { ...journal, ring }, outbox: this.#outbox.with(entries, ring) });
    this.#o.step('result_committed');
    for (const entry of entries) this.#outbox.send(entry);
    this.#o.emit(failure === undefined ? { type: 'opened', commandId } : { type: 'failed', commandId, reason: failure });
    if (failure === undefined) this.#planRelock();
    this.#news.battery();
  }

  #answerAgain(entry: RingEntry): void {
    if (entry.answer === undefined) return this.#answerAccepted({ action: 'unlock', commandId: entry.commandId, seq: entry.seq });
    this.#line.publish('responses', Buffer.from(entry.answer));
  }

  #answerAccepted(command: Named): void {
    this.#line.publish('responses', this.#reporter.response(command, { phase: 'accepted', success: true, executed: null, message: 'The motor is running' }).payload);
  }

  #planRelock(): void {
    const { auto_lock_enabled: enabled, auto_lock_delay: delay } = this.#memory.image.config;
    if (enabled) this.#timers.set('relock', delay * SECOND, () => this.#relock());
  }

  #relock(): void {
    const { hardware } = this.#o;
    if (hardware.moving || hardware.status === 'locked') return;
    hardware.drive('locked', 'auto_relock', undefined, () => {
      if (!this.#line.powered) return;
      this.#news.changed('auto_relock');
    });
  }
}
