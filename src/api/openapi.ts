import type { TObject, TSchema } from 'typebox';
import { statusOfCode, type ErrorCode } from './errors.ts';
import { exampleOf } from './examples.ts';
import type { Access, Route, Tag } from './route.ts';
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

/** What an error of each status looks like. */
const errorExamples: Readonly<Partial<Record<number, { readonly message: string; readonly details?: Json }>>> = {
  400: { message: 'Invalid PIN format', details: { pin: 'PIN must be 6 digits' } },
  401: { message: 'Invalid or expired token' },
  403: { message: 'Insufficient permissions' },
  404: { message: 'Device not found' },
  409: { message: 'Device already assigned to another user', details: { reason: 'device_assigned' } },
  413: { message: 'The request body is too large' },
  415: { message: 'The body must be JSON: Content-Type: application/json' },
  422: { message: 'Access link has expired', details: { reason: 'link_expired' } },
  429: { message: 'Too many requests', details: { retry_after: 12 } },
  500: { message: 'An unexpected error occurred' },
  503: { message: 'The service is not available right now. Try again' },
};

const header = (description: string, schema: Json, required = false): Json => ({ description, ...(required ? { required } : {}), schema });
const headers: Readonly<Record<string, Json>> = {
  'X-Request-Id': header('Names this request in logs, and in the events that came of it.', { type: 'string' }, true),
  'X-RateLimit-Limit': header('Requests that are allowed in the present window.', { type: 'integer' }),
  'X-RateLimit-Remaining': header('How many of them are left.', { type: 'integer' }),
  'X-RateLimit-Reset': header('When there are all of them again, in seconds since 1970.', { type: 'integer' }),
  'Retry-After': header('Seconds to wait.', { type: 'integer' }, true),
  'WWW-Authenticate': header('`Bearer` where a token is missing or no longer good.', { type: 'string' }),
  'X-Total-Count': header('Rows of the whole list; with `cursor`, of what is left of it.', { type: 'integer' }, true),
  'X-Next-Cursor': header('`?cursor=` of what follows; absent at the end.', { type: 'string' }),
  Link: header('Addresses of what follows (`rel="next"`) and what was before (`rel="prev"`).', { type: 'string' }),
  'Loqey-Position': header('Of the last event that came of this request; opaque.', { type: 'string' }),
  'Loqey-Count': header('`at_least`: there are more than `X-Total-Count`, which was not counted to its end.', { type: 'string', enum: ['at_least'] }),
  'Loqey-Search': header('`partial`: a name in `q` is that of so many people, boxes, links or couriers that only what happened to the newest of them was looked for; or not all names were looked through, see `Loqey-Search-Since`.', { type: 'string', enum: ['partial'] }),
  'Loqey-Search-Since': header('For `q`, links, couriers and what administrators said were looked through down to this time; `?named_before=` goes on from it. Absent where all were.', { type: 'string', format: 'date-time' }),
  'Loqey-Consistency': header('`pending`: what was changed last may not show yet.', { type: 'string', enum: ['pending'] }),
};
const headersOf = (...names: readonly string[]): Json => Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
const rateLimit = ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset'] as const;

const tags: Readonly<Record<Tag, string>> = {
  authentication: 'Accounts and sessions.',
  devices: "An owner's boxes.",
  'access-links': 'Links that open a box.',
  deliveries: 'What came by links.',
  notifications: 'What an account was told, and by which ways it wants to be told.',
  delivery: 'For couriers: a link and no account.',
  commands: 'How far a request to open has come.',
  'device-adapter': 'For boxes without MQTT, with their own key.',
  admin: 'For administrators.',
  system: 'For operations.',
};

/** OpenAPI 3.1 of the route table. Older names of a route are there, deprecated; the `/api` prefix is a server. */
export function openApiDocument(settings: Pick<ApiSettings, 'name' | 'version'>, table: readonly Route[] = routeTable): Json {
  const schemas: Record<string, unknown> = {};
  plain(ErrorBody, schemas);
  (schemas['Error'] as { properties: Json }).properties['error'] = { type: 'string', enum: Object.keys(statusOfCode) };
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
      description: [
        'Boxes that open for whoever is allowed. Every path below `/api/v1` is served below `/api` too, its older name; what is deprecated here is an older name of something that is not.',
        'What changes something takes an `Idempotency-Key`: a repeat with the same key has its effect once.',
        'Lists are bare arrays by `limit` and `offset` or `cursor`, and have an envelope by `page` and `page_size`.',
        'What is said over WebSockets and MQTT is in `/asyncapi.json`.',
      ].join('\n\n'),
    },
    servers: [{ url: '/', description: 'This server' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        device: { type: 'http', scheme: 'bearer', description: "The box's `http` key, 64 lower hex digits." },
      },
      headers,
      parameters: {
        IdempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          required: false,
          description: 'The same key with the same request has the same effect once, for 24 hours.',
          schema: { type: 'string', maxLength: 255 },
        },
      },
      responses: Object.fromEntries(Object.keys(errorTexts).map((status) => [`Error${status}`, errorResponse(Number(status))])),
      schemas,
    },
  };
}

function operationOf(route: Route, method: string, path: string, alias: boolean, schemas: Record<string, unknown>): Json {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  const parameters = [
    ...names.map((name) => ({ name, in: 'path', required: true, schema: plain(route.params.properties[name] ?? {}, schemas) })),
    ...parametersOf(route.query, schemas),
    ...(route.idempotent ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
  ];
  const own = method === route.method && (path === `/api/v1${route.path}` || route.root === 'only');
  return {
    operationId: own ? route.id : `${route.id}_${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, '_')}`,
    tags: [route.tag],
    summary: route.summary,
    ...(alias ? { deprecated: true } : {}),
    ...accessOf(route.access),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.upload === undefined ? {} : { requestBody: { required: true, content: { [route.upload.contentType]: { schema: plain(route.upload.schema, schemas) } } } }),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: route.bodyOptional !== true, content: { 'application/json': mediaOf('application/json', route.body, alias, schemas) } } }),
    responses: responsesOf(route, alias, schemas),
  };
}

/** Older names have no example of their own: they would double the document. */
function mediaOf(type: string, schema: TSchema, alias: boolean, schemas: Record<string, unknown>): Json {
  const shown = plain(schema, schemas);
  const example = alias || type !== 'application/json' ? undefined : exampleOf(shown as object, schemas);
  const says = example !== undefined && JSON.stringify(example) !== '{}';
  return { schema: shown, ...(says ? { example } : {}) };
}

function errorResponse(status: number): Json {
  const code = (Object.keys(statusOfCode) as ErrorCode[]).find((each) => statusOfCode[each] === status);
  const retry = status === 429 || status === 503 ? ['Retry-After'] : [];
  return {
    description: errorTexts[status],
    headers: headersOf('X-Request-Id', ...(status === 401 ? ['WWW-Authenticate'] : []), ...retry, ...(status === 429 ? rateLimit : [])),
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/Error' },
        example: { error: code, ...errorExamples[status], trace_id: '0198c1de7a107c3e8f004b1d2e3f4a50' },
      },
    },
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
function errorStatuses(route: Route): readonly number[] {
  const open = route.access.kind === 'anyone' || route.access.kind === 'link';
  const statuses = new Set<number>([
    400,
    500,
    503,
    ...(open ? [] : [401, 403]),
    ...(route.limit === 'none' ? [] : [429]),
    ...(route.upload !== undefined ? [413, 415] : []),
    ...(route.body === undefined ? [] : [413, 415]),
    ...(route.idempotent ? [422, 409] : []),
    ...(route.errors ?? []),
  ]);
  return [...statuses].filter((status) => route.replies[status] === undefined).sort((a, b) => a - b);
}

function responsesOf(route: Route, alias: boolean, schemas: Record<string, unknown>): Json {
  const named = headersOf(
    'X-Request-Id',
    ...(route.limit === 'none' ? [] : rateLimit),
    ...('page_size' in route.query.properties ? ['X-Total-Count', 'X-Next-Cursor', 'Link'] : []),
    ...(route.id === 'auditLog' ? ['Loqey-Count', 'Loqey-Search', 'Loqey-Search-Since'] : []),
    ...(route.id === 'exportAuditLog' ? ['Loqey-Search', 'Loqey-Search-Since'] : []),
    ...(route.id === 'adminDevices' ? ['Loqey-Count'] : []),
    'Loqey-Consistency',
    ...(route.method === 'GET' ? [] : ['Loqey-Position']),
  );
  const contentTypes = route.contentTypes?.map((type) => type.split(';', 1)[0] ?? type) ?? ['application/json'];
  const good = Object.entries(route.replies).map(([status, schema]) => [
    status,
    {
      description: (schema as { description?: string }).description ?? route.summary,
      headers: named,
      content: Object.fromEntries(contentTypes.map((type) => [type, mediaOf(type, schema, alias, schemas)])),
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
