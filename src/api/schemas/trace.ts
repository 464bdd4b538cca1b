import { Type } from 'typebox';
import { Closed, Id, Nullable, Time } from './common.ts';

export const StepName = Type.Enum(['request', 'asked', 'dispatched', 'published', 'acknowledged', 'confirmed', 'delivered']);

const Step = Closed(
  {
    step: Type.Unsafe<'request' | 'asked' | 'dispatched' | 'published' | 'acknowledged' | 'confirmed' | 'delivered'>({
      ...StepName,
      description:
        '`request`: the HTTP request came in. `asked`: it was allowed, and takes a use of the link. `dispatched`: the claim, before the first byte leaves. `published`: the broker has it. `acknowledged`: the box has it. `confirmed`: the bolt moved. `delivered`: the courier’s delivery is complete.',
    }),
    state: Type.Enum(['done', 'untold', 'waiting', 'broken', 'not_reached'], {
      description: '`untold`: it came further, so this was, but nobody said when. `waiting`: what comes next. `broken`: here it ended.',
    }),
    at: Nullable(Time),
    offset_ms: Nullable(Type.Number({ description: 'Since `started_at`.' })),
    latency_ms: Nullable(Type.Number({ description: 'Since the step before it that has a time.' })),
    event_id: Nullable(Id),
    note: Nullable(Type.String()),
  },
  { title: 'TraceStep' },
);

export const Trace = Closed({
  unlock_id: Type.Unsafe<string>({ ...Id, description: 'Of a refused request: the id that its opening would have had.' }),
  device_id: Id,
  status: Type.Enum(['requested', 'dispatched', 'published', 'acknowledged', 'opened', 'failed', 'unknown', 'cancelled', 'expired', 'refused']),
  correlation_id: Id,
  started_at: Type.Unsafe<string>({ ...Time, description: 'When the request came in; where that is not known, its first event.' }),
  duration_ms: Type.Number(),
  request: Closed({
    id: Type.Unsafe<string>({ ...Id, description: 'Also the `trace_id` of its answer, where the client named no trace of its own.' }),
    at: Nullable(Time),
    actor: Closed({ kind: Type.String(), id: Type.String() }),
    source: Nullable(Type.String()),
    ip_address: Nullable(Type.String()),
    user_agent: Nullable(Type.String()),
  }),
  link: Nullable(Closed({ link_id: Id, use: Nullable(Type.Integer({ description: 'Which use of the link this was.' })), max_uses: Type.Integer() })),
  steps: Type.Array(Step),
  standing: Closed(
    {
      is: Type.Enum(['complete', 'under_way', 'broken']),
      step: Type.Unsafe<string>({ ...StepName, description: 'The last one, the next one, or the one at which it broke.' }),
      since: Time,
      text: Type.String(),
    },
    { description: 'Where it is, or where it broke, in words.' },
  ),
  hops: Type.Array(
    Closed({
      hop: Type.String(),
      type: Type.String(),
      at: Time,
      recorded_at: Time,
      offset_ms: Type.Number({ description: 'Since `started_at`.' }),
      actor: Closed({ kind: Type.String(), id: Type.String() }),
      source: Type.String(),
      event_id: Id,
      causation_id: Id,
      position: Type.String(),
      details: Type.Record(Type.String(), Type.Unknown()),
    }),
    { description: 'Every event that came of the request, in the order of the log.' },
  ),
});
