import { Type, type Static } from 'typebox';
import { Closed, Email, Id, NewPassword, Nullable, Password, Text, Time } from './common.ts';

const Phone = Type.String({ minLength: 3, maxLength: 20, pattern: '^[0-9+()./ -]+$', 'x-invalid': { text: 'must be a phone number of at most 20 signs' } });

/** Both ways of naming things are accepted: one full name and state, or their parts. */
export const Registration = Closed({
  email: Email,
  password: NewPassword,
  password_confirm: Type.Optional(Password),
  full_name: Type.Optional(Text(200)),
  first_name: Type.Optional(Text(100)),
  last_name: Type.Optional(Text(100)),
  state: Type.Optional(Text(100)),
  resident_state: Type.Optional(Text(100)),
  zip_code: Type.Optional(Text(100)),
  phone_number: Type.Optional(Phone),
});
export type Registration = Static<typeof Registration>;

export const Login = Closed({ email: Email, password: Password });
const RefreshToken = Type.String({ minLength: 1, maxLength: 500 });
export const Refresh = Closed({ refresh_token: Type.Optional(RefreshToken), refresh: Type.Optional(RefreshToken) });

/** What is not named stays; null takes away what need not be there. */
export const ProfileChange = Closed(
  {
    full_name: Type.Optional(Text(200)),
    first_name: Type.Optional(Text(100)),
    last_name: Type.Optional(Text(100, 0)),
    state: Type.Optional(Text(100)),
    resident_state: Type.Optional(Text(100)),
    zip_code: Type.Optional(Nullable(Text(100))),
    phone_number: Type.Optional(Nullable(Phone)),
  },
  { minProperties: 1 },
);
export type ProfileChange = Static<typeof ProfileChange>;

export const PasswordChange = Closed({ old_password: Password, new_password: NewPassword, new_password_confirm: Type.Optional(Password) });

export const User = Closed(
  {
    id: Id,
    email: Nullable(Type.String()),
    full_name: Nullable(Type.String()),
    first_name: Nullable(Type.String()),
    last_name: Nullable(Type.String()),
    state: Nullable(Type.String()),
    resident_state: Nullable(Type.String()),
    zip_code: Nullable(Type.String()),
    phone_number: Nullable(Type.String()),
    email_verified: Type.Boolean(),
    is_verified: Type.Boolean(),
    is_active: Type.Boolean(),
    role: Nullable(Type.Enum(['super_admin', 'admin', 'support'])),
    permissions: Type.Array(Type.String()),
    created_at: Time,
  },
  { title: 'User', description: 'Personal members are null once the account was erased.' },
);
export type User = Static<typeof User>;

const tokenMembers = {
  access_token: Type.String(),
  refresh_token: Type.String(),
  token_type: Type.Literal('bearer'),
  expires_in: Type.Integer({ description: 'Seconds that the access token lives.' }),
  tokens: Closed({ access: Type.String(), refresh: Type.String() }),
};
export const SignedIn = Closed({ ...tokenMembers, user: User });
export const PasswordChanged = Closed(
  { message: Type.String(), ...tokenMembers },
  { description: 'Every session has ended, this one too: the tokens are those of a new one.' },
);

export const SessionId = Closed({ session_id: Id });
export const Session = Closed(
  {
    id: Id,
    current: Type.Boolean({ description: 'The one that asks.' }),
    scope: Type.Enum(['user', 'admin']),
    user_agent: Nullable(Type.String()),
    created_at: Time,
    last_seen_at: Type.String({ format: 'date-time', description: 'When its tokens were last renewed.' }),
  },
  { title: 'Session' },
);
export const Refreshed = Closed({ ...tokenMembers, access: Type.String() });
