import { Type } from 'typebox';
import { notFound } from '../errors.ts';
import type { JobView } from '../ports.ts';
import { admin, route, type Route } from '../route.ts';
import { BoxHealth, Job, JobAsked } from '../schemas/jobs.ts';
import { Closed, DeviceId } from '../schemas/common.ts';

export const adminJobRoutes: readonly Route[] = [
  route({
    id: 'adminJobs',
    tag: 'admin',
    summary: 'What runs around the clock: when it ran last and how that went, and when it runs next',
    method: 'GET',
    path: '/admin/jobs',
    access: admin('system:read'),
    replies: { 200: Type.Array(Job) },
  })(async (_call, { deps }) => {
    return { status: 200, body: (await deps.jobs.list()).map(jobView) };
  }),

  route({
    id: 'runJob',
    tag: 'admin',
    summary: 'Run a job now instead of at its next time; who asked is recorded',
    method: 'POST',
    path: '/admin/jobs/{name}/run',
    access: admin('jobs:run'),
    params: Closed({ name: Type.String({ minLength: 1, maxLength: 100 }) }),
    body: Closed({}),
    bodyOptional: true,
    replies: { 202: JobAsked },
    errors: [404],
  })(async (call, { deps }) => {
    const { name } = call.params;
    const asked = await deps.jobs.run(name, call.context());
    if (asked === undefined) throw notFound('Job not found');
    const message = asked.started ? 'Job queued' : 'Job is already waiting or running';
    return { status: 202, body: { message, name, started: asked.started, status_url: '/api/v1/admin/jobs' } };
  }),

  route({
    id: 'checkDevice',
    tag: 'admin',
    summary: 'Look now whether a box is still heard of; one that has been silent for five minutes is recorded as offline',
    method: 'POST',
    path: '/admin/devices/{device_id}/check',
    access: admin('devices:read'),
    params: DeviceId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: BoxHealth },
    errors: [404],
  })(async (call, { deps }) => {
    const { device_id: deviceId } = call.params;
    const health = await deps.boxHealth.one(deviceId);
    if (health === undefined) throw notFound('Device not found');
    return { status: 200, body: { device_id: deviceId, is_online: health.online, last_heartbeat: health.lastHeardAt ?? null, went_offline: health.wentOffline } };
  }),
];

function jobView(job: JobView) {
  const { lastRun } = job;
  return {
    name: job.name,
    summary: job.summary,
    schedule: job.schedule,
    state: job.state,
    next_run: job.nextRun,
    last_run:
      lastRun === null ? null : { started_at: lastRun.startedAt, finished_at: lastRun.finishedAt, duration_ms: lastRun.durationMs, error: lastRun.error },
    result: job.result === null ? null : { ...job.result },
    succeeded_at: job.succeededAt,
    runs: job.runs,
    failures: job.failures,
    failures_in_a_row: job.failuresInARow,
    waiting: job.waiting,
    given_up: job.givenUp,
  };
}
