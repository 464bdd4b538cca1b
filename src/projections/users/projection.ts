import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { AdminRole } from '../../domain/user/events.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type Rows } from '../projection.ts';

/** Accounts and what they may do. Who they are is in `people`. */
interface UserTableRow {
  readonly user_id: Uuid;
  readonly registered_at: Instant;
  readonly email_verified: boolean;
  readonly suspended: boolean;
  readonly erased: boolean;
  readonly admin_role: AdminRole | null;
  readonly permissions: readonly string[];
  readonly last_login_at: Instant | null;
  readonly access_version: number;
}

const users = defineTable<UserTableRow>({
  name: 'users',
  key: 'user_id',
  columns: {
    user_id: 'uuid NOT NULL',
    registered_at: 'timestamptz NOT NULL',
    email_verified: 'boolean NOT NULL',
    suspended: 'boolean NOT NULL',
    erased: 'boolean NOT NULL',
    admin_role: 'text',
    permissions: 'text[] NOT NULL',
    last_login_at: 'timestamptz',
    access_version: 'integer NOT NULL',
  },
  indexes: ['(registered_at DESC, user_id)'],
});

export const usersProjection = defineProjection({
  name: 'users',
  version: 1,
  categories: ['user'],
  tables: { users },
  load(event, want, writes) {
    if (event.type === 'UserRegistered') writes.users(event.data.userId);
    else if (event.stream.startsWith('user-')) want.users(idOfStream(event.stream));
  },
  on: {
    UserRegistered({ data, metadata }, rows) {
      rows.users.put({
        user_id: data.userId,
        registered_at: metadata.occurredAt,
        email_verified: false,
        suspended: false,
        erased: false,
        admin_role: null,
        permissions: [],
        last_login_at: null,
        access_version: 0,
      });
    },
    EmailVerified: ({ stream }, rows) => void rows.users.update(idOfStream(stream), { email_verified: true }),
    LoginSucceeded({ stream, metadata }, rows) {
      rows.users.update(idOfStream(stream), { last_login_at: metadata.occurredAt });
    },
    PasswordChanged: ({ stream }, rows, emit) => restrict(rows.users, stream, {}, emit),
    UserSuspended: ({ stream }, rows, emit) => restrict(rows.users, stream, { suspended: true }, emit),
    UserActivated({ stream }, rows, emit) {
      rows.users.update(idOfStream(stream), { suspended: false });
      tell(emit, stream);
    },
    AdminRoleGranted({ stream, data }, rows, emit) {
      restrict(rows.users, stream, { admin_role: data.role, permissions: data.permissions }, emit);
    },
    AdminRoleRevoked: ({ stream }, rows, emit) => restrict(rows.users, stream, { admin_role: null, permissions: [] }, emit),
    SubjectErased({ stream }, rows, emit) {
      restrict(rows.users, stream, { erased: true, email_verified: false, admin_role: null, permissions: [] }, emit);
    },
  },
});

/** What a token made before says of its bearer is no longer true. */
function restrict(rows: Rows<UserTableRow>, stream: string, change: Partial<UserTableRow>, emit: Emit): void {
  const userId = idOfStream(stream);
  rows.update(userId, { ...change, access_version: rows.need(userId).access_version + 1 });
  tell(emit, stream);
}

/** Every process that let this user in asks again. */
function tell(emit: Emit, stream: string): void {
  const userId = idOfStream(stream);
  emit([`user:${userId}`], 'account_update', { user_id: userId });
}
