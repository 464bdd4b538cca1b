import type { Static } from 'typebox';
import type { DeviceSettings as Wanted } from '../../domain/device/events.ts';
import { settingsStatus } from '../../domain/device/settings.ts';
import { present } from '../../domain/kernel.ts';
import type { DeviceRow } from '../../projections/read-models.ts';
import { account, route, type Route } from '../route.ts';
import { DeviceId } from '../schemas/common.ts';
import { DeviceSettings, SettingsChange, type Settings } from '../schemas/device-settings.ts';
import { ownDevice } from './devices.ts';

/** What a box is to do by itself. It is told so by a command and says what it made of it: neither is the other. */
export const deviceSettingsRoutes: readonly Route[] = [
  route({
    id: 'deviceSettings',
    tag: 'devices',
    summary: 'What a box is to do by itself, and whether it does',
    method: 'GET',
    path: '/devices/{device_id}/settings',
    access: account,
    params: DeviceId,
    replies: { 200: DeviceSettings },
    errors: [404],
  })(async (call, api) => {
    return { status: 200, body: settingsView(await ownDevice(api, call.who.userId, call.params.device_id)) };
  }),

  route({
    id: 'changeDeviceSettings',
    tag: 'devices',
    summary: 'Change some of them; the box is told until it has taken them over',
    method: 'PUT',
    path: '/devices/{device_id}/settings',
    access: account,
    params: DeviceId,
    body: SettingsChange,
    replies: { 200: DeviceSettings },
    errors: [404, 409, 422],
  })(async (call, api) => {
    const { device_id: deviceId } = call.params;
    const { userId } = call.who;
    const { auto_lock_enabled, auto_lock_delay, silent_mode, led_enabled, heartbeat_seconds } = call.body;
    const changes = present({
      autoLockEnabled: auto_lock_enabled,
      autoLockDelay: auto_lock_delay,
      silentMode: silent_mode,
      ledEnabled: led_enabled,
      heartbeatSeconds: heartbeat_seconds,
    });
    await api.execute(call, { type: 'ChangeSettings', data: { deviceId, userId, changes } });
    return { status: 200, body: settingsView(await ownDevice(api, userId, deviceId)) };
  }),
];

function settingsView(row: DeviceRow): DeviceSettings {
  const status = settingsStatus(row);
  return {
    device_id: row.deviceId,
    ...onTheWire(row.settings),
    status,
    refused: status === 'refused' ? [...row.refusedSettings] : [],
    reported: onTheWire(row.reportedSettings),
    config_version: row.configVersion,
    applied_version: row.appliedConfigVersion,
    changed_at: row.settingsChangedAt,
    applied_at: row.settingsAppliedAt,
  };
}

function onTheWire({ autoLockEnabled, autoLockDelay, silentMode, ledEnabled, heartbeatSeconds }: Wanted): Static<typeof Settings> {
  return {
    auto_lock_enabled: autoLockEnabled,
    auto_lock_delay: autoLockDelay,
    silent_mode: silentMode,
    led_enabled: ledEnabled,
    heartbeat_seconds: heartbeatSeconds,
  };
}
