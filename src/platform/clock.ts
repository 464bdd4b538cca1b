/** Wall time in milliseconds since the epoch, and a monotonic one for measuring. Injected: tests own time. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export function instant(ms: number): string {
  return new Date(ms).toISOString();
}
