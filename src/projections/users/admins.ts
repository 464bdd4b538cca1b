import type { Uuid } from '../../domain/kernel.ts';
import type { AdminRole } from '../../domain/user/events.ts';
import type { Reader, Schemas } from '../schemas.ts';

export interface Admins {
  /** Administrators of these roles who may sign in. */
  withRole(roles: readonly AdminRole[]): Promise<readonly Uuid[]>;
}

const withRole = {
  name: 'users.with_role',
  text: (s: Schemas) => `
    SELECT user_id AS "userId" FROM ${s['users']}.users WHERE admin_role = ANY($1::text[]) AND NOT suspended AND NOT erased ORDER BY user_id`,
};

export function createAdmins(reader: Reader): Admins {
  return {
    async withRole(roles) {
      return (await reader.all<{ userId: Uuid }>(withRole, [roles])).map(({ userId }) => userId);
    },
  };
}
