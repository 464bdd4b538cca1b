import type { ProjectionBoard } from '../../src/api/ports.ts';
import type { ActionContext } from '../../src/platform/event-store/actions.ts';
import type { ProjectionStatus } from '../../src/projections/admin.ts';
import type { ProjectionRun } from '../../src/projections/runs.ts';

export const runRow = (over: Partial<ProjectionRun> = {}): ProjectionRun => ({
  id: '0198c1de-7a00-7111-8222-333344445555',
  names: ['devices'],
  action: 'rebuild',
  options: {},
  kind: 'asked',
  state: 'waiting',
  askedBy: 'admin:0198c1de-0000-7111-8222-000000000001',
  askedAt: '2026-11-21T10:00:00.000Z',
  startedAt: null,
  finishedAt: null,
  progress: null,
  results: null,
  error: null,
  attempts: 0,
  ...over,
});

export const projectionRow = (over: Partial<ProjectionStatus> = {}): ProjectionStatus => ({
  name: 'devices',
  group: 'live',
  state: 'running',
  position: 41n,
  behind: 1,
  lagSeconds: 0.4,
  version: 2,
  programVersion: 2,
  generation: 3,
  lastEventAt: '2026-11-21T10:00:00.000Z',
  error: undefined,
  sizeBytes: 65_536,
  generations: [
    { generation: 2, version: 2, state: 'retired', position: 30n, since: '2026-11-21T09:00:00.000Z', until: '2026-11-22T09:00:00.000Z', resumable: true, sizeBytes: 32_768 },
    { generation: 3, version: 2, state: 'active', position: 41n, since: '2026-11-21T09:00:00.000Z', until: undefined, resumable: false, sizeBytes: 32_768 },
  ],
  run: undefined,
  ...over,
});

const named = (name: string, message: string) => Object.assign(new Error(message), { name });

/** Read models in memory, for tests of the API alone: `devices` runs, `audit` stands before an event and `links` is built. */
export function projectionBoard(): ProjectionBoard & { readonly asked: { readonly what: string; readonly options: object; readonly context: ActionContext }[] } {
  const asked: { what: string; options: object; context: ActionContext }[] = [];
  const rows = [
    projectionRow({
      name: 'audit',
      group: 'background',
      state: 'stopped',
      behind: 12,
      lagSeconds: 70,
      error: { position: '42', eventId: '0198c1de-7a00-7111-8222-333344445555', type: 'LinkCreated', stream: 'device-1', message: 'no such row' },
    }),
    projectionRow(),
    projectionRow({
      name: 'links',
      state: 'outdated',
      programVersion: 3,
      run: runRow({ names: ['links'], kind: 'upgrade', state: 'running', askedBy: 'system', startedAt: '2026-11-21T10:00:00.000Z', progress: { phase: 'load', done: 420, total: 1_000, perSecond: 40.2, secondsLeft: 14.4 } }),
    }),
  ];
  const known = (name: string) => {
    const found = rows.find((row) => row.name === name);
    if (found === undefined) throw named('UnknownProjection', `There is no read model named ${name}`);
    return found;
  };
  return {
    asked,
    status: async () => ({ head: 42n, projections: rows }),
    async ask(name, action, options, context) {
      if (name !== 'all' || action !== 'rebuild') known(name);
      if (known(name === 'all' ? 'devices' : name).run?.state === 'running') throw named('RunPending', `A rebuild of ${name} is under way already`);
      if (action === 'rollback' && name === 'audit') throw named('NotResumable', 'audit has no former generation to go back to: they are kept for 24 hours.');
      asked.push({ what: `${action} ${name}`, options, context });
      return runRow({ names: [name], action, options });
    },
    async cancel(name, context) {
      const { run } = known(name);
      if (run === undefined) return undefined;
      asked.push({ what: `cancel ${name}`, options: {}, context });
      return { ...run, state: 'running' };
    },
    async skip(name, position, { reason, ...context }) {
      const { error } = known(name);
      if (error?.position !== String(position)) throw named('NotStoppedThere', `${name} does not stand before position ${position}. It is not stopped.`);
      asked.push({ what: `skip ${name}`, options: { position: String(position), reason }, context });
    },
  };
}
