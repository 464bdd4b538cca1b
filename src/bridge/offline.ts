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

export interface OfflineCheck {
  /** Records every box that fell silent. Can be repeated, and run twice at a time. */
  all(signal: AbortSignal): Promise<{ readonly checked: number; readonly offline: number }>;
  /** The same for one box; undefined: there is no such box. */
  one(deviceId: string): Promise<BoxHealth | undefined>;
}

export interface BoxHealth {
  readonly online: boolean;
  readonly lastHeardAt: string | undefined;
  /** True: this look found out that it is offline. */
  readonly wentOffline: boolean;
}

export function createOfflineCheck(deps: { readonly bus: CommandBus; readonly live: LiveDevices; readonly clock: Clock; readonly logger: Logger }): OfflineCheck {
  const { bus, live, clock } = deps;
  const logger = deps.logger.child({ component: 'offline-watch' });
  const silentBefore = () => instant(clock.now() - OFFLINE_AFTER_MS);

  /** @returns true where it is offline now */
  async function record(deviceId: string, lastHeardAt: string, before: string): Promise<boolean> {
    const commandId = derivedCommandId('offline', deviceId, lastHeardAt);
    const context = { commandId, correlationId: commandId, actor: { kind: 'system', id: 'offline-watch' }, source: 'scheduled_task' } as const;
    await bus.execute({ type: 'RecordOffline', data: { deviceId, lastHeardAt } }, context);
    // After the event: the box's next report differs from this, and so brings it back.
    if (await live.markOffline(deviceId, before)) {
      logger.warn({ deviceId, lastHeardAt }, 'A box is offline: it was not heard of for five minutes');
      return true;
    }
    // It was heard in between, and its report found it still online: the event above is not the last word.
    const device = await live.byId(deviceId);
    if (device === undefined) return false;
    const back = derivedCommandId('online', deviceId, lastHeardAt);
    const evidence = device.level === 1 ? 'signed' : 'unsigned';
    await bus.execute({ type: 'RecordReport', data: { deviceId, evidence } }, { ...context, commandId: back, correlationId: back });
    return false;
  }

  return {
    async all(signal) {
      const before = silentBefore();
      const checked = await live.onlineCount();
      let offline = 0;
      for (;;) {
        const silent = await live.silentSince(before, PAGE);
        for (const { deviceId, lastHeardAt } of silent) {
          if (signal.aborted) return { checked, offline };
          if (await record(deviceId, lastHeardAt, before)) offline++;
        }
        if (silent.length < PAGE) return { checked, offline };
      }
    },

    async one(deviceId) {
      const device = await live.byId(deviceId);
      if (device === undefined) return undefined;
      const { lastHeardAt, facts } = device;
      const before = silentBefore();
      const online = facts['online'] === true;
      const wentOffline = online && lastHeardAt !== undefined && lastHeardAt < before && (await record(deviceId, lastHeardAt, before));
      return { online: online && !wentOffline, lastHeardAt, wentOffline };
    },
  };
}

/** Looks often, so that a box is shown as offline when it is, not minutes later. One process at a time. */
export function offlineWatch({ check, logger }: { readonly check: OfflineCheck; readonly logger: Logger }): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    while (!signal.aborted) {
      try {
        await check.all(signal);
      } catch (error) {
        logger.warn({ err: error, component: 'offline-watch' }, 'Silent boxes could not be looked for; trying again');
      }
      await pause(LOOK_EVERY_MS, signal);
    }
  };
}
