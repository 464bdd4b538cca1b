import type { Request } from 'express';
import type { Api } from './api.ts';
import type { Call } from './call.ts';
import { unauthorized } from './errors.ts';
import type { DevicePrincipal } from './principal.ts';
import { limit } from './rate-limit.ts';

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/**
 * The box of the path, by its own key. Its requests are limited per box, behind this.
 * @throws ApiError 401, the same for a wrong key and for a box that there is not
 */
export async function admitDevice({ deps, limiter }: Api, call: Call, token: string | undefined): Promise<DevicePrincipal> {
  const { device_id: deviceId = '' } = call.params as { readonly device_id?: string };
  const address = call.ip === '' ? undefined : call.ip;
  if (token !== undefined && UUID.test(deviceId) && (await deps.devices.authenticate(deviceId, token, address))) return { kind: 'device', deviceId };
  // Who guesses keys spends the same allowance as anyone without an account.
  await limit(limiter, deps.settings.rateLimits, 'anonymous', call.ip);
  throw unauthorized(token === undefined ? 'Authentication required' : 'Invalid device credential');
}

/** Ends when nobody is there any more to read the answer. `release` must be called. */
export function whileConnected({ socket }: Request): { readonly signal: AbortSignal; release(): void } {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  socket.once('close', onClose);
  return { signal: gone.signal, release: () => socket.off('close', onClose) };
}
