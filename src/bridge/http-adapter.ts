import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '../platform/clock.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { DeviceCredentials } from '../platform/vault/device-credentials.ts';
import { RelayUnavailable, type Relay, type RelayMessage } from '../platform/relay/port.ts';
import { tokenBuckets } from '../platform/token-buckets.ts';
import type { Keyring } from './keyring.ts';
import type { LiveDevice, LiveDevices } from './live-devices.ts';
import type { Mailbox } from './mailbox.ts';
import { MAX_COMMAND_BYTES, MAX_REPORT_BYTES } from './protocol/json.ts';
import { httpBearer } from './protocol/keys.ts';
import { looksSigned, type ReportKind } from './protocol/signature.ts';
import { decodeCommand, encodePublished, encodeReport } from './relay-messages.ts';
import { reportTopic, topicOwner } from './topics.ts';
import { tellRejected } from './uplink.ts';

/** What became of a report. `taken`: the relay has it durably, which is what a PUBACK says on MQTT. */
export type ReportOutcome = 'taken' | 'too_large' | 'too_many' | 'no_such_kind' | 'unavailable';
export type AcknowledgeOutcome = Exclude<ReportOutcome, 'taken'> | 'acknowledged' | 'not_found';

/** Boxes without MQTT: the same bytes over HTTP, into the same topics of the relay. */
export interface HttpAdapter extends Component {
  /** Whether this bearer is the box's own, and the box in service. `address` is where the request came from. */
  authenticate(deviceId: string, bearer: string, address: string | undefined): Promise<boolean>;
  report(deviceId: string, kind: ReportKind, payload: Buffer): Promise<ReportOutcome>;
  /**
   * The signed texts of the next commands; waits for the first one, at most so long. One poll a box: a newer one ends
   * it. Empty also when the signal says that nobody waits for the answer any more.
   * @returns undefined where too many boxes wait already, or this one asks too often
   */
  commands(deviceId: string, waitMs: number, signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** Ends every poll now, and each later one at once: the server goes away. */
  endPolls(): void;
  /** The box has this command. A body is its signed answer, as if it had been reported. */
  acknowledge(deviceId: string, commandId: string, answer: Buffer): Promise<AcknowledgeOutcome>;
}

/** Of the protocol, as at the broker. */
const PER_SECOND = 5;
const BURST = 30;
/** Boxes that wait at one process. */
const MAX_WAITING = 5_000;
/** A lost notification is made good after so long. */
const LOOK_EVERY_MS = 5_000;

export function createHttpAdapter(deps: {
  readonly relay: Relay;
  readonly mailbox: Mailbox;
  readonly live: LiveDevices;
  readonly keyring: Keyring;
  readonly credentials: Pick<DeviceCredentials, 'credential'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Requests of one box per second, and at once; a benchmark lifts it. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
}): HttpAdapter {
  const { relay, mailbox, live, keyring, credentials, clock, metrics, rate = { perSecond: PER_SECOND, burst: BURST } } = deps;
  const logger = deps.logger.child({ component: 'http-adapter' });
  const requests = metrics.counter('loqey_device_http_requests_total', 'Requests of devices over HTTP', ['what', 'outcome']);
  const waitingGauge = metrics.gauge('loqey_device_http_waiting', 'Devices that wait for a command over HTTP');
  const tell = tellRejected(relay, metrics, clock);
  const mayReport = tokenBuckets({ ...rate, clock });
  const mayAsk = tokenBuckets({ ...rate, clock });
  /** The poll of each box, and how to end it. */
  const polls = new Map<string, () => void>();
  let stopping = false;

  async function authenticate(deviceId: string, bearer: string, address: string | undefined): Promise<boolean> {
    const [keys, credential] = await Promise.all([keyring.of(deviceId), credentials.credential(deviceId)]);
    const given = Buffer.from(bearer);
    let good = false;
    for (const each of [keys?.current, keys?.pending]) {
      const expected = each === undefined ? undefined : Buffer.from(httpBearer(each));
      if (expected?.length === given.length && timingSafeEqual(expected, given)) good = true;
    }
    // A box out of service keeps its keys and loses its credential.
    if (good && credential !== undefined) return true;
    requests.inc({ what: 'any', outcome: 'unauthorised' });
    tell({ reason: 'wrong_credential', via: 'http', deviceId: undefined, topic: undefined, claimed: deviceId, address, size: 0, payload: Buffer.alloc(0), receivedAt: clock.now() });
    return false;
  }

  function topicOf(device: LiveDevice, kind: ReportKind): string | undefined {
    return reportTopic(topicOwner(device), kind);
  }

  async function report(deviceId: string, kind: ReportKind, payload: Buffer): Promise<ReportOutcome> {
    const outcome = await take(deviceId, kind, payload);
    requests.inc({ what: kind, outcome });
    return outcome;
  }

  async function take(deviceId: string, kind: ReportKind, payload: Buffer): Promise<ReportOutcome> {
    const device = await live.byId(deviceId);
    const topic = device === undefined ? undefined : topicOf(device, kind);
    if (topic === undefined) return 'no_such_kind';
    const reason = !mayReport(deviceId) ? 'rate' : payload.length > MAX_REPORT_BYTES ? 'too_large' : undefined;
    if (reason !== undefined) {
      tell({ reason, via: 'http', deviceId, topic, claimed: undefined, address: undefined, size: payload.length, payload, receivedAt: clock.now() });
      return reason === 'rate' ? 'too_many' : 'too_large';
    }
    try {
      await relay.publish('device-reports', [encodeReport(device!.topicKey, { topic, payload, receivedAt: clock.now(), via: 'http' })]);
      return 'taken';
    } catch (error) {
      if (!(error instanceof RelayUnavailable)) throw error;
      return 'unavailable';
    }
  }

  async function commands(deviceId: string, waitMs: number, signal: AbortSignal): Promise<readonly string[] | undefined> {
    if (!mayAsk(deviceId) || (polls.size >= MAX_WAITING && !polls.has(deviceId))) {
      requests.inc({ what: 'commands', outcome: 'too_many' });
      return undefined;
    }
    polls.get(deviceId)?.(); // the newest one is where the box listens
    const poll = Promise.withResolvers<void>();
    let ended = false;
    const end = (): void => {
      ended = true;
      poll.resolve();
    };
    polls.set(deviceId, end);
    waitingGauge.set(polls.size);
    signal.addEventListener('abort', end, { once: true });
    let news = Promise.withResolvers<void>();
    const forget = mailbox.onNews(deviceId, () => news.resolve());
    const deadline = clock.monotonic() + waitMs;
    try {
      for (;;) {
        // A claim for a connection that is gone would be lost for five seconds.
        if (ended || signal.aborted) return [];
        news = Promise.withResolvers<void>();
        const found = await mailbox.claim(deviceId);
        if (found.length > 0 && (ended || signal.aborted)) {
          await mailbox.giveBack(found.map(({ commandId }) => commandId));
          return [];
        }
        const texts = found.map(({ payload }) => payload.toString('utf8'));
        if (texts.length > 0) {
          requests.inc({ what: 'commands', outcome: 'handed' }, texts.length);
          for (const { action, commandId, first } of found) if (action === 'unlock' && first) tellHanded(deviceId, commandId);
          return texts;
        }
        const left = deadline - clock.monotonic();
        if (left <= 0 || stopping) return [];
        await Promise.race([news.promise, poll.promise, timeout(Math.min(left, LOOK_EVERY_MS))]);
      }
    } finally {
      forget();
      signal.removeEventListener('abort', end);
      if (polls.get(deviceId) === end) polls.delete(deviceId);
      waitingGauge.set(polls.size);
    }
  }

  /** What the broker's PUBACK is on MQTT. Losing it loses a step of the trace, never safety. */
  function tellHanded(deviceId: string, unlockId: string): void {
    relay
      .publish('device-reports', [encodePublished({ deviceId, unlockId, delivered: true })])
      .catch((error: unknown) => logger.warn({ err: error, deviceId }, 'A box fetched a command, but that could not be recorded'));
  }

  async function acknowledge(deviceId: string, commandId: string, answer: Buffer): Promise<AcknowledgeOutcome> {
    if (!mayAsk(deviceId)) return 'too_many';
    if (!(await mailbox.acknowledge(deviceId, commandId))) return 'not_found';
    requests.inc({ what: 'acknowledge', outcome: 'acknowledged' });
    if (answer.length === 0) return 'acknowledged';
    const outcome = await report(deviceId, 'responses', answer);
    return outcome === 'taken' ? 'acknowledged' : outcome;
  }

  function endPolls(): void {
    stopping = true;
    for (const end of polls.values()) end();
  }

  /** Relay → mailbox: what is fetched instead of published. Old firmware fetches nothing. */
  async function collect(batch: readonly RelayMessage[]): Promise<void> {
    for (const message of batch) {
      const command = decodeCommand(message);
      if (command?.via !== 'http' || command.level !== 1 || command.payload.length > MAX_COMMAND_BYTES || !looksSigned(command.payload)) continue;
      await mailbox.put(command);
    }
  }

  const consumer = relay.consume({ topic: 'device-commands', group: 'http-mailbox', concurrency: 4, handle: collect });
  const lifecycle = component(
    async () => {
      stopping = false;
      await consumer.start();
    },
    async () => {
      endPolls();
      await consumer.stop();
    },
  );
  return { ...lifecycle, authenticate, report, commands, endPolls, acknowledge };
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
