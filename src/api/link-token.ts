import { createHash, randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const LENGTH = 32;
/** The largest multiple of 62 in a byte: what is above would make the first signs likelier. */
const FAIR = 248;

export const linkTokenPattern = /^[0-9A-Za-z]{32}$/;

/** Random bytes of the system, fetched many at a time: one call for each link would be what a link costs most. */
const pool = Buffer.alloc(4_096);
let taken = pool.length;

function randomByte(): number {
  if (taken === pool.length) {
    randomFillSync(pool);
    taken = 0;
  }
  const byte = pool[taken] ?? 0;
  pool[taken++] = 0; // used once, and not kept
  return byte;
}

/** 32 signs base62, 190 bits. */
export function newLinkToken(): string {
  let token = '';
  while (token.length < LENGTH) {
    const byte = randomByte();
    if (byte < FAIR) token += ALPHABET[byte % 62];
  }
  return token;
}

/** The only form of a token that is looked up by. The lookup is by hash: its time says nothing of the token. */
export function linkTokenHash(token: string): string {
  return createHash('sha256').update('loqey-link-1|').update(token).digest('hex');
}
