import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HealthReport } from '../api/ports.ts';
import { waitingFor } from '../api/health.ts';
import { mayReadMetrics, metricsAccess } from '../api/metrics-access.ts';
import { createHttpServer } from '../api/server.ts';
import type { Config } from '../platform/config.ts';
import type { Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';

export interface HealthSources {
  readonly report: () => Promise<HealthReport>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

interface Page {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

/**
 * What a process without the API answers on PORT: `/health`, `/health/live`, `/health/ready` and `/metrics`, as the API
 * does, so that whoever watches asks every process the same way. Answers where it listens.
 */
export async function startHealth(
  { report, metrics, logger }: HealthSources,
  { host, port, environment, metricsToken }: Pick<Config, 'host' | 'port' | 'environment' | 'metricsToken'>,
  start: <T extends Component>(name: string, part: T) => Promise<T>,
): Promise<string> {
  const access = metricsAccess({ production: environment === 'production', token: metricsToken });
  const pages: Readonly<Record<string, (request: IncomingMessage) => Promise<Page | undefined>>> = {
    '/health': async () => {
      const { ready, parts } = await report();
      const states = Object.values(parts).map(({ state }) => state);
      const status = !ready ? 'unhealthy' : states.some((state) => state === 'degraded' || state === 'down') ? 'degraded' : 'healthy';
      const services = Object.fromEntries(Object.entries(parts).map(([name, { state }]) => [name, state]));
      return { status: ready ? 200 : 503, body: JSON.stringify({ status, services }) };
    },
    '/health/live': async () => ({ status: 200, body: '{"status":"live"}' }),
    '/health/ready': async () => {
      const health = await report();
      if (health.ready) return { status: 200, body: '{"status":"ready"}' };
      return { status: 503, body: JSON.stringify({ status: 'not_ready', waiting_for: waitingFor(health) }) };
    },
    '/metrics': async (request) => {
      if (access === undefined) return undefined;
      if (!mayReadMetrics(access, request.headers)) return { status: 401, body: '{"error":"unauthorized","message":"Authentication required"}' };
      return { status: 200, type: metrics.registry.contentType, body: await metrics.registry.metrics() };
    },
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const page = request.method === 'GET' ? pages[(request.url ?? '').split('?', 1)[0] ?? ''] : undefined;
    let reply: Page;
    try {
      reply = (await page?.(request)) ?? { status: 404, body: '{"error":"not_found","message":"This process serves health and metrics only"}' };
    } catch (error) {
      logger.error({ err: error, path: request.url }, 'Health could not be told');
      reply = { status: 500, body: '{"error":"internal_error","message":"Something went wrong"}' };
    }
    response.writeHead(reply.status, { 'content-type': reply.type ?? 'application/json', 'cache-control': 'no-store' });
    response.end(reply.body);
  };

  const server = createHttpServer((request, response) => void answer(request, response), undefined, { host, port, logger });
  await start('health', server);
  const isLocal = ['127.0.0.1', '0.0.0.0', '::', '::1'].includes(host);
  return `http://${isLocal ? 'localhost' : host}:${server.address()?.port ?? port}`;
}
