import { systemClock, type Clock } from '../platform/clock.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { RefusedByBroker, Uplink, UplinkMessage } from '../platform/mqtt/port.ts';
import type { Relay } from '../platform/relay/port.ts';
import { tokenBuckets } from '../platform/token-buckets.ts';
import { MAX_REPORT_BYTES } from './protocol/json.ts';
import { encodeRejected, encodeReport, type RejectedMessage } from './relay-messages.ts';
import { parseUpTopic } from './topics.ts';

/** Rejected messages that are told, per second; more are only counted: a flood must not fill the relay. */
const TOLD_PER_SECOND = 50;

/** MQTT → relay. Holds no key and no rule: it carries bytes. Resolving is what lets the broker acknowledge. */
export function connectUplink(uplink: Uplink, relay: Relay, metrics: Metrics, clock: Clock = systemClock): void {
  const carried = metrics.counter('loqey_uplink_messages_total', 'Messages from devices', ['outcome']);
  const tell = tellRejected(relay, metrics, clock);

  uplink.onMessage(async (message: UplinkMessage) => {
    const topic = parseUpTopic(message.topic);
    const reason = topic === undefined ? 'foreign_topic' : message.retain ? 'retained' : message.payload.length > MAX_REPORT_BYTES ? 'too_large' : undefined;
    if (topic === undefined || reason !== undefined) {
      carried.inc({ outcome: 'dropped' });
      // Whose it is the broker knew and did not say.
      tell({ ...message, reason: reason ?? 'foreign_topic', via: 'mqtt', deviceId: undefined, claimed: topic?.key, address: undefined, size: message.payload.length });
      return;
    }
    await relay.publish('device-reports', [encodeReport(topic.key ?? topic.profile, message)]);
    carried.inc({ outcome: 'carried' });
  });
  uplink.onRefused?.(({ username, ...refused }: RefusedByBroker) => {
    tell({ ...refused, via: 'mqtt', deviceId: username, size: refused.payload.length });
  });
}

/** Tells of what was refused at the edge, for an administrator to see; best effort, nobody waits. */
export function tellRejected(relay: Relay, metrics: Metrics, clock: Clock): (message: Omit<RejectedMessage, 'kind'>) => void {
  const untold = metrics.counter('loqey_rejected_untold_total', 'Rejected messages that are in no list: there were too many, or the relay was away');
  const mayTell = tokenBuckets({ perSecond: TOLD_PER_SECOND, burst: TOLD_PER_SECOND, maxKeys: 1, clock });
  return (message) => {
    if (!mayTell('all')) return untold.inc();
    relay.publish('device-reports', [encodeRejected(message)], { apart: true }).catch(() => untold.inc());
  };
}
