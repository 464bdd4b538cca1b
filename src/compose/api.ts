import { createHash } from 'node:crypto';
import { createApi } from '../api/api.ts';
import { createApp } from '../api/app.ts';
import { attachLive } from '../api/live.ts';
import type { ApiDeps } from '../api/ports.ts';
import { createHttpServer } from '../api/server.ts';
import type { ApiSettings } from '../api/settings.ts';
import type { Config } from '../platform/config.ts';
import type { Secrets } from './ground.ts';

/** The part of the configuration that the API knows. */
export function apiSettings(config: Config, secrets: Secrets, version: string): ApiSettings {
  const secretKeys = [secrets.secretKey, ...(config.secretKeyPrevious === undefined ? [] : [config.secretKeyPrevious])];
  return {
    production: config.environment === 'production',
    name: config.projectName,
    version,
    frontendUrl: config.deliveryBaseUrl.replace(/\/$/, ''),
    corsOrigins: config.corsOrigins,
    allowedHosts: config.allowedHosts,
    trustProxyHops: config.trustProxyHops,
    tokens: {
      keys: secretKeys.map((secret) => ({ kid: kidOf(secret), secret })),
      issuer: 'loqey',
      audience: 'loqey-api',
      accessSeconds: config.accessTokenMinutes * 60,
    },
    links: { defaultHours: config.defaultLinkExpiryHours, maxHours: config.maxLinkExpiryHours },
    timeZone: config.timeZone,
    rateLimits: {
      enabled: config.rateLimitEnabled,
      anonymous: { perMinute: config.rateLimitAnonymousPerMinute, perDay: config.rateLimitAnonymousPerDay },
      account: { perMinute: config.rateLimitAccountPerMinute, perDay: config.rateLimitAccountPerDay },
      login: { perMinute: config.rateLimitLoginPerMinute },
      pin: { perMinute: config.rateLimitPinPerMinute },
    },
    readYourWritesMs: 250,
    inFlightWaitMs: 2_000,
  };
}

/** Names a key in a token's head without telling anything of it. */
function kidOf(secret: string): string {
  return createHash('sha256').update(`loqey-kid|${secret}`).digest('hex').slice(0, 8);
}

/** HTTP and WebSockets on one port. Answers where it listens. */
export async function startApi(
  deps: ApiDeps,
  config: Config,
  start: <T extends { start(): Promise<void>; stop(): Promise<void> }>(name: string, part: T) => Promise<T>,
): Promise<string> {
  const api = createApi(deps);
  const http = createHttpServer(createApp(api), (server) => attachLive(server, api), {
    host: config.host,
    port: config.port,
    logger: deps.logger,
    drainMs: config.stopTimeoutSeconds * 1_000,
  });
  await start('http', { start: () => http.start(), stop: () => http.stop().finally(() => api.stop()) });
  const bound = http.address();
  const host = config.host === '0.0.0.0' || config.host === '::' ? 'localhost' : config.host;
  return `http://${host === '127.0.0.1' ? 'localhost' : host}:${bound?.port ?? config.port}`;
}
