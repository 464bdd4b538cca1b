import type { Uuid } from '../kernel.ts';

export const deviceCategory = 'device';

export function deviceStream(deviceId: Uuid): string {
  return `${deviceCategory}-${deviceId}`;
}
