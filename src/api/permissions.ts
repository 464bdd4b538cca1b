import type { AdminRole } from '../domain/user/events.ts';

/** What an administrator may do. Routes name a permission, never a role. */
export const permissions = [
  'devices:read',
  'devices:register',
  'devices:pin',
  /** Lost keys, and boxes that somebody else had. */
  'devices:keys',
  'devices:unlink',
  'devices:unlock',
  'devices:lifecycle',
  'users:read',
  'users:suspend',
  /** Everything that is kept of one person, in one file. */
  'users:export',
  /** For ever. */
  'users:erase',
  'audit:read',
  'analytics:read',
  'system:read',
  'jobs:run',
  /** Rebuilding read models, switching between them, skipping an event that one cannot take. */
  'projections:manage',
  /** Who administers, and with which rights. Whoever has it can give itself every other one. */
  'admins:manage',
] as const;

export type Permission = (typeof permissions)[number];

/** What each role brings. Others can be granted one by one besides. */
export const roles: Readonly<Record<AdminRole, readonly Permission[]>> = {
  super_admin: permissions,
  admin: permissions.filter((permission) => permission !== 'admins:manage' && permission !== 'users:erase'),
  support: ['devices:read', 'devices:unlink', 'users:read', 'audit:read', 'analytics:read', 'system:read'],
};

/** What the role brings, and what was granted besides. */
export function permissionsOf(role: AdminRole | null, granted: readonly string[]): ReadonlySet<string> {
  return role === null ? new Set() : new Set<string>([...roles[role], ...granted]);
}
