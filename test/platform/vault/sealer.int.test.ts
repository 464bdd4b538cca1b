import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Sealed } from '../../../src/domain/kernel.ts';
import type { Json } from '../../../src/platform/event-store/port.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { createSealer, SealBroken, type Sealer, type SealerOptions } from '../../../src/platform/vault/sealer.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { vaultProcess, type VaultProcess } from './support.ts';

let server: TestPostgres;
let url: string;
let running: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
  url = await server.migratedDatabase();
});
afterEach(async () => {
  for (const stop of running.reverse()) await stop();
  running = [];
});
afterAll(() => server.stop());

async function startSealer(options: Partial<SealerOptions> = {}): Promise<{ sealer: Sealer; process: VaultProcess }> {
  const started = await vaultProcess(server, url, (parts) => ({
    sealer: createSealer({ ...parts, logger: silentLogger, inAdvance: ['delivery'], ...options }),
  }));
  const { sealer, process } = started;
  await sealer.start();
  running.push(() => started.stop(), () => sealer.stop());
  return { sealer, process };
}

let counter = 0;
const subject = (kind: string) => `${kind}:${Date.now()}-${counter++}`;
const rowOf = async (key: string) =>
  (await server.connect(url, { max: 1 }).pool.query<{ subject: string | null; wrapped: Buffer | null; destroyed_at: string | null }>(
    'SELECT subject, wrapped, destroyed_at FROM vault.data_keys WHERE key_id = $1',
    [key],
  )).rows[0];

describe('seal and open', () => {
  it('gives back any JSON value, in this and in another process', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const user = subject('user');
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const json = JSON.parse(JSON.stringify(value)) as Json; // -0 is not JSON
        const sealed = await a.sealer.seal(user, 'UserRegistered', 'account', json);
        expect(Object.keys(sealed)).toEqual(['$s', 'sub', 'k', 'n', 'c']);
        expect(await a.sealer.open(sealed, 'UserRegistered', 'account')).toEqual(json);
        expect(await b.sealer.open(sealed, 'UserRegistered', 'account')).toEqual(json);
      }),
      { numRuns: 50 },
    );
  });

  it('never repeats itself: equal values look different', async () => {
    const { sealer } = await startSealer();
    const user = subject('user');
    const [one, two] = await Promise.all([sealer.seal(user, 'T', 'p', 'Ana'), sealer.seal(user, 'T', 'p', 'Ana')]);
    expect(one.k).toBe(two.k);
    expect(one.n).not.toBe(two.n);
    expect(one.c).not.toBe(two.c);
  });

  it('refuses a value that was moved or changed', async () => {
    const { sealer } = await startSealer();
    const user = subject('user');
    const sealed = await sealer.seal(user, 'UserRegistered', 'account', { name: 'Ana' });
    const changed: [Sealed, string, string][] = [
      [sealed, 'UserRenamed', 'account'],
      [sealed, 'UserRegistered', 'address'],
      [{ ...sealed, sub: subject('user') }, 'UserRegistered', 'account'],
      [{ ...sealed, c: sealed.c.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A')) }, 'UserRegistered', 'account'],
      [{ ...sealed, c: '' }, 'UserRegistered', 'account'],
      [{ ...sealed, n: '' }, 'UserRegistered', 'account'],
    ];
    for (const [value, type, path] of changed) await expect(sealer.open(value, type, path)).rejects.toBeInstanceOf(SealBroken);
  });

  it('opens for ever what was sealed once', async () => {
    const { sealer, process } = await startSealer();
    const sealed: Sealed = {
      $s: 1,
      sub: 'user:u1',
      k: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
      n: 'AwMDAwMDAwMDAwMD',
      c: 'qraNBznQNMK6z8pX1hqTnNjfkyTthrdWOIXgKOzmueWqtLhHcxOz1Q',
    };
    const wrapped = '81b85021b7b9f73dbfbd437b17da731f3c60bb31027116c99d56747e5fee70ebfc12048aebc90fa59b5f932c3590177118b5e3c72bf21950d06555a6';
    await process.db.pool.query(
      `INSERT INTO vault.data_keys (key_id, subject, kind, in_advance, wrapped) VALUES ($1, 'user:u1', 'user', false, decode($2, 'hex'))`,
      [sealed.k, wrapped],
    );
    expect(await sealer.open(sealed, 'UserRegistered', 'account')).toEqual({ full_name: 'Ana Ruiz' });
  });

  it('makes one key per subject, however many ask at once', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const user = subject('user');
    const sealed = await Promise.all(Array.from({ length: 40 }, async (_, i) => (i % 2 ? a : b).sealer.seal(user, 'T', 'p', i)));
    expect(new Set(sealed.map((each) => each.k)).size).toBe(1);
  });

  it('answers at once when the key is at hand', async () => {
    const { sealer } = await startSealer();
    const user = subject('user');
    await sealer.seal(user, 'T', 'p', 1);
    expect(sealer.seal(user, 'T', 'p', 2)).not.toBeInstanceOf(Promise);
  });

  it('opens many in order with one query, the erased ones as nothing', async () => {
    const { sealer } = await startSealer();
    const erased = subject('user');
    const items = [];
    for (let i = 0; i < 30; i++) {
      const sealed = await sealer.seal(i % 3 === 0 ? erased : subject('user'), 'T', 'p', i);
      items.push({ sealed, eventType: 'T', path: 'p' });
    }
    await sealer.destroy(erased);
    expect(await sealer.openMany(items)).toEqual(Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? undefined : i)));
  });
});

describe('keys made in advance', () => {
  it('are committed before they are used, and answer at once for a new subject', async () => {
    const { sealer } = await startSealer({ reserve: 8 });
    const sealed = sealer.seal(subject('delivery'), 'UnlockRequested', 'courier', { name: 'Bo' });
    expect(sealed).not.toBeInstanceOf(Promise);
    expect((await rowOf((await sealed).k))?.wrapped).toBeInstanceOf(Buffer);
  });

  it('serve a burst larger than the reserve', async () => {
    const { sealer } = await startSealer({ reserve: 4 });
    const sealed = await Promise.all(Array.from({ length: 50 }, async () => sealer.seal(subject('delivery'), 'T', 'p', 1)));
    expect(new Set(sealed.map((each) => each.k)).size).toBe(50);
  });

  it('get their subject written down shortly after, at the latest by stop', async () => {
    const { sealer } = await startSealer();
    const [first, second] = [subject('delivery'), subject('delivery')];
    const sealed = await sealer.seal(first, 'T', 'p', 1);
    await expect.poll(async () => (await rowOf(sealed.k))?.subject).toBe(first);
    const last = await sealer.seal(second, 'T', 'p', 1);
    await sealer.stop();
    expect((await rowOf(last.k))?.subject).toBe(second);
  });

  it('open also when the subject was never written down, and can be destroyed by their id', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const sealed = await a.sealer.seal(subject('delivery'), 'T', 'p', 'Bo');
    await expect.poll(async () => (await rowOf(sealed.k))?.subject).not.toBeNull();
    await a.process.db.pool.query('UPDATE vault.data_keys SET subject = NULL WHERE key_id = $1', [sealed.k]); // as after a crash
    expect(await b.sealer.open(sealed, 'T', 'p')).toBe('Bo');
    expect(await b.sealer.destroyKeys([sealed.k])).toEqual({ keys: 1 });
    await expect.poll(() => a.sealer.open(sealed, 'T', 'p')).toBeUndefined();
  });

  it('follow a subject that was destroyed before the binding came', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const delivery = subject('delivery');
    await b.sealer.destroy(delivery);
    const sealed = await a.sealer.seal(delivery, 'T', 'p', 'Bo');
    await expect.poll(() => b.sealer.open(sealed, 'T', 'p')).toBeUndefined();
    await expect.poll(() => a.sealer.open(sealed, 'T', 'p')).toBeUndefined();
  });
});

describe('destroy', () => {
  it('makes everything sealed for the subject unreadable in every process, and nothing else', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const [erased, other] = [subject('user'), subject('user')];
    const gone = await a.sealer.seal(erased, 'T', 'p', 'Ana');
    const kept = await a.sealer.seal(other, 'T', 'p', 'Eve');
    expect(await b.sealer.open(gone, 'T', 'p')).toBe('Ana');
    expect(await a.sealer.destroy(erased)).toEqual({ keys: 1 });
    expect(await a.sealer.open(gone, 'T', 'p')).toBeUndefined();
    await expect.poll(() => b.sealer.open(gone, 'T', 'p')).toBeUndefined();
    expect(await b.sealer.open(kept, 'T', 'p')).toBe('Eve');
    expect(await a.sealer.destroy(erased)).toEqual({ keys: 0 });
    expect((await rowOf(gone.k))?.wrapped).toBeNull();
  });

  it('of all that is one person’s happens at once, in every process; what is known of it by then is counted', async () => {
    const [a, b] = [await startSealer(), await startSealer()];
    const [user, delivery, without] = [subject('user'), subject('delivery'), subject('delivery')];
    const sealed = [await a.sealer.seal(user, 'T', 'p', 'Ana'), await a.sealer.seal(delivery, 'T', 'p', 'Jo')];
    expect(await Promise.all(sealed.map((each) => b.sealer.open(each, 'T', 'p')))).toEqual(['Ana', 'Jo']);
    await expect.poll(async () => (await a.sealer.living([user, delivery, without])).toSorted()).toEqual([delivery, user].toSorted());
    expect(await a.sealer.destroyAll([user, delivery, without])).toEqual({ keys: 2 });
    for (const each of sealed) await expect.poll(() => b.sealer.open(each, 'T', 'p')).toBeUndefined();
    expect(await b.sealer.destroyAll([user, delivery, without])).toEqual({ keys: 2 });
    expect(await b.sealer.living([user, delivery, without])).toEqual([]);
    const late = await b.sealer.seal(without, 'T', 'p', 'late');
    await expect.poll(() => b.sealer.open(late, 'T', 'p')).toBeUndefined();
  });

  it('is noticed without its notification when the cached key is old', async () => {
    const [a, b] = [await startSealer(), await startSealer({ keyTtlMs: 50 })];
    await b.process.notifications.stop();
    const user = subject('user');
    const sealed = await a.sealer.seal(user, 'T', 'p', 'Ana');
    expect(await b.sealer.open(sealed, 'T', 'p')).toBe('Ana');
    await a.sealer.destroy(user);
    await expect.poll(() => b.sealer.open(sealed, 'T', 'p')).toBeUndefined();
  });

  it('is final: what is sealed for the subject later can be opened by nobody', async () => {
    const { sealer } = await startSealer();
    for (const kind of ['user', 'delivery']) {
      const [known, neverSeen] = [subject(kind), subject(kind)];
      await sealer.seal(known, 'T', 'p', 1);
      for (const each of [known, neverSeen]) {
        await sealer.destroy(each);
        const late = await sealer.seal(each, 'T', 'p', 'late');
        await expect.poll(() => sealer.open(late, 'T', 'p')).toBeUndefined();
      }
    }
  });

  it('by age takes the kind with all its keys, unbound ones included, and never a young one', async () => {
    const { sealer, process } = await startSealer();
    const old = await sealer.seal(subject('delivery'), 'T', 'p', 'old');
    const young = await sealer.seal(subject('delivery'), 'T', 'p', 'young');
    const user = await sealer.seal(subject('user'), 'T', 'p', 'user');
    await expect.poll(async () => (await rowOf(young.k))?.subject).not.toBeNull();
    await process.db.pool.query(`UPDATE vault.data_keys SET created_at = now() - interval '181 days', subject = NULL WHERE key_id = $1`, [old.k]);
    await process.db.pool.query(`UPDATE vault.data_keys SET created_at = now() - interval '181 days' WHERE key_id = $1`, [user.k]);
    const before = new Date(Date.now() - 180 * 86_400_000).toISOString();
    expect(await sealer.destroyOlderThan('delivery', before)).toEqual({ keys: 1 });
    expect(await sealer.openMany([old, young, user].map((sealed) => ({ sealed, eventType: 'T', path: 'p' })))).toEqual([undefined, 'young', 'user']);
    expect(() => sealer.destroyOlderThan('delivery', new Date().toISOString())).toThrow(/a day/);
  });
});

describe('when the database is away', () => {
  it('known keys still seal and open', async () => {
    const { sealer, process } = await startSealer();
    const user = subject('user');
    const sealed = await sealer.seal(user, 'T', 'p', 'Ana');
    await process.notifications.stop();
    await process.db.stop();
    expect(await sealer.open(sealed, 'T', 'p')).toBe('Ana');
    await sealer.seal(user, 'T', 'p', 'again');
  });
});
