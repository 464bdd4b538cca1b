import type { Aggregates } from '../commands/handle.ts';
import type { CommandContext } from '../commands/port.ts';
import type { DeviceCommand } from '../domain/device/commands.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { PublishedMessage } from './relay-messages.ts';
import type { UnlockTraces } from './unlock-traces.ts';

/** How long the broker's word on an unlock waits for the box's own. */
const HELD_MS = 30;

/**
 * That the broker has a command. Most boxes answer within milliseconds: the broker's word is kept that long, and told in the
 * same append as theirs. A crash in between loses this step of the trace, nothing else.
 */
export interface HeldPublications {
  hold(messages: readonly PublishedMessage[]): void;
  /** The box's answer with the broker's word on the same unlock, where that is still held; any other command as it is. */
  joinedWith(command: DeviceCommand): DeviceCommand;
  /** Records what is still held: before the end. */
  flush(): Promise<void>;
}

export interface HeldPublicationsDeps {
  readonly bus: Pick<Aggregates, 'execute'>;
  readonly traces: UnlockTraces | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createHeldPublications({ bus, traces, clock, logger }: HeldPublicationsDeps): HeldPublications {
  const held = new Map<string, { readonly publishedAt: string; readonly deviceId: string; readonly timer: NodeJS.Timeout }>();

  async function record(deviceId: string, unlockId: string): Promise<void> {
    const publishedAt = take(unlockId);
    if (publishedAt === undefined) return;
    const traceparent = await traces?.of(deviceId, unlockId);
    const commandId = derivedCommandId('published', unlockId);
    const context: CommandContext = { commandId, correlationId: commandId, causationId: unlockId, actor: { kind: 'system', id: 'bridge' }, source: 'system' };
    const traced = traceparent === undefined ? context : { ...context, traceparent };
    await bus.execute({ type: 'RecordUnlockPublished', data: { deviceId, unlockId, publishedAt } }, traced);
  }

  function take(unlockId: string): string | undefined {
    const word = held.get(unlockId);
    clearTimeout(word?.timer);
    held.delete(unlockId);
    return word?.publishedAt;
  }

  return {
    hold(messages) {
      for (const { deviceId, unlockId, delivered, traceparent } of messages) {
        traces?.remember(unlockId, traceparent);
        // Nobody was subscribed: it stays dispatched, and the box's silence decides.
        if (!delivered || held.has(unlockId)) continue;
        const publishedAt = instant(clock.now());
        const timer = setTimeout(() => {
          record(deviceId, unlockId).catch((error: unknown) => logger.warn({ err: error }, 'That the broker has a command could not be recorded'));
        }, HELD_MS);
        held.set(unlockId, { publishedAt, deviceId, timer });
      }
    },
    joinedWith(command) {
      if (command.type !== 'RecordUnlockAnswer') return command;
      const publishedAt = take(command.data.unlockId);
      return publishedAt === undefined ? command : { type: command.type, data: { ...command.data, publishedAt } };
    },
    async flush() {
      await Promise.allSettled([...held].map(([unlockId, { deviceId }]) => record(deviceId, unlockId)));
    },
  };
}
