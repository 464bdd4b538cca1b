import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cleanUp, dataFolder, finish, freePort, processesOf, run, startServerProcess, type ProgramEvent, type ServerProcess } from '../support/server-process.ts';
import { signInAdmin, type Person } from '../support/people.ts';
import { until } from '../support/until.ts';

// `npm run demo`, as somebody runs it who has just cloned the repository, and as somebody whose server runs.

afterAll(cleanUp);

const STEPS = 14;

interface Step extends ProgramEvent {
  readonly number: number;
  readonly title: string;
  readonly detail: string;
  readonly ok: boolean;
}

/** NDJSON: every line an object, the last one says how it went. */
function told(stdout: string): { readonly steps: readonly Step[]; readonly last: ProgramEvent | undefined } {
  const events = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as ProgramEvent);
  return { steps: events.filter(({ event }) => event === 'step') as Step[], last: events.at(-1) };
}

test('with no server running: one of its own, told in words, and nothing left of it', async () => {
  const folder = await dataFolder({ prepared: false });
  const { code, stdout, stderr } = await finish(['demo'], { DATA_DIR: folder });
  expect([code, stderr]).toEqual([0, expect.stringContaining(`✔ ${STEPS} steps, all as they should be`) as string]);
  expect(stdout).toBe('');
  expect(stderr).toContain('No server runs in this folder: one is started for the demo alone');
  for (const words of ['A courier opens the box', 'refuses it ("expired")', '1 bad signature', 'UnlockConfirmed']) expect(stderr).toContain(words);
  expect(existsSync(folder)).toBe(false);
});

test('it stays on when asked to, with a link that works in a browser as it is printed', async () => {
  const demo = run(['demo', '--stay'], { DATA_DIR: await dataFolder({ prepared: false }) });
  const address = await until('the link', () => /^ {2}(http\S+\/unlock\/\w+)$/m.exec(demo.stderr)?.[1], 60_000);
  const page = await (await fetch(address)).text();
  const key = /name="key" value="([^"]+)"/.exec(page)?.[1] ?? '';
  const opened = await fetch(address, { method: 'POST', body: new URLSearchParams({ key, name: 'Jo' }) });
  expect(await opened.text()).toContain('The box is open.');
  const closed = async () => (await (await fetch(`${address}?try=${key}`)).text()).includes('Delivered. Thank you.');
  await expect.poll(closed, { timeout: 30_000, interval: 500 }).toBe(true);
  expect(demo.stderr).toContain('its bolt moved');
  demo.signal('SIGINT');
  expect(await demo.exited).toEqual({ code: 0, signal: null });
});

describe('with a server running', () => {
  let folder: string;
  let server: ServerProcess;
  let settings: Record<string, string>;
  let admin: Person;

  beforeAll(async () => {
    folder = await dataFolder();
    settings = { DATA_DIR: folder, PORT: `${await freePort()}`, MQTT_BROKER_PORT: '0' };
    server = await startServerProcess({ ...settings, ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: 'correct horse battery' });
    admin = await signInAdmin(server.url, { email: 'admin@example.com', password: 'correct horse battery' });
  });
  afterAll(async () => {
    server.signal('SIGTERM');
    await server.exited;
    expect(processesOf(folder)).toEqual([]);
  });

  test('it is told step by step, in JSON too, and again', async () => {
    for (const run of ['the first', 'the second']) {
      const { code, stdout, stderr } = await finish(['demo', '--json'], settings);
      expect([run, code, stderr], stdout).toEqual([run, 0, '']);
      const { steps, last } = told(stdout);
      expect(steps.map(({ number, ok }) => [number, ok])).toEqual(Array.from({ length: STEPS }, (_, index) => [index + 1, true]));
      for (const { title, detail } of steps) expect([title, detail]).toEqual([expect.stringMatching(/\S/), expect.any(String)]);
      expect(last).toEqual({ event: 'finished', ok: true, steps: STEPS });
    }
  });

  test('the administrator that it lent itself is one no more', async () => {
    // It gave the role back in a process of its own: the server looks for what others append twice a second.
    const users = await until('the role to be given back', async () => {
      const listed = await admin.api.get<{ id: string; email: string; role: string | null }[]>('/admin/users?limit=100');
      return listed.filter(({ role }) => role !== null).length === 1 ? listed : undefined;
    });
    expect(users.filter(({ email }) => email.startsWith('demo.'))).toHaveLength(2);
    expect(users.filter(({ role }) => role !== null).map(({ email }) => email)).toEqual(['admin@example.com']);
  });

  test('a fleet is simulated on it without a password of anybody', async () => {
    const { code, stdout, stderr } = await finish(['simulate', '--devices', '2', '--duration', '100ms', '--json'], settings);
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ event: 'simulated', boxes: 2 });
    const devices = await admin.api.get<{ serial_number: string }[]>('/admin/devices');
    expect(devices.filter(({ serial_number: serial }) => serial.startsWith('SIM-'))).toHaveLength(2);
    await until('the role to be given back', async () => {
      const users = await admin.api.get<{ email: string; role: string | null }[]>('/admin/users?limit=100');
      return users.some(({ email, role }) => email.startsWith('simulate.') && role === null);
    });
  });

  test('its box, owner and delivery stay in the history', async () => {
    const devices = await admin.api.get<{ serial_number: string }[]>('/admin/devices');
    expect(devices.filter(({ serial_number: serial }) => serial.startsWith('LB-DEMO-')).length).toBeGreaterThanOrEqual(2);
  });
});

test('a step that is not as it should be ends it with 1 and says which', async () => {
  // Old wishes of a strict installation: one wrong PIN is one too many.
  const folder = await dataFolder({ prepared: false });
  const { code, stderr } = await finish(['demo'], { DATA_DIR: folder, RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_PIN_PER_MINUTE: '1' });
  expect(code).toBe(1);
  expect(stderr).toMatch(/✖ Step \d+ was not as it should be\.\n$/);
  expect(stderr).not.toMatch(/^ {4}at /m);
});
