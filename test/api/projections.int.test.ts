import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReadModelUnavailable } from '../../src/projections/schemas.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { projectionBoard } from '../support/projection-board.ts';

let api: TestApi;
const board = projectionBoard();

beforeAll(async () => {
  api = await startApi({ projections: board });
});
afterAll(() => api.stop());

const base = '/api/v1/admin/projections';

describe('read models', () => {
  it('are shown to administrators with how far they are and what is built', async () => {
    const { token } = api.signIn({ adminRole: 'support' });
    const { status, body } = await api.ask('GET', base, { token });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      head: '42',
      projections: [
        { name: 'audit', group: 'background', state: 'stopped', lag_seconds: 70, error: { position: '42', event_id: '0198c1de-7a00-7111-8222-333344445555', type: 'LinkCreated', message: 'no such row' } },
        { name: 'devices', state: 'running', position: '41', behind: 1, generation: 3, size_bytes: 65_536, error: null, run: null, generations: [{ generation: 2, state: 'retired', until: '2026-11-22T09:00:00.000Z', resumable: true }, { state: 'active', until: null }] },
        { name: 'links', state: 'outdated', version: 2, program_version: 3, run: { action: 'rebuild', state: 'running', kind: 'upgrade', progress: { phase: 'load', percent: 42, events: 420, events_total: 1_000, per_second: 40, seconds_left: 15 } } },
      ],
    });
    expect((await api.ask('GET', `${base}/devices`, { token })).body).toMatchObject({ name: 'devices', generation: 3 });
    expect(await api.ask('GET', `${base}/weather`, { token })).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Read model not found' } });
  });

  it('are rebuilt, compared, switched and gone back to by whoever may, in that name', async () => {
    const admin = api.signIn({ adminRole: 'admin' });
    const post = (path: string, body?: object) => api.ask('POST', `${base}/${path}`, { token: admin.token, ...(body === undefined ? {} : { body }) });
    expect(await post('devices/rebuild')).toMatchObject({ status: 202, body: { id: expect.any(String) as unknown, action: 'rebuild', projections: ['devices'], state: 'waiting', progress: null, results: null } });
    await post('all/rebuild', { switch: false, compare: true });
    await post('devices/compare');
    await post('devices/switch', { generation: 4, accept_differences: true });
    await post('devices/rollback');
    await post('links/cancel');
    expect(await post('audit/skip', { position: '42', reason: 'a row that was lost' })).toMatchObject({ status: 200, body: { name: 'audit' } });
    expect(board.asked.map(({ what, options }) => [what, options])).toEqual([
      ['rebuild devices', {}],
      ['rebuild all', { switch: false, compare: true }],
      ['compare devices', {}],
      ['switch devices', { generation: 4, acceptDifferences: true }],
      ['rollback devices', {}],
      ['cancel links', {}],
      ['skip audit', { position: '42', reason: 'a row that was lost' }],
    ]);
    expect(new Set(board.asked.map(({ context }) => context.actor.id))).toEqual(new Set([admin.userId]));
  });

  it('refuse with words what cannot be done, and who may not', async () => {
    const { token } = api.signIn({ adminRole: 'admin' });
    const post = (path: string, body?: object) => api.ask('POST', `${base}/${path}`, { token, ...(body === undefined ? {} : { body }) });
    expect(await post('links/rebuild')).toMatchObject({ status: 409, body: { error: 'conflict', message: 'A rebuild of links is under way already' } });
    expect(await post('audit/rollback')).toMatchObject({ status: 409, body: { message: 'audit has no former generation to go back to: they are kept for 24 hours.' } });
    expect(await post('devices/cancel')).toMatchObject({ status: 409, body: { message: 'Nothing waits or runs for devices' } });
    expect(await post('devices/skip', { position: '42', reason: 'x' })).toMatchObject({ status: 409 });
    expect(await post('devices/skip', { position: 'x', reason: 'x' })).toMatchObject({ status: 400, body: { error: 'validation_error' } });
    expect(await post('devices/skip', { position: '42' })).toMatchObject({ status: 400 });
    expect(await post('devices/switch', { generation: 0 })).toMatchObject({ status: 400 });
    expect(await post('devices/rebuild', { quickly: true })).toMatchObject({ status: 400 });
    for (const path of ['rebuild', 'compare', 'switch', 'rollback', 'cancel', 'skip']) {
      expect(await post(`weather/${path}`, path === 'skip' ? { position: '1', reason: 'x' } : {}), path).toMatchObject({ status: 404, body: { message: 'Read model not found' } });
      const body = path === 'skip' ? { position: '1', reason: 'x' } : {};
      expect((await api.ask('POST', `${base}/devices/${path}`, { token: api.signIn({ adminRole: 'support' }).token, body })).status, path).toBe(403);
      expect((await api.ask('POST', `${base}/devices/${path}`, { body })).status, path).toBe(401);
    }
    expect((await api.ask('GET', base, { token: api.signIn().token })).status).toBe(403);
  });

  it('that are not built yet are said to be, with when to ask again', async () => {
    const { token } = api.signIn({ adminRole: 'admin' });
    const broken = await startApi({
      world: api.world,
      projections: { ...board, status: () => Promise.reject(new ReadModelUnavailable('audit', { done: 420, total: 1_000, secondsLeft: 200 })) },
    });
    const answer = await broken.ask('GET', base, { token });
    expect(answer).toMatchObject({ status: 503, body: { error: 'unavailable', message: 'The read model audit is being built: 42 %, about 4 min left. Try again' } });
    expect(answer.headers.get('retry-after')).toBe('60');
    await broken.stop();
  });
});
