import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openApiDocument } from '../../src/api/openapi.ts';
import { pathsOf } from '../../src/api/router.ts';
import { routeTable } from '../../src/api/table.ts';
import { newId } from '../../src/platform/ids.ts';
import { apiSettings, startApi, type TestApi } from '../support/api.ts';

interface Operation {
  readonly operationId: string;
  readonly deprecated?: boolean;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly security: readonly object[];
}
const document = openApiDocument(apiSettings) as { readonly paths: Record<string, Record<string, Operation>> };
const operations = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })));

/** `npx vitest run test/api/openapi -u` writes it anew. */
test('the published description is the one that this code makes', async () => {
  await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot('../../contracts/openapi.json');
});

test('it is OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)) as Record<string, unknown>);
  expect(errors ?? []).toEqual([]);
  expect(valid).toBe(true);
});

test('its schemas are JSON Schema 2020-12', () => {
  const ajv = new Ajv2020({ strict: true, strictTypes: false });
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
  ajv.addVocabulary(['x-invalid', 'components']);
  const whole = JSON.parse(JSON.stringify(document).replaceAll('"#/components/', '"api#/components/')) as { components: { schemas: Record<string, object> } };
  ajv.addSchema({ $id: 'api', components: whole.components });
  for (const name of Object.keys(whole.components.schemas)) expect(ajv.compile({ $ref: `api#/components/schemas/${name}` }), name).toBeTypeOf('function');
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'schema') ajv.compile(inner as object);
      else visit(inner);
    }
  };
  visit(whole);
});

test('its examples are as its schemas say', () => {
  const ajv = new Ajv2020({ strict: false });
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
  const whole = JSON.parse(JSON.stringify(document)) as { components: object };
  ajv.addSchema({ $id: 'api', components: whole.components });
  let examples = 0;
  const visit = (value: unknown, where: string): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('example' in value && 'schema' in value) {
      examples++;
      const validate = ajv.compile(JSON.parse(JSON.stringify(value.schema).replaceAll('"#/components/', '"api#/components/')) as object);
      // One that does not fit wants a value for its member in src/api/examples.ts.
      expect(validate(value.example) ? [] : validate.errors, where).toEqual([]);
      return;
    }
    for (const [key, inner] of Object.entries(value)) visit(inner, `${where}/${key}`);
  };
  visit(whole, '');
  expect(examples).toBeGreaterThan(routeTable.length);
});

test('every path of the table is in it, older names deprecated, and every operation has a name of its own', () => {
  const expected = routeTable.flatMap((route) => pathsOf(route)).filter(({ path }) => !path.startsWith('/api/') || path.startsWith('/api/v1/'));
  expect(operations).toHaveLength(expected.length);
  for (const { method, path, alias } of expected) expect(document.paths[path]?.[method.toLowerCase()]?.deprecated ?? false, `${method} ${path}`).toBe(alias);
  expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
});

test('parameters of a path are declared; only what is public needs no token', () => {
  for (const { path, method, operation } of operations) {
    const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path').map(({ name }) => name);
    expect(declared, `${method} ${path}`).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
  }
  const open = new Set(operations.filter(({ operation }) => operation.security.length === 0).map(({ path }) => path.replace('/api/v1', '')));
  expect([...open].sort()).toEqual([
    '/admin/auth/login',
    '/auth/login',
    '/auth/refresh',
    '/auth/register',
    '/auth/token/refresh',
    '/delivery/link/{link_token}/info',
    '/delivery/link/{link_token}/status',
    '/delivery/link/{link_token}/unlock',
    '/delivery/{link_token}',
    '/delivery/{link_token}/status',
    '/delivery/{link_token}/unlock',
    '/erasures/{erasure_id}',
    '/health',
    '/health/live',
    '/health/ready',
    '/metrics',
    '/system/version',
    '/version',
  ]);
});

describe('the server', () => {
  let api: TestApi;
  beforeAll(async () => void (api = await startApi()));
  afterAll(() => api.stop());
  const filled = (path: string) => path.replaceAll(/\{\w+\}/g, newId());

  test('serves it', async () => {
    for (const path of ['/openapi.json', '/api/v1/openapi.json']) expect((await api.ask('GET', path)).body).toEqual(JSON.parse(JSON.stringify(document)));
  });

  test('answers what is described, below both prefixes', async () => {
    for (const { path, method } of operations) {
      for (const address of [path, ...(path.startsWith('/api/v1/') ? [path.replace('/api/v1/', '/api/')] : [])]) {
        const { status, body } = await api.ask(method.toUpperCase(), filled(address), { headers: { 'content-type': 'application/json' } });
        expect([404, 405].includes(status) && ['Not found', `${method.toUpperCase()} is not possible here`].includes((body as { message: string }).message), `${method} ${address}: ${status}`).toBe(false);
      }
    }
  });

  test('and nothing else', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const method of ['get', 'post', 'put', 'patch', 'delete'].filter((each) => item[each] === undefined)) {
        // A static name may stand where another path has a parameter: then it is that path's.
        const isOther = operations.some((each) => each.method === method && new RegExp(`^${each.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path));
        if (!isOther) expect((await api.ask(method.toUpperCase(), filled(path))).status, `${method} ${path}`).toBe(405);
      }
    }
    for (const path of ['/api', '/api/v1', '/api/v2/devices', '/api/v1/Devices', '/devices', '/admin', '/api/v1/openapi.yaml']) expect((await api.ask('GET', path)).status, path).toBe(404);
  });
});
