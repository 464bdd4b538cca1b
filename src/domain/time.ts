import type { Instant } from './kernel.ts';

/**
 * Arithmetic on instants. Two instants compare as text; only adding and measuring needs this file. It reads no clock:
 * every function works on the instant that it is given.
 */

/** Milliseconds since 1970. */
export function toMs(instant: Instant): number {
  const ms = Date.parse(instant);
  if (Number.isNaN(ms)) throw new RangeError(`Not an instant: ${instant}`);
  return ms;
}

export function fromMs(ms: number): Instant {
  return new Date(ms).toISOString();
}

export function addMs(instant: Instant, ms: number): Instant {
  return fromMs(toMs(instant) + ms);
}

/** Whole seconds from `now` until `instant`, rounded up, at least 1: what a caller is told to wait. */
export function secondsUntil(instant: Instant, now: Instant): number {
  return Math.max(1, Math.ceil((toMs(instant) - toMs(now)) / 1000));
}

/** `2026-11-21T10:30:00.000Z` → `20261121`. */
export function dayOf(instant: Instant): string {
  return instant.slice(0, 10).replaceAll('-', '');
}
