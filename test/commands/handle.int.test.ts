import { describe, expect, it } from 'vitest';
import { ConcurrencyConflict, KeyUsedLongAgo, type AnyCommand } from '../../src/commands/port.ts';
import { deviceAggregate } from '../../src/domain/registry.ts';
import { isSealed } from '../../src/domain/kernel.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import { AppendOutcomeUnknown, WrongExpectedRevision, type EventStore } from '../../src/platform/event-store/port.ts';
import { derivedCommandId, newId } from '../../src/platform/ids.ts';
import { ada, asSystem, TestClock } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const { start } = useBackends();

const user = { kind: 'user', id: ada } as const;
const rename = (box: SimulatedBox, name = 'Front door'): AnyCommand => ({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: ada, name } });
const link = (box: SimulatedBox, linkId = newId(), maxUses = 1): AnyCommand => ({
  type: 'CreateLink',
  data: {
    deviceId: box.deviceId,
    linkId,
    userId: ada,
    token: `token-of-${linkId}`,
    tokenHash: `hash-of-${linkId}`,
    expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    latestExpiry: new Date(Date.now() + 7_200_000).toISOString(),
    maxUses,
    requireIdentity: false,
  },
});

/** A store that counts reads of streams. */
function counting(into: { reads: number }): (store: EventStore) => EventStore {
  return (store) => ({
    ...store,
    readStream(...args) {
      into.reads++;
      return store.readStream(...args);
    },
  });
}

describe('a command', () => {
  it('happens: its events are in the log, with who, from where and because of what', async () => {
    const backend = await start();
    const box = await backend.box();
    const context = { ...asSystem(), actor: user, source: 'mobile_app' as const, traceparent: '00-1-2-01', origin: { ip: '192.0.2.7' } };
    const outcome = await backend.bus.execute(rename(box), context);
    expect(outcome).toMatchObject({ kind: 'accepted', repeated: false, events: [{ type: 'DeviceRenamed' }] });
    const stored = (await backend.events(box.stream)).at(-1)!;
    expect(stored.metadata).toMatchObject({
      commandId: context.commandId,
      correlationId: context.correlationId,
      causationId: context.commandId,
      actor: user,
      source: 'mobile_app',
      traceparent: '00-1-2-01',
    });
    expect(outcome).toMatchObject({ position: stored.position, revision: stored.revision });
  });

  it('seals what is personal before the append: the log never holds it, the vault opens it', async () => {
    const backend = await start();
    const box = await backend.box();
    await backend.bus.execute(rename(box, 'Canary Street 7'), { ...asSystem(), actor: user, origin: { ip: '203.0.113.9' } });
    const stored = (await backend.events(box.stream)).at(-1)!;
    expect(JSON.stringify({ ...stored, revision: 0, position: 0 })).not.toMatch(/Canary|203\.0\.113/);
    const { name } = stored.data as { name: unknown };
    expect(isSealed(name) && (await backend.sealer.open(name, 'DeviceRenamed', 'name'))).toBe('Canary Street 7');
    const { origin } = stored.metadata;
    expect(isSealed(origin) && (await backend.sealer.open(origin, 'DeviceRenamed', 'metadata.origin'))).toEqual({ ip: '203.0.113.9' });
  });

  it('appends nothing when sealing fails', async () => {
    const backend = await start();
    const box = await backend.box();
    const before = await backend.types(box.stream);
    const { createCommandBus } = await import('../../src/commands/handle.ts');
    const { Metrics } = await import('../../src/platform/metrics.ts');
    const { systemClock } = await import('../../src/platform/clock.ts');
    const sealer = { seal: () => Promise.reject(new Error('the vault is away')) };
    const bus = createCommandBus({ store: backend.store, sealer, refusals: backend.refusals, clock: systemClock, metrics: new Metrics() });
    await expect(bus.execute(rename(box), asSystem())).rejects.toThrow('the vault is away');
    expect(await backend.types(box.stream)).toEqual(before);
  });

  it('is refused with its reason, and that is recorded', async () => {
    const backend = await start();
    const box = await backend.box();
    const bob = { kind: 'user', id: newId() } as const;
    const outcome = await backend.bus.execute({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: bob.id, name: 'Mine' } }, { ...asSystem(), actor: bob });
    expect(outcome).toMatchObject({ kind: 'refused', refusal: { code: 'not_the_owner' } });
    const recorded = await until('the refusal is in the log', async () => {
      for await (const event of backend.store.readAll({ direction: 'backwards', limit: 50, filter: { eventTypes: ['CommandRefused'] } })) {
        if (event.metadata.actor.id === bob.id) return event;
      }
      return undefined;
    });
    expect(recorded).toMatchObject({ type: 'CommandRefused', data: { command: 'RenameDevice', reason: 'not_the_owner', target: { kind: 'device', id: box.deviceId } } });
  });

  it('is quiet when the state is as asked', async () => {
    const backend = await start();
    const box = await backend.box();
    await backend.execute({ type: 'StartMaintenance', data: { deviceId: box.deviceId } });
    const again = await backend.execute({ type: 'StartMaintenance', data: { deviceId: box.deviceId } });
    expect(again).toMatchObject({ kind: 'accepted', events: [], position: undefined, repeated: false });
  });

  it('answers a repeat with what it made the first time, and makes it once', async () => {
    const backend = await start();
    const box = await backend.box();
    const context = asSystem();
    const command = link(box);
    const first = await backend.bus.execute(command, context);
    const again = await backend.bus.execute(link(box, (command.data as { linkId: string }).linkId), context);
    if (first.kind !== 'accepted' || again.kind !== 'accepted') throw new Error('refused');
    expect(again.repeated).toBe(true);
    expect(again.events.map(({ eventId }) => eventId)).toEqual(first.events.map(({ eventId }) => eventId));
    expect(again.position).toBe(first.position);
    expect((await backend.types(box.stream)).filter((type) => type === 'LinkCreated')).toHaveLength(1);
  });

  it('recognises a repeat in another process, and after a restart, from the log alone', async () => {
    const backend = await start();
    const box = await backend.box();
    const context = asSystem();
    await backend.bus.execute(rename(box), context);
    const other = await start();
    expect(await other.bus.execute(rename(box), context)).toMatchObject({ kind: 'accepted', repeated: true });
    expect((await backend.types(box.stream)).filter((type) => type === 'DeviceRenamed')).toHaveLength(1);
  });

  it('refuses the repeat of a refusal that counted, and counts it once', async () => {
    const backend = await start();
    const box = await backend.box();
    const context = { ...asSystem(), actor: { kind: 'user', id: newId() } as const };
    const guess: AnyCommand = { type: 'AssignDevice', data: { deviceId: box.deviceId, assignmentId: newId(), userId: context.actor.id, pinTag: 'wrong', name: 'x' } };
    await backend.execute({ type: 'UnlinkDevice', data: { deviceId: box.deviceId } });
    await backend.registration.regeneratePin(box.deviceId, asSystem());
    expect(await backend.bus.execute(guess, context)).toMatchObject({ kind: 'refused', refusal: { code: 'pin_invalid' } });
    expect(await backend.bus.execute(guess, context)).toMatchObject({ kind: 'refused', refusal: { code: 'pin_invalid' } });
    expect((await backend.types(box.stream)).filter((type) => type === 'DevicePinRefused')).toHaveLength(1);
  });

  it('finds a repeat that the fold has forgotten, where the idempotency key was seen before', async () => {
    const backend = await start();
    const box = await backend.box();
    const context = asSystem();
    await backend.bus.execute(rename(box, 'first'), context);
    for (let n = 0; n < 70; n++) await backend.execute(rename(box, `later ${n}`));
    const outcome = await backend.bus.execute(rename(box, 'first'), { ...context, seenBefore: true });
    expect(outcome).toMatchObject({ kind: 'accepted', repeated: true, events: [{ type: 'DeviceRenamed' }] });
    expect((await backend.types(box.stream)).filter((type) => type === 'DeviceRenamed')).toHaveLength(71);
  });

  it('answers two attempts with one key in two processes with the same events', async () => {
    const [one, two] = [await start(), await start()];
    const box = await one.box();
    await two.bus.load(deviceAggregate, box.deviceId);
    const context = asSystem();
    const linkId = newId();
    const outcomes = await Promise.all([one.bus.execute(link(box, linkId), context), two.bus.execute(link(box, linkId), { ...context, seenBefore: true })]);
    const stored = (await one.events(box.stream)).find(({ type }) => type === 'LinkCreated')!;
    for (const outcome of outcomes) {
      if (outcome.kind !== 'accepted') throw new Error('refused');
      expect(outcome.events.map(({ eventId }) => eventId)).toEqual([stored.eventId]);
    }
    expect((outcomes[1] as { events: readonly unknown[] }).events[0]).toMatchObject({ data: stored.data, metadata: { occurredAt: stored.metadata.occurredAt } });
    expect((await one.types(box.stream)).filter((type) => type === 'LinkCreated')).toHaveLength(1);
  });
});

describe('an idempotency key that was used before', () => {
  const DAY_MS = 86_400_000;
  const maintenance = (box: SimulatedBox, type: 'StartMaintenance' | 'EndMaintenance'): AnyCommand => ({ type, data: { deviceId: box.deviceId } });

  it('more than a day ago is refused: what was done then is not done now', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    const weekly = { ...asSystem(), actor: user, seenBefore: false };
    expect(await backend.bus.execute(maintenance(box, 'StartMaintenance'), weekly)).toMatchObject({ kind: 'accepted', repeated: false });
    await backend.execute(maintenance(box, 'EndMaintenance'));
    clock.advance(7 * DAY_MS);
    await expect(backend.bus.execute(maintenance(box, 'StartMaintenance'), weekly)).rejects.toThrow(KeyUsedLongAgo);
    // Also by a process whose fold has forgotten the id: the store knows the events.
    for (let n = 0; n < 70; n++) await backend.execute(rename(box, `${n}`));
    await expect(backend.bus.execute(maintenance(box, 'StartMaintenance'), weekly)).rejects.toThrow(KeyUsedLongAgo);
    const { state } = await backend.bus.load<DeviceState>(deviceAggregate, box.deviceId);
    expect(state).toMatchObject({ maintenance: false });
  });

  it('a moment ago is a repeat, also where the row of the key was lost with the power', async () => {
    const backend = await start({ clock: new TestClock() });
    const box = await backend.box();
    const context = { ...asSystem(), actor: user, seenBefore: false };
    await backend.bus.execute(rename(box), context);
    expect(await backend.bus.execute(rename(box), context)).toMatchObject({ kind: 'accepted', repeated: true });
    expect((await backend.types(box.stream)).filter((type) => type === 'DeviceRenamed')).toHaveLength(1);
  });

  it('is for ever that of what makes its ids itself, as a policy does', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    const policy = asSystem();
    await backend.bus.execute(maintenance(box, 'StartMaintenance'), policy);
    clock.advance(7 * DAY_MS);
    expect(await backend.bus.execute(maintenance(box, 'StartMaintenance'), policy)).toMatchObject({ kind: 'accepted', repeated: true });
  });
});

describe('what is cached', () => {
  it('never refuses, and never answers quietly, without reading forward', async () => {
    const [one, two] = [await start(), await start()];
    const box = await one.box();
    await two.bus.load(deviceAggregate, box.deviceId); // cached there, and from here on behind
    await one.execute({ type: 'StartMaintenance', data: { deviceId: box.deviceId } });
    // `two` believes that maintenance is off: by its cache this would be quiet.
    expect(await two.execute({ type: 'EndMaintenance', data: { deviceId: box.deviceId } })).toMatchObject({ kind: 'accepted', events: [{ type: 'MaintenanceEnded' }] });
    const linkId = newId();
    await one.execute(link(box, linkId));
    // ... and by its cache there is no such link.
    expect(await two.execute({ type: 'RevokeLink', data: { deviceId: box.deviceId, linkId, userId: ada } })).toMatchObject({ kind: 'accepted', events: [{ type: 'LinkRevoked' }] });
  });

  it('decides an append without reading', async () => {
    const count = { reads: 0 };
    const backend = await start({ store: counting(count) });
    const box = await backend.box();
    await backend.execute(rename(box));
    count.reads = 0;
    await backend.execute(rename(box, 'again'));
    expect(count.reads).toBe(0);
  });

  it('tells what it has at hand, and nothing of what it has not', async () => {
    const [one, two] = [await start(), await start()];
    const box = await one.box();
    expect(one.bus.peek<DeviceState>(deviceAggregate, box.deviceId)).toMatchObject({ kind: 'registered' });
    expect(two.bus.peek<DeviceState>(deviceAggregate, box.deviceId)).toBeUndefined();
  });
});

describe('another process', () => {
  it('that was first makes this one decide anew, on what it did', async () => {
    const [one, two] = [await start(), await start()];
    const box = await one.box();
    await two.bus.load(deviceAggregate, box.deviceId);
    await one.execute(rename(box, 'one'));
    const outcome = await two.execute(rename(box, 'two'));
    expect(outcome).toMatchObject({ kind: 'accepted', repeated: false });
    const events = await one.events(box.stream);
    expect(events.map(({ revision }) => revision)).toEqual(events.map((_, index) => BigInt(index)));
  });

  it('and this one, twenty commands each at once: every one is carried out once', async () => {
    const [one, two] = [await start(), await start()];
    const box = await one.box();
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => (n % 2 ? one : two).execute(rename(box, `${n}`))));
    expect(outcomes.every((outcome) => outcome.kind === 'accepted' && outcome.events.length === 1)).toBe(true);
    expect((await one.types(box.stream)).filter((type) => type === 'DeviceRenamed')).toHaveLength(40);
  });

  it('that never lets it through ends in a conflict, not in a loop', async () => {
    let monotonic = 0;
    const clock = { now: () => Date.now(), monotonic: () => (monotonic += 500) };
    const conflicting = (store: EventStore): EventStore => ({
      ...store,
      append: (stream, expected, events, options) =>
        events[0]?.type === 'DeviceRenamed' ? Promise.reject(new WrongExpectedRevision(stream, expected, 99n)) : store.append(stream, expected, events, options),
    });
    const backend = await start({ clock, store: conflicting });
    const box = await backend.box();
    await expect(backend.execute(rename(box))).rejects.toBeInstanceOf(ConcurrencyConflict);
  });
});

describe('an append whose outcome is unknown', () => {
  async function unlucky(stored: boolean) {
    let once = true;
    const backend = await start({
      store: (store) => ({
        ...store,
        async append(stream, expected, events, options) {
          if (!once || events[0]?.type !== 'DeviceRenamed') return store.append(stream, expected, events, options);
          once = false;
          if (stored) await store.append(stream, expected, events, options);
          throw new AppendOutcomeUnknown(stream, new Error('the connection was lost'));
        },
      }),
    });
    return { backend, box: await backend.box() };
  }

  it.each([true, false])('is told as such, and its repeat makes it exactly once (stored: %s)', async (stored) => {
    const { backend, box } = await unlucky(stored);
    const context = asSystem();
    await expect(backend.bus.execute(rename(box), context)).rejects.toBeInstanceOf(AppendOutcomeUnknown);
    expect(await backend.bus.execute(rename(box), context)).toMatchObject({ kind: 'accepted', repeated: stored });
    expect((await backend.types(box.stream)).filter((type) => type === 'DeviceRenamed')).toHaveLength(1);
  });

  it('leaves no fold behind that does not know it', async () => {
    const { backend, box } = await unlucky(true);
    await expect(backend.execute(rename(box))).rejects.toBeInstanceOf(AppendOutcomeUnknown);
    expect(backend.bus.peek(deviceAggregate, box.deviceId)).toBeUndefined();
    expect(await backend.execute(rename(box, 'next'))).toMatchObject({ kind: 'accepted', events: [{ type: 'DeviceRenamed' }] });
  });
});

describe('what an append is told to', () => {
  it('hears it before its command answers; one that fails does not make the command fail', async () => {
    const backend = await start();
    const box = await backend.box();
    const heard: string[] = [];
    const stop = backend.bus.onAppended((events) => {
      heard.push(...events.map(({ type }) => type));
      throw new Error('a listener fails');
    });
    const outcome = await backend.execute(rename(box));
    stop();
    expect(outcome.kind).toBe('accepted');
    expect(heard).toEqual(['DeviceRenamed']);
    expect(await backend.metric('loqey_append_listener_failures_total')).toBe(1);
  });
});

describe('one conversation', () => {
  it('goes through all events of an opening, whoever wrote them', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const asked = { ...asSystem(), actor: user };
    const reply = backend.unlocks.request({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } }, asked, 'outcome');
    const command = await until('the command', () => backend.downlink.commands('unlock')[0]);
    await box.opens(command);
    box.status = 'unlocked';
    await box.tell('changed', { cause: 'command', command_id: command['command_id'] });
    expect(await reply).toMatchObject({ unlock: { state: 'opened' } });
    const events = (await backend.events(box.stream)).filter(({ type }) => type.startsWith('Unlock') || type === 'LockStateReported').slice(-5);
    const opening = events.filter(({ metadata }) => metadata.correlationId === asked.correlationId).map(({ type }) => type);
    expect(opening).toEqual(expect.arrayContaining(['UnlockRequested', 'UnlockDispatched', 'UnlockConfirmed', 'LockStateReported']));
    const confirmed = events.find(({ type }) => type === 'UnlockConfirmed')!;
    expect(confirmed.metadata.causationId).toBe(derivedCommandId('unlock', asked.commandId));
  });
});
