import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeFailure, fuzzHttp } from '../../fuzz/http/run.ts';
import { fuzzMqtt } from '../../fuzz/mqtt/run.ts';
import { fuzzSockets } from '../../fuzz/ws/run.ts';
import type { Target } from '../../fuzz/target.ts';
import type { Config } from '../../src/platform/config.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';

/** A small part of what `npm run fuzz` does, the same each time: TEST_FUZZ_REQUESTS and TEST_FUZZ_SEED make it another one. */
const seed = Number(process.env['TEST_FUZZ_SEED'] ?? 1);
const requests = Number(process.env['TEST_FUZZ_REQUESTS'] ?? 800);

const ADMIN_PASSWORD = 'a password of nobody else';

let app: RunningApp;
let target: Target;

beforeAll(async () => {
  const secrets = testSecrets();
  app = await startApp({ rateLimitEnabled: true, adminPassword: ADMIN_PASSWORD, ...roomy() }, { secrets });
  target = {
    url: app.url,
    mqtt: app.addresses.mqtt ?? '',
    admin: { email: app.admin.email, password: ADMIN_PASSWORD },
    secrets: [ADMIN_PASSWORD, secrets.secretKey ?? '', (secrets.dataKeyMaster ?? Buffer.alloc(0)).toString('hex'), (secrets.dataKeyMaster ?? Buffer.alloc(0)).toString('base64')],
    memory: () => undefined,
    errors: () => [],
  };
});
afterAll(() => app?.stop());

/** Limits are on, and too high to be what is tried. */
function roomy(): Partial<Config> {
  const most = 1_000_000;
  return {
    rateLimitAnonymousPerMinute: most, rateLimitAnonymousPerDay: most, rateLimitAccountPerMinute: most, rateLimitAccountPerDay: most, rateLimitLoginPerMinute: most, rateLimitRegistrationPerMinute: most,
    rateLimitRegistrationPerDay: most, rateLimitRefreshPerMinute: most, rateLimitPinPerMinute: most, rateLimitUnlockPerMinute: most, rateLimitUnknownLinkPerMinute: most,
  };
}

test('HTTP: whatever is sent, the answer is as described', async () => {
  const report = await fuzzHttp(target, { seed, requests, lanes: 12, slowMs: 10_000, mostFailures: 10, onProgress: () => undefined });
  expect(report.failures.map(describeFailure).join('\n\n')).toBe('');
}, 600_000);

test('MQTT: whatever is sent, nothing comes of it that no rightly signed report allows', async () => {
  const { failures } = await fuzzMqtt(target, { seed, requests: requests / 2, boxes: 12, onProgress: () => undefined });
  expect(failures.join('\n\n')).toBe('');
}, 600_000);

test('WebSockets: whatever is sent, others hear what is theirs', async () => {
  const { failures } = await fuzzSockets(target, { seed, requests: requests / 4, lanes: 8, onProgress: () => undefined });
  expect(failures.join('\n\n')).toBe('');
}, 600_000);
