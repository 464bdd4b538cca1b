import type { Uuid } from '../domain/kernel.ts';
import { userAggregate } from '../domain/registry.ts';
import type { UserCommand } from '../domain/user/commands.ts';
import type { AdminRole } from '../domain/user/events.ts';
import type { UserState } from '../domain/user/state.ts';
import type { Aggregates } from './handle.ts';
import { InTurn } from './in-turn.ts';
import type { CommandContext, CommandOutcome } from './port.ts';
import type { Suspension } from './policies/suspension.ts';
import type { RefusalLog } from './refusals.ts';

/**
 * Who administers. There is always a super_admin who can sign in: what would end the last one is refused. That is a rule
 * over many streams, so such changes go one after another, over all processes.
 */
export interface AdminRoles {
  /** Gives a role or changes it. */
  grant(userId: Uuid, role: AdminRole, permissions: readonly string[], context: CommandContext): Promise<CommandOutcome>;
  revoke(userId: Uuid, context: CommandContext): Promise<CommandOutcome>;
  /** Carries out what ends an account, unless it is the last super_admin's. */
  guard(command: UserCommand, context: CommandContext, work: () => Promise<CommandOutcome>): Promise<CommandOutcome>;
  /** The same suspension, which spares the last super_admin. */
  sparing(suspension: Suspension): Suspension;
}

export interface AdminRolesDeps {
  readonly bus: Pick<Aggregates, 'execute' | 'load'>;
  /** One at a time, over all processes. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** As of a moment not before the call; who has lost the role since may be among them. @throws where that cannot be known */
  superAdmins(): Promise<readonly Uuid[]>;
  readonly refusals: Pick<RefusalLog, 'record'>;
}

export function createAdminRoles({ bus, exclusively, superAdmins, refusals }: AdminRolesDeps): AdminRoles {
  const turns = new InTurn();

  async function isSuperAdmin(userId: Uuid): Promise<boolean> {
    const { state } = await bus.load<UserState>(userAggregate, userId);
    return state.kind === 'registered' && !state.suspended && !state.erased && state.admin?.role === 'super_admin';
  }

  async function isLast(userId: Uuid): Promise<boolean> {
    if (!(await isSuperAdmin(userId))) return false;
    for (const other of await superAdmins()) if (other !== userId && (await isSuperAdmin(other))) return false;
    return true;
  }

  /** Each one's own stream says who is left; nobody else changes that meanwhile. */
  function keepingOne(command: UserCommand, context: CommandContext, work: () => Promise<CommandOutcome>): Promise<CommandOutcome> {
    return turns.run('', () =>
      exclusively(async () => {
        if (!(await isLast(command.data.userId))) return work();
        const refusal = { code: 'last_super_admin' } as const;
        refusals.record(command, refusal, context);
        return { kind: 'refused', refusal, position: undefined };
      }),
    );
  }

  return {
    async grant(userId, role, permissions, context) {
      const command = { type: 'GrantAdminRole', data: { userId, role, permissions } } as const;
      const work = () => bus.execute(command, context);
      return role === 'super_admin' ? work() : keepingOne(command, context, work);
    },

    async revoke(userId, context) {
      const command = { type: 'RevokeAdminRole', data: { userId } } as const;
      return keepingOne(command, context, () => bus.execute(command, context));
    },

    guard: keepingOne,

    sparing: ({ suspend, activate }) => ({
      suspend(userId, reason, context) {
        const command = { type: 'SuspendUser', data: { userId, ...(reason === undefined ? {} : { reason }) } } as const;
        return keepingOne(command, context, () => suspend(userId, reason, context));
      },
      activate,
    }),
  };
}
