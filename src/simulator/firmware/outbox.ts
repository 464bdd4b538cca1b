import type { ReportKind } from '../../bridge/protocol/signature.ts';
import type { OutboxEntry, RingEntry } from '../flash.ts';
import type { BoxTime } from '../time.ts';
import type { Line } from './line.ts';
import type { Memory } from './memory.ts';
import type { Parts } from './parts.ts';
import { EXECUTED_LISTED, type Report } from './reporter.ts';
import type { Timers } from './timers.ts';
import { MINUTE, SECOND } from './units.ts';

const SIZE = 32;
/** Since the first time it was sent; after the last, each minute. */
const REPEAT_AT = [5 * SECOND, 15 * SECOND, 60 * SECOND];

/** What must arrive: in flash, and sent again until the server names its number. */
export class Outbox {
  readonly #time: BoxTime;
  readonly #memory: Memory;
  readonly #timers: Timers;
  readonly #line: Line;
  readonly #repeats = new Map<number, { readonly since: number; due: number }>();

  constructor(parts: Pick<Parts, 'memory' | 'timers' | 'line'> & { readonly time: BoxTime }) {
    ({ time: this.#time, memory: this.#memory, timers: this.#timers, line: this.#line } = parts);
  }

  get entries(): readonly OutboxEntry[] {
    return this.#memory.image.outbox;
  }

  /** The answer to this command that is not acknowledged yet. */
  answerTo(commandId: string): OutboxEntry | undefined {
    return this.entries.find((entry) => entry.commandId === commandId);
  }

  mustArrive(kind: ReportKind, report: Report): void {
    const entry = outboxed(kind, report);
    this.#memory.commitOrKeep({ outbox: this.with([entry]) });
    this.send(entry);
  }

  /**
   * Over the limit goes first the oldest status, then the oldest response that `last_executed` repeats anyway, then the
   * oldest that proves nothing. A proof that exists nowhere else is never dropped for another; then the new one is sent once.
   */
  with(entries: readonly OutboxEntry[], ring: readonly RingEntry[] = this.#memory.image.journal.ring): readonly OutboxEntry[] {
    const outbox = [...this.entries, ...entries];
    const listed = new Set(ring.slice(-EXECUTED_LISTED).map(({ commandId }) => commandId));
    while (outbox.length > SIZE) {
      const candidates = [
        outbox.findIndex(({ kind }) => kind === 'status'),
        outbox.findIndex(({ commandId }) => commandId !== undefined && listed.has(commandId)),
        outbox.findIndex(({ executed }) => executed !== false),
      ];
      outbox.splice(candidates.find((index) => index >= 0) ?? outbox.length - 1, 1);
    }
    return outbox;
  }

  send(entry: OutboxEntry): void {
    if (!this.#line.online) return;
    this.#line.publish(entry.kind, Buffer.from(entry.payload));
    const since = this.#time.monotonic();
    this.#repeats.set(entry.reportSeq, { since, due: since + REPEAT_AT[0]! });
    this.#planRepeat();
  }

  /** Answers what is done with. */
  acknowledged(acked: readonly number[]): readonly OutboxEntry[] {
    const done = this.entries.filter(({ reportSeq }) => acked.includes(reportSeq));
    if (done.length === 0) return done;
    this.#memory.commitOrKeep({ outbox: this.entries.filter((entry) => !done.includes(entry)) });
    this.#planRepeat();
    return done;
  }

  #planRepeat(): void {
    let due = Infinity;
    const stored = new Set(this.entries.map(({ reportSeq }) => reportSeq));
    for (const [reportSeq, repeat] of this.#repeats) {
      if (stored.has(reportSeq)) due = Math.min(due, repeat.due);
      else this.#repeats.delete(reportSeq);
    }
    if (due === Infinity) this.#timers.clear('repeat');
    else this.#timers.set('repeat', due - this.#time.monotonic(), () => this.#repeatDue());
  }

  #repeatDue(): void {
    const monotonic = this.#time.monotonic();
    for (const entry of this.entries) {
      const repeat = this.#repeats.get(entry.reportSeq);
      if (repeat === undefined || repeat.due > monotonic) continue;
      this.#line.publish(entry.kind, Buffer.from(entry.payload));
      const next = REPEAT_AT.find((offset) => repeat.since + offset > monotonic);
      repeat.due = next === undefined ? monotonic + MINUTE : repeat.since + next;
    }
    this.#planRepeat();
  }
}

export function outboxed(kind: ReportKind, report: Report, commandId?: string, executed?: boolean): OutboxEntry {
  return {
    reportSeq: report.reportSeq,
    kind,
    payload: report.payload.toString(),
    ...(commandId === undefined ? {} : { commandId }),
    ...(executed === undefined ? {} : { executed }),
  };
}
