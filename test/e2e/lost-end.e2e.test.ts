import { afterAll, beforeAll, expect, it } from 'vitest';
import { cleanUp, dataFolder, finish, startServerProcess } from '../support/server-process.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
  await cleanUp();
});

it('read models beyond the end of a restored log stop the start; rebuilt as it says, they let it go on', { timeout: 120_000 }, async () => {
  const url = await postgres.createDatabase();
  const settings = { DATABASE_URL: url, DATA_DIR: await dataFolder({ prepared: false }), PORT: '0', MQTT_BROKER_PORT: '0', ADMIN_PASSWORD: 'a password of this test' };
  const stopped = async () => {
    const server = await startServerProcess(settings);
    server.signal('SIGTERM');
    return (await server.exited).code;
  };
  expect(await stopped()).toBe(0);
  await postgres.connect(url).pool.query('UPDATE work.projections SET position = position + 1000');

  const refused = await finish(['start'], settings);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('the log has lost its end') });
  expect(refused.stderr).toContain('loqey projections rebuild all');

  expect(await finish(['projections', 'rebuild', 'all'], settings)).toMatchObject({ code: 0 });
  expect(await stopped()).toBe(0);
});
