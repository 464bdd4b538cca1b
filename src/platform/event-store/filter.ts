import type { EventFilter } from './port.ts';

export type Matches = (event: { readonly stream: string; readonly type: string }) => boolean;

/** System events (`$…` streams and types) never match. @throws RangeError when a filter names both or nothing */
export function matcher(filter: EventFilter | undefined): Matches {
  if (filter === undefined) return (event) => !isSystem(event);
  const { streamPrefixes, eventTypes } = filter;
  if (streamPrefixes !== undefined && eventTypes === undefined && streamPrefixes.length > 0) {
    return (event) => !isSystem(event) && streamPrefixes.some((prefix) => event.stream.startsWith(prefix));
  }
  if (eventTypes !== undefined && streamPrefixes === undefined && eventTypes.length > 0) {
    const types = new Set(eventTypes);
    return (event) => !isSystem(event) && types.has(event.type);
  }
  throw new RangeError('A filter names stream prefixes or event types: one of the two, and at least one name');
}

export function isSystem({ stream, type }: { stream: string; type: string }): boolean {
  return stream.startsWith('$') || type.startsWith('$');
}
