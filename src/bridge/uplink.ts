import type { Uplink, UplinkMessage } from '../platform/mqtt/port.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Relay } from '../platform/relay/port.ts';
import { encodeReport } from './relay-messages.ts';
import { parseUpTopic } from './topics.ts';

/** Largest report (device protocol, section 3). */
const MAX_BYTES = 4_096;

/** MQTT → relay. Holds no key and no rule: it carries bytes. Resolving is what lets the broker acknowledge. */
export function connectUplink(uplink: Uplink, relay: Relay, metrics: Metrics): void {
  const carried = metrics.counter('loqey_uplink_messages_total', 'Messages from devices', ['outcome']);
  uplink.onMessage(async (message: UplinkMessage) => {
    const topic = parseUpTopic(message.topic);
    if (topic === undefined || message.retain || message.payload.length > MAX_BYTES) {
      carried.inc({ outcome: 'dropped' });
      return;
    }
    await relay.publish('device-reports', [encodeReport(topic.key ?? topic.profile, message)]);
    carried.inc({ outcome: 'carried' });
  });
}
