import type { ApiSettings } from './settings.ts';

const LOCAL = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;

/** Whether pages of this origin may call us: exact names; outside production also whatever runs on this machine. */
export function originAllowed(origin: string, { corsOrigins, production }: Pick<ApiSettings, 'corsOrigins' | 'production'>): boolean {
  return corsOrigins.includes(origin) || corsOrigins.includes('*') || (!production && LOCAL.test(origin));
}
