import { START, jsonEvent, type END, type EventData, type ReadPosition, type ResolvedEvent } from '@eventstore/db-client';
import { MALFORMED_SCHEMA_VERSION, type EventToAppend, type Json, type JsonObject, type RecordedEvent, type StreamMetadata } from './port.ts';

/** All positions of EventStoreDB's events since version 20 have commit = prepare. */
export function positionOf<T extends typeof START | typeof END>(position: bigint | undefined, otherwise: T): ReadPosition {
  if (position === undefined || position === 0n) return position === 0n ? START : otherwise;
  return { commit: position, prepare: position };
}

export function toClient({ eventId, type, data, metadata }: EventToAppend): EventData {
  return jsonEvent({ id: eventId, type, data: data as Record<string, unknown>, metadata: metadata as unknown as Record<string, unknown> });
}

export function decode({ event, commitPosition }: ResolvedEvent): RecordedEvent | undefined {
  if (event === undefined) return undefined; // a link whose event is gone
  const recorded = {
    stream: event.streamId,
    revision: event.revision,
    position: event.position?.commit ?? commitPosition ?? 0n,
    eventId: event.id,
    type: event.type,
    recordedAt: event.created.toISOString(),
  };
  const data: unknown = event.data;
  const metadata: unknown = event.metadata;
  if (isObject(data) && isObject(metadata)) return { ...recorded, data, metadata: metadata as unknown as RecordedEvent['metadata'] };
  return { ...recorded, ...malformed(data, metadata) };
}

/** The client hands out bytes, or the text that it could not parse. */
function malformed(data: unknown, metadata: unknown): Pick<RecordedEvent, 'data' | 'metadata'> {
  const text = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : JSON.stringify(value));
  return {
    data: isObject(data) ? data : { $malformed: text(data) ?? '' },
    metadata: { ...(isObject(metadata) ? metadata : {}), schemaVersion: MALFORMED_SCHEMA_VERSION } as unknown as RecordedEvent['metadata'],
  };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

export function fromStored(data: Readonly<Record<string, Json | undefined>>): StreamMetadata {
  const { $maxCount, $maxAge, ...custom } = data;
  return {
    ...(typeof $maxCount === 'number' ? { maxCount: $maxCount } : {}),
    ...(typeof $maxAge === 'number' ? { maxAgeSeconds: $maxAge } : {}),
    ...(Object.keys(custom).length > 0 ? { custom } : {}),
  };
}
