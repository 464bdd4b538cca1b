import { Type } from 'typebox';
import { instant } from '../../platform/clock.ts';
import type { Api } from '../api.ts';
import { notFound, unauthorized } from '../errors.ts';
import { waitingFor } from '../health.ts';
import { mayReadMetrics } from '../metrics-access.ts';
import type { HealthPart, HealthReport } from '../ports.ts';
import { admin, anyone, route, type Route } from '../route.ts';
import { Dashboard, Health, SystemHealth, TimeZone } from '../schemas/admin.ts';
import { Closed } from '../schemas/common.ts';
import { startOfDay, timeZoneOf } from '../time.ts';

export const systemRoutes: readonly Route[] = [
  route({
    id: 'health',
    tag: 'system',
    summary: 'How each part is',
    method: 'GET',
    path: '/health',
    root: 'also',
    access: anyone,
    limit: 'none',
    replies: { 200: Health, 503: Health },
  })(async (_call, api) => {
    const report = await api.deps.health();
    const body = healthView(api, report);
    return body.status === 'unhealthy' ? { status: 503, body } : { status: 200, body };
  }),

  route({
    id: 'live',
    tag: 'system',
    summary: 'This process answers',
    method: 'GET',
    path: '/health/live',
    root: 'also',
    access: anyone,
    limit: 'none',
    replies: { 200: Closed({ status: Type.Literal('live') }) },
  })(async () => {
    return { status: 200, body: { status: 'live' } };
  }),

  route({
    id: 'ready',
    tag: 'system',
    summary: 'This process may be sent traffic',
    method: 'GET',
    path: '/health/ready',
    root: 'also',
    access: anyone,
    limit: 'none',
    replies: { 200: Closed({ status: Type.Literal('ready') }), 503: Closed({ status: Type.Literal('not_ready'), waiting_for: Type.Array(Type.String()) }) },
  })(async (_call, { deps }) => {
    const report = await deps.health();
    if (report.ready) return { status: 200, body: { status: 'ready' } };
    return { status: 503, body: { status: 'not_ready', waiting_for: [...waitingFor(report)] } };
  }),

  route({
    id: 'version',
    tag: 'system',
    summary: 'Which version this is',
    method: 'GET',
    path: '/system/version',
    aliases: [{ method: 'GET', path: '/version' }],
    access: anyone,
    replies: { 200: Closed({ name: Type.String(), version: Type.String(), api: Type.Literal('v1') }) },
  })(async (_call, { deps: { settings } }) => {
    return { status: 200, body: { name: settings.name, version: settings.version, api: 'v1' } };
  }),

  route({
    id: 'metrics',
    tag: 'system',
    summary: 'Figures of this process for Prometheus',
    method: 'GET',
    path: '/metrics',
    root: 'only',
    access: anyone,
    limit: 'none',
    contentTypes: ['text/plain; version=0.0.4; charset=utf-8'],
    replies: { 200: Type.String() },
    errors: [401, 404],
  })(async ({ req }, { deps }) => {
    if (deps.settings.metrics === undefined) throw notFound();
    if (!mayReadMetrics(deps.settings.metrics, req.headers)) throw unauthorized('Authentication required');
    return { status: 200, body: await deps.metrics.registry.metrics() };
  }),

  route({
    id: 'dashboard',
    tag: 'admin',
    summary: 'The platform in five figures',
    method: 'GET',
    path: '/admin/dashboard',
    access: admin('system:read'),
    query: Closed({ tz: Type.Optional(TimeZone) }),
    replies: { 200: Dashboard },
  })(async (call, api) => {
    const { reads, clock, settings, health } = api.deps;
    const [devices, users, deliveries, report] = await Promise.all([
      reads.devices.counts(),
      reads.users.count(),
      reads.deliveries.countSince(startOfDay(clock.now(), timeZoneOf(call.query.tz, settings.timeZone))),
      health(),
    ]);
    return {
      status: 200,
      body: {
        total_devices: devices.total,
        active_devices: devices.active,
        total_users: users,
        deliveries_today: deliveries,
        system_health: overall(report),
      },
    };
  }),

  route({
    id: 'systemHealth',
    tag: 'admin',
    summary: 'How each part is, with how far the projections are behind',
    method: 'GET',
    path: '/admin/system/health',
    access: admin('system:read'),
    replies: { 200: SystemHealth },
  })(async (call, { deps, times }) => {
    // Where their list cannot be read, the database says why.
    const [{ parts }, { responseMs, readModels }, jobs] = await Promise.all([deps.health(), deps.system(), deps.jobs.list().catch(() => undefined)]);
    const details = Object.entries(parts).flatMap(([name, { detail }]) => (detail === undefined ? [] : [[name, detail] as const]));
    const answered = (name: HealthPart) => (name in responseMs ? responseTime(responseMs[name as keyof typeof responseMs]) : null);
    const names: readonly HealthPart[] = ['database', 'event_store', 'relay', 'mqtt', 'projections', 'worker'];
    return {
      status: 200,
      body: {
        database: parts.database.state,
        event_store: parts.event_store.state,
        eventstore: parts.event_store.state,
        kafka: parts.relay.state,
        mqtt_broker: parts.mqtt.state,
        celery_workers: parts.worker.state,
        jobs: jobs === undefined ? 'down' : jobs.some(({ state }) => state === 'failed' || state === 'retrying') ? 'degraded' : 'healthy',
        projectors: parts.projections.state,
        projections: Object.fromEntries(readModels.map(({ name, behind }) => [name, behind])),
        // Of what this process answered lately; right after its start that is this very answer.
        // Whole ones, as it always was: who reads it as a number finds one.
        api_response_time: `${Math.max(1, Math.round(times.quantile(0.5) ?? deps.clock.monotonic() - call.startedAt))}ms`,
        api_response_time_p95: responseTime(times.quantile(0.95)),
        details: { ...Object.fromEntries(details), level0_devices: level0Words[deps.settings.level0] },
        dependencies: Object.fromEntries(names.map((name) => [name, { state: parts[name].state, response_time: answered(name), detail: parts[name].detail ?? null }])),
        read_models: readModels.map(({ name, state, behind, lastEventAt, error }) => ({ name, state, behind, last_event_at: lastEventAt, error })),
      },
    };
  }),
];

/** `120ms`; below ten with a digit more, since a database on the same machine answers in less than one. */
function responseTime(ms: number | undefined): string | null {
  return ms === undefined ? null : `${ms < 10 ? Math.max(0.1, Math.round(ms * 10) / 10) : Math.round(ms)}ms`;
}

/** What ALLOW_LEVEL0_DEVICES means here. */
const level0Words = {
  full: 'opened like any other: for development',
  owner_and_admin: 'opened by owners and administrators; couriers where an administrator accepted it',
  read_only: 'read only: ALLOW_LEVEL0_DEVICES is false',
} as const;

function overall({ ready, parts }: HealthReport): 'healthy' | 'degraded' | 'unhealthy' {
  if (!ready) return 'unhealthy';
  return Object.values(parts).some(({ state }) => state === 'degraded' || state === 'down') ? 'degraded' : 'healthy';
}

/** The simple and the detailed answer of old in one object. */
function healthView({ deps }: Api, report: HealthReport) {
  const { parts } = report;
  return {
    status: overall(report),
    service: 'loqey-backend',
    version: deps.settings.version,
    timestamp: instant(deps.clock.now()),
    services: {
      database: parts.database.state,
      event_store: parts.event_store.state,
      mqtt: parts.mqtt.state,
      relay: parts.relay.state,
      projections: parts.projections.state,
      worker: parts.worker.state,
      // Nothing here needs one; the key is what older clients look for.
      redis: 'not_used',
      level0_devices: deps.settings.level0,
    },
  };
}
