import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { addressOf } from '../../src/compose/system-health.ts';
import { answerMs, connectMs } from '../../src/platform/probe.ts';

test('what takes a connection answers, what is not there does not', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  expect(await connectMs('127.0.0.1', port)).toBeGreaterThanOrEqual(0);
  await new Promise((resolve) => server.close(resolve));
  expect(await connectMs('127.0.0.1', port)).toBeUndefined();
  expect(await answerMs(async () => 1)).toBeGreaterThanOrEqual(0);
  expect(await answerMs(() => Promise.reject(new Error('x')))).toBeUndefined();
});

test.each([
  ['kafka-1:9093', 9_092, { host: 'kafka-1', port: 9_093 }],
  ['kafka', 9_092, { host: 'kafka', port: 9_092 }],
  ['mqtts://broker.example', 8_883, { host: 'broker.example', port: 8_883 }],
  ['mqtt://[::1]:1884', 1_883, { host: '::1', port: 1_884 }],
  ['', 1, undefined],
  [undefined, 1, undefined],
])('%s is the address of something', (text, port, expected) => {
  expect(addressOf(text, port)).toEqual(expected);
});
