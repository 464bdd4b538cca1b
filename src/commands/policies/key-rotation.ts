import { derivedCommandId } from '../../platform/ids.ts';
import type { CommandBus } from '../port.ts';
import type { Reactor } from './reactor.ts';

/**
 * A new owner gets a new key: whoever had the box before may have read the old one, or one that was on its way to it. So
 * a rotation begins after each claim; where the box cannot sign yet, or another rotation is under way, as soon as it can.
 * What is due, the box's own stream knows.
 */
export function keyRotationReactor(bus: CommandBus): Reactor {
  return {
    name: 'key-rotation',
    eventTypes: ['DeviceAssigned', 'DeviceProtocolPinned', 'DeviceKeysRotated'],
    startFrom: 'now',
    sideBySide: 8,
    async react({ eventId, stream, metadata }) {
      const deviceId = stream.slice('device-'.length);
      await bus.execute(
        { type: 'StartKeyRotation', data: { deviceId, ifDue: true } },
        {
          commandId: derivedCommandId('key-rotation', eventId),
          correlationId: metadata.correlationId,
          causationId: eventId,
          actor: { kind: 'system', id: 'key-rotation' },
          source: 'system',
        },
      );
    },
  };
}
