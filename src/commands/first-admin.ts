import { randomInt } from 'node:crypto';
import type { AdminRole } from '../domain/user/events.ts';
import { newId } from '../platform/ids.ts';
import type { CommandBus, CommandContext } from './port.ts';

/** The parts of the vault that a new account needs. */
export interface AccountVault {
  /** The user whose address this is, or `userId`, who holds it from now on. */
  claimEmail(email: string, userId: string): Promise<string>;
  hashPassword(password: string): Promise<string>;
  storePassword(userId: string, hash: string): Promise<void>;
  /** Nothing of that account's sessions is good any more. */
  endSessions(userId: string): Promise<void>;
}

export interface FirstAdmin {
  readonly email: string;
  /** The account was there before: it has a new password. */
  readonly existed: boolean;
  /** To be shown once: set when it was made here and not given. */
  readonly generatedPassword: string | undefined;
}

/**
 * An administrator for an installation that has none, or whose administrators cannot get in. Each step can be repeated: a start that broke off in the middle is
 * finished by the next one, with a new password.
 */
export async function createAdmin(
  deps: { readonly bus: CommandBus; readonly vault: AccountVault },
  given: { readonly email: string; readonly password: string | undefined; readonly role?: AdminRole; readonly name?: string },
): Promise<FirstAdmin> {
  const { bus, vault } = deps;
  const { password, role = 'super_admin', name = 'First Administrator' } = given;
  const [firstName = '', ...rest] = name.split(' ');
  // As people sign in: without regard to case.
  const email = given.email.trim().toLowerCase();
  const chosen = password ?? readablePassword();
  const hash = await vault.hashPassword(chosen);
  const userId = await vault.claimEmail(email, newId());
  await vault.storePassword(userId, hash);
  const profile = { email, firstName, lastName: rest.join(' '), residentState: '' };
  const registered = await bus.execute({ type: 'RegisterUser', data: { userId, profile } }, boot());
  if (registered.kind === 'refused' && registered.refusal.code !== 'user_exists') throw new Error(`The administrator could not be made: ${registered.refusal.code}`);
  const existed = registered.kind === 'refused';
  if (existed) {
    // Who knew the old password is out, and who tried too many is let in with the new one.
    await bus.execute({ type: 'ChangePassword', data: { userId, by: 'admin', passwordMatched: false } }, boot());
    await vault.endSessions(userId);
  }
  const granted = await bus.execute({ type: 'GrantAdminRole', data: { userId, role, permissions: [] } }, boot());
  if (granted.kind === 'refused') throw new Error(`The administrator got no role: ${granted.refusal.code}`);
  return { email, existed, generatedPassword: password === undefined ? chosen : undefined };
}

function boot(): CommandContext {
  const commandId = newId();
  return { commandId, correlationId: commandId, actor: { kind: 'system', id: 'boot' }, source: 'system' };
}

/** Without the signs that people mistake for one another: 57^14, about 81 bits. */
const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';

export function readablePassword(): string {
  const group = (length: number) => Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
  return `${group(5)}-${group(4)}-${group(5)}`;
}
