import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { createClient } from '../../src/client/client.ts';
import { createNarrator } from '../../src/demo/narrator.ts';
import { runScenario } from '../../src/demo/scenario.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import type { Lockbox } from '../../src/simulator/lockbox.ts';
import { cleanUp, dataFolder, startServerProcess } from '../support/server-process.ts';

afterAll(cleanUp);

/** Members of requests and answers whose values open something (docs/coverage.md, X-41). */
const secretMembers = /^(?:.*password.*|pin|new_pin|otp|token|access|refresh|access_token|refresh_token|link_token|link_id|device_key|access_url)$/;

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** Everything secret that went through `fetch`. */
function watchSecrets(): { readonly seen: Set<string>; stop(): void } {
  const seen = new Set<string>();
  const collect = (value: unknown, name = ''): void => {
    // A link's public id stands under the same name as its token.
    if (typeof value === 'string' && secretMembers.test(name) && value.length >= 6 && !UUID.test(value)) seen.add(name === 'access_url' ? (value.split('/').at(-1) ?? value) : value);
    else if (typeof value === 'object' && value !== null) for (const [member, inner] of Object.entries(value)) collect(inner, member);
  };
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return undefined;
    }
  };
  const fetched = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const bearer = new Headers(init?.headers).get('authorization')?.slice('Bearer '.length);
    if (bearer !== undefined) seen.add(bearer);
    if (typeof init?.body === 'string') collect(parse(init.body));
    const response = await fetched(input, init);
    collect(parse(await response.clone().text()));
    return response;
  };
  return { seen, stop: () => void (globalThis.fetch = fetched) };
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => (statSync(join(folder, name)).isDirectory() ? filesBelow(join(folder, name)) : [join(folder, name)]));
}

test('a whole delivery, and a few mistakes, at the most talkative level: no log holds anything that opens anything', async () => {
  const folder = await dataFolder();
  const admin = { email: 'admin@example.com', password: 'a password with "quotes" and spaces' };
  const server = await startServerProcess({
    DATA_DIR: folder,
    PORT: '0',
    MQTT_BROKER_PORT: '0',
    LOG_LEVEL: 'TRACE',
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
  });
  const watch = watchSecrets();
  const boxes: Lockbox[] = [];
  try {
    const quiet = createTerminal({ json: true, stdout: process.stderr, stderr: process.stderr, color: false });
    const narrator = createNarrator({ ...quiet, event: () => undefined });
    await runScenario({ api: createClient({ baseUrl: server.url }), admin, narrator, onBox: (box) => boxes.push(box) });

    const jwt = [...watch.seen].find((secret) => secret.startsWith('eyJ')) ?? '';
    const linkToken = [...watch.seen].find((secret) => /^[A-Za-z0-9]{32}$/.test(secret)) ?? '';
    expect([jwt, linkToken].every((secret) => secret !== '')).toBe(true);
    const ask = (path: string, init?: RequestInit) => fetch(server.url + path, init);
    await ask(`/api/v1/delivery/link/${linkToken}/nowhere`);
    await ask(`/unlock/${linkToken}?token=${linkToken}`);
    await ask(`/nowhere/${linkToken}?access_token=${jwt}`);
    await ask('/api/v1/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"email":"a@example.com","password":"${admin.password.replaceAll('"', '\\"')}"` });
    await ask('/api/v1/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...admin, password: `${admin.password} not`, pin: '918273', surprise: jwt }) });
    await ask('/api/v1/auth/refresh', { method: 'POST', headers: { 'content-type': 'application/json', cookie: `session=${jwt}` }, body: JSON.stringify({ refresh_token: jwt }) });
    await new Promise<void>((resolve) => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/device-status?token=${jwt}`, ['loqey', `bearer.${jwt}`]);
      socket.once('open', () => socket.close());
      socket.once('error', () => resolve());
      socket.once('close', () => resolve());
    });
  } finally {
    watch.stop();
    await Promise.all(boxes.map((box) => box.stop()));
    server.signal('SIGTERM');
    await server.exited;
  }

  const secrets = new Set(watch.seen);
  for (const file of filesBelow(join(folder, 'secrets'))) {
    const text = readFileSync(file, 'utf8').trim();
    secrets.add(text);
    for (const value of text.split(/\s+/)) if (value.length >= 16) secrets.add(value);
  }
  expect(secrets.size).toBeGreaterThan(12);

  const logs = filesBelow(join(folder, 'logs')).map((file) => ({ file, text: readFileSync(file, 'utf8') }));
  const everything = [...logs, { file: 'stderr', text: server.stderr }];
  expect(logs.map(({ text }) => text).join('').split('\n').length).toBeGreaterThan(50);
  const found = everything.flatMap(({ file, text }) =>
    text.split('\n').flatMap((line) => [...secrets].filter((secret) => appears(secret, line)).map((secret) => `${file}: ${secret.slice(0, 4)}… in ${line.slice(0, 200)}`)),
  );
  expect(found).toEqual([]);
});

/** A PIN is six digits, which times and ports may hold too: only as a number by itself. */
function appears(secret: string, line: string): boolean {
  return /^\d{6}$/.test(secret) ? new RegExp(`(?<![\\d.])${secret}(?![\\d.])`).test(line) : line.includes(secret);
}
