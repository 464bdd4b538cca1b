import { describe, expect, test } from 'vitest';
import { createErasureProcess, createErasureRequests, erasureReactor, type Erased, type ErasureDeps, type ErasureNotary, type ErasureRecord, type ReadableTraces } from '../../src/commands/erasure.ts';
import { createCommandBus, type Aggregates } from '../../src/commands/handle.ts';
import type { AnyCommand } from '../../src/commands/port.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import type { Recorded } from '../../src/domain/events.ts';
import { deviceAggregate, recordedOf } from '../../src/domain/registry.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { deviceIdOfSerial, newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createMemoryStore } from '../support/memory-store.ts';

class Crash extends Error {}

/** Everything that outlives a process; each process of the test stands on it anew. */
function world() {
  const store = createMemoryStore(() => Date.now());
  const destroyed = new Set<string>();
  const credentials = new Map<string, string>();
  const readable = new Map<string, string>();
  const records = new Map<string, ErasureRecord>();
  const ledger: unknown[] = [];
  const owned = new Map<string, Set<string>>();
  const deliveries = new Map<string, string[]>();
  return { store, destroyed, credentials, readable, records, ledger, owned, deliveries };
}
type World = ReturnType<typeof world>;

/** A process that dies at its `dieAt`-th step, before the step takes effect or right after. */
function processOn(world: World, dieAt = Number.POSITIVE_INFINITY, when: 'before' | 'after' = 'before') {
  let steps = 0;
  const step = async <T>(work: () => T | Promise<T>): Promise<T> => {
    const mine = ++steps;
    if (mine > dieAt || (mine === dieAt && when === 'before')) throw new Crash();
    const result = await work();
    if (mine === dieAt) throw new Crash();
    return result;
  };
  const bus = createCommandBus({
    store: world.store,
    sealer: { seal: (subject) => ({ $s: 1, sub: subject, k: 'k', n: 'n', c: 'c' }) },
    refusals: { record: () => undefined },
    clock: systemClock,
    metrics: new Metrics(),
  });
  const guarded: Aggregates = { ...bus, execute: (command, context) => (command.type === 'UnlinkDevice' ? step(() => bus.execute(command, context)) : bus.execute(command, context)) };
  const of = (eventId: string): ErasureRecord => {
    const record = world.records.get(eventId);
    if (record === undefined) throw new Error('not begun');
    return record;
  };
  const records: ErasureDeps['records'] = {
    begin: ({ eventId, userId, at }) =>
      step(() => void (world.records.has(eventId) || world.records.set(eventId, { eventId, userId, requestedAt: at, boxes: [], subjects: [], receipt: null, completedAt: null }))),
    note: (eventId, { boxes = [], subjects = [] }) =>
      step(() => {
        const record = of(eventId);
        const noted = { ...record, boxes: [...new Set([...record.boxes, ...boxes])], subjects: [...new Set([...record.subjects, ...subjects])] };
        world.records.set(eventId, noted);
        return noted;
      }),
    sign: (eventId, receipt) =>
      step(() => {
        const signed = { ...of(eventId), receipt: of(eventId).receipt ?? receipt };
        world.records.set(eventId, signed);
        return signed.receipt;
      }),
    complete: (eventId) => step(() => void world.records.set(eventId, { ...of(eventId), completedAt: of(eventId).completedAt ?? 'now' })),
    byId: async (eventId) => world.records.get(eventId),
    ofUser: async (userId) => [...world.records.values()].find((record) => record.userId === userId),
  };
  const deps: ErasureDeps = {
    bus: guarded,
    store: world.store,
    // As the read model says it: without what was taken off the account since.
    boxes: {
      deviceIdsOf: async (userId) => {
        const ids = [...(world.owned.get(userId) ?? [])];
        const states = await Promise.all(ids.map((id) => bus.load<DeviceState>(deviceAggregate, id)));
        return ids.filter((_, index) => {
          const { state } = states[index]!;
          return state.kind === 'registered' && state.assignment?.userId === userId;
        });
      },
    },
    records,
    vault: {
      destroyKeys: (subjects) =>
        step(() => {
          for (const subject of subjects) world.destroyed.add(subject);
          return { keys: subjects.filter((subject) => world.destroyed.has(subject)).length };
        }),
      forgetCredentials: (userId) => step(() => void world.credentials.delete(userId)),
    },
    logger: silentLogger,
  };
  const traces: ReadableTraces = {
    deliveriesOf: async (userId) => world.deliveries.get(userId) ?? [],
    forget: (_userId, subjects) =>
      step(() => {
        for (const subject of subjects) {
          expect(world.destroyed.has(subject), 'a row goes after its key').toBe(true);
          world.readable.delete(subject);
        }
      }),
  };
  const notary: ErasureNotary = {
    receipt: (erased, done) => ({ of: erased.eventId, done }),
    keep: (receipt) => step(() => void (world.ledger.some((each) => JSON.stringify(each) === JSON.stringify(receipt)) || world.ledger.push(receipt))),
  };
  const carryOut = createErasureProcess({ ...deps, traces, notary });
  const requests = createErasureRequests({ ...deps, roles: { guard: (_command, _context, work) => work() } });
  return { bus, carryOut, requests, reactor: erasureReactor(deps, carryOut), steps: () => steps };
}

const asked = (command: AnyCommand) => [command, { commandId: newId(), correlationId: newId(), actor: { kind: 'system', id: 'test' }, source: 'system' }] as const;

/** Ana with two boxes, a link and a courier's delivery at the first. */
async function ana(world: World) {
  const { bus } = processOn(world);
  const userId = newId();
  await bus.execute(...asked({ type: 'RegisterUser', data: { userId, profile: { email: 'ana@example.com', firstName: 'Ana', lastName: '', residentState: '' } } }));
  const boxes: string[] = [];
  for (const serial of [`LB-${newId()}`, `LB-${newId()}`]) {
    const deviceId = deviceIdOfSerial(serial);
    await bus.execute(...asked({ type: 'RegisterDevice', data: { deviceId, serialNumber: serial, model: 'm', profile: 'loqey', keyVersion: 1, pin: '123456', pinTag: 'tag', pinExpiresAt: '2099-01-01T00:00:00.000Z' } }));
    await bus.execute(...asked({ type: 'AssignDevice', data: { deviceId, assignmentId: newId(), userId, pinTag: 'tag', name: 'Home' } }));
    boxes.push(deviceId);
  }
  world.owned.set(userId, new Set(boxes));
  world.deliveries.set(userId, [newId()]);
  world.credentials.set(userId, 'hash');
  world.readable.set(`user:${userId}`, 'Ana').set(`delivery:${world.deliveries.get(userId)![0]}`, 'Jo');
  return { userId, boxes };
}

async function erase(world: World, userId: string): Promise<Erased> {
  const { bus } = processOn(world);
  await bus.execute(...asked({ type: 'EraseSubject', data: { userId, requestedBy: 'owner' } }));
  for await (const event of world.store.readStream(`user-${userId}`)) {
    if (event.type === 'SubjectErased') return { eventId: event.eventId, userId, requestedBy: 'owner', at: event.metadata.occurredAt, revision: event.revision, position: event.position };
  }
  throw new Error('not erased');
}

async function typesOf(world: World, stream: string): Promise<string[]> {
  const types: string[] = [];
  for await (const event of world.store.readStream(stream)) types.push(event.type);
  return types;
}

async function expectGone(world: World, userId: string, boxes: readonly string[]): Promise<void> {
  expect([...world.destroyed].sort()).toEqual([`user:${userId}`, `delivery:${world.deliveries.get(userId)![0]}`].sort());
  expect([world.credentials.size, world.readable.size]).toEqual([0, 0]);
  for (const box of boxes) expect(await typesOf(world, `device-${box}`)).toEqual(['DeviceRegistered', 'DeviceAssigned', 'DeviceUnlinked']);
  const [record] = world.records.values();
  expect(record).toMatchObject({ userId, completedAt: 'now' });
  expect([...record!.boxes].sort()).toEqual([...boxes].sort());
  expect(world.ledger).toEqual([{ of: record!.eventId, done: { keys: 2, deliveries: 1, boxes: 2 } }]);
}

describe('an erasure', () => {
  test('is carried out to its end, and another run changes nothing', async () => {
    const here = world();
    const { userId, boxes } = await ana(here);
    const erased = await erase(here, userId);
    const first = processOn(here);
    await first.carryOut(erased);
    await expectGone(here, userId, boxes);
    await processOn(here).carryOut(erased);
    await expectGone(here, userId, boxes);
    expect(first.steps()).toBeGreaterThan(10);
  });

  test('that dies anywhere is complete once somebody carries it on', async () => {
    const count = await (async () => {
      const here = world();
      const erased = await erase(here, (await ana(here)).userId);
      const whole = processOn(here);
      await whole.carryOut(erased);
      return whole.steps();
    })();
    for (let at = 1; at <= count; at++) {
      for (const when of ['before', 'after'] as const) {
        const here = world();
        const { userId, boxes } = await ana(here);
        const erased = await erase(here, userId);
        await expect(processOn(here, at, when).carryOut(erased), `dies ${when} step ${at}`).rejects.toThrow(Crash);
        await processOn(here).carryOut(erased);
        await expectGone(here, userId, boxes);
      }
    }
  });

  test('is decided even where the process dies right after: whoever comes next reacts to the event', async () => {
    const here = world();
    const { userId, boxes } = await ana(here);
    const reply = await processOn(here, 1).requests.request(userId, { requestedBy: 'owner', passwordMatched: true }, asked({ type: 'VerifyEmail', data: { userId } })[1]);
    expect(reply).toMatchObject({ kind: 'erased' });
    for await (const event of here.store.readStream(`user-${userId}`)) await processOn(here).reactor.react(recordedOf(event) as Recorded);
    await expectGone(here, userId, boxes);
    const again = await processOn(here).requests.request(userId, { requestedBy: 'admin' }, asked({ type: 'VerifyEmail', data: { userId } })[1]);
    expect(again).toEqual({ kind: 'erased', erasureId: reply.kind === 'erased' ? reply.erasureId : '', position: undefined });
  });

  test('takes a box along that was claimed at the same moment', async () => {
    const here = world();
    const { userId } = await ana(here);
    const erased = await erase(here, userId);
    await processOn(here).carryOut(erased);
    const { bus, reactor } = processOn(here);
    const serial = `LB-${newId()}`;
    const deviceId = deviceIdOfSerial(serial);
    await bus.execute(...asked({ type: 'RegisterDevice', data: { deviceId, serialNumber: serial, model: 'm', profile: 'loqey', keyVersion: 1, pin: '123456', pinTag: 'tag', pinExpiresAt: '2099-01-01T00:00:00.000Z' } }));
    await bus.execute(...asked({ type: 'AssignDevice', data: { deviceId, assignmentId: newId(), userId, pinTag: 'tag', name: 'Late' } }));
    here.owned.get(userId)!.add(deviceId);
    for await (const event of here.store.readStream(`device-${deviceId}`)) await reactor.react(recordedOf(event) as Recorded);
    expect(await typesOf(here, `device-${deviceId}`)).toEqual(['DeviceRegistered', 'DeviceAssigned', 'DeviceUnlinked']);
  });
});
