import type { Fold, Place } from '../audit/history/fold.ts';
import { HistoryBusy, HistoryNotReady, type AggregateCategory, type Past, type Until } from '../audit/history/history.ts';
import { deviceStream } from '../domain/device/stream.ts';
import { isSealed, type Uuid } from '../domain/kernel.ts';
import { instant } from '../platform/clock.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import type { LinkRow, UnlockRow } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import { ApiError, invalid, notFound, unavailable } from './errors.ts';
import { instantFrom } from './time.ts';

/**
 * Asking for states of the past (docs/decisions/0119): which moment is meant, what there was then, and how an answer says of when
 * it is and by which events.
 */

/** What a caller means by a moment. */
export interface Asked {
  readonly until: Until;
  /** Undefined: that of the event at the position. */
  readonly instant: string | undefined;
}

export interface There {
  readonly fold: Fold;
  readonly end: Place;
}

/** @throws ApiError 400 */
export function momentOf(api: Api, field: string, text: string | undefined): Asked {
  const now = instant(api.deps.clock.now());
  if (text === undefined) return { until: { kind: 'instant', at: now }, instant: now };
  const position = api.positions.decode(text);
  if (position !== undefined) return { until: { kind: 'position', position }, instant: undefined };
  if (!/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:?\d{2})$/i.test(text) || Number.isNaN(Date.parse(text))) {
    throw invalid(field, 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log');
  }
  const at = instantFrom(text);
  if (at > now) throw invalid(field, 'is in the future');
  return { until: { kind: 'instant', at }, instant: at };
}

export const nowOf = (asked: Asked, end: Place): string => asked.instant ?? end.occurredAt;

export async function pastOf(api: Api, category: AggregateCategory, id: Uuid, { until }: Asked, links: readonly Uuid[] = []): Promise<Past> {
  try {
    return await api.deps.history.at(category, id.toLowerCase(), until, links);
  } catch (error) {
    if (error instanceof HistoryBusy) throw unavailable('Too many ask for states of the past. Try again');
    if (error instanceof HistoryNotReady) throw notReady();
    throw error;
  }
}

export const notReady = () => unavailable('This history is being prepared. Try again', 5);

/** @throws ApiError 404 */
export function there(past: Past, what: string, never: string): There {
  if (past.kind === 'state') return past;
  throw past.kind === 'never' ? notFound(never) : notYet(what, past.begins.occurredAt);
}

export const notYet = (what: string, since: string) => new ApiError('not_found', `There was no such ${what} yet`, { exists_since: since });

export async function linkOf({ deps }: Api, linkId: string): Promise<LinkRow> {
  const link = await deps.reads.links.byId(linkId.toLowerCase());
  if (link === undefined) throw notFound('Access link not found');
  return link;
}

export async function unlockOf({ deps }: Api, unlockId: string): Promise<UnlockRow> {
  const unlock = await deps.reads.unlocks.byId(unlockId.toLowerCase());
  if (unlock === undefined) throw notFound('Command not found');
  return unlock;
}

/** More than any opening has: request, dispatch, answers, settlement. */
const EVENTS_OF_ONE = 100;

/** The events of one opening: where they are says the audit log, what they are the log. */
export async function eventsOf({ deps }: Api, deviceId: Uuid, unlockId: Uuid): Promise<readonly RecordedEvent[]> {
  const { rows } = await deps.reads.audit.list({ unlockId, deviceId }, { limit: EVENTS_OF_ONE, offset: 0 });
  const own = rows.filter(({ stream }) => stream === deviceStream(deviceId));
  const events = await Promise.all(own.map(async ({ stream, revision, data }) => withWords(await deps.history.event(stream, revision), data)));
  return events.filter((event) => event !== undefined).sort((a, b) => Number(a.revision - b.revision));
}

/** What an administrator said is sealed in the log; the audit log has it as long as it can be read. */
function withWords(event: RecordedEvent | undefined, shown: Readonly<Record<string, unknown>>): RecordedEvent | undefined {
  if (event === undefined) return undefined;
  const words = Object.entries(event.data).flatMap(([name, value]) => (isSealed(value) && typeof shown[name] === 'string' ? [[name, shown[name]] as const] : []));
  return words.length === 0 ? event : { ...event, data: { ...event.data, ...Object.fromEntries(words) } };
}

export function endView(api: Api, { eventId, type, occurredAt, position }: Place) {
  return { event_id: eventId, type, at: occurredAt, position: api.positions.encode(position) };
}

export function saidOf(api: Api, asked: Asked, end: Place) {
  return { past: true as const, as_of: nowOf(asked, end), ends_with: endView(api, end) };
}

export function eventView(api: Api, { eventId, type, metadata, position }: RecordedEvent) {
  const { kind, id } = metadata.actor;
  return { event_id: eventId, type, at: metadata.occurredAt, actor: { kind, id }, position: api.positions.encode(position) };
}

/** Each event is read once, however many facts are of it. */
export function eventsByRevision(api: Api, stream: string) {
  const read = new Map<number, Promise<RecordedEvent | undefined>>();
  return async (revision: number | undefined) => {
    if (revision === undefined || revision < 0) return null;
    let event = read.get(revision);
    if (event === undefined) read.set(revision, (event = api.deps.history.event(stream, BigInt(revision))));
    const found = await event;
    return found === undefined ? null : eventView(api, found);
  };
}
