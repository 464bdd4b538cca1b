import type { AdminRole } from '../domain/user/events.ts';

/** What an administrator may do. Routes name a permission, never a role. */
export const permissions = [
  'devices:read',
  'devices:register',
  'devices:pin',
  'devices:unlink',
  'devices:unlock',
  'devices:lifecycle',
  'users:read',
  'users:suspend',
  'audit:read',
  'system:read',
] as const;

export type Permission = (typeof permissions)[number];

const support: readonly Permission[] = ['devices:read', 'devices:unlink', 'users:read', 'audit:read', 'system:read'];

const ofRole: Readonly<Record<AdminRole, readonly Permission[]>> = {
  support,
  admin: permissions,
  super_admin: permissions,
};

/** What the role brings, and what was granted besides. */
export function permissionsOf(role: AdminRole | null, granted: readonly string[]): ReadonlySet<string> {
  return role === null ? new Set() : new Set<string>([...ofRole[role], ...granted]);
}
