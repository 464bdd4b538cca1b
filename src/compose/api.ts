import { createHash } from 'node:crypto';
import { createApi } from '../api/api.ts';
import { createApp } from '../api/app.ts';
import { attachLive } from '../api/live.ts';
import type { ApiDeps } from '../api/ports.ts';
import { proxyTest } from '../api/client.ts';
import { metricsAccess } from '../api/metrics-access.ts';
import { createHttpServer } from '../api/server.ts';
import type { ApiSettings } from '../api/settings.ts';
import { createCourierPage } from '../courier-page/site.ts';
import type { Config } from '../platform/config.ts';
import type { Component } from '../platform/lifecycle.ts';
import { READ_YOUR_WRITES_MS } from '../projections/fresh-reads.ts';
import type { Secrets } from './ground.ts';

/** The part of the configuration that the API knows. */
function apiSettings(config: Config, secrets: Secrets, version: string, listening: () => string): ApiSettings {
  const { secretKey } = secrets;
  if (secretKey === undefined) throw new Error('SECRET_KEY is needed by the role api');
  const secretKeys = [...new Set([secretKey, ...(config.secretKeyPrevious ?? [])])];
  return {
    production: config.environment === 'production',
    level0: level0Access(config),
    name: config.projectName,
    version,
    // Links lead to this server where no other address was given; on any free port that is known only once it listens.
    get frontendUrl() {
      const isOurs = config.port === 0 && !config.given.includes('frontendUrl');
      return isOurs ? listening() : config.frontendUrl.replace(/\/$/, '');
    },
    corsOrigins: config.corsOrigins,
    // Links lead to these addresses, whatever else is allowed.
    allowedHosts: [...config.allowedHosts, hostOf(config.frontendUrl), hostOf(config.deliveryBaseUrl)],
    trustedProxies: typeof config.trustProxy === 'number' ? { hops: config.trustProxy } : { networks: config.trustProxy },
    metrics: metricsAccess({ production: config.environment === 'production', token: config.metricsToken }),
    tokens: {
      keys: secretKeys.map((secret) => ({ kid: kidOf(secret), secret })),
      issuer: 'loqey',
      audiences: { user: 'loqey-api', admin: 'loqey-admin' },
      accessSeconds: config.accessTokenMinutes * 60,
    },
    links: { defaultHours: config.defaultLinkExpiryHours, maxHours: config.maxLinkExpiryHours },
    timeZone: config.timeZone,
    backupDays: config.backupRetentionDays,
    rateLimits: {
      enabled: config.rateLimitEnabled,
      anonymous: { perMinute: config.rateLimitAnonymousPerMinute, perDay: config.rateLimitAnonymousPerDay },
      account: { perMinute: config.rateLimitAccountPerMinute, perDay: config.rateLimitAccountPerDay },
      login: { perMinute: config.rateLimitLoginPerMinute },
      registration: { perMinute: config.rateLimitRegistrationPerMinute, perDay: config.rateLimitRegistrationPerDay },
      refresh: { perMinute: config.rateLimitRefreshPerMinute },
      pin: { perMinute: config.rateLimitPinPerMinute },
      unlock: { perMinute: config.rateLimitUnlockPerMinute },
      unknownLink: { perMinute: config.rateLimitUnknownLinkPerMinute },
    },
    readYourWritesMs: READ_YOUR_WRITES_MS,
    inFlightWaitMs: 2_000,
  };
}

const hostOf = (url: string): string => new URL(url).hostname;

/** Old firmware has no memory and no clock: outside development couriers open such a box only where an admin accepted it. */
function level0Access({ allowLevel0Devices, environment }: Pick<Config, 'allowLevel0Devices' | 'environment'>): ApiSettings['level0'] {
  if (!allowLevel0Devices) return 'read_only';
  return environment === 'development' ? 'full' : 'owner_and_admin';
}

/** Names a key in a token's head without telling anything of it. */
function kidOf(secret: string): string {
  return createHash('sha256').update(`loqey-kid|${secret}`).digest('hex').slice(0, 8);
}

/** HTTP and WebSockets on one port. Answers where it listens. */
export async function startApi(
  deps: Omit<ApiDeps, 'settings'>,
  { config, secrets, version }: { readonly config: Config; readonly secrets: Secrets; readonly version: string },
  start: <T extends Component>(name: string, part: T) => Promise<T>,
): Promise<string> {
  let url = '';
  const api = createApi({ ...deps, settings: apiSettings(config, secrets, version, () => url) });
  const isProxy = proxyTest(api.deps.settings.trustedProxies);
  const http = createHttpServer(createApp(api, [createCourierPage(api)]), (server) => attachLive(server, api), {
    host: config.host,
    port: config.port,
    logger: deps.logger,
    drainMs: config.stopTimeoutSeconds * 1_000,
    keepAliveMs: config.keepAliveSeconds * 1_000,
    ...(isProxy === undefined ? {} : { isProxy: (address) => isProxy(address, 0) }),
  });
  await start('http', {
    start: () => http.start(),
    stop() {
      // Boxes that wait for a command would hold up the stop.
      deps.devices.endPolls();
      return http.stop().finally(() => api.stop());
    },
  });
  const isLocal = ['127.0.0.1', '0.0.0.0', '::', '::1'].includes(config.host);
  url = `http://${isLocal ? 'localhost' : config.host}:${http.address()?.port ?? config.port}`;
  return url;
}
