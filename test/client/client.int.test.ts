import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest';
import { clientSchema } from '../../scripts/client.ts';
import { createClient, UnexpectedAnswer, type Args, type Client, type Reply } from '../../src/client/client.ts';
import { operations } from '../../src/client/schema.ts';
import { routeTable } from '../../src/api/table.ts';
import { deviceRow, startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let anyone: Client;
let owner: Client;
let deviceId: string;

beforeAll(async () => {
  api = await startApi();
  const { userId, token } = api.signIn();
  const row = deviceRow({ ownerId: userId });
  ({ deviceId } = row);
  api.world.devices.set(deviceId, row);
  anyone = createClient({ baseUrl: `${api.url}/` });
  owner = anyone.as(token);
});
afterAll(() => api.stop());

describe('the generated types', () => {
  /** `npm run client:print > src/client/schema.ts` makes them anew. */
  test('are those that the description makes', () => {
    expect(readFileSync(new URL('../../src/client/schema.ts', import.meta.url), 'utf8')).toBe(clientSchema());
  });

  test('name every route', () => {
    expect(Object.keys(operations).sort()).toEqual(routeTable.map(({ id }) => id).sort());
  });

  test('know what is required, and what comes back', () => {
    expectTypeOf<Args<'getLink'>['params']>().toEqualTypeOf<{ readonly link_id: string }>();
    expectTypeOf<Args<'createLink'>['body']['max_uses']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Reply<'deviceStatus'>['battery_level']>().toEqualTypeOf<number | null>();
    // @ts-expect-error a body is needed
    void (() => owner.ask('createLink'));
    // @ts-expect-error it has no such member
    void (() => owner.ask('createLink', { body: { device_id: deviceId, uses: 1 } }));
  });
});

describe('the client', () => {
  test('fills in paths and queries, and has the token', async () => {
    const status = await owner.ask('deviceStatus', { params: { device_id: deviceId } });
    expect(status.device_id).toBe(deviceId);
    expect((await owner.list('myDevices', { query: { limit: 1, offset: 0 } })).map(({ id }) => id)).toEqual([deviceId]);
  });

  test('an error is an answer to `call`, and thrown by `ask`', async () => {
    const answer = await anyone.call('myDevices');
    expect(answer.ok ? undefined : [answer.status, answer.body.error]).toEqual([401, 'unauthorized']);
    await expect(anyone.ask('myDevices')).rejects.toThrow(UnexpectedAnswer);
    await expect(anyone.ask('myDevices')).rejects.toMatchObject({ operation: 'myDevices', status: 401, body: { error: 'unauthorized' } });
  });

  test('a page is not taken for a list', async () => {
    expect(await owner.ask('myDevices', { query: { page: 1 } })).toMatchObject({ count: 1, results: [{ id: deviceId }] });
    await expect(owner.list('myDevices', { query: { page: 1 } })).rejects.toThrow(TypeError);
  });

  test('a name in a path is escaped', async () => {
    expect((await anyone.call('linkInfo', { params: { link_token: '../../health' } })).status).toBe(404);
  });

  test('what is not JSON comes as it is', async () => {
    expect(await anyone.ask('metrics')).toContain('# HELP');
  });
});
