import { deriveKeys, httpBearer } from '../bridge/protocol/keys.ts';
import type { ReportKind } from '../bridge/protocol/signature.ts';
import { downTopics, reportTopic, type Profile } from '../bridge/topics.ts';
import type { BoxCore, BoxEvent, BoxEventOf, BoxEventType } from './box.ts';
import { DeviceCore, type CoreState } from './core.ts';
import { newJournal } from './firmware/memory.ts';
import type { PowerCutStep } from './firmware/options.ts';
import { FlashFailed, faultyFlash, memoryFlash, type Flash } from './flash.ts';
import { Hardware, type BoltFault, type Movement } from './hardware.ts';
import { Level0Core } from './level0.ts';
import { mqttConnector } from './mqtt-connector.ts';
import { disturb, type NetworkFaults } from './network.ts';
import { topicOwner, type Provisioning } from './provisioning.ts';
import { seededRandom, type Amount } from './random.ts';
import { Session, type BoxCertificate, type Connector, type Done } from './session.ts';
import { count, newStats, type LockboxStats } from './stats.ts';
import { realTime, type Cancel, type SimTime } from './time.ts';

export interface LockboxOptions {
  readonly provisioning: Provisioning;
  /** 0: old firmware without signatures, expiry or memory. Default 1. */
  readonly level?: 0 | 1;
  /** Another broker than the provisioned one. */
  readonly url?: string;
  readonly connect?: Connector;
  /** Shown to a broker that asks for one. */
  readonly certificate?: BoxCertificate;
  readonly flash?: Flash;
  readonly time?: SimTime;
  /** Jitter, losses, jams: one number replays them. Default: of the device id. */
  readonly seed?: number;
  /** Travel time of the bolt in milliseconds; 0 moves it at once. Default 20–50. */
  readonly boltMs?: Amount;
  readonly boltSensor?: boolean;
  /** Probability that one drive of the bolt jams. */
  readonly jam?: number;
  /** Percent. Default 85. */
  readonly battery?: number;
  readonly drainPerHour?: number;
  readonly drainPerMovement?: number;
  /** Below this many percent the motor stays. Default 5. */
  readonly lowBattery?: number;
  /** How wrong the box's own clock is, in milliseconds. Level 1 never looks at it. */
  readonly rtcSkewMs?: number;
  /** How much too fast its oscillator runs, in parts per million. */
  readonly driftPpm?: number;
  readonly network?: NetworkFaults;
  /** The first connection, and the first after a loss, come within this many milliseconds. Default 5000, by protocol. */
  readonly firstConnectWithinMs?: number;
  /** For tests: no wait between two attempts is longer. Default: by protocol, up to minutes. */
  readonly longestWaitMs?: number;
  /** Publishes per second in the long run, and at once. Default 5 and 30, by protocol; a benchmark lifts it. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
  readonly firmwareVersion?: string;
  /** Level 0: the hardware id or serial that the firmware knows itself by. Default: that in its topics, or the device id. */
  readonly level0Key?: string;
  /** Level 0: false asks the broker to keep a session, as some old firmware does. */
  readonly cleanSession?: boolean;
}

export interface WaitOptions<T extends BoxEventType> {
  /** Default 5000. */
  readonly timeoutMs?: number;
  readonly match?: (event: BoxEventOf<T>) => boolean;
}

/** A box in a bag: power, matter, flash, firmware and network, each of which may fail on request. */
export interface Lockbox {
  readonly deviceId: string;
  readonly profile: Profile;
  /** Every movement of the bolt: what really happened, whatever was reported. */
  readonly movements: readonly Movement[];
  /** Commands for which nothing moved, because the bolt was open before. */
  readonly foundOpen: readonly string[];
  readonly stats: Readonly<LockboxStats>;
  readonly connected: boolean;
  readonly powered: boolean;
  readonly status: Hardware['status'];
  /** The motor is running. A bolt that lost its power half way rests there, and its status is unknown. */
  readonly moving: boolean;
  /** Level 1, powered. */
  readonly state: CoreState | undefined;

  /** Power on, connect in time. */
  start(): Promise<void>;
  /** Says goodbye, disconnects, powers off. */
  stop(): Promise<void>;
  /** Resolves once the box is connected and (level 1) knows the time: from here it opens. */
  ready(timeoutMs?: number): Promise<void>;
  waitFor<T extends BoxEventType>(type: T, options?: WaitOptions<T>): Promise<BoxEventOf<T>>;
  /** Every event from now on; returns how to stop it. */
  on(listener: (event: BoxEvent) => void): () => void;

  powerOff(): void;
  powerOn(): void;
  /** The network is gone, the power is not; it reconnects by itself. */
  dropConnection(): void;
  /** As if the network had brought it. */
  deliver(payload: Buffer, retain?: boolean): void;
  /** Signs and publishes one heartbeat, past all network faults; false when not connected, then `done` is not called. */
  sendHeartbeat(done?: Done): boolean;

  readonly faults: {
    network(faults: NetworkFaults): void;
    /** The next bolt drives fail, one each. */
    bolt(...faults: readonly BoltFault[]): void;
    failCommits(count: number): void;
    /** True time that passes in each flash commit; only with a time that can be advanced. */
    onCommit(run: (() => void) | undefined): void;
    /** Cuts the power when the firmware has come to this step; it comes back after `downMs`, or when it is switched on. */
    cutPowerAt(step: PowerCutStep, downMs?: number): void;
    /** The same, right after the so-many-eth commit from now on has reached the flash. */
    cutPowerAfterCommits(count: number, downMs?: number): void;
    /** A new journal, the keys kept. Only while powered off. */
    eraseJournal(): void;
    setRtcSkew(ms: number): void;
  };
  readonly hands: {
    openAtBox(cause: 'manual' | 'keypad' | 'unknown'): void;
    setBattery(percent: number): void;
    setServiceMode(on: boolean): void;
    setTamper(on: boolean): void;
    setParcel(present: boolean): void;
    setDoor(open: boolean): void;
  };
}

/** Thrown out of the firmware at the step where the power goes. */
class PowerCut extends Error {
  readonly step: PowerCutStep | 'committed';
  constructor(step: PowerCutStep | 'committed') {
    super(`Power cut after ${step}`);
    this.step = step;
  }
}

const BOOT_RETRY_MS = 1000;
const STOP_TIMEOUT_MS = 2000;

export function createLockbox(options: LockboxOptions): Lockbox {
  const { provisioning, level = 1, time = realTime, connect = mqttConnector } = options;
  const deviceId = provisioning.mqtt.username;
  const topics = topicOwner(provisioning);
  const random = seededRandom(options.seed ?? seedOf(deviceId));
  const flash = faultyFlash(options.flash ?? memoryFlash());
  const listeners = new Set<(event: BoxEvent) => void>();
  const stats = newStats();
  const kindTopics = new Map<ReportKind, string | undefined>();
  let network = options.network ?? {};
  let rtcSkewMs = options.rtcSkewMs ?? 0;
  let core: BoxCore | undefined;
  let session: Session | undefined;
  let cut: { readonly step: PowerCutStep | 'committed'; readonly downMs: number | undefined } | undefined;
  let revival: Cancel | undefined;

  /** Everything that happens to the box comes through here: a power cut inside it ends it there. */
  const guard = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      if (error instanceof PowerCut) return lose(error);
      // The flash did not take even a boot count: a firmware starts over.
      if (!(error instanceof FlashFailed)) throw error;
      losePower('destroy');
      revive(BOOT_RETRY_MS);
    }
  };
  const drift = 1 + (options.driftPpm ?? 0) / 1_000_000;
  const boxTime: SimTime = {
    now: () => time.now(),
    monotonic: () => time.monotonic() * drift,
    after: (ms, run) => time.after(ms / drift, () => guard(run)),
  };
  const hardware = new Hardware({
    time: boxTime,
    random,
    boltMs: options.boltMs ?? [20, 50],
    boltSensor: options.boltSensor ?? true,
    jam: options.jam ?? 0,
    battery: options.battery ?? 85,
    drainPerHour: options.drainPerHour ?? 0,
    drainPerMovement: options.drainPerMovement ?? 0,
  });
  hardware.onMovement = (movement) => emit({ type: 'moved', movement });

  function emit(event: BoxEvent): void {
    count(stats, event);
    for (const listener of listeners) listener(event);
  }

  function publish(kind: ReportKind, payload: Buffer): void {
    const topic = kindTopic(kind);
    if (topic === undefined) return;
    emit({ type: 'published', kind, payload });
    disturb(network, random, time, () => {
      if (session?.publish(topic, payload) === true) stats.sent++;
    });
  }

  function kindTopic(kind: ReportKind): string | undefined {
    if (!kindTopics.has(kind)) kindTopics.set(kind, reportTopic(topics, kind));
    return kindTopics.get(kind);
  }

  function boot(): BoxCore {
    const firmwareVersion = options.firmwareVersion ?? '1.0.0';
    if (level === 0) {
      return new Level0Core({
        key: options.level0Key ?? (provisioning.profile === 'transisttag' ? deviceId : provisioning.topic_prefix.split('/').at(-1)!),
        style: provisioning.profile === 'smartlock' ? 'smartlock' : 'loqey',
        sharedTopic: provisioning.profile === 'transisttag',
        password: provisioning.mqtt.password,
        bearer: httpBearer(deriveKeys(Buffer.from(provisioning.device_key, 'hex'), deviceId, provisioning.key_version)),
        hardware,
        time: boxTime,
        rtc: () => time.now() + rtcSkewMs,
        firmwareVersion,
        signalStrength: -61,
        publish,
        emit,
      });
    }
    return new DeviceCore({
      deviceId,
      provisioned: { version: provisioning.key_version, master: provisioning.device_key },
      flash,
      hardware,
      time: boxTime,
      random,
      firmwareVersion,
      lowBattery: options.lowBattery ?? 5,
      signalStrength: -61,
      publish,
      reconnect: () => session?.reconnect(),
      emit,
      step: (step) => {
        if (cut?.step === step) throw new PowerCut(step);
      },
    });
  }

  function powerOn(): void {
    if (core !== undefined) return;
    revival?.();
    guard(() => {
      const firmware = boot();
      core = firmware;
      let otherPassword = false;
      session = new Session({
        connect: (request, handlers) => {
          const link = connect(request, {
            connected: () => guard(() => handlers.connected()),
            message: (topic, payload, retain) => {
              stats.received++;
              disturb(network, random, time, () => guard(() => handlers.message(topic, payload, retain)));
            },
            closed: (reason) => guard(() => handlers.closed(reason)),
          });
          return {
            subscribe: (filters, granted) => link.subscribe(filters, (codes) => guard(() => granted(codes))),
            publish: (topic, payload, done) =>
              link.publish(topic, payload, () => {
                stats.acknowledged++;
                done();
              }),
            end: (how) => link.end(how),
          };
        },
        request: () => {
          const { password, bearer, will, otherPassword: other } = firmware.connecting();
          otherPassword = other;
          return {
            url: options.url ?? provisioning.mqtt.url,
            ca: provisioning.ca_pem,
            certificate: options.certificate,
            clientId: provisioning.mqtt.client_id,
            username: provisioning.mqtt.username,
            password,
            bearer,
            clean: level === 1 || options.cleanSession !== false,
            will: { topic: kindTopic(will.kind)!, payload: will.payload },
          };
        },
        filters: downTopics(topics),
        time: boxTime,
        random,
        firstConnectWithinMs: options.firstConnectWithinMs ?? 5000,
        longestWaitMs: options.longestWaitMs,
        rate: options.rate ?? { perSecond: 5, burst: 30 },
        otherPassword: () => otherPassword,
        up: () => {
          stats.connections++;
          firmware.connected();
        },
        refused: () => firmware.refused(),
        down: (reason) => {
          firmware.disconnected();
          emit({ type: 'disconnected', reason });
        },
        message: (payload, retain) => firmware.message(payload, retain),
      });
      session.start();
    });
  }

  function losePower(how: 'disconnect' | 'destroy'): void {
    hardware.losePower();
    core?.stop();
    core = undefined;
    const ending = session;
    session = undefined;
    ending?.stop(how);
  }

  function lose({ step }: PowerCut): void {
    const downMs = cut?.downMs;
    cut = undefined;
    losePower('destroy');
    emit({ type: 'power_cut', step });
    if (downMs !== undefined) revive(downMs);
  }

  function revive(ms: number): void {
    revival = time.after(ms, powerOn);
  }

  function waitFor<T extends BoxEventType>(type: T, { timeoutMs = 5000, match }: WaitOptions<T> = {}): Promise<BoxEventOf<T>> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        listeners.delete(listener);
        timeout();
      };
      const listener = (event: BoxEvent): void => {
        if (event.type !== type || match?.(event as BoxEventOf<T>) === false) return;
        done();
        resolve(event as BoxEventOf<T>);
      };
      const timeout = time.after(timeoutMs, () => {
        done();
        reject(new Error(`Box ${deviceId}: no "${type}" within ${timeoutMs} ms`));
      });
      listeners.add(listener);
    });
  }

  const isReady = (): boolean => session?.isUp === true && (!(core instanceof DeviceCore) || core.state.now !== undefined);

  const box: Lockbox = {
    deviceId,
    profile: provisioning.profile,
    movements: hardware.movements,
    foundOpen: hardware.foundOpen,
    stats,
    get connected() {
      return session?.isUp === true;
    },
    get powered() {
      return core !== undefined;
    },
    get status() {
      return hardware.status;
    },
    get moving() {
      return hardware.moving;
    },
    get state() {
      return core instanceof DeviceCore ? core.state : undefined;
    },
    start() {
      powerOn();
      return Promise.resolve();
    },
    async stop() {
      revival?.();
      const ending = session;
      if (ending?.isUp === true) {
        core?.bye();
        const gone = waitFor('disconnected', { timeoutMs: STOP_TIMEOUT_MS }).catch(() => undefined);
        ending.stop('disconnect');
        await gone;
      }
      losePower('destroy');
    },
    async ready(timeoutMs = 10_000) {
      if (isReady()) return;
      await waitFor(level === 1 ? 'time' : 'connected', { timeoutMs });
    },
    waitFor,
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    powerOff: () => {
      revival?.();
      losePower('destroy');
    },
    powerOn,
    dropConnection: () => session?.lose(),
    deliver(payload, retain = false) {
      guard(() => core?.message(payload, retain));
    },
    sendHeartbeat(done) {
      const topic = kindTopic('heartbeat');
      if (topic === undefined || core === undefined || session?.publish(topic, core.heartbeat(), done) !== true) return false;
      stats.sent++;
      return true;
    },
    faults: {
      network: (faults) => (network = faults),
      bolt: (...faults) => hardware.faults.push(...faults),
      failCommits: (commits) => flash.failCommits(commits),
      onCommit: (run) => (flash.onCommit = run),
      cutPowerAfterCommits(count, downMs) {
        let left = count;
        flash.onCommit = () => {
          if (--left > 0) return;
          flash.onCommit = undefined;
          cut = { step: 'committed', downMs };
          throw new PowerCut('committed');
        };
      },
      cutPowerAt: (step, downMs) => (cut = { step, downMs }),
      eraseJournal() {
        const image = flash.read();
        if (core !== undefined) throw new Error('Power the box off before its journal is erased');
        if (image !== undefined) flash.commit({ ...image, journal: newJournal(), outbox: [] });
      },
      setRtcSkew: (ms) => (rtcSkewMs = ms),
    },
    hands: {
      openAtBox(cause) {
        if (core === undefined) hardware.moveByHand('unlocked', cause);
        else guard(() => core?.openLocally(cause));
      },
      setBattery(percent) {
        hardware.battery = percent;
        guard(() => core?.batteryChanged());
      },
      setServiceMode: (on) => (hardware.serviceMode = on),
      setTamper(on) {
        hardware.tampered = on;
        guard(() => core?.sensed('tamper'));
      },
      setParcel(present) {
        hardware.parcelPresent = present;
        guard(() => core?.sensed('parcel'));
      },
      setDoor(open) {
        hardware.doorOpen = open;
        guard(() => core?.sensed('door'));
      },
    },
  };
  return box;
}

/** FNV-1a: the same box rolls the same dice every time. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
