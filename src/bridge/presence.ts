import type { Clock } from '../platform/clock.ts';
import type { LiveDevice, LiveDevices } from './live-devices.ts';

/** A report on the connection that said hello, this long ago at most. */
const REACHABLE_MS = 150_000;
/** Old firmware says no hello: any report, this long ago at most. */
const REACHABLE_LEVEL0_MS = 90_000;

/** Whether a command sent now has somebody to take it (device protocol, section 7). */
export function isReachable(device: LiveDevice, nowMs: number): boolean {
  if (!device.downlink || device.goneAt !== undefined || device.connectHeardAt === undefined) return false;
  if (device.level === 1 && device.connectId === undefined) return false;
  const heardAgo = nowMs - Date.parse(device.connectHeardAt);
  return heardAgo <= (device.level === 1 ? REACHABLE_MS : REACHABLE_LEVEL0_MS);
}

/** @param allowLevel0 false: boxes of old firmware are read only, so none of them is reachable */
export function createPresence(live: LiveDevices, clock: Clock, allowLevel0 = true): { reachable(deviceId: string): Promise<boolean> } {
  return {
    async reachable(deviceId) {
      const device = await live.byId(deviceId);
      return device !== undefined && (device.level === 1 || allowLevel0) && isReachable(device, clock.now());
    },
  };
}
