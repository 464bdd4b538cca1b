import { randomFillSync } from 'node:crypto';

/** A call to the system for each id, nonce and token would be most of what making them costs: its bytes are fetched many at a time. */
const pool = Buffer.alloc(8_192);
let taken = pool.length;

/** Bytes of the system's generator, as strong as if they were asked for one by one: each is given once, and not kept here. At most 1,024. */
export function takeRandomBytes(count: number): Buffer {
  if (count > 1_024) throw new RangeError(`${count} random bytes at once are asked of the system, not of its pool`);
  if (taken + count > pool.length) {
    randomFillSync(pool);
    taken = 0;
  }
  const given = Buffer.from(pool.subarray(taken, taken + count));
  pool.fill(0, taken, taken + count);
  taken += count;
  return given;
}
