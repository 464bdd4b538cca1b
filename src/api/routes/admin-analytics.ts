import type { DeliveryStatistics } from '../../projections/read-models.ts';
import { invalid } from '../errors.ts';
import { admin, route, type Route } from '../route.ts';
import { AnalyticsQuery, DeliveryAnalytics } from '../schemas/admin.ts';
import { Closed } from '../schemas/common.ts';
import { dayIn, timeZoneOf } from '../time.ts';

const DAY_MS = 86_400_000;
/** Days that are shown when nothing is said, and at most. */
const SHOWN = 30;
const MOST = 1_100;

export const adminAnalyticsRoutes: readonly Route[] = [
  route({
    id: 'deliveryAnalytics',
    tag: 'admin',
    summary: 'Deliveries by day and by hour of a time zone',
    method: 'GET',
    path: '/admin/analytics/deliveries',
    access: admin('analytics:read'),
    query: Closed(AnalyticsQuery),
    replies: { 200: DeliveryAnalytics },
  })(async (call, { deps }) => {
    const { clock, settings, reads } = deps;
    const timeZone = timeZoneOf(call.query.tz, settings.timeZone);
    const day = (field: 'date_from' | 'date_to') => dayOf(field, call.query[field], timeZone);
    const to = day('date_to') ?? dayIn(clock.now(), timeZone);
    const from = day('date_from') ?? plusDays(to, 1 - SHOWN);
    const days = daysBetween(from, to);
    if (days.length === 0) throw invalid('date_from', 'must not be after date_to');
    if (days.length > MOST) throw invalid('date_from', `must be at most ${MOST} days before date_to`);
    return { status: 200, body: view(await reads.deliveries.statistics(from, to, timeZone), days, timeZone) };
  }),
];

function view({ days, hours }: DeliveryStatistics, dates: readonly string[], timeZone: string) {
  const byDate = new Map(days.map((day) => [day.date, day]));
  const byHour = new Map(hours.map((hour) => [hour.hour, hour]));
  const sum = (what: 'completed' | 'attempted') => days.reduce((total, day) => total + day[what], 0);
  return {
    total_deliveries: sum('completed'),
    total_attempts: sum('attempted'),
    date_from: dates[0] ?? '',
    date_to: dates.at(-1) ?? '',
    time_zone: timeZone,
    daily_breakdown: dates.map((date) => ({ date, deliveries: byDate.get(date)?.completed ?? 0, attempts: byDate.get(date)?.attempted ?? 0 })),
    peak_hours: hours
      .flatMap(({ hour, completed }) => (completed === 0 ? [] : [{ hour, deliveries: completed }]))
      .sort((a, b) => b.deliveries - a.deliveries || a.hour - b.hour),
    hourly_breakdown: Array.from({ length: 24 }, (_, hour) => ({ hour, deliveries: byHour.get(hour)?.completed ?? 0, attempts: byHour.get(hour)?.attempted ?? 0 })),
  };
}

/** A date is the zone's; an instant is the day that it falls on there. */
function dayOf(field: string, text: string | undefined, timeZone: string): string | undefined {
  if (text === undefined) return undefined;
  if (text.length === 10) {
    const ms = Date.parse(`${text}T00:00:00Z`);
    // 30 February is no other day.
    if (!Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text)) return text;
  } else {
    const ms = Date.parse(text);
    if (!Number.isNaN(ms)) return dayIn(ms, timeZone);
  }
  throw invalid(field, 'must be a date or an ISO-8601 time');
}

/** Dates are counted as in UTC, where each has 24 hours. */
function plusDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Both ends included; of too many only one more than is allowed. */
function daysBetween(from: string, to: string): readonly string[] {
  const days: string[] = [];
  for (let day = from; day <= to && days.length <= MOST; day = plusDays(day, 1)) days.push(day);
  return days;
}
