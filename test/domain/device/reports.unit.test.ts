import { describe, expect, it } from 'vitest';
import type { DeviceCommandOf } from '../../../src/domain/device/commands.ts';
import { later, now } from '../../support/given.ts';
import { assigned, command, dispatched, event, given, online, owned, pinned, registered, registeredState, requested, shared, unlockId } from './box.ts';

type Report = DeviceCommandOf<'RecordReport'>['data'];
const report = (facts: Omit<Partial<Report>, 'deviceId'>) => command('RecordReport', { evidence: 'signed', ...facts });
const signed = { evidence: 'signed' } as const;
const box = [registered, assigned, pinned, online];

describe('RecordReport', () => {
  it('pins the protocol at the first signed report, and tells all that is new', () => {
    given(registered)
      .when(report({ reportSeq: 1, lockStatus: 'locked', battery: 85, firmwareVersion: '1.0.0', capabilities: ['bolt_sensor'], protocols: [1], online: true }))
      .happens(
        event('DeviceProtocolPinned', { level: 1 }),
        event('DeviceWentOnline', signed),
        event('LockStateReported', { lockStatus: 'locked', evidence: 'signed', reportSeq: 1 }),
        event('FirmwareReported', { version: '1.0.0', capabilities: ['bolt_sensor'], protocols: [1], evidence: 'signed' }),
        event('BatteryLevelChanged', { level: 85, evidence: 'signed' }),
      )
      .again()
      .quiet();
  });
  it('ignores everything unsigned from then on', () => {
    given(...box).when(report({ evidence: 'unsigned', lockStatus: 'unlocked', battery: 1 })).quiet();
  });
  it('believes old firmware, marked as unsigned', () => {
    given(registered)
      .when(report({ evidence: 'unsigned', lockStatus: 'locked' }))
      .happens(event('DeviceWentOnline', { evidence: 'unsigned' }), event('LockStateReported', { lockStatus: 'locked', evidence: 'unsigned' }))
      .again()
      .quiet();
  });
  it('tells the lock state only where it changed', () => {
    const locked = event('LockStateReported', { lockStatus: 'locked', evidence: 'signed' });
    given(...box, locked).when(report({ lockStatus: 'locked' })).quiet();
    given(...box, locked)
      .when(report({ lockStatus: 'jammed', cause: 'auto_relock', reportSeq: 4 }))
      .happens(event('LockStateReported', { lockStatus: 'jammed', cause: 'auto_relock', evidence: 'signed', reportSeq: 4 }));
    given(...box).when(report({ lockStatus: 'unknown' })).quiet();
  });
  it('tells the battery in steps of five and across the level of the alert', () => {
    const level = (value: number) => event('BatteryLevelChanged', { level: value, evidence: 'signed' });
    given(...box, level(85)).when(report({ battery: 81 })).quiet();
    given(...box, level(85)).when(report({ battery: 80 })).happens(level(80)).again().quiet();
    given(...box, level(21)).when(report({ battery: 19 })).happens(level(19));
    given(...box, level(19)).when(report({ battery: 20 })).happens(level(20));
  });
  it('tells firmware, door, parcel and tamper where they changed', () => {
    given(...box)
      .when(report({ doorOpen: true, parcelPresent: true, tamper: true, reportSeq: 5 }))
      .happens(
        event('DoorStateReported', { doorOpen: true, evidence: 'signed', reportSeq: 5 }),
        event('DeviceTampered', { evidence: 'signed', reportSeq: 5 }),
        event('ParcelDetected', { evidence: 'signed', reportSeq: 5 }),
      )
      .again()
      .quiet();
    given(...box).when(report({ parcelPresent: false, tamper: false })).quiet();
    // Anyone can write what is unsigned: it raises an alarm and ends none.
    const old = [registered, event('DeviceWentOnline', { evidence: 'unsigned' })];
    given(...old).when(report({ evidence: 'unsigned', tamper: true })).happens(event('DeviceTampered', { evidence: 'unsigned' }));
    given(...old, event('DeviceTampered', { evidence: 'unsigned' })).when(report({ evidence: 'unsigned', tamper: false })).quiet();
    given(...box, event('ParcelDetected', signed), event('DeviceTampered', signed))
      .when(report({ parcelPresent: false, tamper: false }))
      .happensAs('DeviceTamperCleared', 'ParcelRemoved')
      .again()
      .quiet();
    given(...box).when(report({ protocols: [1] })).quiet();
    given(...box, event('FirmwareReported', { version: '1.0.0', evidence: 'signed' })).when(report({ firmwareVersion: '1.1.0' })).happensAs('FirmwareReported');
  });
  it('takes any report as a sign of life, and only old firmware’s word for being offline', () => {
    given(...box, event('DeviceWentOffline', { lastHeardAt: now })).when(report({})).happens(event('DeviceWentOnline', signed));
    given(...box).when(report({ online: false })).quiet();
    given(registered, online)
      .when(report({ evidence: 'unsigned', online: false }))
      .happens(event('DeviceWentOffline', { lastHeardAt: now }))
      .again()
      .quiet();
  });
});

describe('an opening that nothing accounts for', () => {
  const opened = (facts: Partial<Report>) => report({ lockStatus: 'unlocked', reportSeq: 9, ...facts });
  it('is one with an unknown cause', () => {
    given(...box).when(opened({ cause: 'unknown' })).happensAs('LockStateReported', 'UnexplainedOpening').again().quiet();
  });
  it('is one by a command that was never sent', () => {
    given(...box).when(opened({ cause: 'command', commandId: unlockId })).happensAs('LockStateReported', 'UnexplainedOpening').again().quiet();
    given(...box).when(opened({ cause: 'command' })).happensAs('LockStateReported', 'UnexplainedOpening');
    given(...shared, requested()).when(opened({ cause: 'command', commandId: unlockId })).happensAs('LockStateReported', 'UnexplainedOpening');
  });
  it('is one by a command that is recorded as never executed', () => {
    const failed = event('UnlockFailed', { unlockId, reason: 'expired', executed: false, useReturned: true });
    given(...shared, requested(), dispatched(), failed).when(opened({ cause: 'command', commandId: unlockId })).happensAs('LockStateReported', 'UnexplainedOpening');
  });
  it('is not one by a command that was sent, nor by hand', () => {
    const confirmed = event('UnlockConfirmed', { unlockId, evidence: 'sensor' });
    const unknown = event('UnlockOutcomeUnknown', { unlockId, reason: 'no_answer' });
    for (const events of [[], [confirmed], [unknown]]) {
      given(...shared, requested(), dispatched(), ...events).when(opened({ cause: 'command', commandId: unlockId })).happensAs('LockStateReported');
    }
    for (const cause of ['manual', 'keypad', 'boot']) given(...box).when(opened({ cause })).happensAs('LockStateReported');
  });
  it('is told once per report, also for a box that stood open', () => {
    const open = event('LockStateReported', { lockStatus: 'unlocked', evidence: 'signed' });
    given(...box, open).when(opened({ cause: 'unknown' })).happensAs('UnexplainedOpening').again().quiet();
  });
  it('is one however late it is told; what is past changes nothing else', () => {
    given(...box)
      .when(opened({ past: true, cause: 'unknown', battery: 3 }))
      .happens(event('UnexplainedOpening', { reportedCause: 'unknown', reportSeq: 9, evidence: 'signed' }))
      .again()
      .quiet();
    given(...box).when(opened({ past: true, cause: 'keypad' })).quiet();
  });
});

describe('silence and doubt', () => {
  it('RecordOffline is recorded once', () => {
    const off = command('RecordOffline', { lastHeardAt: later(-300) });
    given(...box).when(off).happens(event('DeviceWentOffline', { lastHeardAt: later(-300) })).again().quiet();
    given(registered).when(off).quiet();
  });
  it('RecordCloneSuspicion is recorded once a day, and anew under a new key', () => {
    const suspect = command('RecordCloneSuspicion', { connectIds: ['a', 'b'] });
    const suspected = event('DeviceCloneSuspected', { connectIds: ['a', 'b'] });
    given(...box).when(suspect).happens(suspected).again().quiet();
    given(...box, suspected).when(command('RecordCloneSuspicion', { connectIds: ['c', 'd'] }), later(86_399)).quiet();
    given(...box, suspected).when(suspect, later(86_400)).happens(suspected);
    given(...box, suspected, event('DeviceKeysRotated', { keyVersion: 2, by: 'device' })).when(suspect).happens(suspected);
  });
});

describe('lock state', () => {
  it('is unknown until the box says, whatever was asked of it', () => {
    expect(registeredState(given(...owned, requested(), dispatched()).state).reported.lockStatus).toBe('unknown');
  });
});
