import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => void (api = await startApi()));
afterAll(() => api.stop());

const policyOf = (headers: Headers) => headers.get('content-security-policy') ?? '';

describe('the description as pages', () => {
  test.each(['/docs', '/docs/', '/redoc', '/asyncapi', '/api/docs/', '/api/v1/redoc'])('%s loads nothing from elsewhere and runs nothing inline', async (path) => {
    const { status, headers, text } = await api.ask('GET', path);
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(policyOf(headers)).toContain("default-src 'none'");
    expect(policyOf(headers)).not.toMatch(/unsafe|https?:|\*/);
    expect([...text.matchAll(/(?:src|href)="([^"#]*)"/g)].map(([, address]) => address).filter((address) => address?.startsWith('/') !== true && address !== '')).toEqual([]);
    expect(text).not.toMatch(/<script(?![^>]*src=)|\son\w+=|\sstyle=/);
  });

  test('all that Swagger UI needs is here', async () => {
    const { text } = await api.ask('GET', '/docs');
    const needed = [...text.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(([, path = '']) => path);
    expect(needed).toHaveLength(4);
    for (const path of needed) expect((await api.ask('GET', path)).status, path).toBe(200);
    for (const path of ['/docs/index.html', '/docs/../package.json', '/docs/swagger-ui.js.map']) expect((await api.ask('GET', path)).status, path).toBe(404);
  });

  test('what is large is sent packed', async () => {
    const plain = await api.ask('GET', '/docs/swagger-ui-bundle.js', { headers: { 'accept-encoding': 'identity' } });
    const packed = await api.ask('GET', '/docs/swagger-ui-bundle.js', { headers: { 'accept-encoding': 'gzip' } });
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect(Number(packed.headers.get('content-length'))).toBeLessThan(Number(plain.headers.get('content-length')) / 2);
    expect(packed.text).toBe(plain.text);
  });

  test('every operation and every message can be read', async () => {
    const description = (await api.ask('GET', '/openapi.json')).body as { paths: Record<string, Record<string, { deprecated?: boolean; summary: string }>> };
    const { text } = await api.ask('GET', '/redoc');
    const unread = Object.entries(description.paths).flatMap(([path, item]) =>
      Object.entries(item).flatMap(([name, { deprecated }]) => {
        const method = name.toUpperCase();
        return text.includes(deprecated === true ? `<code>${method} ${path}</code>` : `<span class="verb">${method}</span><code>${path}</code>`) ? [] : [`${method} ${path}`];
      }),
    );
    expect(unread).toEqual([]);
    const messages = (await api.ask('GET', '/asyncapi.json')).body as { channels: Record<string, { address: string }> };
    const page = (await api.ask('GET', '/asyncapi')).text;
    expect(Object.values(messages.channels).filter(({ address }) => !page.includes(`<h3><code>${address}</code></h3>`))).toEqual([]);
    for (const each of [text, page]) {
      const ids = new Set([...each.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
      expect([...each.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id).filter((id) => !ids.has(id))).toEqual([]);
    }
  });

  test('the address of the server alone leads there', async () => {
    const { status, headers } = await api.ask('GET', '/');
    expect([status, headers.get('location')]).toEqual([302, '/docs']);
  });

  test('a page can only be read', async () => {
    const { status, headers } = await api.ask('POST', '/docs');
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
  });
});

test('the status page is one answer that loads nothing, tells nothing, and runs only what is in it', async () => {
  const { status, headers, text } = await api.ask('GET', '/status/projections');
  expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([200, 'text/html; charset=utf-8', 'no-store']);
  expect(policyOf(headers)).toMatch(/^default-src 'none'; style-src 'sha256-[^;]+'; script-src 'sha256-[^;]+'; img-src data:; connect-src 'self'; form-action 'none'/);
  expect(policyOf(headers)).not.toMatch(/unsafe|https?:|\*/);
  expect(text).not.toMatch(/ src=|\son\w+=|\sstyle=|<link(?! rel="icon" href="data:)/);
  expect((await api.ask('POST', '/status/projections')).status).toBe(405);
});
