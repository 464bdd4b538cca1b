import { ROOT_CONTEXT, SpanKind as Kind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TraceIdRatioBasedSampler, TracerProvider, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import { failureOf, withoutSecrets, type Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import { parseTraceparent, type SpanKind, type Tracing } from './tracing.ts';

export interface OtelOptions {
  /** Of the collector, as OTEL_EXPORTER_OTLP_ENDPOINT has it: `/v1/traces` is added. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly version: string;
  /** What part of all traces is recorded, 0 to 1. */
  readonly ratio: number;
  readonly environment: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** How long spans wait to be sent together. Default 5,000. */
  readonly delayMs?: number;
}

export interface OtelTracing extends Tracing {
  /** Sends what is left. */
  stop(): Promise<void>;
}

const kinds: Readonly<Record<SpanKind, Kind>> = { server: Kind.SERVER, internal: Kind.INTERNAL, producer: Kind.PRODUCER, consumer: Kind.CONSUMER };
const SEND_WITHIN_MS = 5_000;
const COMPLAIN_EVERY_MS = 60_000;

/**
 * OpenTelemetry, in the one file that imports it; loaded only where a collector is named. Parents are given explicitly, so
 * nothing is patched and no context follows promises. Whether a trace is recorded follows from its id: all processes
 * decide alike, and no caller can force or prevent it. A collector that is away costs nothing but spans.
 */
export function createOtelTracing(options: OtelOptions): OtelTracing {
  const { endpoint, headers, serviceName, version, ratio, environment, delayMs = 5_000 } = options;
  const exporter = counting(new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces`, headers: { ...headers }, timeoutMillis: SEND_WITHIN_MS }), options);
  const provider = new TracerProvider({
    sampler: new TraceIdRatioBasedSampler(ratio),
    resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': version, 'deployment.environment.name': environment }),
    spanLimits: { attributeCountLimit: 32, attributeValueLengthLimit: 500, eventCountLimit: 8 },
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: delayMs, exportTimeoutMillis: SEND_WITHIN_MS, maxQueueSize: 4_096, maxExportBatchSize: 512 })],
  });
  const tracer = provider.getTracer('loqey', version);

  return {
    on: true,
    begin(name, kind, parent, attributes = {}) {
      const from = parseTraceparent(parent);
      const context = from === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { traceId: from.traceId, spanId: from.spanId, traceFlags: from.flags, isRemote: true });
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes: { ...attributes } }, context);
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        rename: (newName) => void span.updateName(newName),
        set: (more) => void span.setAttributes({ ...more }),
        fail(error) {
          const { type, message } = failureOf(error);
          span.recordException({ name: type, message: withoutSecrets(message) });
          span.setStatus({ code: SpanStatusCode.ERROR });
        },
        end: () => span.end(),
      };
    },
    stop: () => provider.shutdown().catch(() => undefined),
  };
}

/** The library keeps its failures to itself. */
function counting(exporter: SpanExporter, { logger: parent, metrics }: OtelOptions): SpanExporter {
  const logger = parent.child({ component: 'tracing' });
  const sent = metrics.counter('loqey_spans_total', 'Spans of traces, by whether the collector took them', ['outcome']);
  let complainedAt = -COMPLAIN_EVERY_MS;
  return {
    export(spans: ReadableSpan[], done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== 0;
        sent.inc({ outcome: failed ? 'lost' : 'sent' }, spans.length);
        if (failed && performance.now() - complainedAt > COMPLAIN_EVERY_MS) {
          complainedAt = performance.now();
          logger.warn({ err: result.error }, 'The collector does not take traces; they are lost, nothing else is');
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}
