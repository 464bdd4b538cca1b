import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { openSecret } from '../../src/bridge/protocol/commands.ts';
import { deriveKeys, httpBearer, mqttPassword, type DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { verifyCommand } from '../../src/bridge/protocol/signature.ts';
import { createAwaitInFlight } from '../../src/commands/in-flight.ts';
import { keyRotationReactor } from '../../src/commands/policies/key-rotation.ts';
import { runReactor, type Reactor, type RunningReactor } from '../../src/commands/policies/reactor.ts';
import { provisioningReactor } from '../../src/commands/registration.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import { deviceAggregate } from '../../src/domain/registry.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { ada, TestClock, type Backend } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

/** Rotation over the real vault and log, between a server and a box whose every report is written by hand. */

const LOG = '22222222-2222-4222-8222-222222222222';
const MINUTE = 60_000;

const backends = useBackends('each');
const reactors: RunningReactor[] = [];

afterEach(async () => {
  await Promise.all(reactors.splice(0).map((reactor) => reactor.stop()));
});

async function run(backend: Backend, clock: TestClock, reactor: Reactor): Promise<void> {
  const running = runReactor(reactor, { store: backend.store, pool: backend.db.pool, logId: LOG, clock, logger: silentLogger, metrics: backend.metrics });
  await running.start();
  reactors.push(running);
}

async function start() {
  const clock = new TestClock();
  const backend = await backends.start({ clock });
  await backend.startReactor();
  await run(backend, clock, keyRotationReactor(backend.bus));
  await run(backend, clock, provisioningReactor(backend.provisioner, createAwaitInFlight(backend.bus, backend.watches)));
  const box = await backend.box();
  const other = await backend.box();
  return { backend, clock, box, other };
}

const has = (backend: Backend, box: SimulatedBox, type: string) => until(type, async () => (await backend.types(box.stream)).includes(type));
const rotations = (backend: Backend) => backend.downlink.commands('rotate_key');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const passwords = async (backend: Backend, box: SimulatedBox) => (await backend.credentials.credential(box.deviceId))?.passwordHashes;
const order = (box: SimulatedBox) => ({ type: 'StartKeyRotation', data: { deviceId: box.deviceId } }) as const;
const anAdmin = { actor: { kind: 'admin', id: ada } } as const;

/** The first report pins the box to signatures: only then a rotation can begin. It is no quiet one, which would bring the key. */
async function due(backend: Backend, box: SimulatedBox): Promise<void> {
  await box.send('battery', box.make('battery', { level: 85 }));
  await has(backend, box, 'DeviceKeyRotationStarted');
  // Routine reports are held against what this process has at hand: a moment later than the log has it.
  await until('at hand', () => {
    const state = backend.bus.peek<DeviceState>(deviceAggregate, box.deviceId);
    return state?.kind === 'registered' && state.keys.rotatingTo !== null;
  });
}

/** What the box finds in the command, by the key that it has. */
function newKeysIn(box: SimulatedBox, command: Record<string, unknown>): DeviceKeys {
  const secret = openSecret(command['secret'] as string, box.keys.enc, box.deviceId, command['command_id'] as string);
  const { device_key: key } = JSON.parse(secret!) as { device_key: string };
  return deriveKeys(Buffer.from(key, 'hex'), box.deviceId, command['seq'] as number);
}

/** It stores the key and says so with it. */
async function takes(box: SimulatedBox, command: Record<string, unknown>): Promise<void> {
  box.keys = newKeysIn(box, command);
  await box.send('responses', box.makeAnswer(command, { result: 'applied', evidence: undefined, new_status: 'locked' }));
}

/** Reachable, with the second key. */
async function settled(backend: Backend, box: SimulatedBox): Promise<void> {
  await due(backend, box);
  await box.heartbeat();
  await takes(box, await sent(backend));
  await until('over', async () => (await passwords(backend, box))?.length === 1);
  await box.hello();
}

async function sent(backend: Backend, count = 1): Promise<Record<string, unknown>> {
  return (await until('rotate_key', () => rotations(backend)[count - 1])) as Record<string, unknown>;
}

describe('a claim', () => {
  it('makes the box’s key a new one with its next quiet report, and the old one worth nothing', async () => {
    const { backend, clock, box } = await start();
    await due(backend, box);
    // Neither at once nor with a hello: the minute after a claim is when its owner tries the box.
    await box.hello();
    expect(rotations(backend)).toEqual([]);
    await box.heartbeat();
    const command = await sent(backend);
    expect(command).toMatchObject({ seq: 2, key_version: 1, device_id: box.deviceId });
    const old = box.keys;
    const next = newKeysIn(box, command);
    expect(await passwords(backend, box)).toEqual([sha256(mqttPassword(old)), sha256(mqttPassword(next))]);

    const stale = box.makeHeartbeat();
    await takes(box, command);
    await until('only the new password is good', async () => (await passwords(backend, box))?.join() === sha256(mqttPassword(next)));
    expect(await backend.types(box.stream)).toContain('DeviceKeysRotated');
    expect(await backend.deviceKeys.keyring(box.deviceId)).toMatchObject({ current: { keyVersion: 2 }, pending: undefined });
    const ack = await until('acknowledged', () => backend.downlink.published.findLast(({ topic, payload }) => topic.endsWith('system') && payload.includes('"acked"')));
    expect(verifyCommand(ack.payload, next.cmd)).toBe(true);

    // A copy of the old key reports, connects and fetches nothing any more.
    const before = (await backend.live.byId(box.deviceId))?.lastHeardAt;
    clock.advance(1_000);
    await box.send('heartbeat', stale);
    expect((await backend.live.byId(box.deviceId))?.lastHeardAt).toBe(before);
    expect(httpBearer((await backend.keyring.of(box.deviceId))!.current)).not.toBe(httpBearer(old));
  });

  it('is told once, and again a minute later while the box is silent about it', async () => {
    const { backend, clock, box } = await start();
    await due(backend, box);
    await box.heartbeat();
    const first = await sent(backend);
    clock.advance(MINUTE - 1);
    await box.heartbeat();
    expect(rotations(backend)).toHaveLength(1);
    clock.advance(1);
    await box.heartbeat();
    const second = await sent(backend, 2);
    expect(second['command_id']).not.toBe(first['command_id']);
    expect(newKeysIn(box, second).mqtt).toEqual(newKeysIn(box, first).mqtt);
    // Then less and less often, but for a new connection.
    clock.advance(MINUTE);
    await box.heartbeat();
    expect(rotations(backend)).toHaveLength(2);
    await box.hello();
    await sent(backend, 3);
  });

  it('while another rotation is under way makes one more after it', async () => {
    const { backend, box } = await start();
    await due(backend, box);
    await backend.execute({ type: 'UnlinkDevice', data: { deviceId: box.deviceId } });
    const renewed = await backend.registration.regeneratePin(box.deviceId, { commandId: newId(), correlationId: newId(), ...anAdmin, source: 'system' });
    if (renewed.kind === 'refused') throw new Error(renewed.refusal.code);
    const event = (await backend.events(box.stream)).findLast(({ type }) => type === 'DevicePinRegenerated');
    const { pinTag } = event!.data as { pinTag: string };
    await backend.execute({ type: 'AssignDevice', data: { deviceId: box.deviceId, assignmentId: newId(), userId: newId(), pinTag, name: 'Second' } });
    await box.heartbeat();
    await takes(box, await sent(backend));
    await until('the next one', async () => (await backend.types(box.stream)).filter((type) => type === 'DeviceKeyRotationStarted').length === 2);
    // With the first heartbeat that finds it begun; one may be taken in beside it.
    await until('its key is sent', async () => {
      await box.heartbeat();
      return rotations(backend).length === 2;
    });
    await takes(box, await sent(backend, 2));
    expect(await backend.deviceKeys.current(box.deviceId)).toMatchObject({ keyVersion: 3 });
  });
});

describe('an administrator’s order', () => {
  it('is carried out at once', async () => {
    const { backend, other: box } = await start();
    await settled(backend, box);
    await backend.execute(order(box), anAdmin);
    expect(await sent(backend, 2)).toMatchObject({ seq: 3, key_version: 2 });
  });

  it('waits for the end of an opening', async () => {
    const { backend, box } = await start();
    await settled(backend, box);
    await backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId: newId(), cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true } });
    const unlock = await until('sent', () => backend.downlink.commands('unlock')[0]);
    await backend.execute(order(box), anAdmin);
    await box.heartbeat();
    expect(rotations(backend)).toHaveLength(1);
    await box.opens(unlock);
    await box.heartbeat();
    expect(await sent(backend, 2)).toMatchObject({ seq: 3 });
  });

  it('to a box of old firmware is refused', async () => {
    const { backend, other } = await start();
    expect(await backend.execute(order(other), anAdmin)).toMatchObject({ kind: 'refused', refusal: { code: 'key_rotation_unsupported' } });
  });
});

describe('between the new key and its first acknowledged report', () => {
  it('the box is not reachable: an opening asked for now would find nobody', async () => {
    const { backend, box } = await start();
    await due(backend, box);
    await box.heartbeat();
    await takes(box, await sent(backend));
    const ask = () => backend.unlocks.request({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } }, { commandId: newId(), correlationId: newId(), actor: { kind: 'user', id: ada }, source: 'mobile_app' }, 'accepted');
    expect(await ask()).toMatchObject({ kind: 'refused', refusal: { code: 'device_offline' } });
    await box.hello();
    expect(await ask()).toMatchObject({ kind: 'progress' });
    const sentBytes = await until('sent', () => backend.downlink.published.find(({ topic }) => topic.endsWith('unlock')));
    expect(verifyCommand(sentBytes.payload, box.keys.cmd)).toBe(true);
  });

  it('a log that was put back to before it catches up with what the box signs with, and the next rotation can begin', async () => {
    const { backend, box } = await start();
    // Keys and rows are newer than the log: for that the box was never heard, and has its first key.
    await backend.deviceKeys.create(box.deviceId, 2);
    await backend.deviceKeys.promote(box.deviceId, 2);
    await backend.live.save([{ ...(await backend.live.byId(box.deviceId))!, level: 1, keyVersion: 2 }], []);
    box.keys = (await backend.keyring.of(box.deviceId))!.current;
    await box.hello();
    await has(backend, box, 'DeviceKeysRotated');
    expect(await backend.types(box.stream)).toContain('DeviceProtocolPinned');
    await backend.execute(order(box), anAdmin);
    const { state } = await backend.bus.load<DeviceState>(deviceAggregate, box.deviceId);
    expect(state).toMatchObject({ keys: { version: 2, rotatingTo: 3 } });
  });

  it('a server that died after the vault’s write and before the event catches up with the next report', async () => {
    const { backend, box } = await start();
    await due(backend, box);
    await box.heartbeat();
    box.keys = newKeysIn(box, await sent(backend));
    await backend.deviceKeys.promote(box.deviceId, 2);
    await box.heartbeat();
    await has(backend, box, 'DeviceKeysRotated');
    await until('only the new password is good', async () => (await passwords(backend, box))?.join() === sha256(mqttPassword(box.keys)));
  });
});

describe('a box that is provisioned anew', () => {
  const again = (backend: Backend, box: SimulatedBox, context = { commandId: newId(), correlationId: newId() }) =>
    backend.registration.reprovision(box.deviceId, 'lost at the station', { ...context, ...anAdmin, source: 'web_dashboard' });

  it('gets another key, the same for a repeat; what it had is worth nothing, and it may be of old firmware again', async () => {
    const { backend, box } = await start();
    await settled(backend, box);
    const context = { commandId: newId(), correlationId: newId() };
    const first = await again(backend, box, context);
    if (first.kind === 'refused') throw new Error(first.refusal.code);
    const { provisioning } = first;
    expect(provisioning).toMatchObject({ key_version: 3, mqtt: { username: box.deviceId } });
    expect(await passwords(backend, box)).toEqual([sha256(provisioning.mqtt.password)]);
    expect((await backend.types(box.stream)).slice(-2)).toEqual(['DeviceKeysRotated', 'DeviceProtocolUnpinned']);
    expect(await again(backend, box, context)).toMatchObject({ provisioning });
    await until('no longer pinned', async () => (await backend.live.byId(box.deviceId))?.level === 0);

    const heard = (await backend.live.byId(box.deviceId))?.reportSeq;
    await box.heartbeat();
    expect((await backend.live.byId(box.deviceId))?.reportSeq).toBe(heard);
    // Flashed, it counts from the beginning.
    box.keys = deriveKeys(Buffer.from(provisioning.device_key, 'hex'), box.deviceId, provisioning.key_version);
    box.reportSeq = 1_000_000;
    await box.hello();
    expect(await backend.live.byId(box.deviceId)).toMatchObject({ keyVersion: 3, level: 1, reportSeq: 1_000_001, connectId: box.connectId });
    expect(await backend.deviceKeys.keyring(box.deviceId)).toMatchObject({ current: { keyVersion: 3 }, pending: undefined });
  });

  it('in the middle of a rotation: what was on its way is worth nothing either', async () => {
    const { backend, box } = await start();
    await due(backend, box);
    await box.heartbeat();
    const underWay = newKeysIn(box, await sent(backend));
    const reply = await again(backend, box);
    if (reply.kind === 'refused') throw new Error(reply.refusal.code);
    expect(reply.provisioning.key_version).toBe(3);
    expect(await passwords(backend, box)).toEqual([sha256(reply.provisioning.mqtt.password)]);
    const heard = (await backend.live.byId(box.deviceId))?.keyVersion;
    box.keys = underWay;
    await box.hello();
    expect((await backend.live.byId(box.deviceId))?.keyVersion).toBe(heard);
  });

  it('is none that was decommissioned', async () => {
    const { backend, box } = await start();
    await backend.execute({ type: 'DecommissionDevice', data: { deviceId: box.deviceId } });
    expect(await again(backend, box)).toMatchObject({ kind: 'refused', refusal: { code: 'device_decommissioned' } });
  });
});

describe('decommissioning', () => {
  it('hears an opening that was under way to its end, and then ends keys and credential', async () => {
    const { backend, box } = await start();
    await box.hello();
    const unlockId = newId();
    await backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId, cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true } });
    const unlock = await until('sent', () => backend.downlink.commands('unlock')[0]);
    await backend.execute({ type: 'DecommissionDevice', data: { deviceId: box.deviceId } });
    await box.opens(unlock);
    const { state } = await backend.bus.load<DeviceState>(deviceAggregate, box.deviceId);
    expect(state).toMatchObject({ decommissioned: true, unlocks: { current: null, ended: [{ unlockId, mayHaveOpened: true }] } });
    await until('cut off', async () => (await backend.credentials.credential(box.deviceId)) === undefined);
    expect(await backend.deviceKeys.keyring(box.deviceId)).toEqual({ current: undefined, pending: undefined });
  });

  it('cuts off a silent box all the same, and no rotation lets it in again', async () => {
    const { backend, box } = await start();
    await settled(backend, box);
    await backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId: newId(), cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true } });
    await until('sent', () => backend.downlink.commands('unlock')[0]);
    await backend.execute({ type: 'DecommissionDevice', data: { deviceId: box.deviceId } });
    await until('cut off', async () => (await backend.credentials.credential(box.deviceId)) === undefined);
    expect(await backend.provisioner.nextKey(box.deviceId, 3)).toBeUndefined();
    await backend.provisioner.keepOnly(box.deviceId, 3);
    expect(await backend.credentials.credential(box.deviceId)).toBeUndefined();
  });
});

describe('settings', () => {
  const change = (box: SimulatedBox) => ({ type: 'ChangeSettings', data: { deviceId: box.deviceId, userId: ada, changes: { autoLockDelay: 10 } } }) as const;

  it('whose answer was lost are sent again to a box that reports their version', async () => {
    const { backend, clock, box } = await start();
    await box.hello();
    await backend.execute(change(box));
    const first = await until('sent', () => backend.downlink.commands('config')[0]);
    box.configVersion = first['config_version'] as number;
    await box.heartbeat();
    const again = await until('sent again', () => backend.downlink.commands('config')[1]);
    clock.advance(1_000);
    await box.heartbeat();
    expect(backend.downlink.commands('config')).toHaveLength(2);
    await box.send('responses', box.makeAnswer(again, { result: 'applied', evidence: undefined, config_version: 1, rejected: ['auto_lock_delay'] }));
    expect((await backend.events(box.stream)).at(-1)).toMatchObject({ type: 'DeviceSettingsApplied', data: { configVersion: 1, rejected: ['auto_lock_delay'] } });
    clock.advance(MINUTE);
    await box.heartbeat();
    expect(backend.downlink.commands('config')).toHaveLength(2);
  });
});

describe('two boxes with the same keys', () => {
  it('are noticed by their turns, once; a box that only comes and goes is not', async () => {
    const { backend, clock, box } = await start();
    for (let n = 0; n < 20; n++) {
      await box.hello();
      await box.heartbeat();
      clock.advance(5_000);
    }
    expect(await backend.types(box.stream)).not.toContain('DeviceCloneSuspected');
    // The copy began its life with the same counter, and knocks the first one off the broker; so does that in return.
    const [mine, connectId] = [box.reportSeq, box.connectId];
    for (let n = 0; n < 8; n++) {
      box.reportSeq = mine - 1_000 + n;
      await box.hello();
      box.reportSeq = mine + 10 * n;
      await box.hello();
      clock.advance(20_000);
    }
    const suspicions = (await backend.events(box.stream)).filter(({ type }) => type === 'DeviceCloneSuspected');
    expect(suspicions).toHaveLength(1);
    expect((suspicions[0]!.data as { connectIds: readonly string[] }).connectIds).not.toContain(connectId);
  });
});
