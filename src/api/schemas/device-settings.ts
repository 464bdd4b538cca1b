import { Type, type Static } from 'typebox';
import { Closed, Id, Nullable, Time } from './common.ts';

const members = {
  auto_lock_enabled: Type.Boolean(),
  auto_lock_delay: Type.Integer({ minimum: 5, maximum: 600, description: 'Seconds.' }),
  silent_mode: Type.Boolean(),
  led_enabled: Type.Boolean(),
  heartbeat_seconds: Type.Integer({ minimum: 30, maximum: 120 }),
};

export const Settings = Closed(members);

export const SettingsStatus = Type.Enum(['applied', 'pending', 'refused'], {
  description: '`pending`: the box has not taken them over yet; it is sent them until it has. `refused`: it has, but for those named in `refused`.',
});

export const DeviceSettings = Closed(
  {
    device_id: Id,
    ...members,
    status: SettingsStatus,
    refused: Type.Array(Type.String(), { description: 'What the box refused of them: there it keeps what it had.' }),
    reported: Type.Unsafe<Static<typeof Settings>>({ ...Settings, description: 'What the box runs on, as far as it has said so.' }),
    config_version: Type.Integer(),
    applied_version: Nullable(Type.Integer()),
    changed_at: Nullable(Time),
    applied_at: Nullable(Time),
  },
  { title: 'DeviceSettings', description: 'What the owner wants of a box, and how far the box is with it.' },
);
export type DeviceSettings = Static<typeof DeviceSettings>;

export const SettingsChange = Type.Partial(Settings, { additionalProperties: false, minProperties: 1 });
