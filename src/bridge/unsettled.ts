import type { DeviceState } from '../domain/device/state.ts';
import { maySettle } from '../domain/device/settle.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { LiveDevice } from './live-devices.ts';

/**
 * The wait after one question, doubled after each: a box may say five things a second, and one that cannot tell is not to be
 * asked for ever.
 */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 3_600_000;
const BOXES_REMEMBERED = 10_000;
/**
 * With so many of its next answers it is asked in any case, since one question may be lost: these come when the list in its
 * status still reaches back, however fast one opening follows the other.
 */
const ANSWERS_ASKED = 2;

export type Heard = { readonly kind: 'hello' | 'heartbeat' } | { readonly kind: 'answer'; readonly commandId: string };

export interface Unsettled {
  /**
   * Whether to ask a box, which has just been heard, for a status: an opening is of unknown outcome, and only that tells.
   * One question is not enough. It may be lost; its answer may come before the box can prove anything; and after eight
   * openings more the list in that answer no longer reaches back. So again when it has opened once more or is back, and then
   * less and less often.
   */
  isWorthAsking(device: LiveDevice, state: DeviceState | undefined, heard: Heard): boolean;
}

export function createUnsettled({ clock }: { readonly clock: Clock }): Unsettled {
  const asked = boundedCache<string, { readonly unlockId: string; readonly at: number; readonly waitMs: number; readonly answers: number }>({ max: BOXES_REMEMBERED });
  return {
    isWorthAsking({ deviceId, journalId }, state, heard) {
      if (state?.kind !== 'registered') return false;
      const newest = state.unlocks.unknown.findLast((unlock) => maySettle(unlock, journalId, instant(clock.now())));
      if (newest === undefined) return false;
      const { unlockId } = newest;
      // By its own answer it has just become unknown, and the box is asked because of that already: it is the next one that counts.
      if (heard.kind === 'answer' && heard.commandId === unlockId) return false;
      const now = clock.monotonic();
      const last = asked.get(deviceId);
      const before = last?.unlockId === unlockId ? last : undefined;
      // Who is back may be able to tell what it was not before.
      const waitMs = before === undefined || heard.kind === 'hello' ? FIRST_WAIT_MS : before.waitMs;
      const answers = before?.answers ?? 0;
      if (heard.kind === 'answer' && answers < ANSWERS_ASKED) {
        asked.set(deviceId, { unlockId, at: now, waitMs, answers: answers + 1 });
        return true;
      }
      if (before !== undefined && now - before.at < waitMs) return false;
      asked.set(deviceId, { unlockId, at: now, waitMs: before === undefined ? FIRST_WAIT_MS : Math.min(waitMs * 2, LONGEST_WAIT_MS), answers });
      return true;
    },
  };
}
