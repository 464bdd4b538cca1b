import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createApi } from '../../src/api/api.ts';
import { createApp } from '../../src/api/app.ts';
import { createHttpServer } from '../../src/api/server.ts';
import { newId } from '../../src/platform/ids.ts';
import { deviceRow, userRow, World } from '../../test/support/world.ts';
import { serve } from './program.ts';

/** The API with everything behind it in memory, and an empty Express route. */
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

const empty = createServer(express().get('/', (_req, res) => void res.json({})) as never).listen(0, '127.0.0.1');
await once(empty, 'listening');

const calls = {
  told: () => ({
    url: `http://127.0.0.1:${http.address()?.port}`,
    empty: `http://127.0.0.1:${(empty.address() as AddressInfo).port}`,
    token,
    deviceId: devices[0]?.deviceId ?? '',
  }),
};
export type ApiCalls = typeof calls;

serve(calls, () => http.stop());
