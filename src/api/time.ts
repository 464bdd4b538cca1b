import { invalid } from './errors.ts';
import type { Instant } from '../domain/kernel.ts';

/** Any valid ISO time → the one form that instants have here. */
export function instantFrom(text: string): Instant {
  return new Date(text).toISOString();
}

/** @throws ApiError 400 for a name that no zone has */
export function timeZoneOf(name: string | undefined, otherwise: string): string {
  if (name === undefined) return otherwise;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return name;
  } catch {
    throw invalid('tz', 'must be a time zone such as Europe/Istanbul');
  }
}

/** The day that the clocks of a zone show, `YYYY-MM-DD`. */
export function dayIn(ms: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }).formatToParts(ms);
  const of = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${of['year']?.padStart(4, '0')}-${of['month']}-${of['day']}`;
}

/**
 * A range of time as a query says it: from the first instant that is in it to the first one that is not. A bare date is the
 * whole day in UTC.
 *
 * @throws ApiError 400
 */
export function rangeOf({ date_from: from, date_to: to }: { readonly date_from?: string; readonly date_to?: string }): { readonly from?: Instant; readonly to?: Instant } {
  return {
    ...(from === undefined ? {} : { from: instantOf('date_from', from, 0) }),
    ...(to === undefined ? {} : { to: instantOf('date_to', to, DAY_MS) }),
  };
}

const DAY_MS = 86_400_000;

function instantOf(field: string, text: string, dayOffsetMs: number): Instant {
  const isDate = text.length === 10;
  const parsed = Date.parse(isDate ? `${text}T00:00:00.000Z` : text);
  if (Number.isNaN(parsed)) throw invalid(field, 'must be a date or an ISO-8601 time');
  return new Date(isDate ? parsed + dayOffsetMs : parsed).toISOString();
}

/** Midnight that began the current day of a zone. */
export function startOfDay(nowMs: number, timeZone: string): Instant {
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone, hourCycle: 'h23', hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const sinceMidnight = (ms: number) => {
    const of = Object.fromEntries(clock.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    return (((of['hour'] ?? 0) * 60 + (of['minute'] ?? 0)) * 60 + (of['second'] ?? 0)) * 1_000 + (ms % 1_000);
  };
  const midnight = nowMs - sinceMidnight(nowMs);
  // Where the clock was put forward or back since, that is an hour beside it.
  const beside = sinceMidnight(midnight);
  return new Date(beside === 0 ? midnight : midnight + (beside > 43_200_000 ? 86_400_000 - beside : -beside)).toISOString();
}
