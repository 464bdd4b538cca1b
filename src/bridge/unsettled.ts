import type { DeviceState } from '../domain/device/state.ts';
import { maySettle } from '../domain/device/settle.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { LiveDevice } from './live-devices.ts';

/** The wait after one question, doubled after each, so that a box that cannot tell is not asked for ever. */
const FIRST_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 3_600_000;
const BOXES_REMEMBERED = 10_000;

export type Heard = 'hello' | 'answer' | 'heartbeat';

export interface Unsettled {
  /**
   * Whether to ask a box, which has just been heard, for a status: an opening is of unknown outcome, and only that tells.
   * One question is not enough. It may be lost; its answer may come before the box can prove anything; and after eight
   * openings more the list in that answer no longer reaches back. So again after each opening and hello, else now and then.
   */
  isWorthAsking(device: LiveDevice, state: DeviceState | undefined, heard: Heard): boolean;
}

export function createUnsettled({ clock }: { readonly clock: Clock }): Unsettled {
  const asked = boundedCache<string, { readonly at: number; readonly waitMs: number }>({ max: BOXES_REMEMBERED });
  return {
    isWorthAsking({ deviceId, journalId }, state, heard) {
      if (state?.kind !== 'registered' || !state.unlocks.unknown.some((unlock) => maySettle(unlock, journalId, instant(clock.now())))) return false;
      const now = clock.monotonic();
      const last = asked.get(deviceId);
      if (heard === 'heartbeat' && last !== undefined && now - last.at < last.waitMs) return false;
      asked.set(deviceId, { at: now, waitMs: last === undefined ? FIRST_WAIT_MS : Math.min(last.waitMs * 2, LONGEST_WAIT_MS) });
      return true;
    },
  };
}
