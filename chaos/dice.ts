import { seededRandom } from '../src/simulator/random.ts';

/** Everything that a run leaves to chance is drawn here, so that its seed is the run. */
export interface Dice {
  /** In [0, 1). */
  next(): number;
  /** Whole, both ends included. */
  between(least: number, most: number): number;
  chance(probability: number): boolean;
  /** @throws where there is nothing to choose from */
  oneOf<T>(items: readonly T[]): T;
  anyOf<T>(items: readonly T[]): T | undefined;
  shuffled<T>(items: readonly T[]): T[];
  /** Dice of their own: what one part draws does not depend on how often another one drew. */
  of(name: string): Dice;
}

export function createDice(seed: number): Dice {
  const next = seededRandom(seed);
  const between = (least: number, most: number) => least + Math.floor(next() * (most - least + 1));
  const anyOf = <T>(items: readonly T[]): T | undefined => items[Math.floor(next() * items.length)];
  return {
    next,
    between,
    anyOf,
    chance: (probability) => next() < probability,
    oneOf(items) {
      const chosen = anyOf(items);
      if (chosen === undefined) throw new Error('There is nothing to choose from');
      return chosen;
    },
    shuffled(items) {
      const rest = [...items];
      for (let last = rest.length - 1; last > 0; last--) {
        const other = between(0, last);
        [rest[last], rest[other]] = [rest[other]!, rest[last]!];
      }
      return rest;
    },
    of: (name) => createDice([...name].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193), seed ^ 0x811c9dc5) >>> 0),
  };
}
