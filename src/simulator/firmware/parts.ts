import type { TrustedClock } from './clock.ts';
import type { BoxKeys } from './keys.ts';
import type { Line } from './line.ts';
import type { Memory } from './memory.ts';
import type { News } from './news.ts';
import type { Outbox } from './outbox.ts';
import type { Refusals } from './refusals.ts';
import type { Reporter } from './reporter.ts';
import type { Timers } from './timers.ts';

/** What the firmware is put together from; each part names those that it works with. */
export interface Parts {
  readonly memory: Memory;
  readonly timers: Timers;
  readonly clock: TrustedClock;
  readonly keys: BoxKeys;
  readonly line: Line;
  readonly reporter: Reporter;
  readonly outbox: Outbox;
  readonly refusals: Refusals;
  readonly news: News;
}
