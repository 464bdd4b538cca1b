const formats = new Map<string, Intl.DateTimeFormat>();
const weekdays: Readonly<Record<string, number>> = { Mon: 1, Tue: 2, Wed: 3, Thu: 4, Fri: 5, Sat: 6, Sun: 7 };

/** Weekday (1 = Monday … 7 = Sunday) and `HH:MM` in a named time zone; the domain knows no zones. */
export function localTimeIn(timeZone: string, ms: number): { readonly weekday: number; readonly time: string; readonly timeZone: string } {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    formats.set(timeZone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  return { weekday: weekdays[parts['weekday'] ?? ''] ?? 0, time: `${parts['hour']}:${parts['minute']}`, timeZone };
}

/** True for a name of the time zone database that this runtime knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
