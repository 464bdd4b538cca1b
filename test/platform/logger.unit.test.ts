import { Writable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createLogger, failureOf, withoutSecrets } from '../../src/platform/logger.ts';

const SECRET = 'S3cretS3cretS3cretS3cretS3cret32';

function logged(write: (logger: ReturnType<typeof createLogger>) => void): { readonly text: string; readonly lines: Record<string, unknown>[] } {
  let text = '';
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  write(createLogger({ level: 'trace', destination: pino.multistream([{ stream: destination, level: 'trace' }]) }));
  return { text, lines: text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('what never reaches a line', () => {
  test('a secret in a member, however deep, of whatever kind', () => {
    const { text, lines } = logged((logger) => {
      logger.info({ password: SECRET, a: { b: { c: { d: { pin: SECRET, list: [{ refresh_token: SECRET }] } } } } }, 'deep');
      logger.child({ token: SECRET }).warn({ authorization: `Bearer ${SECRET}`, cookie: [SECRET, SECRET], otp: 123_456 }, 'child');
      logger.info({ password: `with "quotes" and \\ and, commas ${SECRET}` });
      logger.info({ body: JSON.stringify({ link_token: SECRET, note: JSON.stringify({ pin: SECRET }) }) });
    });
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain('123456');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatchObject({ password: '[redacted]', a: { b: { c: { d: { pin: '[redacted]', list: [{ refresh_token: '[redacted]' }] } } } }, msg: 'deep' });
  });

  test('a secret in words: messages, queries, addresses, headers, paths', () => {
    const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.${SECRET}`;
    const { text, lines } = logged((logger) => {
      for (const words of [
        `GET /unlock/${SECRET}?x=1`,
        `GET /api/v1/delivery/link/${SECRET}/info`,
        `GET /api/delivery/${SECRET}`,
        `failed: /x?token=${SECRET}&y=1`,
        `password=${SECRET}`,
        `connect postgres://loqey:${SECRET}@127.0.0.1:5432/loqey`,
        `mqtt://device_1:${SECRET}@broker:1883`,
        `Authorization: Bearer ${SECRET}`,
        `Basic ${Buffer.from(`a:${SECRET}`).toString('base64')}`,
        `sec-websocket-protocol: loqey, bearer.${jwt}`,
        jwt,
      ]) {
        logger.error(words);
        logger.error({ err: new Error(words, { cause: new Error(words) }) }, 'failed');
        logger.info({ url: words });
      }
    });
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(Buffer.from(`a:${SECRET}`).toString('base64'));
    expect(lines).toHaveLength(33);
    expect(text).toContain('postgres://loqey:[redacted]@127.0.0.1:5432/loqey');
  });

  test('what a library hung on its error', () => {
    const error = Object.assign(new Error('failed', { cause: Object.assign(new Error('inner'), { code: 'ECONNRESET', config: { headers: SECRET } }) }), {
      request: { body: SECRET },
      detail: `Key (x)=(${SECRET})`,
      code: '23505',
    });
    expect(failureOf(error)).toMatchObject({ type: 'Error', message: 'failed', code: '23505', cause: { message: 'inner', code: 'ECONNRESET' } });
    expect(logged((logger) => logger.error({ err: error }, 'x')).text).not.toContain(SECRET);
  });
});

test('what is no secret stays as it is, and every line stays JSON', () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const { lines } = logged((logger) => {
    logger.info({ traceId, path: '/api/v1/delivery/link/{link_token}/unlock', method: 'POST', ms: 1.5, component: 'http', tokens: 3, pins: true }, 'request');
    logger.info({ url: 'https://app.loqey.com/unlock/', topic: `loqey/devices/${traceId}/status`, error: 'invalid password or pin' });
    logger.info({ pin: null, password: true, token: 12, next: 'kept' });
  });
  expect(lines[0]).toMatchObject({ traceId, path: '/api/v1/delivery/link/{link_token}/unlock', ms: 1.5, tokens: 3, pins: true });
  expect(lines[1]).toMatchObject({ url: 'https://app.loqey.com/unlock/', topic: `loqey/devices/${traceId}/status`, error: 'invalid password or pin' });
  expect(lines[2]).toMatchObject({ next: 'kept' });
});

test('a line that could be anything takes time in proportion to its length', () => {
  for (const part of ['\\\\"token\\\\":', '"password":"', '\\"pin\\":\\"', 'eyJ', 'a://', 'token=', '\\']) {
    const long = part.repeat(20_000);
    const since = performance.now();
    withoutSecrets(long);
    // Not a measurement: one that looks back over what it has read would take minutes.
    expect(performance.now() - since, part).toBeLessThan(10_000);
  }
});
