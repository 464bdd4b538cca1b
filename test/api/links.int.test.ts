import decodeQR from 'qr/decode.js';
import { inflateSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { linkTokenHash } from '../../src/api/link-token.ts';
import { newId } from '../../src/platform/ids.ts';
import type { LinkRow } from '../../src/projections/read-models.ts';
import { deviceRow, linkRow, sealed, startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let owner: ReturnType<TestApi['signIn']>;
let deviceId: string;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());
beforeEach(() => {
  owner = api.signIn();
  const device = deviceRow({ ownerId: owner.userId });
  ({ deviceId } = device);
  api.world.forget();
  api.world.devices.set(deviceId, device);
});

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  api.ask(method, path, { token: owner.token, headers, ...(body === undefined ? {} : { body }) });

function put(over: Partial<LinkRow> = {}): LinkRow {
  const row = linkRow({ ownerId: owner.userId, deviceId, ...over });
  api.world.links.set(row.linkId, row);
  return row;
}

describe('lists of links', () => {
  const ids = (answer: { body: never }) => (answer.body as { id: string }[]).map(({ id }) => id);

  test('are of what works and of what is over, by state, by box and by name', async () => {
    const works = put({ name: 'Parcel Friday' });
    const over = put({ status: 'expired', isActive: false, name: 'Groceries' });
    const elsewhere = put({ deviceId: newId(), status: 'used', isActive: false });
    put({ deleted: true });
    expect(ids(await ask('GET', '/api/v1/access/my-links'))).toEqual([works.linkId, over.linkId, elsewhere.linkId]);
    for (const [query, expected] of [
      ['active=true', [works]],
      ['active=false', [over, elsewhere]],
      ['status=used', [elsewhere]],
      ['search=fri', [works]],
      [`device_id=${deviceId.toUpperCase()}&active=false`, [over]],
    ] as const) {
      expect(ids(await ask('GET', `/api/v1/access/my-links?${query}`)), query).toEqual(expected.map(({ linkId }) => linkId));
    }
    expect(ids(await ask('GET', `/api/links/device/${deviceId}?status=expired`))).toEqual([over.linkId]);
    expect(await ask('GET', '/api/v1/access/my-links?status=gone')).toMatchObject({ status: 400, body: { details: { status: 'must be one of: active, expired, used, revoked' } } });
  });

  test('of a box are for whoever has it, or had links of it', async () => {
    expect((await ask('GET', `/api/v1/links/device/${deviceId}`)).body).toEqual([]);
    const foreign = deviceRow({ deviceId: newId(), ownerId: newId() });
    api.world.devices.set(foreign.deviceId, foreign);
    for (const id of [foreign.deviceId, newId()]) {
      expect(await ask('GET', `/api/v1/links/device/${id}`)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Device not found' } });
    }
    put({ deviceId: foreign.deviceId, status: 'revoked', isActive: false });
    expect((await ask('GET', `/api/v1/links/device/${foreign.deviceId}`)).body).toHaveLength(1);
    expect((await ask('GET', `/api/v1/links/device/${foreign.deviceId}?active=true`)).body).toEqual([]);
  });
});

describe('a link that was made a moment ago', () => {
  afterEach(() => void (api.world.catchUp = () => api.world.reached));
  const token = 'M'.repeat(32);
  const made = (): LinkRow => linkRow({ ownerId: owner.userId, deviceId, tokenHash: linkTokenHash(token) });

  test('is found by its owner and its courier once the read models have it, not said not to exist', async () => {
    const link = made();
    api.world.catchUp = () => api.world.links.set(link.linkId, link).has(link.linkId);
    expect(await ask('GET', `/api/v1/access/links/${link.linkId}`)).toMatchObject({ status: 200, body: { id: link.linkId } });
    api.world.forget();
    expect((await ask('POST', `/api/v1/access/links/${link.linkId}/deactivate`)).status).toBe(200);
    api.world.forget();
    expect((await api.ask('GET', `/api/v1/delivery/link/${token}/info`)).status).toBe(200);
  });

  test('is nobody’s to deny while the read models are behind', async () => {
    api.world.catchUp = () => false;
    for (const answer of [await ask('GET', `/api/v1/access/links/${newId()}`), await api.ask('GET', `/api/v1/delivery/link/${token}/info`)]) {
      expect(answer).toMatchObject({ status: 503, body: { error: 'unavailable', message: 'What was written last cannot be read yet. Try again' } });
    }
  });
});

describe('hours of a link', () => {
  const window = { time_zone: 'Europe/Istanbul', days: [1, 3, 5], from: '22:00', to: '02:00' };

  test('are given when it is made, and changed and taken away later', async () => {
    const created = await ask('POST', '/api/v1/access/create-link', { device_id: deviceId, window, require_identity: true, starts_at: '2026-11-21T12:00:00Z' });
    expect(created.status).toBe(200);
    const wire = { timeZone: 'Europe/Istanbul', days: [1, 3, 5], from: '22:00', to: '02:00' };
    expect(api.world.commands.at(-1)?.command).toMatchObject({ type: 'CreateLink', data: { window: wire, requireIdentity: true, startsAt: '2026-11-21T12:00:00.000Z' } });
    const { linkId } = put();
    expect((await ask('PUT', `/api/v1/access/links/${linkId}`, { window })).status).toBe(200);
    expect(api.world.commands.at(-1)?.command).toMatchObject({ type: 'UpdateLink', data: { linkId, window: wire } });
    await ask('PUT', `/api/v1/access/links/${linkId}`, { window: null });
    expect(api.world.commands.at(-1)?.command).toMatchObject({ type: 'UpdateLink', data: { linkId, window: 'always' } });
    await ask('PUT', `/api/v1/access/links/${linkId}`, { name: 'Other' });
    expect(api.world.commands.at(-1)?.command.data).not.toHaveProperty('window');
  });

  test.each([
    [{ ...window, time_zone: 'Mars/Olympus' }, 'window.time_zone', 'must be an IANA time zone such as Europe/Istanbul'],
    [{ ...window, to: '22:00' }, 'window.to', 'must be another time than from'],
    [{ ...window, from: '24:00' }, 'window.from', 'must be HH:MM'],
    [{ ...window, days: [] }, 'window.days', 'must NOT have fewer than 1 items'],
    [{ ...window, days: [0] }, 'window.days.0', 'must be >= 1'],
    [{ ...window, days: [1, 1] }, 'window.days', 'must NOT have duplicate items (items ## 1 and 0 are identical)'],
    [{ ...window, surprise: 1 }, 'window.surprise', 'is not known here'],
  ])('%j is refused', async (wrong, field, text) => {
    expect(await ask('POST', '/api/v1/access/create-link', { device_id: deviceId, window: wrong })).toMatchObject({ status: 400, body: { error: 'validation_error', details: { [field]: text } } });
    expect(api.world.commands).toEqual([]);
  });
});

test.each(['2026-11-22T23:59:60Z', '2026-02-30T10:00:00Z', '2026-11-22T10:00:00'])('an end at %s, which no clock here shows, is refused', async (expiresAt) => {
  expect(await ask('POST', '/api/v1/access/create-link', { device_id: deviceId, expires_at: expiresAt })).toMatchObject({ status: 400, body: { error: 'validation_error', details: { expires_at: expect.any(String) as string } } });
});

describe('the image of a link', () => {
  const TOKEN = 'Q'.repeat(32);
  let link: LinkRow;
  beforeEach(() => {
    link = put({ tokenHash: linkTokenHash(TOKEN), token: sealed(TOKEN) });
  });
  const image = async (query = '', accept?: string, token = owner.token) => {
    const response = await fetch(`${api.url}/api/v1/access/links/${link.linkId}/qr${query}`, { headers: { authorization: `Bearer ${token}`, ...(accept === undefined ? {} : { accept }) } });
    return { status: response.status, headers: response.headers, type: response.headers.get('content-type'), bytes: Buffer.from(await response.arrayBuffer()) };
  };
  const address = `https://app.loqey.com/unlock/${TOKEN}`;

  test('says its address, as SVG and as PNG, and is not kept', async () => {
    const png = await image('?format=png');
    expect([png.status, png.type, png.headers.get('cache-control'), png.headers.get('content-length')]).toEqual([200, 'image/png', 'no-store', `${png.bytes.length}`]);
    expect(read(pngPixels(png.bytes))).toBe(address);
    const svg = await image('?format=svg');
    expect([svg.status, svg.type, svg.headers.get('cache-control')]).toEqual([200, 'image/svg+xml', 'no-store']);
    expect(read(svgPixels(svg.bytes.toString()))).toBe(address);
    expect(svg.bytes.toString()).not.toContain(TOKEN);
  });

  test.each([
    ['', undefined, 'image/svg+xml'],
    ['', '*/*', 'image/svg+xml'],
    ['', 'image/png', 'image/png'],
    ['', 'image/webp,image/png;q=0.9,image/svg+xml;q=0.5', 'image/png'],
    ['', 'text/html', 'image/svg+xml'],
    ['?format=svg', 'image/png', 'image/svg+xml'],
  ])('%s with Accept %s is %s', async (query, accept, type) => {
    expect((await image(query, accept)).type).toBe(type);
  });

  test('is there by the token and by the older name; HEAD says how long it is', async () => {
    for (const path of [`/api/v1/access/links/${TOKEN}/qr`, `/api/links/${link.linkId}/qr/`]) {
      expect((await fetch(api.url + path, { headers: { authorization: `Bearer ${owner.token}` } })).status, path).toBe(200);
    }
    const head = await fetch(`${api.url}/api/v1/access/links/${link.linkId}/qr?format=png`, { method: 'HEAD', headers: { authorization: `Bearer ${owner.token}` } });
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(200);
  });

  test.each([
    ['expired', 'Access link has expired'],
    ['used', 'Access link has already been used'],
    ['revoked', 'Access link was cancelled'],
  ] as const)('of a link that is %s is refused', async (status, message) => {
    api.world.links.set(link.linkId, { ...link, status, isActive: false });
    expect(await ask('GET', `/api/v1/access/links/${link.linkId}/qr`)).toMatchObject({ status: 422, body: { error: 'unprocessable', message, details: { reason: `link_${status}` } } });
  });

  test('is for the owner alone', async () => {
    expect((await image('', undefined, api.signIn().token)).status).toBe(404);
    expect((await image('', undefined, api.signIn({ adminRole: 'super_admin' }).token)).status).toBe(404);
    expect(await ask('GET', `/api/v1/access/links/${newId()}/qr`)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Access link not found' } });
    expect((await ask('GET', `/api/v1/access/links/${link.linkId}/qr?format=gif`)).status).toBe(400);
    expect((await ask('GET', `/api/v1/access/links/${link.linkId}/qr?size=9`)).body).toMatchObject({ details: { size: 'is not known here' } });
  });

  test('is refused once the key of its owner is gone', async () => {
    api.world.links.set(link.linkId, { ...link, token: { ...sealed(''), c: '' } });
    expect(await ask('GET', `/api/v1/access/links/${link.linkId}/qr`)).toMatchObject({ status: 422, body: { message: 'This link can no longer be shown' } });
  });
});

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

const read = (pixels: Pixels) => decodeQR(pixels);

function paint(size: number, dark: (x: number, y: number) => boolean): Pixels {
  const data = new Uint8Array(size * size * 4);
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) data.set(dark(x, y) ? [0, 0, 0, 255] : [255, 255, 255, 255], (y * size + x) * 4);
  return { width: size, height: size, data };
}

/** What a reader of images sees: the header, then the rows of bits. */
function pngPixels(png: Buffer): Pixels {
  const size = png.readUInt32BE(16);
  const start = png.indexOf('IDAT') + 4;
  const rows = inflateSync(png.subarray(start, start + png.readUInt32BE(start - 8)));
  const stride = 1 + size / 8;
  return paint(size, (x, y) => ((rows[y * stride + 1 + (x >> 3)] ?? 0) & (0x80 >> (x & 7))) === 0);
}

/** The runs of the second path, eight pixels for each module. */
function svgPixels(svg: string): Pixels {
  const modules = Number(/viewBox="0 0 (\d+)/.exec(svg)?.[1]);
  const runs = [...(/<path d="([^"]+)"/.exec(svg)?.[1] ?? '').matchAll(/M(\d+) (\d+)h(\d+)/g)].map(([, x, y, length]) => [Number(x), Number(y), Number(length)] as const);
  const dark = new Set(runs.flatMap(([x, y, length]) => Array.from({ length }, (_, i) => `${x + i},${y}`)));
  return paint(modules * 8, (x, y) => dark.has(`${x >> 3},${y >> 3}`));
}
