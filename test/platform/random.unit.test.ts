import { expect, it } from 'vitest';
import { newLinkToken, linkTokenPattern } from '../../src/api/link-token.ts';
import { takeRandomBytes } from '../../src/platform/random.ts';

it('gives no bytes twice, also where the pool is filled anew, and keeps none', () => {
  const given = Array.from({ length: 5_000 }, (_, i) => takeRandomBytes(8 + (i % 24)).toString('hex'));
  expect(new Set(given.map((bytes) => bytes.slice(0, 16))).size).toBe(given.length);
  const mine = takeRandomBytes(16);
  const before = mine.toString('hex');
  for (let i = 0; i < 2_000; i++) takeRandomBytes(16).fill(0);
  expect(mine.toString('hex')).toBe(before);
});

it('uses every value of a byte about as often', () => {
  const seen = Array.from({ length: 256 }, () => 0);
  for (let i = 0; i < 2_000; i++) for (const byte of takeRandomBytes(128)) seen[byte] = (seen[byte] ?? 0) + 1;
  // 256,000 bytes, 1,000 of each value: seven standard deviations on either side.
  expect(Math.min(...seen)).toBeGreaterThan(780);
  expect(Math.max(...seen)).toBeLessThan(1_220);
});

it('refuses so many at once that the pool would not have them', () => {
  expect(() => takeRandomBytes(1_025)).toThrow(RangeError);
});

it('a link token is 32 signs, each of the 62 as likely', () => {
  const counts = new Map<string, number>();
  for (let i = 0; i < 3_100; i++) {
    const token = newLinkToken();
    expect(token).toMatch(linkTokenPattern);
    for (const sign of token) counts.set(sign, (counts.get(sign) ?? 0) + 1);
  }
  expect(counts.size).toBe(62);
  // 99,200 signs, 1,600 of each: seven standard deviations.
  expect(Math.min(...counts.values())).toBeGreaterThan(1_320);
  expect(Math.max(...counts.values())).toBeLessThan(1_880);
});
