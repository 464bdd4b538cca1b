import type { Job } from './command.ts';
import { RemoteFailure, remoteExit } from './client.ts';
import { theUser } from './users.ts';
import { agreed } from './words.ts';

export const grant: Job<[user: string], { role?: string; permission?: string[]; yes?: true }> = async ({ terminal, remote }, [named], { role = 'admin', permission: permissions = [], yes }) => {
  const api = await remote();
  const user = await theUser(api, named);
  const more = permissions.length === 0 ? '' : `, and besides: ${permissions.join(', ')}`;
  if (!(await agreed(terminal, `${user.email ?? user.id} is ${role} from now on${more}.`, yes === true))) return remoteExit.usage;
  const made = await api.send<object>('PUT', `/admin/admins/${user.id}`, { role, permissions });
  terminal.event('admin', { ...made });
  if (!terminal.json) terminal.out(`${user.email ?? user.id}   ${role}`);
  return 0;
};

export const revoke: Job<[user: string], { yes?: true }> = async ({ terminal, remote }, [named], { yes }) => {
  const api = await remote();
  const user = await theUser(api, named);
  if (user.role === null) throw new RemoteFailure(remoteExit.notFound, `${user.email ?? user.id} is no administrator.`);
  if (!(await agreed(terminal, `${user.email ?? user.id} is no ${user.role} any more; the account stays.`, yes === true))) return remoteExit.usage;
  const done = await api.send<{ message: string }>('DELETE', `/admin/admins/${user.id}`);
  terminal.event('revoked', { id: user.id, ...done });
  if (!terminal.json) terminal.out(done.message);
  return 0;
};

export const roles: Job = async ({ terminal, remote }) => {
  for (const { role, permissions } of await (await remote()).get<readonly { role: string; permissions: readonly string[] }[]>('/admin/roles')) {
    terminal.event('role', { role, permissions });
    if (!terminal.json) terminal.out(`${role}\n${permissions.map((permission) => `  ${permission}`).join('\n')}`);
  }
  return 0;
};
