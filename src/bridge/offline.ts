import type { CommandBus } from '../commands/port.ts';
import { pause } from '../platform/backoff.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { LiveDevices } from './live-devices.ts';

/** A box that was not heard of for so long is shown as offline (device protocol, section 7). */
const OFFLINE_AFTER_MS = 300_000;
const LOOK_EVERY_MS = 15_000;
const PAGE = 500;

/** Records boxes that fell silent. One process at a time. */
export function offlineWatch(deps: {
  readonly bus: CommandBus;
  readonly live: LiveDevices;
  readonly clock: Clock;
  readonly logger: Logger;
}): (signal: AbortSignal) => Promise<void> {
  const { bus, live, clock } = deps;
  const logger = deps.logger.child({ component: 'offline-watch' });

  async function look(signal: AbortSignal): Promise<void> {
    const before = instant(clock.now() - OFFLINE_AFTER_MS);
    for (;;) {
      const silent = await live.silentSince(before, PAGE);
      for (const { deviceId, lastHeardAt } of silent) {
        if (signal.aborted) return;
        const commandId = derivedCommandId('offline', deviceId, lastHeardAt);
        const context = { commandId, correlationId: commandId, actor: { kind: 'system', id: 'offline-watch' }, source: 'scheduled_task' } as const;
        await bus.execute({ type: 'RecordOffline', data: { deviceId, lastHeardAt } }, context);
        // After the event: the box's next report differs from this, and so brings it back.
        if (await live.markOffline(deviceId, before)) continue;
        // It was heard in between, and its report found it still online: the event above is not the last word.
        const device = await live.byId(deviceId);
        if (device === undefined) continue;
        const back = derivedCommandId('online', deviceId, lastHeardAt);
        const evidence = device.level === 1 ? 'signed' : 'unsigned';
        await bus.execute({ type: 'RecordReport', data: { deviceId, evidence } }, { ...context, commandId: back, correlationId: back });
      }
      if (silent.length < PAGE) return;
    }
  }

  return async (signal) => {
    while (!signal.aborted) {
      try {
        await look(signal);
      } catch (error) {
        logger.warn({ err: error }, 'Silent boxes could not be looked for; trying again');
      }
      await pause(LOOK_EVERY_MS, signal);
    }
  };
}
