import { Type, type Static } from 'typebox';
import { Closed, Day, Id, InFlight, LockState, Nullable, Prose, Text, Time, words } from './common.ts';
import { UnlockState } from './devices.ts';

const MaxUses = Type.Integer({ minimum: 1, maximum: 1_000 });
const ClockTime = Type.String({ pattern: '^(?:[01][0-9]|2[0-3]):[0-5][0-9]$', ...words('must be HH:MM') });

const Window = Closed(
  {
    time_zone: Type.String({ minLength: 1, maxLength: 64, description: 'A name of the IANA database, as `Europe/Istanbul`.' }),
    days: Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), { minItems: 1, maxItems: 7, uniqueItems: true, description: '1 = Monday.' }),
    from: ClockTime,
    to: ClockTime,
  },
  { description: 'Hours of each week. One that ends before it begins runs over midnight, into the day after the one it is named for.' },
);
export type Window = Static<typeof Window>;

export const NewLink = Closed({
  device_id: Id,
  expires_at: Type.Optional(Time),
  max_uses: Type.Optional(MaxUses),
  name: Type.Optional(Text(100)),
  starts_at: Type.Optional(Time),
  require_identity: Type.Optional(Type.Boolean()),
  window: Type.Optional(Window),
});

export const LinkChange = Closed(
  {
    expires_at: Type.Optional(Time),
    max_uses: Type.Optional(MaxUses),
    name: Type.Optional(Text(100)),
    require_identity: Type.Optional(Type.Boolean()),
    window: Type.Optional(Nullable(Window)),
  },
  { minProperties: 1 },
);

export const LinkState = Type.Enum(['active', 'expired', 'used', 'revoked']);

export const LinkFilters = {
  device_id: Type.Optional(Id),
  active: Type.Optional(Type.Boolean({ description: 'Those that work, or those that do not any more.' })),
  status: Type.Optional(LinkState),
  search: Type.Optional(Text(100)),
};

export const ImageFormat = Closed({ format: Type.Optional(Type.Enum(['svg', 'png'])) });
export const Image = Type.Unsafe<string | Buffer>({ type: 'string', description: 'The image.' });

export const Link = Closed(
  {
    id: Id,
    device_id: Id,
    name: Nullable(Type.String()),
    status: LinkState,
    is_active: Type.Boolean(),
    created_at: Time,
    starts_at: Nullable(Time),
    expires_at: Time,
    max_uses: Type.Integer(),
    usage_count: Type.Integer(),
    current_uses: Type.Integer(),
    used_at: Nullable(Time),
    require_identity: Type.Boolean(),
    window: Nullable(Window),
    access_url: Nullable(Type.String({ description: 'Only while the link is active.' })),
  },
  { title: 'AccessLink' },
);
export type Link = Static<typeof Link>;

export const LinkCreated = Closed({
  message: Type.String(),
  link_id: Type.String({ description: 'The token of the link: whoever has it can open the box.' }),
  id: Id,
  device_id: Id,
  access_url: Type.String(),
  expires_at: Time,
  max_uses: Type.Integer(),
});
export const LinkReply = Closed({ message: Type.String(), link: Link });
export const LinkEnded = Closed({ message: Type.String(), in_flight: Type.Optional(InFlight) });

export const DeliveryFilters = {
  device_id: Type.Optional(Id),
  link_id: Type.Optional(Id),
  outcome: Type.Optional(Type.Enum(['opened', 'not_opened', 'unknown', 'under_way'])),
  completed: Type.Optional(Type.Boolean({ description: 'Those where the bolt moved, or the others.' })),
  date_from: Type.Optional(Day),
  date_to: Type.Optional(Day),
  search: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: "Part of the courier's name, company or number, or of the link's name." })),
};

export const Delivery = Closed(
  {
    id: Id,
    device_id: Id,
    link_id: Id,
    link_name: Nullable(Type.String()),
    status: UnlockState,
    completed: Type.Boolean(),
    device_unlock_successful: Type.Boolean(),
    attempted_at: Time,
    unlocked_at: Nullable(Time),
    completed_at: Nullable(Time),
    unlocked_by: Type.Literal('delivery_link'),
    delivery_person_name: Type.String(),
    delivery_person_id: Type.String(),
    courier_company: Type.String(),
    delivery_person_phone: Nullable(Type.String()),
    delivery_notes: Nullable(Type.String()),
    reference: Type.String({ description: 'As on the receipt of the delivery person: six signs.' }),
  },
  { title: 'Delivery', description: 'Who came is `unknown` where it was not said or is no longer kept.' },
);
export type Delivery = Static<typeof Delivery>;

export const Courier = Closed({
  delivery_person_name: Type.Optional(Text(100)),
  delivery_person_id: Type.Optional(Text(100)),
  courier_company: Type.Optional(Text(100)),
  delivery_person_phone: Type.Optional(Text(20)),
  delivery_notes: Type.Optional(Prose(500)),
});

export const LinkProblem = Type.Enum([
  'expired',
  'used',
  'revoked',
  'not_yet_valid',
  'outside_hours',
  'device_in_maintenance',
  'device_unavailable',
]);

export const LinkInfo = Closed(
  {
    is_valid: Type.Boolean(),
    reason: Nullable(LinkProblem),
    message: Type.String(),
    expires_at: Time,
    starts_at: Nullable(Time),
    already_used: Type.Boolean(),
    require_identity: Type.Boolean(),
    uses_left: Type.Integer(),
    window: Nullable(Window),
    device_id: Nullable(Id),
    device_name: Nullable(Type.String()),
    device_location: Nullable(Type.String()),
  },
  { title: 'LinkInfo', description: 'What and where the box is, is shown only while the link is valid.' },
);

export const DeliveryDone = Closed({
  message: Type.String(),
  status: Type.Literal('opened'),
  device_id: Id,
  unlocked_at: Time,
  delivery_complete: Type.Boolean(),
  command_id: Id,
});

export const DeliveryUnderWay = Closed({
  message: Type.String(),
  status: Type.Literal('unlocking'),
  delivery_complete: Type.Boolean(),
  command_id: Id,
  expires_at: Time,
  status_url: Type.String(),
});

export const DeliveryStatus = Closed({
  link_status: LinkState,
  device_status: LockState,
  unlocked_at: Nullable(Time),
  delivery_complete: Type.Boolean(),
  command: Nullable(
    Closed({ command_id: Id, status: UnlockState, message: Type.String(), heading: Type.String(), text: Type.String(), use_returned: Type.Boolean(), expires_at: Time }),
  ),
});
