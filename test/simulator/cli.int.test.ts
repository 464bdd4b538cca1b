import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { Command } from 'commander';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deriveKeys, mqttPassword } from '../../src/bridge/protocol/keys.ts';
import { downTopics, upTopics } from '../../src/bridge/topics.ts';
import { createEmbeddedBroker, type EmbeddedBroker } from '../../src/platform/mqtt/embedded-broker.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import { registerSimulateCommand } from '../../src/simulator/cli.ts';
import { registerBoxes } from '../../src/simulator/register-boxes.ts';
import { provision } from '../../src/simulator/provisioning.ts';

const masterKey = randomBytes(32);
let folder: string;
let broker: EmbeddedBroker;
let api: Server;
let posted: { readonly kind: string; readonly bearer: boolean }[] = [];
let registered: { readonly serial: string; readonly key: string | undefined }[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'loqey-simulate-'));
  registered = [];
  posted = [];
  broker = createEmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    authenticate: async (deviceId) => {
      const owner = { profile: 'loqey', deviceId, serialNumber: '' } as const;
      return {
        deviceId,
        username: deviceId,
        clientId: `device_${deviceId}`,
        passwordHashes: [createHash('sha256').update(mqttPassword(deriveKeys(masterKey, deviceId, 1))).digest('hex')],
        publishTopics: upTopics(owner),
        subscribeTopics: downTopics(owner),
      };
    },
  });
  broker.uplink.onMessage(async () => undefined);
  await broker.start();
  let limited = false;
  const answerAll = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const box = /^\/api\/v1\/devices\/[0-9a-f-]{36}\/(\w+)/.exec(request.url ?? '')?.[1];
    if (box !== undefined) return byHttp(box, request, response);
    const body = await jsonBody(request);
    const answer = (status: number, value: object, headers = {}): void => void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
    if (request.url === '/api/v1/admin/auth/login') return body['password'] === 'right' ? answer(200, { access_token: 't' }) : answer(401, {});
    if (request.headers.authorization !== 'Bearer t') return answer(401, {});
    if (!limited && (limited = true)) return answer(429, {}, { 'retry-after': '0' });
    registered.push({ serial: body['serial_number'] as string, key: request.headers['idempotency-key'] as string | undefined });
    answer(201, { provisioning: provision({ deviceId: randomUUID(), masterKey, url: `mqtt://127.0.0.1:${broker.address().port}` }) });
  };
  api = createServer((request, response) => void answerAll(request, response));
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  await broker.stop();
  await new Promise((resolve) => api.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

/** The routes of a box, without commands for it. */
async function byHttp(kind: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (kind === 'commands') {
    if (request.url?.endsWith('wait=0') !== true) await new Promise((resolve) => setTimeout(resolve, 50));
    return void response.writeHead(200, { 'content-type': 'application/json' }).end('{"commands":[]}');
  }
  await jsonBody(request);
  posted.push({ kind, bearer: /^Bearer \S{20,}$/.test(request.headers.authorization ?? '') });
  response.writeHead(202).end();
}

async function jsonBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return JSON.parse(text) as Record<string, unknown>;
}

async function simulate(json: boolean, ...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough();
  const program = new Command().exitOverride();
  registerSimulateCommand(program, () => createTerminal({ json, stdout, stderr: new PassThrough(), color: false }));
  await program.parseAsync(['simulate', ...args], { from: 'user' });
  return String(stdout.read() ?? '');
}

const apiUrl = (): string => `http://127.0.0.1:${(api.address() as AddressInfo).port}`;

it('registers boxes, saves their keys for nobody else, runs them, and runs them again from the file', async () => {
  const file = join(folder, 'boxes.jsonl');
  const words = await simulate(false, '--devices', '3', '--api', apiUrl(), '--email', 'a@example.com', '--password', 'right', '--save', file, '--duration', '100ms');
  expect(words).toMatch(/3 boxes, [\d.]+ s\n\nwhat +count\nreports sent +\d+/);
  expect(registered.map(({ serial, key }) => key === serial && /^SIM-[A-Z0-9]+-000\d$/.test(serial))).toEqual([true, true, true]);
  expect(readFileSync(file, 'utf8').trim().split('\n').length).toBe(3);
  expect(statSync(file).mode & 0o077).toBe(0);

  const result = JSON.parse(await simulate(true, '--provisioning', file, '--devices', '2', '--rate', '50', '--duration', '6s')) as Record<string, number>;
  expect(result).toMatchObject({ event: 'simulated', boxes: 2, connections: 2 });
  expect(result['acknowledged']).toBeGreaterThan(2);
});

it('speaks HTTP where MQTT does not get through', async () => {
  const result = JSON.parse(await simulate(true, '--transport', 'http', '--url', 'mqtt://127.0.0.1:1', '--devices', '2', '--api', apiUrl(), '--email', 'a@example.com', '--password', 'right', '--duration', '1500ms')) as Record<string, number>;
  expect(result).toMatchObject({ event: 'simulated', boxes: 2 });
  expect(result['acknowledged']).toBeGreaterThan(1);
  expect(new Set(posted.map(({ kind }) => kind))).toContain('status');
  expect(posted.every(({ bearer }) => bearer)).toBe(true);
});

it('says what to do when it cannot', async () => {
  await expect(simulate(false, '--api', apiUrl(), '--email', 'a@example.com', '--password', 'wrong')).rejects.toThrow('refused a@example.com');
  await expect(simulate(false, '--api', 'http://127.0.0.1:1', '--email', 'a@example.com', '--password', 'x')).rejects.toThrow('npm start');
  await expect(simulate(false, '--provisioning', join(folder, 'none'))).rejects.toThrow('There is no file');
});

it('begins no further registration once it is asked to stop', async () => {
  const { port } = api.address() as AddressInfo;
  const boxes = await registerBoxes({ api: `http://127.0.0.1:${port}`, email: 'admin@example.com', password: 'right', count: 100, asked: () => registered.length > 0 });
  expect(boxes).toHaveLength(registered.length);
  expect(registered.length).toBeLessThanOrEqual(4);
});
