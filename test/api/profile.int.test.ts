import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TokenPair } from '../../src/api/accounts.ts';
import { startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

let user: ReturnType<TestApi['signIn']>;
beforeEach(() => {
  user = api.signIn({ profile: { email: 'ana@example.com', firstName: 'Ana', lastName: 'Silva', residentState: 'Porto', phoneNumber: '+351 1' } });
  api.world.passwords.set(user.userId, 'hash:correct horse');
  api.world.commands.length = 0;
  api.world.refuse = {};
});

const ask = (method: string, path: string, body?: unknown) => api.ask(method, path, { token: user.token, ...(body === undefined ? {} : { body }) });

describe('a profile', () => {
  const put = (body: object) => ask('PUT', '/api/v1/users/profile', body);

  test('is shown by each of its names', async () => {
    for (const path of ['/api/v1/users/profile', '/api/users/profile/', '/api/v1/profile', '/api/v1/auth/profile', '/api/v1/auth/me']) {
      expect((await ask('GET', path)).body, path).toMatchObject({ id: user.userId, email: 'ana@example.com', full_name: 'Ana Silva', phone_number: '+351 1', zip_code: null });
    }
  });

  test('is changed member by member; what is not named stays, null takes away', async () => {
    expect((await put({ zip_code: '35', state: 'Izmir' })).body).toMatchObject({ full_name: 'Ana Silva', state: 'Izmir', resident_state: 'Izmir', zip_code: '35', phone_number: '+351 1' });
    expect((await ask('PUT', '/api/profile', { full_name: 'Ana Maria Silva', phone_number: null })).body).toMatchObject({ first_name: 'Ana Maria', last_name: 'Silva', phone_number: null, zip_code: '35' });
    expect((await put({ last_name: '' })).body).toMatchObject({ full_name: 'Ana Maria', last_name: '' });
    expect(api.world.commands.at(-1)).toMatchObject({
      command: { type: 'ChangeProfile', data: { userId: user.userId, profile: { email: 'ana@example.com', firstName: 'Ana Maria', lastName: '', residentState: 'Izmir', zipCode: '35' }, basedOn: '2026-11-01T10:00:00.000Z' } },
      context: { actor: { kind: 'user', id: user.userId } },
    });
  });

  test('that was changed since it was read is not taken back', async () => {
    api.world.refuse = { ChangeProfile: { code: 'profile_changed' } };
    expect(await put({ zip_code: '1' })).toMatchObject({ status: 409, body: { error: 'conflict', message: 'The profile was changed meanwhile. Read it and try again' } });
  });

  test.each([
    [{}, 'body', 'must have at least one member'],
    [{ email: 'other@example.com' }, 'email', 'is not known here'],
    [{ full_name: '  ' }, 'full_name', 'must not be empty'],
    [{ first_name: ' ' }, 'first_name', 'must not be empty'],
    [{ phone_number: 'call me' }, 'phone_number', 'must be a phone number of at most 20 signs'],
    [{ state: null }, 'state', 'must be 1 to 100 printable characters'],
  ])('%j is refused', async (body, field, text) => {
    const answer = await put(body);
    expect(answer).toMatchObject({ status: 400, body: { error: 'validation_error', details: { [field]: text } } });
    expect(api.world.commands).toEqual([]);
  });
});

describe('a password', () => {
  const change = (body: object) => ask('POST', '/api/v1/users/change-password', { old_password: 'correct horse', new_password: 'another horse', ...body });

  test('is changed: every session ends, and the answer begins a new one', async () => {
    const elsewhere = api.api.tokens.sign({ userId: user.userId, sessionId: user.sessionId, scope: 'user' }, 0);
    const answer = await change({ new_password_confirm: 'another horse' });
    expect(answer.status).toBe(200);
    const { message, access_token: fresh, refresh_token: refresh } = answer.body as TokenPair & { message: string };
    expect(message).toBe('Password changed successfully');
    expect(api.world.passwords.get(user.userId)).toBe('hash:another horse');
    expect(api.world.commands.map(({ command }) => command)).toMatchObject([
      { type: 'ChangePassword', data: { userId: user.userId, by: 'owner', passwordMatched: true } },
      { type: 'LogIn', data: { userId: user.userId, scope: 'user', passwordMatched: true } },
    ]);
    expect((await api.ask('GET', '/api/v1/auth/me', { token: elsewhere })).status).toBe(401);
    expect((await api.ask('GET', '/api/v1/auth/me', { token: fresh })).status).toBe(200);
    expect((await api.ask('POST', '/api/v1/auth/refresh', { body: { refresh_token: refresh } })).status).toBe(200);
  });

  test('stays with a wrong one: 403, because 401 would sign the app out', async () => {
    expect(await change({ old_password: 'wrong' })).toMatchObject({
      status: 403,
      body: { error: 'forbidden', message: 'The current password is not right', details: { old_password: 'is not the current password', reason: 'credentials_invalid' } },
    });
    expect(api.world.commands.map(({ command }) => command)).toMatchObject([{ type: 'ChangePassword', data: { passwordMatched: false } }]);
    expect(api.world.passwords.get(user.userId)).toBe('hash:correct horse');
    expect((await ask('GET', '/api/v1/auth/me')).status).toBe(200);
  });

  test('too many wrong ones are as many failed logins', async () => {
    api.world.refuse = { ChangePassword: { code: 'login_locked', details: { retry_after: 600 } } };
    const answer = await change({});
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '600']);
    expect(api.world.passwords.get(user.userId)).toBe('hash:correct horse');
  });

  test.each([
    [{ new_password: 'short' }, 'new_password', 'must have 8 to 72 characters'],
    [{ new_password: 'é'.repeat(37) }, 'new_password', 'must have at most 72 bytes'],
    [{ new_password: 'correct horse' }, 'new_password', 'must be another one than the current password'],
    [{ new_password_confirm: 'x' }, 'new_password_confirm', 'is not the same as new_password'],
  ])('%j is refused', async (body, field, text) => {
    expect(await change(body)).toMatchObject({ status: 400, body: { details: { [field]: text } } });
    expect(api.world.commands).toEqual([]);
  });

  test('nothing that is made of one is kept to recognise a repeat', async () => {
    const answer = await api.ask('POST', '/api/v1/users/change-password', {
      token: user.token,
      headers: { 'idempotency-key': 'k' },
      body: { old_password: 'correct horse', new_password: 'another horse' },
    });
    expect([answer.status, api.world.keys.size]).toEqual([200, 0]);
  });
});

describe('sessions', () => {
  test('are listed, the one that asks marked, and ended one by one', async () => {
    const other = api.signIn({ userId: user.userId });
    const list = await ask('GET', '/api/v1/auth/sessions');
    expect(list.headers.get('x-total-count')).toBe('2');
    expect(list.body).toEqual([
      { id: user.sessionId, current: true, scope: 'user', user_agent: 'a phone', created_at: '2026-11-21T09:00:00.000Z', last_seen_at: '2026-11-21T09:30:00.000Z' },
      expect.objectContaining({ id: other.sessionId, current: false }),
    ]);
    expect((await ask('DELETE', `/api/v1/auth/sessions/${other.sessionId}`)).body).toEqual({ message: 'Session ended successfully' });
    expect(api.world.commands.at(-1)?.command).toEqual({ type: 'EndSession', data: { userId: user.userId, sessionId: other.sessionId, reason: 'revoked' } });
    expect((await api.ask('GET', '/api/v1/auth/me', { token: other.token })).status).toBe(401);
    expect((await ask('GET', '/api/v1/auth/sessions')).body).toHaveLength(1);
  });

  test('of others, or ended before, do not exist', async () => {
    const stranger = api.signIn();
    for (const id of [stranger.sessionId, '00000000-0000-4000-8000-000000000001']) {
      expect(await ask('DELETE', `/api/v1/auth/sessions/${id}`)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Session not found' } });
    }
    expect((await api.ask('GET', '/api/v1/auth/me', { token: stranger.token })).status).toBe(200);
    expect((await ask('DELETE', '/api/v1/auth/sessions/42')).status).toBe(400);
  });

  test('of an administrator end as an administrator’s', async () => {
    const admin = api.signIn({ adminRole: 'admin' });
    expect((await api.ask('DELETE', `/api/v1/auth/sessions/${admin.sessionId}`, { token: admin.token })).status).toBe(200);
    expect(api.world.commands.at(-1)?.context).toMatchObject({ actor: { kind: 'admin', id: admin.userId }, source: 'web_dashboard' });
  });
});
