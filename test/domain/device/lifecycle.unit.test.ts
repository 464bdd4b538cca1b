import { describe, expect, it } from 'vitest';
import type { DeviceEvent } from '../../../src/domain/device/events.ts';
import { lifecycleOf } from '../../../src/domain/device/rules.ts';
import { later } from '../../support/given.ts';
import {
  ada,
  assigned,
  assignmentId,
  byAdmin,
  byOwner,
  command,
  deviceId,
  dispatched,
  event,
  given,
  owned,
  pinned,
  pinTag,
  registered,
  registeredState,
  requested,
  shared,
  unlinked,
  unlockId,
} from './box.ts';

const decommissioned = event('DeviceDecommissioned', {});
const register = {
  serialNumber: 'LQ-0001',
  model: 'LoqeyBox-V1',
  profile: 'loqey',
  keyVersion: 1,
  pin: '482913',
  pinTag,
  pinExpiresAt: later(3600),
} as const;

describe('RegisterDevice', () => {
  it('makes a box that nobody has', () => {
    given().when(command('RegisterDevice', register)).happens(registered).again().quiet();
  });
  it('leaves out what was not said', () => {
    const [made] = given().when(command('RegisterDevice', register)).decision.events;
    expect(Object.keys(made?.data ?? {})).not.toContain('hardwareId');
    expect(made?.data).toMatchObject({ deviceId });
  });
  it('is refused for a serial number that is taken', () => {
    given(registered).when(command('RegisterDevice', { ...register, pinTag: 'another' })).refused('device_exists');
  });
});

describe('anything asked of a box that is not registered', () => {
  it('is refused', () => {
    given().when(command('ViewPin', {})).refused('device_not_found');
    given().when(command('RecordOffline', { lastHeardAt: later(0) })).refused('device_not_found');
  });
});

describe('RegeneratePin', () => {
  const regenerate = command('RegeneratePin', { pin: '111222', pinTag: 'new-tag', pinExpiresAt: later(7200) });
  it('replaces the PIN and leaves the owner alone', () => {
    const { state } = given(...owned)
      .when(regenerate)
      .happens(event('DevicePinRegenerated', { pin: '111222', pinTag: 'new-tag', pinExpiresAt: later(7200) }));
    expect(registeredState(state).assignment?.userId).toBe(ada);
    given(...owned).when(regenerate).again().quiet();
  });
  it('makes a box claimable again after its PIN ended', () => {
    given(...owned, unlinked, event('DevicePinRegenerated', { pin: '1', pinTag: 'new-tag', pinExpiresAt: later(7200) }))
      .when(command('AssignDevice', { assignmentId: 'second', userId: ada, pinTag: 'new-tag', name: 'Box' }))
      .happensAs('DeviceAssigned');
  });
  it('is refused for a box out of use', () => {
    given(registered, decommissioned).when(regenerate).refused('device_decommissioned');
  });
});

describe('ViewPin', () => {
  it('records each look', () => {
    given(registered).when(command('ViewPin', {})).happens(event('DevicePinViewed', {}));
  });
  it('shows no PIN that has ended', () => {
    given(...owned, unlinked).when(command('ViewPin', {})).refused('pin_void');
    given(registered, decommissioned).when(command('ViewPin', {})).refused('device_decommissioned');
  });
});

describe('maintenance', () => {
  const start = command('StartMaintenance', { reason: 'new lock' });
  it('starts once and ends once', () => {
    given(registered).when(start).happens(event('MaintenanceStarted', { reason: 'new lock' })).again().quiet();
    given(registered, event('MaintenanceStarted', {})).when(command('EndMaintenance', {})).happens(event('MaintenanceEnded', {})).again().quiet();
  });
  it('stops what was not sent yet, but not an admin’s emergency', () => {
    given(...shared, requested()).when(start).happensAs('MaintenanceStarted', 'UnlockCancelled');
    given(...shared, requested({ cause: byAdmin })).when(start).happensAs('MaintenanceStarted');
    given(...shared, requested(), dispatched()).when(start).happensAs('MaintenanceStarted');
  });
  it('is refused for a box out of use', () => {
    given(registered, decommissioned).when(start).refused('device_decommissioned');
    given(registered, decommissioned).when(command('EndMaintenance', {})).refused('device_decommissioned');
  });
});

describe('DecommissionDevice', () => {
  const decommission = command('DecommissionDevice', { reason: 'broken' });
  it('ends the box for good', () => {
    given(registered).when(decommission).happens(event('DeviceDecommissioned', { reason: 'broken' })).again().quiet();
  });
  it('ends the assignment, and every unlock that was not sent, an admin’s too', () => {
    given(...owned, requested({ cause: byAdmin }))
      .when(decommission)
      .happens(
        event('DeviceUnlinked', { assignmentId, userId: ada, by: 'admin' }),
        event('DeviceDecommissioned', { reason: 'broken' }),
        event('UnlockCancelled', { unlockId, reason: 'device_decommissioned' }),
      );
  });
});

describe('key rotation', () => {
  const start = command('StartKeyRotation', {});
  const startIfDue = command('StartKeyRotation', { ifDue: true });
  const complete = (keyVersion: number, by: 'device' | 'reprovisioning') => command('CompleteKeyRotation', { keyVersion, by });
  const started = event('DeviceKeyRotationStarted', { keyVersion: 2 });
  const rotated = event('DeviceKeysRotated', { keyVersion: 2, by: 'device' });

  it('goes from one version to the next, one at a time', () => {
    given(...owned).when(start).happens(started).again().quiet();
    given(...owned, started, rotated).when(start).happens(event('DeviceKeyRotationStarted', { keyVersion: 3 }));
    given(registered, pinned, decommissioned).when(start).refused('device_decommissioned');
  });
  it('is for boxes that can sign', () => {
    given(registered, assigned).when(start).refused('key_rotation_unsupported');
    given(registered, assigned).when(startIfDue).quiet();
  });
  it('is due once after each claim, also where one was under way by then', () => {
    given(registered, pinned).when(startIfDue).quiet();
    given(...owned).when(startIfDue).happens(started).again().quiet();
    given(...owned, started, rotated).when(startIfDue).quiet();
    given(...owned, started, unlinked, assigned).when(startIfDue).quiet();
    given(...owned, started, unlinked, assigned, rotated).when(startIfDue).happens(event('DeviceKeyRotationStarted', { keyVersion: 3 }));
    given(...owned, event('DeviceKeysRotated', { keyVersion: 2, by: 'reprovisioning' })).when(startIfDue).quiet();
  });
  it('is complete when the box has signed with the new key, whether or not the log knows that it began', () => {
    given(registered, started).when(complete(2, 'device')).happens(rotated).again().quiet();
    given(registered).when(complete(2, 'device')).happens(rotated);
    given(registered).when(complete(1, 'device')).quiet();
  });
  it('is overtaken by a re-provisioning', () => {
    given(registered, started)
      .when(complete(3, 'reprovisioning'))
      .happens(event('DeviceKeysRotated', { keyVersion: 3, by: 'reprovisioning' }))
      .again()
      .quiet();
    given(registered, event('DeviceKeysRotated', { keyVersion: 3, by: 'reprovisioning' })).when(complete(2, 'device')).quiet();
  });
});

describe('protocol level', () => {
  it('is pinned once and unpinned by an admin', () => {
    given(registered).when(command('PinProtocol', {})).happens(event('DeviceProtocolPinned', { level: 1 })).again().quiet();
    given(...owned)
      .when(command('UnpinProtocol', { reason: 're-flashed' }))
      .happens(event('DeviceProtocolUnpinned', { reason: 're-flashed' }))
      .again()
      .quiet();
    given(registered, decommissioned).when(command('UnpinProtocol', { reason: 'x' })).refused('device_decommissioned');
  });
  it('stops what was accepted when answers could be proved', () => {
    given(...shared, requested()).when(command('UnpinProtocol', { reason: 'x' })).happensAs('DeviceProtocolUnpinned', 'UnlockCancelled');
  });
  it('lets an admin accept deliveries to old firmware, which a pin ends', () => {
    const acceptIt = command('AcceptLevel0Deliveries', { reason: 'trusted street' });
    given(registered).when(acceptIt).happens(event('Level0DeliveriesAccepted', { reason: 'trusted street' })).again().quiet();
    given(...owned).when(acceptIt).quiet();
    given(registered, decommissioned).when(acceptIt).refused('device_decommissioned');
    const { state } = given(registered, event('Level0DeliveriesAccepted', { reason: 'x' })).when(command('PinProtocol', {}));
    expect(registeredState(state).protocol).toEqual({ level: 1, level0Deliveries: false });
  });
});

describe('lifecycle', () => {
  const of = (...events: readonly DeviceEvent[]) => lifecycleOf(registeredState(given(...events).state));
  it('is assigned until a box that was never heard of reports', () => {
    expect(of(registered)).toBe('available');
    expect(of(registered, assigned)).toBe('assigned');
    expect(of(registered, assigned, event('DeviceWentOnline', { evidence: 'signed' }))).toBe('active');
    expect(of(...owned, unlinked)).toBe('available');
    expect(of(...owned, event('MaintenanceStarted', {}))).toBe('maintenance');
    expect(of(...owned, event('MaintenanceStarted', {}), decommissioned)).toBe('decommissioned');
  });
  it('is active at once for a box that was heard of before', () => {
    expect(of(registered, event('DeviceWentOnline', { evidence: 'unsigned' }), assigned)).toBe('active');
  });
});

describe('a stream that does not start with its registration', () => {
  it('does not fold', () => {
    expect(() => given(requested({ cause: byOwner }))).toThrow(/not whole/);
  });
});

