import { describe, it } from 'vitest';
import { defaultSettings } from '../../../src/domain/device/state.ts';
import { ada, bob, command, event, given, owned, suspended } from './box.ts';

const change = (changes: object, userId = ada) => command('ChangeSettings', { userId, changes });
const report = (configVersion: number, rejected?: readonly string[]) =>
  command('ReportSettingsVersion', rejected === undefined ? { configVersion } : { configVersion, rejected });
const changed = event('DeviceSettingsChanged', { configVersion: 1, desired: { ...defaultSettings, silentMode: true } });

describe('ChangeSettings', () => {
  it('makes the next version of the whole', () => {
    given(...owned).when(change({ silentMode: true })).happens(changed).again().quiet();
  });
  it('is quiet where nothing differs', () => {
    given(...owned).when(change({ silentMode: false, autoLockDelay: 30 })).quiet();
  });
  it('is refused outside its ranges, naming them', () => {
    given(...owned).when(change({ autoLockDelay: 4 })).refused('settings_invalid', { setting: 'autoLockDelay', least: 5, most: 600 });
    given(...owned).when(change({ heartbeatSeconds: 121 })).refused('settings_invalid', { setting: 'heartbeatSeconds', least: 30, most: 120 });
    given(...owned).when(change({ autoLockDelay: 30.5 })).refused('settings_invalid');
  });
  it('is the active owner’s', () => {
    given(...owned).when(change({ silentMode: true }, bob)).refused('not_the_owner');
    given(...owned, suspended).when(change({ silentMode: true })).refused('owner_suspended');
  });
});

describe('ReportSettingsVersion', () => {
  it('records that the box has taken over what was wanted', () => {
    given(...owned, changed).when(report(1, ['ledEnabled'])).happens(event('DeviceSettingsApplied', { configVersion: 1, rejected: ['ledEnabled'] })).again().quiet();
  });
  it('says nothing of an older version, which is sent again', () => {
    given(...owned, changed).when(report(0)).quiet();
    given(...owned).when(report(0)).quiet();
  });
  it('jumps beyond a box that is ahead of a restored log', () => {
    given(...owned, changed)
      .when(report(9))
      .happens(event('DeviceSettingsChanged', { configVersion: 10, desired: { ...defaultSettings, silentMode: true } }))
      .again()
      .quiet();
  });
  it('does not believe a number that no command could carry', () => {
    given(...owned).when(report(Number.MAX_SAFE_INTEGER)).quiet();
  });
});
