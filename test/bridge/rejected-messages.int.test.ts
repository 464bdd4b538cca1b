import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createRejectedMessages, KEPT_OF_A_BOX, KEPT_OF_STRANGERS, redacted, type Rejected, type RejectedMessages } from '../../src/bridge/rejected-messages.ts';
import { encodeRejected } from '../../src/bridge/relay-messages.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import type { Database } from '../../src/platform/postgres/db.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';

let server: TestPostgres;
let url: string;
let db: Database;
const open: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  server = await startPostgres();
  url = await server.migratedDatabase();
  db = server.connect(url);
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});
afterAll(() => server.stop());

async function recorder(): Promise<RejectedMessages> {
  const rejected = createRejectedMessages({ db, logger: silentLogger, metrics: new Metrics(), everyMs: 1 });
  await rejected.start();
  open.push(rejected);
  return rejected;
}

let instantMs = Date.parse('2026-11-21T10:00:00.000Z');
const message = (over: Partial<Rejected> = {}): Rejected => ({
  reason: 'bad_signature',
  via: 'mqtt',
  deviceId: undefined,
  topic: 'loqey/devices/x/status',
  size: 7,
  payload: Buffer.from('garbage'),
  receivedAt: (instantMs += 1_000),
  ...over,
});

describe('rejected messages', () => {
  it('are kept of each box, newest first, no more than the last 20, and all are counted by reason', async () => {
    const rejected = await recorder();
    const [noisy, quiet] = [newId(), newId()];
    rejected.add(message({ deviceId: quiet, reason: 'wrong_family', topic: undefined, field: 'device_id' }));
    for (let n = 0; n < 300; n++) {
      rejected.add(message({ deviceId: noisy, reason: n % 3 === 0 ? 'too_large' : 'bad_signature', size: n }));
      if (n % 40 === 0) await new Promise(setImmediate);
    }
    const page = await until('all are written', async () => {
      const found = await rejected.ofDevice(noisy);
      return found.messages[0]?.size === 299 && found;
    });
    expect(page.messages.map(({ size }) => size)).toEqual(Array.from({ length: KEPT_OF_A_BOX }, (_, n) => 299 - n));
    expect(page.counts).toMatchObject([{ reason: 'bad_signature', messages: 200 }, { reason: 'too_large', messages: 100 }]);
    const { rows } = await db.pool.query<{ n: string }>('SELECT count(*) AS n FROM work.rejected_reports WHERE device_id = $1', [noisy]);
    expect(Number(rows[0]!.n)).toBe(KEPT_OF_A_BOX);
    expect((await rejected.ofDevice(quiet)).messages).toMatchObject([{ reason: 'wrong_family', topic: undefined, field: 'device_id', via: 'mqtt' }]);
    expect(await rejected.ofDevice(newId())).toEqual({ messages: [], counts: [] });
  });

  it('of strangers are kept together, however many names they take, and a flood costs one write after another', async () => {
    const rejected = await recorder();
    for (let n = 0; n < 5_000; n++) rejected.add(message({ reason: 'unknown_user', claimed: `nobody-${n}`, address: '192.0.2.1' }));
    const page = await until('the newest are written', async () => {
      const found = await rejected.ofStrangers();
      return found.messages[0]?.claimed === 'nobody-4999' && found;
    });
    expect(page.messages.length).toBe(KEPT_OF_STRANGERS);
    expect(page.counts.find(({ reason }) => reason === 'unknown_user')).toMatchObject({ messages: 5_000 });
    const { rows } = await db.pool.query<{ n: string }>('SELECT count(*) AS n FROM work.rejected_reports WHERE device_id IS NULL');
    expect(Number(rows[0]!.n)).toBe(KEPT_OF_STRANGERS);
  });

  it('are written before a stop, and go with time', async () => {
    const rejected = createRejectedMessages({ db, logger: silentLogger, metrics: new Metrics(), everyMs: 60_000 });
    await rejected.start();
    const deviceId = newId();
    rejected.add(message({ deviceId, receivedAt: Date.parse('2026-01-01T00:00:00.000Z') }));
    await rejected.stop();
    expect((await rejected.ofDevice(deviceId)).messages).toHaveLength(1);
    await rejected.prune('2026-02-01T00:00:00.000Z');
    expect(await rejected.ofDevice(deviceId)).toEqual({ messages: [], counts: [] });
  });

  it('hold up nobody when they cannot be written', async () => {
    const broken = { ...db, pool: { query: () => Promise.reject(new Error('the database is away')) } } as unknown as Database;
    const rejected = createRejectedMessages({ db: broken, logger: silentLogger, metrics: new Metrics(), everyMs: 1 });
    await rejected.start();
    rejected.add(message());
    await rejected.stop();
  });
});

describe('what an administrator sees of a payload', () => {
  it.each([
    ['{"pin":"482913","status":"locked"}', '{"pin":"…","status":"locked"}'],
    ['{"secret_pin": 482913, "battery": 7}', '{"secret_pin": "…", "battery": 7}'],
    ['{"password":"a \\" b","x":1}', '{"password":"…","x":1}'],
    ['{"x":1,"access_token":"cut off in the mid', '{"x":1,"access_token":"…"'],
    [`{"v":1,"signature":"${'ab'.repeat(32)}"}`, '{"v":1,"signature":"…"}'],
    [`{"note":"${'Q'.repeat(60)}"}`, '{"note":"…"}'],
    ['pin=1234&x=2', 'pin="…"&x=2'],
    ['{"device_id":"6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10"}', '{"device_id":"6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10"}'],
    ['\u0000\u001b[31mred\r\n', '··[31mred··'],
    ['', ''],
  ])('%s', (payload, seen) => {
    expect(redacted(Buffer.from(payload))).toBe(seen);
  });

  it('is short, whole text of any bytes, and made quickly', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_000 }), (bytes) => {
        const text = redacted(Buffer.from(bytes));
        expect([...text].length).toBeLessThanOrEqual(200);
        expect(text.isWellFormed()).toBe(true);
        // oxlint-disable-next-line no-control-regex -- this is what must not be in it
        expect(text).not.toMatch(/[\u0000-\u001f]/);
      }),
    );
    // A pattern that runs away would never come to an end here.
    for (const evil of ['pin', 'pin-', '"pin"', 'token=', ' pin ', 'a pin: ']) redacted(Buffer.from(evil.repeat(2_000)));
  });
});

describe('at the edge', () => {
  async function edge(): Promise<Backend> {
    const backend = await startBackend(server, { url });
    open.push(backend);
    return backend;
  }

  it('a topic of nobody, a retained one and one too large are no reports, and are told', async () => {
    const backend = await edge();
    const box = await backend.box();
    const before = await backend.live.byId(box.deviceId);
    await backend.uplink('loqey/devices/+/status', Buffer.from('{"pin":"123456"}'));
    await backend.uplink(`loqey/devices/${box.deviceId}/status`, Buffer.alloc(5_000, 0x41));
    const { messages } = await until('both are told', async () => {
      const page = await backend.rejected.ofStrangers();
      return page.messages.some(({ reason }) => reason === 'too_large') && page;
    });
    expect(messages.find(({ reason }) => reason === 'too_large')).toMatchObject({ claimed: box.deviceId, size: 5_000 });
    expect(messages.find(({ reason }) => reason === 'foreign_topic')).toMatchObject({ topic: 'loqey/devices/+/status', sample: '{"pin":"…"}' });
    expect(await backend.live.byId(box.deviceId)).toEqual(before);
    expect(await backend.metric('loqey_device_reports_dropped_total')).toBe(2);
  });

  it('what came through the relay wrong is counted and not believed', async () => {
    const backend = await edge();
    await backend.relay.publish('device-reports', [
      { key: 'x', value: Buffer.from('x'), headers: { kind: 'rejected' } },
      { key: 'x', value: Buffer.from('x'), headers: {} },
      encodeRejected({ reason: 'never heard of', via: 'mqtt', deviceId: 'no uuid', topic: undefined, claimed: undefined, address: undefined, size: 1, payload: Buffer.from('x'), receivedAt: 1_800_000_000_000 }),
    ]);
    const text = await backend.metrics.registry.metrics();
    expect(text).toContain('loqey_device_reports_dropped_total{problem="malformed_relay"} 2');
    expect(text).toContain('loqey_device_reports_dropped_total{problem="other"} 1');
  });
});
