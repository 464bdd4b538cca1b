import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDeviceCredentials } from '../../../src/platform/vault/device-credentials.ts';
import { createDeviceKeys, KeyRotationRunning } from '../../../src/platform/vault/device-keys.ts';
import { newId } from '../../../src/platform/ids.ts';
import { startPostgres, type TestPostgres } from '../../support/servers.ts';
import { vaultProcess } from './support.ts';

let server: TestPostgres;
const build = async (url: string) => vaultProcess(server, url, (parts) => ({ keys: createDeviceKeys(parts), credentials: createDeviceCredentials(parts) }));
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

describe('device keys', () => {
  it('are made once: a repeat answers the same key, in every process, also at the same time', async () => {
    const device = newId();
    const made = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? a : b).keys.create(device, 1)));
    expect(new Set(made.map((each) => each.key.toString('hex'))).size).toBe(1);
    expect(made[0]?.key).toHaveLength(32);
    expect((await a.keys.current(device))?.key).toEqual(made[0]?.key);
    expect(await a.keys.pending(device)).toBeUndefined();
  });

  it('rotate: a second version is pending until it is promoted, then the first is gone everywhere', async () => {
    const device = newId();
    const first = await a.keys.create(device, 1);
    await b.keys.keyring(device);
    const second = await a.keys.create(device, 2);
    expect(await a.keys.keyring(device)).toEqual({ current: first, pending: second });
    await expect.poll(() => b.keys.keyring(device)).toEqual({ current: first, pending: second });
    await expect(a.keys.create(device, 3)).rejects.toBeInstanceOf(KeyRotationRunning);
    expect(await b.keys.promote(device, 2)).toBe(true);
    expect(await b.keys.promote(device, 2)).toBe(true);
    expect(await b.keys.keyring(device)).toEqual({ current: second, pending: undefined });
    await expect.poll(() => a.keys.keyring(device)).toEqual({ current: second, pending: undefined });
    expect(await a.keys.promote(device, 1)).toBe(false);
  });

  it('are replaced by another one, once, whatever there was', async () => {
    const device = newId();
    const first = await a.keys.create(device, 1);
    await a.keys.create(device, 2);
    await b.keys.keyring(device);
    await a.keys.replace(device, 3);
    const { current, pending } = await a.keys.stored(device);
    expect(current).toMatchObject({ keyVersion: 3 });
    expect(current?.key).not.toEqual(first.key);
    expect(pending).toBeUndefined();
    await b.keys.replace(device, 3);
    expect((await b.keys.stored(device)).current).toEqual(current);
    await expect.poll(() => b.keys.keyring(device)).toEqual({ current, pending: undefined });
  });

  it('a pending key can be discarded, and all erased', async () => {
    const device = newId();
    await a.keys.create(device, 1);
    await a.keys.create(device, 2);
    await a.keys.discardPending(device);
    expect(await a.keys.pending(device)).toBeUndefined();
    expect((await a.keys.create(device, 3)).keyVersion).toBe(3);
    await a.keys.erase(device);
    expect(await a.keys.keyring(device)).toEqual({ current: undefined, pending: undefined });
    await expect.poll(() => b.keys.current(device)).toBeUndefined();
  });

  it('are read for many devices at once; unknown ones are left out', async () => {
    const devices = Array.from({ length: 5 }, newId);
    for (const device of devices) await a.keys.create(device, 1);
    const found = await b.keys.keyrings([...devices, newId()]);
    expect([...found.keys()].sort()).toEqual([...devices].sort());
  });

  it('do not open in another row', async () => {
    const [device, other] = [newId(), newId()];
    await a.keys.create(device, 1);
    await a.process.db.pool.query(`INSERT INTO vault.device_keys SELECT $2, key_version, state, wrapped FROM vault.device_keys WHERE device_id = $1`, [device, other]);
    await expect(a.keys.current(other)).rejects.toThrow();
  });
});

describe('device credentials', () => {
  const credential = (deviceId: string, hash: string) => ({
    deviceId,
    username: deviceId,
    clientId: `device_${deviceId}`,
    passwordHashes: [hash],
    publishTopics: [`loqey/devices/${deviceId}/status`],
    subscribeTopics: [`loqey/devices/${deviceId}/commands/unlock`],
  });

  it('are found by username, and a change reaches every process', async () => {
    const device = newId();
    const heard: (string | undefined)[] = [];
    b.credentials.onChange((each) => heard.push(each));
    expect(await b.credentials.credential(device)).toBeUndefined();
    await a.credentials.provision(credential(device, 'aa'), []);
    await expect.poll(() => b.credentials.credential(device)).toEqual(credential(device, 'aa'));
    await a.credentials.provision(credential(device, 'bb'), []);
    await expect.poll(() => b.credentials.credential(device)).toEqual(credential(device, 'bb'));
    await a.credentials.revoke(device);
    expect(await a.credentials.credential(device)).toBeUndefined();
    await expect.poll(() => b.credentials.credential(device)).toBeUndefined();
    expect(heard.filter((each) => each === device)).toHaveLength(3);
  });

  it('cost few queries when everyone comes back at once', async () => {
    const devices = Array.from({ length: 300 }, newId);
    for (const device of devices) await a.credentials.provision(credential(device, 'aa'), []);
    let queries = 0;
    const original = b.process.db.pool.query.bind(b.process.db.pool);
    b.process.db.pool.query = ((...args: Parameters<typeof original>) => (queries++, original(...args))) as typeof original;
    const found = await Promise.all(devices.map((device) => b.credentials.credential(device)));
    b.process.db.pool.query = original;
    expect(found.every((each) => each !== undefined)).toBe(true);
    expect(queries).toBeLessThan(5);
  });

  it('answer nothing for what cannot be a username', async () => {
    expect(await a.credentials.credential('\0')).toBeUndefined();
    expect(await a.credentials.credential('x'.repeat(1_000))).toBeUndefined();
  });
});
