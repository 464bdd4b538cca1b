import { Type } from 'typebox';
import { ActivityEntry, Device } from './devices.ts';
import { Session, User } from './auth.ts';
import { Closed, Email, Id, Nullable, Password, Time } from './common.ts';
import { Delivery, Link } from './links.ts';
import { Notification, NotificationSettings } from './notifications.ts';

const Confirm = { ...Email, description: 'The e-mail address of the account, typed once more.' };

export const OwnErasure = Closed({ password: Password, confirm: Confirm });
export const AdminErasure = Closed({
  confirm: Confirm,
  ground: Type.Enum(['requested', 'no_longer_needed', 'unlawful', 'legal_obligation'], {
    description: 'Why. Never a text: a name in it would outlive the erasure.',
  }),
});

const Backups = Closed({ retention_days: Type.Integer(), until: Time, statement: Type.String() });

export const ErasurePreview = Closed(
  {
    user_id: Id,
    email: Nullable(Type.String()),
    devices: Type.Array(Closed({ id: Id, serial_number: Type.String(), name: Nullable(Type.String()) }), { description: 'Taken off the account: their links end, their PINs too.' }),
    active_links: Type.Integer(),
    deliveries: Type.Integer({ description: 'What couriers said there becomes unreadable with the rest.' }),
    notifications: Type.Integer(),
    goes: Type.Array(Type.String()),
    stays: Type.Array(Type.String()),
    backups: Backups,
    export_path: Type.String({ description: 'Where to take a copy first.' }),
    needs: Type.Array(Type.String(), { description: 'Members of the body that carries it out.' }),
  },
  { title: 'ErasurePreview', description: 'What an erasure would do. Nothing has happened yet.' },
);

export const ErasureId = Closed({ erasure_id: Id });

const Receipt = Closed(
  {
    format: Type.Literal('loqey-erasure-receipt-1'),
    log_id: Id,
    subject: Type.String(),
    requested_by: Type.Enum(['owner', 'admin']),
    requested_at: Time,
    event: Closed({ id: Id, stream: Type.String(), revision: Type.String(), position: Type.String() }),
    completed_at: Time,
    destroyed: Closed({ data_keys: Type.Integer(), deliveries: Type.Integer(), boxes: Type.Integer(), statement: Type.String() }),
    backups: Backups,
    kid: Type.String(),
    signature: Type.String({ description: 'Ed25519, base64url, with the key of the heads of the log.' }),
  },
  { title: 'ErasureReceipt' },
);

export const Erasure = Closed(
  {
    erasure_id: Id,
    status: Type.Enum(['under_way', 'completed']),
    message: Type.String(),
    requested_at: Time,
    status_url: Type.String({ description: 'Answers without an account: who was erased has none.' }),
    receipt: Nullable(Receipt),
  },
  { title: 'Erasure' },
);

const LogEntry = Closed({
  timestamp: Time,
  action: Type.String(),
  type: Type.String(),
  outcome: Type.Enum(['accepted', 'refused', 'failed']),
  actor: Closed({ kind: Type.String(), id: Type.String() }),
  source: Type.String(),
  ip_address: Nullable(Type.String()),
  user_agent: Nullable(Type.String()),
  device_id: Nullable(Id),
  link_id: Nullable(Id),
  unlock_id: Nullable(Id),
  event_id: Id,
  position: Type.String(),
  details: Type.Record(Type.String(), Type.Unknown()),
});

/** Personal data in one file. Later versions add members; none changes its meaning. */
export const PersonalData = Closed(
  {
    format: Type.Literal('loqey-personal-data-1'),
    about: Type.Record(Type.String(), Type.String(), { description: 'Member → what it holds.' }),
    generated_at: Time,
    account: User,
    sessions: Type.Array(Session),
    notification_settings: NotificationSettings,
    devices: Type.Array(Device),
    links: Type.Array(Link),
    deliveries: Type.Array(Delivery),
    activity: Type.Array(ActivityEntry),
    notifications: Type.Array(Notification),
    personal: Type.Array(Closed({ ref: Id, kind: Type.String(), since: Time, fields: Type.Record(Type.String(), Type.Unknown()) })),
    log: Type.Array(LogEntry),
    complete: Type.Literal(true, { description: 'The last member: without it the file was cut off.' }),
  },
  { title: 'PersonalData' },
);
