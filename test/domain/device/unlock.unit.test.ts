import { describe, expect, it } from 'vitest';
import type { DeviceEvent } from '../../../src/domain/device/events.ts';
import { currentUnlock, inFlightOf } from '../../../src/domain/device/unlock.ts';
import { at, later, now } from '../../support/given.ts';
import {
  ada,
  answer,
  assigned,
  assignmentId,
  bob,
  byAdmin,
  byOwner,
  command,
  dispatched,
  dispatchUnlock,
  event,
  given,
  journalId,
  linkCreated,
  linkId,
  otherUnlockId,
  owned,
  registered,
  registeredState,
  requested,
  requestUnlock,
  seq,
  shared,
  suspended,
  unlinked,
  unlockId,
} from './box.ts';

const maintained = event('MaintenanceStarted', {});
const decommissioned = event('DeviceDecommissioned', {});
const confirmed = event('UnlockConfirmed', { unlockId, evidence: 'sensor' });
const unknown = event('UnlockOutcomeUnknown', { unlockId, reason: 'no_answer' });
const inFlight = [...shared, requested(), dispatched()];
const refusal = (reason: string, changes = {}) => answer({ result: 'refused', executed: false, reason, ...changes });
const expire = command('ExpireUnlock', { unlockId });
const published = command('RecordUnlockPublished', { unlockId });

describe('RequestUnlock', () => {
  it('is a request, not an opening', () => {
    given(...shared)
      .when(requestUnlock({ courier: { name: 'Jo' } }))
      .happens(requested({ courier: { name: 'Jo' } }))
      .again()
      .quiet();
  });
  it('is the owner’s, the link’s or an admin’s', () => {
    given(...owned).when(requestUnlock({ cause: byOwner })).happens(requested({ cause: byOwner }));
    given(registered)
      .when(requestUnlock({ cause: byAdmin }))
      .happens(
        event('UnlockRequested', { unlockId, cause: byAdmin, issuedAt: now, expiresAt: later(30) }),
        event('EmergencyUnlockUnexplained', { unlockId, adminId: byAdmin.id }),
      )
      .again()
      .quiet();
    given(registered).when(requestUnlock({ cause: byAdmin, reason: 'fire' })).happens(event('UnlockRequested', { unlockId, cause: byAdmin, issuedAt: now, expiresAt: later(30), reason: 'fire' }));
    given(...owned).when(requestUnlock({ cause: { kind: 'owner', id: bob } })).refused('not_the_owner');
    given(registered).when(requestUnlock({ cause: byOwner })).refused('not_the_owner');
    given(...owned).when(requestUnlock({ cause: { kind: 'schedule', id: linkId } })).refused('not_the_owner');
  });
  it('is good for 30 seconds at most', () => {
    given(...owned).when(requestUnlock({ cause: byOwner, ttlMs: 5_000 })).happens(requested({ cause: byOwner, expiresAt: later(5) }));
    given(...owned).when(requestUnlock({ cause: byOwner, ttlMs: 90_000 })).happens(requested({ cause: byOwner, expiresAt: later(30) }));
  });
  it('in maintenance is an admin’s alone; out of use nobody’s', () => {
    given(...shared, maintained).when(requestUnlock()).refused('device_in_maintenance');
    given(...shared, maintained).when(requestUnlock({ cause: byOwner })).refused('device_in_maintenance');
    given(...shared, maintained).when(requestUnlock({ cause: byAdmin, reason: 'fire' })).happensAs('UnlockRequested');
    given(...shared, unlinked, decommissioned).when(requestUnlock({ cause: byAdmin, reason: 'fire' })).refused('device_decommissioned');
  });
  it('waits while another is under way, one at a time', () => {
    given(...shared, linkCreated({ linkId: 'other' }), requested())
      .when(requestUnlock({ unlockId: otherUnlockId, cause: { kind: 'link', id: 'other' } }))
      .refused('device_busy', { unlock_id: unlockId });
    given(...inFlight).when(requestUnlock({ unlockId: otherUnlockId, cause: byAdmin })).refused('device_busy');
  });
  it('joins the same person’s request', () => {
    given(...owned, requested({ cause: byOwner })).when(requestUnlock({ unlockId: otherUnlockId, cause: byOwner })).quiet();
    given(registered, requested({ cause: byAdmin })).when(requestUnlock({ unlockId: otherUnlockId, cause: byAdmin })).quiet();
    given(registered, requested({ cause: byAdmin }))
      .when(requestUnlock({ unlockId: otherUnlockId, cause: { ...byAdmin, id: bob } }))
      .refused('device_busy');
  });
  it('does not join two couriers of one link; without a use left it does not wait', () => {
    given(...owned, linkCreated({ maxUses: 2 }), requested()).when(requestUnlock({ unlockId: otherUnlockId })).refused('device_busy');
    given(...shared, requested()).when(requestUnlock({ unlockId: otherUnlockId })).refused('link_used');
  });
  it('is answered as before when it comes again after its end', () => {
    for (const end of [[confirmed], [unknown], [event('UnlockFailed', { unlockId, reason: 'jammed', useReturned: false })]]) {
      given(...inFlight, ...end).when(requestUnlock()).quiet();
    }
  });
  it('of a courier is refused to old firmware unless an admin or this server accepts it', () => {
    const old = [registered, assigned, linkCreated()];
    given(...old).when(requestUnlock()).refused('level0_no_deliveries');
    given(...old).when(requestUnlock({ level0Deliveries: true })).happensAs('UnlockRequested');
    given(...old, event('Level0DeliveriesAccepted', { reason: 'x' })).when(requestUnlock()).happensAs('UnlockRequested');
    given(...old).when(requestUnlock({ cause: byOwner })).happensAs('UnlockRequested');
  });
});

describe('DispatchUnlock', () => {
  it('claims it once, with a number above all before', () => {
    given(...shared, requested()).when(dispatchUnlock()).happens(dispatched()).again().quiet();
  });
  it.each([
    ['the time, where it is ahead', {}, seq],
    ['the box’s highest number plus one', { reportedSeq: seq + 500 }, seq + 501],
  ])('numbers it with %s', (_, knowledge, expected) => {
    given(...shared, requested()).when(dispatchUnlock(knowledge)).happens(dispatched({ seq: expected }));
  });
  it('numbers it above the last one of its own, also when the clock stepped back', () => {
    given(...inFlight, confirmed, requested({ unlockId: otherUnlockId, cause: byOwner, issuedAt: later(-600), expiresAt: later(-570) }))
      .when(dispatchUnlock({ unlockId: otherUnlockId }), later(-599))
      .happens(dispatched({ unlockId: otherUnlockId, seq: seq + 1 }));
  });
  it('sends nothing to a box that has used up its numbers', () => {
    given(...shared, requested()).when(dispatchUnlock({ reportedSeq: Number.MAX_SAFE_INTEGER })).happens(event('UnlockCancelled', { unlockId, reason: 'undeliverable' }));
  });
  it('comes too late at the instant of expiry', () => {
    given(...shared, requested()).when(dispatchUnlock(), later(29)).happensAs('UnlockDispatched');
    given(...shared, requested()).when(dispatchUnlock(), later(30)).happens(event('UnlockExpired', { unlockId })).again().quiet();
  });
  it('sends nothing that was asked for in a future: the clock stepped back, and what a late one does to old firmware is open', () => {
    const cancelled = event('UnlockCancelled', { unlockId, reason: 'undeliverable' });
    for (const [box, level] of [[owned, 1], [[registered, assigned], 0]] as const) {
      given(...box, requested({ cause: byOwner })).when(dispatchUnlock({ level }), later(-5)).happensAs('UnlockDispatched');
      given(...box, requested({ cause: byOwner })).when(dispatchUnlock({ level }), later(-6)).happens(cancelled).again().quiet();
    }
  });
  it.each<[string, readonly DeviceEvent[], string]>([
    ['revoked', [event('LinkRevoked', { linkId })], 'link_revoked'],
    ['deleted', [event('LinkDeleted', { linkId })], 'link_revoked'],
    ['cut short', [event('LinkUpdated', { linkId, expiresAt: now })], 'link_expired'],
    ['unlinked', [unlinked], 'assignment_ended'],
    ['unlinked and claimed anew', [unlinked, event('DeviceAssigned', { assignmentId: 'next', userId: bob, name: 'x' })], 'assignment_ended'],
    ['suspended', [suspended], 'owner_suspended'],
    ['suspended and activated', [suspended, event('OwnerActivated', { assignmentId, userId: ada })], 'owner_suspended'],
    ['in maintenance', [maintained], 'device_in_maintenance'],
    ['out of use', [unlinked, decommissioned], 'device_decommissioned'],
  ])('decides anew: %s since the request', (_, since, reason) => {
    given(...shared, requested(), ...since)
      .when(dispatchUnlock())
      .happens(event('UnlockCancelled', { unlockId, reason: reason as 'link_revoked' }))
      .again()
      .quiet();
  });
  it('of an admin stands on no assignment', () => {
    given(...owned, requested({ cause: byAdmin }), unlinked, maintained).when(dispatchUnlock()).happensAs('UnlockDispatched');
  });
  it('sends nothing unsigned to a pinned box, and unnumbered bytes to old firmware', () => {
    given(...shared, requested()).when(dispatchUnlock({ level: 0 })).happens(event('UnlockCancelled', { unlockId, reason: 'undeliverable' }));
    given(registered, assigned, requested({ cause: byOwner }))
      .when(command('DispatchUnlock', { unlockId, level: 0 }))
      .happens(event('UnlockDispatched', { unlockId, level: 0 }));
  });
  it('has nothing to send for what is over or was never asked', () => {
    given(...shared).when(dispatchUnlock()).refused('unlock_not_found');
    for (const end of [confirmed, unknown]) given(...inFlight, end).when(dispatchUnlock()).quiet();
  });
});

describe('CancelUnlock', () => {
  const cancel = command('CancelUnlock', { unlockId, reason: 'device_unreachable' });
  it('ends what was not sent, and gives the use back', () => {
    const { state } = given(...shared, requested()).when(cancel).happens(event('UnlockCancelled', { unlockId, reason: 'device_unreachable' }));
    given(...shared, requested()).when(cancel).again().quiet();
    expect(currentUnlock(state)).toBeUndefined();
  });
  it('cannot call back what was sent', () => {
    given(...inFlight).when(cancel).refused('unlock_not_open');
    given(...inFlight, unknown).when(cancel).refused('unlock_not_open');
    given(...inFlight, confirmed).when(cancel).quiet();
    given(...shared).when(cancel).refused('unlock_not_found');
  });
});

describe('RecordUnlockPublished', () => {
  it('is recorded once, unless the box was quicker', () => {
    given(...inFlight).when(published).happens(event('UnlockPublished', { unlockId })).again().quiet();
    given(...inFlight, event('UnlockAcknowledged', { unlockId })).when(published).quiet();
    given(...inFlight, confirmed).when(published).quiet();
    given(...shared).when(published).refused('unlock_not_found');
  });
});

describe('RecordUnlockAnswer of a signed box', () => {
  it('accepted: the box has it', () => {
    given(...inFlight).when(answer({ phase: 'accepted', result: 'accepted' })).happens(event('UnlockAcknowledged', { unlockId })).again().quiet();
    given(...inFlight, event('UnlockPublished', { unlockId })).when(answer({ phase: 'accepted', result: 'accepted' })).happensAs('UnlockAcknowledged');
    given(...inFlight).when(answer({ result: 'accepted' })).quiet();
  });
  it('opened: the bolt moved', () => {
    given(...inFlight)
      .when(answer({ result: 'opened', evidence: 'sensor', durationMs: 640 }))
      .happens(event('UnlockConfirmed', { unlockId, evidence: 'sensor', durationMs: 640 }))
      .again()
      .quiet();
    given(...inFlight).when(answer({ result: 'opened' })).happens(event('UnlockConfirmed', { unlockId, evidence: 'actuator' }));
  });
  it('failed: the use comes back only with the bolt sensed locked', () => {
    const failed = (useReturned: boolean, reason = 'jammed') => event('UnlockFailed', { unlockId, reason, executed: true, useReturned });
    const said = { result: 'failed', executed: true, reason: 'jammed' } as const;
    given(...inFlight).when(answer({ ...said, newStatus: 'locked', evidence: 'sensor' })).happens(failed(true)).again().quiet();
    given(...inFlight).when(answer({ ...said, newStatus: 'locked', evidence: 'actuator' })).happens(failed(false));
    given(...inFlight).when(answer({ ...said, newStatus: 'jammed', evidence: 'sensor' })).happens(failed(false));
    given(...inFlight).when(answer({ result: 'failed', executed: true })).happens(failed(false, 'failed'));
  });
  it('interrupted: perhaps it opened', () => {
    given(...inFlight).when(answer({ result: 'interrupted' })).happens(event('UnlockOutcomeUnknown', { unlockId, reason: 'interrupted' })).again().quiet();
  });
  it.each(['expired', 'not_yet_valid', 'bad_window', 'time_untrusted', 'busy', 'low_battery', 'service_mode'])(
    'refused as %s is proof in the journal known at dispatch',
    (reason) => {
      given(...inFlight)
        .when(refusal(reason))
        .happens(event('UnlockFailed', { unlockId, reason, executed: false, useReturned: true }))
        .again()
        .quiet();
    },
  );
  it.each([
    ['in another journal', refusal('expired', { journalId: 'ffffffffffffffff' })],
    ['without a journal', command('RecordUnlockAnswer', { unlockId, phase: 'final', result: 'refused', reason: 'expired', executed: false, signed: true })],
    ['of another number', refusal('expired', { seq: seq + 1 })],
    ['of a command that may have run', refusal('expired', { executed: true })],
    ['as stale_seq', refusal('stale_seq')],
    ['as before_journal', refusal('before_journal')],
    ['as storage_failed', refusal('storage_failed')],
    ['as malformed', refusal('malformed')],
    ['for no reason', answer({ result: 'refused', executed: false })],
  ])('refused %s proves nothing', (_, said) => {
    given(...inFlight).when(said).happens(event('UnlockOutcomeUnknown', { unlockId, reason: 'unproven_refusal' }));
  });
  it('refused where no journal was known at dispatch proves nothing', () => {
    const { journalId: _, ...blind } = dispatched().data as { journalId?: string };
    given(...shared, requested(), { type: 'UnlockDispatched', data: blind } as DeviceEvent)
      .when(refusal('expired'))
      .happensAs('UnlockOutcomeUnknown');
  });
  it('pins the protocol of a box that was not pinned', () => {
    given(registered, assigned, requested({ cause: byOwner }), dispatched()).when(answer({})).happensAs('DeviceProtocolPinned', 'UnlockConfirmed').again().quiet();
  });
});

describe('an answer that comes late', () => {
  it('settles what was called unknown', () => {
    given(...inFlight, unknown)
      .when(answer({ evidence: 'sensor' }))
      .happens(event('UnlockSettled', { unlockId, outcome: 'opened', by: 'device', evidence: 'sensor', useReturned: false }))
      .again()
      .quiet();
    given(...inFlight, unknown)
      .when(refusal('expired'))
      .happens(event('UnlockSettled', { unlockId, outcome: 'not_opened', by: 'device', useReturned: true, reason: 'expired' }));
    given(...inFlight, unknown)
      .when(answer({ result: 'failed', reason: 'jammed', newStatus: 'jammed' }))
      .happens(event('UnlockSettled', { unlockId, outcome: 'not_opened', by: 'device', useReturned: false, reason: 'jammed' }));
    given(...inFlight, unknown).when(answer({ result: 'failed', newStatus: 'locked', evidence: 'sensor' })).happensAs('UnlockSettled');
  });
  it('leaves it unknown where it proves nothing', () => {
    given(...inFlight, unknown).when(refusal('stale_seq')).quiet();
    given(...inFlight, unknown).when(answer({ result: 'interrupted' })).quiet();
    given(...inFlight, unknown).when(answer({ phase: 'accepted', result: 'accepted' })).quiet();
    given(...inFlight, unknown).when(answer({ signed: false })).quiet();
  });
  it('is an unexplained opening where the command was never sent or is proven unopened', () => {
    const alert = event('UnexplainedOpening', { reportedCause: 'command', commandId: unlockId, evidence: 'signed' });
    const cancelled = event('UnlockCancelled', { unlockId, reason: 'link_revoked' });
    const refused = event('UnlockFailed', { unlockId, reason: 'expired', executed: false, useReturned: true });
    given(...shared).when(answer({})).happens(alert).again().quiet();
    given(...shared, requested()).when(answer({})).happens(alert).again().quiet();
    given(...shared, requested(), cancelled).when(answer({})).happens(alert).again().quiet();
    given(...inFlight, refused).when(answer({})).happens(alert).again().quiet();
    given(...shared).when(refusal('expired')).quiet();
  });
});

describe('an answer of old firmware', () => {
  const old = [registered, assigned, requested({ cause: byOwner }), event('UnlockDispatched', { unlockId, level: 0 })];
  const unsigned = (changes = {}) => command('RecordUnlockAnswer', { unlockId, phase: 'final', result: 'opened', signed: false, ...changes });
  it('confirms, marked as unsigned', () => {
    given(...old).when(unsigned({ evidence: 'sensor' })).happens(event('UnlockConfirmed', { unlockId, evidence: 'unsigned' })).again().quiet();
  });
  it('never gives a use back', () => {
    given(...old)
      .when(unsigned({ result: 'failed', newStatus: 'locked', evidence: 'sensor', reason: 'reported' }))
      .happens(event('UnlockFailed', { unlockId, reason: 'reported', useReturned: false }));
    given(...old).when(unsigned({ result: 'refused', executed: false, reason: 'expired' })).happensAs('UnlockOutcomeUnknown');
  });
  it('counts for 40 seconds, and for the one in flight only', () => {
    given(...old).when(unsigned(), later(40)).happensAs('UnlockConfirmed');
    given(...old).when(unsigned(), later(41)).quiet();
    given(...old, unknown).when(unsigned()).quiet();
    given(registered, assigned, requested({ cause: byOwner })).when(unsigned()).quiet();
  });
  it('is nothing to a pinned box, nor for a signed command', () => {
    given(...inFlight).when(unsigned()).quiet();
    given(registered, assigned, requested({ cause: byOwner }), dispatched()).when(unsigned()).quiet();
  });
});

describe('ExpireUnlock', () => {
  it('ends a request at its expiry', () => {
    given(...shared, requested()).when(expire, later(29.999)).quiet();
    given(...shared, requested()).when(expire, later(30)).happens(event('UnlockExpired', { unlockId })).again().quiet();
  });
  it('calls a sent one unknown ten seconds after it', () => {
    given(...inFlight).when(expire, later(39.999)).quiet();
    given(...inFlight).when(expire, later(40)).happens(unknown).again().quiet();
  });
  it('has nothing to do where it is over', () => {
    given(...inFlight, confirmed).when(expire, later(60)).quiet();
    given(...inFlight, unknown).when(expire, later(60)).quiet();
    given(...shared).when(expire).refused('unlock_not_found');
  });
});

describe('SettleUnlocks', () => {
  const status = (changes = {}) =>
    command('SettleUnlocks', { status: { reportSeq: 8, journalId, lastSeq: seq, lastExecuted: [], timeOk: true, timestamp: later(60), ...changes } });
  const settled = (outcome: 'opened' | 'not_opened', useReturned: boolean, reason?: string) =>
    event('UnlockSettled', { unlockId, outcome, by: 'device', useReturned, ...(reason === undefined ? {} : { reason }) });

  it('finds it executed', () => {
    given(...inFlight, unknown).when(status({ lastExecuted: [{ commandId: unlockId, seq, result: 'opened' }] })).happens(settled('opened', false)).again().quiet();
    given(...inFlight, unknown).when(status({ lastExecuted: [{ commandId: unlockId, seq, result: 'failed' }] })).happens(settled('not_opened', false, 'failed'));
  });
  it('finds it excluded', () => {
    given(...inFlight, unknown).when(status()).happens(settled('not_opened', true, 'not_executed')).again().quiet();
    given(...inFlight, unknown).when(status({ lastSeq: 3 })).happens(settled('not_opened', true, 'not_executed'));
  });
  it('leaves it where the status proves nothing', () => {
    for (const said of ['started', 'interrupted', 'something new']) {
      given(...inFlight, unknown).when(status({ lastExecuted: [{ commandId: unlockId, seq, result: said }] })).quiet();
    }
    given(...inFlight, unknown).when(status({ reportSeq: 7 })).quiet();
    given(...inFlight, unknown).when(status({ journalId: 'ffffffffffffffff' })).quiet();
    given(registered, assigned, requested({ cause: byOwner }), event('UnlockDispatched', { unlockId, level: 0 }), unknown).when(status()).quiet();
  });
  it('touches nothing that is under way', () => {
    given(...inFlight).when(status()).quiet();
  });
});

describe('CloseUnknownUnlock', () => {
  const close = command('CloseUnknownUnlock', { unlockId, outcome: 'not_opened', remark: 'courier called' });
  it('is an admin’s word: no use comes back', () => {
    given(...inFlight, unknown)
      .when(close)
      .happens(event('UnlockSettled', { unlockId, outcome: 'not_opened', by: 'admin', useReturned: false, remark: 'courier called' }))
      .again()
      .quiet();
    const { state } = given(...inFlight, unknown).when(close);
    expect(registeredState(state).unlocks.unknown).toEqual([]);
  });
  it('is refused where nothing is unknown', () => {
    given(...inFlight).when(close).refused('unlock_not_open');
    given(...inFlight, confirmed).when(close).quiet();
    given(...shared).when(close).refused('unlock_not_found');
  });
});

describe('an opening that can no longer be stopped', () => {
  it('is named to whoever revokes', () => {
    const revoking = given(...inFlight).when(command('RevokeLink', { linkId, userId: ada })).happensAs('LinkRevoked');
    expect(inFlightOf(revoking.state, linkId)).toEqual({ unlockId, expiresAt: later(30) });
    expect(inFlightOf(revoking.state)).toEqual({ unlockId, expiresAt: later(30) });
    expect(inFlightOf(revoking.state, 'another')).toBeUndefined();
  });
  it('is none before its dispatch, after its end, or by another right', () => {
    expect(inFlightOf(given(...shared, requested()).state)).toBeUndefined();
    expect(inFlightOf(given(...inFlight, confirmed).state)).toBeUndefined();
    expect(inFlightOf(given(...owned, requested({ cause: byOwner }), dispatched()).state, linkId)).toBeUndefined();
    expect(inFlightOf(given().state)).toBeUndefined();
  });
});

describe('memory', () => {
  it('of unlocks is bounded; uses stay counted', () => {
    const many = Array.from({ length: 300 }, (_, index) => `unlock-${index}`);
    const events = many.flatMap((id) => [
      requested({ unlockId: id }),
      dispatched({ unlockId: id }),
      event('UnlockOutcomeUnknown', { unlockId: id, reason: 'no_answer' }),
    ]);
    const { unlocks, links } = registeredState(given(...owned, linkCreated({ maxUses: 1000 }), at(now, ...events)).state);
    expect(unlocks.unknown).toHaveLength(64);
    expect(links.flat(2)[0]?.uses).toBe(300);
  });
});

