import { expect, it } from 'vitest';
import { keptAs } from '../../bench/support/folders.ts';

it('a kept folder is that of its cast, its past and its seed', () => {
  const cast = { owners: 1, boxesEach: 1, more: 0 };
  const contents = [{ cast, seed: 1 }, { cast, seed: 2 }, { cast: { ...cast, more: 1 }, seed: 1 }, ...[10_000, 100_000].map((events) => ({ cast, past: { boxes: 1_000, events }, seed: 1 }))];
  expect(new Set(contents.map(keptAs)).size).toBe(contents.length);
  expect(keptAs({ cast: { ...cast }, seed: 1 })).toBe(keptAs({ cast, seed: 1 }));
});
