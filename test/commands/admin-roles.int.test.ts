import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAdminRoles, type AdminRoles } from '../../src/commands/admin-roles.ts';
import { userAggregate } from '../../src/domain/registry.ts';
import type { UserState } from '../../src/domain/user/state.ts';
import { newId } from '../../src/platform/ids.ts';
import { exclusively } from '../../src/platform/postgres/exclusive.ts';
import { createSuspension } from '../../src/commands/policies/suspension.ts';
import { asSystem, startBackend, type Backend } from '../support/backend.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

/** Two processes on one database, each with its own fold of every stream. */
let postgres: TestPostgres;
let processes: Backend[];
let roles: AdminRoles[];
let everyone: string[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  const url = await postgres.migratedDatabase();
  processes = [await startBackend(postgres, { url }), await startBackend(postgres, { url })];
  roles = processes.map(({ bus, refusals, db }) =>
    createAdminRoles({ bus, refusals, superAdmins: async () => everyone, exclusively: (work) => exclusively(db, 'admin-roles', work) }),
  );
});
afterAll(async () => {
  await Promise.all(processes.map((each) => each.stop()));
  await postgres.stop();
});

async function superAdmins(count: number): Promise<string[]> {
  everyone = [];
  for (let i = 0; i < count; i++) {
    const userId = newId();
    await processes[0]!.execute({ type: 'RegisterUser', data: { userId, profile: { email: `${userId}@example.com`, firstName: 'A', lastName: 'B', residentState: '' } } });
    await roles[0]!.grant(userId, 'super_admin', [], asSystem());
    everyone.push(userId);
  }
  return everyone;
}

async function left(): Promise<number> {
  const states = await Promise.all(everyone.map(async (userId) => (await processes[1]!.bus.load<UserState>(userAggregate, userId)).state));
  return states.filter((state) => state.kind === 'registered' && !state.suspended && state.admin?.role === 'super_admin').length;
}

describe('the last super_admin', () => {
  it('stays, whoever removes whom at the same moment in which process', async () => {
    const ids = await superAdmins(6);
    const suspensions = roles.map((each, i) => each.sparing(createSuspension(processes[i]!.bus, { deviceIdsOf: async () => [] })));
    const outcomes = await Promise.all([
      ...ids.map((id, i) => roles[i % 2]!.revoke(id, asSystem())),
      ...ids.map((id, i) => roles[(i + 1) % 2]!.grant(id, 'support', [], asSystem())),
      ...ids.map((id, i) => suspensions[i % 2]!.suspend(id, 'test', asSystem())),
    ]);
    expect(await left()).toBe(1);
    const refusals = outcomes.flatMap((outcome) => (outcome.kind === 'refused' ? [outcome.refusal.code] : []));
    expect(new Set(refusals)).toEqual(new Set(['last_super_admin']));
  });

  it('may go once there is another; a suspended one is none', async () => {
    const [first, second] = (await superAdmins(2)) as [string, string];
    const suspension = roles[0]!.sparing(createSuspension(processes[0]!.bus, { deviceIdsOf: async () => [] }));
    expect((await suspension.suspend(first, undefined, asSystem())).kind).toBe('accepted');
    expect(await roles[1]!.revoke(second, asSystem())).toMatchObject({ kind: 'refused', refusal: { code: 'last_super_admin' } });
    // Who is suspended counts for nothing: the role may be taken, or changed.
    expect((await roles[0]!.grant(first, 'admin', ['devices:pin'], asSystem())).kind).toBe('accepted');
    await suspension.activate(first, asSystem());
    await roles[0]!.grant(first, 'super_admin', [], asSystem());
    expect((await roles[1]!.revoke(second, asSystem())).kind).toBe('accepted');
    expect((await roles[1]!.revoke(second, asSystem()))).toMatchObject({ kind: 'accepted', events: [] });
  });

  it('someone unknown is unknown; a refusal is in the log', async () => {
    expect(await roles[0]!.revoke(newId(), asSystem())).toMatchObject({ kind: 'refused', refusal: { code: 'user_not_found' } });
    const [only] = (await superAdmins(1)) as [string];
    await roles[0]!.revoke(only, { ...asSystem(), actor: { kind: 'admin', id: only }, source: 'web_dashboard' });
    const refused = async () => {
      const found: unknown[] = [];
      for await (const event of processes[0]!.store.readAll({})) if (event.type === 'CommandRefused') found.push((event.data as { target: { id: string } }).target.id);
      return found;
    };
    await expect.poll(refused).toContain(only);
  });
});
