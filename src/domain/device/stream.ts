import type { Uuid } from '../kernel.ts';

export const deviceCategory = 'device';

export function deviceStream(deviceId: Uuid): string {
  return `${deviceCategory}-${deviceId}`;
}

export function deviceIdOfStream(stream: string): Uuid | undefined {
  return stream.startsWith(`${deviceCategory}-`) ? stream.slice(deviceCategory.length + 1) : undefined;
}
