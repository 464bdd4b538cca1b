import { deviceStream } from '../domain/device/stream.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import type { Tracing } from '../platform/tracing.ts';

/** To which trace an opening belongs: a box does not say, it only names the command that it answers. */
export interface UnlockTraces {
  readonly tracing: Tracing;
  remember(unlockId: string, traceparent: string | undefined): void;
  /** From memory; where another process sent the command, from the box's stream, and that only while traces are recorded. */
  of(deviceId: string, unlockId: string): Promise<string | undefined>;
}

const REMEMBERED = 10_000;
/** An opening is over within a minute: its events are among the last of its box. */
const LOOK_BACK = 50;

export function createUnlockTraces({ store, tracing }: { readonly store: Pick<EventStore, 'readStream'>; readonly tracing: Tracing }): UnlockTraces {
  const known = boundedCache<string, string>({ max: REMEMBERED });
  return {
    tracing,
    remember(unlockId, traceparent) {
      if (traceparent !== undefined) known.set(unlockId, traceparent);
    },
    async of(deviceId, unlockId) {
      const remembered = known.get(unlockId);
      if (remembered !== undefined || !tracing.on) return remembered;
      for await (const { type, data, metadata } of store.readStream(deviceStream(deviceId), { direction: 'backwards', limit: LOOK_BACK })) {
        if ((type === 'UnlockDispatched' || type === 'UnlockRequested') && data['unlockId'] === unlockId) return metadata.traceparent;
      }
      return undefined;
    },
  };
}
