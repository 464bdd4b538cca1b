/** Uniform in [0, 1). Seeded, so that one number replays a run; never used for a nonce, a challenge or a key. */
export type Random = () => number;

/** mulberry32: small, fast, and good enough to roll for losses and delays. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number, or a range to draw from anew each time. */
export type Amount = number | readonly [min: number, max: number];

export function draw(amount: Amount, random: Random): number {
  return typeof amount === 'number' ? amount : amount[0] + random() * (amount[1] - amount[0]);
}
