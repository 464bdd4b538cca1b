import type { TObject, TSchema } from 'typebox';
import type { Access, Route } from './route.ts';
import { pathsOf } from './router.ts';
import { ErrorBody } from './schemas/common.ts';
import type { ApiSettings } from './settings.ts';
import { routeTable } from './table.ts';

type Json = Record<string, unknown>;

const errorTexts: Readonly<Record<number, string>> = {
  400: 'Something in the request is not as it must be; `details` names it.',
  401: 'No access token, or one that is no longer good.',
  403: 'Not allowed.',
  404: 'There is no such thing, or it is not yours.',
  409: 'It conflicts with how things stand now.',
  413: 'The body is too large.',
  415: 'The body is not JSON in UTF-8.',
  422: 'It cannot be done as things are; `details.reason` says why.',
  429: 'Too many requests; `Retry-After` says when to come back.',
  500: 'Our fault; `trace_id` finds it.',
  503: 'Not available right now; try again.',
};

const tags = [
  { name: 'authentication', description: 'Accounts and sessions.' },
  { name: 'devices', description: "An owner's boxes." },
  { name: 'access-links', description: 'Links that open a box.' },
  { name: 'deliveries', description: 'What came by links.' },
  { name: 'delivery', description: 'For couriers: a link and no account.' },
  { name: 'commands', description: 'How far a request to open has come.' },
  { name: 'device-adapter', description: 'For boxes without MQTT, with their own key.' },
  { name: 'admin', description: 'For administrators.' },
  { name: 'system', description: 'For operations.' },
];

/** OpenAPI 3.1 of the route table. Older names of a route are there, deprecated; the `/api` prefix is a server. */
export function openApiDocument(settings: Pick<ApiSettings, 'name' | 'version'>, table: readonly Route[] = routeTable): Json {
  const schemas: Record<string, unknown> = {};
  plain(ErrorBody, schemas);
  const paths: Record<string, Json> = {};
  for (const route of table) {
    for (const { method, path, alias } of pathsOf(route)) {
      if (path.startsWith('/api/') && !path.startsWith('/api/v1/')) continue;
      const item = (paths[path] ??= {});
      item[method.toLowerCase()] = operationOf(route, method, path, alias, schemas);
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: settings.name,
      version: settings.version,
      description: 'Every path below `/api/v1` is served below `/api` too, its older name.',
    },
    tags,
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        device: { type: 'http', scheme: 'bearer', description: "The box's `http` key, 64 lower hex digits." },
      },
      responses: Object.fromEntries(
        Object.entries(errorTexts).map(([status, description]) => [
          `Error${status}`,
          { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
        ]),
      ),
      schemas,
    },
  };
}

function operationOf(route: Route, method: string, path: string, alias: boolean, schemas: Record<string, unknown>): Json {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  const parameters = [
    ...names.map((name) => ({ name, in: 'path', required: true, schema: plain(route.params.properties[name] ?? {}, schemas) })),
    ...parametersOf(route.query, schemas),
    ...(route.idempotent
      ? [{
          name: 'Idempotency-Key',
          in: 'header',
          required: false,
          description: 'The same key with the same request has the same effect once, for 24 hours.',
          schema: { type: 'string', maxLength: 255 },
        }]
      : []),
  ];
  const own = method === route.method && (path === `/api/v1${route.path}` || route.root === 'only');
  return {
    operationId: own ? route.id : `${route.id}_${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, '_')}`,
    tags: [route.tag],
    summary: route.summary,
    ...(alias ? { deprecated: true } : {}),
    ...accessOf(route.access),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: route.bodyOptional !== true, content: { 'application/json': { schema: plain(route.body, schemas) } } } }),
    responses: responsesOf(route, schemas),
  };
}

function parametersOf(query: TObject, schemas: Record<string, unknown>): Json[] {
  const required = new Set<string>((query as { required?: string[] }).required ?? []);
  return Object.entries(query.properties).map(([name, schema]) => ({ name, in: 'query', required: required.has(name), schema: plain(schema, schemas) }));
}

function accessOf(access: Access): Json {
  switch (access.kind) {
    case 'anyone':
    case 'link':
      return { security: [] };
    case 'account':
      return { security: [{ bearer: [] }] };
    case 'device':
      return { security: [{ device: [] }] };
    case 'admin':
      return { security: [{ bearer: [] }], 'x-permission': access.permission };
  }
}

/** Statuses of the error envelope that a route can answer, those that follow from its row included. */
export function errorStatuses(route: Route): readonly number[] {
  const open = route.access.kind === 'anyone' || route.access.kind === 'link';
  const statuses = new Set<number>([
    400,
    500,
    503,
    ...(open ? [] : [401, 403]),
    ...(route.limit === 'none' ? [] : [429]),
    ...(route.body === undefined ? [] : route.rawBody === true ? [413] : [413, 415]),
    ...(route.idempotent ? [422, 409] : []),
    ...(route.errors ?? []),
  ]);
  return [...statuses].filter((status) => route.replies[status] === undefined).sort((a, b) => a - b);
}

function responsesOf(route: Route, schemas: Record<string, unknown>): Json {
  const contentTypes = route.contentTypes?.map((type) => type.split(';', 1)[0] ?? type) ?? ['application/json'];
  const good = Object.entries(route.replies).map(([status, schema]) => [
    status,
    {
      description: (schema as { description?: string }).description ?? route.summary,
      content: Object.fromEntries(contentTypes.map((type) => [type, { schema: plain(schema, schemas) }])),
    },
  ]);
  const bad = errorStatuses(route).map((status) => [`${status}`, { $ref: `#/components/responses/Error${status}` }]);
  return Object.fromEntries([...good, ...bad]) as Json;
}

/** Schemas without the marks of their library; one with a title becomes a component and is referred to. */
function plain(schema: TSchema | object, schemas: Record<string, unknown>): unknown {
  return refer(JSON.parse(JSON.stringify(schema)), schemas);
}

function refer(value: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((each) => refer(each, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const inner = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, refer(each, schemas)]));
  // A member that is named `title` is a schema, not a text.
  if (typeof inner['title'] !== 'string') return inner;
  schemas[inner['title']] ??= inner;
  return { $ref: `#/components/schemas/${inner['title']}` };
}
