import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { MetricsAccess } from './settings.ts';

/**
 * Figures tell an attacker how a guess is going and a competitor how business is: outside of development they are for
 * whoever holds the token, or not there at all.
 */
export function metricsAccess(settings: { readonly production: boolean; readonly token: string | undefined }): MetricsAccess | undefined {
  if (settings.token !== undefined) return { token: settings.token };
  return settings.production ? undefined : 'open';
}

export function mayReadMetrics(access: MetricsAccess | undefined, { authorization = '' }: Pick<IncomingHttpHeaders, 'authorization'>): boolean {
  if (access === undefined || access === 'open') return access === 'open';
  return timingSafeEqual(hash(authorization), hash(`Bearer ${access.token}`));
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
