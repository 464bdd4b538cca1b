import type { JournalStatus, UnlockAnswer } from '../../../src/domain/device/commands.ts';
import { fromMs, toMs } from '../../../src/domain/time.ts';

/**
 * The device side of the protocol, as little of it as decides whether a bolt moves (device protocol, section 9). Its own
 * record of movements is the ground truth that the model holds the server against.
 */

export interface SentCommand {
  readonly commandId: string;
  readonly seq: number;
  readonly issuedAt: string;
  readonly expiresAt: string;
}

/** What the motor and the power do when the box acts on a command. */
export type Fate =
  | 'opens'
  /** The bolt stays where it was, and the sensor sees it. */
  | 'sensed_stuck'
  /** It moved, or not, and nothing says how far. */
  | 'jams_moved'
  | 'jams_unmoved'
  | 'power_lost_before'
  | 'power_lost_after'
  | 'flash_fails';

export type Report =
  | { readonly kind: 'answer'; readonly answer: UnlockAnswer; readonly reportSeq: number }
  | { readonly kind: 'status'; readonly status: JournalStatus; readonly unlocked: boolean; readonly boot: number };

interface Entry {
  readonly commandId: string;
  readonly seq: number;
  result: 'started' | 'opened' | 'failed' | 'interrupted';
  answer: Partial<UnlockAnswer> & Pick<UnlockAnswer, 'result'>;
}

export class ToyBox {
  readonly moved = new Set<string>();
  lowBattery = false;
  boots = 1;
  private journals = 1;
  private createdAt: number | undefined;
  private lastSeq = 0;
  private ring: Entry[] = [];
  private reports = 0;
  private clock: number | undefined;
  private unlocked = false;

  /** Real time passes; the box's clock with it. */
  pass(ms: number): void {
    if (this.clock !== undefined) this.clock += ms;
  }

  /**
   * A `time` command: the box is at most 5 s ahead of what it was told. While it runs its clock is not set back
   * (docs/decisions/0053).
   */
  sync(toldMs: number, aheadMs: number): void {
    this.clock = Math.max(this.clock ?? 0, toldMs + aheadMs);
    this.createdAt ??= toldMs;
  }

  reboot(): void {
    this.boots += 1;
    this.clock = undefined;
    for (const entry of this.ring) {
      if (entry.result !== 'started') continue;
      entry.result = 'interrupted';
      entry.answer = { result: 'interrupted' };
    }
  }

  /** The flash is erased: nothing of before is known, and the new journal begins at the next trusted time. */
  loseJournal(): void {
    this.reboot();
    this.journals += 1;
    this.createdAt = undefined;
    this.lastSeq = 0;
    this.ring = [];
  }

  status(): Report {
    this.reports += 1;
    return {
      kind: 'status',
      unlocked: this.unlocked,
      boot: this.boots,
      status: {
        reportSeq: this.reports,
        journalId: this.journalId,
        lastSeq: this.lastSeq,
        lastExecuted: this.ring.slice(-8).map(({ commandId, seq, result }) => ({ commandId, seq, result })),
        timeOk: this.clock !== undefined,
        ...(this.clock === undefined ? {} : { timestamp: fromMs(this.clock) }),
      },
    };
  }

  receive(command: SentCommand, fate: Fate): readonly Report[] {
    const known = this.ring.find(({ commandId }) => commandId === command.commandId);
    if (known !== undefined) return [this.answer(command, known.answer)];
    if (command.seq <= this.lastSeq) return [this.refuse(command, 'stale_seq')];
    if (this.createdAt === undefined || toMs(command.issuedAt) < this.createdAt) return [this.refuse(command, 'before_journal')];
    const reason = this.finalRefusal(command);
    if (reason !== undefined) {
      this.lastSeq = command.seq;
      return [this.refuse(command, reason, false)];
    }
    if (fate === 'flash_fails') return [this.refuse(command, 'storage_failed')];

    this.lastSeq = command.seq;
    const entry: Entry = { commandId: command.commandId, seq: command.seq, result: 'started', answer: { phase: 'accepted', result: 'accepted' } };
    this.ring = [...this.ring.slice(-15), entry];
    const accepted = this.answer(command, entry.answer);
    if (fate === 'power_lost_before') {
      this.reboot();
      return [accepted];
    }
    if (fate !== 'sensed_stuck' && fate !== 'jams_unmoved') this.moved.add(command.commandId);
    if (fate === 'power_lost_after') {
      this.reboot();
      return [accepted];
    }
    this.unlocked = fate === 'opens';
    entry.result = fate === 'opens' ? 'opened' : 'failed';
    entry.answer = finalAnswer(fate);
    return [accepted, this.answer(command, entry.answer)];
  }

  private finalRefusal(command: SentCommand): string | undefined {
    if (this.clock === undefined) return 'time_untrusted';
    if (toMs(command.issuedAt) > this.clock + 5_000) return 'not_yet_valid';
    if (this.clock > toMs(command.expiresAt)) return 'expired';
    return this.lowBattery ? 'low_battery' : undefined;
  }

  private refuse(command: SentCommand, reason: string, executed?: false): Report {
    return this.answer(command, { result: 'refused', reason, ...(executed === undefined ? {} : { executed }) });
  }

  private answer({ commandId, seq }: SentCommand, said: Partial<UnlockAnswer> & Pick<UnlockAnswer, 'result'>): Report {
    this.reports += 1;
    return {
      kind: 'answer',
      reportSeq: this.reports,
      answer: { unlockId: commandId, phase: 'final', signed: true, journalId: this.journalId, seq, ...said },
    };
  }

  private get journalId(): string {
    return `journal-${this.journals}`;
  }
}

function finalAnswer(fate: Fate): Entry['answer'] {
  switch (fate) {
    case 'opens':
      return { result: 'opened', executed: true, evidence: 'sensor', newStatus: 'unlocked' };
    case 'sensed_stuck':
      return { result: 'failed', executed: true, reason: 'no_movement', evidence: 'sensor', newStatus: 'locked' };
    default:
      return { result: 'failed', executed: true, reason: 'jammed', evidence: 'actuator', newStatus: 'locked' };
  }
}
