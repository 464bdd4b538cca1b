import { afterAll, beforeAll, expect, it } from 'vitest';
import { createAdmin, type AccountVault } from '../../src/commands/first-admin.ts';
import { newId } from '../../src/platform/ids.ts';
import { asSystem, startBackend, type Backend } from '../support/backend.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let backend: Backend;
beforeAll(async () => {
  postgres = await startPostgres();
  backend = await startBackend(postgres, { url: await postgres.migratedDatabase() });
});
afterAll(async () => {
  await backend.stop();
  await postgres.stop();
});

class Vault implements AccountVault {
  readonly emails = new Map<string, string>();
  readonly hashes = new Map<string, string>();
  readonly ended: string[] = [];
  claimEmail = async (email: string, userId: string) => {
    if (!this.emails.has(email)) this.emails.set(email, userId);
    return this.emails.get(email) ?? userId;
  };
  hashPassword = async (password: string) => `hash:${password}`;
  storePassword = async (userId: string, hash: string) => void this.hashes.set(userId, hash);
  endSessions = async (userId: string) => void this.ended.push(userId);
}
const types = (userId: string) => backend.types(`user-${userId}`);

it('makes an account with a role and a password of its own', async () => {
  const vault = new Vault();
  const made = await createAdmin({ bus: backend.bus, vault }, { email: ' Ana@Example.com ', password: undefined });
  expect(made).toMatchObject({ email: 'ana@example.com', existed: false, generatedPassword: expect.stringMatching(/^\w{5}-\w{4}-\w{5}$/) as string });
  const userId = vault.emails.get('ana@example.com') ?? '';
  expect(vault.hashes.get(userId)).toBe(`hash:${made.generatedPassword}`);
  expect(await types(userId)).toEqual(['UserRegistered', 'AdminRoleGranted']);
  expect(vault.ended).toEqual([]);
});

it('lets in again who lost the password or tried too often: whoever was signed in is out, and it is in the log', async () => {
  const vault = new Vault();
  const { bus } = backend;
  await createAdmin({ bus, vault }, { email: 'sam@example.com', password: 'first password', role: 'support' });
  const userId = vault.emails.get('sam@example.com') ?? '';
  await backend.execute({ type: 'LogIn', data: { userId, sessionId: newId(), scope: 'admin', passwordMatched: true } }, asSystem());
  for (let i = 0; i < 5; i++) await backend.execute({ type: 'LogIn', data: { userId, sessionId: newId(), scope: 'admin', passwordMatched: false } }, asSystem());
  expect(await createAdmin({ bus, vault }, { email: 'sam@example.com', password: 'second password' })).toEqual({ email: 'sam@example.com', existed: true, generatedPassword: undefined });
  expect([vault.hashes.get(userId), vault.ended]).toEqual(['hash:second password', [userId]]);
  expect((await types(userId)).slice(-3)).toEqual(['PasswordChanged', 'SessionEnded', 'AdminRoleGranted']);
  expect((await backend.execute({ type: 'LogIn', data: { userId, sessionId: newId(), scope: 'admin', passwordMatched: true } }, asSystem())).kind).toBe('accepted');
});
