import { randomBytes } from 'node:crypto';

/** Milliseconds. */
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

export function toInstant(ms: number): string {
  return new Date(Math.floor(ms)).toISOString();
}

export function hex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
