import { traced, type Tracing } from '../platform/tracing.ts';
import type { Aggregates } from './handle.ts';

/** Each command that belongs to a trace is a step of it, and what it appends says so. */
export function tracedBus(bus: Aggregates, tracing: Tracing): Aggregates {
  return {
    ...bus,
    execute(command, context) {
      if (context.traceparent === undefined) return bus.execute(command, context);
      const attributes = { 'loqey.command': command.type, 'loqey.correlation_id': context.correlationId };
      return traced(tracing, `command ${command.type}`, 'internal', context.traceparent, attributes, async (traceparent, span) => {
        const outcome = await bus.execute(command, traceparent === undefined ? context : { ...context, traceparent });
        span.set({ 'loqey.outcome': outcome.kind === 'refused' ? outcome.refusal.code : outcome.repeated ? 'repeated' : 'accepted' });
        return outcome;
      });
    },
  };
}
