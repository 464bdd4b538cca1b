import { pause } from '../../platform/backoff.ts';
import { table, type Terminal } from '../terminal.ts';
import type { Query, Remote } from './client.ts';
import type { Job } from './command.ts';
import { theDevice } from './devices.ts';
import { moment, shown } from './words.ts';

interface Entry {
  readonly timestamp: string;
  readonly action: string;
  readonly type: string;
  readonly outcome: string;
  readonly actor: { readonly kind: string; readonly id: string; readonly email: string | null };
  readonly serial_number: string | null;
  readonly device_id: string | null;
  readonly ip_address: string | null;
  readonly position: string;
}

export interface AuditOptions {
  readonly actor?: string;
  readonly device?: string;
  readonly user?: string;
  readonly link?: string;
  readonly unlock?: string;
  readonly action?: string;
  readonly type?: string;
  readonly outcome?: string;
  readonly ip?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit?: string;
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

async function queryOf(api: Remote, options: AuditOptions): Promise<Query> {
  // People name boxes by their serial numbers, and one another by their addresses.
  const device = options.device === undefined || UUID.test(options.device) ? options.device : (await api.list<{ id: string }>('/admin/devices', { search: options.device, limit: 1 })).rows[0]?.id;
  const person = async (named: string | undefined) =>
    named?.includes('@') === true ? ((await api.list<{ id: string }>('/admin/users', { search: named, limit: 1 })).rows[0]?.id ?? named) : named;
  return {
    actor: await person(options.actor),
    device_id: options.device !== undefined && device === undefined ? '00000000-0000-0000-0000-000000000000' : device,
    user_id: await person(options.user),
    link_id: options.link,
    unlock_id: options.unlock,
    action: options.action,
    type: options.type,
    outcome: options.outcome,
    ip: options.ip,
    date_from: options.from,
    date_to: options.to,
  };
}

export const list: Job<[], AuditOptions> = async ({ terminal, remote }, _args, options) => {
  const api = await remote();
  const { rows, total } = await api.list<Entry>('/admin/logs/audit', { ...(await queryOf(api, options)), limit: options.limit ?? 50 });
  // The newest at the end, where the eye is.
  print(terminal, [...rows].reverse(), true);
  terminal.say(shown(rows.length, total, 'event'));
  return 0;
};

export const history: Job<[device: string], Pick<AuditOptions, 'from' | 'to' | 'limit'>> = async (context, [named], options) => {
  const { id } = await theDevice(await context.remote(), named);
  return list(context, [], { ...options, device: id });
};

const EVERY_MS = 1_000;

/** Until Ctrl+C. What comes is asked for from the last one on, so nothing is missed and nothing shown twice. */
export const tail: Job<[], AuditOptions> = async ({ terminal, remote }, _args, options) => {
  const api = await remote();
  const query = await queryOf(api, options);
  const last = (await api.list<Entry>('/admin/logs/audit', { ...query, limit: options.limit ?? 10 })).rows;
  print(terminal, [...last].reverse(), true, true);
  let after = last[0]?.position ?? (await api.list<Entry>('/admin/logs/audit', { limit: 1 })).rows[0]?.position;
  // A pipe whose reader has gone ends it too.
  while (!process.stdout.destroyed) {
    await pause(EVERY_MS);
    const { rows } = await api.list<Entry>('/admin/logs/audit', { ...query, after, limit: 1_000 });
    if (rows.length === 0) continue;
    after = rows.at(-1)?.position;
    print(terminal, rows, false, true);
  }
  return 0;
};

const head = ['TIME (UTC)', 'ACTION', 'OUTCOME', 'WHO', 'BOX', 'FROM'];
/** On a narrower screen the address gives way: it is in --json. */
const WIDE = 100;

function print(terminal: Terminal, rows: readonly Entry[], withHead: boolean, following = false): void {
  for (const row of rows) terminal.event('audit', { ...row });
  if (terminal.json || rows.length === 0) return;
  const shownColumns = terminal.columns !== undefined && terminal.columns < WIDE ? 5 : 6;
  const cells = rows.map((row) => [moment(row.timestamp).slice(5), row.action, row.outcome, who(row), row.serial_number ?? '-', row.ip_address ?? '-'].slice(0, shownColumns));
  const text = table(head.slice(0, shownColumns), cells, { columns: terminal.columns, flexible: [1, 3, 5], lastly: [4], ...(following ? { atLeast: [14, 20, 8, 18, 14] } : {}) });
  terminal.out(withHead ? text : text.slice(text.indexOf('\n') + 1));
}

function who({ actor: { kind, id, email } }: Entry): string {
  return email ?? (UUID.test(id) ? `${kind} ${id.slice(-6)}` : `${kind} ${id}`);
}
