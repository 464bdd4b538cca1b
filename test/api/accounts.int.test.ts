import jwt from 'jsonwebtoken';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TokenPair } from '../../src/api/accounts.ts';
import { newId } from '../../src/platform/ids.ts';
import { apiSettings, startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
});
afterEach(() => api.stop());

const ana = { email: 'Ana@Example.com', password: 'correct horse', full_name: 'Ana Maria Silva', state: 'Porto' };
type Reply = TokenPair & { user: { id: string; full_name: string } };

const register = async (body: object = ana) => api.ask('POST', '/api/v1/auth/register', { body });
const login = async (body: object) => api.ask('POST', '/api/v1/auth/login', { body });
const me = (token: string) => api.ask('GET', '/api/v1/auth/me', { token });

describe('an account', () => {
  test('is opened, signed in to, shown and left', async () => {
    const registered = await register();
    expect(registered.status).toBe(201);
    const { user } = registered.body as Reply;
    expect(user).toMatchObject({ email: 'ana@example.com', full_name: 'Ana Maria Silva', first_name: 'Ana Maria', last_name: 'Silva', state: 'Porto', resident_state: 'Porto', zip_code: null, is_active: true, role: null });
    expect(registered.headers.get('loqey-position')).toMatch(/^[\w-]{32}$/);

    const signedIn = await login({ email: 'ana@EXAMPLE.com', password: ana.password });
    const { access_token: token, tokens, token_type: type, expires_in: seconds } = signedIn.body as Reply;
    expect([signedIn.status, tokens.access, type, seconds]).toEqual([200, token, 'bearer', 1_800]);
    expect((await me(token)).body).toMatchObject({ id: user.id });
    expect((await api.ask('GET', '/api/v1/auth/profile', { token })).status).toBe(200);

    expect((await api.ask('POST', '/api/v1/auth/logout', { token })).body).toEqual({ message: 'Logged out successfully' });
    expect(await me(token)).toMatchObject({ status: 401, body: { error: 'unauthorized', message: 'Invalid or expired token' } });
    expect((await api.ask('POST', '/api/v1/auth/refresh', { body: { refresh_token: tokens.refresh } })).status).toBe(401);
    // The registration's own session goes on.
    expect((await me((registered.body as Reply).access_token)).status).toBe(200);
  });

  test('takes either form of names', async () => {
    const { status, body } = await register({ email: 'b@example.com', password: 'correct horse', password_confirm: 'correct horse', first_name: 'Bo', last_name: 'Li', resident_state: 'Izmir', zip_code: '35', phone_number: '+90 555' });
    expect([status, (body as Reply).user.full_name]).toEqual([201, 'Bo Li']);
    for (const [missing, field] of [['state', 'state'], ['full_name', 'full_name'], ['email', 'email'], ['password', 'password']] as const) {
      const answer = await register({ ...ana, email: 'c@example.com', [missing]: undefined });
      expect(answer).toMatchObject({ status: 400, body: { details: { [field]: 'is required' } } });
    }
    expect(await register({ ...ana, password_confirm: 'another' })).toMatchObject({ status: 400, body: { details: { password_confirm: 'is not the same as password' } } });
  });

  test('has a password of at most 72 bytes, not letters', async () => {
    expect(await register({ ...ana, password: 'é'.repeat(37) })).toMatchObject({ status: 400, body: { details: { password: 'must have at most 72 bytes' } } });
    expect((await register({ ...ana, password: 'short' })).status).toBe(400);
  });

  test('one address, one account; the loser leaves nothing behind', async () => {
    await register();
    const again = await register({ ...ana, email: 'ANA@example.com', password: 'another one' });
    expect(again).toMatchObject({ status: 409, body: { error: 'conflict', message: 'This email address is already registered' } });
    expect(api.world.passwords.size).toBe(1);
    expect((await login({ email: ana.email, password: 'another one' })).status).toBe(401);
  });

  test('an address of an attempt that never became an account is free after a while', async () => {
    const abandoned = newId();
    api.world.emails.set('ana@example.com', abandoned);
    api.world.now = Date.now();
    expect(await register()).toMatchObject({ status: 409, body: { message: expect.stringContaining('under way') as string } });
    api.world.now += 121_000;
    const taken = await register();
    expect(taken.status).toBe(201);
    expect(api.world.emails.get('ana@example.com')).toBe((taken.body as Reply).user.id);
    expect((await login({ email: ana.email, password: ana.password })).status).toBe(200);
  });

  test('a crash after the password and before the account leaves an address that can be had', async () => {
    api.world.throws = new Error('crash');
    expect((await register()).status).toBe(500);
    api.world.throws = undefined;
    api.world.now = Date.now() + 121_000;
    expect((await register()).status).toBe(201);
  });
});

describe('signing in', () => {
  test('tells an unknown address and a wrong password apart for nobody', async () => {
    await register();
    const known = await login({ email: ana.email, password: 'wrong' });
    const unknown = await login({ email: 'nobody@example.com', password: 'wrong' });
    expect(known.status).toBe(401);
    expect({ ...(unknown.body as object), trace_id: '' }).toEqual({ ...(known.body as object), trace_id: '' });
    expect(api.world.commands.at(-1)?.command).toMatchObject({ type: 'LogIn', data: { passwordMatched: false } });

    for (let i = 0; i < 4; i++) await login({ email: 'nobody@example.com', password: 'wrong' });
    const locked = await login({ email: 'nobody@example.com', password: 'wrong' });
    expect(locked).toMatchObject({ status: 429, body: { error: 'rate_limited', message: 'Too many failed logins. Try again later' } });
    expect(Number(locked.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  test('a full queue of passwords is a 429', async () => {
    const busy = await startApi();
    const { passwords } = busy.api.deps.credentials;
    Object.assign(passwords, { verify: () => Promise.reject(Object.assign(new Error('x'), { name: 'TooBusy' })) });
    const answer = await busy.ask('POST', '/api/v1/auth/login', { body: { email: 'a@example.com', password: 'x' } });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1']);
    await busy.stop();
  });

  test("an administrator's session is of its own kind", async () => {
    await register();
    const answer = await api.ask('POST', '/api/v1/admin/auth/login', { body: { email: ana.email, password: ana.password } });
    expect(answer.status).toBe(200);
    expect(api.world.commands.at(-1)).toMatchObject({ command: { type: 'LogIn', data: { scope: 'admin' } }, context: { actor: { kind: 'admin' }, source: 'web_dashboard' } });
  });

  test('sessions that make room end in the vault too', async () => {
    const { body } = await register();
    const { user } = body as Reply;
    const oldest = [...api.world.sessions.values()][0];
    const execute = api.world.execute.bind(api.world);
    api.world.execute = async (command, context) => {
      const outcome = await execute(command, context);
      if (command.type !== 'LogIn' || outcome.kind !== 'accepted') return outcome;
      return { ...outcome, events: [{ type: 'SessionEnded', data: { sessionId: oldest?.sessionId ?? '', reason: 'revoked' } } as never] };
    };
    await login({ email: ana.email, password: ana.password });
    expect([oldest?.userId, oldest?.live]).toEqual([user.id, false]);
  });
});

describe('tokens', () => {
  test('are exchanged once; a second time ends the session', async () => {
    const { body } = await register();
    const first = (body as Reply).refresh_token;
    const refresh = (token: string) => api.ask('POST', '/api/v1/auth/refresh', { body: { refresh_token: token } });
    const exchanged = await refresh(first);
    expect(exchanged.status).toBe(200);
    const next = exchanged.body as TokenPair & { access: string };
    expect(next.access).toBe(next.access_token);
    expect((await me(next.access_token)).status).toBe(200);
    expect((await api.ask('POST', '/api/v1/auth/token/refresh', { body: { refresh: next.refresh_token } })).status).toBe(200);

    expect((await refresh(first)).status).toBe(401);
    expect(api.world.commands.at(-1)?.command).toMatchObject({ type: 'RecordRefreshTokenReuse' });
    expect((await me(next.access_token)).status).toBe(401);
    expect(await refresh('made up')).toMatchObject({ status: 401, body: { message: 'Invalid or expired token' } });
    expect(await api.ask('POST', '/api/v1/auth/refresh', { body: {} })).toMatchObject({ status: 400, body: { details: { refresh_token: 'is required' } } });
  });

  test('forged ones are refused, all of them', async () => {
    const { userId, sessionId, token } = api.signIn();
    expect((await me(token)).status).toBe(200);
    const secret = apiSettings.tokens.keys[0]?.secret ?? '';
    const now = Math.floor(api.world.now / 1_000);
    const claims = { sub: userId, sid: sessionId, scope: 'user', ver: 0, typ: 'access', iat: now, exp: now + 600, iss: 'loqey', aud: 'loqey-api' };
    const sign = (change: object, options: jwt.SignOptions = {}, key: string = secret) =>
      jwt.sign(Object.fromEntries(Object.entries({ ...claims, ...change }).filter(([, value]) => value !== undefined)), key, { keyid: 'one', ...options });
    const [head = '', payload = '', signature = ''] = token.split('.');
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    expect((await me(sign({}))).status).toBe(200);

    const forged: Record<string, string> = {
      'no algorithm': `${encoded({ alg: 'none', typ: 'JWT', kid: 'one' })}.${payload}.`,
      'no algorithm, signature kept': `${encoded({ alg: 'none', typ: 'JWT', kid: 'one' })}.${payload}.${signature}`,
      'another algorithm': sign({}, { algorithm: 'HS512' }),
      'another secret': sign({}, {}, 'another secret of thirty-two bytes or more'),
      'no kid': jwt.sign(claims, secret),
      'an unknown kid': sign({}, { keyid: 'two' }),
      'a path for kid': sign({}, { keyid: '../../dev/null' }),
      'its own key': `${encoded({ alg: 'HS256', kid: 'one', jwk: { kty: 'oct', k: 'AAAA' } })}.${payload}.${signature}`,
      'another payload': `${head}.${encoded({ ...claims, sub: newId() })}.${signature}`,
      'no expiry': sign({ exp: undefined }),
      expired: sign({ iat: now - 4_000, exp: now - 60 }),
      'issued long ago': sign({ iat: now - 10_000, exp: now + 600 }),
      'no time of issue': sign({ iat: undefined }, { noTimestamp: true }),
      'not yet': sign({ nbf: now + 3_600 }),
      'another issuer': sign({ iss: 'other' }),
      'another audience': sign({ aud: 'other' }),
      "an administrator's audience": sign({ aud: 'loqey-admin' }),
      'both audiences': sign({ aud: ['loqey-api', 'loqey-admin'] }),
      'no audience': sign({ aud: undefined }),
      'a refresh token': sign({ typ: 'refresh' }),
      'no kind': sign({ typ: undefined }),
      'no session': sign({ sid: undefined }),
      'another session': sign({ sid: newId() }),
      'another scope': sign({ scope: 'root' }),
      'no version': sign({ ver: undefined }),
      "an administrator's scope": sign({ scope: 'admin' }),
      empty: '',
      'half of one': `${head}.${payload}`,
      long: 'x'.repeat(5_000),
    };
    for (const [name, each] of Object.entries(forged)) expect((await me(each)).status, name).toBe(401);
    for (const header of [`Basic ${token}`, token, 'Bearer', `Token ${token}`]) {
      expect((await api.ask('GET', '/api/v1/auth/me', { headers: { authorization: header } })).status, header).toBe(401);
    }
    // Nowhere but in the header.
    expect((await api.ask('GET', `/api/v1/auth/me?access_token=${token}`)).status).toBe(401);
  });

  test('end with the clock', async () => {
    const { token } = api.signIn();
    expect((await me(token)).status).toBe(200);
    api.world.now += 1_806_000;
    expect((await me(token)).status).toBe(401);
  });
});

describe('standing', () => {
  test('is read once and again after each change that the feed tells', async () => {
    const { userId, token } = api.signIn();
    for (let i = 0; i < 3; i++) await api.ask('GET', '/api/v1/devices', { token });
    expect(api.world.userReads).toBe(1);
    api.world.tell([`user:${userId}`], 'link_update');
    await api.ask('GET', '/api/v1/devices', { token });
    expect(api.world.userReads).toBe(1);

    const row = api.world.users.get(userId);
    if (row === undefined) throw new Error('no such user');
    api.world.users.set(userId, { ...row, suspended: true, accessVersion: 1 });
    api.world.tell([`user:${userId}`], 'account_update');
    expect(await api.ask('GET', '/api/v1/devices', { token })).toMatchObject({ status: 403, body: { error: 'forbidden', message: 'User account is suspended' } });

    // Active again, but the token was made before.
    api.world.users.set(userId, { ...row, accessVersion: 1 });
    api.world.tell([`user:${userId}`], 'account_update');
    expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(401);
  });

  test('a word that came while it was being read is not lost', async () => {
    const { userId, token } = api.signIn();
    const byId = api.world.reads.users.byId.bind(api.world.reads.users);
    let suspend = true;
    api.world.reads.users.byId = async (id) => {
      const row = await byId(id);
      if (suspend && row !== undefined) {
        suspend = false;
        api.world.users.set(userId, { ...row, suspended: true });
        api.world.tell([`user:${userId}`], 'account_update');
      }
      return row;
    };
    expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(403);
  });

  test('without a word it is read again after half a minute', async () => {
    const { userId, token } = api.signIn();
    await api.ask('GET', '/api/v1/devices', { token });
    const row = api.world.users.get(userId);
    if (row !== undefined) api.world.users.set(userId, { ...row, suspended: true });
    expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(200);
    api.world.now += 30_001;
    expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(403);
  });

  test('a role that was taken back ends the administrator, an erased account everything', async () => {
    const { userId, token } = api.signIn({ adminRole: 'admin' });
    expect((await api.ask('GET', '/api/v1/admin/dashboard', { token })).status).toBe(200);
    const row = api.world.users.get(userId);
    if (row === undefined) throw new Error('no such user');
    api.world.users.set(userId, { ...row, adminRole: null });
    api.world.tell([`user:${userId}`], 'account_update');
    expect((await api.ask('GET', '/api/v1/admin/dashboard', { token })).status).toBe(401);
    const other = api.signIn();
    api.world.users.set(other.userId, { ...row, userId: other.userId, erased: true, profile: null });
    expect((await me(other.token)).status).toBe(401);
  });

  test('an account that the read models do not know yet is let in while that can be', async () => {
    const { userId, token } = api.signIn();
    api.world.users.delete(userId);
    expect((await api.ask('GET', '/api/v1/devices', { token })).status).toBe(200);
    api.world.now += 11_000;
    const answer = await api.ask('GET', '/api/v1/devices', { token });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  });
});
