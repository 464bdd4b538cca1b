import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deviceRow, progress, linkRow, startApi, userRow, type TestApi } from '../support/api.ts';
import { linkTokenHash } from '../../src/api/link-token.ts';

/** Where one process answers for everybody: what a command changed is waited for by whoever reads it. */
describe('with reads that wait', () => {
  const fresh = { told: [] as bigint[], behind: false, acknowledged: (position: bigint) => void fresh.told.push(position) };
  let api: TestApi;
  let owner: { readonly userId: string; readonly token: string };
  let deviceId: string;

  beforeEach(async () => {
    fresh.told = [];
    fresh.behind = false;
    api = await startApi({ fresh });
    owner = api.signIn();
    const device = deviceRow({ ownerId: owner.userId });
    ({ deviceId } = device);
    api.world.devices.set(deviceId, device);
    // Whoever waits for the read models before the answer is told so.
    api.world.reached = false;
  });
  afterEach(() => api.stop());

  const consistency = ({ status, headers }: { readonly status: number; readonly headers: Headers }) => [status, headers.get('loqey-consistency')];

  test('a link is answered at once, and what was told is waited for by whoever reads', async () => {
    const answer = await api.ask('POST', '/api/v1/access/create-link', { token: owner.token, body: { device_id: deviceId } });
    expect(consistency(answer)).toEqual([200, null]);
    expect(answer.headers.get('loqey-position')).toMatch(/^[\w-]{32}$/);
    expect(fresh.told).toHaveLength(1);
  });

  test('an opening is told too, by whatever way it was asked for', async () => {
    const token = 'R'.repeat(32);
    const link = linkRow({ ownerId: owner.userId, deviceId, tokenHash: linkTokenHash(token) });
    api.world.links.set(link.linkId, link);
    const admin = api.signIn({ adminRole: 'super_admin' });
    const opened = (position: bigint) => (api.world.unlock = { kind: 'progress', unlock: progress({ deviceId, state: 'opened', position }), repeated: false });
    opened(41n);
    expect((await api.ask('POST', `/api/v1/delivery/link/${token}/unlock`)).status).toBe(200);
    opened(42n);
    expect((await api.ask('POST', `/api/v1/devices/${deviceId}/unlock`, { token: owner.token })).status).toBe(200);
    opened(43n);
    expect((await api.ask('POST', `/api/v1/admin/devices/${deviceId}/unlock`, { token: admin.token, body: { reason: 'Locked out' } })).status).toBe(200);
    expect(fresh.told).toEqual([41n, 42n, 43n]);
  });

  test('who may do what is known before the answer all the same', async () => {
    const admin = api.signIn({ adminRole: 'super_admin' });
    const user = userRow();
    api.world.users.set(user.userId, user);
    const answer = await api.ask('PUT', `/api/v1/admin/users/${user.userId}/suspend`, { token: admin.token, body: { reason: 'Lost phone' } });
    expect(consistency(answer)).toEqual([200, 'pending']);
    expect(fresh.told.length).toBeGreaterThan(0);
  });

  test('any answer says so where the read models stand still', async () => {
    const list = () => api.ask('GET', '/api/v1/devices/my-devices', { token: owner.token });
    expect(consistency(await list())).toEqual([200, null]);
    fresh.behind = true;
    expect(consistency(await list())).toEqual([200, 'pending']);
  });
});
