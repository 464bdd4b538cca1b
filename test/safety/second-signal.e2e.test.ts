import { connect } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { cleanUp, dataFolder, postgresPid, processesOf, run, startServerProcess } from '../support/server-process.ts';
import { until } from '../support/until.ts';

afterAll(cleanUp);

test('a second Ctrl+C waits for nothing and leaves no database server behind; the next start is an ordinary one', async () => {
  const folder = await dataFolder();
  const settings = { DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0' };
  const server = await startServerProcess(settings);
  expect(processesOf(folder).length).toBeGreaterThan(0);

  // A request whose body never comes: the stop would wait for it.
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n{');
  await new Promise((resolve) => socket.once('data', resolve));
  server.signal('SIGINT');
  await until('the stop to begin', () => fetch(`${server.url}/health/live`).then(() => false, () => true));
  expect(postgresPid(folder)).toBeGreaterThan(0);
  server.signal('SIGINT');
  expect((await server.exited).code).toBe(130);
  await until('the database server to be gone', () => processesOf(folder).length === 0, 20_000);

  const again = await startServerProcess(settings);
  again.signal('SIGTERM');
  expect((await again.exited).code).toBe(0);
  expect(processesOf(folder)).toEqual([]);
});

test('two Ctrl+C during the start leave nothing behind either', async () => {
  const folder = await dataFolder();
  const server = run(['start'], { DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0' });
  await until('the database server to run', () => processesOf(folder).length > 0, 30_000);
  server.signal('SIGINT');
  await until('the stop to be asked for', () => server.stderr.includes('Stopping') || server.stdout.includes('Stopping'));
  server.signal('SIGINT');
  expect((await server.exited).code).toBe(130);
  await until('the database server to be gone', () => processesOf(folder).length === 0, 20_000);
});
