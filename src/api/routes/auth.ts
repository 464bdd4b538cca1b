import { Type } from 'typebox';
import type { UserProfile } from '../../domain/user/events.ts';
import { invalid, unauthorized } from '../errors.ts';
import { account, anyone, route, type Route } from '../route.ts';
import { Login, Refresh, Refreshed, Registration, SignedIn, User } from '../schemas/auth.ts';
import { Closed, Message } from '../schemas/common.ts';
import { userView } from '../views.ts';

export const authRoutes: readonly Route[] = [
  route({
    id: 'register',
    tag: 'authentication',
    summary: 'Open an account',
    method: 'POST',
    path: '/auth/register',
    access: anyone,
    limit: 'login',
    body: Registration,
    replies: { 201: SignedIn },
    errors: [409],
  })(async (call, { accounts }) => {
    const { tokens, user } = await accounts.register(call, profileOf(call.body), call.body.password);
    return { status: 201, body: { ...tokens, user: userView(user) } };
  }),

  route({
    id: 'login',
    tag: 'authentication',
    summary: 'Sign in',
    method: 'POST',
    path: '/auth/login',
    access: anyone,
    limit: 'login',
    body: Login,
    replies: { 200: SignedIn },
    errors: [401, 403],
  })(async (call, { accounts }) => {
    const { tokens, user } = await accounts.logIn(call, emailOf(call.body.email), call.body.password, 'user');
    return { status: 200, body: { ...tokens, user: userView(user) } };
  }),

  route({
    id: 'adminLogin',
    tag: 'admin',
    summary: 'Sign in as an administrator',
    method: 'POST',
    path: '/admin/auth/login',
    access: anyone,
    limit: 'login',
    body: Login,
    replies: { 200: SignedIn },
    errors: [401, 403],
  })(async (call, { accounts }) => {
    const { tokens, user } = await accounts.logIn(call, emailOf(call.body.email), call.body.password, 'admin');
    return { status: 200, body: { ...tokens, user: userView(user) } };
  }),

  route({
    id: 'refresh',
    tag: 'authentication',
    summary: 'Exchange a refresh token for new tokens',
    method: 'POST',
    path: '/auth/refresh',
    aliases: [{ method: 'POST', path: '/auth/token/refresh' }],
    access: anyone,
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
    await accounts.logOut(call, call.who);
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
  })(async (call, { deps }) => {
    const row = await deps.reads.users.byId(call.who.userId);
    if (row === undefined) throw unauthorized();
    return { status: 200, body: userView(row) };
  }),
];

/** One address, one account: without regard to case and to the spaces around it. */
function emailOf(text: string): string {
  return text.trim().toLowerCase();
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

/** The last word of a full name is the last name. */
function nameOf(body: Registration): Pick<UserProfile, 'firstName' | 'lastName'> {
  if (body.first_name !== undefined) return { firstName: body.first_name.trim(), lastName: body.last_name?.trim() ?? '' };
  const full = body.full_name?.trim();
  if (full === undefined || full === '') throw invalid('full_name', 'is required');
  const space = full.lastIndexOf(' ');
  return space < 0 ? { firstName: full, lastName: '' } : { firstName: full.slice(0, space).trim(), lastName: full.slice(space + 1) };
}
