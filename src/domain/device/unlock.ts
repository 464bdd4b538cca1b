import { accept, present, quiet, refuse, type Instant, type Uuid } from '../kernel.ts';
import { identityMissing, isCausedBy, linkRefusal, linkStatus } from '../link/link.ts';
import { findLink } from '../link/links.ts';
import { addMs, toMs } from '../time.ts';
import type { DeviceCommandOf, InFlightUnlock, JournalStatus, UnlockAnswer } from './commands.ts';
import type { CancelReason, DeviceEvent, UnlockCause } from './events.ts';
import { isPast, type DeviceDecision } from './rules.ts';
import { settleUnknown } from './settle.ts';
import type { DeviceState, EndedUnlock, OpenUnlock, RegisteredDevice } from './state.ts';

/**
 * From a tap to the outcome (design: unlock; device protocol: unlock on the server). A request is not an opening: until
 * UnlockDispatched the box certainly stays shut, from it on it may open, and only proof says that it did not.
 */

/** A command is good for this long at most, whoever asks. */
const UNLOCK_TTL_MAX_MS = 30_000;
/** After a command's expiry: how long its answer may still be on its way. */
export const ANSWER_GRACE_MS = 10_000;
/** How far the clocks of two processes may be apart; a box allows as much (device protocol: not yet valid). */
const CLOCKS_APART_MS = 5_000;
/** Old firmware names no command in its answers: they count for the one in flight, this long after its dispatch. */
const UNSIGNED_ANSWER_MS = 40_000;

/** Refusals with which the box took the command's number first: proof that it never will execute it. */
const FINAL_REFUSALS: ReadonlySet<string> = new Set([
  'expired',
  'not_yet_valid',
  'bad_window',
  'time_untrusted',
  'busy',
  'low_battery',
  'service_mode',
]);

// --- what others ask of the state -----------------------------------------------------------------------------------

/** The unlock that makes the box busy, dispatched or not. */
export function currentUnlock(state: DeviceState): OpenUnlock | undefined {
  return (state.kind === 'registered' ? state.unlocks.current : null) ?? undefined;
}

/** An opening that can no longer be stopped. With a link id: only one that this link caused. */
export function inFlightOf(state: DeviceState, linkId?: Uuid): InFlightUnlock | undefined {
  const unlock = currentUnlock(state);
  if (unlock === undefined || unlock.phase === 'requested') return undefined;
  if (linkId !== undefined && !isCausedBy(unlock, linkId)) return undefined;
  return { unlockId: unlock.unlockId, expiresAt: unlock.expiresAt };
}

/** Any unlock that the state still knows: under way, of unknown outcome, or lately ended. */
export function findUnlock(
  device: RegisteredDevice,
  unlockId: Uuid,
): { readonly in: 'current' | 'unknown'; readonly unlock: OpenUnlock } | { readonly in: 'ended'; readonly unlock: EndedUnlock } | undefined {
  const { current, unknown, ended } = device.unlocks;
  if (current?.unlockId === unlockId) return { in: 'current', unlock: current };
  const open = unknown.find((unlock) => unlock.unlockId === unlockId);
  if (open !== undefined) return { in: 'unknown', unlock: open };
  const done = ended.findLast((unlock) => unlock.unlockId === unlockId);
  return done === undefined ? undefined : { in: 'ended', unlock: done };
}

/** True when the box was sent this command and it is not proven that it left the bolt where it was. */
export function mayHaveOpened(device: RegisteredDevice, unlockId: Uuid): boolean {
  const found = findUnlock(device, unlockId);
  switch (found?.in) {
    case undefined:
      return false;
    case 'ended':
      return found.unlock.mayHaveOpened;
    case 'current':
    case 'unknown':
      return found.unlock.dispatch !== null;
  }
}

// --- request --------------------------------------------------------------------------------------------------------

export function requestUnlock(device: RegisteredDevice, { data }: DeviceCommandOf<'RequestUnlock'>, now: Instant): DeviceDecision {
  if (findUnlock(device, data.unlockId) !== undefined) return quiet;
  const refusal = requestRefusal(device, data, now);
  if (refusal !== undefined) return refusal;

  const { current } = device.unlocks;
  if (current !== null) {
    // A person's second tap joins the first. Two couriers with one link are two: their keys tell them apart, not this.
    const joins = data.cause.kind !== 'link' && current.cause.kind === data.cause.kind && current.cause.id === data.cause.id;
    return joins ? quiet : refuse('device_busy', { unlock_id: current.unlockId });
  }

  const { unlockId, cause, courier, reason } = data;
  const unexplained = cause.kind === 'admin' && reason === undefined;
  return accept(
    {
      type: 'UnlockRequested',
      data: present({
        unlockId,
        cause,
        assignmentId: device.assignment?.assignmentId,
        issuedAt: now,
        expiresAt: addMs(now, Math.min(data.ttlMs, UNLOCK_TTL_MAX_MS)),
        courier,
        reason,
      }),
    },
    // With the request or not at all: whoever opens a box without a word is never unheard of.
    ...(unexplained ? [{ type: 'EmergencyUnlockUnexplained' as const, data: present({ unlockId, adminId: cause.id, userId: device.assignment?.userId }) }] : []),
  );
}

function requestRefusal(
  device: RegisteredDevice,
  data: DeviceCommandOf<'RequestUnlock'>['data'],
  now: Instant,
): DeviceDecision | undefined {
  switch (data.cause.kind) {
    case 'admin':
      return device.decommissioned ? refuse('device_decommissioned') : undefined;
    case 'owner': {
      if (device.assignment === null || device.assignment.userId !== data.cause.id) return refuse('not_the_owner');
      if (device.assignment.suspended) return refuse('owner_suspended');
      return device.maintenance ? refuse('device_in_maintenance') : undefined;
    }
    case 'link': {
      const refusal = linkRefusal(device, data.cause.id, now, data.localTime);
      if (refusal !== undefined) return { events: [], refusal };
      if (device.maintenance) return refuse('device_in_maintenance');
      const level0Allowed = data.level0Deliveries || device.protocol.level0Deliveries;
      if (device.protocol.level === 0 && !level0Allowed) return refuse('level0_no_deliveries');
      const link = findLink(device.links, data.cause.id);
      return link !== undefined && identityMissing(link, data.courier) ? refuse('identity_required') : undefined;
    }
    case 'schedule':
      // This stream holds no schedules yet, so none can be what opens the box.
      return refuse('not_the_owner');
  }
}

// --- dispatch -------------------------------------------------------------------------------------------------------

/**
 * Decides anew at the last moment before the first byte leaves. Quiet when the unlock was dispatched already: whoever
 * comes second has no bytes to send.
 */
export function dispatchUnlock(device: RegisteredDevice, { data }: DeviceCommandOf<'DispatchUnlock'>, now: Instant): DeviceDecision {
  const found = findUnlock(device, data.unlockId);
  if (found === undefined) return refuse('unlock_not_found');
  if (found.in !== 'current' || found.unlock.phase !== 'requested') return quiet;
  const { unlockId, cause, assignmentId, issuedAt, expiresAt } = found.unlock;

  if (isPast(expiresAt, now)) return accept({ type: 'UnlockExpired', data: { unlockId } });
  // The clock stepped back since: how old the request is, nobody knows, and old firmware has no clock to refuse it by.
  if (issuedAt > addMs(now, CLOCKS_APART_MS)) return cancelled(unlockId, 'undeliverable');
  const gone = endedRight(device, cause, assignmentId, now);
  if (gone !== undefined) return cancelled(unlockId, gone);
  // Nothing lower than its pinned level is ever sent to a box.
  if (data.level < device.protocol.level) return cancelled(unlockId, 'undeliverable');
  if (data.level === 0) return accept({ type: 'UnlockDispatched', data: { unlockId, level: 0 } });

  const seq = Math.max(device.unlocks.lastSeq + 1, toMs(now), (data.reportedSeq ?? 0) + 1);
  // A box that claims to have used up its numbers cannot be sent one.
  if (!Number.isSafeInteger(seq)) return cancelled(unlockId, 'undeliverable');
  const { keyVersion, journalId, reportSeq } = data;
  return accept({ type: 'UnlockDispatched', data: present({ unlockId, level: 1 as const, seq, keyVersion, journalId, reportSeq }) });
}

/** Why what was allowed at the request is not any more. */
function endedRight(device: RegisteredDevice, cause: UnlockCause, assignmentId: Uuid | null, now: Instant): CancelReason | undefined {
  if (device.decommissioned) return 'device_decommissioned';
  if (cause.kind === 'admin') return undefined;
  if (device.assignment === null || device.assignment.assignmentId !== assignmentId) return 'assignment_ended';
  if (device.assignment.suspended) return 'owner_suspended';
  if (cause.kind === 'link') {
    const link = findLink(device.links, cause.id);
    if (link === undefined) return 'link_revoked';
    switch (linkStatus(device, link, now)) {
      case 'revoked':
        return 'link_revoked';
      case 'void':
        return 'owner_suspended';
      case 'expired':
        return 'link_expired';
      case 'used': // by this very unlock
      case 'active':
        break;
    }
  }
  return device.maintenance ? 'device_in_maintenance' : undefined;
}

function cancelled(unlockId: Uuid, reason: CancelReason): DeviceDecision {
  return accept({ type: 'UnlockCancelled', data: { unlockId, reason } });
}

/** Only before the dispatch: afterwards "it did not open" would be a guess. */
export function cancelUnlock(device: RegisteredDevice, { data }: DeviceCommandOf<'CancelUnlock'>): DeviceDecision {
  const found = findUnlock(device, data.unlockId);
  if (found === undefined) return refuse('unlock_not_found');
  if (found.in === 'ended') return quiet;
  return found.unlock.phase === 'requested' ? cancelled(data.unlockId, data.reason) : refuse('unlock_not_open');
}

// --- what came of it ------------------------------------------------------------------------------------------------

export function recordPublished(device: RegisteredDevice, { data }: DeviceCommandOf<'RecordUnlockPublished'>): DeviceDecision {
  const found = findUnlock(device, data.unlockId);
  if (found === undefined) return refuse('unlock_not_found');
  if (found.in !== 'current' || found.unlock.phase !== 'dispatched') return quiet;
  const { unlockId, publishedAt } = data;
  return accept({ type: 'UnlockPublished', data: present({ unlockId, publishedAt }) });
}

export function recordAnswer(device: RegisteredDevice, { data }: DeviceCommandOf<'RecordUnlockAnswer'>, now: Instant): DeviceDecision {
  if (!data.signed && device.protocol.level === 1) return quiet;
  const pins: readonly DeviceEvent[] =
    data.signed && device.protocol.level === 0 ? [{ type: 'DeviceProtocolPinned', data: { level: 1 } }] : [];
  return accept(...pins, ...publication(device, data), ...answerEvents(device, data, now));
}

/** The box was faster than the record of the broker's own answer. */
function publication(device: RegisteredDevice, { unlockId, publishedAt }: UnlockAnswer): readonly DeviceEvent[] {
  const found = publishedAt === undefined ? undefined : findUnlock(device, unlockId);
  if (publishedAt === undefined || found?.in !== 'current' || found.unlock.phase !== 'dispatched') return [];
  return [{ type: 'UnlockPublished', data: { unlockId, publishedAt } }];
}

function answerEvents(device: RegisteredDevice, answer: UnlockAnswer, now: Instant): readonly DeviceEvent[] {
  const found = findUnlock(device, answer.unlockId);
  if (found === undefined || found.in === 'ended' || found.unlock.dispatch === null) return contradiction(device, answer);
  if (found.in === 'unknown') return lateAnswer(found.unlock, answer);
  const unlock = found.unlock;
  if (!answer.signed && !unsignedCounts(unlock, now)) return [];
  const { unlockId } = unlock;

  if (answer.phase === 'accepted') {
    return unlock.phase === 'acknowledged' ? [] : [{ type: 'UnlockAcknowledged', data: { unlockId } }];
  }
  switch (answer.result) {
    case 'accepted':
      return [];
    case 'opened':
      return [
        {
          type: 'UnlockConfirmed',
          data: present({ unlockId, evidence: answer.signed ? (answer.evidence ?? 'actuator') : ('unsigned' as const), durationMs: answer.durationMs }),
        },
      ];
    case 'failed':
      return [
        {
          type: 'UnlockFailed',
          data: present({ unlockId, reason: answer.reason ?? 'failed', executed: answer.executed, useReturned: sensedLocked(answer) }),
        },
      ];
    case 'interrupted':
      return [{ type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'interrupted' } }];
    case 'refused':
      return provenRefusal(unlock, answer)
        ? [{ type: 'UnlockFailed', data: { unlockId, reason: answer.reason ?? 'refused', executed: false, useReturned: true } }]
        : [{ type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'unproven_refusal' } }];
  }
}

/** Old firmware's answers name no command: they count for the one in flight, while it is young, and prove nothing. */
function unsignedCounts({ dispatch }: OpenUnlock, now: Instant): boolean {
  return dispatch !== null && dispatch.level === 0 && now <= addMs(dispatch.at, UNSIGNED_ANSWER_MS);
}

/** The motor ran, and the bolt was measured where it had been. */
function sensedLocked(answer: UnlockAnswer): boolean {
  return answer.signed && answer.newStatus === 'locked' && answer.evidence === 'sensor';
}

/**
 * The box wrote the number of this very command into the journal that was known at its dispatch, then refused: it never
 * will execute it. In another journal the number proves nothing, for that one may have executed it before it was lost.
 */
function provenRefusal({ dispatch }: OpenUnlock, answer: UnlockAnswer): boolean {
  return (
    answer.signed &&
    answer.executed === false &&
    answer.reason !== undefined &&
    FINAL_REFUSALS.has(answer.reason) &&
    dispatch !== null &&
    dispatch.journalId !== null &&
    dispatch.journalId === answer.journalId &&
    (answer.seq === undefined || answer.seq === dispatch.seq)
  );
}

/** A final answer that comes after the outcome was called unknown: the box repeats it until it is acknowledged. */
function lateAnswer(unlock: OpenUnlock, answer: UnlockAnswer): readonly DeviceEvent[] {
  if (!answer.signed || answer.phase !== 'final') return [];
  const { unlockId } = unlock;
  const settled = (outcome: 'opened' | 'not_opened', useReturned: boolean): readonly DeviceEvent[] => [
    {
      type: 'UnlockSettled',
      data: present({
        unlockId,
        outcome,
        by: 'device' as const,
        evidence: outcome === 'opened' ? (answer.evidence ?? ('actuator' as const)) : undefined,
        useReturned,
        reason: outcome === 'opened' ? undefined : (answer.reason ?? answer.result),
      }),
    },
  ];
  switch (answer.result) {
    case 'opened':
      return settled('opened', false);
    case 'failed':
      return settled('not_opened', sensedLocked(answer));
    case 'refused':
      return provenRefusal(unlock, answer) ? settled('not_opened', true) : [];
    case 'accepted':
    case 'interrupted':
      return [];
  }
}

/** The box opened by a command that it was never sent, or of which it is recorded that it did not open. */
function contradiction(device: RegisteredDevice, answer: UnlockAnswer): readonly DeviceEvent[] {
  if (!answer.signed || answer.result !== 'opened' || mayHaveOpened(device, answer.unlockId)) return [];
  if (device.reported.unexplained.includes(answer.unlockId)) return [];
  return [{ type: 'UnexplainedOpening', data: { reportedCause: 'command', commandId: answer.unlockId, evidence: 'signed' } }];
}

export function expireUnlock(device: RegisteredDevice, { data }: DeviceCommandOf<'ExpireUnlock'>, now: Instant): DeviceDecision {
  const found = findUnlock(device, data.unlockId);
  if (found === undefined) return refuse('unlock_not_found');
  if (found.in !== 'current') return quiet;
  const { unlockId, phase, expiresAt } = found.unlock;
  if (phase === 'requested') return isPast(expiresAt, now) ? accept({ type: 'UnlockExpired', data: { unlockId } }) : quiet;
  if (!isPast(addMs(expiresAt, ANSWER_GRACE_MS), now)) return quiet;
  return accept({ type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'no_answer' } });
}

/** A later signed status, held against each unlock whose outcome is unknown. */
export function settleUnlocks(device: RegisteredDevice, { data }: DeviceCommandOf<'SettleUnlocks'>): DeviceDecision {
  return accept(...device.unlocks.unknown.flatMap((unlock) => settlementOf(unlock, data.status)));
}

function settlementOf({ unlockId, dispatch, expiresAt }: OpenUnlock, status: JournalStatus): readonly DeviceEvent[] {
  if (dispatch === null || dispatch.seq === null) return [];
  const settlement = settleUnknown(
    { commandId: unlockId, seq: dispatch.seq, expiresAt, journalId: dispatch.journalId ?? undefined, reportSeq: dispatch.reportSeq ?? undefined },
    status,
  );
  switch (settlement) {
    case 'executed':
      return [{ type: 'UnlockSettled', data: { unlockId, outcome: 'opened', by: 'device', useReturned: false } }];
    case 'executed_failed':
      // Power was lost while it moved: even the box cannot tell. It stays unknown and counted.
      if (status.lastExecuted.some((entry) => entry.commandId === unlockId && entry.result === 'interrupted')) return [];
      return [{ type: 'UnlockSettled', data: { unlockId, outcome: 'not_opened', by: 'device', useReturned: false, reason: 'failed' } }];
    case 'not_executed':
      return [{ type: 'UnlockSettled', data: { unlockId, outcome: 'not_opened', by: 'device', useReturned: true, reason: 'not_executed' } }];
    case 'wait':
    case 'unknown':
      return [];
  }
}

/** A person's word is not proof: no use comes back. */
export function closeUnknown(device: RegisteredDevice, { data }: DeviceCommandOf<'CloseUnknownUnlock'>): DeviceDecision {
  const found = findUnlock(device, data.unlockId);
  if (found === undefined) return refuse('unlock_not_found');
  if (found.in === 'ended') return quiet;
  if (found.in === 'current') return refuse('unlock_not_open');
  const { unlockId, outcome, remark } = data;
  return accept({ type: 'UnlockSettled', data: { unlockId, outcome, by: 'admin', useReturned: false, remark } });
}
