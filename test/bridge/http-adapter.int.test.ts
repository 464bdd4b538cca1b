import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isReachable } from '../../src/bridge/presence.ts';
import { httpBearer } from '../../src/bridge/protocol/keys.ts';
import { verifyCommand } from '../../src/bridge/protocol/signature.ts';
import { newId } from '../../src/platform/ids.ts';
import { ada, TestClock, type Backend } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const { start } = useBackends();
const nobody = new AbortController().signal;

/** The same box, its reports POSTed instead of published. */
function overHttp(backend: Backend, { owner, keys }: SimulatedBox, clock = { now: () => Date.now(), monotonic: () => performance.now() }): SimulatedBox {
  return new SimulatedBox(
    owner,
    keys,
    async (topic, payload) => {
      const kind = topic.split('/').at(-1) as 'status' | 'heartbeat' | 'battery' | 'responses';
      expect(await backend.http.report(owner.deviceId, kind, payload)).toBe('taken');
    },
    clock,
  );
}

async function ask(backend: Backend, box: SimulatedBox): Promise<string> {
  const unlockId = newId();
  await backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId, cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true } });
  return unlockId;
}

const fetched = async (backend: Backend, box: SimulatedBox, waitMs = 5_000) => {
  const texts = (await backend.http.commands(box.deviceId, waitMs, nobody)) ?? [];
  return texts.map((text) => ({ text, body: JSON.parse(text) as Record<string, unknown> }));
};
/** Its next unlock; what else is there is passed over. */
const unlockFetched = (backend: Backend, box: SimulatedBox) =>
  until('an unlock to fetch', async () => (await fetched(backend, box, 1_000)).find(({ body }) => body['action'] === 'unlock'));
const published = (backend: Backend, action: string) => backend.downlink.commands(action);

describe('a box without MQTT', () => {
  it('says hello, gets the time, is opened and answers, all by the same bytes', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    const challenge = randomBytes(16).toString('hex');
    const waiting = fetched(backend, box);
    await box.hello({ time_challenge: challenge });
    expect((await waiting)[0]?.body).toMatchObject({ action: 'time', nonce: challenge });
    expect(isReachable((await backend.live.byId(box.deviceId))!, Date.now())).toBe(true);

    const unlockId = await ask(backend, box);
    const { text, body } = await unlockFetched(backend, box);
    expect(verifyCommand(Buffer.from(text), box.keys.cmd)).toBe(true);
    expect(body).toMatchObject({ command_id: unlockId, device_id: box.deviceId });
    expect(await backend.http.acknowledge(box.deviceId, unlockId, Buffer.alloc(0))).toBe('acknowledged');
    await until('that it was handed out is in the log', async () => (await backend.types(box.stream)).includes('UnlockPublished'));
    await box.opens(body);
    expect(await backend.types(box.stream)).toEqual(expect.arrayContaining(['UnlockDispatched', 'UnlockPublished', 'UnlockConfirmed']));
    // The answer must arrive, so it is acknowledged: by a signed `ack`, fetched like the rest.
    const seq = box.reportSeq;
    await until('acknowledged', async () => (await fetched(backend, box, 1_000)).some(({ body: { action, acked } }) => action === 'ack' && (acked as number[]).includes(seq)));
    expect(backend.downlink.published).toEqual([]);
  });

  it('may give its signed answer with the receipt', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    await box.hello();
    const unlockId = await ask(backend, box);
    const { body } = await unlockFetched(backend, box);
    box.lastSeq = body['seq'] as number;
    expect(await backend.http.acknowledge(box.deviceId, unlockId, box.makeAnswer(body))).toBe('acknowledged');
    await until('confirmed', async () => (await backend.types(box.stream)).includes('UnlockConfirmed'));
  });

  it('has its commands one way, that of its newest hello, never both', async () => {
    const backend = await start();
    const overMqtt = await backend.box();
    const box = overHttp(backend, overMqtt);
    await overMqtt.hello();
    box.reportSeq = overMqtt.reportSeq + 1_000_000;
    await box.hello();
    const first = await ask(backend, box);
    await box.opens((await unlockFetched(backend, box)).body);
    expect(published(backend, 'unlock')).toEqual([]);

    overMqtt.reportSeq = box.reportSeq + 1_000_000;
    overMqtt.lastSeq = box.lastSeq;
    await overMqtt.hello();
    const second = await ask(backend, box);
    await until('published', () => published(backend, 'unlock').length === 1);
    expect(published(backend, 'unlock')[0]).toMatchObject({ command_id: second });
    expect((await fetched(backend, box, 0)).filter(({ body }) => body['command_id'] === first || body['command_id'] === second)).toEqual([]);
  });

  it('is reported to by nobody else: its bearer is its own, a pending one too, and none is good once it is out of service', async () => {
    const backend = await start();
    const [box, other] = [await backend.box(), await backend.box()];
    const { http } = backend;
    expect(await http.authenticate(box.deviceId, httpBearer(box.keys), undefined)).toBe(true);
    expect(await http.authenticate(box.deviceId, httpBearer(box.keys).toUpperCase(), undefined)).toBe(false);
    expect(await http.authenticate(box.deviceId, httpBearer(other.keys), '192.0.2.7')).toBe(false);
    expect(await http.authenticate(box.deviceId, box.keys.mqtt.toString('hex'), undefined)).toBe(false);
    expect(await http.authenticate(box.deviceId, '', undefined)).toBe(false);
    expect(await http.authenticate(newId(), httpBearer(box.keys), undefined)).toBe(false);
    const { messages } = await until('it is on the list of strangers', async () => {
      const page = await backend.rejected.ofStrangers();
      return page.messages.some(({ address }) => address === '192.0.2.7') && page;
    });
    expect(messages.find(({ address }) => address === '192.0.2.7')).toMatchObject({ reason: 'wrong_credential', via: 'http', claimed: box.deviceId });
    await backend.provisioner.revoke(box.deviceId);
    expect(await http.authenticate(box.deviceId, httpBearer(box.keys), undefined)).toBe(false);
  });
});

describe('a command that is fetched', () => {
  async function oneToFetch() {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = overHttp(backend, await backend.box(), clock);
    await box.hello();
    const unlockId = await ask(backend, box);
    await until('it waits', async () => (await backend.db.pool.query('SELECT FROM work.device_mailbox WHERE command_id = $1', [unlockId])).rowCount === 1);
    return { clock, backend, box, unlockId };
  }
  const handed = async (backend: Backend, unlockId: string) =>
    (await backend.db.pool.query<{ handed: number }>('SELECT handed FROM work.device_mailbox WHERE command_id = $1', [unlockId])).rows[0]?.handed;

  it('was claimed in the log before, and in its mailbox before its bytes leave', async () => {
    const { backend, box, unlockId } = await oneToFetch();
    expect(await backend.types(box.stream)).toContain('UnlockDispatched');
    const [first] = await fetched(backend, box, 0);
    expect(first?.body).toMatchObject({ command_id: unlockId });
    expect(await handed(backend, unlockId)).toBe(1);
  });

  it('goes to one of many that ask at once', async () => {
    const { backend, box } = await oneToFetch();
    const all = await Promise.all(Array.from({ length: 12 }, () => backend.mailbox.claim(box.deviceId)));
    expect(all.flat()).toHaveLength(1);
  });

  it('comes again with the same bytes while it is not acknowledged, twice more, five seconds apart, and not after its last moment', async () => {
    const { clock, backend, box, unlockId } = await oneToFetch();
    const texts: string[] = [];
    for (let n = 0; n < 6; n++) {
      texts.push(...(await fetched(backend, box, 0)).map(({ text }) => text));
      expect(await fetched(backend, box, 0)).toEqual([]);
      clock.advance(5_000);
    }
    expect(texts).toHaveLength(3);
    expect(new Set(texts).size).toBe(1);
    expect(await handed(backend, unlockId)).toBe(3);
  });

  it('never leaves in the last two seconds before it expires, nor after', async () => {
    const { clock, backend, box, unlockId } = await oneToFetch();
    clock.advance(28_000);
    expect(await fetched(backend, box, 0)).toEqual([]);
    clock.advance(60_000);
    expect(await fetched(backend, box, 0)).toEqual([]);
    expect(await handed(backend, unlockId)).toBe(0);
  });

  it('does not leave when the claim itself took too long', async () => {
    const { clock, backend, box, unlockId } = await oneToFetch();
    clock.advance(27_000);
    const now = clock.now.bind(clock);
    let asked = 0;
    clock.now = () => now() + (asked++ === 0 ? 0 : 1_500); // the statement takes a second and a half
    expect(await backend.mailbox.claim(box.deviceId)).toEqual([]);
    clock.now = now;
    expect(await handed(backend, unlockId)).toBe(1); // claimed all the same: nobody else gets it either
  });

  it('does not come again once it is acknowledged; another box cannot do that, nor one that never had it', async () => {
    const { clock, backend, box, unlockId } = await oneToFetch();
    expect(await backend.http.acknowledge(box.deviceId, unlockId, Buffer.alloc(0))).toBe('not_found'); // not handed out yet
    await fetched(backend, box, 0);
    expect(await backend.http.acknowledge((await backend.box()).deviceId, unlockId, Buffer.alloc(0))).toBe('not_found');
    expect(await backend.http.acknowledge(box.deviceId, newId(), Buffer.alloc(0))).toBe('not_found');
    expect(await backend.http.acknowledge(box.deviceId, unlockId, Buffer.alloc(0))).toBe('acknowledged');
    expect(await backend.http.acknowledge(box.deviceId, unlockId, Buffer.alloc(0))).toBe('acknowledged');
    clock.advance(6_000);
    expect(await fetched(backend, box, 0)).toEqual([]);
  });

  it('is made once: a relay that brings it again puts nothing beside it', async () => {
    const { backend, unlockId } = await oneToFetch();
    const { rows } = await backend.db.pool.query<{ device_id: string; payload: Buffer }>('SELECT device_id, payload FROM work.device_mailbox WHERE command_id = $1', [unlockId]);
    const again = { deviceId: rows[0]!.device_id, commandId: unlockId, action: 'unlock', via: 'http', topic: '', payload: Buffer.from('other bytes'), qos: 1, expiresAt: Date.now() + 99_000, level: 1 } as const;
    await backend.mailbox.put(again);
    const after = await backend.db.pool.query<{ payload: Buffer }>('SELECT payload FROM work.device_mailbox WHERE command_id = $1', [unlockId]);
    expect(after.rows.map(({ payload }) => payload)).toEqual([rows[0]!.payload]);
  });

  it('is forgotten after a while', async () => {
    const { clock, backend, unlockId } = await oneToFetch();
    await backend.mailbox.prune();
    expect(await handed(backend, unlockId)).toBe(0);
    clock.advance(700_000);
    await backend.mailbox.prune();
    expect(await handed(backend, unlockId)).toBeUndefined();
  });
});

describe('a poll', () => {
  it('waits no longer than it is told, ends for a newer one, for a caller who is gone, and at a stop', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    await box.hello();
    const { http } = backend;
    expect(await http.commands(box.deviceId, 1, nobody)).toEqual([]);
    const older = http.commands(box.deviceId, 60_000, nobody);
    const gone = new AbortController();
    const newer = http.commands(box.deviceId, 60_000, gone.signal);
    expect(await older).toEqual([]);
    gone.abort();
    expect(await newer).toEqual([]);
    const last = http.commands(box.deviceId, 60_000, nobody);
    http.endPolls();
    expect(await last).toEqual([]);
    expect(await http.commands(box.deviceId, 60_000, nobody)).toEqual([]);
  });

  it('claims nothing for a caller who is gone', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    await box.hello();
    const gone = new AbortController();
    const poll = backend.http.commands(box.deviceId, 60_000, gone.signal);
    gone.abort();
    await poll;
    await ask(backend, box);
    expect((await unlockFetched(backend, box)).body).toMatchObject({ action: 'unlock' });
  });

  it('gives back what it claimed for a caller who went away meanwhile: not a byte of it has left', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    await box.hello();
    const unlockId = await ask(backend, box);
    await until('it waits', async () => (await backend.db.pool.query('SELECT FROM work.device_mailbox WHERE command_id = $1', [unlockId])).rowCount === 1);
    const gone = new AbortController();
    const claim = backend.mailbox.claim.bind(backend.mailbox);
    backend.mailbox.claim = async (deviceId) => {
      const found = await claim(deviceId);
      gone.abort();
      return found;
    };
    expect(await backend.http.commands(box.deviceId, 1_000, gone.signal)).toEqual([]);
    backend.mailbox.claim = claim;
    expect((await fetched(backend, box, 0)).map(({ body }) => body['command_id'])).toContain(unlockId);
  });

  it('and reports have their limits: five a second, thirty at once', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const plain = await backend.box();
    const box = overHttp(backend, plain, clock);
    await box.hello();
    const outcomes = [];
    for (let n = 0; n < 35; n++) outcomes.push(await backend.http.report(box.deviceId, 'heartbeat', box.makeHeartbeat()));
    expect(outcomes.filter((outcome) => outcome === 'too_many')).toHaveLength(6);
    for (let n = 0; n < 31; n++) await backend.http.commands(box.deviceId, 0, nobody);
    expect(await backend.http.commands(box.deviceId, 0, nobody)).toBeUndefined();
    clock.advance(1_000);
    expect(await backend.http.report(box.deviceId, 'heartbeat', box.makeHeartbeat())).toBe('taken');
    expect(await backend.http.commands(box.deviceId, 0, nobody)).toEqual([]);
  });
});

describe('what comes over HTTP and does not count', () => {
  it('is too large, of a kind that the family has not, or unsigned from a pinned box (conformance 30)', async () => {
    const backend = await start();
    const box = overHttp(backend, await backend.box());
    await box.hello();
    const before = await backend.live.byId(box.deviceId);
    const types = await backend.types(box.stream);
    expect(await backend.http.report(box.deviceId, 'status', Buffer.alloc(4_097, 0x20))).toBe('too_large');
    for (const kind of ['status', 'heartbeat', 'battery', 'responses'] as const) {
      expect(await backend.http.report(box.deviceId, kind, Buffer.from('{"status":"unlocked","online":false,"battery":1,"level":1,"success":true,"new_status":"unlocked"}'))).toBe('taken');
    }
    expect(await backend.live.byId(box.deviceId)).toEqual(before);
    expect(await backend.types(box.stream)).toEqual(types);
    const { counts, messages } = await until('all are recorded', async () => {
      const page = await backend.rejected.ofDevice(box.deviceId);
      return page.messages.length === 5 && page;
    });
    expect(counts).toMatchObject([{ reason: 'unsigned_from_pinned', messages: 4 }, { reason: 'too_large', messages: 1 }]);
    expect(messages.every(({ via }) => via === 'http')).toBe(true);
    const old = await backend.box({ profile: 'smartlock', hardwareId: 'HW-HTTP' });
    expect(await backend.http.report(old.deviceId, 'battery', Buffer.from('{"level":5}'))).toBe('no_such_kind');
    expect(await backend.http.report(newId(), 'status', Buffer.from('{}'))).toBe('no_such_kind');
  });

  it('old firmware is heard, and fetches nothing: it would obey however late', async () => {
    const backend = await start();
    const box = await backend.box();
    expect(await backend.http.report(box.deviceId, 'status', Buffer.from('{"status":"locked","battery":70,"online":true}'))).toBe('taken');
    expect(await backend.types(box.stream)).toContain('BatteryLevelChanged');
    const row = (await backend.live.byId(box.deviceId))!;
    expect(row.battery).toBe(70);
    expect(isReachable(row, Date.now())).toBe(false);
    await ask(backend, box);
    await until('it is cancelled', async () => (await backend.types(box.stream)).includes('UnlockCancelled'));
    expect(await fetched(backend, box, 0)).toEqual([]);
  });
});
