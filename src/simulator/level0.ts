import { isObject, MAX_COMMAND_BYTES } from '../bridge/protocol/json.ts';
import type { ReportKind } from '../bridge/protocol/signature.ts';
import type { BoxCore, BoxEvent, Connecting } from './box.ts';
import type { Hardware } from './hardware.ts';
import type { BoxTime, Cancel } from './time.ts';

export interface Level0Options {
  /** The name that this firmware knows itself by. */
  readonly key: string;
  /** Some old firmware writes `lock_status` and `request_id`, some `status` and `command`. */
  readonly style: 'loqey' | 'smartlock';
  /** Set where one command topic serves all boxes: then it looks at the device id of a command. */
  readonly sharedTopic: boolean;
  readonly password: string;
  readonly bearer: string;
  readonly hardware: Hardware;
  readonly time: BoxTime;
  /** Its own idea of the time, milliseconds since the epoch. Nobody should believe it. */
  readonly rtc: () => number;
  readonly firmwareVersion: string;
  readonly signalStrength: number;
  readonly publish: (kind: ReportKind, payload: Buffer) => void;
  readonly emit: (event: BoxEvent) => void;
}

const HEARTBEAT_MS = 60_000;

/**
 * Old firmware: no signature, no expiry, no memory. Whatever says "unlock" on its topic opens it, however late, however
 * often, whoever sent it. Here to show what that costs, and that such a box still works.
 */
export class Level0Core implements BoxCore {
  readonly #o: Level0Options;
  readonly #bootedAt: number;
  #heartbeatTimer: Cancel | undefined;
  #online = false;
  #alive = true;

  constructor(options: Level0Options) {
    this.#o = options;
    this.#bootedAt = options.time.monotonic();
    options.emit({ type: 'booted', bootCount: 0 });
  }

  connecting(): Connecting {
    return { password: this.#o.password, bearer: this.#o.bearer, will: { kind: 'status', payload: this.#status(false) }, otherPassword: false };
  }

  connected(): void {
    this.#online = true;
    this.#o.emit({ type: 'connected', connectId: '' });
    this.#publish('status', this.#status(true));
    this.#beat();
  }

  refused(): void {}

  disconnected(): void {
    this.#online = false;
    this.#heartbeatTimer?.();
  }

  message(payload: Buffer, _retain: boolean): void {
    const command = parse(payload);
    if (command === undefined) return this.#o.emit({ type: 'rejected', reason: 'malformed' });
    if (this.#o.sharedTopic && command['device_id'] !== undefined && command['device_id'] !== this.#o.key) return;
    if ((command['action'] ?? command['command']) !== 'unlock') return;
    const commandId = typeof command['command_id'] === 'string' ? command['command_id'] : undefined;
    this.#o.emit({ type: 'command', action: 'unlock', commandId: commandId ?? '' });
    this.#o.hardware.drive('unlocked', 'command', commandId, (outcome) => {
      if (!this.#alive) return;
      this.#publish('responses', this.#response(command['request_id'], outcome.arrived));
      this.#publish('status', this.#status(true));
      this.#o.emit(outcome.arrived ? { type: 'opened', commandId } : { type: 'failed', commandId: commandId ?? '', reason: outcome.reason });
    });
  }

  openLocally(cause: 'manual' | 'keypad' | 'unknown'): void {
    this.#o.hardware.moveByHand('unlocked', cause);
    this.#publish('status', this.#status(true));
  }

  sensed(): void {}

  batteryChanged(): void {
    this.#publish('battery', encode({ level: this.#o.hardware.battery, timestamp: this.#timestamp() }));
  }

  bye(): void {
    this.#publish('status', this.#status(false));
  }

  stop(): void {
    this.#alive = false;
    this.disconnected();
  }

  heartbeat(): Buffer {
    const { hardware, time, signalStrength, key, style } = this.#o;
    return encode(
      style === 'smartlock'
        ? { timestamp: this.#timestamp(), uptime: Math.floor((time.monotonic() - this.#bootedAt) / 1000) }
        : { device_id: key, online: true, battery: hardware.battery, signal_strength: signalStrength, timestamp: this.#timestamp() },
    );
  }

  #beat(): void {
    this.#publish('heartbeat', this.heartbeat());
    this.#heartbeatTimer = this.#o.time.after(HEARTBEAT_MS, () => this.#beat());
  }

  #status(online: boolean): Buffer {
    const { hardware, key, style, firmwareVersion, signalStrength } = this.#o;
    return encode(
      style === 'smartlock'
        ? { online, battery: hardware.battery, lock_status: hardware.status, signal_strength: signalStrength, temperature: 21.5, timestamp: this.#timestamp() }
        : { device_id: key, status: hardware.status, battery: hardware.battery, online, timestamp: this.#timestamp(), firmware_version: firmwareVersion },
    );
  }

  #response(requestId: unknown, success: boolean): Buffer {
    const { hardware, key, style } = this.#o;
    return encode(
      style === 'smartlock'
        ? { request_id: requestId, success, status: hardware.status, timestamp: this.#timestamp() }
        : { device_id: key, command: 'unlock', success, message: success ? 'Unlocked' : 'Jammed', new_status: hardware.status, timestamp: this.#timestamp(), battery_level: hardware.battery },
    );
  }

  #timestamp(): string {
    return new Date(this.#o.rtc()).toISOString();
  }

  #publish(kind: ReportKind, payload: Buffer): void {
    if (this.#online) this.#o.publish(kind, payload);
  }
}

function parse(payload: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (payload.length > MAX_COMMAND_BYTES) return undefined;
  try {
    const value: unknown = JSON.parse(payload.toString());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function encode(body: object): Buffer {
  return Buffer.from(JSON.stringify(body));
}
