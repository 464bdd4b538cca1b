import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noTracing, parseTraceparent } from '../../src/platform/tracing.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin } from '../support/people.ts';
import { until } from '../support/until.ts';

interface Spanned {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status?: { readonly code?: number };
}

/** What a collector of OpenTelemetry receives: OTLP over HTTP, as JSON. */
const received: { readonly path: string; readonly authorization: string | undefined; readonly text: string }[] = [];
let collector: Server;
let app: RunningApp;
let box: Lockbox;
let link: { readonly token: string };

const spans = (): Spanned[] =>
  received.flatMap(({ text }) => {
    const body = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: Spanned[] }[] }[] };
    return body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  });

beforeAll(async () => {
  collector = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', authorization: request.headers.authorization, text });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  app = await startApp({ otlpEndpoint: `http://127.0.0.1:${port}`, otlpHeaders: { authorization: 'Bearer collector' }, unlockWaitSeconds: 5 }, { traceDelayMs: 50 });
  const admin = await signInAdmin(app.url, app.admin);
  const owner = await newOwner(app.url);
  const registered = await registerBox(admin);
  box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 20] });
  await box.start();
  await box.ready();
  await claim(owner, registered);
  await until('its hello to be acknowledged', () => box.stats.sent > 0 && box.stats.acknowledged >= box.stats.sent);
  link = await newLink(owner, registered.deviceId, 3);
});
afterAll(async () => {
  await box.stop();
  await app.stop();
  collector.close();
});

test('one opening is one trace, from the request to what the box said', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const answer = await fetch(`${app.url}/api/v1/delivery/link/${link.token}/unlock`, {
    method: 'POST',
    headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });
  expect(answer.status).toBe(200);
  const ours = () => spans().filter((span) => span.traceId === traceId);
  const route = 'POST /api/v1/delivery/link/{link_token}/unlock';
  const named = (name: string) => ours().filter((span) => span.name === name);
  await until('all steps to be told', () => named(route).length === 1 && named('command RecordUnlockAnswer').length > 0);

  const parentOf = (span: Spanned | undefined) => ours().find(({ spanId }) => spanId === span?.parentSpanId)?.name;
  const chain = (name: string): string[] => {
    const steps: string[] = [];
    for (let at = named(name)[0]; at !== undefined; at = ours().find(({ spanId }) => spanId === at?.parentSpanId)) steps.unshift(at.name);
    return steps;
  };
  expect(named(route)[0]?.parentSpanId).toBe('b7ad6b7169203331');
  expect(chain('publish unlock')).toEqual([route, 'command RequestUnlock', 'send device-commands', 'publish unlock']);
  expect(chain('command RecordUnlockAnswer').slice(-2)).toEqual(['report responses', 'command RecordUnlockAnswer']);
  expect(chain('command RecordUnlockAnswer')[0]).toBe(route);
  expect(named('append').map(parentOf)).toEqual(expect.arrayContaining(['command RequestUnlock', 'command RecordUnlockAnswer']));
  expect(received[0]).toMatchObject({ path: '/v1/traces', authorization: 'Bearer collector' });
});

test('what goes wrong says so, with the trace id that its caller is told', async () => {
  const answer = await fetch(`${app.url}/api/v1/delivery/link/${'x'.repeat(32)}/info`);
  const { trace_id: traceId } = (await answer.json()) as { trace_id: string };
  const span = await until('its span', () => spans().find((each) => each.traceId === traceId));
  expect(span.parentSpanId ?? '').toBe('');
  expect(span.attributes).toEqual(expect.arrayContaining([{ key: 'http.response.status_code', value: { intValue: 404 } }]));
});

test('nothing in a trace opens anything', () => {
  expect(received.map(({ text }) => text).join('')).not.toContain(link.token);
});

test('a collector that is gone costs nothing but spans', async () => {
  const lost = async () => (await (await fetch(`${app.url}/metrics`)).text()).match(/loqey_spans_total\{outcome="lost"\} (\d+)/)?.[1];
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
  expect((await fetch(`${app.url}/api/v1/delivery/link/${link.token}/info`)).status).toBe(200);
  await until('the loss to be counted', async () => Number((await lost()) ?? 0) > 0);
});

test('the packages are imported in one file, and that one only where a collector is named', () => {
  const root = new URL('../../src/', import.meta.url).pathname;
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const having = (pattern: RegExp) => sources.filter((name) => pattern.test(readFileSync(join(root, name), 'utf8')));
  expect(having(/from '@opentelemetry\//)).toEqual(['platform/tracing-otel.ts']);
  expect(having(/from '[./]+tracing-otel\.ts'|from '[./]+platform\/tracing-otel\.ts'/)).toEqual([]);
  expect(having(/import\('[./]+platform\/tracing-otel\.ts'\)/)).toEqual(['compose/ground.ts']);
});

test('where no collector is named the caller’s trace goes through', () => {
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  expect(noTracing.begin('x', 'internal', parent).traceparent).toBe(parent);
  for (const bad of [undefined, '', '00-0-0-0', parent.replace('0af7', '0AF7'), `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`, `ff${parent.slice(2)}`]) {
    expect(parseTraceparent(bad), bad).toBeUndefined();
  }
});
