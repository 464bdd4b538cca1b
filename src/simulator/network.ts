import { draw, type Amount, type Random } from './random.ts';
import type { SimTime } from './time.ts';

/** What the network does to messages above TCP: the box and the server must live with it. */
export interface NetworkFaults {
  /** Probability that a message is lost, each way. */
  readonly loss?: number;
  /** Probability that a message comes twice, each way. */
  readonly duplicates?: number;
  /** Milliseconds, each way. A range lets messages overtake each other. */
  readonly delayMs?: Amount;
}

/** Brings one message once, twice or never, at once or later. */
export function disturb({ loss = 0, duplicates = 0, delayMs }: NetworkFaults, random: Random, time: SimTime, deliver: () => void): void {
  if (loss > 0 && random() < loss) return;
  const copies = duplicates > 0 && random() < duplicates ? 2 : 1;
  for (let copy = 0; copy < copies; copy++) {
    if (delayMs === undefined) deliver();
    else time.after(draw(delayMs, random), deliver);
  }
}
