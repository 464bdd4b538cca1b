import type { Instant, Uuid } from '../kernel.ts';
import { addMs, toMs } from '../time.ts';
import type { JournalStatus } from './commands.ts';
import { isPast } from './rules.ts';
import type { OpenUnlock } from './state.ts';

/** What was known when the command was dispatched; absent where the box had not said it by then. */
export interface DispatchKnowledge {
  readonly commandId: Uuid;
  readonly seq: number;
  readonly expiresAt: Instant;
  readonly journalId?: string | undefined;
  /** The newest `report_seq` of the box at that moment. */
  readonly reportSeq?: number | undefined;
}

/**
 * `executed` and `executed_failed`: the motor ran, the use stays counted. `not_executed`: it never will, the use comes back.
 * `wait`: it is moving at this moment. `unknown`: this status does not tell; a later one may.
 */
export type Settlement = 'executed' | 'executed_failed' | 'not_executed' | 'wait' | 'unknown';

/** The length of `last_executed`, oldest first, only what the motor ran for: a shorter list is complete. */
const EXECUTED_LISTED = 8;
/** How long after its expiry a command may still be on its way through a box that took it in time. */
const GRACE_MS = 10_000;

/**
 * Settles a command whose outcome is unknown (docs/device-protocol.md, "Unknown outcomes"). Only proof gives a use back:
 * whatever is not excluded counts as opened.
 */
export function settleUnknown(dispatch: DispatchKnowledge, status: JournalStatus): Settlement {
  // An older status was written before the command could arrive. Another journal may have forgotten it.
  if (dispatch.reportSeq === undefined || status.reportSeq <= dispatch.reportSeq) return 'unknown';
  if (status.journalId !== dispatch.journalId) return 'unknown';

  const entry = status.lastExecuted.find(({ commandId }) => commandId === dispatch.commandId);
  if (entry !== undefined) {
    switch (entry.result) {
      case 'opened':
        return 'executed';
      case 'failed':
      case 'interrupted':
        return 'executed_failed';
      case 'started':
        return 'wait';
      default:
        return 'unknown';
    }
  }
  if (status.lastSeq >= dispatch.seq) {
    const listReachesBack = status.lastExecuted.length < EXECUTED_LISTED || status.lastExecuted.some(({ seq }) => seq < dispatch.seq);
    return listReachesBack ? 'not_executed' : 'unknown';
  }
  // Its number was not taken yet, and by the box's own trusted clock it would be refused from now on.
  const past = status.timeOk && status.timestamp !== undefined && toMs(status.timestamp) > toMs(dispatch.expiresAt) + GRACE_MS;
  return past ? 'not_executed' : 'unknown';
}

/** Boxes are asked about an opening of unknown outcome for so long; then it stays counted (docs/device-protocol.md). */
const ASKED_ABOUT_FOR_MS = 86_400_000;

/** Whether a later status may still tell: from the journal that was known at the dispatch, and not a day later. */
export function maySettle({ dispatch, expiresAt }: OpenUnlock, journalId: string | undefined, now: Instant): boolean {
  if (dispatch === null || dispatch.seq === null || dispatch.reportSeq === null) return false;
  return dispatch.journalId === journalId && !isPast(addMs(expiresAt, ASKED_ABOUT_FOR_MS), now);
}
