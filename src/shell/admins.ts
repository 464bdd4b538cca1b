import type { AdminRole } from '../domain/user/events.ts';
import { createAdmin } from '../commands/first-admin.ts';
import { email as emailAddress } from '../platform/config-values.ts';
import { StartFailure } from '../platform/data-dir/start-failure.ts';
import { createReadModels } from '../projections/queries.ts';
import { createReader } from '../projections/schemas.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { ago, day } from './remote/words.ts';
import { table, type Terminal } from './terminal.ts';

/** Whoever may write to the data folder may make administrators: so a new installation, and a lost password, need no other. */
export async function adminCreate(options: LocalOptions, email: string, role: AdminRole, terminal: Terminal): Promise<number> {
  // Nobody could sign in with it, and what is in the log stays there.
  if (emailAddress.parse(email.trim()) === undefined) throw new StartFailure(2, [`✖ ${email} is no e-mail address. Nothing was changed.`, '  loqey admin create ana@example.com']);
  const made = await withLocal(options, ({ bus, accounts }) => createAdmin({ bus, vault: accounts }, { email, password: undefined, role, name: email.trim().replace(/@.*/, '') }));
  terminal.event('admin', { email: made.email, role, password: made.generatedPassword, new_account: !made.existed });
  if (!terminal.json) terminal.out(`${made.email}   ${made.generatedPassword ?? ''}`);
  terminal.say(made.existed ? `The account was there: it is ${role} now, has this new password, and is signed out everywhere.` : `A new ${role}. The password is shown once.`);
  return 0;
}

export async function adminList(options: LocalOptions, terminal: Terminal): Promise<number> {
  const { rows } = await withLocal(options, ({ ground, db }) => createReadModels(createReader(db), ground.clock).users.list({ admins: true }, { limit: 1_000, offset: 0 }));
  for (const { userId, profile, adminRole, permissions, suspended, lastLoginAt, registeredAt } of rows) {
    terminal.event('admin', { id: userId, email: profile?.email ?? null, role: adminRole, permissions, suspended, last_login_at: lastLoginAt, created_at: registeredAt });
  }
  if (terminal.json) return 0;
  if (rows.length === 0) terminal.say('There is no administrator. Make one: loqey admin create <email>');
  else {
    const cells = rows.map(({ profile, adminRole, permissions, suspended, lastLoginAt, registeredAt }) => [profile?.email ?? '(erased)', adminRole ?? '-', suspended ? 'suspended' : 'active', permissions.join(' ') || '-', ago(lastLoginAt), day(registeredAt)]);
    terminal.out(table(['E-MAIL', 'ROLE', 'STATE', 'BESIDES', 'LAST LOGIN', 'SINCE'], cells, { columns: terminal.columns, flexible: [0, 3] }));
  }
  return 0;
}
