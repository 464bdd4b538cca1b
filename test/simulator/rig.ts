import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import {
  ackCommand,
  commandValidityMs,
  configCommand,
  newNonce,
  reportCommand,
  rotateKeyCommand,
  sealSecret,
  timeCommand,
  unlockCommand,
  type CommandAction,
  type CommandInput,
} from '../../src/bridge/protocol/commands.ts';
import { deriveKeys, mqttPassword, type DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import type { HeartbeatReport, ResponseReport, SignedReport, StatusReport } from '../../src/bridge/protocol/reports.ts';
import { openReport } from '../../src/bridge/protocol/signed-reports.ts';
import { signCommand, type ReportKind } from '../../src/bridge/protocol/signature.ts';
import { parseUpTopic } from '../../src/bridge/topics.ts';
import type { BoxEvent } from '../../src/simulator/box.ts';
import { memoryFlash, type Flash } from '../../src/simulator/flash.ts';
import { createLockbox, type Lockbox, type LockboxOptions } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import type { ConnectRequest, Connector, LinkHandlers } from '../../src/simulator/session.ts';
import { FakeTime } from '../../src/simulator/time.ts';
import { vectorDeviceId, vectorMasterKey } from '../bridge/protocol/vectors.ts';

/** A network and a broker made of nothing: it takes connections, remembers all, and moves only with the fake time. */
export class FakeBroker {
  readonly requests: (ConnectRequest & { readonly at: number })[] = [];
  readonly published: { readonly at: number; readonly topic: string; readonly payload: Buffer }[] = [];
  readonly ended: ('disconnect' | 'destroy')[] = [];
  /** What becomes of a connection. */
  accept: (request: ConnectRequest) => 'accepted' | 'refused' | 'unreachable' = () => 'accepted';
  /** The SUBACK. */
  grant: (filters: readonly string[]) => readonly number[] = (filters) => filters.map(() => 1);
  subscriptions: readonly string[] = [];
  onPublish: ((topic: string, payload: Buffer) => void) | undefined;
  readonly #time: FakeTime;
  #handlers: LinkHandlers | undefined;

  constructor(time: FakeTime) {
    this.#time = time;
  }

  readonly connect: Connector = (request, handlers) => {
    this.requests.push({ ...request, at: this.#time.monotonic() });
    let open = true;
    const close = (reason: Parameters<LinkHandlers['closed']>[0]): void => {
      if (!open) return;
      open = false;
      if (this.#handlers === handlers) this.#handlers = undefined;
      handlers.closed(reason);
    };
    this.#time.after(1, () => {
      const outcome = this.accept(request);
      if (outcome !== 'accepted') return close(outcome);
      this.#handlers = handlers;
      this.#close = () => close('lost');
      handlers.connected();
    });
    return {
      subscribe: (filters, granted) => {
        this.subscriptions = filters;
        this.#time.after(1, () => open && granted(this.grant(filters)));
      },
      publish: (topic, payload, done) => {
        if (!open) return;
        this.published.push({ at: this.#time.monotonic(), topic, payload });
        this.#time.after(1, () => open && done());
        this.onPublish?.(topic, payload);
      },
      end: (how) => {
        this.ended.push(how);
        this.#time.after(0, () => close('ended'));
      },
    };
  };

  #close: (() => void) | undefined;

  deliver(payload: Buffer, retain = false): void {
    this.#handlers?.message('down', payload, retain);
  }

  /** The connection breaks. */
  break(): void {
    this.#close?.();
  }
}

export interface RigOptions extends Partial<LockboxOptions> {
  /** The server answers time challenges after this many milliseconds; false: never. Default 20. */
  readonly timeAnswer?: number | false;
  /** The server acknowledges what must arrive. Default true. */
  readonly acks?: boolean;
  /** Default: the vectors'. */
  readonly deviceId?: string;
}

/** One box, the server's half of the protocol, and time in the test's hands. */
export class Rig {
  readonly time: FakeTime;
  readonly deviceId: string;
  readonly broker: FakeBroker;
  readonly flash: Flash;
  readonly events: BoxEvent[] = [];
  readonly reports: SignedReport[] = [];
  /** The bytes of each report, same order. */
  readonly payloads: Buffer[] = [];
  box: Lockbox;
  keys: DeviceKeys;
  pendingKeys: DeviceKeys | undefined;
  timeAnswer: number | false;
  acks: boolean;
  #seq: number;

  constructor(options: RigOptions = {}) {
    const { timeAnswer = 20, acks = true, deviceId = vectorDeviceId, ...boxOptions } = options;
    this.deviceId = deviceId;
    this.time = (options.time as FakeTime | undefined) ?? new FakeTime();
    this.broker = new FakeBroker(this.time);
    this.flash = options.flash ?? memoryFlash();
    this.keys = deriveKeys(vectorMasterKey, deviceId, 1);
    this.timeAnswer = timeAnswer;
    this.acks = acks;
    this.#seq = this.time.now();
    this.broker.onPublish = (topic, payload) => this.received(parseUpTopic(topic)!.kind, payload);
    this.box = createLockbox({
      provisioning: provision({ deviceId, masterKey: vectorMasterKey, url: 'mqtt://nowhere' }),
      connect: this.broker.connect,
      time: this.time,
      flash: this.flash,
      seed: 1,
      boltMs: 40,
      firstConnectWithinMs: 0,
      ...boxOptions,
    });
    this.box.on((event) => this.events.push(event));
  }

  /** Power on, connected, hello heard, time known. */
  online(): this {
    this.box.powerOn();
    this.time.advance(100);
    return this;
  }

  send(payload: Buffer, retain = false): void {
    this.broker.deliver(payload, retain);
  }

  /** Sends and lets the box finish. */
  carryOut(payload: Buffer, ms = 1000): ResponseReport | undefined {
    const before = this.reports.length;
    this.send(payload);
    this.time.advance(ms);
    return this.responses(before).at(-1);
  }

  nextSeq(): number {
    this.#seq = Math.max(this.#seq + 1, this.time.now());
    return this.#seq;
  }

  input(action: CommandAction, over: Partial<CommandInput> = {}): CommandInput {
    const now = this.time.now();
    return {
      commandId: randomUUID(),
      deviceId: this.deviceId,
      source: 'system',
      issuedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + commandValidityMs[action]).toISOString(),
      keyVersion: this.keys.version,
      nonce: newNonce(),
      ...over,
    };
  }

  unlock(over: Partial<CommandInput & { seq: number }> = {}, keys = this.keys): Buffer {
    return signCommand(unlockCommand({ ...this.input('unlock'), seq: this.nextSeq(), ...over }), keys.cmd);
  }

  config(configVersion: number, config: Record<string, unknown> = {}): Buffer {
    const desired = { autoLockEnabled: true, autoLockDelay: 30, silentMode: false, ledEnabled: true, heartbeatSeconds: 60 };
    const body = configCommand({ ...this.input('config'), configVersion, desired });
    return signCommand({ ...body, config: { ...(body['config'] as object), ...config } }, this.keys.cmd);
  }

  timeFor(challenge: string, over: Partial<CommandInput> = {}): Buffer {
    const { nonce: _, ...input } = this.input('time', over);
    return signCommand(timeCommand({ ...input, challenge }), this.keys.cmd);
  }

  ack(...acked: readonly number[]): Buffer {
    return signCommand(ackCommand({ ...this.input('ack'), acked }), this.keys.cmd);
  }

  report(): Buffer {
    return signCommand(reportCommand(this.input('report')), this.keys.cmd);
  }

  rotate(master: Buffer): Buffer {
    const input = this.input('rotate_key');
    const newKeyVersion = this.keys.version + 1;
    this.pendingKeys = deriveKeys(master, this.deviceId, newKeyVersion);
    const secret = sealSecret(JSON.stringify({ device_key: master.toString('hex') }), this.keys.enc, this.deviceId, input.commandId);
    return signCommand(rotateKeyCommand({ ...input, newKeyVersion, secret }), this.keys.cmd);
  }

  responses(from = 0): readonly ResponseReport[] {
    return this.reports.slice(from).filter((report) => report.kind === 'responses');
  }

  statuses(reason?: StatusReport['reason']): readonly StatusReport[] {
    return this.reports.filter((report): report is StatusReport => report.kind === 'status' && report.reason !== 'will' && (reason === undefined || report.reason === reason));
  }

  heartbeats(): readonly HeartbeatReport[] {
    return this.reports.filter((report) => report.kind === 'heartbeat');
  }

  get openings(): number {
    return this.box.movements.filter(({ to }) => to === 'unlocked').length;
  }

  password(): string {
    return mqttPassword(this.keys);
  }

  /** The server has seen the new key at work. */
  rotated(): void {}

  /** The server: verifies, answers the time, acknowledges, and ends a rotation once it has seen the new key at work. */
  received(kind: ReportKind, payload: Buffer): void {
    const known = [this.keys, this.pendingKeys].filter((keys) => keys !== undefined);
    const opened = openReport(kind, payload, this.deviceId, known);
    expect(opened, payload.toString()).toMatchObject({ ok: true });
    if (!opened.ok) return;
    const { report } = opened;
    this.reports.push(report);
    this.payloads.push(payload);
    if (this.pendingKeys !== undefined && report.keyVersion === this.pendingKeys.version) {
      this.keys = this.pendingKeys;
      this.pendingKeys = undefined;
      this.rotated();
    }
    if (this.timeAnswer !== false && 'timeChallenge' in report && report.timeChallenge !== undefined) {
      const answer = this.timeFor(report.timeChallenge);
      this.time.after(this.timeAnswer, () => this.send(answer));
    }
    const mustArrive = (report.kind === 'responses' && report.phase === 'final') || (report.kind === 'status' && ['changed', 'tamper', 'parcel'].includes(report.reason));
    if (this.acks && mustArrive) {
      const ack = this.ack(report.reportSeq);
      this.time.after(1, () => this.send(ack));
    }
  }
}
