import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { linkTokenHash } from '../../src/api/link-token.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { deviceRow, linkRow, sealed, startApi } from '../support/api.ts';

test('no token, password or PIN reaches a log line or a metric', async () => {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const metrics = new Metrics();
  const api = await startApi({ logger: createLogger({ level: 'trace', destination }), metrics });
  const CANARY = 'CANARYcanaryCANARYcanaryCANARY01';
  const owner = api.signIn();
  const device = deviceRow({ ownerId: owner.userId });
  api.world.devices.set(device.deviceId, device);
  const link = linkRow({ ownerId: owner.userId, deviceId: device.deviceId, tokenHash: linkTokenHash(CANARY), token: sealed(CANARY) });
  api.world.links.set(link.linkId, link);

  for (const path of [`/api/v1/delivery/link/${CANARY}/info`, `/api/delivery/${CANARY}`, `/nowhere/${CANARY}`, `/api/v1/delivery/link/${CANARY}/wrong`, `/health?token=${CANARY}`]) {
    await api.ask('GET', path, { headers: { referer: `https://x/${CANARY}`, 'user-agent': CANARY } });
  }
  await api.ask('POST', `/api/v1/delivery/link/${CANARY}/unlock`, { body: { delivery_person_name: CANARY } });
  await api.ask('GET', `/api/v1/access/links/${CANARY}`, { token: owner.token });
  await api.ask('POST', '/api/v1/auth/login', { body: { email: `${CANARY}@example.com`, password: CANARY } });
  await api.ask('POST', '/api/v1/auth/refresh', { body: { refresh_token: CANARY } });
  await api.ask('POST', '/api/v1/devices/assign', { token: owner.token, body: { serial_number: 'LB-004471', pin: '918273' } });
  await api.ask('GET', '/api/v1/auth/me', { token: CANARY });
  api.world.throws = Object.assign(new Error('a failure'), { request: { token: CANARY, headers: { authorization: CANARY } } });
  await api.ask('POST', `/api/v1/delivery/link/${CANARY}/unlock`);
  await api.ask('DELETE', `/api/v1/access/links/${CANARY}`, { token: owner.token });
  await api.stop();

  const log = lines.join('');
  expect(lines.length).toBeGreaterThan(10);
  expect(log).toContain('/api/v1/delivery/link/{link_token}/unlock');
  expect(log).toContain('a failure');
  const everything = log + (await metrics.registry.metrics());
  for (const secret of [CANARY, '918273', owner.token]) expect(everything.split('\n').filter((line) => line.includes(secret))).toEqual([]);
});
