import type { Instant } from '../../domain/kernel.ts';

/**
 * Shows a part of the past again, at a speed. It asks for lines and gives them out when they are due: it has nothing in its
 * hands that could append, publish, send or build. Building read models anew is another thing, and called rebuild.
 */
export interface Player<L extends Line> {
  /** Each line when it is due, until `stop`. Nothing is looked up ahead beyond one page: who takes slowly slows it down. */
  frames(): AsyncGenerator<Frame<L>>;
  status(): PlaybackStatus;
  /** From where it is; from the beginning where it has ended. */
  play(): void;
  pause(): void;
  /** @param speed how many times faster than it was; Infinity: as fast as it can be taken */
  setSpeed(speed: number): void;
  /** Goes on from there. */
  seek(place: PlaybackPlace): void;
  /** So many lines further at once, or one back for -1, and pauses. */
  step(lines: number): void;
  stop(): void;
}

/** A line of the log, as whoever looks is shown it. */
export interface Line {
  readonly position: bigint;
  readonly occurredAt: Instant;
}

export interface Frame<L extends Line> {
  readonly line: L;
  /** Since the line before, as it happened; 0 for the first, and where the clocks of two lines disagree. */
  readonly gapMs: number;
  /** What of that gap was passed over because nothing happened in it. */
  readonly skippedMs: number;
}

export type PlaybackPlace =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'after'; readonly position: bigint }
  /** The first line that happened then or later, and what follows it in the log. */
  | { readonly kind: 'since'; readonly at: Instant };

export interface PlaybackSource<L extends Line> {
  /** At most so many lines from a place on, in the order of the log. None: there are no more. */
  from(place: PlaybackPlace, limit: number): Promise<readonly L[]>;
  /** The last line before a position. */
  before(position: bigint): Promise<L | undefined>;
}

export interface PlaybackStatus {
  readonly state: 'playing' | 'paused' | 'ended';
  readonly speed: number;
  /** Of the last line that was given out. */
  readonly position: bigint | undefined;
}

export interface PlayerOptions<L extends Line> {
  readonly source: PlaybackSource<L>;
  readonly speed: number;
  readonly paused?: boolean;
  /** Milliseconds that it waits for a line at most, however long nothing happened; Infinity: as long as that took. */
  readonly maxWaitMs: number;
  readonly onStatus?: (status: PlaybackStatus) => void;
  /** Tests own time. */
  readonly clock: PlaybackClock;
}

export interface PlaybackClock {
  monotonic(): number;
  /** Ends early, without an error, when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export const PAGE_LINES = 200;
/** `step` of more is as good as `seek`. */
const MAX_STEPS = 1_000;
/** A timer counts 31 bits of milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function createPlayer<L extends Line>({ source, clock, maxWaitMs, onStatus = () => undefined, ...options }: PlayerOptions<L>): Player<L> {
  let state: PlaybackStatus['state'] = options.paused === true ? 'paused' : 'playing';
  let { speed } = options;
  let next: PlaybackPlace = { kind: 'beginning' };
  let page: L[] = [];
  let last: L | undefined;
  let steps = 0;
  let back = false;
  /** Of the line that is next: what of its gap is still to be waited, in its own time, and what was waited, in ours. */
  let wait: { left: number; waited: number } | undefined;
  let stopped = false;
  let command = Promise.withResolvers<void>();
  let interrupted = new AbortController();
  /** Counts what makes a line that is being looked up another one. */
  let place = 0;

  const status = (): PlaybackStatus => ({ state, speed, position: last?.position });

  function become(to: PlaybackStatus['state']): void {
    if (state === to) return;
    state = to;
    onStatus(status());
  }

  /** Something was asked for: whatever is waited for is looked at again. */
  function told(): void {
    command.resolve();
    command = Promise.withResolvers<void>();
    interrupted.abort();
    interrupted = new AbortController();
  }

  function goTo(there: PlaybackPlace): void {
    next = there;
    page = [];
    last = undefined;
    wait = undefined;
    place++;
  }

  /** To the line before the one that was shown last; where there is none, nowhere. */
  async function goBack(): Promise<void> {
    back = false;
    const asked = place;
    const before = last === undefined ? undefined : await source.before(last.position);
    if (place !== asked) return;
    if (before === undefined) steps = Math.max(0, steps - 1);
    else goTo({ kind: 'after', position: before.position - 1n });
  }

  async function upcoming(): Promise<L | undefined> {
    if (page.length === 0) {
      const asked = place;
      const lines = await source.from(next, PAGE_LINES);
      if (place === asked) page = [...lines];
    }
    return page[0];
  }

  /** Waits until the line is due. False: something else was asked for meanwhile. */
  async function isDue(gapMs: number): Promise<boolean> {
    wait ??= { left: gapMs, waited: 0 };
    while (speed !== Infinity) {
      const ms = Math.min(wait.left / speed, maxWaitMs - wait.waited);
      if (ms <= 0) return true;
      const since = clock.monotonic();
      const { signal } = interrupted;
      const pace = speed;
      await clock.wait(Math.min(ms, MAX_TIMER_MS), signal);
      const took = clock.monotonic() - since;
      wait.waited += took;
      wait.left -= took * pace;
      if (signal.aborted) return false;
      if (ms <= MAX_TIMER_MS) return true;
    }
    return true;
  }

  return {
    status,

    async *frames() {
      while (!stopped) {
        if (state !== 'playing' && steps === 0) {
          await command.promise;
          continue;
        }
        if (back) {
          await goBack();
          continue;
        }
        const asked = place;
        const line = await upcoming();
        if (stopped) return;
        if (place !== asked || back) continue;
        if (line === undefined) {
          steps = 0;
          become('ended');
          continue;
        }
        const gapMs = last === undefined ? 0 : Math.max(0, Date.parse(line.occurredAt) - Date.parse(last.occurredAt));
        if (steps === 0 && !(await isDue(gapMs))) continue;
        if (stopped || place !== asked || back) continue;
        const skippedMs = steps > 0 || speed === Infinity ? 0 : Math.max(0, gapMs - Math.round(Math.min(gapMs / speed, maxWaitMs) * speed));
        if (steps > 0) steps--;
        page.shift();
        wait = undefined;
        last = line;
        next = { kind: 'after', position: line.position };
        yield { line, gapMs, skippedMs };
      }
    },

    play() {
      if (state === 'ended') goTo({ kind: 'beginning' });
      steps = 0;
      become('playing');
      told();
    },

    pause() {
      steps = 0;
      become('paused');
      told();
    },

    setSpeed(to) {
      if (!(to > 0)) throw new RangeError(`A speed is above 0, not ${to}`);
      speed = to;
      onStatus(status());
      told();
    },

    seek(there) {
      goTo(there);
      // Who looks for a place wants to see it, also where it stands still.
      if (state !== 'playing') steps = 1;
      if (state === 'ended') become('paused');
      told();
    },

    step(lines) {
      become('paused');
      if (lines < 0) [back, steps] = [true, 1];
      else steps = Math.min(steps + lines, MAX_STEPS);
      told();
    },

    stop() {
      stopped = true;
      told();
    },
  };
}
