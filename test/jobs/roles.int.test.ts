import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { signInAdmin, type Person } from '../support/people.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

// An API and a worker in processes of their own meet in the database alone.

let server: TestPostgres;
let api: RunningApp;
let admin: Person;
const secrets = testSecrets();
let databaseUrl: string;

beforeAll(async () => {
  server = await startPostgres();
  databaseUrl = await server.createDatabase();
  api = await startApp({ databaseUrl, roles: ['api', 'projector'] }, { secrets });
  admin = await signInAdmin(api.url, api.admin);
});
afterAll(async () => {
  await api.stop();
  await server.stop();
});

interface Job {
  readonly name: string;
  readonly state: string;
  readonly runs: number;
}
const sweep = async () => (await admin.api.get<readonly Job[]>('/admin/jobs')).find(({ name }) => name === 'links.sweep');

it('what an API asks for waits until a worker is there', async () => {
  expect(await admin.api.post('/admin/jobs/links.sweep/run', {})).toMatchObject({ started: true });
  expect(await admin.api.post('/admin/jobs/links.sweep/run', {})).toMatchObject({ started: false });
  expect(await sweep()).toMatchObject({ state: 'waiting', runs: 0 });
  const worker = await startApp({ databaseUrl, roles: ['worker'] }, { secrets });
  try {
    await until('it ran', async () => ((await sweep())?.runs ?? 0) >= 1, 40_000);
  } finally {
    await worker.stop();
  }
});
