import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { expect } from 'vitest';
import { createApi, type Api } from '../../src/api/api.ts';
import { createApp } from '../../src/api/app.ts';
import { attachLive } from '../../src/api/live.ts';
import { openApiDocument } from '../../src/api/openapi.ts';
import type { ApiDeps } from '../../src/api/ports.ts';
import { createHttpServer } from '../../src/api/server.ts';
import type { SessionScope } from '../../src/domain/user/events.ts';
import { newId } from '../../src/platform/ids.ts';
import type { UserRow } from '../../src/projections/read-models.ts';
import { apiSettings, userRow, World } from './world.ts';

export * from './world.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // A test reads whatever the schema promised: each answer was validated against it.
  readonly body: never;
  readonly text: string;
}

export interface Asking {
  readonly token?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
}

export interface TestApi {
  readonly world: World;
  readonly api: Api;
  readonly url: string;
  ask(method: string, path: string, asking?: Asking): Promise<Answer>;
  /** A signed-in account; `user` scope unless it has a role. */
  signIn(over?: Partial<UserRow>, scope?: SessionScope): { readonly userId: string; readonly sessionId: string; readonly token: string };
  stop(): Promise<void>;
}

export async function startApi(over: Partial<ApiDeps> & { readonly world?: World } = {}): Promise<TestApi> {
  const { world = new World(), ...rest } = over;
  const deps = world.deps(rest);
  const api = createApi(deps);
  const http = createHttpServer(createApp(api), (server) => attachLive(server, api), { host: '127.0.0.1', port: 0, logger: deps.logger, drainMs: 1_000 });
  await http.start();
  const url = `http://127.0.0.1:${http.address()?.port}`;
  const conforms = conformance();

  return {
    world,
    api,
    url,
    async ask(method, path, { token, body, headers = {}, raw } = {}) {
      const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const response = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: {
          ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(payload === undefined ? {} : { body: payload }),
      });
      const text = await response.text();
      const json = (response.headers.get('content-type') ?? '').startsWith('application/json') && text !== '';
      const answer: Answer = { status: response.status, headers: response.headers, body: (json ? JSON.parse(text) : undefined) as never, text };
      if (method !== 'HEAD' && method !== 'OPTIONS') conforms(method, path, answer);
      return answer;
    },
    signIn(row = {}, scope = row.adminRole == null ? 'user' : 'admin') {
      const user = userRow(row);
      world.users.set(user.userId, user);
      const sessionId = newId();
      world.sessions.set(sessionId, { sessionId, userId: user.userId, scope, live: true });
      return { userId: user.userId, sessionId, token: api.tokens.sign({ userId: user.userId, sessionId, scope }, user.accessVersion) };
    },
    async stop() {
      await http.stop();
      api.stop();
    },
  };
}

/** Every answer of every test is held against the published description of the API. */
function conformance(): (method: string, path: string, answer: Answer) => void {
  interface Response {
    content: Record<string, { schema: object }>;
  }
  const document = openApiDocument(apiSettings) as {
    paths: Record<string, Record<string, { responses: Record<string, Response | { $ref: string }> }>>;
    components: { responses: Record<string, Response> };
  };
  const ajv = new Ajv2020({ strict: false, validateFormats: true, allErrors: true });
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
  ajv.addSchema({ $id: 'api', components: document.components });
  const patterns = Object.entries(document.paths)
    .map(([path, operations]) => ({ path, operations, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}/?$`) }))
    .sort((a, b) => a.path.split('{').length - b.path.split('{').length);
  const compiled = new Map<object, ReturnType<typeof ajv.compile>>();

  return (method, fullPath, { status, body, text }) => {
    const path = (fullPath.split('?')[0] ?? '').replace(/^\/api\/(?!v1\/)/, '/api/v1/');
    const operation = patterns.find(({ pattern, operations }) => pattern.test(path) && operations[method.toLowerCase()] !== undefined)?.operations[method.toLowerCase()];
    if (operation === undefined) {
      if (!path.endsWith('/openapi.json')) expect(Object.keys(body as object), `${method} ${path} answers an error envelope`).toEqual(expect.arrayContaining(['error', 'message', 'trace_id']));
      return;
    }
    const named = operation.responses[`${status}`];
    const declared = named !== undefined && '$ref' in named ? document.components.responses[named.$ref.split('/').at(-1) ?? ''] : named;
    expect(declared, `${method} ${path} declares ${status}: ${text.slice(0, 300)}`).toBeDefined();
    const schema = declared?.content['application/json']?.schema;
    if (schema === undefined) return;
    let validate = compiled.get(schema);
    if (validate === undefined) {
      validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('#/components/', 'api#/components/')) as object);
      compiled.set(schema, validate);
    }
    expect(validate(body) ? [] : validate.errors, `${method} ${path} ${status} is as declared: ${text.slice(0, 300)}`).toEqual([]);
  };
}

/** Resolves with the next event, or rejects in time for a readable failure. */
export async function soon<T>(promise: Promise<T>, what: string, ms = 5_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
