import type { SessionScope } from '../domain/user/events.ts';
import type { TrustedProxies } from './client.ts';

/** What the API needs to know of its surroundings. compose.ts makes it from the configuration. */
export interface ApiSettings {
  readonly production: boolean;
  /** Boxes of old firmware: opened by anyone who may, by owners and administrators alone, or only read. */
  readonly level0: 'full' | 'owner_and_admin' | 'read_only';
  readonly name: string;
  readonly version: string;
  /** Where owners and couriers arrive: `<frontendUrl>/unlock/<token>` is an access link. No trailing slash. */
  readonly frontendUrl: string;
  /** Exact origins; `*` = any. Outside production every localhost origin is allowed too. */
  readonly corsOrigins: readonly string[];
  /** Exact host names without port, `*.example.com`, or `*`. */
  readonly allowedHosts: readonly string[];
  /** Proxies in front that are believed in X-Forwarded-For. */
  readonly trustedProxies: TrustedProxies;
  /** Who may read /metrics. undefined: nobody, and it is not there. */
  readonly metrics: MetricsAccess | undefined;
  readonly tokens: TokenSettings;
  readonly links: { readonly defaultHours: number; readonly maxHours: number };
  /** IANA zone whose midnight starts a day in the figures of the dashboard. */
  readonly timeZone: string;
  /** Days that backups are kept: until then they hold what was erased. */
  readonly backupDays: number;
  readonly rateLimits: RateLimitSettings;
  /** Milliseconds that a request waits for the read models at most. Default 250. */
  readonly readYourWritesMs: number;
  /** Milliseconds that a revocation waits for an opening under way. Default 2,000. */
  readonly inFlightWaitMs: number;
}

export type MetricsAccess = 'open' | { readonly token: string };

export interface TokenSettings {
  /** The first one signs; the others are still accepted (a rotation is over after one access lifetime). */
  readonly keys: readonly { readonly kid: string; readonly secret: string }[];
  readonly issuer: string;
  /** A token of one kind of session is none of the other. */
  readonly audiences: Readonly<Record<SessionScope, string>>;
  readonly accessSeconds: number;
}

export interface RateLimitSettings {
  readonly enabled: boolean;
  /** Without a sign-in, per network. */
  readonly anonymous: RateLimit;
  /** Per account. */
  readonly account: RateLimit;
  /** Logins, per network. */
  readonly login: RateLimit;
  /** New accounts, per network. */
  readonly registration: RateLimit;
  /** Exchanges of refresh tokens, per network. */
  readonly refresh: RateLimit;
  /** Claims of a box by its PIN, per account. */
  readonly pin: RateLimit;
  /** Openings with one link. */
  readonly unlock: RateLimit;
  /** Requests with a link token that no link has, per network. */
  readonly unknownLink: RateLimit;
}

export interface RateLimit {
  readonly perMinute: number;
  readonly perDay?: number;
}

export const defaultRateLimits: RateLimitSettings = {
  enabled: true,
  anonymous: { perMinute: 60, perDay: 1_000 },
  account: { perMinute: 120, perDay: 10_000 },
  login: { perMinute: 5 },
  registration: { perMinute: 5, perDay: 50 },
  refresh: { perMinute: 30 },
  pin: { perMinute: 10 },
  unlock: { perMinute: 10 },
  unknownLink: { perMinute: 10 },
};
