import type { EventToAppend, ExpectedRevision } from './port.ts';

/** EventStoreDB's own default for one append; the same everywhere, so that a log can move between stores. */
export const MAX_APPEND_BYTES = 1024 * 1024;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
// oxlint-disable-next-line no-control-regex -- a NUL in a name would fail the whole batch in PostgreSQL
const unsafeName = /[\u0000-\u001f\u007f]/;

export interface EncodedEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

/**
 * Checks an append before it is queued, so that a bad one fails alone, and turns it into the text that is stored.
 *
 * @throws TypeError or RangeError naming what is wrong: an error of the caller's program, never of a user
 */
export function encodeAppend(
  stream: string,
  expected: ExpectedRevision,
  events: readonly EventToAppend[],
): { events: EncodedEvent[]; bytes: number } {
  if (stream === '' || stream.length > 1000 || unsafeName.test(stream) || !stream.isWellFormed()) {
    throw new TypeError(`Not a stream name: ${JSON.stringify(stream)}`);
  }
  if (typeof expected === 'bigint' && expected < 0n) throw new RangeError(`Not a revision: ${expected}`);
  if (events.length === 0) throw new RangeError(`An append to ${stream} without events`);

  let bytes = 0;
  const encoded = events.map(({ eventId, type, data, metadata }) => {
    if (!uuid.test(eventId)) throw new TypeError(`Not a lower-case UUID: ${JSON.stringify(eventId)}`);
    if (type === '' || type.length > 1000 || unsafeName.test(type) || !type.isWellFormed()) {
      throw new TypeError(`Not an event type: ${JSON.stringify(type)}`);
    }
    if (!isObject(data) || !isObject(metadata)) {
      throw new TypeError(`Data and metadata of ${type} must be JSON objects`);
    }
    const text = { eventId, type, data: JSON.stringify(data), metadata: JSON.stringify(metadata) };
    bytes += Buffer.byteLength(text.data) + Buffer.byteLength(text.metadata);
    return text;
  });
  if (new Set(events.map((event) => event.eventId)).size !== events.length) {
    throw new TypeError(`An append to ${stream} with one event id twice`);
  }
  if (bytes > MAX_APPEND_BYTES) {
    throw new RangeError(`An append of ${bytes} bytes to ${stream}; at most ${MAX_APPEND_BYTES} are possible`);
  }
  return { events: encoded, bytes };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
