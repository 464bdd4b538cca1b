import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { openApiDocument } from '../openapi.ts';
import type { ApiSettings } from '../settings.ts';
import type { Page, PageReply, Site } from '../site.ts';
import { asyncApiPage, openApiPage, styleHash, type AsyncApi, type OpenApi } from './reference.ts';

const pack = promisify(gzip);
const asyncApiFile = new URL('../../../contracts/asyncapi.json', import.meta.url);

/** Two files of Swagger UI and its icon: all that is sent of the package. */
const assets: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const startScript = `window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, displayRequestDuration: true, docExpansion: 'none', filter: true, persistAuthorization: false, validatorUrl: null });`;

const html = 'text/html; charset=utf-8';
const json = 'application/json; charset=utf-8';
/** Scripts and styles of this server alone. React sets styles of elements in the document's own model, which needs no exception. */
const swaggerPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const readingPolicy = `default-src 'none'; style-src ${styleHash}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The descriptions of the API and of its messages, for programs and for people. */
export function documentsSite(settings: Pick<ApiSettings, 'name' | 'version'>): Site {
  // Made when somebody asks: most servers are never asked.
  const openApi = () => JSON.stringify(openApiDocument(settings));
  const swaggerPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${settings.name.replaceAll(/[&<]/g, '')}</title><link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png"></head><body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`;

  const pages = new Map<string, Page>();
  const add = (paths: readonly string[], contentType: string, body: () => Promise<string | Buffer> | string, headers: Readonly<Record<string, string>> = {}): void => {
    const pattern = paths[0] ?? '';
    const made = once(async () => {
      const bytes = Buffer.from(await body());
      return { bytes, packed: contentType === 'image/png' ? undefined : await pack(bytes) };
    });
    const page: Page = {
      pattern,
      methods: ['GET'],
      async answer({ req }): Promise<PageReply> {
        const { bytes, packed } = await made();
        const accepts = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
        const encoding: Record<string, string> = packed !== undefined && accepts ? { 'Content-Encoding': 'gzip' } : {};
        return { status: 200, headers: { 'Content-Type': contentType, Vary: 'Accept-Encoding', ...headers, ...encoding }, body: encoding['Content-Encoding'] === undefined || packed === undefined ? bytes : packed };
      },
    };
    for (const path of paths) pages.set(path, page);
  };

  const asyncApi = once(() => readFile(asyncApiFile, 'utf8'));
  add(['/openapi.json', '/api/v1/openapi.json', '/api/openapi.json'], json, openApi);
  add(['/asyncapi.json', '/api/v1/asyncapi.json', '/api/asyncapi.json'], json, asyncApi);
  add(['/docs', '/api/docs', '/api/v1/docs'], html, () => swaggerPage, { 'Content-Security-Policy': swaggerPolicy });
  add(['/docs/start.js'], 'text/javascript; charset=utf-8', () => startScript);
  for (const [file, type] of Object.entries(assets)) {
    add([`/docs/${file}`], type, () => readFile(join(dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json')), file)), { 'Cache-Control': 'public, max-age=3600' });
  }
  add(['/redoc', '/api/redoc', '/api/v1/redoc'], html, () => openApiPage(JSON.parse(openApi()) as OpenApi, '/openapi.json'), { 'Content-Security-Policy': readingPolicy });
  add(['/asyncapi'], html, async () => asyncApiPage(JSON.parse(await asyncApi()) as AsyncApi, '/asyncapi.json'), { 'Content-Security-Policy': readingPolicy });

  // Who types the address of the server alone sees what it has.
  pages.set('/', { pattern: '/', methods: ['GET'], answer: async () => ({ status: 302, headers: { Location: '/docs', 'Content-Type': html }, body: '' }) });

  return { find: (path) => pages.get(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path) };
}

/** Made when it is first asked for, and kept; made again when it failed. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
