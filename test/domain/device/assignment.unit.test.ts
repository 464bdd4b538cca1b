import { describe, expect, it } from 'vitest';
import { at, later, now } from '../../support/given.ts';
import {
  ada,
  assigned,
  assignmentId,
  bob,
  byAdmin,
  byOwner,
  command,
  dispatched,
  event,
  given,
  owned,
  pinTag,
  registered,
  registeredState,
  requested,
  requestUnlock,
  shared,
  suspended,
  unlinked,
  unlockId,
} from './box.ts';

const claim = (userId: string, tag = pinTag) => command('AssignDevice', { assignmentId, userId, pinTag: tag, name: 'Loqey Box 0001' });
const wrong = (userId: string) => event('DevicePinRefused', { userId });

describe('AssignDevice', () => {
  it('gives the box to whoever knows its PIN, and is quiet when asked again', () => {
    given(registered).when(claim(ada)).happens(assigned).again().quiet();
  });
  it('counts a wrong PIN', () => {
    given(registered).when(claim(ada, 'wrong')).refusedWith('pin_invalid', 'DevicePinRefused');
    expect(given(registered, wrong(ada), wrong(ada)).when(claim(ada, 'wrong')).decision.refusal?.details).toEqual({ tries_left: 2 });
  });
  it('locks one account for 15 minutes after five, whatever PIN it offers, and no other account', () => {
    const five = [1, 2, 3, 4, 5].map((minute) => at(later(60 * minute), wrong(ada)));
    given(registered, ...five).when(claim(ada), later(6 * 60)).refused('pin_locked', { retry_after: 10 * 60 });
    given(registered, ...five).when(claim(bob), later(6 * 60)).happensAs('DeviceAssigned');
    given(registered, ...five).when(claim(ada), later(16 * 60)).happensAs('DeviceAssigned');
  });
  it('keeps that lock when an admin issues a new PIN meanwhile', () => {
    const renewed = event('DevicePinRegenerated', { pin: '1', pinTag: 'new', pinExpiresAt: later(7200) });
    given(registered, ...Array.from({ length: 5 }, () => wrong(ada)), renewed).when(claim(ada, 'new')).refused('pin_locked');
  });
  it('ends the PIN at the hundredth wrong guess of all', () => {
    const guesses = Array.from({ length: 99 }, (_, index) => wrong(`${index}`));
    const hundredth = given(registered, ...guesses).when(claim(ada, 'wrong'));
    hundredth.refusedWith('pin_invalid', 'DevicePinRefused', 'DevicePinVoided');
    hundredth.again().refused('pin_void');
    given(registered, ...guesses, event('DevicePinVoided', { reason: 'too_many_guesses' })).when(claim(bob)).refused('pin_void');
  });
  it('tells who has the box only to someone who holds its PIN', () => {
    given(...owned).when(claim(bob)).refused('device_assigned');
    given(...owned).when(claim(bob, 'wrong')).refusedWith('pin_invalid', 'DevicePinRefused');
  });
  it('is refused with an old PIN, an expired one, or for a box out of use', () => {
    const renewed = event('DevicePinRegenerated', { pin: '1', pinTag: 'new', pinExpiresAt: later(7200) });
    given(registered, renewed).when(claim(ada)).refusedWith('pin_invalid', 'DevicePinRefused');
    given(registered).when(claim(ada), later(3600)).refused('pin_expired', { expired_at: later(3600) });
    given(registered, event('DeviceDecommissioned', {})).when(claim(ada)).refused('device_decommissioned');
  });
  it('needs a new PIN after an unlink', () => {
    given(...owned, unlinked).when(claim(ada)).refused('pin_void');
  });
});

describe('what an owner says of the box', () => {
  const rename = command('RenameDevice', { userId: ada, name: 'Garden' });
  const move = command('ChangeDeviceLocation', { userId: ada, location: { address: 'Main Street 1' } });
  it('is recorded for the assignment', () => {
    given(...owned).when(rename).happens(event('DeviceRenamed', { assignmentId, name: 'Garden' }));
    given(...owned).when(move).happens(event('DeviceLocationChanged', { assignmentId, location: { address: 'Main Street 1' } }));
  });
  it('changes nothing more when said twice', () => {
    for (const said of [rename, move]) {
      const once = given(...owned).when(said);
      const twice = given(...owned, ...once.decision.events).when(said);
      expect(twice.state).toEqual(once.state);
    }
  });
  it('is refused to everyone else', () => {
    for (const events of [[registered], [...owned, unlinked]]) given(...events).when(rename).refused('not_the_owner');
    given(...owned).when(command('RenameDevice', { userId: bob, name: 'Mine' })).refused('not_the_owner');
    given(...owned, suspended).when(rename).refused('owner_suspended');
    given(...owned, suspended).when(move).refused('owner_suspended');
    given(registered).when(move).refused('not_the_owner');
  });
});

describe('RequestUnlink', () => {
  const ask = command('RequestUnlink', { userId: ada, reason: 'moving' });
  it('is recorded once', () => {
    given(...owned).when(ask).happens(event('DeviceUnlinkRequested', { assignmentId, userId: ada, reason: 'moving' })).again().quiet();
  });
  it('is the owner’s, suspended or not', () => {
    given(...owned, suspended).when(ask).happensAs('DeviceUnlinkRequested');
    given(...owned).when(command('RequestUnlink', { userId: bob })).refused('not_the_owner');
  });
});

describe('UnlinkDevice', () => {
  const byOwnerCommand = command('UnlinkDevice', { userId: ada });
  const byAdminCommand = command('UnlinkDevice', { reason: 'support request' });
  it('ends the assignment, its links and the PIN', () => {
    const { state } = given(...shared).when(byOwnerCommand).happens(unlinked);
    const device = registeredState(state);
    expect(device.assignment).toBeNull();
    expect(device.pin.void).toBe(true);
    given(...shared, unlinked).when(requestUnlock()).refused('link_void');
  });
  it('is quiet for whoever already gave it up', () => {
    given(...owned).when(byOwnerCommand).again().quiet();
    given(...owned)
      .when(byAdminCommand)
      .happens(event('DeviceUnlinked', { assignmentId, userId: ada, by: 'admin', reason: 'support request' }))
      .again()
      .quiet();
  });
  it('is refused where there is nothing to end', () => {
    given(registered).when(byAdminCommand).refused('device_not_assigned');
    given(registered).when(byOwnerCommand).refused('not_the_owner');
    given(...owned).when(command('UnlinkDevice', { userId: bob })).refused('not_the_owner');
    given(...owned, unlinked).when(command('UnlinkDevice', { userId: bob })).refused('not_the_owner');
  });
  it('cancels in the same append what was not sent', () => {
    given(...shared, requested()).when(byOwnerCommand).happens(unlinked, event('UnlockCancelled', { unlockId, reason: 'assignment_ended' }));
    given(...shared, requested({ cause: byAdmin })).when(byOwnerCommand).happens(unlinked);
    given(...shared, requested(), dispatched()).when(byOwnerCommand).happens(unlinked);
  });
  it('leaves nothing of the old owner to the next one', () => {
    const renewed = event('DevicePinRegenerated', { pin: '1', pinTag: 'new', pinExpiresAt: later(7200) });
    const next = event('DeviceAssigned', { assignmentId: 'next', userId: bob, name: 'Box' });
    given(...shared, unlinked, renewed, next).when(requestUnlock()).refused('link_void');
    given(...shared, unlinked, renewed, next).when(requestUnlock({ cause: byOwner })).refused('not_the_owner');
    given(...shared, unlinked, renewed, next).when(command('UnlinkDevice', { userId: ada })).refused('not_the_owner');
  });
});

describe('suspension of the owner', () => {
  const suspend = command('SuspendOwner', { userId: ada });
  const activate = command('ActivateOwner', { userId: ada });
  const activated = event('OwnerActivated', { assignmentId, userId: ada });
  it('is carried once, and lifted once', () => {
    given(...owned).when(suspend).happens(suspended).again().quiet();
    given(...owned, suspended).when(activate).happens(activated).again().quiet();
  });
  it('is quiet where the box is no longer that user’s', () => {
    for (const events of [[registered], [...owned, unlinked]]) {
      given(...events).when(suspend).quiet();
      given(...events).when(activate).quiet();
    }
    given(...owned).when(command('SuspendOwner', { userId: bob })).quiet();
  });
  it('ends the links for good, and the owner’s access until it is lifted', () => {
    given(...shared, suspended).when(requestUnlock()).refused('link_void');
    given(...shared, suspended, activated).when(requestUnlock()).refused('link_void');
    given(...shared, suspended).when(requestUnlock({ cause: byOwner })).refused('owner_suspended');
    given(...shared, suspended, activated).when(requestUnlock({ cause: byOwner })).happensAs('UnlockRequested');
  });
  it('cancels what was not sent', () => {
    given(...shared, requested()).when(suspend).happens(suspended, event('UnlockCancelled', { unlockId, reason: 'owner_suspended' }));
  });
});

describe('a box is never two people’s', () => {
  it('whoever claims it second is refused, at the same instant too', () => {
    given(registered, at(now, assigned)).when(claim(bob)).refused('device_assigned');
  });
});

