import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LiveDevice } from '../../src/bridge/live-devices.ts';
import { createOfflineCheck, offlineWatch } from '../../src/bridge/offline.ts';
import { isReachable } from '../../src/bridge/presence.ts';
import { signReport } from '../../src/bridge/protocol/signature.ts';
import { EventStoreUnavailable } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { ada, asSystem, TestClock, type Backend, type BackendOptions } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const { start } = useBackends();

const rowOf = async (backend: Backend, box: SimulatedBox): Promise<LiveDevice> => (await backend.live.byId(box.deviceId))!;
const telemetryOf = async (backend: Backend, box: SimulatedBox): Promise<number> =>
  (await backend.db.pool.query('SELECT FROM work.telemetry WHERE device_id = $1', [box.deviceId])).rowCount ?? 0;
/** What an administrator reads of it, once it is written. */
const rejectedOf = (backend: Backend, box: SimulatedBox) =>
  until('it is recorded', async () => {
    const { messages } = await backend.rejected.ofDevice(box.deviceId);
    return messages.length > 0 && messages;
  });
const acked = (backend: Backend): number[] => backend.downlink.commands('ack').flatMap((command) => command['acked'] as number[]);

/** An opening under way; the command as the box got it. */
async function opening(backend: Backend, box: SimulatedBox): Promise<Record<string, unknown>> {
  const before = backend.downlink.commands('unlock').length;
  await backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId: newId(), cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true } });
  return until('sent', () => backend.downlink.commands('unlock')[before]);
}

describe.each([{ soleWriter: true }, { soleWriter: false }])('reports (rows in memory: $soleWriter)', (options) => {
  it('that change a fact become events, with when the box and when we had it; the rest is telemetry', async () => {
    const backend = await start(options);
    const box = await backend.box();
    await box.hello();
    const after = await backend.types(box.stream);
    expect(after.slice(-5)).toEqual(['DeviceProtocolPinned', 'DeviceWentOnline', 'LockStateReported', 'FirmwareReported', 'BatteryLevelChanged']);
    await box.heartbeat();
    await box.heartbeat({ uptime: 120, signal_strength: -70 });
    expect(await backend.types(box.stream)).toEqual(after);
    expect(await telemetryOf(backend, box)).toBe(3);
    expect(await rowOf(backend, box)).toMatchObject({ level: 1, uptime: 120, signalStrength: -70, reportSeq: box.reportSeq, connectId: box.connectId });
    const event = (await backend.events(box.stream)).at(-1)!;
    expect(event.metadata).toMatchObject({ actor: { kind: 'device', id: box.deviceId }, source: 'mqtt_device' });
    expect(event.metadata.receivedAt).toBeDefined();
    expect(event.metadata.deviceTime).toBeDefined();
  });

  it('that come twice have one effect, and are acknowledged twice', async () => {
    const backend = await start(options);
    const box = await backend.box();
    await box.hello();
    const command = await opening(backend, box);
    const answer = box.makeAnswer(command);
    const changed = box.makeStatus('changed', { status: 'unlocked', cause: 'command', command_id: command['command_id'] });
    for (let n = 0; n < 2; n++) {
      await box.send('responses', answer);
      await box.send('status', changed);
    }
    const types = await backend.types(box.stream);
    expect(types.filter((type) => type === 'UnlockConfirmed')).toHaveLength(1);
    expect(types.filter((type) => type === 'LockStateReported')).toHaveLength(2);
    expect(types).not.toContain('UnexplainedOpening');
    const numbers = [answer, changed].map((bytes) => (JSON.parse(bytes.toString()) as { report_seq: number }).report_seq);
    await until('acknowledged', () => numbers.every((number) => acked(backend).filter((other) => other === number).length === 2));
  });

  it('that are late are kept as history and change nothing of now', async () => {
    const backend = await start(options);
    const box = await backend.box();
    await box.hello();
    const late = box.makeStatus('changed', { status: 'jammed', cause: 'manual' });
    await box.tell('periodic', { status: 'locked', battery: 50 });
    const before = await backend.types(box.stream);
    await box.send('status', late);
    expect(await backend.types(box.stream)).toEqual(before);
    expect((await rowOf(backend, box)).facts).toMatchObject({ lockStatus: 'locked', battery: 50 });
    expect(await telemetryOf(backend, box)).toBe(3);
    await until('acknowledged', () => acked(backend).includes((JSON.parse(late.toString()) as { report_seq: number }).report_seq));
  });
});

describe('what a PUBACK and an ack stand for', () => {
  it('an ack is sent only after the events and the row are durable', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    let durable: boolean | undefined;
    const changed = box.makeStatus('changed', { status: 'unlocked', cause: 'manual' });
    backend.downlink.answer = async (_, payload) => {
      if ((JSON.parse(payload.toString()) as { action: string }).action === 'ack') {
        const { rowCount } = await backend.db.pool.query('SELECT FROM work.telemetry WHERE device_id = $1 AND report_seq = $2', [box.deviceId, box.reportSeq]);
        durable = rowCount === 1 && (await backend.types(box.stream)).includes('LockStateReported');
      }
      return { delivered: true };
    };
    await box.send('status', changed);
    await until('acknowledged', () => durable !== undefined);
    expect(durable).toBe(true);
  });

  it.each([
    ['log', new EventStoreUnavailable('away')],
    ['database', new Error('Connection terminated unexpectedly')],
  ])('neither comes while the %s is away; the repeat then has its effect once', async (_what, error) => {
    let away = false;
    const backend = await start({
      store: (store) => ({
        ...store,
        append: (...args) => (away ? Promise.reject(error) : store.append(...args)),
      }),
    });
    const box = await backend.box();
    await box.hello();
    const changed = box.makeStatus('changed', { status: 'unlocked', cause: 'manual' });
    away = true;
    await expect(box.send('status', changed)).rejects.toThrow();
    expect(acked(backend)).not.toContain(box.reportSeq);
    expect(await telemetryOf(backend, box)).toBe(1);
    away = false;
    await box.send('status', changed);
    expect((await backend.types(box.stream)).filter((type) => type === 'LockStateReported')).toHaveLength(2);
    await until('acknowledged', () => acked(backend).includes(box.reportSeq));
  });

  it('the trouble of one box is not that of the boxes behind it', async () => {
    const backend = await start();
    const [sick, sound] = [await backend.box(), await backend.box()];
    await Promise.all([sick.hello(), sound.hello()]);
    // A newer build has written to its stream: this one must not decide there.
    await backend.store.append(sick.stream, 'any', [
      { eventId: newId(), type: 'FromTheFuture', data: {}, metadata: { ...asSystem(), causationId: newId(), schemaVersion: 1, occurredAt: new Date().toISOString() } },
    ]);
    await Promise.all([sick.tell('changed', { status: 'unlocked', cause: 'manual' }), sound.tell('changed', { status: 'unlocked', cause: 'manual' })]);
    expect((await backend.types(sound.stream)).filter((type) => type === 'LockStateReported')).toHaveLength(2);
    await until('acknowledged', () => acked(backend).includes(sound.reportSeq));
    expect(backend.downlink.commands('ack').some((command) => command['device_id'] === sick.deviceId)).toBe(false);
    expect(await rejectedOf(backend, sick)).toMatchObject([{ reason: 'undecided' }]);
  });

  it('no payload of a known box, however odd, stops the line', async () => {
    const backend = await start();
    const box = await backend.box();
    const old = await backend.box({ profile: 'smartlock', hardwareId: 'HW-FUZZ' });
    await box.hello();
    const odd = fc.oneof(
      fc.constantFrom(0, -1, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER, 1e300, null, true, '', '\u0000', '\ud800', '\u2028', '"{\\', '\n\t', [], {}, { a: [[[[1]]]] }),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.integer(),
    );
    const members = ['config_version', 'last_seq', 'uptime', 'battery', 'signal_strength', 'firmware_version', 'extra', 'reason', 'status', 'level', 'online', 'last_executed', 'capabilities', 'protocols', 'connect_id'];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('status' as const, 'heartbeat' as const, 'battery' as const, 'responses' as const),
        fc.dictionary(fc.constantFrom(...members), odd, { maxKeys: 3 }),
        fc.boolean(),
        async (kind, over, pretty) => {
          const body = kind === 'heartbeat' ? (JSON.parse(box.makeHeartbeat().toString()) as object) : box.statusBody('hello');
          const whole = { v: 1, device_id: box.deviceId, report_seq: ++box.reportSeq, key_version: 1, connect_id: box.connectId, time_ok: false, level: 5, ...body, ...over };
          delete (whole as { signature?: string }).signature;
          const text = JSON.stringify(whole, undefined, pretty ? 2 : undefined);
          await box.send(kind, signReport(kind, text.trimEnd(), box.keys.rpt));
          if (kind !== 'battery') await old.unsigned(kind, { online: true, success: true, ...over });
        },
      ),
      { numRuns: 150 },
    );
    await box.hello({ config_version: 2 ** 45 });
    expect(await rowOf(backend, box)).toMatchObject({ configVersion: 2 ** 45, reportSeq: expect.any(Number) as number });
    expect(await backend.metric('loqey_relay_handler_failures_total')).toBe(0);
  }, 60_000);

  it('a payload is kept byte for byte', async () => {
    const backend = await start();
    const box = await backend.box();
    const payload = signReport('battery', `{"v":1,\n\t"device_id":"${box.deviceId}","report_seq":7,"key_version":1,"connect_id":"${box.connectId}","time_ok":false,"level":50,"note":"\\u0000 \\\\ \\" ☃"}`, box.keys.rpt);
    await box.send('battery', payload);
    const { rows } = await backend.db.pool.query<{ body: string }>('SELECT body FROM work.telemetry WHERE device_id = $1', [box.deviceId]);
    expect(rows[0]?.body).toBe(payload.toString());
  });
});

describe('a pinned box', () => {
  it('has nothing unsigned counted in any family, and it is counted (conformance 30)', async () => {
    const backend = await start();
    const boxes = [
      await backend.box(),
      await backend.box({ profile: 'loqey_serial' }),
      await backend.box({ profile: 'smartlock', hardwareId: 'HW-30' }),
      await backend.box({ profile: 'transisttag' }),
    ];
    for (const box of boxes) {
      await box.tell('hello'); // signed, in whatever family
      await backend.execute({ type: 'PinProtocol', data: { deviceId: box.deviceId } });
      await backend.live.setLevel(box.deviceId, 1);
      const before = { types: await backend.types(box.stream), row: await rowOf(backend, box), telemetry: await telemetryOf(backend, box) };
      const bodies = { device_id: box.deviceId, status: 'unlocked', lock_status: 'unlocked', online: false, battery: 1, level: 1, success: true, new_status: 'unlocked' };
      let sent = 0;
      for (const kind of ['status', 'heartbeat', 'battery', 'responses'] as const) {
        await box.unsigned(kind, bodies).then(() => sent++, () => undefined); // a family without that topic
      }
      expect(await backend.types(box.stream)).toEqual(before.types);
      expect(await rowOf(backend, box)).toEqual(before.row);
      expect(await telemetryOf(backend, box)).toBe(before.telemetry);
      expect((await rejectedOf(backend, box)).filter(({ reason }) => reason === 'unsigned_from_pinned').length).toBeGreaterThan(0);
    }
  });

  it('is pinned by its first signed report, also by one that says nothing new', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.send('responses', box.makeAnswer({ action: 'config', command_id: newId(), seq: 1 }, { result: 'applied', executed: true, config_version: 0 }));
    expect(await backend.types(box.stream)).toContain('DeviceProtocolPinned');
    expect((await rowOf(backend, box)).level).toBe(1);
  });

  it('keeps its pin when the devices’ side forgot it and the log is gone through again', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await backend.live.setLevel(box.deviceId, 0);
    const { provisioningReactor } = await import('../../src/commands/registration.ts');
    const reactor = provisioningReactor(backend.provisioner, async () => undefined);
    for (const event of await backend.events(box.stream)) if (reactor.eventTypes.includes(event.type)) await reactor.react(event);
    expect((await rowOf(backend, box)).level).toBe(1);
  });
});

describe('what is not the box’s', () => {
  it.each([
    ['a signature of another key', (box: SimulatedBox, other: SimulatedBox) => signReport('heartbeat', JSON.parse(box.makeHeartbeat().toString()) as object, other.keys.rpt), 'bad_signature'],
    ['a report of another kind', (box: SimulatedBox) => box.makeStatus('periodic'), 'bad_signature'],
    ['another box’s id under its own key', (box: SimulatedBox, other: SimulatedBox) => box.make('heartbeat', { device_id: other.deviceId }), 'wrong_device'],
    ['one flipped bit', (box: SimulatedBox) => flipped(box.makeHeartbeat()), 'bad_signature'],
  ])('%s has no effect and is counted', async (_, make, problem) => {
    const backend = await start();
    const [box, other] = [await backend.box(), await backend.box()];
    await box.hello();
    const before = await rowOf(backend, box);
    await box.send('heartbeat', make(box, other));
    expect(await rowOf(backend, box)).toEqual(before);
    expect(await rejectedOf(backend, box)).toMatchObject([{ reason: problem }]);
  });

  it('a message on another family leaves the row to those that are its own', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const before = await rowOf(backend, box);
    const saved: string[] = [];
    const save = backend.live.save.bind(backend.live);
    backend.live.save = (devices, ...rest) => (saved.push(...devices.map(({ deviceId }) => deviceId)), save(devices, ...rest));
    await backend.uplink('/topic/transisttag/status', Buffer.from(JSON.stringify({ device_id: box.deviceId, status: 'unlocked', battery: 3 })));
    expect(saved).not.toContain(box.deviceId);
    expect(await rowOf(backend, box)).toEqual(before);
    expect(await rejectedOf(backend, box)).toMatchObject([{ reason: 'wrong_family' }]);
  });

  it('a box that nobody registered is counted and forgotten', async () => {
    const backend = await start();
    await backend.uplink(`loqey/devices/${newId()}/status`, Buffer.from('{}'));
    expect(await backend.metric('loqey_device_reports_dropped_total')).toBe(1);
  });
});

describe('openings', () => {
  it('by a command that was never dispatched are alerted once', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const commandId = newId();
    for (let n = 0; n < 3; n++) await box.tell('changed', { status: 'unlocked', cause: 'command', command_id: commandId });
    expect((await backend.types(box.stream)).filter((type) => type === 'UnexplainedOpening')).toHaveLength(1);
  });

  it('by force are alerted, by key and keypad not', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await box.tell('changed', { status: 'unlocked', cause: 'manual' });
    await box.tell('changed', { status: 'locked', cause: 'auto_relock' });
    await box.tell('changed', { status: 'unlocked', cause: 'keypad' });
    expect(await backend.types(box.stream)).not.toContain('UnexplainedOpening');
    await box.tell('changed', { status: 'unlocked', cause: 'unknown' });
    expect(await backend.types(box.stream)).toContain('UnexplainedOpening');
  });

  it('told late are openings still', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const late = box.makeStatus('changed', { status: 'unlocked', cause: 'unknown' });
    await box.tell('periodic', { status: 'locked' });
    await box.send('status', late);
    await box.send('status', late);
    expect((await backend.types(box.stream)).filter((type) => type === 'UnexplainedOpening')).toHaveLength(1);
  });
});

describe('an outcome that is unknown', () => {
  async function unknown(options: Partial<BackendOptions> = {}) {
    const clock = new TestClock();
    const backend = await start({ clock, ...options });
    await backend.startReactor();
    const box = await backend.box();
    await box.hello();
    const command = await opening(backend, box);
    clock.advance(40_001);
    await box.heartbeat();
    await backend.execute({ type: 'ExpireUnlock', data: { deviceId: box.deviceId, unlockId: command['command_id'] as string } });
    expect(await backend.types(box.stream)).toContain('UnlockOutcomeUnknown');
    return { backend, box, command, clock };
  }
  const settled = async (backend: Backend, box: SimulatedBox) => (await backend.events(box.stream)).find(({ type }) => type === 'UnlockSettled')?.data;

  it('makes the server ask the box, and its answer settles it', async () => {
    const { backend, box, command } = await unknown();
    await until('asked', () => backend.downlink.commands('report').length > 0);
    box.lastSeq = command['seq'] as number;
    box.executed = [{ command_id: command['command_id'] as string, seq: box.lastSeq, result: 'opened' }];
    await box.tell('requested');
    expect(await settled(backend, box)).toMatchObject({ outcome: 'opened', useReturned: false });
  });

  it.each(['hello', 'changed', 'periodic'])('is settled by a %s status as well', async (reason) => {
    const { backend, box } = await unknown();
    await box.tell(reason, reason === 'changed' ? { cause: 'manual', status: 'locked' } : {});
    expect(await settled(backend, box)).toMatchObject({ outcome: 'not_opened', useReturned: true });
  });

  it('stays unknown by a status of another journal, or by a clock that is not trusted', async () => {
    const { backend, box } = await unknown();
    await box.tell('periodic', { journal_id: 'ffffffffffffffff' });
    expect(await settled(backend, box)).toBeUndefined();
    await box.tell('periodic', { time_ok: false });
    expect(await settled(backend, box)).toBeUndefined();
  });

  it('is asked about again after a hello, which comes before the box knows the time', async () => {
    const { backend, box } = await unknown();
    await until('asked', () => backend.downlink.commands('report').length === 1);
    await box.hello({ time_ok: false });
    expect(await settled(backend, box)).toBeUndefined();
    await until('asked again', () => backend.downlink.commands('report').length === 2);
    await box.tell('requested');
    expect(await settled(backend, box)).toMatchObject({ outcome: 'not_opened', useReturned: true });
  });

  it('is asked about again after the next opening: eight more, and the list of the box would not reach back', async () => {
    const { backend, box, command, clock } = await unknown();
    const asked = () => backend.downlink.commands('report').length;
    await until('asked', () => asked() === 1);
    // That answer tells nothing: the box has not taken the number, and does not know that the time is over.
    await box.tell('requested', { time_ok: false });
    await box.heartbeat();
    await until('asked with the heartbeat', () => asked() === 2);
    clock.advance(2_000);
    const next = await opening(backend, box);
    box.lastSeq = next['seq'] as number;
    box.executed = [{ command_id: next['command_id'] as string, seq: box.lastSeq, result: 'opened' }];
    await box.opens(next);
    await until('asked again', () => asked() === 3);
    await box.tell('requested');
    expect(await settled(backend, box)).toMatchObject({ unlockId: command['command_id'], outcome: 'not_opened', useReturned: true });
    await box.opens(await opening(backend, box));
    await box.heartbeat();
    expect(asked()).toBe(3);
  });

  it('is settled by the answer itself, when that comes at last', async () => {
    const { backend, box, command } = await unknown();
    await box.opens(command);
    expect(await settled(backend, box)).toMatchObject({ outcome: 'opened', useReturned: false });
  });
});

describe('time', () => {
  it('is answered to each new challenge, from the clock of that moment, and not to an old one', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    const challenge = 'f0e1d2c3b4a5968778695a4b3c2d1e0f';
    await box.hello({ time_challenge: challenge });
    const [time] = await until('answered', () => (backend.downlink.commands('time').length > 0 ? backend.downlink.commands('time') : undefined));
    expect(time).toMatchObject({ nonce: challenge, seq: 0, issued_at: new Date(clock.now()).toISOString() });
    const late = box.makeHeartbeat({ time_challenge: '00000000000000000000000000000000' });
    await box.heartbeat();
    await box.send('heartbeat', late);
    await box.send('heartbeat', late);
    await box.heartbeat({ time_challenge: '11111111111111111111111111111111' });
    await until('answered', () => backend.downlink.commands('time').length === 2);
    expect(backend.downlink.commands('time').map(({ nonce }) => nonce)).toEqual([challenge, '11111111111111111111111111111111']);
  });
});

describe('the answer to a hello', () => {
  const challenge = 'f0e1d2c3b4a5968778695a4b3c2d1e0f';

  it('is sent when the hello is durable: a box that has its time can be opened', async () => {
    const backend = await start({ soleWriter: false });
    const box = await backend.box();
    let reachable: boolean | undefined;
    backend.downlink.answer = async (_, payload) => {
      if ((JSON.parse(payload.toString()) as { action: string }).action === 'time') reachable = isReachable(await rowOf(backend, box), Date.now());
      return { delivered: true };
    };
    await box.hello({ time_challenge: challenge });
    await until('answered', () => reachable !== undefined);
    expect(reachable).toBe(true);
  });

  it('does not come where the hello could not be kept, so that the box says it again', async () => {
    const backend = await start();
    const box = await backend.box();
    const save = backend.live.save.bind(backend.live);
    backend.live.save = () => Promise.reject(new Error('the database is away'));
    await expect(box.hello({ time_challenge: challenge })).rejects.toThrow();
    expect(backend.downlink.commands('time')).toEqual([]);
    backend.live.save = save;
    await box.hello({ time_challenge: challenge });
    await until('answered', () => backend.downlink.commands('time').length === 1);
  });

  it('is not had by asking in another report on a connection that never said hello', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.heartbeat({ time_challenge: '11111111111111111111111111111111' });
    await box.tell('periodic', { time_challenge: '22222222222222222222222222222222' });
    await box.hello({ time_challenge: challenge });
    const onTheFirst = box.connectId;
    box.connectId = 'ffffffffffffffff';
    await box.heartbeat({ time_challenge: '33333333333333333333333333333333' });
    box.connectId = onTheFirst;
    await box.heartbeat({ time_challenge: '44444444444444444444444444444444' });
    await until('answered', () => backend.downlink.commands('time').length === 2);
    expect(backend.downlink.commands('time').map(({ nonce }) => nonce)).toEqual([challenge, '44444444444444444444444444444444']);
  });
});

describe('settings', () => {
  const change = (backend: Backend, box: SimulatedBox, seconds: number) =>
    backend.execute({ type: 'ChangeSettings', data: { deviceId: box.deviceId, userId: ada, changes: { autoLockDelay: seconds } } });
  const sentConfigs = (backend: Backend) => backend.downlink.commands('config').map((command) => command['config_version']);

  it('are sent when they change, and again at most once a minute to a box that reports older ones', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    await backend.startReactor();
    const box = await backend.box();
    await box.hello();
    await change(backend, box, 60);
    await until('sent', () => sentConfigs(backend).length === 1);
    await box.heartbeat(); // has not applied it
    await until('sent again', () => sentConfigs(backend).length === 2);
    await box.heartbeat();
    await box.hello();
    expect(sentConfigs(backend)).toHaveLength(2);
    clock.advance(60_000);
    await box.heartbeat();
    await until('sent again', () => sentConfigs(backend).length === 3);
    const command = backend.downlink.commands('config').at(-1)!;
    await box.send('responses', box.makeAnswer(command, { result: 'applied', config_version: command['config_version'] }));
    box.configVersion = command['config_version'] as number;
    clock.advance(60_000);
    await box.heartbeat();
    expect(sentConfigs(backend)).toEqual([1, 1, 1]);
    expect(await backend.types(box.stream)).toContain('DeviceSettingsApplied');
  });

  it('of a box that is ahead (a restored server) jump beyond what it has', async () => {
    const backend = await start();
    await backend.startReactor();
    const box = await backend.box();
    box.configVersion = 41;
    await box.hello();
    await until('sent', () => sentConfigs(backend).includes(42));
    expect(new Set(sentConfigs(backend))).toEqual(new Set([42]));
  });
});

describe('presence', () => {
  it('begins with a hello, ends with the will or bye of the same connection, and not with an older one’s', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    const reachable = async () => isReachable(await rowOf(backend, box), clock.now());
    await box.heartbeat();
    expect(await reachable()).toBe(false); // no hello yet
    await box.hello();
    expect(await reachable()).toBe(true);
    const oldWill = box.makeStatus('will', { online: false });
    await box.hello();
    await box.send('status', oldWill);
    expect(await reachable()).toBe(true);
    await box.send('status', box.makeStatus('will', { online: false }));
    expect(await reachable()).toBe(false);
    await box.hello();
    await box.tell('bye', { online: false });
    expect(await reachable()).toBe(false);
    await box.hello();
    clock.advance(150_001);
    expect(await reachable()).toBe(false);
    await box.heartbeat();
    expect(await reachable()).toBe(true);
  });

  it('is not brought back by an old hello, nor missed when a newer report overtook it', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const old = box.makeStatus('hello');
    await box.hello();
    await box.tell('bye', { online: false });
    await box.send('status', old);
    expect(isReachable(await rowOf(backend, box), Date.now())).toBe(false);
    box.connectId = 'aaaaaaaaaaaaaaaa';
    const hello = box.makeStatus('hello');
    await box.heartbeat();
    await box.send('status', hello);
    expect(isReachable(await rowOf(backend, box), Date.now())).toBe(true);
  });

  it('of a box that fell silent ends in the log, and its next word brings it back', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    clock.advance(301_000);
    const stop = new AbortController();
    const watching = offlineWatch({ check: createOfflineCheck({ bus: backend.bus, live: backend.live, clock, logger: silentLogger }), logger: silentLogger })(stop.signal);
    await until('offline', async () => (await backend.types(box.stream)).includes('DeviceWentOffline'));
    await box.heartbeat();
    stop.abort();
    await watching;
    expect((await backend.types(box.stream)).filter((type) => type === 'DeviceWentOnline')).toHaveLength(2);
  });

  it('recorded as ended while the box came back is put right', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    clock.advance(301_000);
    // The watch has seen its silence and is just about to record it, when it speaks.
    const markOffline = backend.live.markOffline.bind(backend.live);
    backend.live.markOffline = async (...args) => {
      await box.heartbeat();
      return markOffline(...args);
    };
    const stop = new AbortController();
    const watching = offlineWatch({ check: createOfflineCheck({ bus: backend.bus, live: backend.live, clock, logger: silentLogger }), logger: silentLogger })(stop.signal);
    await until('recorded', async () => (await backend.types(box.stream)).at(-1) === 'DeviceWentOnline' && (await backend.types(box.stream)).includes('DeviceWentOffline'));
    stop.abort();
    await watching;
    expect((await rowOf(backend, box)).facts['online']).toBe(true);
  });
});

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[20]! ^= 1;
  return copy;
}
