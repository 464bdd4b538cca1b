import type { Random } from './random.ts';
import type { BoxTime, Cancel } from './time.ts';

export interface BoxCertificate {
  readonly cert: string;
  readonly key: string;
}

/** One attempt at a broker. */
export interface ConnectRequest {
  readonly url: string;
  readonly ca: string | undefined;
  /** Its own, where the broker asks for one: PEM, CN = device id. */
  readonly certificate: BoxCertificate | undefined;
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  /** What it signs in with over HTTP. */
  readonly bearer: string;
  /** Always true in level 1; old firmware may ask for a stored session. */
  readonly clean: boolean;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
  readonly will: { readonly topic: string; readonly payload: Buffer };
}

/** What a connector tells, from CONNACK to the end; `closed` comes exactly once, last, also after `end`. */
export interface LinkHandlers {
  connected(): void;
  message(topic: string, payload: Buffer, retain: boolean): void;
  closed(reason: 'refused' | 'lost' | 'ended' | 'unreachable'): void;
}

export interface Link {
  /** One SUBSCRIBE; `granted` gets the SUBACK's codes, in order. */
  subscribe(filters: readonly string[], granted: (codes: readonly number[]) => void): void;
  /** QoS 1, never retained. `done` after the PUBACK. */
  publish(topic: string, payload: Buffer, done: () => void): void;
  /** With a DISCONNECT (no will), or by simply going away. */
  end(how: 'disconnect' | 'destroy'): void;
}

/** True after the PUBACK, false when the connection ended before it or the queue was full. */
export type Done = (acknowledged: boolean) => void;

export type Connector = (request: ConnectRequest, handlers: LinkHandlers) => Link;

export interface SessionOptions {
  readonly connect: Connector;
  readonly request: () => Omit<ConnectRequest, 'keepaliveSeconds' | 'connectTimeoutMs'>;
  readonly filters: readonly string[];
  readonly time: BoxTime;
  readonly random: Random;
  /** The first attempt comes within this many milliseconds: after a power cut not all boxes at once. */
  readonly firstConnectWithinMs: number;
  /** No wait between two attempts is longer, whatever the reason. Default: by protocol. */
  readonly longestWaitMs?: number | undefined;
  /** Publishes per second in the long run, and at once. */
  readonly rate: { readonly perSecond: number; readonly burst: number };
  /** True where the next attempt will be made with another password. */
  readonly otherPassword: () => boolean;
  readonly up: () => void;
  readonly refused: () => void;
  readonly down: (reason: string) => void;
  readonly message: (payload: Buffer, retain: boolean) => void;
}

const KEEPALIVE_SECONDS = 30;
const CONNECT_TIMEOUT_MS = 10_000;
const SUBACK_TIMEOUT_MS = 10_000;
const MAX_IN_FLIGHT = 4;
const MAX_QUEUED = 64;
const STABLE_MS = 60_000;
const REFUSED_WAIT_MS: readonly [number, number] = [60_000, 300_000];

/**
 * The rules of a level 1 connection: connect clean, subscribe, look at every SUBACK code, only then be up; wait longer
 * after each failure, with full jitter; four publishes in flight, five a second in the long run.
 */
export class Session {
  readonly #o: SessionOptions;
  readonly #queue: { readonly topic: string; readonly payload: Buffer; readonly done: Done | undefined }[] = [];
  #link: Link | undefined;
  #isUp = false;
  #failures = 0;
  #refusals = 0;
  #wait: Cancel | undefined;
  #stable: Cancel | undefined;
  #subackTimer: Cancel | undefined;
  #rateTimer: Cancel | undefined;
  #inFlight = 0;
  readonly #unacknowledged = new Set<{ readonly done: Done }>();
  #tokens: number;
  #tokensAt: number;
  #running = false;
  /** Set while a link is being closed on purpose: the reason that `down` is told. */
  #closing: string | undefined;
  /** Reconnects at once, once. */
  #atOnce = false;

  constructor(options: SessionOptions) {
    this.#o = options;
    this.#tokens = options.rate.burst;
    this.#tokensAt = options.time.monotonic();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#plan(this.#o.random() * this.#o.firstConnectWithinMs);
  }

  /** For good. `disconnect` says goodbye to the broker, `destroy` leaves it to find out. */
  stop(how: 'disconnect' | 'destroy'): void {
    this.#running = false;
    this.#wait?.();
    this.#drop('stopped', how);
  }

  /** Ends this connection and makes another without waiting. */
  reconnect(): void {
    if (this.#link === undefined) return;
    this.#atOnce = true;
    this.#drop('reconnecting', 'disconnect');
  }

  /** The network is gone; the broker hears nothing. */
  lose(): void {
    this.#drop('lost', 'destroy');
  }

  /** False when there is no connection to publish on: then it is not queued either, and `done` is not called. */
  publish(topic: string, payload: Buffer, done?: Done): boolean {
    if (!this.#isUp) return false;
    // Whatever matters is in the outbox and comes again.
    if (this.#queue.length >= MAX_QUEUED) this.#queue.shift()?.done?.(false);
    this.#queue.push({ topic, payload, done });
    this.#pump();
    return true;
  }

  #connect(): void {
    this.#closing = undefined;
    this.#link = undefined;
    let opened: Link | undefined;
    const current = (): boolean => this.#link === opened;
    opened = this.#o.connect(
      { ...this.#o.request(), keepaliveSeconds: KEEPALIVE_SECONDS, connectTimeoutMs: CONNECT_TIMEOUT_MS },
      {
        connected: () => current() && this.#subscribe(opened!),
        message: (_, payload, retain) => {
          if (current() && this.#isUp) this.#o.message(payload, retain);
        },
        closed: (reason) => {
          if (current()) this.#closed(reason);
        },
      },
    );
    this.#link = opened;
  }

  #subscribe(link: Link): void {
    const deaf = (why: string): void => this.#drop(why, 'disconnect');
    this.#subackTimer = this.#o.time.after(SUBACK_TIMEOUT_MS, () => deaf('no SUBACK'));
    link.subscribe(this.#o.filters, (codes) => {
      if (this.#link !== link) return;
      this.#subackTimer?.();
      // A box that is deaf must not say hello: it would look reachable.
      if (codes.length !== this.#o.filters.length || codes.some((code) => code > 1)) return deaf('subscription refused');
      this.#isUp = true;
      this.#refusals = 0;
      this.#stable = this.#o.time.after(STABLE_MS, () => (this.#failures = 0));
      this.#o.up();
    });
  }

  #drop(reason: string, how: 'disconnect' | 'destroy'): void {
    if (this.#link === undefined) return;
    this.#closing ??= reason;
    this.#link.end(how);
  }

  #closed(reason: 'refused' | 'lost' | 'ended' | 'unreachable'): void {
    this.#subackTimer?.();
    this.#stable?.();
    this.#rateTimer?.();
    this.#rateTimer = undefined;
    const unsent = this.#queue.splice(0);
    this.#inFlight = 0;
    this.#link = undefined;
    const wasUp = this.#isUp;
    this.#isUp = false;
    for (const { done } of [...unsent, ...this.#unacknowledged]) done?.(false);
    this.#unacknowledged.clear();
    if (reason === 'refused') {
      this.#refusals++;
      this.#o.refused();
    }
    if (wasUp || reason === 'refused' || this.#closing !== undefined) this.#o.down(this.#closing ?? reason);
    if (!this.#running) return;
    if (this.#atOnce) {
      this.#atOnce = false;
      return this.#plan(0);
    }
    this.#plan(this.#delay(reason === 'refused', wasUp));
  }

  #delay(refused: boolean, wasUp: boolean): number {
    const { random } = this.#o;
    // The other password is worth trying soon; when the broker knows neither, there is no hurry.
    const known = this.#o.otherPassword() && this.#refusals % 2 === 1;
    if (refused && !known) return REFUSED_WAIT_MS[0] + random() * (REFUSED_WAIT_MS[1] - REFUSED_WAIT_MS[0]);
    if (wasUp && this.#failures === 0) {
      this.#failures++;
      return random() * this.#o.firstConnectWithinMs;
    }
    return random() * Math.min(120, 2 * 2 ** this.#failures++) * 1000;
  }

  #plan(ms: number): void {
    this.#wait = this.#o.time.after(Math.min(ms, this.#o.longestWaitMs ?? Infinity), () => this.#connect());
  }

  #pump(): void {
    while (this.#isUp && this.#queue.length > 0 && this.#inFlight < MAX_IN_FLIGHT) {
      if (!this.#takeToken()) return;
      const { topic, payload, done } = this.#queue.shift()!;
      const link = this.#link!;
      const waiting = done === undefined ? undefined : { done };
      if (waiting !== undefined) this.#unacknowledged.add(waiting);
      this.#inFlight++;
      link.publish(topic, payload, () => {
        if (this.#link !== link) return;
        this.#inFlight--;
        if (waiting !== undefined && this.#unacknowledged.delete(waiting)) waiting.done(true);
        this.#pump();
      });
    }
  }

  #takeToken(): boolean {
    const { time, rate } = this.#o;
    if (rate.perSecond === Infinity) return true;
    const now = time.monotonic();
    this.#tokens = Math.min(rate.burst, this.#tokens + ((now - this.#tokensAt) * rate.perSecond) / 1000);
    this.#tokensAt = now;
    if (this.#tokens >= 1) {
      this.#tokens--;
      return true;
    }
    this.#rateTimer ??= time.after(Math.ceil(((1 - this.#tokens) * 1000) / rate.perSecond), () => {
      this.#rateTimer = undefined;
      this.#pump();
    });
    return false;
  }
}
