import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DomainEvent, Recorded } from '../../src/domain/events.ts';
import { deviceAggregate } from '../../src/domain/registry.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import { findLink } from '../../src/domain/link/links.ts';
import type { CommandAction } from '../../src/bridge/protocol/commands.ts';
import { deriveKeys } from '../../src/bridge/protocol/keys.ts';
import { EventStoreUnavailable } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { RelayUnavailable } from '../../src/platform/relay/port.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import { seededRandom, type Random } from '../../src/simulator/random.ts';
import { FakeTime } from '../../src/simulator/time.ts';
import { ada, asSystem, startBackend, type Backend } from '../support/backend.ts';
import { ends } from '../support/ends.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { until } from '../support/until.ts';
import { breathe, type MakeWire, type Wire } from '../support/wire-rig.ts';

const LATE_MS = 1_500;
const STEP_MS = 500;

/**
 * Docs: device-protocol.md, "Conformance", 27 and 28, with a real broker, relay, store and database between request and
 * bolt: openings while messages are lost, doubled and late, connections break and both sides die in the middle. The unit test
 * does the same by the ten thousand, without a wire. WIRE_SEED repeats a run, WIRE_UNLOCKS makes it longer.
 */
export function serverConformance(name: string, make: MakeWire, unlocks = Number(process.env['WIRE_UNLOCKS'] ?? 40)): void {
  const seed = Number(process.env['WIRE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  describe(`the server against a box over ${name} (seed ${seed})`, () => {
    let postgres: TestPostgres;
    let storm: Storm;
    beforeAll(async () => {
      postgres = await startPostgres();
      storm = await Storm.begin(postgres, make, seed);
    });
    afterAll(async () => {
      await storm.end();
      await postgres.stop();
    });

    it('27 and 28: no use comes back for a bolt that moved, none moves twice or late, no command has two sets of bytes', { timeout: 400_000 }, async () => {
      let asked = 0;
      while (asked < unlocks) if (await storm.round()) asked++;
      await storm.calm();

      const events = await storm.events();
      const { requested, dispatched, returned, contradictions } = ends(events);
      expect(contradictions).toEqual([]);
      expect(storm.unclaimed).toEqual([]);
      expect([...storm.bytes].filter(([, bytes]) => bytes.size > 1)).toEqual([]);
      const movements = storm.box.movements.filter(({ to, cause }) => to === 'unlocked' && cause === 'command');
      for (const { commandId, at, arrived } of movements) {
        const id = commandId!;
        expect(dispatched.has(id), `${id} moved the bolt and was never dispatched`).toBe(true);
        expect(at, `${id} moved the bolt too late`).toBeLessThanOrEqual(Date.parse(requested.get(id)!.data.expiresAt) + LATE_MS);
        if (arrived) expect(returned.has(id), `the use of ${id} came back, and it opened`).toBe(false);
      }
      const opened = movements.filter(({ arrived }) => arrived).map(({ commandId }) => commandId);
      expect(new Set(opened).size, 'one command opened twice').toBe(opened.length);
      const state = events.reduce<DeviceState>((folded, event) => deviceAggregate.decider.evolve(folded, event as never, event.metadata.occurredAt), deviceAggregate.decider.initialState);
      const uses = state.kind === 'registered' ? findLink(state.links, storm.linkId)!.uses : -1;
      expect(uses).toBe(requested.size - returned.size);
      expect(uses).toBeGreaterThanOrEqual(opened.length);
      // A run that proves nothing is a failure too. A bolt that is open already does not move for another command.
      expect(opened.length).toBeGreaterThan(0);
      expect(events.filter(({ type }) => type === 'UnlockConfirmed').length).toBeGreaterThan(unlocks / 40);
      expect(storm.crashes).toBeGreaterThan(0);
    });
  });
}

class Storm {
  readonly time = new FakeTime();
  readonly bytes = new Map<string, Set<string>>();
  readonly unclaimed: string[] = [];
  readonly linkId = newId();
  crashes = 0;
  box!: Lockbox;
  readonly #random: Random;
  readonly #postgres: TestPostgres;
  readonly #wire: Wire;
  readonly #url: string;
  #backend!: Backend;
  #deviceId = '';
  /** Effects until the server dies. */
  #fuse = Infinity;
  #dead = false;

  private constructor(postgres: TestPostgres, wire: Wire, url: string, seed: number, time: FakeTime) {
    this.#random = seededRandom(seed);
    this.#postgres = postgres;
    this.#wire = wire;
    this.#url = url;
    this.time = time;
  }

  static async begin(postgres: TestPostgres, make: MakeWire, seed: number): Promise<Storm> {
    const time = new FakeTime();
    const storm = new Storm(postgres, await make(time), await postgres.migratedDatabase(), seed, time);
    await storm.#start();
    const { deviceId } = await storm.#backend.box();
    storm.#deviceId = deviceId;
    const master = (await storm.#backend.deviceKeys.current(deviceId))!;
    await storm.#wire.register(deviceId, [deriveKeys(master.key, deviceId, master.keyVersion)]);
    const inAYear = new Date(time.now() + 365 * 86_400_000).toISOString();
    const made = await storm.#backend.execute({
      type: 'CreateLink',
      data: { deviceId, linkId: storm.linkId, userId: ada, token: 't', tokenHash: 'h', expiresAt: inAYear, latestExpiry: inAYear, maxUses: 1_000_000, requireIdentity: false },
    });
    expect(made.kind).toBe('accepted');
    storm.#wire.onReport(async (topic, payload) => {
      storm.#alive();
      await storm.#backend.uplink(topic, payload, time.now());
      storm.#alive();
    });
    storm.box = createLockbox({
      provisioning: provision({ deviceId, masterKey: master.key, keyVersion: master.keyVersion, url: 'mqtt://wire' }),
      seed,
      time,
      boltMs: [20, 4_000],
      jam: 0.05,
      boltSensor: storm.#random() < 0.7,
      firstConnectWithinMs: 500,
      rate: { perSecond: 1_000, burst: 1_000 },
      connect: (request, handlers) => storm.#wire.connector(request, handlers),
    });
    storm.box.powerOn();
    await storm.#until('the box can be opened', async () => (await storm.#backend.live.byId(deviceId))?.connectId !== undefined && storm.box.state?.now !== undefined);
    return storm;
  }

  /** One life of the server's process. Each effect that outlives it may be its last. */
  async #start(): Promise<void> {
    const around = async <T>(effect: () => Promise<T>, fails: () => Error): Promise<T> => {
      if (this.#dead || this.#burns()) throw fails();
      const result = await effect();
      if (this.#dead || this.#burns()) throw fails();
      return result;
    };
    this.#dead = false;
    this.#backend = await startBackend(this.#postgres, {
      url: this.#url,
      clock: { now: () => this.time.now(), monotonic: () => this.time.monotonic() },
      store: (store) => ({ ...store, append: (...args) => around(() => store.append(...args), () => new EventStoreUnavailable('it died')) }),
      relay: (relay) => ({
        ...relay,
        publish: (topic, messages) => (topic === 'device-commands' ? around(() => relay.publish(topic, messages), () => new RelayUnavailable('it died')) : relay.publish(topic, messages)),
      }),
    });
    const backend = this.#backend;
    backend.downlink.answer = async (_, payload) => {
      const { action, command_id: commandId } = JSON.parse(payload.toString()) as { action: CommandAction; command_id: string };
      if (action === 'unlock') {
        this.bytes.set(commandId, (this.bytes.get(commandId) ?? new Set()).add(payload.toString('hex')));
        const claimed = (await backend.events(`device-${this.#deviceId}`)).some((event) => event.type === 'UnlockDispatched' && event.data.unlockId === commandId);
        if (!claimed) this.unclaimed.push(commandId);
      }
      return { delivered: await this.#wire.send(this.#deviceId, action, payload) };
    };
    await backend.startReactor();
  }

  #burns(): boolean {
    if (--this.#fuse > 0) return false;
    this.#fuse = Infinity;
    this.#dead = true;
    this.crashes++;
    return true;
  }

  #alive(): void {
    if (this.#dead) throw new EventStoreUnavailable('it died');
  }

  async #pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.time.advance(Math.min(STEP_MS, left));
      await breathe();
    }
  }

  async #until(what: string, condition: () => Promise<boolean>): Promise<void> {
    await until(
      what,
      async () => {
        this.time.advance(50);
        return condition();
      },
      30_000,
    );
  }

  #weather() {
    const r = this.#random;
    return { loss: 0.15 * r(), duplicates: 0.2 * r(), delayMs: [0, [500, 500, 20_000, 70_000][Math.floor(4 * r())]!] as const };
  }

  async round(): Promise<boolean> {
    const r = this.#random;
    // It may have died of the last round's deadline: a server that takes no report in never has a bridge that stays connected.
    if (this.#dead) await this.#restart();
    await this.#wire.ready();
    const dice = r();
    if (dice < 0.08) this.box.faults.cutPowerAt((['command_verified', 'started_committed', 'bolt_moved', 'result_committed'] as const)[Math.floor(r() * 4)]!, r() * 20_000);
    else if (dice < 0.14) this.box.dropConnection();
    else if (dice < 0.18) this.box.faults.failCommits(1);
    else if (dice < 0.3) this.box.faults.network(this.#weather());
    else if (dice < 0.45) this.box.faults.network({});
    this.#fuse = r() < 0.35 ? 1 + Math.floor(r() * 10) : Infinity;
    const asked = await this.#request();
    await this.#pass(r() < 0.5 ? 3_000 * r() : 50_000 * r());
    if (this.#dead) await this.#restart();
    await this.#deadline().catch(() => undefined);
    return asked;
  }

  async #request(): Promise<boolean> {
    try {
      const outcome = await this.#backend.bus.execute(
        { type: 'RequestUnlock', data: { deviceId: this.#deviceId, unlockId: newId(), cause: { kind: 'link', id: this.linkId }, ttlMs: 30_000, level0Deliveries: false } },
        { ...asSystem(), actor: { kind: 'courier', id: this.linkId } },
      );
      return outcome.kind === 'accepted';
    } catch {
      return false; // it died of it
    }
  }

  /** The broker may outlive it; the box notices by what is no longer acknowledged, or not at all. */
  async #restart(): Promise<void> {
    if (this.#random() < 0.5) this.box.dropConnection();
    await this.#backend.stop();
    await this.#pass(this.#random() * 5_000);
    await this.#start();
    await this.#wire.ready();
    await this.#pass(2_000);
  }

  async #deadline(): Promise<void> {
    const { state } = await this.#backend.bus.load<DeviceState>(deviceAggregate, this.#deviceId);
    const current = state.kind === 'registered' ? state.unlocks.current : null;
    if (current !== null) await this.#backend.execute({ type: 'ExpireUnlock', data: { deviceId: this.#deviceId, unlockId: current.unlockId } });
  }

  /** Whatever was on its way arrives, and whatever can be known becomes known. */
  async calm(): Promise<void> {
    this.#fuse = Infinity;
    if (this.#dead) await this.#restart();
    this.box.faults.network({});
    this.box.powerOn();
    await this.#wire.ready();
    for (let n = 0; n < 12; n++) {
      await this.#pass(15_000);
      await this.#deadline();
    }
  }

  events(): Promise<readonly Recorded<DomainEvent>[]> {
    return this.#backend.events(`device-${this.#deviceId}`);
  }

  async end(): Promise<void> {
    this.box.powerOff();
    await this.#backend.stop();
    await this.#wire.stop();
  }
}
