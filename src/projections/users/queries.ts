import type { UserQueries, UserRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

const columns = `
  u.user_id AS "userId", p.fields AS profile, p.since AS "profileAt", u.registered_at AS "registeredAt", u.email_verified AS "emailVerified",
  u.suspended, u.erased, u.admin_role AS "adminRole", u.permissions, u.last_login_at AS "lastLoginAt",
  u.access_version AS "accessVersion"`;
const from = (s: Schemas) => `${s['users']}.users u LEFT JOIN ${s['people']}.people p ON p.ref = u.user_id`;

const byId = { name: 'users.by_id', quick: true, text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE u.user_id = $1` };

/** Active: may sign in. The search looks for its text in address and name. */
const matches = (s: Schemas) => `
  ($1::boolean IS NULL OR (NOT u.suspended AND NOT u.erased) = $1)
  AND ($2::text IS NULL OR u.user_id IN (SELECT ref FROM ${s['people']}.people WHERE strpos(words, $2) > 0))
  AND ($3::boolean IS NULL OR (u.admin_role IS NOT NULL) = $3)`;
const list = {
  name: 'users.list',
  text: (s: Schemas) => `
    SELECT ${columns}, (SELECT count(*)::integer FROM ${s['devices']}.devices d WHERE d.owner_id = u.user_id) AS "deviceCount"
      FROM (SELECT * FROM ${s['users']}.users u WHERE ${matches(s)} ORDER BY u.registered_at DESC, u.user_id LIMIT $4 OFFSET $5) u
      LEFT JOIN ${s['people']}.people p ON p.ref = u.user_id
     ORDER BY u.registered_at DESC, u.user_id`,
};
const listTotal = {
  name: 'users.list_total',
  text: (s: Schemas) => `SELECT count(*)::integer AS total FROM ${s['users']}.users u WHERE ${matches(s)}`,
};
const count = {
  name: 'users.count',
  text: (s: Schemas) => `SELECT count(*)::integer AS total FROM ${s['users']}.users u WHERE NOT u.erased`,
};
const anyAdmin = {
  name: 'users.any_admin',
  text: (s: Schemas) => `SELECT EXISTS (SELECT 1 FROM ${s['users']}.users WHERE admin_role IS NOT NULL) AS found`,
};

export function createUserQueries(reader: Reader): UserQueries {
  return {
    byId: (userId) => reader.first<UserRow>(byId, [userId]),
    async list({ active, search, admins }, { limit, offset }) {
      const filter = [active ?? null, search?.toLowerCase() ?? null, admins ?? null];
      const [rows, totals] = await Promise.all([
        reader.all<UserRow & { readonly deviceCount: number }>(list, [...filter, limit, offset]),
        reader.first<{ total: number }>(listTotal, filter),
      ]);
      return { rows, total: totals?.total ?? 0 };
    },
    async count() {
      return (await reader.first<{ total: number }>(count, []))?.total ?? 0;
    },
    async hasAdmin() {
      return (await reader.first<{ found: boolean }>(anyAdmin, []))?.found ?? false;
    },
  };
}
