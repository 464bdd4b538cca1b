import { Type, type TProperties } from 'typebox';
import { AuditQuery } from './admin.ts';
import { Closed, words } from './common.ts';

const { before: _before, after: _after, date_from: _from, date_to: _to, ...filters } = AuditQuery;
/** Those of the audit log that do not say where in it. */
export const playbackFilters = filters;

/** Of the address of a playback, besides the filters of the audit log. */
export const PlaybackQuery = {
  from: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Where it begins: an ISO-8601 time with a time zone, or a position of the log, that included. Default: the beginning.' })),
  to: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Where it ends: a time, that excluded, or a position, that included. Default: the end of the log.' })),
  speed: Type.Optional(Type.String({ pattern: '^(?:max|(?!0*(?:\\.0*)?$)[0-9]{1,6}(?:\\.[0-9]{1,3})?)$', maxLength: 16, description: 'How many times faster than it was: `0.5`, `1` (default), `1000`, or `max`.', ...words('must be a number above 0, or max') })),
  max_wait: Type.Optional(Type.Number({ minimum: 0, maximum: 86_400, description: 'Seconds that it waits for a line at most, however long nothing happened. Default 2.' })),
  paused: Type.Optional(Type.Boolean({ description: 'It stands still at first.' })),
};

const Speed = Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }), Type.Literal('max')], words('must be a number above 0, or max'));

const command = <const T extends string, P extends TProperties>(type: T, title: string, description: string, members: P) =>
  Object.assign(Closed({ type: Type.Literal(type), ...members }), { title, description });

/** What a client says over the socket of a playback. */
export const playbackCommands = [
  command('play', 'PlaybackPlay', 'Goes on; from the beginning where it has ended.', {}),
  command('pause', 'PlaybackPause', 'Stands still.', {}),
  command('speed', 'PlaybackSpeed', 'At another speed from here on.', { speed: Speed }),
  command('seek', 'PlaybackSeek', 'Goes on from there; where it stands still, the line there is shown.', {
    to: Type.String({ minLength: 1, maxLength: 64, description: 'A time or a position, as `from`.' }),
  }),
  command('step', 'PlaybackStep', 'Shows so many lines at once, and pauses.', { lines: Type.Integer({ minimum: -1, maximum: 1_000, description: '-1: back to the line before.' }) }),
] as const;
