import { Type } from 'typebox';
import { permissions } from '../permissions.ts';
import { Closed, Email, Id, NewPassword, Nullable, Text, Time } from './common.ts';

const Role = Type.Enum(['super_admin', 'admin', 'support'], { description: 'Default `admin`.' });
const Granted = Type.Array(Type.Enum([...permissions]), { maxItems: permissions.length, description: 'Rights besides those that the role brings.' });

export const AdminRoleChange = Closed({ role: Type.Optional(Role), permissions: Type.Optional(Granted) });
export const NewAdmin = Closed({
  email: Email,
  full_name: Type.Optional(Text(200)),
  password: Type.Optional(NewPassword),
  role: Type.Optional(Role),
  permissions: Type.Optional(Granted),
});

export const AdminRoleRow = Closed({ role: Role, permissions: Type.Array(Type.String()) });

const members = {
  id: Id,
  email: Nullable(Type.String()),
  full_name: Nullable(Type.String()),
  role: Role,
  permissions: Type.Array(Type.String({ description: 'Granted besides those of the role.' })),
  effective_permissions: Type.Array(Type.String({ description: 'Those of the role and those granted.' })),
  is_active: Type.Boolean(),
  last_login_at: Nullable(Time),
  created_at: Time,
};
export const Administrator = Closed(members, { title: 'Administrator' });
export const CreatedAdmin = Closed({ ...members, password: Nullable(Type.String({ description: 'Shown once; null where it was given.' })) });
