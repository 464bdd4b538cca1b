import { createApi, type Api } from '../../src/api/api.ts';
import { createApp } from '../../src/api/app.ts';
import { attachLive } from '../../src/api/live.ts';
import type { ApiDeps } from '../../src/api/ports.ts';
import { createHttpServer } from '../../src/api/server.ts';
import type { SessionScope } from '../../src/domain/user/events.ts';
import { newId } from '../../src/platform/ids.ts';
import type { UserRow } from '../../src/projections/read-models.ts';
import { userRow, World } from './world.ts';

export * from './world.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // A test reads whatever the schema promised: `conformance-hook.ts` held the answer against it.
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
      return { status: response.status, headers: response.headers, body: (json ? JSON.parse(text) : undefined) as never, text };
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
