import type { EventMetadata } from '../domain/kernel.ts';
import type { EventStore } from './event-store/port.ts';
import type { Relay, RelayMessage } from './relay/port.ts';

/**
 * Traces as W3C and OpenTelemetry have them, behind two verbs. Where a step came from travels as text (`traceparent`), in
 * events and messages, never in hidden state: a trace goes on in another process, and after a restart.
 */
export interface Tracing {
  /** False: nothing is recorded; `begin` gives the parent on as it is. */
  readonly on: boolean;
  begin(name: string, kind: SpanKind, parent: string | undefined, attributes?: Attributes): Span;
}

export type SpanKind = 'server' | 'internal' | 'producer' | 'consumer';
/** Ids, names and counts. Nothing that opens something and nothing personal: traces leave the house. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  /** What the next step is told. */
  readonly traceparent: string | undefined;
  rename(name: string): void;
  set(attributes: Attributes): void;
  fail(error: unknown): void;
  /** Once; what is set later is lost. */
  end(): void;
}

export const noTracing: Tracing = {
  on: false,
  begin: (_name, _kind, parent) => ({ traceparent: parent, rename: () => undefined, set: () => undefined, fail: () => undefined, end: () => undefined }),
};

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** Undefined for what is no traceparent, also where its ids are all zeros, and for versions that do not exist. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(text ?? '') ?? [];
  if (traceId === '' || text?.startsWith('ff') === true || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

/** Runs `work` as a span of its own. */
export async function traced<T>(
  tracing: Tracing,
  name: string,
  kind: SpanKind,
  parent: string | undefined,
  attributes: Attributes,
  work: (traceparent: string | undefined, span: Span) => Promise<T>,
): Promise<T> {
  const span = tracing.begin(name, kind, parent, attributes);
  try {
    return await work(span.traceparent, span);
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** Each append of events that belong to a trace is a step of it. */
export function tracedStore(store: EventStore, tracing: Tracing): EventStore {
  return withMember(store, 'append', (stream, expected, events, options) => {
    const parent = events.find(({ metadata }: { metadata: EventMetadata }) => metadata.traceparent !== undefined)?.metadata.traceparent;
    if (parent === undefined) return store.append(stream, expected, events, options);
    const attributes = { 'loqey.stream': stream.slice(0, stream.indexOf('-')), 'loqey.events': events.map(({ type }) => type).join(' ') };
    return traced(tracing, 'append', 'internal', parent, attributes, async (_next, span) => {
      const result = await store.append(stream, expected, events, options);
      span.set({ 'loqey.position': `${result.position}` });
      return result;
    });
  });
}

/** Each message that belongs to a trace carries the step that sent it. */
export function tracedRelay(relay: Relay, tracing: Tracing): Relay {
  return withMember(relay, 'publish', async (topic, messages, options) => {
    const spans: Span[] = [];
    const carried = messages.map((message): RelayMessage => {
      const parent = message.headers['traceparent'];
      if (parent === undefined) return message;
      const span = tracing.begin(`send ${topic}`, 'producer', parent, { 'messaging.destination.name': topic });
      spans.push(span);
      return { ...message, headers: { ...message.headers, traceparent: span.traceparent ?? parent } };
    });
    try {
      await relay.publish(topic, carried, options);
    } catch (error) {
      for (const span of spans) span.fail(error);
      throw error;
    } finally {
      for (const span of spans) span.end();
    }
  });
}

/** The same object with one method of another kind; state and the other methods stay its own. */
function withMember<T extends object, K extends keyof T>(target: T, name: K, member: T[K]): T {
  return new Proxy(target, {
    get(object, key) {
      if (key === name) return member;
      const value: unknown = Reflect.get(object, key, object);
      return typeof value === 'function' ? (value.bind(object) as unknown) : value;
    },
  });
}
