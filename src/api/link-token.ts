import { hash } from 'node:crypto';
import { takeRandomBytes } from '../platform/random.ts';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const LENGTH = 32;
/** The largest multiple of 62 in a byte: what is above would make the first signs likelier. */
const FAIR = 248;

export const linkTokenPattern = /^[0-9A-Za-z]{32}$/;

/** 32 signs base62, 190 bits. */
export function newLinkToken(): string {
  let token = '';
  while (token.length < LENGTH) {
    for (const byte of takeRandomBytes(LENGTH - token.length)) if (byte < FAIR) token += ALPHABET[byte % 62];
  }
  return token;
}

/** The only form of a token that is looked up by. The lookup is by hash: its time says nothing of the token. */
export function linkTokenHash(token: string): string {
  return hash('sha256', `loqey-link-1|${token}`);
}
