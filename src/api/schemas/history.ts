import { Type, type Static } from 'typebox';
import { Closed, Id, Lifecycle, LockState, Nullable, Time } from './common.ts';
import { UnlockState } from './devices.ts';
import { Settings } from './device-settings.ts';

const PREFIX =
  'An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before.';

const Moment = Type.String({ minLength: 1, maxLength: 64, description: PREFIX });
export const AsOf = Closed({ as_of: Type.Optional(Type.Unsafe<string>({ ...Moment, description: `${PREFIX} Default: now.` })) });
export const Between = Closed({ from: Moment, to: Type.Optional(Type.Unsafe<string>({ ...Moment, description: `${PREFIX} Default: now.` })) });
export const WhyDevice = Closed({ ...AsOf.properties, user_id: Type.Optional(Type.Unsafe<string>({ ...Id, description: 'Who would ask. Default: the owner of then.' })) });

export const RefusalPosition = Closed({ position: Type.String({ minLength: 1, maxLength: 64, description: 'Of a refusal, as the audit log has it.' }) });

const EventRef = Closed(
  {
    event_id: Id,
    type: Type.String(),
    at: Time,
    actor: Closed({ kind: Type.String(), id: Type.String() }),
    position: Type.String({ description: 'Opaque; `as_of`, `from` and `to` take it.' }),
  },
  { title: 'EventRef' },
);
export const Ended = Closed({ event_id: Id, type: Type.String(), at: Time, position: Type.String() });

const Cause = Closed({ kind: Type.Enum(['link', 'owner', 'admin', 'schedule']), id: Id });

/** What says that this is not now. */
const past = {
  past: Type.Literal(true, { description: 'What is here was so then. It may be otherwise now.' }),
  as_of: Type.Unsafe<string>({ ...Time, description: 'The instant that was asked for; by a position, that of the event there.' }),
  ends_with: Type.Unsafe<{ event_id: string; type: string; at: string; position: string }>({ ...Ended, description: 'The last event of the prefix.' }),
};

export const DeviceThen = Closed(
  {
    device_id: Id,
    serial_number: Type.String(),
    profile: Type.String(),
    lifecycle_status: Lifecycle,
    decommissioned: Type.Boolean(),
    maintenance: Type.Boolean(),
    seen: Type.Boolean({ description: 'Whether it was ever heard of.' }),
    assignment: Nullable(
      Closed({
        assignment_id: Id,
        user_id: Id,
        assigned_at: Time,
        suspended: Type.Boolean(),
        suspensions: Type.Integer(),
        unlink_requested: Type.Boolean(),
      }),
    ),
    previous_owner_id: Nullable(Id),
    pin: Closed({ expires_at: Time, void: Type.Boolean(), guesses: Type.Integer({ description: 'Wrong ones.' }) }),
    unlocks: Closed({
      current: Nullable(
        Closed({
          unlock_id: Id,
          cause: Cause,
          assignment_id: Nullable(Id),
          issued_at: Time,
          expires_at: Time,
          phase: Type.Enum(['requested', 'dispatched', 'published', 'acknowledged']),
          dispatch: Nullable(
            Closed({
              at: Time,
              level: Type.Integer(),
              seq: Nullable(Type.Integer()),
              key_version: Nullable(Type.Integer()),
              journal_id: Nullable(Type.String()),
              report_seq: Nullable(Type.Integer()),
            }),
          ),
        }),
      ),
      unknown: Type.Array(Id, { description: 'Openings whose outcome was not known.' }),
      last_seq: Type.Integer(),
    }),
    reported: Closed({
      lock_status: LockState,
      lock_status_at: Nullable(Time),
      online: Type.Boolean(),
      battery: Nullable(Type.Integer()),
      door_open: Nullable(Type.Boolean()),
      parcel_present: Nullable(Type.Boolean()),
      tampered: Type.Boolean(),
      firmware_version: Nullable(Type.String()),
      capabilities: Type.Array(Type.String()),
      protocols: Type.Array(Type.Integer()),
      clone_suspected_at: Nullable(Time),
    }),
    settings: Closed({ desired: Settings, version: Type.Integer(), applied: Nullable(Type.Integer()) }),
    protocol: Closed({ level: Type.Integer(), level0_deliveries: Type.Boolean() }),
    keys: Closed({ version: Type.Integer(), rotating_to: Nullable(Type.Integer()), due: Type.Boolean() }),
  },
  { title: 'DeviceThen', description: 'A box, as its own stream had it. `reported` is what it had said of itself by then.' },
);
export type DeviceThen = Static<typeof DeviceThen>;

export const LinkThen = Closed(
  {
    link_id: Id,
    user_id: Id,
    assignment_id: Id,
    suspensions: Type.Integer(),
    starts_at: Nullable(Time),
    expires_at: Time,
    max_uses: Type.Integer(),
    require_identity: Type.Boolean(),
    window: Nullable(Closed({ time_zone: Type.String(), days: Type.Array(Type.Integer()), from: Type.String(), to: Type.String() })),
    uses: Type.Integer({ description: 'That were not proven unopened by then, one under way included.' }),
    uses_left: Type.Integer(),
    used_at: Nullable(Time),
    revoked_at: Nullable(Time),
    deleted: Type.Boolean(),
    expiry_recorded: Type.Boolean(),
    status: Type.Enum(['active', 'expired', 'used', 'revoked', 'void'], { description: 'By the clock of then. `void`: its owner lost the box or was suspended.' }),
  },
  { title: 'LinkThen' },
);
export type LinkThen = Static<typeof LinkThen>;

export const UserThen = Closed(
  {
    user_id: Id,
    suspended: Type.Boolean(),
    erased: Type.Boolean(),
    email_verified: Type.Boolean(),
    profile_at: Type.Unsafe<string>({ ...Time, description: 'Since when the profile was what it was. What it said is not in states of the past.' }),
    admin: Nullable(Closed({ role: Type.String(), permissions: Type.Array(Type.String()) })),
    logins: Closed({ refusals: Type.Array(Time), wrong_in_a_row: Type.Integer() }),
    sessions: Type.Array(Closed({ session_id: Id, scope: Type.String() })),
  },
  { title: 'UserThen' },
);
export type UserThen = Static<typeof UserThen>;

export const DeliveryThen = Closed(
  {
    unlock_id: Id,
    cause: Cause,
    assignment_id: Nullable(Id),
    status: UnlockState,
    reason: Nullable(Type.String()),
    evidence: Nullable(Type.String()),
    use_returned: Type.Boolean(),
    requested_at: Time,
    expires_at: Time,
    dispatched_at: Nullable(Time),
    published_at: Nullable(Time),
    acknowledged_at: Nullable(Time),
    opened_at: Nullable(Time),
    ended_at: Nullable(Time),
  },
  { title: 'DeliveryThen', description: 'An opening, as far as it had come.' },
);
export type DeliveryThen = Static<typeof DeliveryThen>;

const Email = Nullable(Type.String({ description: 'As it is known today, to those who may read accounts.' }));
export const PastDevice = Closed({ ...past, device_id: Id, owner_email: Email, state: DeviceThen }, { title: 'PastDevice' });
export const PastLink = Closed({ ...past, link_id: Id, device_id: Id, owner_email: Email, state: LinkThen }, { title: 'PastLink' });
export const PastUser = Closed({ ...past, user_id: Id, email: Email, state: UserThen }, { title: 'PastUser' });
export const PastDelivery = Closed({ ...past, unlock_id: Id, device_id: Id, state: DeliveryThen }, { title: 'PastDelivery' });

const Point = Closed({ as_of: Time, exists: Type.Boolean(), ends_with: Nullable(Ended) });
export const Difference = Closed(
  {
    past: past.past,
    id: Id,
    from: Point,
    to: Point,
    changes: Type.Array(
      Closed({
        path: Type.String({ description: 'JSON pointer into the state. Replaced one after another in the first state, they make the second.' }),
        before: Type.Unknown(),
        after: Type.Unknown(),
        event: Nullable(EventRef),
      }),
      { description: '`event` changed the fact last; null where no event did, but the time that passed.' },
    ),
  },
  { title: 'Difference' },
);

export const Why = Closed(
  {
    ...past,
    device_id: Id,
    link_id: Nullable(Id),
    unlock_id: Nullable(Id),
    asked_by: Cause,
    outcome: Type.Enum(['allowed', 'joined', 'refused'], { description: '`joined`: the same person’s opening is under way, and this one would be that one.' }),
    reason: Nullable(Type.String({ description: 'The rule: the code of the refusal.' })),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
    decided_by: Nullable(
      Closed({
        event: EventRef,
        before: Type.String({ description: 'What the answer to the same question was before that event: `allowed`, `joined`, or the code of a refusal.' }),
      }),
    ),
    facts: Type.Array(
      Closed({ path: Type.String({ description: 'JSON pointer into the state of the box; what begins with `/link/` is the link.' }), value: Type.Unknown(), event: Nullable(EventRef) }),
      { description: 'What the rule looked at, each with the event that made it so.' },
    ),
    recorded: Nullable(
      Closed({
        outcome: Type.Enum(['allowed', 'refused']),
        reason: Nullable(Type.String()),
        agrees: Type.Boolean({ description: 'Whether the rules, asked again on the state of then, answer what was answered.' }),
        event: EventRef,
      }),
    ),
    assumed: Type.Array(Type.String(), { description: 'What is not in the log, and was taken to be so.' }),
  },
  { title: 'Why' },
);
