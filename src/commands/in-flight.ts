import type { InFlightUnlock } from '../domain/device/commands.ts';
import { inFlightOf } from '../domain/device/unlock.ts';
import type { DeviceState } from '../domain/device/state.ts';
import type { Uuid } from '../domain/kernel.ts';
import { deviceAggregate } from '../domain/registry.ts';
import type { Aggregates } from './handle.ts';
import { isOver } from './unlock-progress.ts';
import type { UnlockWatches } from './unlock-watch.ts';

/**
 * The opening of a box that no revocation can stop any more, after waiting for its end. Undefined: there is none, or it is
 * over. `linkId`: only one by that link.
 */
export type AwaitInFlight = (deviceId: Uuid, linkId: Uuid | undefined, timeoutMs: number) => Promise<InFlightUnlock | undefined>;

export function createAwaitInFlight(bus: Pick<Aggregates, 'load'>, watches: Pick<UnlockWatches, 'open'>): AwaitInFlight {
  return async (deviceId, linkId, timeoutMs) => {
    const { state } = await bus.load<DeviceState>(deviceAggregate, deviceId);
    const inFlight = inFlightOf(state, linkId);
    if (inFlight === undefined) return undefined;
    const watch = watches.open(deviceId, inFlight.unlockId);
    try {
      const last = await watch.untilOver(timeoutMs);
      return last !== undefined && isOver(last) ? undefined : inFlight;
    } finally {
      watch.close();
    }
  };
}
