import { Type, type TObject, type TProperties } from 'typebox';
import { AuditEntry, AuditQuery } from './admin.ts';
import { Closed, Id, LockState, Nullable, Time } from './common.ts';
import { SettingsStatus } from './device-settings.ts';
import { UnlockState } from './devices.ts';
import { playbackCommands, playbackFilters, PlaybackQuery } from './playback.ts';
import { LinkState } from './links.ts';

/** What is said over WebSockets: `live-messages.ts` makes these, and `contracts/asyncapi.json` publishes them. */

const news = {
  position: Type.String({ description: 'Opaque; `?after=` takes it to go on from here.' }),
  event_id: Id,
};

type LiveMessage = TObject & { readonly title: string; readonly description: string };

const message = (type: string, title: string, description: string, members: TProperties): LiveMessage =>
  Object.assign(Closed({ type: Type.Literal(type), ...members }), { title, description });

const outcome = {
  command_id: Id,
  heading: Type.String(),
  text: Type.String(),
  use_returned: Type.Boolean(),
  timestamp: Time,
};

export const Subscribed = message('subscribed', 'Subscribed', 'The first message of every socket: from here on nothing is missed.', {});
export const Resync = message('resync', 'Resync', 'What happened since `after` cannot be told: it is no longer kept, or the log does not reach so far, because it was put back to an older backup. Read the state anew, and forget `after`.', {});
export const Auth = message('auth', 'Auth', 'The first message of a client that could set neither a header nor a subprotocol.', { token: Type.String() });

export const StatusUpdate = message('status_update', 'StatusUpdate', 'A box reported something new.', {
  device_id: Id,
  status: LockState,
  timestamp: Time,
  online: Type.Boolean(),
  door_open: Nullable(Type.Boolean()),
  battery_level: Nullable(Type.Integer()),
  firmware_version: Nullable(Type.String()),
  ...news,
});

export const LinkUpdate = message('link_update', 'LinkUpdate', 'A link was made, changed, used or ended.', {
  link_id: Id,
  device_id: Id,
  status: LinkState,
  change: Type.Enum(['created', 'updated', 'used', 'expired', 'revoked']),
  usage_count: Type.Integer(),
  max_uses: Type.Integer(),
  timestamp: Time,
  ...news,
});

export const LinksRevoked = message('links_revoked', 'LinksRevoked', 'The box was unlinked or its owner suspended: its links that were still `active` are `revoked` with that. Nothing is told of each of them; `GET /access/my-links` has them.', {
  device_id: Id,
  reason: Type.Enum(['unlinked', 'owner_suspended']),
  timestamp: Time,
  ...news,
});

export const UnlockUpdate = message('unlock_progress', 'UnlockUpdate', 'How far an opening has come.', {
  command_id: Id,
  unlock_id: Id,
  device_id: Id,
  cause: Type.String(),
  link_id: Type.Optional(Id),
  status: UnlockState,
  reason: Nullable(Type.String()),
  use_returned: Type.Boolean(),
  expires_at: Time,
  timestamp: Time,
  ...news,
});

export const Alert = message('alert', 'Alert', 'Something that somebody should look at.', {
  alert: Type.String(),
  device_id: Id,
  command_id: Type.Optional(Id),
  timestamp: Time,
  ...news,
});

export const SettingsUpdate = message('settings_update', 'SettingsUpdate', 'The settings of a box were changed, or the box said what it made of them.', {
  device_id: Id,
  status: SettingsStatus,
  config_version: Type.Integer(),
  timestamp: Time,
  ...news,
});

export const DeliveryConfirmation = message('unlock_confirmation', 'DeliveryConfirmation', 'The box is open.', {
  device_id: Id,
  status: Type.Literal('unlocked'),
  delivery_complete: Type.Literal(true),
  ...outcome,
  ...news,
});

export const DeliveryProgress = message('unlock_progress', 'DeliveryProgress', 'How far the opening by this link has come, in the words of the courier.', {
  device_id: Id,
  status: UnlockState,
  expires_at: Time,
  ...outcome,
  ...news,
});

export const DoorUpdate = message('door_update', 'DoorUpdate', 'The door or the bolt of the box moved, for whoever has just opened it.', {
  status: LockState,
  door_open: Nullable(Type.Boolean()),
  timestamp: Time,
  ...news,
});

export const DeliveryLinkUpdate = message('link_update', 'DeliveryLinkUpdate', 'The link was changed or ended.', { status: LinkState, timestamp: Time, ...news });

export const DeviceActivity = message('device_activity', 'DeviceActivity', 'Something happened with a box.', {
  device_id: Id,
  action: Type.String(),
  user: Type.String({ description: 'Where it came from: `mobile_app`, `delivery_link`, `mqtt_device`, …' }),
  success: Type.Boolean(),
  timestamp: Time,
  ...news,
});

export const AuditSubscribed = message('subscribed', 'AuditSubscribed', 'The first message: everything after `position` follows, in the order of the log, each entry once.', {
  position: news.position,
});
export const AuditNews = message('audit_entry', 'AuditNews', 'An entry of the audit log that the filters of the address let through.', { entry: AuditEntry, ...news });
export const AuditPlace = message('audit_place', 'AuditPlace', 'Up to here the log was looked through, and nothing more was meant: go on from here.', { position: news.position });

const PlaybackState = {
  state: Type.Enum(['playing', 'paused', 'ended']),
  speed: Type.Union([Type.Number(), Type.Literal('max')]),
  position: Nullable(Type.String({ description: 'Of the last entry that was shown; a playback may begin there (`from`).' })),
};
export const PlaybackOpened = message('subscribed', 'PlaybackOpened', 'The first message: how the playback stands.', PlaybackState);
export const PlaybackStatus = message('playback_state', 'PlaybackStatus', 'It goes on, stands still, has ended, or goes at another speed.', PlaybackState);
export const PlaybackFrame = message('playback_frame', 'PlaybackFrame', 'An entry of the past, when it is due, with the states beside it.', {
  entry: AuditEntry,
  gap_ms: Type.Number({ description: 'Since the entry before, as it happened.' }),
  skipped_ms: Type.Number({ description: 'What of that was passed over.' }),
  states: Type.Array(
    Closed({
      kind: Type.Enum(['device', 'user', 'link']),
      id: Id,
      state: Nullable(Type.Record(Type.String(), Type.Unknown(), { description: 'As it was right after the event, in the names of `GET /admin/devices/{device_id}/state`. null: not to be had.' })),
      changes: Type.Array(Closed({ path: Type.String({ description: 'JSON pointer into the state.' }), before: Type.Unknown(), after: Type.Unknown() }), { description: 'What the event changed of it.' }),
    }),
  ),
  ...news,
});
export const PlaybackRefused = message('playback_refused', 'PlaybackRefused', 'A command that was not understood; the playback goes on as it was.', {
  message: Type.String(),
  details: Type.Record(Type.String(), Type.Unknown()),
});

const framing = [Subscribed, Resync];
const ofOwners = [...framing, StatusUpdate, LinkUpdate, LinksRevoked, UnlockUpdate, SettingsUpdate, Alert];

const { before: _, after: __, ...auditFilters } = AuditQuery;

/** The paths of sockets, who may listen, and what is heard there. Each is served below `/api/v1` and `/api` too. */
export const liveChannels = [
  { id: 'device', path: '/ws/devices/{device_id}', summary: 'One box of the signed-in owner', bearer: true, messages: ofOwners },
  { id: 'devices', path: '/ws/device-status', summary: 'All boxes of the signed-in owner', bearer: true, messages: ofOwners },
  { id: 'delivery', path: '/ws/delivery/{link_token}', summary: 'The opening by a link, for its courier', bearer: false, messages: [...framing, DeliveryConfirmation, DeliveryProgress, DoorUpdate, DeliveryLinkUpdate] },
  { id: 'system', path: '/ws/admin/system', summary: 'What happens, for administrators', bearer: true, messages: [...framing, DeviceActivity, Alert] },
  { id: 'audit', path: '/ws/admin/audit', summary: 'The audit log as it grows, for administrators with `audit:read`; filters as in the query of `GET /admin/logs/audit`', bearer: true, messages: [AuditSubscribed, Resync, AuditNews, AuditPlace], query: auditFilters },
  {
    id: 'playback',
    path: '/ws/admin/playback',
    summary: 'The past shown again at a speed, for administrators with `audit:read`. Nothing follows from it: no box, no mail and no read model hears of a playback. At most three at once',
    bearer: true,
    messages: [PlaybackOpened, PlaybackFrame, PlaybackStatus, PlaybackRefused],
    commands: playbackCommands,
    query: { ...playbackFilters, ...PlaybackQuery },
    resumes: false,
  },
] as const;
