import type { FinalRefusal, OpenRefusal } from '../../bridge/protocol/reports.ts';
import type { Received } from '../received.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import { outboxed, type Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Named, Reporter } from './reporter.ts';

/** How a command is refused decides what the refusal proves. */
export class Refusals {
  readonly #emit: CoreOptions['emit'];
  readonly #memory: Memory;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;

  constructor({ emit }: Pick<CoreOptions, 'emit'>, parts: Pick<Parts, 'memory' | 'reporter' | 'outbox'>) {
    this.#emit = emit;
    ({ memory: this.#memory, reporter: this.#reporter, outbox: this.#outbox } = parts);
  }

  /** It proves: the number is taken first, so that no copy of this command is ever carried out. */
  final(command: Received, reason: FinalRefusal, journal = this.#memory.image.journal): void {
    const taken = { ...journal, lastSeq: Math.max(journal.lastSeq, command.seq) };
    const answer = this.#reporter.response(command, { phase: 'final', success: false, result: 'refused', reason, executed: false, message: words[reason], lastSeq: taken.lastSeq });
    const entry = outboxed('responses', answer, command.commandId, false);
    if (!this.#memory.commit({ journal: taken, outbox: this.#outbox.with([entry], taken.ring) })) return this.open(command, 'storage_failed');
    this.#outbox.send(entry);
    this.#emit({ type: 'refused', commandId: command.commandId, reason });
  }

  /** It proves nothing: another copy may have been, or may yet be, carried out. */
  open(command: Named, reason: OpenRefusal): void {
    const waiting = this.#outbox.answerTo(command.commandId);
    if (waiting !== undefined) this.#outbox.send(waiting);
    else {
      const answer = this.#reporter.response(command, { phase: 'final', success: false, result: 'refused', reason, executed: null, message: words[reason] });
      const entry = outboxed('responses', answer, command.commandId);
      this.#memory.commitOrKeep({ outbox: this.#outbox.with([entry]) });
      this.#outbox.send(entry);
    }
    this.#emit({ type: 'refused', commandId: command.commandId, reason });
  }

  /** Of commands that take no number of the journal. */
  late(command: Received): void {
    const answer = this.#reporter.response(command, { phase: 'final', success: false, result: 'refused', reason: 'expired', executed: false, message: words.expired });
    const entry = outboxed('responses', answer, command.commandId, false);
    this.#memory.commitOrKeep({ outbox: this.#outbox.with([entry]) });
    this.#outbox.send(entry);
    this.#emit({ type: 'refused', commandId: command.commandId, reason: 'expired' });
  }
}

const words: Readonly<Record<FinalRefusal | OpenRefusal, string>> = {
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
