import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { CommandAction } from '../../src/bridge/protocol/commands.ts';
import type { DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { openReport } from '../../src/bridge/protocol/signed-reports.ts';
import { parseUpTopic } from '../../src/bridge/topics.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import type { Connector, ConnectRequest } from '../../src/simulator/session.ts';
import { FakeTime } from '../../src/simulator/time.ts';
import { vectorMasterKey } from '../bridge/protocol/vectors.ts';
import { Rig, type RigOptions } from '../simulator/rig.ts';
import { until } from './until.ts';

/** A real way between boxes and the server's half of the protocol: a broker with its bridge, or HTTP. */
export interface Wire {
  readonly connector: Connector;
  /** Makes these keys the ones that the box may connect with. `deaf`: one of its subscriptions is not granted. */
  register(deviceId: string, keys: readonly DeviceKeys[], options?: { readonly deaf?: boolean }): Promise<void>;
  /** Resolves when the wire has it; false where nobody was there to take it. */
  send(deviceId: string, action: CommandAction, payload: Buffer): Promise<boolean>;
  /** Resolves once the server's side is connected: a broker that was told of a failure is come back to after a while. */
  ready(): Promise<void>;
  /** What comes up, wills included. A handler that fails leaves it unacknowledged. */
  onReport(handler: (topic: string, payload: Buffer, retain: boolean) => void | Promise<void>): void;
  /** There are subscriptions to grant, wills to publish, and a network that can be away. */
  readonly broker: BrokerWire | undefined;
  /** A command that was handed to a connection as it went comes again after so long, if it does. */
  readonly againAfterMs?: number;
  stop(): Promise<void>;
}

export interface BrokerWire {
  /** Knows both keys of a rotation. */
  readonly knowsTwoKeys: boolean;
  /** Tries to leave a command with the broker, with whatever rights the server has there. */
  retain(deviceId: string, payload: Buffer): Promise<void>;
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Real time after which what has not arrived will not arrive by itself. */
const STUCK_MS = 3_000;

/** `time` is what boxes and server live in. */
export type MakeWire = (time: FakeTime) => Promise<Wire>;

/**
 * The rig of the unit tests on a real wire. Time stands still while messages are on their way and goes on when the test
 * says so: eight hours pass at once, and a command is as late as the test wants it.
 */
export class WireRig extends Rig {
  readonly wire: Wire;
  readonly requests: (ConnectRequest & { readonly at: number })[] = [];
  readonly wills: Record<string, unknown>[] = [];
  /** Reports that came with the retain flag. */
  retained = 0;
  /** Of the present connection: given to the wire and out of it again; published, acknowledged and at the server. */
  #given = 0;
  readonly #onItsWay: string[] = [];
  #published = 0;
  #acknowledged = 0;
  #reported = 0;
  #delivering: Promise<void> = Promise.resolve();

  private constructor(wire: Wire, time: FakeTime, options: RigOptions & { readonly deviceId: string }) {
    super({ ...options, time });
    this.wire = wire;
    const { timeAnswer: _, acks: __, deviceId, ...boxOptions } = options;
    this.box = createLockbox({
      provisioning: provision({ deviceId, masterKey: vectorMasterKey, url: 'mqtt://wire' }),
      seed: 1,
      boltMs: 40,
      firstConnectWithinMs: 0,
      // Its own pace is what the unit tests are for; here time stands still.
      rate: { perSecond: 1_000, burst: 1_000 },
      ...boxOptions,
      connect: (request, handlers) => this.#connect(request, handlers),
      time,
      flash: this.flash,
    });
    this.box.on((event) => this.events.push(event));
  }

  static async on(make: MakeWire, { at, deviceId = randomUUID(), ...options }: RigOptions & { readonly at?: string } = {}): Promise<WireRig> {
    const time = new FakeTime(at === undefined ? undefined : Date.parse(at));
    const wire = await make(time);
    const rig = new WireRig(wire, time, { ...options, deviceId });
    wire.onReport((topic, payload, retain) => {
      if (parseUpTopic(topic)?.key !== deviceId) return;
      if (retain) rig.retained++;
      rig.#take(topic, payload);
    });
    await wire.register(deviceId, [rig.keys]);
    return rig;
  }

  #connect(request: ConnectRequest, handlers: Parameters<Connector>[1]): ReturnType<Connector> {
    this.requests.push({ ...request, at: this.time.monotonic() });
    const link = this.wire.connector(request, {
      connected: () => handlers.connected(),
      message: (topic, payload, retain) => {
        this.#arrived(payload.toString());
        handlers.message(topic, payload, retain);
      },
      closed: (reason) => {
        // What was on its way is lost with the connection.
        this.#onItsWay.length = 0;
        this.#published = this.#acknowledged = this.#reported = 0;
        handlers.closed(reason);
      },
    });
    return {
      ...link,
      publish: (topic, payload, done) => {
        this.#published++;
        link.publish(topic, payload, () => {
          this.#acknowledged++;
          done();
        });
      },
    };
  }

  #take(topic: string, payload: Buffer): void {
    const { kind } = parseUpTopic(topic)!;
    const body = JSON.parse(payload.toString()) as Record<string, unknown>;
    if (body['reason'] !== 'will') {
      this.received(kind, payload);
      this.#reported++;
      return;
    }
    // The broker sends it when it likes.
    const opened = openReport(kind, payload, this.deviceId, [this.keys, this.pendingKeys].filter((keys) => keys !== undefined));
    if (opened.ok) this.wills.push(body);
  }

  /** Or was lost with a connection before, and is not waited for. */
  #arrived(bytes: string): void {
    const at = this.#onItsWay.indexOf(bytes);
    if (at >= 0) this.#onItsWay.splice(at, 1);
  }

  override send(payload: Buffer): void {
    const bytes = payload.toString(); // as HTTP brings it: what is no UTF-8 is replaced
    this.#given++;
    this.#onItsWay.push(bytes);
    const action = (/"action":"(\w+)"/.exec(bytes)?.[1] ?? 'unlock') as CommandAction;
    this.#delivering = this.#delivering.then(async () => {
      if (!(await this.wire.send(this.deviceId, action, payload))) this.#arrived(bytes);
    });
  }

  /** Everything that is on its way has arrived, and what follows from it. Time hardly goes on. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; ) {
      const before = `${this.#given} ${this.#published}`;
      await this.#delivering;
      const { againAfterMs } = this.wire;
      const again = againAfterMs === undefined ? undefined : setInterval(() => this.time.advance(againAfterMs), STUCK_MS);
      await until('what is on its way has arrived', () => this.#onItsWay.length === 0 && this.#acknowledged >= this.#published && this.#reported >= this.#published).catch((error: unknown) => {
        throw new Error(`on its way ${this.#onItsWay.length}, published ${this.#published}, acknowledged ${this.#acknowledged}, reported ${this.#reported}`, { cause: error });
      }).finally(() => clearInterval(again));
      this.time.advance(25); // the server answers a moment later
      await new Promise(setImmediate);
      quiet = before === `${this.#given} ${this.#published}` ? quiet + 1 : 0;
    }
  }

  /** Sends, lets the box finish, and answers its last response. */
  async carriesOut(payload: Buffer, ms = 1_000) {
    const before = this.reports.length;
    this.send(payload);
    await this.settle();
    this.time.advance(ms);
    await this.settle();
    return this.responses(before).at(-1);
  }

  /** Until something is so, with time going on: connections are made and broken meanwhile. */
  async passUntil(what: string, condition: () => boolean, mostMs = 600_000, step = 250): Promise<void> {
    for (let passed = 0; !condition(); passed += step) {
      if (passed > mostMs) throw new Error(`Not within ${mostMs} ms of the box's time: ${what}`);
      this.time.advance(step);
      await breathe();
    }
  }

  async pass(ms: number, step = 1_000): Promise<void> {
    const end = this.time.monotonic() + ms;
    await this.passUntil('time passes', () => this.time.monotonic() >= end, ms, step);
  }

  /** Power on, connected, hello heard, and where it is told, time known. */
  async started(): Promise<this> {
    this.box.powerOn();
    const hellos = this.statuses('hello').length;
    await this.#back(hellos);
    return this;
  }

  async restarted(afterMs = 2_000): Promise<void> {
    this.box.powerOff();
    this.time.advance(afterMs);
    await this.started();
  }

  /** The network goes and comes back. */
  async reconnected(): Promise<void> {
    const hellos = this.statuses('hello').length;
    this.box.dropConnection();
    await this.#back(hellos);
  }

  async #back(hellos: number): Promise<void> {
    await this.passUntil('it says hello', () => this.statuses('hello').length > hellos, 400_000, 50);
    if (this.timeAnswer !== false) await this.passUntil('it is told the time', () => this.box.state?.now !== undefined, 30_000, 10);
    await this.settle();
  }

  override rotated(): void {
    this.#delivering = this.#delivering.then(() => this.wire.register(this.deviceId, [this.keys]));
  }

  async stop(): Promise<void> {
    this.box.powerOff();
    await this.#delivering.catch(() => undefined);
    await this.wire.stop();
  }

  expectSilence(reports: number, rejects: object): void {
    expect(this.reports.length).toBe(reports);
    expect(this.box.state?.rejects).toMatchObject(rejects);
  }
}

/** Sockets are given a moment; how long anything takes is not what these tests are about. */
export function breathe(turns = 3): Promise<void> {
  return new Promise((resolve) => {
    const turn = (left: number): void => void (left === 0 ? resolve() : setTimeout(turn, 1, left - 1));
    turn(turns);
  });
}
