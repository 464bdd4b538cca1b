import { Type, type TObject, type TProperties, type TSchema } from 'typebox';
import type { InvalidWords } from '../validate.ts';

/** A closed object: what it does not name is refused in a request and a mistake in an answer. */
export const Closed = <P extends TProperties>(properties: P, options: Record<string, unknown> = {}): TObject<P> =>
  Type.Object(properties, { additionalProperties: false, ...options });

export const Nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

const UUID = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$';
const words = (text: string, message?: string): { 'x-invalid': InvalidWords } => ({
  'x-invalid': message === undefined ? { text } : { text, message },
});

export const Id = Type.String({ pattern: UUID, maxLength: 36, ...words('must be a UUID') });
/** In answers: an instant with milliseconds in UTC. In requests: any offset. */
export const Time = Type.String({ format: 'date-time', maxLength: 40, ...words('must be an ISO-8601 time with a time zone') });

/** The edge of a range of time; a bare date is the whole day in UTC. */
export const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}(T.*)?$', maxLength: 40, ...words('must be a date or an ISO-8601 time') });

/** Text that people write: no control characters (a NUL cannot be stored), no broken surrogates. */
export const Text = (max: number, min = 1) =>
  Type.String({ minLength: min, maxLength: max, pattern: '^[^\\p{Cc}\\p{Cs}]*$', ...words(`must be ${min} to ${max} printable characters`) });
/** The same with line breaks. */
export const Prose = (max: number) =>
  Type.String({ maxLength: max, pattern: '^(?:[^\\p{Cc}\\p{Cs}]|[\\r\\n\\t])*$', ...words(`must be at most ${max} characters of text`) });

export const Email = Type.String({ format: 'email', minLength: 3, maxLength: 254, ...words('must be a valid email address') });
/** More than 72 bytes would be cut off by bcrypt; bytes are counted by the handler. */
export const NewPassword = Type.String({ minLength: 8, maxLength: 72, pattern: '^[^\\u0000\\p{Cs}]*$', ...words('must have 8 to 72 characters') });
export const Password = Type.String({ minLength: 1, maxLength: 200 });
export const Pin = Type.String({ pattern: '^[0-9]{6}$', maxLength: 10, ...words('PIN must be 6 digits', 'Invalid PIN format') });
export const Serial = Type.String({
  pattern: '^\\s*[A-Za-z0-9][A-Za-z0-9-]{3,49}\\s*$',
  maxLength: 60,
  ...words('must be 4 to 50 letters, digits and hyphens'),
});

export const DeviceId = Closed({ device_id: Id });
export const UserId = Closed({ user_id: Id });
/** An owner may name a link by its id or its token. */
export const LinkId = Closed({ link_id: Type.String({ minLength: 1, maxLength: 255 }) });
export const LinkToken = Closed({ link_token: Type.String({ minLength: 1, maxLength: 255 }) });

export const LockState = Type.Enum(['locked', 'unlocked', 'unknown', 'jammed', 'error']);
export const Lifecycle = Type.Enum(['available', 'assigned', 'active', 'maintenance', 'decommissioned']);

export const Message = Closed({ message: Type.String() });

export const InFlight = Closed({ command_id: Id, expires_at: Time }, { description: 'An opening that was under way and could not be stopped any more.' });

export const ErrorBody = Type.Object(
  {
    error: Type.String(),
    message: Type.String(),
    details: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
    trace_id: Type.Optional(Type.String()),
  },
  { additionalProperties: false, title: 'Error' },
);

/** Of a list whose cursors are places in the log. */
export const Cursor = Type.Optional(
  Type.String({ minLength: 1, maxLength: 64, description: 'Where to go on: `X-Next-Cursor` of the answer before.' }),
);

/** `limit` and `offset` give a bare array; `page` or `page_size` the envelope with counts. */
export const paging = (defaultLimit: number, maxLimit = 100) => ({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: maxLimit, description: `Default ${defaultLimit}.` })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000 })),
  cursor: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,9}$', maxLength: 64, description: 'Where to go on: `X-Next-Cursor` of the answer before.', ...words('must be an X-Next-Cursor of this list') }),
  ),
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'From 1. The answer is then an envelope with counts.' })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: maxLimit, description: 'Default 20.' })),
});
export type PagingMembers = ReturnType<typeof paging>;

export const ListOf = <S extends TSchema>(row: S) =>
  Type.Union([
    Type.Array(row),
    Closed({
      count: Type.Integer(),
      next: Nullable(Type.String()),
      previous: Nullable(Type.String()),
      total_pages: Type.Integer(),
      current_page: Type.Integer(),
      results: Type.Array(row),
    }),
  ]);

export { words };
