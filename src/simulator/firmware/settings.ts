import type { Received } from '../received.ts';
import type { TrustedClock } from './clock.ts';
import { mergeConfig } from './config.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import { outboxed, type Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Refusals } from './refusals.ts';
import type { Reporter } from './reporter.ts';

/** A higher version is taken over, an equal one answered as it was, a lower one ignored. */
export class Settings {
  readonly #emit: CoreOptions['emit'];
  readonly #memory: Memory;
  readonly #clock: TrustedClock;
  readonly #reporter: Reporter;
  readonly #outbox: Outbox;
  readonly #refusals: Refusals;

  constructor({ emit }: Pick<CoreOptions, 'emit'>, parts: Pick<Parts, 'memory' | 'clock' | 'reporter' | 'outbox' | 'refusals'>) {
    this.#emit = emit;
    ({ memory: this.#memory, clock: this.#clock, reporter: this.#reporter, outbox: this.#outbox, refusals: this.#refusals } = parts);
  }

  command(command: Received): void {
    const { config: old, configVersion, configRejected = [] } = this.#memory.image;
    if (this.#clock.isPast(command.expiresAt)) return this.#refusals.late(command);
    if (command.seq < configVersion) return;
    const { config, rejected } = command.seq === configVersion ? { config: old, rejected: configRejected } : mergeConfig(old, command.config);
    const answer = this.#reporter.response(command, {
      phase: 'final',
      success: true,
      result: 'applied',
      executed: true,
      message: 'Configuration applied',
      extra: { config_version: command.seq, ...(rejected.length === 0 ? {} : { rejected }) },
    });
    const entry = outboxed('responses', answer, command.commandId);
    const stored = this.#memory.commit({ configVersion: command.seq, config, configRejected: rejected, outbox: this.#outbox.with([entry]) });
    if (!stored) return this.#refusals.open(command, 'storage_failed');
    this.#outbox.send(entry);
    this.#emit({ type: 'config', version: command.seq, rejected });
  }
}
