import { WrongExpectedRevision, type EventStore, type RecordedEvent } from '../../src/platform/event-store/port.ts';

/** As much of an event store as the command side needs, in memory: for models that run thousands of rounds. */
export function createMemoryStore(now: () => number): EventStore & { readonly all: readonly RecordedEvent[] } {
  const all: RecordedEvent[] = [];
  const streams = new Map<string, RecordedEvent[]>();

  return {
    all,
    async append(stream, expected, events) {
      const stored = streams.get(stream) ?? [];
      const known = stored.filter(({ eventId }) => events.some((event) => event.eventId === eventId));
      if (known.length === events.length) return { revision: known.at(-1)!.revision, position: known.at(-1)!.position };
      const actual = stored.at(-1)?.revision;
      if (known.length > 0 || (expected !== 'any' && (expected === 'no_stream' ? undefined : expected) !== actual)) throw new WrongExpectedRevision(stream, expected, actual);
      for (const event of events) {
        // As text and back: nobody shares an object with the log.
        const recorded: RecordedEvent = {
          ...(JSON.parse(JSON.stringify(event)) as typeof event),
          stream,
          revision: BigInt(stored.length),
          position: BigInt(all.length + 1),
          recordedAt: new Date(now()).toISOString(),
        };
        stored.push(recorded);
        all.push(recorded);
      }
      streams.set(stream, stored);
      return { revision: BigInt(stored.length - 1), position: BigInt(all.length) };
    },
    async *readStream(stream, { direction = 'forwards', from, limit = Infinity } = {}) {
      const stored = streams.get(stream) ?? [];
      const events = direction === 'forwards' ? stored.slice(Number(from ?? 0n)) : stored.slice(0, from === undefined ? undefined : Number(from) + 1).reverse();
      yield* events.slice(0, limit);
    },
    async *readAll() {
      yield* all;
    },
    subscribeAll() {
      throw new Error('Nothing subscribes to a memory store');
    },
    head: async () => (all.length === 0 ? undefined : BigInt(all.length)),
    readStreamMetadata: async () => ({}),
    writeStreamMetadata: async () => undefined,
    start: async () => undefined,
    stop: async () => undefined,
  };
}
