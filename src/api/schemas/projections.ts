import { Type } from 'typebox';
import { Closed, Id, Nullable, Time } from './common.ts';

const Position = Type.String({ description: 'Of the log. Opaque, and as one is.' });

const Poison = Closed(
  { position: Position, event_id: Id, type: Type.String(), stream: Type.String(), message: Type.String() },
  { title: 'Poison', description: 'The event that it cannot take.' },
);

const Digest = Closed({ rows: Type.Integer(), hash: Type.String({ description: 'Over the common columns of every row; empty where there is nothing to compare with.' }) });
const Which = Closed({ version: Type.Integer(), generation: Type.Integer() });

export const Comparison = Closed(
  {
    equal: Type.Boolean(),
    position: Position,
    live: Which,
    next: Which,
    tables: Type.Array(
      Closed({
        table: Type.String(),
        equal: Type.Boolean(),
        live: Nullable(Digest),
        next: Nullable(Digest),
        only_live: Type.Array(Type.String(), { description: 'Columns that the new one has not, or in another type: not compared.' }),
        only_next: Type.Array(Type.String(), { description: 'Columns that the live one has not: not compared.' }),
        differing: Type.Integer({ description: 'Rows that differ.' }),
        rows: Type.Array(Closed({ key: Type.String(), kind: Type.Enum(['missing', 'added', 'changed']), columns: Type.Array(Type.String()) }), {
          description: 'The first of them, by key. Never what is in them.',
        }),
      }),
    ),
  },
  { title: 'Comparison', description: 'Both generations at the same position of the log.' },
);

const Progress = Closed({
  phase: Type.Enum(['load', 'indexes', 'compare', 'switch']),
  percent: Type.Number({ description: 'From positions of the log.' }),
  events: Type.Integer({ description: 'Read so far.' }),
  events_total: Type.Integer(),
  per_second: Type.Number(),
  seconds_left: Nullable(Type.Number()),
});

export const ProjectionRun = Closed(
  {
    id: Id,
    action: Type.Enum(['rebuild', 'compare', 'switch', 'rollback']),
    projections: Type.Array(Type.String()),
    state: Type.Enum(['waiting', 'running', 'done', 'failed', 'cancelled']),
    kind: Type.Enum(['asked', 'local', 'upgrade'], { description: 'asked: of the server; local: by a command line; upgrade: by a program with another version.' }),
    asked_by: Type.String(),
    asked_at: Time,
    started_at: Nullable(Time),
    finished_at: Nullable(Time),
    progress: Nullable(Progress),
    results: Nullable(
      Type.Array(
        Closed({
          name: Type.String(),
          version: Type.Integer(),
          generation: Type.Integer(),
          outcome: Type.Enum(['switched', 'ready', 'equal', 'different', 'failed'], {
            description: 'ready: it waits. equal: as the live one. different: it waits, and is not switched to unless differences are accepted. failed: everything is as it was.',
          }),
          events: Type.Integer(),
          seconds: Type.Number(),
          problem: Nullable(Poison),
          comparison: Nullable(Comparison),
        }),
      ),
    ),
    error: Nullable(Type.String()),
  },
  { title: 'ProjectionRun' },
);

export const Projection = Closed(
  {
    name: Type.String(),
    group: Type.Enum(['live', 'background']),
    state: Type.Enum(['running', 'catching_up', 'stopped', 'missing', 'outdated'], {
      description: 'stopped: before an event that it cannot take. missing: not built yet. outdated: this program has another version, which is built beside the one that is read.',
    }),
    position: Nullable(Position),
    behind: Type.Number({ description: 'Positions of the log that it has not seen.' }),
    lag_seconds: Type.Number({ description: 'Age of the oldest event that it has not applied.' }),
    last_event_at: Nullable(Time),
    version: Nullable(Type.Integer({ description: 'Of what is read.' })),
    program_version: Type.Integer({ description: 'Of this program.' }),
    generation: Nullable(Type.Integer()),
    size_bytes: Type.Number({ description: 'Of all generations.' }),
    error: Nullable(Poison),
    generations: Type.Array(
      Closed({
        generation: Type.Integer(),
        version: Type.Integer(),
        state: Type.Enum(['building', 'ready', 'active', 'retired'], { description: 'ready: it waits to be switched to. retired: it was replaced, and can be gone back to where it is resumable.' }),
        position: Nullable(Position),
        since: Time,
        until: Nullable(Time),
        resumable: Type.Boolean(),
        size_bytes: Type.Number(),
      }),
    ),
    run: Nullable(ProjectionRun),
  },
  { title: 'Projection' },
);

export const Projections = Closed({ head: Nullable(Position), projections: Type.Array(Projection) });
