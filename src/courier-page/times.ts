import type { Instant } from '../domain/kernel.ts';
import { html, type Html } from './html.ts';
import type { Language } from './words.ts';

/** How times read on one page. */
export interface Times {
  /** `14:02`, with the day where it is another one, and the name of the zone. */
  moment(at: Instant): Html;
  /** `14:02:11`. */
  second(at: Instant): Html;
  /** 1 = Monday. */
  days(numbers: readonly number[]): string;
}

/**
 * @param zone of the box
 * @param known false: nobody said where the box is, and the phone in front of it knows better; the script then says it anew
 */
export function timesOf(language: Language, zone: string, known: boolean, now: number): Times {
  const locale = language === 'en' ? 'en-GB' : language;
  const day = new Intl.DateTimeFormat('en-CA', { timeZone: zone });
  const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone: zone } as const;
  const short = new Intl.DateTimeFormat(locale, { ...clock, timeZoneName: 'short' });
  const long = new Intl.DateTimeFormat(locale, { ...clock, weekday: 'short', day: 'numeric', month: 'short', timeZoneName: 'short' });
  const exact = new Intl.DateTimeFormat(locale, { ...clock, second: '2-digit' });
  const weekday = new Intl.DateTimeFormat(locale, { weekday: 'short', timeZone: 'UTC' });
  const element = (at: Instant, form: string, text: string) => html`<time datetime="${at}" data-form="${form}" data-zone="${known ? zone : ''}">${text}</time>`;
  return {
    moment(at) {
      const date = new Date(at);
      return element(at, 'moment', (day.format(date) === day.format(now) ? short : long).format(date));
    },
    second: (at) => element(at, 'second', exact.format(new Date(at))),
    // The first of January 2024 was a Monday.
    days: (numbers) => numbers.toSorted((a, b) => a - b).map((number) => weekday.format(Date.UTC(2024, 0, number))).join(', '),
  };
}
