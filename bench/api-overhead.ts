/**
 * What the API itself costs: routing, tokens, standing, validation, answer, with everything behind it in memory.
 * `npx node bench/api-overhead.ts` · prints one line per route.
 */
import autocannon, { type Options } from 'autocannon';
import express from 'express';
import { fork } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createApi } from '../src/api/api.ts';
import { createApp } from '../src/api/app.ts';
import { createHttpServer } from '../src/api/server.ts';
import { newId } from '../src/platform/ids.ts';
import { deviceRow, userRow, World } from '../test/support/world.ts';

const CONNECTIONS = 32;
const SECONDS = 5;

interface Served {
  readonly url: string;
  readonly floor: string;
  readonly token: string;
  readonly deviceId: string;
}

async function serve(): Promise<Served> {
  const world = new World();
  world.now = Date.now();
  const user = userRow();
  world.users.set(user.userId, user);
  const devices = Array.from({ length: 5 }, () => deviceRow({ ownerId: user.userId }));
  for (const device of devices) world.devices.set(device.deviceId, device);
  // A map that grows with every link would be what is measured.
  const deps = world.deps({ bus: { execute: async (command, context) => { world.forget(); return world.execute(command, context); } } });
  const api = createApi(deps);
  const http = createHttpServer(createApp(api), undefined, { host: '127.0.0.1', port: 0, logger: deps.logger });
  await http.start();
  const sessionId = newId();
  world.sessions.set(sessionId, { sessionId, userId: user.userId, scope: 'user', live: true });
  const token = api.tokens.sign({ userId: user.userId, sessionId, scope: 'user' }, 0);

  const empty = express().get('/', (_req, res) => void res.json({}));
  const floor = createServer(empty as never).listen(0, '127.0.0.1');
  await once(floor, 'listening');
  return {
    url: `http://127.0.0.1:${http.address()?.port}`,
    floor: `http://127.0.0.1:${(floor.address() as { port: number }).port}`,
    token,
    deviceId: devices[0]?.deviceId ?? '',
  };
}

async function measure(name: string, options: Options): Promise<void> {
  await autocannon({ connections: CONNECTIONS, duration: 1, ...options });
  const { requests, latency, non2xx } = await autocannon({ connections: CONNECTIONS, duration: SECONDS, ...options });
  process.stdout.write(`${name.padEnd(28)} ${Math.round(requests.average).toString().padStart(7)}/s   p50 ${latency.p50} ms   p99 ${latency.p99} ms   not 2xx ${non2xx}\n`);
}

if (process.send !== undefined) {
  process.send(await serve());
} else {
  // Server and load each have a process: on two cores neither waits for the other.
  const child = fork(new URL(import.meta.url));
  const [{ url, floor, token, deviceId }] = (await once(child, 'message')) as [Served];
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  await measure('empty express route', { url: floor });
  await measure('my-devices (5)', { url: `${url}/api/v1/devices/my-devices`, headers });
  await measure('create-link', { url: `${url}/api/v1/access/create-link`, method: 'POST', headers, body: JSON.stringify({ device_id: deviceId, max_uses: 3, name: 'Parcel' }) });
  await measure('health/live', { url: `${url}/health/live` });
  child.kill();
}
