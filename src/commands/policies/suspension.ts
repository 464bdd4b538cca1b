import { userAggregate } from '../../domain/registry.ts';
import type { UserState } from '../../domain/user/state.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { Aggregates } from '../handle.ts';
import type { CommandContext, CommandOutcome } from '../port.ts';
import type { Reactor } from './reactor.ts';

export interface BoxesOfOwner {
  /**
   * The boxes that a user has, as of a moment not before the call. @throws where that cannot be known: a suspension that
   * missed a box claimed just before would leave it open to its owner for good, so the caller tries again.
   */
  deviceIdsOf(userId: string): Promise<readonly string[]>;
}

type Commands = Pick<Aggregates, 'execute' | 'load'>;

/**
 * A suspension is carried to each of the user's boxes before it is answered, because each box's own stream decides who
 * may open it. The reactor repeats it after a crash, and for a box that was claimed at the same moment.
 *
 * What is carried is what the account is then, not what was asked for: the request may be the late repeat of one that was
 * taken back since. Where the account changes while it is carried, the reactor hears of what came too late and takes it back.
 */
export interface Suspension {
  suspend(userId: string, reason: string | undefined, context: CommandContext): Promise<CommandOutcome>;
  activate(userId: string, context: CommandContext): Promise<CommandOutcome>;
}

export function createSuspension(bus: Commands, boxes: BoxesOfOwner): Suspension {
  async function carried(userId: string, outcome: CommandOutcome, context: CommandContext): Promise<CommandOutcome> {
    if (outcome.kind !== 'accepted') return outcome;
    const type = await meantFor(bus, userId);
    for (const deviceId of await boxes.deviceIdsOf(userId)) {
      await bus.execute({ type, data: { deviceId, userId } }, onBox(type, deviceId, context));
    }
    return outcome;
  }
  return {
    suspend: async (userId, reason, context) =>
      carried(userId, await bus.execute({ type: 'SuspendUser', data: { userId, ...(reason === undefined ? {} : { reason }) } }, context), context),
    activate: async (userId, context) => carried(userId, await bus.execute({ type: 'ActivateUser', data: { userId } }, context), context),
  };
}

/** What the boxes of this user are to be told, by the user's state now. */
async function meantFor(bus: Commands, userId: string): Promise<'SuspendOwner' | 'ActivateOwner'> {
  const { state } = await bus.load<UserState>(userAggregate, userId);
  return state.kind === 'registered' && state.suspended ? 'SuspendOwner' : 'ActivateOwner';
}

function onBox(type: string, deviceId: string, context: CommandContext): CommandContext {
  const { origin: _sealedForAnother, ...rest } = context;
  return { ...rest, commandId: derivedCommandId(type, context.commandId, deviceId), causationId: context.commandId };
}

export function suspensionReactor(bus: Commands, boxes: BoxesOfOwner): Reactor {
  return {
    name: 'suspension-to-boxes',
    eventTypes: ['UserSuspended', 'UserActivated', 'DeviceAssigned', 'OwnerSuspended', 'OwnerActivated'],
    startFrom: 'start',
    async react(event) {
      const box = 'userId' in event.data ? event.stream.slice('device-'.length) : undefined;
      const userId = 'userId' in event.data ? event.data.userId : event.stream.slice('user-'.length);
      const type = await meantFor(bus, userId);
      if (event.type === 'DeviceAssigned' && type === 'ActivateOwner') return;
      // A box that heard the opposite of what the account is: from a process that stood still meanwhile.
      if (event.type === 'OwnerSuspended' && type === 'SuspendOwner') return;
      if (event.type === 'OwnerActivated' && type === 'ActivateOwner') return;
      const deviceIds = box === undefined ? await boxes.deviceIdsOf(userId) : [box];
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
