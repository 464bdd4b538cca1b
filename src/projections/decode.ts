import type { Recorded } from '../domain/events.ts';
import { decodeEvent } from '../domain/registry.ts';
import type { Decode } from './member.ts';

/** A stored event in today's shape, with its place in the log. @throws UnknownEvent */
export const decode: Decode = (stored) => {
  const { eventId, stream, revision, position, recordedAt, metadata } = stored;
  return { ...decodeEvent(stored), eventId, stream, revision, position, recordedAt, metadata } as Recorded;
};
