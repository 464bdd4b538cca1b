import { Type } from 'typebox';
import type { Uuid } from '../../domain/kernel.ts';
import type { SessionScope, UserProfile } from '../../domain/user/events.ts';
import type { UserRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { invalid, notFound, unauthorized, unavailable } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { account, anyone, route, type Route, type Tag } from '../route.ts';
import { Login, PasswordChange, PasswordChanged, ProfileChange, Refresh, Refreshed, Registration, Session, SessionId, SignedIn, User } from '../schemas/auth.ts';
import { Closed, Message } from '../schemas/common.ts';
import { emailOf, namesIn, type Name } from '../names.ts';
import { userView } from '../views.ts';

export const authRoutes: readonly Route[] = [
  route({
    id: 'register',
    tag: 'authentication',
    summary: 'Open an account',
    method: 'POST',
    path: '/auth/register',
    access: anyone,
    limit: 'registration',
    body: Registration,
    replies: { 201: SignedIn },
    errors: [409],
  })(async (call, { accounts }) => {
    const { tokens, user } = await accounts.register(call, profileOf(call.body), call.body.password);
    return { status: 201, body: { ...tokens, user: userView(user) } };
  }),

  signInRoute('login', 'authentication', 'Sign in', '/auth/login', 'user'),
  signInRoute('adminLogin', 'admin', 'Sign in as an administrator', '/admin/auth/login', 'admin'),

  route({
    id: 'refresh',
    tag: 'authentication',
    summary: 'Exchange a refresh token for new tokens',
    method: 'POST',
    path: '/auth/refresh',
    aliases: [{ method: 'POST', path: '/auth/token/refresh' }],
    access: anyone,
    limit: 'refresh',
    body: Refresh,
    replies: { 200: Refreshed },
    errors: [401, 403],
  })(async (call, { accounts }) => {
    const refreshToken = call.body.refresh_token ?? call.body.refresh;
    if (refreshToken === undefined) throw invalid('refresh_token', 'is required');
    const tokens = await accounts.refresh(call, refreshToken);
    return { status: 200, body: { ...tokens, access: tokens.access_token } };
  }),

  route({
    id: 'logout',
    tag: 'authentication',
    summary: 'End this session: its tokens are no longer good',
    method: 'POST',
    path: '/auth/logout',
    access: account,
    // Older clients send the refresh token along; the session of the access token is the one that ends.
    body: Closed({ refresh: Type.Optional(Type.String({ maxLength: 500 })), refresh_token: Type.Optional(Type.String({ maxLength: 500 })) }),
    bodyOptional: true,
    idempotent: false,
    replies: { 200: Message },
  })(async (call, { accounts }) => {
    await accounts.endSession(call, call.who, call.who.sessionId, 'logout');
    return { status: 200, body: { message: 'Logged out successfully' } };
  }),

  route({
    id: 'me',
    tag: 'authentication',
    summary: 'Who is signed in',
    method: 'GET',
    path: '/auth/me',
    aliases: [{ method: 'GET', path: '/auth/profile' }],
    access: account,
    replies: { 200: User },
  })(async (call, api) => ({ status: 200, body: userView(await self(api, call.who.userId)) })),

  route({
    id: 'profile',
    tag: 'authentication',
    summary: 'Name, address and telephone of the account',
    method: 'GET',
    path: '/users/profile',
    aliases: [{ method: 'GET', path: '/profile' }],
    access: account,
    replies: { 200: User },
  })(async (call, api) => ({ status: 200, body: userView(await self(api, call.who.userId)) })),

  route({
    id: 'changeProfile',
    tag: 'authentication',
    summary: 'Change name, address or telephone; what is not named stays',
    method: 'PUT',
    path: '/users/profile',
    aliases: [{ method: 'PUT', path: '/profile' }],
    access: account,
    body: ProfileChange,
    replies: { 200: User },
    errors: [409],
  })(async (call, api) => {
    const { userId } = call.who;
    const row = await self(api, userId);
    if (row.profile === null || row.profileAt === null) throw unavailable('The service is catching up. Try again');
    const profile = changed(row.profile, call.body);
    await api.execute(call, { type: 'ChangeProfile', data: { userId, profile, basedOn: row.profileAt } });
    // As it was accepted, also when the read models are behind.
    return { status: 200, body: userView({ ...row, profile }) };
  }),

  route({
    id: 'changePassword',
    tag: 'authentication',
    summary: 'Change the password: every session ends, and the answer begins a new one',
    method: 'POST',
    path: '/users/change-password',
    access: account,
    limit: 'login',
    body: PasswordChange,
    // What a repeat is recognised by is kept for a day, and nothing made of a password is.
    idempotent: false,
    replies: { 200: PasswordChanged },
    errors: [429],
  })(async (call, { accounts }) => {
    const { old_password: current, new_password: next, new_password_confirm: confirmed } = call.body;
    if (confirmed !== undefined && confirmed !== next) throw invalid('new_password_confirm', 'is not the same as new_password');
    if (next === current) throw invalid('new_password', 'must be another one than the current password');
    const tokens = await accounts.changePassword(call, call.who, current, next);
    return { status: 200, body: { message: 'Password changed successfully', ...tokens } };
  }),

  listRoute({
    id: 'sessions',
    tag: 'authentication',
    summary: 'Where the account is signed in',
    path: '/auth/sessions',
    access: account,
    row: Session,
    size: 50,
  })(async ({ who }, { deps }, { limit, offset }) => {
    const sessions = await deps.credentials.sessions.list(who.userId);
    const rows = sessions.slice(offset, offset + limit).map((session) => ({
      id: session.sessionId,
      current: session.sessionId === who.sessionId,
      scope: session.scope,
      user_agent: session.userAgent ?? null,
      created_at: session.createdAt,
      last_seen_at: session.lastSeenAt,
    }));
    return { rows, total: sessions.length };
  }),

  route({
    id: 'endSession',
    tag: 'authentication',
    summary: 'Sign out elsewhere: the tokens of that session are no longer good',
    method: 'DELETE',
    path: '/auth/sessions/{session_id}',
    access: account,
    params: SessionId,
    idempotent: false,
    replies: { 200: Message },
    errors: [404],
  })(async (call, { accounts, deps }) => {
    const { session_id: sessionId } = call.params;
    const sessions = await deps.credentials.sessions.list(call.who.userId);
    if (!sessions.some((session) => session.sessionId === sessionId)) throw notFound('Session not found');
    await accounts.endSession(call, call.who, sessionId, 'revoked');
    return { status: 200, body: { message: 'Session ended successfully' } };
  }),
];

function signInRoute(id: string, tag: Tag, summary: string, path: string, scope: SessionScope): Route {
  return route({ id, tag, summary, method: 'POST', path, access: anyone, limit: 'login', body: Login, replies: { 200: SignedIn }, errors: [401, 403] })(
    async (call, { accounts }) => {
      const { tokens, user } = await accounts.logIn(call, emailOf(call.body.email), call.body.password, scope);
      return { status: 200, body: { ...tokens, user: userView(user) } };
    },
  );
}

async function self({ deps }: Api, userId: Uuid): Promise<UserRow> {
  const row = await deps.reads.users.byId(userId);
  if (row === undefined) throw unauthorized();
  return row;
}

function profileOf(body: Registration): UserProfile {
  if (body.password_confirm !== undefined && body.password_confirm !== body.password) {
    throw invalid('password_confirm', 'is not the same as password');
  }
  const residentState = body.resident_state ?? body.state;
  if (residentState === undefined) throw invalid('state', 'is required');
  return {
    email: emailOf(body.email),
    ...nameOf(body),
    residentState,
    ...(body.zip_code === undefined ? {} : { zipCode: body.zip_code }),
    ...(body.phone_number === undefined ? {} : { phoneNumber: body.phone_number }),
  };
}

function nameOf(body: Registration): Name {
  const { first_name: first, last_name: last, full_name: full = '' } = body;
  if (first !== undefined) return { firstName: first.trim(), lastName: last?.trim() ?? '' };
  if (full.trim() === '') throw invalid('full_name', 'is required');
  return namesIn(full);
}

/** A profile with what its owner changed. @throws ApiError 400 for a name that would be empty */
function changed(profile: UserProfile, change: ProfileChange): UserProfile {
  const { email, zipCode = null, phoneNumber = null } = profile;
  const { full_name: full, first_name: first, last_name: last, state, resident_state: residentState = state, zip_code: zip = zipCode, phone_number: phone = phoneNumber } = change;
  const name = full === undefined ? profile : namesIn(full);
  const firstName = first?.trim() ?? name.firstName;
  if (firstName === '') throw invalid(first === undefined ? 'full_name' : 'first_name', 'must not be empty');
  return {
    email,
    firstName,
    lastName: last?.trim() ?? name.lastName,
    residentState: residentState ?? profile.residentState,
    ...(zip === null ? {} : { zipCode: zip }),
    ...(phone === null ? {} : { phoneNumber: phone }),
  };
}
