import type { ApiDeps, InboxEntry, JobView } from '../../src/api/ports.ts';

export const jobRow = (over: Partial<JobView> = {}): JobView => ({
  name: 'links.sweep',
  summary: 'Records links whose time is over',
  schedule: '0 * * * *',
  state: 'idle',
  nextRun: '2026-11-21T11:00:00.000Z',
  lastRun: { startedAt: '2026-11-21T10:00:00.000Z', finishedAt: '2026-11-21T10:00:01.000Z', durationMs: 1_000, error: null },
  result: { success: true, expired_count: 2 },
  succeededAt: '2026-11-21T10:00:01.000Z',
  runs: 3,
  failures: 1,
  failuresInARow: 0,
  waiting: 0,
  givenUp: 0,
  ...over,
});

/** Jobs, notifications and boxes' health in memory, for tests of the API alone. */
export function aroundTheClock(notifications: Map<string, (InboxEntry & { readonly userId: string })[]> = new Map()): Pick<ApiDeps, 'jobs' | 'inbox' | 'boxHealth'> & { readonly asked: string[] } {
  const asked: string[] = [];
  const settings = new Map<string, Awaited<ReturnType<ApiDeps['inbox']['settings']>>>();
  const of = (userId: string) => notifications.get(userId) ?? [];
  return {
    asked,
    jobs: {
      list: async () => [jobRow()],
      async run(name, { actor }) {
        if (name !== 'links.sweep') return undefined;
        asked.push(actor.id);
        return { started: asked.length === 1 };
      },
    },
    inbox: {
      async list(userId, { unread }, { limit, offset }) {
        const rows = of(userId).filter(({ readAt }) => !unread || readAt === null);
        return { rows: rows.slice(offset, offset + limit), total: rows.length, unread: of(userId).filter(({ readAt }) => readAt === null).length };
      },
      read: async (userId, id) => of(userId).some((row) => row.id === id),
      readAll: async (userId) => of(userId).length,
      settings: async (userId, isAdmin) =>
        settings.get(userId) ?? { language: 'en', timeZone: 'UTC', mail: { link_opened: true, device_online: false, ...(isAdmin ? { admin_unlink_request: true } : {}) } },
      async change(userId, { language = 'en', timeZone = 'UTC', mail = {} }) {
        settings.set(userId, { language, timeZone, mail: { link_opened: true, device_online: false, ...mail } });
      },
    },
    boxHealth: { one: async () => undefined },
  };
}
