import { userAggregate } from '../../domain/registry.ts';
import type { UserState } from '../../domain/user/state.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { Aggregates } from '../handle.ts';
import type { CommandBus, CommandContext, CommandOutcome } from '../port.ts';
import type { Reactor } from './reactor.ts';

export interface BoxesOfOwner {
  /**
   * The boxes that a user has, as of a moment not before the call. @throws where that cannot be known: a suspension that
   * missed a box claimed just before would leave it open to its owner for good, so the caller tries again.
   */
  deviceIdsOf(userId: string): Promise<readonly string[]>;
}

/**
 * A suspension is carried to each of the user's boxes before it is answered, because each box's own stream decides who
 * may open it. The reactor repeats it after a crash, and for a box that was claimed at the same moment.
 */
export interface Suspension {
  suspend(userId: string, reason: string | undefined, context: CommandContext): Promise<CommandOutcome>;
  activate(userId: string, context: CommandContext): Promise<CommandOutcome>;
}

export function createSuspension(bus: CommandBus, boxes: BoxesOfOwner): Suspension {
  async function carry(type: 'SuspendOwner' | 'ActivateOwner', userId: string, context: CommandContext): Promise<void> {
    for (const deviceId of await boxes.deviceIdsOf(userId)) {
      await bus.execute({ type, data: { deviceId, userId } }, onBox(type, deviceId, context));
    }
  }
  return {
    async suspend(userId, reason, context) {
      const outcome = await bus.execute({ type: 'SuspendUser', data: { userId, ...(reason === undefined ? {} : { reason }) } }, context);
      if (outcome.kind === 'accepted') await carry('SuspendOwner', userId, context);
      return outcome;
    },
    async activate(userId, context) {
      const outcome = await bus.execute({ type: 'ActivateUser', data: { userId } }, context);
      if (outcome.kind === 'accepted') await carry('ActivateOwner', userId, context);
      return outcome;
    },
  };
}

function onBox(type: string, deviceId: string, context: CommandContext): CommandContext {
  const { origin: _sealedForAnother, ...rest } = context;
  return { ...rest, commandId: derivedCommandId(type, context.commandId, deviceId), causationId: context.commandId };
}

export function suspensionReactor(bus: Aggregates, boxes: BoxesOfOwner): Reactor {
  return {
    name: 'suspension-to-boxes',
    eventTypes: ['UserSuspended', 'UserActivated', 'DeviceAssigned'],
    startFrom: 'start',
    async react(event) {
      const userId = event.type === 'DeviceAssigned' ? event.data.userId : event.stream.slice('user-'.length);
      const { state } = await bus.load<UserState>(userAggregate, userId);
      // Decided by the user's state now: an older suspension that was lifted since is not carried out late.
      const suspended = state.kind === 'registered' && state.suspended;
      if (event.type === 'DeviceAssigned' && !suspended) return;
      const type = suspended ? 'SuspendOwner' : 'ActivateOwner';
      const deviceIds = event.type === 'DeviceAssigned' ? [event.stream.slice('device-'.length)] : await boxes.deviceIdsOf(userId);
      for (const deviceId of deviceIds) {
        await bus.execute(
          { type, data: { deviceId, userId } },
          {
            commandId: derivedCommandId(type, event.eventId, deviceId),
            correlationId: event.metadata.correlationId,
            causationId: event.eventId,
            actor: { kind: 'system', id: 'suspension-to-boxes' },
            source: 'system',
          },
        );
      }
    },
  };
}
