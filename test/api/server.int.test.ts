import { createConnection, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { createHttpServer } from '../../src/api/server.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { soon } from '../support/api.ts';

const options = { host: '127.0.0.1', port: 0, logger: silentLogger };

test('a stop lets what is under way finish and takes nothing new', async () => {
  let answer: (() => void) | undefined;
  const arrived = Promise.withResolvers<void>();
  const http = createHttpServer(
    (_req: IncomingMessage, res: ServerResponse) => {
      answer = () => res.end('done');
      arrived.resolve();
    },
    undefined,
    options,
  );
  await http.start();
  const url = `http://127.0.0.1:${http.address()?.port}`;
  const request = fetch(url);
  await arrived.promise;
  const stopped = http.stop();
  await expect(fetch(url)).rejects.toThrow();
  answer?.();
  expect(await (await request).text()).toBe('done');
  await soon(stopped, 'stopped');
  expect(http.address()).toBeUndefined();
});

test('what does not finish is cut off', async () => {
  const arrived = Promise.withResolvers<void>();
  const http = createHttpServer(() => arrived.resolve(), undefined, { ...options, drainMs: 50 });
  await http.start();
  const request = fetch(`http://127.0.0.1:${http.address()?.port}`);
  const failed = expect(request).rejects.toThrow();
  await arrived.promise;
  await soon(http.stop(), 'stopped');
  await failed;
});

test('start and stop can be said twice, and again', async () => {
  const http = createHttpServer((_req: IncomingMessage, res: ServerResponse) => void res.end(), undefined, options);
  await Promise.all([http.start(), http.start()]);
  await Promise.all([http.stop(), http.stop()]);
  await http.start();
  expect((await fetch(`http://127.0.0.1:${http.address()?.port}`)).status).toBe(200);
  await http.stop();
});

test('a port that is taken is an error of start, by name', async () => {
  const other = createTcpServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const http = createHttpServer(() => undefined, undefined, { ...options, port: (other.address() as AddressInfo).port });
  await expect(http.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await http.stop();
  other.close();
});

test('bytes that are no request get an answer, and nobody else notices', async () => {
  const http = createHttpServer((_req: IncomingMessage, res: ServerResponse) => void res.end('ok'), undefined, options);
  await http.start();
  const port = http.address()?.port ?? 0;
  const say = async (text: string) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write(text));
    let heard = '';
    socket.on('data', (chunk) => (heard += chunk.toString()));
    await soon(once(socket, 'close'), `an answer to ${text.slice(0, 20)}`);
    return heard;
  };
  expect(await say('nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 Bad Request/);
  expect(await say(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  expect((await fetch(`http://127.0.0.1:${port}`)).status).toBe(200);
  await http.stop();
});
