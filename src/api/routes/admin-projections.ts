import { present } from '../../domain/kernel.ts';
import { Type } from 'typebox';
import type { Comparison } from '../../projections/comparison.ts';
import type { ProjectionError } from '../../projections/checkpoints.ts';
import type { ProjectionStatus } from '../../projections/admin.ts';
import type { ProjectionRun as Run, RunAction, RunOptions } from '../../projections/runs.ts';
import { ApiError, notFound } from '../errors.ts';
import type { Call } from '../call.ts';
import type { Api } from '../api.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, Prose } from '../schemas/common.ts';
import { Projection, ProjectionRun, Projections } from '../schemas/projections.ts';

const Name = Closed({ name: Type.String({ minLength: 1, maxLength: 100 }) });
const Flag = (description: string) => Type.Optional(Type.Boolean({ description }));
const accepts = { accept_differences: Flag('Switch although the new one differs from the live one.') };

export const adminProjectionRoutes: readonly Route[] = [
  route({
    id: 'adminProjections',
    tag: 'admin',
    summary: 'The read models: how far each is, its generations, and what is built',
    method: 'GET',
    path: '/admin/projections',
    access: admin('system:read'),
    replies: { 200: Projections },
  })(async (_call, { deps }) => {
    const { head, projections } = await deps.projections.status();
    return { status: 200, body: { head: text(head), projections: projections.map(projectionView) } };
  }),

  route({
    id: 'adminProjection',
    tag: 'admin',
    summary: 'One read model',
    method: 'GET',
    path: '/admin/projections/{name}',
    access: admin('system:read'),
    params: Name,
    replies: { 200: Projection },
    errors: [404],
  })(async ({ params: { name } }, { deps }) => {
    const found = (await deps.projections.status()).projections.find((each) => each.name === name);
    if (found === undefined) throw notFound('Read model not found');
    return { status: 200, body: projectionView(found) };
  }),

  route({
    id: 'rebuildProjection',
    tag: 'admin',
    summary: 'Build a read model anew over all past data beside the live one, then switch to it; `all`: every one in one pass',
    method: 'POST',
    path: '/admin/projections/{name}/rebuild',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({
      switch: Flag('Default true. false: it waits until somebody switches to it.'),
      compare: Flag('Hold it against the live one first: a difference leaves it waiting.'),
      ...accepts,
    }),
    bodyOptional: true,
    replies: { 202: ProjectionRun },
    errors: [404, 409],
  })(async (call, api) => {
    const { switch: switches, compare, accept_differences: acceptDifferences } = call.body;
    return { status: 202, body: await asked(call, api, 'rebuild', present({ switch: switches === false ? switches : undefined, compare: compare === true ? compare : undefined, acceptDifferences: acceptDifferences === true ? acceptDifferences : undefined })) };
  }),

  route({
    id: 'compareProjection',
    tag: 'admin',
    summary: 'Hold the generation that waits, or a new one, against the live one at the same position',
    method: 'POST',
    path: '/admin/projections/{name}/compare',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({}),
    bodyOptional: true,
    replies: { 202: ProjectionRun },
    errors: [404, 409],
  })(async (call, api) => ({ status: 202, body: await asked(call, api, 'compare', {}) })),

  route({
    id: 'switchProjection',
    tag: 'admin',
    summary: 'Bring the generation that waits up to date and read it from then on; a difference from the live one stops it',
    method: 'POST',
    path: '/admin/projections/{name}/switch',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({ generation: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: 'Another one than the one that waits.' })), ...accepts }),
    bodyOptional: true,
    replies: { 202: ProjectionRun },
    errors: [404, 409],
  })(async (call, api) => {
    const { generation, accept_differences: acceptDifferences } = call.body;
    return { status: 202, body: await asked(call, api, 'switch', present({ generation, acceptDifferences: acceptDifferences === true ? acceptDifferences : undefined })) };
  }),

  route({
    id: 'rollbackProjection',
    tag: 'admin',
    summary: 'Go back to the generation before this one, for 24 hours after it was replaced; it is brought up to date first',
    method: 'POST',
    path: '/admin/projections/{name}/rollback',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({}),
    bodyOptional: true,
    replies: { 202: ProjectionRun },
    errors: [404, 409],
  })(async (call, api) => ({ status: 202, body: await asked(call, api, 'rollback', {}) })),

  route({
    id: 'cancelProjectionRun',
    tag: 'admin',
    summary: 'Take back what waits or runs for a read model; the live one stays as it is',
    method: 'POST',
    path: '/admin/projections/{name}/cancel',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({}),
    bodyOptional: true,
    replies: { 202: ProjectionRun },
    errors: [404, 409],
  })(async (call, { deps }) => {
    const run = await inWords(() => deps.projections.cancel(call.params.name, call.context()));
    if (run === undefined) throw new ApiError('conflict', `Nothing waits or runs for ${call.params.name}`);
    return { status: 202, body: runView(run) };
  }),

  route({
    id: 'skipProjectionEvent',
    tag: 'admin',
    summary: 'Let a stopped read model go on after the event that it stands before; who and why is recorded',
    method: 'POST',
    path: '/admin/projections/{name}/skip',
    access: admin('projections:manage'),
    params: Name,
    body: Closed({ position: Type.String({ pattern: '^[0-9]{1,20}$', description: 'Of the event, as the read model names it.' }), reason: { ...Prose(500), description: 'Kept in the audit log for ever, in clear: name nobody in it.' } }),
    replies: { 200: Projection },
    errors: [404, 409],
  })(async (call, { deps }) => {
    const { position, reason } = call.body;
    const { name } = call.params;
    await inWords(() => deps.projections.skip(name, BigInt(position), { ...call.context(), reason }));
    const found = (await deps.projections.status()).projections.find((each) => each.name === name);
    if (found === undefined) throw notFound('Read model not found');
    return { status: 200, body: projectionView(found) };
  }),
];

async function asked(call: Call<{ name: string }>, { deps }: Api, action: RunAction, options: RunOptions) {
  return runView(await inWords(() => deps.projections.ask(call.params.name, action, options, call.context())));
}

/** What the read side refuses says why in its own words. */
async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { name, message } = error as Error;
    if (name === 'UnknownProjection') throw notFound('Read model not found');
    if (['RunPending', 'NotResumable', 'NotStoppedThere'].includes(name)) throw new ApiError('conflict', message);
    throw error;
  }
}

const text = (position: bigint | undefined): string | null => (position === undefined ? null : String(position));

function poisonView({ position, eventId, type, stream, message }: ProjectionError) {
  return { position, event_id: eventId, type, stream, message };
}

function projectionView(each: ProjectionStatus) {
  return {
    name: each.name,
    group: each.group,
    state: each.state,
    position: text(each.position),
    behind: each.behind,
    lag_seconds: each.lagSeconds,
    last_event_at: each.lastEventAt ?? null,
    version: each.version ?? null,
    program_version: each.programVersion,
    generation: each.generation ?? null,
    size_bytes: each.sizeBytes,
    error: each.error === undefined ? null : poisonView(each.error),
    generations: each.generations.map(({ generation, version, state, position, since, until, resumable, sizeBytes }) => ({
      generation,
      version,
      state,
      position: text(position),
      since,
      until: until ?? null,
      resumable,
      size_bytes: sizeBytes,
    })),
    run: each.run === undefined ? null : runView(each.run),
  };
}

function runView(run: Run) {
  const { progress } = run;
  return {
    id: run.id,
    action: run.action,
    projections: [...run.names],
    state: run.state,
    kind: run.kind,
    asked_by: run.askedBy,
    asked_at: run.askedAt,
    started_at: run.startedAt,
    finished_at: run.finishedAt,
    progress:
      progress === null
        ? null
        : {
            phase: progress.phase,
            percent: progress.total === 0 ? 100 : Math.floor((progress.done / progress.total) * 1_000) / 10,
            events: progress.done,
            events_total: progress.total,
            per_second: Math.round(progress.perSecond),
            seconds_left: progress.secondsLeft === undefined ? null : Math.ceil(progress.secondsLeft),
          },
    results:
      run.results?.map(({ name, version, generation, outcome, events, seconds, problem, comparison }) => ({
        name,
        version,
        generation,
        outcome,
        events,
        seconds,
        problem: problem === undefined ? null : poisonView(problem),
        comparison: comparison === undefined ? null : comparisonView(comparison),
      })) ?? null,
    error: run.error,
  };
}

function comparisonView({ equal, position, live, next, tables }: Comparison) {
  return {
    equal,
    position,
    live: { ...live },
    next: { ...next },
    tables: tables.map((each) => ({
      table: each.table,
      equal: each.equal,
      live: each.live === undefined ? null : { ...each.live },
      next: each.next === undefined ? null : { ...each.next },
      only_live: [...each.onlyLive],
      only_next: [...each.onlyNext],
      differing: each.differing,
      rows: each.rows.map(({ key, kind, columns }) => ({ key, kind, columns: [...columns] })),
    })),
  };
}
