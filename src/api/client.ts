import type { IncomingMessage } from 'node:http';

/** Whether a request came for one of our names. */
export function hostAllowed(header: string | undefined, allowed: readonly string[]): boolean {
  if (allowed.includes('*')) return true;
  if (header === undefined) return false;
  const host = header.replace(/:\d+$/, '').toLowerCase();
  return allowed.some((name) => name === host || (name.startsWith('*.') && host.endsWith(name.slice(1))));
}

/** The client's address; X-Forwarded-For is believed only for as many entries as there are proxies of ours. */
export function clientAddress(req: IncomingMessage, trustedHops: number): string {
  const header = req.headers['x-forwarded-for'];
  const forwarded = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map((each) => each.trim()).filter((each) => each !== '');
  const hops = [...forwarded, req.socket.remoteAddress ?? ''];
  return hops.at(-1 - trustedHops) ?? hops[0] ?? '';
}
