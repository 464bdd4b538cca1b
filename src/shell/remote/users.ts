import { table } from '../terminal.ts';
import { RemoteFailure, remoteExit, type Remote } from './client.ts';
import type { Job } from './command.ts';
import { agreed, day, details, moment, shown } from './words.ts';

interface User {
  readonly id: string;
  readonly email: string | null;
  readonly full_name: string | null;
  readonly is_active: boolean;
  readonly role: string | null;
  readonly device_count?: number;
  readonly created_at: string;
}

/** The address of an erased account is gone; it is no longer suspended or active. */
const stateOf = (user: { readonly email: string | null; readonly is_active: boolean }) => (user.email === null ? 'erased' : user.is_active ? 'active' : 'suspended');

export const list: Job<[], { active?: true; suspended?: true; search?: string; limit?: string }> = async ({ terminal, remote }, _args, options) => {
  const query = { active: options.active ?? (options.suspended === true ? false : undefined), search: options.search, limit: options.limit ?? 50 };
  const { rows, total } = await (await remote()).list<User>('/admin/users', query);
  for (const row of rows) terminal.event('user', { ...row });
  if (terminal.json) return 0;
  if (rows.length > 0) {
    const cells = rows.map((row) => [row.email ?? '(erased)', row.full_name ?? '-', stateOf(row), row.role ?? '-', row.device_count ?? 0, day(row.created_at)]);
    terminal.out(table(['E-MAIL', 'NAME', 'STATE', 'ROLE', 'BOXES', 'SINCE'], cells, { columns: terminal.columns, flexible: [0, 1] }));
  }
  terminal.say(shown(rows.length, total, 'account'));
  return 0;
};

interface Detail extends User {
  readonly phone_number: string | null;
  readonly devices: readonly { readonly serial_number: string; readonly name: string | null; readonly status: string; readonly is_online: boolean }[];
  readonly access_links: readonly { readonly is_active: boolean }[];
  readonly delivery_history: readonly { readonly attempted_at: string; readonly status: string }[];
}

export const show: Job<[user: string]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const user = await api.get<Detail>(`/admin/users/${(await theUser(api, named)).id}`);
  terminal.event('user', { ...user });
  if (terminal.json) return 0;
  const last = user.delivery_history[0];
  terminal.out(
    details([
      ['E-mail', user.email],
      ['Name', user.full_name],
      ['Phone', user.phone_number],
      ['State', stateOf(user)],
      ['Role', user.role],
      ['Since', moment(user.created_at)],
      ['Links', `${user.access_links.filter(({ is_active: active }) => active).length} active of ${user.access_links.length}`],
      ['Deliveries', last === undefined ? '-' : `${user.delivery_history.length}, last ${moment(last.attempted_at)} (${last.status})`],
      ['Id', user.id],
    ]),
  );
  if (user.devices.length > 0) {
    const cells = user.devices.map((device) => [device.serial_number, device.name ?? '-', device.is_online ? device.status : 'offline']);
    terminal.out(`\n${table(['SERIAL', 'NAME', 'STATE'], cells, { columns: terminal.columns, flexible: [1], lastly: [0] })}`);
  }
  return 0;
};

export const suspend: Job<[user: string], { reason?: string; yes?: true }> = async ({ terminal, remote }, [named], { reason, yes }) => {
  const api = await remote();
  const user = await theUser(api, named);
  const boxes = user.device_count ?? 0;
  if (!(await agreed(terminal, `${user.email ?? user.id} is signed out everywhere and every link to ${boxes} ${boxes === 1 ? 'box' : 'boxes'} stops for good.`, yes === true))) return remoteExit.usage;
  const done = await api.send<{ message: string }>('PUT', `/admin/users/${user.id}/suspend`, reason === undefined ? {} : { reason });
  terminal.event('suspended', { id: user.id, ...done });
  if (!terminal.json) terminal.out(done.message);
  return 0;
};

export const activate: Job<[user: string]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const { id } = await theUser(api, named);
  const done = await api.send<{ message: string }>('PUT', `/admin/users/${id}/activate`);
  terminal.event('activated', { id, ...done });
  if (!terminal.json) terminal.out(done.message);
  return 0;
};

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** By id, by e-mail address, or by a part of address or name that is one account's alone. */
export async function theUser(api: Remote, named: string): Promise<User> {
  if (UUID.test(named)) return api.get<User>(`/admin/users/${named}`);
  const { rows, total } = await api.list<User>('/admin/users', { search: named, limit: 20 });
  const exact = rows.find(({ email }) => email === named.toLowerCase());
  if (exact !== undefined) return exact;
  if (rows.length === 1) return rows[0] as User;
  if (rows.length === 0) throw new RemoteFailure(remoteExit.notFound, `There is no account ${named}.`, [`Look for it: loqey user list --search ${named}`]);
  throw new RemoteFailure(remoteExit.usage, `${named} is in ${total} accounts: ${rows.slice(0, 4).map(({ email }) => email).join(', ')}${total > 4 ? ', …' : ''}.`);
}
