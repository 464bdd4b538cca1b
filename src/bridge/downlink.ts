import { BrokerUnavailable, PublishTimedOut, type Downlink } from '../platform/mqtt/port.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Relay, RelayMessage } from '../platform/relay/port.ts';
import { noTracing, traced, type Span, type Tracing } from '../platform/tracing.ts';
import { decodeCommand, encodePublished, lastMoment, maxCopies, type CommandMessage } from './relay-messages.ts';

/** Largest command (device protocol, section 3). */
const MAX_BYTES = 2_048;
/** How long the broker has for its PUBACK. */
const PUBACK_MS = 5_000;
/** Publishes under way at once; beyond it the relay waits. */
const MAX_UNDER_WAY = 5_000;

export interface RunningDownlink extends Component {
  lag(): number | undefined;
}

/**
 * Relay → MQTT. Holds no key; drops what has expired. Two groups read the same topic: a command of level 1 may come again
 * when a process dies at the wrong moment (same bytes, the box knows their number), one of level 0 never. One that was
 * begun when the process died is not sent again: the box's silence decides, as it does for one lost in the air.
 */
export function createDownlink(deps: {
  readonly relay: Relay;
  readonly downlink: Downlink;
  readonly tracing?: Tracing;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}): RunningDownlink {
  const { relay, downlink, tracing = noTracing, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'downlink' });
  const published = metrics.counter('loqey_downlink_commands_total', 'Commands to devices', ['action', 'outcome']);
  const underWay = new Set<Promise<void>>();
  const abort = new AbortController();

  function send(command: CommandMessage): Promise<void> {
    const { action, deviceId, traceparent } = command;
    if (traceparent === undefined) return publish(command, undefined);
    return traced(tracing, `publish ${action}`, 'producer', traceparent, { 'messaging.system': 'mqtt', 'loqey.device_id': deviceId }, (next, span) => publish(command, next, span));
  }

  async function publish(command: CommandMessage, traceparent: string | undefined, span?: Span): Promise<void> {
    const { action, deviceId, topic, payload, qos, commandId } = command;
    const outcome = (is: string): void => {
      published.inc({ action, outcome: is });
      span?.set({ 'loqey.outcome': is });
    };
    const attempts = maxCopies(command);
    for (let attempt = 1; ; attempt++) {
      const left = lastMoment(command) - clock.now();
      if (left <= 0) {
        outcome('expired');
        return;
      }
      try {
        const { delivered } = await downlink.publish(topic, payload, { qos, ttlMs: Math.min(left, PUBACK_MS) });
        outcome(delivered === false ? 'nobody' : 'published');
        if (action === 'unlock') await tell(deviceId, commandId, delivered !== false, traceparent);
        return;
      } catch (error) {
        if (!(error instanceof BrokerUnavailable || error instanceof PublishTimedOut)) throw error;
        if (attempt >= attempts || abort.signal.aborted) {
          outcome('undelivered');
          logger.warn({ err: error, deviceId, action }, 'The broker did not take a command');
          return;
        }
        await pause(Math.min(fullJitter(attempt, { baseMs: 100, capMs: 2_000 }), Math.max(1, left)), abort.signal);
      }
    }
  }

  /** Losing it loses a step of the trace, never safety: the box's own answer is what counts. */
  async function tell(deviceId: string, unlockId: string, delivered: boolean, traceparent: string | undefined): Promise<void> {
    try {
      await relay.publish('device-reports', [encodePublished({ deviceId, unlockId, delivered, ...(traceparent === undefined ? {} : { traceparent }) })], { apart: true });
    } catch (error) {
      logger.warn({ err: error, deviceId, unlockId }, 'The broker has a command, but that could not be recorded');
    }
  }

  /** Starts each in order and waits for none: one silent box must not hold up the others. */
  async function handle(batch: readonly RelayMessage[], level: 0 | 1): Promise<void> {
    for (const message of batch) {
      const command = decodeCommand(message);
      if (command === undefined || command.payload.length > MAX_BYTES) {
        published.inc({ action: 'unknown', outcome: 'malformed' });
        continue;
      }
      // What a box fetches is not published as well.
      if (command.level !== level || command.via !== 'mqtt') continue;
      while (underWay.size >= MAX_UNDER_WAY) await Promise.race(underWay);
      const work = send(command)
        .catch((error: unknown) => logger.error({ err: error, deviceId: command.deviceId }, 'A command could not be published'))
        .finally(() => underWay.delete(work));
      underWay.add(work);
    }
  }

  const consumers = [
    relay.consume({ topic: 'device-commands', group: 'downlink', concurrency: 8, handle: (batch) => handle(batch, 1) }),
    relay.consume({ topic: 'device-commands', group: 'downlink-level0', commit: 'before', concurrency: 8, handle: (batch) => handle(batch, 0) }),
  ];
  const lifecycle = component(
    async () => {
      await Promise.all(consumers.map((consumer) => consumer.start()));
    },
    async () => {
      await Promise.all(consumers.map((consumer) => consumer.stop()));
      abort.abort();
      await Promise.all(underWay);
    },
  );
  return { ...lifecycle, lag: () => consumers[0]?.lag() };
}
