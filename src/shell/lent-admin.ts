import { randomUUID } from 'node:crypto';
import { createAdmin } from '../commands/first-admin.ts';
import { lockHolder } from '../platform/data-dir/lock.ts';
import { newId } from '../platform/ids.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { configOf } from './start.ts';

export interface LentAdmin {
  readonly email: string;
  readonly password: string;
  /** Takes the role away; the account stays in the history of what it did. */
  giveBack(): Promise<void>;
}

/** Where the server of this data folder answers; undefined where none runs. */
export async function serverHere(environ: LocalOptions['environ']): Promise<string | undefined> {
  return (await lockHolder(configOf(environ).dataDir))?.url;
}

/** Who may write to the data folder may make administrators: so what is tried out here needs no password of a person's. */
export async function lendAdmin(purpose: 'demo' | 'simulate', { environ, version }: LocalOptions): Promise<LentAdmin> {
  const email = `${purpose}.${randomUUID()}@loqey.invalid`;
  const password = `${purpose} ${randomUUID()}`;
  const userId = await withLocal({ environ, version }, async ({ bus, accounts }) => {
    await createAdmin({ bus, vault: accounts }, { email, password, name: purpose === 'demo' ? 'Demo' : 'Simulation' });
    return accounts.claimEmail(email, newId());
  });
  return {
    email,
    password,
    async giveBack() {
      await withLocal({ environ, version }, async ({ bus }) => {
        const commandId = newId();
        await bus.execute(
          { type: 'RevokeAdminRole', data: { userId } },
          { commandId, correlationId: commandId, actor: { kind: 'system', id: purpose }, source: 'system' },
        );
      });
    },
  };
}
