import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { linkTokenHash } from '../../src/api/link-token.ts';
import type { Route } from '../../src/api/route.ts';
import { pathsOf } from '../../src/api/router.ts';
import { routeTable } from '../../src/api/table.ts';
import { permissionsOf } from '../../src/api/permissions.ts';
import { newId } from '../../src/platform/ids.ts';
import { deviceRow, linkRow, startApi, unlockRow, type TestApi } from '../support/api.ts';

const TOKEN = 'A'.repeat(32);
const NOBODYS = '00000000-0000-4000-8000-000000000002';

/** Bodies that are good enough to get past validation: the matrix is about who, not what. */
const bodies: Readonly<Record<string, object>> = {
  assignDevice: { serial_number: 'LB-004471', pin: '123456' },
  changeDevice: { name: 'Front door' },
  changeProfile: { zip_code: '35' },
  changePassword: { old_password: 'correct horse', new_password: 'another horse' },
  createLink: { device_id: '00000000-0000-4000-8000-000000000001' },
  updateLink: { max_uses: 2 },
  createAdmin: { email: 'new.admin@example.com' },
  registerDevice: { serial_number: 'LB-004472' },
  eraseMe: { password: 'correct horse', confirm: 'ana@example.com' },
  eraseUser: { confirm: 'ana@example.com', ground: 'requested' },
  acceptDeliveries: { reason: 'a trusted street' },
};

describe('who may call what', () => {
  let api: TestApi;
  let deviceId: string;
  let linkId: string;
  let unlockId: string;
  let ownerId: string;
  /** Whom administrators look at and suspend: nobody who is signed in. */
  let subjectId: string;
  const tokens: Record<string, string | undefined> = {};

  beforeAll(async () => {
    api = await startApi();
    const owner = api.signIn();
    ownerId = owner.userId;
    subjectId = api.signIn().userId;
    const device = deviceRow({ ownerId });
    const link = linkRow({ ownerId, deviceId: device.deviceId, tokenHash: linkTokenHash(TOKEN) });
    const unlock = unlockRow({ deviceId: device.deviceId, cause: { kind: 'owner', id: ownerId } });
    ({ deviceId } = device);
    ({ linkId } = link);
    ({ unlockId } = unlock);
    api.world.devices.set(deviceId, device);
    api.world.links.set(linkId, link);
    api.world.unlocks.set(unlockId, unlock);
    api.world.deliveries.set(unlockId, { ...unlock, linkId, linkName: null, ownerId, courier: null });
    tokens['none'] = undefined;
    tokens['wrong'] = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.wrong';
    tokens['user'] = owner.token;
    tokens['other user'] = api.signIn().token;
    tokens['support'] = api.signIn({ adminRole: 'support' }).token;
    tokens['admin'] = api.signIn({ adminRole: 'admin' }).token;
    tokens["admin in a user's session"] = api.signIn({ adminRole: 'admin' }, 'user').token;
  });
  afterAll(() => api.stop());

  const fill = (path: string) =>
    path
      .replace('{device_id}', deviceId)
      .replace('{link_id}', linkId)
      .replace('{link_token}', TOKEN)
      .replace('{user_id}', subjectId)
      .replace('{command_id}', unlockId)
      .replace('{unlock_id}', unlockId)
      .replace('{delivery_id}', unlockId)
      .replace('{session_id}', NOBODYS)
      .replace('{notification_id}', NOBODYS)
      .replace('{event_id}', NOBODYS)
      .replace('{name}', 'links.sweep');

  /** What an account without a right must never see: success. `mine` = the path names a thing of `user`. */
  function expected(route: Route, who: string): (status: number) => boolean {
    const { access } = route;
    if (access.kind === 'anyone' || access.kind === 'link') return (status) => status !== 401 && status !== 403;
    if (who === 'none' || who === 'wrong') return (status) => status === 401;
    if (access.kind === 'account') return (status) => status !== 401 && status !== 403;
    // A box's own key, and nobody's account.
    if (access.kind === 'device') return (status) => status === 401;
    const role = who === 'support' || who === 'admin' ? who : null;
    return permissionsOf(role, []).has(access.permission) ? (status) => status !== 401 && status !== 403 : (status) => status === 403;
  }

  // These end the session that the other rows are tried with.
  const endsSessions = new Set(['logout', 'changePassword']);
  const rows = routeTable.filter((route) => !endsSessions.has(route.id)).flatMap((route) => pathsOf(route).map((each) => ({ route, ...each })));

  test.each(rows.map((row) => [`${row.method} ${row.path}`, row] as const))('%s', async (_name, { route, method, path }) => {
    for (const [who, token] of Object.entries(tokens)) {
      const body = bodies[route.id];
      const { status } = await api.ask(method, fill(path), { token, ...(route.id === 'importDevices' ? { raw: 'serial_number\n', headers: { 'content-type': 'text/csv' } } : body === undefined ? {} : { body }) });
      expect(expected(route, who)(status), `${who}: ${status}`).toBe(true);
    }
  });

  test("another user's things do not exist", async () => {
    const token = tokens['other user'];
    const paths = [
      `/api/v1/devices/${deviceId}`,
      `/api/v1/devices/${deviceId}/status`,
      `/api/v1/devices/${deviceId}/activity`,
      `/api/v1/access/links/${linkId}`,
      `/api/v1/access/links/${TOKEN}`,
      `/api/v1/deliveries/${unlockId}`,
      `/api/v1/commands/${unlockId}`,
    ];
    for (const path of paths) {
      expect((await api.ask('GET', path, { token: tokens['user'] })).status, path).toBe(200);
      const theirs = await api.ask('GET', path, { token });
      const nobodys = await api.ask('GET', path.replace(deviceId, newId()).replace(linkId, newId()).replace(unlockId, newId()).replace(TOKEN, 'B'.repeat(32)), { token });
      expect(theirs.status, path).toBe(404);
      expect({ ...(theirs.body as object), trace_id: '' }, path).toEqual({ ...(nobodys.body as object), trace_id: '' });
    }
    expect((await api.ask('PUT', `/api/v1/devices/${deviceId}/lock`, { token })).status).toBe(404);
    expect((await api.ask('DELETE', `/api/v1/access/links/${linkId}`, { token })).status).toBe(404);
  });
});
