import { openSecret } from '../../bridge/protocol/commands.ts';
import type { DeviceKeys } from '../../bridge/protocol/keys.ts';
import type { OutboxEntry } from '../flash.ts';
import type { Received } from '../received.ts';
import { CHALLENGE_LIFE, type TrustedClock } from './clock.ts';
import type { BoxKeys } from './keys.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import { outboxed, type Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Refusals } from './refusals.ts';
import type { Named, Reporter } from './reporter.ts';
import type { Timers } from './timers.ts';

/** Taking a new key: stored, then said, then used. */
export class Rotation {
  readonly #o: CoreOptions;
  readonly #memory: Memory;
  readonly #timers: Timers;
  readonly #clock: TrustedClock;
  readonly #keys: BoxKeys;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;
  readonly #refusals: Refusals;

  constructor(options: CoreOptions, parts: Pick<Parts, 'memory' | 'timers' | 'clock' | 'keys' | 'reporter' | 'outbox' | 'refusals'>) {
    this.#o = options;
    ({ memory: this.#memory, timers: this.#timers, clock: this.#clock, keys: this.#keys, reporter: this.#reporter, outbox: this.#outbox, refusals: this.#refusals } = parts);
  }

  /** @param keys those under which the command is the server's */
  command(command: Received, keys: DeviceKeys): void {
    this.#o.step('rotation_received');
    const { current, pending } = this.#memory.image.keys;
    if (this.#clock.isPast(command.expiresAt)) return this.#refusals.late(command);
    if (pending !== undefined && pending.commandId === command.commandId) return this.answer();
    // One at a time. A later command with another key for the same version means that the server began anew.
    if (command.seq !== current.version + 1 || (pending !== undefined && command.issuedAt <= pending.issuedAt)) return this.#refusals.open(command, 'stale_seq');
    const master = newMaster(openSecret(command.secret, keys.enc, this.#o.deviceId, command.commandId));
    if (master === undefined) return this.#refusals.open(command, 'malformed');
    if (pending?.answered === true && pending.master === master) {
      // The key that it has answered with already, sent again: taking that back would put the old one into use again.
      const waiting = this.#outbox.answerTo(pending.commandId);
      if (waiting !== undefined) this.#outbox.send(waiting);
      return;
    }
    const stored = this.#keys.store({ version: command.seq, master, commandId: command.commandId, seq: command.seq, issuedAt: command.issuedAt, answered: false });
    if (!stored) return this.#refusals.open(command, 'storage_failed');
    this.#o.step('rotation_stored');
    this.answer();
  }

  /** `applied` only with an empty outbox: what is in there is signed with a key that the server is about to erase. */
  answer(): void {
    const { current, pending } = this.#memory.image.keys;
    const keys = this.#keys.pending;
    if (pending === undefined || keys === undefined || pending.answered || this.#outbox.entries.length > 0) return;
    const command: Named = { action: 'rotate_key', commandId: pending.commandId, seq: pending.seq };
    const answer = this.#reporter.response(command, { phase: 'final', success: true, result: 'applied', executed: true, message: 'New key stored' }, keys);
    const entry = outboxed('responses', answer, pending.commandId);
    if (!this.#memory.commit({ keys: { current, pending: { ...pending, answered: true } }, outbox: [entry] })) return;
    this.#o.step('rotation_answered');
    this.#outbox.send(entry);
    this.#timers.set('reconnect', CHALLENGE_LIFE, () => this.#o.reconnect());
  }

  /** Something arrived at the server: `applied` itself, or what stood in its way. */
  acknowledged(done: readonly OutboxEntry[]): void {
    const { pending } = this.#memory.image.keys;
    if (pending?.answered === true && done.some(({ commandId }) => commandId === pending.commandId)) this.#o.reconnect();
    else this.answer();
  }
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
