import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deadlineKeeper, type Deadline, type DeadlineQueue } from '../../src/commands/policies/deadlines.ts';
import { runReactor, type Reactor, type RunningReactor } from '../../src/commands/policies/reactor.ts';
import { sessionReactor } from '../../src/commands/policies/sessions.ts';
import { createSuspension, suspensionReactor } from '../../src/commands/policies/suspension.ts';
import type { CommandContext } from '../../src/commands/port.ts';
import { provisioningReactor } from '../../src/commands/registration.ts';
import { deviceAggregate } from '../../src/domain/registry.ts';
import { deadlinesOf } from '../../src/domain/device/deadlines.ts';
import type { DeviceCommand } from '../../src/domain/device/commands.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import { deviceIdOfSerial, newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { whileLeader } from '../../src/platform/postgres/leader.ts';
import { ada, asSystem, startBackend, TestClock, type Backend, type BackendOptions } from '../support/backend.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

let server: TestPostgres;
let url: string;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(() => server.stop());

async function start(options: Partial<BackendOptions> = {}): Promise<Backend> {
  url = options.url ?? (await server.migratedDatabase());
  const backend = await startBackend(server, { url, ...options });
  stops.push(() => backend.stop());
  return backend;
}

const LOG = '11111111-1111-4111-8111-111111111111';
async function run(backend: Backend, reactor: Reactor, logId = LOG): Promise<RunningReactor> {
  const running = runReactor(reactor, { store: backend.store, pool: backend.db.pool, logId, clock: { now: Date.now, monotonic: () => performance.now() }, logger: silentLogger, metrics: backend.metrics });
  await running.start();
  stops.push(() => running.stop());
  return running;
}

const registerUser = (backend: Backend, userId: string) =>
  backend.execute({ type: 'RegisterUser', data: { userId, profile: { email: 'a@example.com', firstName: 'A', lastName: 'B', residentState: 'CA' } } });
const isSuspended = async (backend: Backend, box: SimulatedBox) => {
  const { state } = await backend.bus.load<DeviceState>(deviceAggregate, box.deviceId);
  return state.kind === 'registered' && state.assignment?.suspended;
};

describe('a reactor', () => {
  const collecting = (seen: string[], over: Partial<Reactor> = {}): Reactor => ({
    name: 'collector',
    eventTypes: ['DeviceRegistered', 'MaintenanceStarted'],
    startFrom: 'start',
    react: async (event) => void seen.push(`${event.type} ${event.stream}`),
    ...over,
  });

  it('begins with the whole log or with what happens from now on, and goes on where it was', async () => {
    const backend = await start();
    const box = await backend.box();
    const [fromStart, fromNow]: [string[], string[]] = [[], []];
    const first = await run(backend, collecting(fromStart));
    const second = await run(backend, collecting(fromNow, { name: 'from-now', startFrom: 'now' }));
    await until('the checkpoint of the second', async () => (await backend.db.pool.query(`SELECT FROM work.reactors WHERE name = 'from-now'`)).rowCount === 1);
    await backend.execute({ type: 'StartMaintenance', data: { deviceId: box.deviceId } });
    await until('both', () => fromStart.length === 2 && fromNow.length === 1);
    expect(fromNow).toEqual([`MaintenanceStarted ${box.stream}`]);
    await Promise.all([first.stop(), second.stop()]);
    await backend.box();
    await run(backend, collecting(fromStart));
    await until('the third', () => fromStart.length === 3);
    expect(fromStart.map((each) => each.split(' ')[0])).toEqual(['DeviceRegistered', 'MaintenanceStarted', 'DeviceRegistered']);
  });

  it('repeats what it was at when it died, and nothing that it had done before', async () => {
    const backend = await start();
    const boxes = [await backend.box(), await backend.box(), await backend.box()];
    const seen: string[] = [];
    let broken = true;
    const react: Reactor['react'] = async (event) => {
      seen.push(event.stream);
      if (broken && event.stream === boxes[1]!.stream) throw new Error('the effect failed');
    };
    const first = await run(backend, collecting([], { react }));
    await until('stuck at the second', () => seen.filter((stream) => stream === boxes[1]!.stream).length > 1);
    expect(seen).not.toContain(boxes[2]!.stream);
    await first.stop();
    broken = false;
    seen.length = 0;
    await run(backend, collecting([], { react }));
    await until('all', () => seen.includes(boxes[2]!.stream));
    expect(seen).toContain(boxes[1]!.stream);
  });

  it('lets one stream’s trouble hold up that stream alone where it works side by side', async () => {
    const backend = await start();
    const [sick, sound] = [await backend.box(), await backend.box()];
    const seen: string[] = [];
    const running = await run(
      backend,
      collecting([], {
        sideBySide: 4,
        async react(event) {
          if (event.stream === sick.stream) throw new Error('for ever');
          seen.push(event.stream);
        },
      }),
    );
    await until('the sound one', () => seen.includes(sound.stream));
    await until('it says so', () => !running.health().healthy, 30_000);
    expect(running.health().detail).toContain('for ever');
  });

  it('passes over what is too old', async () => {
    const clock = new TestClock(Date.now() - 3_600_000);
    const old = await start({ clock });
    await old.box();
    const backend = await start({ url });
    const box = await backend.box();
    const seen: string[] = [];
    await run(backend, collecting(seen, { maxAgeMs: 60_000 }));
    await until('the young one', () => seen.length > 0);
    expect(seen).toEqual([`DeviceRegistered ${box.stream}`]);
  });

  it('starts anew in another log, and goes on from the end of one that lost its own', async () => {
    const backend = await start();
    const box = await backend.box();
    const seen: string[] = [];
    const first = await run(backend, collecting(seen));
    await until('one', () => seen.length === 1);
    await first.stop();
    const second = await run(backend, collecting(seen), newId());
    await until('again', () => seen.length === 2);
    await second.stop();
    await backend.db.pool.query('UPDATE work.reactors SET position = 1000000, log_id = $1', [LOG]);
    await run(backend, collecting(seen));
    await until('its checkpoint is back', async () => (await backend.db.pool.query('SELECT FROM work.reactors WHERE position < 1000000')).rowCount === 1);
    await backend.execute({ type: 'StartMaintenance', data: { deviceId: box.deviceId } });
    await until('what comes', () => seen.length === 3);
  });
});

describe('a suspension', () => {
  it('is carried to each box before it is answered, and lifted the same way', async () => {
    const backend = await start();
    await registerUser(backend, ada);
    const boxes = [await backend.box(), await backend.box()];
    const suspension = createSuspension(backend.bus, { deviceIdsOf: async () => boxes.map(({ deviceId }) => deviceId) });
    expect((await suspension.suspend(ada, 'r', asSystem())).kind).toBe('accepted');
    expect(await Promise.all(boxes.map((box) => isSuspended(backend, box)))).toEqual([true, true]);
    await suspension.activate(ada, asSystem());
    expect(await Promise.all(boxes.map((box) => isSuspended(backend, box)))).toEqual([false, false]);
  });

  it('that broke off after the first box is finished by its repeat, and by the reactor', async () => {
    for (const finish of ['repeat', 'reactor'] as const) {
      const backend = await start();
      await registerUser(backend, ada);
      const boxes = [await backend.box(), await backend.box()];
      const deviceIdsOf = async () => boxes.map(({ deviceId }) => deviceId);
      let carried = 0;
      const execute: Backend['bus']['execute'] = (command, context) => {
        if (command.type === 'SuspendOwner' && ++carried === 2) return Promise.reject(new Error('died'));
        return backend.bus.execute(command, context);
      };
      const context = asSystem();
      await expect(createSuspension({ ...backend.bus, execute }, { deviceIdsOf }).suspend(ada, undefined, context)).rejects.toThrow('died');
      expect(await isSuspended(backend, boxes[1]!)).toBe(false);
      if (finish === 'repeat') await createSuspension(backend.bus, { deviceIdsOf }).suspend(ada, undefined, context);
      else await run(backend, suspensionReactor(backend.bus, { deviceIdsOf }));
      await until(finish, async () => (await isSuspended(backend, boxes[1]!)) === true);
      expect((await backend.types(boxes[0]!.stream)).filter((type) => type === 'OwnerSuspended')).toHaveLength(1);
    }
  });

  it('reaches a box that was claimed at the same moment', async () => {
    const backend = await start();
    await registerUser(backend, ada);
    await run(backend, suspensionReactor(backend.bus, { deviceIdsOf: async () => [] })); // a read model that is behind
    await createSuspension(backend.bus, { deviceIdsOf: async () => [] }).suspend(ada, undefined, asSystem());
    const box = await backend.box();
    await until('suspended', async () => (await isSuspended(backend, box)) === true);
  });

  it('that was lifted meanwhile is not carried out late', async () => {
    const backend = await start();
    await registerUser(backend, ada);
    const box = await backend.box();
    const deviceIdsOf = async () => [box.deviceId];
    await backend.execute({ type: 'SuspendUser', data: { userId: ada } });
    await backend.execute({ type: 'ActivateUser', data: { userId: ada } });
    await run(backend, suspensionReactor(backend.bus, { deviceIdsOf }));
    await until('seen', async () => (await backend.metric('loqey_reactor_events_total')) >= 3);
    expect(await backend.types(box.stream)).not.toContain('OwnerSuspended');
  });

  it('whose request comes again after it was lifted is not carried out again, nor is a lifting after the next suspension', async () => {
    const backend = await start();
    await registerUser(backend, ada);
    const box = await backend.box();
    const suspension = createSuspension(backend.bus, { deviceIdsOf: async () => [box.deviceId] });
    const [suspended, lifted] = [asSystem(), asSystem()];
    const inDoubt = createSuspension({ ...backend.bus, execute: (command, context) => (command.type === 'SuspendUser' || command.type === 'ActivateUser' ? backend.bus.execute(command, context) : Promise.reject(new Error('died'))) }, { deviceIdsOf: async () => [box.deviceId] });
    // Each is carried by another request, or by the reactor, before its own repeat comes.
    await expect(inDoubt.suspend(ada, undefined, suspended)).rejects.toThrow('died');
    await suspension.suspend(ada, undefined, asSystem());
    expect(await isSuspended(backend, box)).toBe(true);
    await expect(inDoubt.activate(ada, lifted)).rejects.toThrow('died');
    await suspension.activate(ada, asSystem());
    expect((await suspension.suspend(ada, undefined, suspended)).kind).toBe('accepted');
    expect(await isSuspended(backend, box)).toBe(false);
    await suspension.suspend(ada, undefined, asSystem());
    expect((await suspension.activate(ada, lifted)).kind).toBe('accepted');
    expect(await isSuspended(backend, box)).toBe(true);
  });

  it('that reached a box after it was lifted, from a process that stood still, is taken back; and so is a lifting', async () => {
    const backend = await start();
    await registerUser(backend, ada);
    const box = await backend.box();
    await run(backend, suspensionReactor(backend.bus, { deviceIdsOf: async () => [box.deviceId] }));
    await backend.execute({ type: 'SuspendOwner', data: { deviceId: box.deviceId, userId: ada } });
    await until('taken back', async () => (await backend.types(box.stream)).at(-1) === 'OwnerActivated');
    await backend.execute({ type: 'SuspendUser', data: { userId: ada } });
    await until('suspended', async () => (await isSuspended(backend, box)) === true);
    await backend.execute({ type: 'ActivateOwner', data: { deviceId: box.deviceId, userId: ada } });
    await until('suspended again', async () => (await backend.types(box.stream)).filter((type) => type === 'OwnerSuspended').length === 3);
    expect(await isSuspended(backend, box)).toBe(true);
  });
});

/** Filled from the log as the read model is, in memory. */
function queueOf(backend: Backend, streams: readonly string[]): DeadlineQueue & { added(): void } {
  const listeners = new Set<(dueAt: string) => void>();
  const all = async (): Promise<Deadline[]> => {
    const open = new Map<string, Deadline>();
    for (const stream of streams) {
      for (const event of await backend.events(stream)) {
        for (const change of deadlinesOf(stream.slice('device-'.length), event)) {
          if (change.kind === 'set') open.set(change.key, change);
          else if (change.kind === 'clear') open.delete(change.key);
          else if (change.kind === 'clear_all') for (const key of open.keys()) key.startsWith(change.prefix) && open.delete(key);
          else {
            const known = open.get(change.key);
            if (known !== undefined) open.set(change.key, { ...known, dueAt: new Date(Date.parse(known.dueAt) + change.byMs).toISOString() });
          }
        }
      }
    }
    return [...open.values()].sort((a, b) => (a.dueAt < b.dueAt ? -1 : 1));
  };
  return {
    async due(now, limit, after) {
      const due = (await all()).filter(({ dueAt }) => dueAt <= now);
      const behind = after === undefined ? -1 : due.findIndex(({ key }) => key === after.key);
      return due.slice(behind + 1, behind + 1 + limit);
    },
    nextAfter: async (now) => (await all()).find(({ dueAt }) => dueAt > now)?.dueAt,
    onAdded(listener: (dueAt: string) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    added() {
      for (const listener of listeners) listener(new Date().toISOString());
    },
  };
}

describe('deadlines', () => {
  const keep = (backend: Backend, queue: DeadlineQueue, clock: { now(): number; monotonic(): number }) => {
    const abort = new AbortController();
    const keeper = deadlineKeeper({ queue, bus: backend.bus, clock, logger: silentLogger, metrics: backend.metrics });
    const running = keeper.run(abort.signal);
    stops.push(async () => {
      abort.abort();
      await running;
    });
    return keeper;
  };
  const requestUnlock = (backend: Backend, box: SimulatedBox, ttlMs: number) =>
    backend.execute({ type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId: newId(), cause: { kind: 'admin', id: ada }, ttlMs, level0Deliveries: true } });
  const link = (box: SimulatedBox, expiresAt: number): DeviceCommand => ({
    type: 'CreateLink',
    data: {
      deviceId: box.deviceId,
      linkId: newId(),
      userId: ada,
      token: 't',
      tokenHash: newId(),
      expiresAt: new Date(expiresAt).toISOString(),
      latestExpiry: new Date(expiresAt).toISOString(),
      maxUses: 1,
      requireIdentity: false,
    },
  });

  it('are kept at their instant', async () => {
    const backend = await start();
    const box = await backend.box();
    const queue = queueOf(backend, [box.stream]);
    const clock = { now: Date.now, monotonic: () => performance.now() };
    keep(backend, queue, clock);
    const expiresAt = Date.now() + 300;
    await backend.execute(link(box, expiresAt));
    queue.added();
    const event = await until('expired', async () => (await backend.events(box.stream)).find(({ type }) => type === 'LinkExpired'));
    expect(Date.parse(event.metadata.occurredAt)).toBeGreaterThanOrEqual(expiresAt);
  });

  it('that fell due while nobody was there are swept at the start', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const [silent, dispatched] = [await backend.box(), await backend.box()];
    await dispatched.hello();
    await backend.execute(link(silent, clock.now() + 60_000));
    await requestUnlock(backend, dispatched, 30_000);
    await backend.dispatcher.drained();
    clock.advance(3_600_000); // the process was down
    keep(backend, queueOf(backend, [silent.stream, dispatched.stream]), clock);
    await until('the link', async () => (await backend.types(silent.stream)).includes('LinkExpired'));
    await until('the opening', async () => (await backend.types(dispatched.stream)).includes('UnlockOutcomeUnknown'));
  });

  it('give a dispatched opening ten seconds more for its answer', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    await requestUnlock(backend, box, 30_000);
    await backend.dispatcher.drained();
    clock.advance(39_000);
    const queue = queueOf(backend, [box.stream]);
    expect(await queue.due(new Date(clock.now()).toISOString(), 10)).toEqual([]);
    const early = await backend.execute({ type: 'ExpireUnlock', data: { deviceId: box.deviceId, unlockId: ((await backend.events(box.stream)).find(({ type }) => type === 'UnlockRequested')!.data as { unlockId: string }).unlockId } });
    expect(early).toMatchObject({ kind: 'accepted', events: [] });
    clock.advance(1_001);
    keep(backend, queue, clock);
    await until('unknown', async () => (await backend.types(box.stream)).includes('UnlockOutcomeUnknown'));
  });

  /** Of boxes that do not exist: each is refused for ever. */
  const hopeless = (count: number, dueAt: number): Deadline[] =>
    Array.from({ length: count }, (_, n) => ({
      key: `hopeless:${String(n).padStart(5, '0')}`,
      dueAt: new Date(dueAt).toISOString(),
      command: { type: 'ExpireLink', data: { deviceId: newId(), linkId: newId() } },
    }));
  const listed = (of: () => readonly Deadline[] | Promise<readonly Deadline[]>): DeadlineQueue['due'] => async (now, limit, after) => {
    const due = [...(await of())].filter(({ dueAt }) => dueAt <= now).sort((a, b) => (`${a.dueAt}${a.key}` < `${b.dueAt}${b.key}` ? -1 : 1));
    const behind = after === undefined ? -1 : due.findIndex(({ key }) => key === after.key);
    return due.slice(behind + 1, behind + 1 + limit);
  };

  it('that fail for ever, more than a page of them, hold up none that is younger', async () => {
    const backend = await start();
    const box = await backend.box();
    const old = hopeless(1_100, Date.now() - 3_600_000);
    const inner = queueOf(backend, [box.stream]);
    const due = listed(async () => [...old, ...(await inner.due(new Date().toISOString(), 100))]);
    const keeper = keep(backend, { ...inner, due }, { now: Date.now, monotonic: () => performance.now() });
    await until('the old ones were tried', async () => (await backend.metric('loqey_deadlines_total')) >= old.length);
    await backend.execute(link(box, Date.now() + 50));
    inner.added();
    await until('the younger one', async () => (await backend.types(box.stream)).includes('LinkExpired'));
    expect(keeper.health().healthy).toBe(true); // too early to say so
  });

  it('that fail are tried less and less often, are told, and are forgotten when they are gone', async () => {
    const backend = await start();
    const clock = new TestClock();
    const tried: number[] = [];
    let there = hopeless(1, clock.now() - 1);
    let look = (): void => undefined;
    const keeper = deadlineKeeper({
      queue: {
        due: listed(() => there),
        nextAfter: async () => undefined,
        onAdded(listener) {
          look = () => listener('0');
          return () => undefined;
        },
      },
      bus: { execute: async () => { tried.push(clock.now()); throw new Error('no'); } },
      clock,
      logger: silentLogger,
      metrics: backend.metrics,
    });
    const abort = new AbortController();
    const running = keeper.run(abort.signal);
    stops.push(async () => {
      abort.abort();
      await running;
    });
    const began = clock.now();
    for (let n = 1; n <= 5; n++) {
      await until(`try ${n}`, () => {
        look();
        return tried.length === n;
      });
      clock.advance(1_000 * 2 ** (n - 1));
    }
    expect(tried.map((at) => at - began)).toEqual([0, 1_000, 3_000, 7_000, 15_000]);
    expect(keeper.health()).toMatchObject({ healthy: false, detail: '1 cannot be kept, as ExpireLink: no' });
    there = [];
    await until('forgotten', () => {
      look();
      return keeper.health().healthy;
    });
  });
});

describe('a registration', () => {
  const steps = ['key', 'event', 'row', 'credential'] as const;

  it.each(steps)('that died after its %s is finished by its repeat: the same box, PIN and keys, once', async (step) => {
    const backend = await start();
    const serial = `LQ-${newId().slice(-12)}`.toUpperCase();
    const deviceId = deviceIdOfSerial(serial);
    const context: CommandContext = asSystem();
    const die = new Error('died');
    const { createRegistration } = await import('../../src/commands/registration.ts');
    const { createProvisioner } = await import('../../src/bridge/provisioning.ts');
    const fragile = createRegistration({
      bus: {
        ...backend.bus,
        async execute(command, ctx) {
          if (step === 'key') throw die;
          const outcome = await backend.bus.execute(command, ctx);
          if (step === 'event') throw die;
          return outcome;
        },
      },
      provisioner: createProvisioner({
        keys: backend.deviceKeys,
        live: {
          ...backend.live,
          async add(...args) {
            const added = await backend.live.add(...args);
            if (step === 'row') throw die;
            return added;
          },
        },
        credentials: {
          ...backend.credentials,
          async provision(...args) {
            await backend.credentials.provision(...args);
            throw die;
          },
        },
        settings: { brokerUrl: () => 'mqtt://broker.test:1883', caPem: undefined },
      }),
      sealer: backend.sealer,
      refusals: backend.refusals,
      pinTag: backend.registration.pinTag,
      settings: { pinLength: 6, pinExpiryHours: 24, defaultModel: 'LoqeyBox-V1' },
      clock: { now: Date.now, monotonic: () => performance.now() },
    });
    await expect(fragile.register({ serialNumber: serial }, context)).rejects.toThrow('died');
    const first = await backend.registration.register({ serialNumber: serial }, context);
    const again = await backend.registration.register({ serialNumber: serial.toLowerCase() }, context);
    if (first.kind === 'refused' || again.kind === 'refused') throw new Error('refused');
    expect({ ...again, position: 0n }).toEqual({ ...first, position: 0n });
    expect(await backend.types(`device-${deviceId}`)).toEqual(['DeviceRegistered']);
    expect((await backend.deviceKeys.keyring(deviceId)).pending).toBeUndefined();
    expect(await backend.live.byId(deviceId)).toMatchObject({ profile: 'loqey', level: 0 });
    expect(await backend.credentials.credential(deviceId)).toBeDefined();
  });

  it('that nobody repeats is finished by the reactor', async () => {
    const backend = await start();
    const deviceId = newId();
    await backend.deviceKeys.create(deviceId, 1);
    const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
    await backend.execute({ type: 'RegisterDevice', data: { deviceId, serialNumber: 'LQ-9999', model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: inAnHour } });
    await run(backend, provisioningReactor(backend.provisioner, async () => undefined));
    await until('provisioned', async () => (await backend.live.byId(deviceId)) !== undefined);
    await until('it may connect', () => backend.credentials.credential(deviceId));
  });

  it('of a serial number that has a box is refused and begins no rotation of its keys', async () => {
    const backend = await start();
    const box = await backend.box();
    await backend.deviceKeys.create(box.deviceId, 2);
    await backend.deviceKeys.promote(box.deviceId, 2);
    const again = await backend.registration.register({ serialNumber: box.owner.serialNumber }, asSystem());
    expect(again).toMatchObject({ kind: 'refused', refusal: { code: 'device_exists' } });
    expect((await backend.deviceKeys.keyring(box.deviceId)).pending).toBeUndefined();
  });

  it('with the hardware id of another box is refused before anything is recorded of it', async () => {
    const backend = await start();
    const smartlock = (hardwareId: string) => backend.registration.register({ serialNumber: `LQ-${newId().slice(-12)}`, profile: 'smartlock', hardwareId }, { ...asSystem(), actor: { kind: 'admin', id: newId() } });
    expect((await smartlock('hw-7')).kind).toBe('registered');
    const both = await Promise.all([smartlock('hw-8'), smartlock('hw-8')]);
    expect(both.map(({ kind }) => kind).sort()).toEqual(['refused', 'registered']);
    const second = await smartlock('hw-7');
    expect(second).toEqual({ kind: 'refused', refusal: { code: 'hardware_id_taken' } });
    const registered: string[] = [];
    for await (const { type, data } of backend.store.readAll()) if (type === 'DeviceRegistered') registered.push(data['hardwareId'] as string);
    expect(registered.sort()).toEqual(['hw-7', 'hw-8']);
  });

  // Older versions let it into the log, where it stays: a reactor that waited for it would do nothing more for any box.
  it('of two boxes with one hardware id in the log gives it to one, and goes on', async () => {
    const backend = await start();
    const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
    const [first, second, third] = [newId(), newId(), newId()];
    for (const [deviceId, hardwareId] of [[first, 'hw-9'], [second, 'hw-9'], [third, 'hw-10']] as const) {
      await backend.deviceKeys.create(deviceId, 1);
      await backend.execute({ type: 'RegisterDevice', data: { deviceId, serialNumber: `LQ-${deviceId}`, model: 'm', profile: 'smartlock', hardwareId, keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: inAnHour } });
    }
    const reactor = await run(backend, provisioningReactor(backend.provisioner, async () => undefined));
    await until('the third may connect', () => backend.credentials.credential(third));
    const other = await until('so may one of the others', async () => (await backend.credentials.credential(first)) ?? (await backend.credentials.credential(second)));
    await reactor.stop();
    expect(await backend.credentials.credential(other.deviceId === first ? second : first)).toBeUndefined();
    expect(reactor.health()).toMatchObject({ healthy: true });
  });

  it('whose key is lost with a vault that was put back holds up nobody, and can be provisioned anew', async () => {
    const backend = await start();
    const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
    const [lost, other] = [newId(), newId()];
    await backend.deviceKeys.create(other, 1);
    for (const deviceId of [lost, other]) {
      await backend.execute({ type: 'RegisterDevice', data: { deviceId, serialNumber: `LQ-${deviceId}`, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: inAnHour } });
    }
    const reactor = await run(backend, provisioningReactor(backend.provisioner, async () => undefined));
    await until('the other may connect', () => backend.credentials.credential(other));
    await until('the first is known', () => backend.live.byId(lost));
    expect(reactor.health()).toMatchObject({ healthy: true });
    expect(await backend.credentials.credential(lost)).toBeUndefined();
    const again = await backend.registration.reprovision(lost, 'Its key was lost', asSystem());
    expect(again).toMatchObject({ kind: 'reprovisioned', provisioning: { key_version: 2 } });
    expect(await backend.credentials.credential(lost)).toBeDefined();
  });

  it('does not let a decommissioned box in again by its repeat', async () => {
    const backend = await start();
    const serialNumber = `LQ-${newId().slice(-12)}`;
    const context = asSystem();
    const first = await backend.registration.register({ serialNumber }, context);
    if (first.kind === 'refused') throw new Error('refused');
    await backend.execute({ type: 'DecommissionDevice', data: { deviceId: first.deviceId } });
    await backend.provisioner.revoke(first.deviceId);
    expect(await backend.registration.register({ serialNumber }, context)).toMatchObject({ kind: 'refused', refusal: { code: 'device_decommissioned' } });
    expect(await backend.credentials.credential(first.deviceId)).toBeUndefined();
  });
});

describe('a leader', () => {
  it('is one of many, and the next takes over when it goes', async () => {
    await start();
    const leading: number[] = [];
    let most = 0;
    const candidates = [1, 2, 3].map((n) =>
      whileLeader('test', url, silentLogger, async (signal) => {
        leading.push(n);
        most = Math.max(most, leading.length);
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        leading.splice(leading.indexOf(n), 1);
      }),
    );
    await Promise.all(candidates.map((candidate) => candidate.start()));
    const first = await until('one leads', () => leading[0]);
    await candidates[first - 1]!.stop();
    await until('another leads', () => leading[0] !== undefined && leading[0] !== first, 15_000);
    expect(most).toBe(1);
    await Promise.all(candidates.map((candidate) => candidate.stop()));
  });
});

describe('sessions', () => {
  it('that the log ended end in the vault, each', async () => {
    const backend = await start();
    const ended: string[] = [];
    await registerUser(backend, ada);
    const [first, second] = [newId(), newId()];
    for (const sessionId of [first, second]) await backend.execute({ type: 'LogIn', data: { userId: ada, sessionId, scope: 'user', passwordMatched: true } });
    await run(backend, sessionReactor({ end: async (sessionId) => void ended.push(sessionId) }));
    await backend.execute({ type: 'ChangePassword', data: { userId: ada, by: 'owner', passwordMatched: true } });
    await until('both', () => ended.length === 2);
    expect(ended.sort()).toEqual([first, second].sort());
  });
});
