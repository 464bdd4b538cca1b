import { Type } from 'typebox';
import { Closed, Id, Nullable, Time } from './common.ts';

const Figures = Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean(), Type.String()]));

export const Job = Closed(
  {
    name: Type.String(),
    summary: Type.String(),
    schedule: Nullable(Type.String({ description: 'Five fields of cron, UTC. null: it runs when there is something to do.' })),
    state: Type.Enum(['idle', 'waiting', 'running', 'retrying', 'failed']),
    next_run: Nullable(Time),
    last_run: Nullable(
      Closed({
        started_at: Time,
        finished_at: Nullable(Time),
        duration_ms: Nullable(Type.Integer()),
        error: Nullable(Type.String({ description: 'Why the last try failed; null where it did not.' })),
      }),
    ),
    result: Nullable(Type.Unsafe<Record<string, number | boolean | string>>({ ...Figures, description: 'Of the last run that succeeded.' })),
    succeeded_at: Nullable(Time),
    runs: Type.Integer(),
    failures: Type.Integer(),
    failures_in_a_row: Type.Integer(),
    waiting: Type.Integer({ description: 'Runs that wait, for their time or for another try.' }),
    given_up: Type.Integer({ description: 'Runs that failed with every try, kept to be looked at.' }),
  },
  { title: 'Job' },
);

export const JobAsked = Closed({ message: Type.String(), name: Type.String(), started: Type.Boolean(), status_url: Type.String() });

export const BoxHealth = Closed({
  device_id: Id,
  is_online: Type.Boolean(),
  last_heartbeat: Nullable(Time),
  went_offline: Type.Boolean({ description: 'True where this look found it out.' }),
});
