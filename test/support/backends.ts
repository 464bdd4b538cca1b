import { afterAll, afterEach, beforeAll } from 'vitest';
import { startBackend, type Backend, type BackendOptions } from './backend.ts';
import { startPostgres, type TestPostgres } from './servers.ts';

export interface Backends {
  readonly server: TestPostgres;
  /** Stopped after the test that started it. Default database: the file's, or one of its own with `each`. */
  start(options?: Partial<BackendOptions>): Promise<Backend>;
}

/** For one test file: its PostgreSQL, and the backends that its tests start. `each`: every backend has a database of its own unless it brings one. */
export function useBackends(databases: 'shared' | 'each' = 'shared'): Backends {
  const started: Backend[] = [];
  let server: TestPostgres;
  let shared: string | undefined;

  beforeAll(async () => {
    server = await startPostgres();
    if (databases === 'shared') shared = await server.migratedDatabase();
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((backend) => backend.stop()));
  });
  afterAll(() => server.stop());

  return {
    get server() {
      return server;
    },
    async start(options = {}) {
      const url = options.url ?? shared ?? (await server.migratedDatabase());
      const backend = await startBackend(server, { ...options, url });
      started.push(backend);
      return backend;
    },
  };
}
