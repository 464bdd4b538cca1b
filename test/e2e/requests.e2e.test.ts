import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import type { Provisioning } from '../../src/simulator/provisioning.ts';
import { filler, readHttpFile } from '../support/http-file.ts';
import { cleanUp, dataFolder, startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { until } from '../support/until.ts';

// contracts/requests.http, sent one after the other, with a box that is switched on as soon as it is registered.

const file = readHttpFile(readFileSync(new URL('../../contracts/requests.http', import.meta.url), 'utf8'));
const answers = new Map<string, unknown>();
let server: ServerProcess;
let fill: (text: string) => string;
let box: Lockbox | undefined;

beforeAll(async () => {
  const password = 'a password of this test';
  server = await startServerProcess({ DATA_DIR: await dataFolder(), PORT: '0', MQTT_BROKER_PORT: '0', ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: password });
  fill = filler({ ...file.variables, server: server.url, admin_password: password }, answers);
});
afterAll(async () => {
  await box?.stop();
  server.signal('SIGTERM');
  await server.exited;
  await cleanUp();
});

test('the file has requests, each with the status that it expects', () => {
  expect(file.requests.length).toBeGreaterThan(40);
  expect(file.requests.filter(({ status }) => Number.isNaN(status))).toEqual([]);
});

describe('contracts/requests.http', () => {
  test.each(file.requests.map((request, index) => ({ ...request, what: `${index + 1}. ${request.method} ${request.url.replace(/\{\{[^}]*\.([^}.]+)\}\}/g, '{$1}')} ${request.status}` })))('$what', async ({ name, status, method, url, headers, body }) => {
    const ask = async () => {
      const response = await fetch(fill(url), { method, headers: Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, fill(value)])), ...(body === undefined ? {} : { body: fill(body) }) });
      return { status: response.status, text: await response.text() };
    };
    // Reads follow the log a moment later.
    const answer = method === 'GET' ? await until(`${method} ${url} to answer ${status}`, async () => (({ status: came, text }) => (came === status ? { status: came, text } : undefined))(await ask())) : await ask();
    expect(answer.status, answer.text).toBe(status);
    if (name !== undefined) answers.set(name, JSON.parse(answer.text));
    if (name === 'box') {
      box = createLockbox({ provisioning: (answers.get('box') as { provisioning: Provisioning }).provisioning, firstConnectWithinMs: 0, boltMs: [5, 20] });
      await box.start();
      await box.ready();
    }
  });
});
