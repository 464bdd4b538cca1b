import { table } from '../terminal.ts';
import type { Job } from './command.ts';
import { ago, details } from './words.ts';

interface Figures {
  readonly total_devices: number;
  readonly active_devices: number;
  readonly total_users: number;
  readonly deliveries_today: number;
  readonly system_health: string;
}

export const dashboard: Job<[], { tz?: string }> = async ({ terminal, remote }, _args, { tz }) => {
  const found = await (await remote()).get<Figures>('/admin/dashboard', { tz });
  terminal.event('dashboard', { ...found });
  if (terminal.json) return 0;
  const figure = (value: number) => value.toLocaleString('en');
  terminal.out(
    details([
      ['Boxes', `${figure(found.total_devices)}, ${figure(found.active_devices)} of them active`],
      ['Accounts', figure(found.total_users)],
      ['Deliveries today', figure(found.deliveries_today)],
      ['System', found.system_health],
    ]),
  );
  return 0;
};

interface Deliveries {
  readonly total_deliveries: number;
  readonly total_attempts: number;
  readonly time_zone: string;
  readonly daily_breakdown: readonly { readonly date: string; readonly deliveries: number; readonly attempts: number }[];
  readonly peak_hours: readonly { readonly hour: number; readonly deliveries: number }[];
}

/** Columns where results go to a file or a pipe. */
const COLUMNS = 80;
const BUSIEST = 3;

export const deliveries: Job<[], { from?: string; to?: string; tz?: string }> = async ({ terminal, remote }, _args, { from, to, tz }) => {
  const found = await (await remote()).get<Deliveries>('/admin/analytics/deliveries', { date_from: from, date_to: to, tz });
  terminal.event('deliveries', { ...found });
  if (terminal.json) return 0;
  terminal.out(dayChart(found.daily_breakdown, terminal.columns ?? COLUMNS));
  const busiest = found.peak_hours.slice(0, BUSIEST).map(({ hour, deliveries: count }) => `${`${hour}`.padStart(2, '0')}:00 (${count.toLocaleString('en')})`);
  if (busiest.length > 0) terminal.out(`\nMost from ${busiest.join(', ')}, ${found.time_zone}`);
  terminal.say(`${found.total_deliveries.toLocaleString('en')} completed of ${found.total_attempts.toLocaleString('en')} that were tried.`);
  return 0;
};

/** One line a day: what was completed is solid, what was tried besides is shaded. */
export function dayChart(days: Deliveries['daily_breakdown'], columns: number): string {
  const words = days.map(({ deliveries: done, attempts }) => `${done.toLocaleString('en')}${attempts > done ? ` of ${attempts.toLocaleString('en')}` : ''}`);
  const most = Math.max(1, ...days.map(({ deliveries: done, attempts }) => Math.max(done, attempts)));
  const room = Math.max(1, columns - '2026-11-21  '.length - 1 - Math.max(0, ...words.map(({ length }) => length)));
  // One delivery is one column where there is room.
  const scale = Math.min(1, room / most);
  // What there was is never nothing.
  const cells = (count: number) => (count === 0 ? 0 : Math.max(1, Math.round(count * scale)));
  return days
    .map(({ date, deliveries: done, attempts }, at) => {
      const full = cells(done);
      const bar = '█'.repeat(full) + '░'.repeat(Math.max(0, cells(attempts) - full));
      return `${date}  ${bar}${bar === '' ? '' : ' '}${words[at] ?? ''}`;
    })
    .join('\n');
}

interface Health {
  readonly jobs: string;
  readonly api_response_time: string;
  readonly api_response_time_p95: string | null;
  readonly dependencies: Readonly<Record<string, { readonly state: string; readonly response_time: string | null; readonly detail: string | null }>>;
  readonly read_models: readonly { readonly name: string; readonly state: string; readonly behind: number; readonly last_event_at: string | null; readonly error: string | null }[];
}

const well: ReadonlySet<string> = new Set(['healthy', 'not_here', 'running', 'catching_up']);

/** 0: all is well; 1: something is not. */
export const health: Job = async ({ terminal, remote }) => {
  const found = await (await remote()).get<Health>('/admin/system/health');
  terminal.event('health', { ...found });
  const parts = Object.entries(found.dependencies);
  if (!terminal.json) {
    const rows = [...parts.map(([name, { state, response_time: time, detail }]) => [name, state, time ?? '-', detail ?? '-']), ['jobs', found.jobs, '-', '-']];
    terminal.out(table(['PART', 'STATE', 'ANSWERS IN', 'DETAIL'], rows, { columns: terminal.columns, flexible: [3] }));
    const models = found.read_models.map(({ name, state, behind, last_event_at: last, error }) => [name, state, behind, ago(last), error ?? '-']);
    terminal.out(`\n${table(['READ MODEL', 'STATE', 'BEHIND', 'LAST EVENT', 'ERROR'], models, { columns: terminal.columns, flexible: [4] })}`);
    const slow = found.api_response_time_p95 === null ? '' : `, 95 % in ${found.api_response_time_p95}`;
    terminal.out(`\nThe API answers half of its requests in ${found.api_response_time}${slow}`);
  }
  return [found.jobs, ...parts.map(([, { state }]) => state), ...found.read_models.map(({ state }) => state)].every((state) => well.has(state)) ? 0 : 1;
};
