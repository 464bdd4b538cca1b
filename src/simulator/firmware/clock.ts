import type { Received } from '../received.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';
import { hex, HOUR, MINUTE, SECOND } from './units.ts';

/** How long an answer to a challenge is waited for. */
export const CHALLENGE_LIFE = 5 * SECOND;
const RESYNC_AFTER = 4 * HOUR;
/** Of the box's oscillator between two answers. */
const DRIFT_ALLOWED = 5 * SECOND;
const BACK_BELIEVED_AFTER = 15 * MINUTE;
const TRUST_LIFE = 8 * HOUR;

/** Time as far as it is proven: by answers of the server to challenges of this box, and nothing else. */
export class TrustedClock {
  readonly #o: Pick<CoreOptions, 'time' | 'emit'>;
  readonly #memory: Memory;
  #trust: { readonly base: number; readonly askedAt: number; readonly syncedAt: number } | undefined;
  /** Monotonic: since when the server says an earlier time than it did. */
  #backSince: number | undefined;
  #challenge: { readonly nonce: string; readonly askedAt: number } | undefined;

  constructor(options: Pick<CoreOptions, 'time' | 'emit'>, memory: Memory) {
    this.#o = options;
    this.#memory = memory;
  }

  /** Milliseconds since the epoch: never behind the server's, at most five seconds ahead. */
  now(): number | undefined {
    if (this.#trust === undefined) return undefined;
    const { base, askedAt, syncedAt } = this.#trust;
    const monotonic = this.#o.time.monotonic();
    if (monotonic - syncedAt > TRUST_LIFE) return undefined;
    return base + (monotonic - askedAt);
  }

  /** True where it is known to be later; without the time nothing is. */
  isPast(instant: number): boolean {
    const now = this.now();
    return now !== undefined && now > instant;
  }

  /** A fresh challenge where one is wanted. A younger one stays open: its answer may be on the way. */
  ask(always: boolean): Readonly<Record<string, string>> {
    const monotonic = this.#o.time.monotonic();
    const due = this.now() === undefined || monotonic - this.#trust!.syncedAt >= RESYNC_AFTER;
    if (!always && (!due || (this.#challenge !== undefined && monotonic - this.#challenge.askedAt <= CHALLENGE_LIFE))) return {};
    this.#challenge = { nonce: hex(16), askedAt: monotonic };
    return { time_challenge: this.#challenge.nonce };
  }

  /** Whether this answers the open challenge, in time. */
  isAnswer({ nonce }: Received): boolean {
    return this.#challenge !== undefined && nonce === this.#challenge.nonce && this.#o.time.monotonic() - this.#challenge.askedAt <= CHALLENGE_LIFE;
  }

  /** One challenge, one answer. */
  set({ issuedAt }: Received): void {
    const challenge = this.#challenge!;
    const monotonic = this.#o.time.monotonic();
    this.#challenge = undefined;
    this.#trust = { base: this.#believed(issuedAt, challenge.askedAt, monotonic), askedAt: challenge.askedAt, syncedAt: monotonic };
    const { journal } = this.#memory.image;
    // The moment of the answer, not the later "now": whatever the server issues from here on belongs to this journal.
    if (journal.createdAt === undefined) this.#memory.commit({ journal: { ...journal, createdAt: issuedAt } });
    this.#o.emit({ type: 'time', now: this.now()! });
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
}
