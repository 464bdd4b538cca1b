import type { BoxEvent } from './box.ts';

/** What a simulated box counts of itself from its making on, over all power cuts. */
export interface LockboxStats {
  /** Reports handed to the broker, and how many the broker acknowledged. */
  sent: number;
  acknowledged: number;
  /** Messages that came for this box. */
  received: number;
  /** Reports that the server acknowledged by name. */
  acked: number;
  openings: number;
  failures: number;
  readonly refusals: Record<string, number>;
  readonly rejects: Record<string, number>;
  connections: number;
  powerCuts: number;
}

export function newStats(): LockboxStats {
  return { sent: 0, acknowledged: 0, received: 0, acked: 0, openings: 0, failures: 0, refusals: {}, rejects: {}, connections: 0, powerCuts: 0 };
}

/** Sent, acknowledged, received and connections are counted where they happen. */
export function count(stats: LockboxStats, event: BoxEvent): void {
  switch (event.type) {
    case 'acked':
      stats.acked++;
      return;
    case 'opened':
      stats.openings++;
      return;
    case 'failed':
      stats.failures++;
      return;
    case 'refused':
      stats.refusals[event.reason] = (stats.refusals[event.reason] ?? 0) + 1;
      return;
    case 'rejected':
      stats.rejects[event.reason] = (stats.rejects[event.reason] ?? 0) + 1;
      return;
    case 'power_cut':
      stats.powerCuts++;
      return;
    case 'booted':
    case 'connected':
    case 'disconnected':
    case 'time':
    case 'command':
    case 'moved':
    case 'published':
    case 'config':
    case 'key':
      return;
  }
}
