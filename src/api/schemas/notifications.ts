import { Type } from 'typebox';
import { Closed, Id, Nullable, Text, Time } from './common.ts';

export const Notification = Closed(
  {
    id: Id,
    kind: Type.String(),
    title: Type.String(),
    text: Type.String(),
    device_id: Nullable(Id),
    link_id: Nullable(Id),
    unlock_id: Nullable(Id),
    created_at: Time,
    is_read: Type.Boolean(),
    read_at: Nullable(Time),
  },
  { title: 'Notification' },
);

const Language = Type.Enum(['en', 'tr']);
const switches = { description: 'Kind of notification → whether a mail is sent as well.' };

export const NotificationSettings = Closed(
  { language: Language, time_zone: Type.String(), mail: Type.Record(Type.String(), Type.Boolean(), switches) },
  { title: 'NotificationSettings' },
);

/** Kinds are checked against those that this person may be told of. */
export const NotificationSettingsChange = Closed({
  language: Type.Optional(Language),
  time_zone: Type.Optional(Text(64)),
  mail: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z_]{1,50}$' }), Type.Boolean(), { ...switches, maxProperties: 50 })),
});
