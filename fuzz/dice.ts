import { seededRandom } from '../src/simulator/random.ts';

/** All chance of one case: the same seed and number throw the same. */
export interface Dice {
  /** Uniform in [0, 1). */
  readonly roll: () => number;
  /** 0 … below - 1. */
  int(below: number): number;
  pick<T>(list: readonly T[]): T;
  chance(probability: number): boolean;
  bytes(length: number): Buffer;
  uuid(): string;
}

export function diceOf(seed: number, part: string, number: number): Dice {
  // Neighbours must not look alike: what tells them apart is stirred well before the first throw.
  let mixed = seed >>> 0;
  for (const code of [...Buffer.from(part), number & 0xffff, number >>> 16]) mixed = Math.imul(mixed ^ code, 0x9e3779b1) ^ (mixed >>> 13);
  const roll = seededRandom(mixed);
  const int = (below: number): number => Math.floor(roll() * below);
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => int(256)));
  return {
    roll,
    int,
    bytes,
    pick: (list) => list[int(list.length)]!,
    chance: (probability) => roll() < probability,
    uuid() {
      const hex = bytes(16).toString('hex');
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
  };
}
