import { createDownlink } from '../bridge/downlink.ts';
import { connectUplink } from '../bridge/uplink.ts';
import { brokerHealth, type Broker } from './broker.ts';
import type { Ground } from './ground.ts';

/** Relay → boxes. Before what makes commands. */
export async function startDownlink({ relay, tracing, clock, logger, metrics, start }: Ground, { device }: Broker): Promise<void> {
  if (device !== undefined) await start('downlink', createDownlink({ relay, downlink: device.downlink, tracing, clock, logger, metrics }));
}

/** Boxes → relay. Last: whoever sends now is heard by everything behind. */
export async function startUplink(ground: Ground, { device, describe }: Broker): Promise<void> {
  if (device === undefined) return;
  const { relay, metrics, clock, options, start } = ground;
  connectUplink(device.uplink, relay, metrics, clock);
  await start('device broker', device);
  brokerHealth(ground, device);
  options.onStep?.({ name: 'device broker', detail: describe() });
}
