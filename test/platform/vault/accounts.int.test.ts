import { randomUUID } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkSecrets, WrongSecret } from '../../../src/platform/vault/check-values.ts';
import { createEmailIndex } from '../../../src/platform/vault/email-index.ts';
import { createPasswords, PasswordTooLong, TooBusy, type Passwords } from '../../../src/platform/vault/passwords.ts';
import { createRefreshTokens, type Session } from '../../../src/platform/vault/refresh-tokens.ts';
import { createTags } from '../../../src/platform/vault/tags.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { vaultProcess } from './support.ts';

let server: TestPostgres;
const build = (url: string) =>
  vaultProcess(server, url, (parts) => ({
    emails: createEmailIndex({ db: parts.db, tags: createTags(parts.master) }),
    tokens: createRefreshTokens({ ...parts, lifetimeDays: 7 }),
  }));
let a: Awaited<ReturnType<typeof build>>;
let b: Awaited<ReturnType<typeof build>>;

beforeAll(async () => {
  server = await startPostgres();
  const url = await server.migratedDatabase();
  [a, b] = [await build(url), await build(url)];
});
afterAll(async () => {
  await a.stop();
  await b.stop();
  await server.stop();
});

describe('e-mail index', () => {
  const address = () => `${randomUUID()}@example.com`;

  it('gives an address to the first of many who claim it at once', async () => {
    const email = address();
    const users = Array.from({ length: 20 }, () => randomUUID());
    const holders = await Promise.all(users.map((user, i) => (i % 2 ? a : b).emails.claim(i % 3 ? email : email.toUpperCase(), user)));
    expect(new Set(holders).size).toBe(1);
    expect(users).toContain(holders[0]);
    expect(await a.emails.find(email)).toBe(holders[0]);
    expect(await a.emails.claim(email, holders[0] ?? '')).toBe(holders[0]);
  });

  it('lets one of several take over an address whose user never came to be', async () => {
    const email = address();
    const [dead, ...others] = Array.from({ length: 5 }, () => randomUUID());
    await a.emails.claim(email, dead ?? '');
    const adopted = await Promise.all(others.map((user) => b.emails.adopt(email, dead ?? '', user)));
    expect(adopted.filter(Boolean)).toHaveLength(1);
    expect(await a.emails.find(email)).toBe(others[adopted.indexOf(true)]);
  });

  it('forgets a user, and nobody else', async () => {
    const [mine, other, user, neighbour] = [address(), address(), randomUUID(), randomUUID()];
    await a.emails.claim(mine, user);
    await a.emails.claim(other, neighbour);
    await a.emails.remove(user);
    expect(await a.emails.find(mine)).toBeUndefined();
    expect(await a.emails.find(other)).toBe(neighbour);
  });

  it('holds no address in clear', async () => {
    const email = address();
    await a.emails.claim(email, randomUUID());
    const { rows } = await a.process.db.pool.query<{ tag: string }>('SELECT tag FROM vault.email_index');
    expect(rows.filter((row) => row.tag.includes('@'))).toEqual([]);
  });
});

describe('refresh tokens', () => {
  const begin = async (): Promise<{ session: Session; token: string }> => {
    const session = { sessionId: randomUUID(), userId: randomUUID(), scope: 'user' as const };
    return { session, token: await a.tokens.issue(session) };
  };
  const age = (seconds: number, sessionId: string) =>
    a.process.db.pool.query(`UPDATE vault.refresh_tokens SET used_at = used_at - make_interval(secs => $1) WHERE session_id = $2`, [seconds, sessionId]);

  it('are exchanged for the next one, session by session', async () => {
    const { session, token } = await begin();
    const first = await a.tokens.rotate(token);
    expect(first).toEqual({ kind: 'rotated', session, refreshToken: expect.stringMatching(/^[\w-]{43}$/) });
    if (first.kind !== 'rotated') return;
    const second = await b.tokens.rotate(first.refreshToken);
    expect(second).toMatchObject({ kind: 'rotated', session });
    expect(second).not.toMatchObject({ refreshToken: first.refreshToken });
  });

  it('exchanged 20 times at once give one and the same successor, and nobody is logged out', async () => {
    const { session, token } = await begin();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).tokens.rotate(token)));
    expect(answers.every((answer) => answer.kind === 'rotated')).toBe(true);
    expect(new Set(answers.map((answer) => (answer.kind === 'rotated' ? answer.refreshToken : ''))).size).toBe(1);
    const { rows } = await a.process.db.pool.query('SELECT 1 FROM vault.refresh_tokens WHERE session_id = $1', [session.sessionId]);
    expect(rows).toHaveLength(2);
    expect(await b.tokens.isLive(session.sessionId)).toBe(true);
  });

  it('coming again after the grace end the session everywhere', async () => {
    const { session, token } = await begin();
    const next = await a.tokens.rotate(token);
    await age(11, session.sessionId);
    expect(await b.tokens.isLive(session.sessionId)).toBe(true);
    expect(await a.tokens.rotate(token)).toEqual({ kind: 'reused', session });
    expect(await a.tokens.isLive(session.sessionId)).toBe(false);
    await expect.poll(() => b.tokens.isLive(session.sessionId)).toBe(false);
    if (next.kind === 'rotated') expect(await a.tokens.rotate(next.refreshToken)).toEqual({ kind: 'invalid' });
  });

  it('coming again within the grace, after the successor was used, get nothing and end nothing', async () => {
    const { session, token } = await begin();
    const next = await a.tokens.rotate(token);
    if (next.kind === 'rotated') await a.tokens.rotate(next.refreshToken);
    expect(await a.tokens.rotate(token)).toEqual({ kind: 'invalid' });
    expect(await a.tokens.isLive(session.sessionId)).toBe(true);
  });

  it('that are unknown, expired or of an ended session are invalid', async () => {
    expect(await a.tokens.rotate('x'.repeat(43))).toEqual({ kind: 'invalid' });
    expect(await a.tokens.rotate('x'.repeat(100_000))).toEqual({ kind: 'invalid' });
    const old = await begin();
    await a.process.db.pool.query('UPDATE vault.refresh_tokens SET expires_at = now() WHERE session_id = $1', [old.session.sessionId]);
    expect(await a.tokens.rotate(old.token)).toEqual({ kind: 'invalid' });
    const ended = await begin();
    await b.tokens.end(ended.session.sessionId);
    expect(await a.tokens.rotate(ended.token)).toEqual({ kind: 'invalid' });
  });

  it('all end with endAll, of that user only', async () => {
    const [one, other] = [await begin(), await begin()];
    const second = { sessionId: randomUUID(), userId: one.session.userId, scope: 'admin' as const };
    await a.tokens.issue(second);
    await b.tokens.endAll(one.session.userId);
    await expect.poll(() => Promise.all([one.session, second, other.session].map((each) => a.tokens.isLive(each.sessionId)))).toEqual([false, false, true]);
  });

  it('belong to sessions that are listed while they live, newest first, with what signed in', async () => {
    const userId = randomUUID();
    const [phone, desk, gone] = [randomUUID(), randomUUID(), randomUUID()];
    for (const [sessionId, userAgent] of [[phone, 'a phone'], [desk, undefined], [gone, 'gone']] as const) {
      await a.tokens.issue({ sessionId, userId, scope: 'user', ...(userAgent === undefined ? {} : { userAgent }) });
    }
    await b.tokens.end(gone);
    const listed = await a.tokens.list(userId);
    expect(listed.map(({ sessionId, userAgent }) => [sessionId, userAgent])).toEqual([[desk, undefined], [phone, 'a phone']]);
    expect(listed[0]).toMatchObject({ userId, scope: 'user', createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as string, lastSeenAt: expect.stringMatching(/Z$/) as string });
    await a.process.db.pool.query(`UPDATE work.sessions SET last_seen_at = now() - interval '8 days' WHERE session_id = $1`, [phone]);
    expect(await a.tokens.list(userId)).toHaveLength(1);
  });

  it('are swept with their sessions when they expired', async () => {
    const { session } = await begin();
    await a.process.db.pool.query(`UPDATE vault.refresh_tokens SET expires_at = now() - interval '1 s' WHERE session_id = $1`, [session.sessionId]);
    await a.process.db.pool.query(`UPDATE work.sessions SET last_seen_at = now() - interval '8 days' WHERE session_id = $1`, [session.sessionId]);
    expect(await a.tokens.sweep()).toBeGreaterThan(0);
    const { rows } = await a.process.db.pool.query('SELECT 1 FROM work.sessions WHERE session_id = $1', [session.sessionId]);
    expect(rows).toEqual([]);
  });

  it('are stored as hashes only', async () => {
    const { token } = await begin();
    const { rows } = await a.process.db.pool.query('SELECT row_to_json(t)::text AS row FROM vault.refresh_tokens t');
    expect(JSON.stringify(rows)).not.toContain(token);
  });
});

describe('passwords', () => {
  const start = async (options: { rounds?: number; maxQueue?: number } = {}): Promise<Passwords> => {
    const passwords = createPasswords({ db: a.process.db, metrics: a.process.metrics, rounds: 4, ...options });
    await passwords.start();
    return passwords;
  };

  it('match themselves only, and a nobody never', async () => {
    const passwords = await start();
    const hash = await passwords.hash('correct horse');
    expect(hash).toMatch(/^\$2[aby]\$04\$/);
    expect(await passwords.verify('correct horse', hash)).toEqual({ matched: true, rehash: false });
    expect(await passwords.verify('correct horsf', hash)).toEqual({ matched: false, rehash: false });
    expect(await passwords.verify('correct horse', undefined)).toEqual({ matched: false, rehash: false });
    await passwords.stop();
  });

  it('hashed at another cost are right and due for a new hash', async () => {
    const [old, now] = [await start({ rounds: 4 }), await start({ rounds: 5 })];
    const hash = await old.hash('correct horse');
    expect(await now.verify('correct horse', hash)).toEqual({ matched: true, rehash: true });
    expect(await now.verify('wrong', hash)).toEqual({ matched: false, rehash: false });
    await Promise.all([old.stop(), now.stop()]);
  });

  it('beyond 72 bytes are refused, also as a try', async () => {
    const passwords = await start();
    await expect(passwords.hash('é'.repeat(37))).rejects.toBeInstanceOf(PasswordTooLong);
    const hash = await passwords.hash('é'.repeat(36));
    expect(await passwords.verify(`${'é'.repeat(36)}x`, hash)).toEqual({ matched: false, rehash: false });
    expect(await passwords.verify('é'.repeat(36), hash)).toEqual({ matched: true, rehash: false });
    await passwords.stop();
  });

  it('are checked beside the main thread, and too many at once are refused', async () => {
    const passwords = await start({ rounds: 10, maxQueue: 4 });
    const hash = await passwords.hash('correct horse');
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => passwords.verify('wrong', hash)));
    delay.disable();
    const refused = answers.filter((answer) => answer.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every((answer) => answer.reason instanceof TooBusy)).toBe(true);
    expect(answers.filter((answer) => answer.status === 'fulfilled').length).toBeGreaterThanOrEqual(4);
    expect(delay.count).toBeGreaterThan(3); // the loop went round while the hashes were computed
    await passwords.stop();
  });

  it('are stored, replaced and removed by user', async () => {
    const passwords = await start();
    const user = randomUUID();
    expect(await passwords.hashOf(user)).toBeUndefined();
    await passwords.store(user, 'one');
    await passwords.store(user, 'two');
    expect(await passwords.hashOf(user)).toBe('two');
    await passwords.remove(user);
    expect(await passwords.hashOf(user)).toBeUndefined();
    await passwords.stop();
  });
});

describe('check values', () => {
  it('stop a start with another key, naming the variable, however many start at once', async () => {
    const db = server.connect(await server.migratedDatabase());
    const right = [
      { env: 'DATA_KEY_MASTER', secret: Buffer.alloc(32, 1) },
      { env: 'SECRET_KEY', secret: 'k'.repeat(32) },
    ];
    await Promise.all(Array.from({ length: 10 }, () => checkSecrets(db, right)));
    await checkSecrets(db, right);
    const failure = await checkSecrets(db, [{ env: 'DATA_KEY_MASTER', secret: Buffer.alloc(32, 2) }]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WrongSecret);
    expect(failure).toMatchObject({ env: 'DATA_KEY_MASTER', message: expect.stringMatching(/^DATA_KEY_MASTER is not the one/) });
    await checkSecrets(db, right);
  });

  it('move on with a key that names the one before it', async () => {
    const db = server.connect(await server.migratedDatabase());
    const [old, fresh] = ['o'.repeat(32), 'f'.repeat(32)];
    await checkSecrets(db, [{ env: 'SECRET_KEY', secret: old }]);
    await expect(checkSecrets(db, [{ env: 'SECRET_KEY', secret: fresh }])).rejects.toBeInstanceOf(WrongSecret);
    await checkSecrets(db, [{ env: 'SECRET_KEY', secret: fresh, previous: ['a key of another time entirely, long', old] }]);
    await checkSecrets(db, [{ env: 'SECRET_KEY', secret: fresh }]);
    await expect(checkSecrets(db, [{ env: 'SECRET_KEY', secret: old }])).rejects.toBeInstanceOf(WrongSecret);
  });
});
