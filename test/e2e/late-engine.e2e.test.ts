import { afterAll, beforeAll, expect, it } from 'vitest';
import { cleanUp, dataFolder, run } from '../support/server-process.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
  await cleanUp();
});

it('waits for a database that comes up after it', { timeout: 120_000 }, async () => {
  const url = new URL(await postgres.createDatabase());
  const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  url.port = `${proxy.port}`;
  url.search = ''; // not through the server's socket
  proxy.refuse();
  const server = run(['start', '--json'], { DATABASE_URL: url.href, DATA_DIR: await dataFolder({ prepared: false }), PORT: '0', MQTT_BROKER_PORT: '0', ADMIN_PASSWORD: 'a password of this test' });
  const told = (event: string) => () => server.stdout.split('\n').some((line) => line.startsWith(`{"event":"${event}"`));
  await until('it to say that it waits', told('waiting'), 60_000);
  proxy.pass();
  await until('it to be ready', told('ready'), 60_000);
  server.signal('SIGTERM');
  expect((await server.exited).code).toBe(0);
  await proxy.close();
});
