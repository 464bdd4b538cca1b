import type { ActivityRow } from '../projections/read-models.ts';
import type { Door } from './screen.ts';

export const untouched: Door = { openSince: undefined, closedAt: undefined };

/**
 * What became of the door after an opening. A box without a sensor of its door says nothing of it: there, that the bolt is
 * shut again is what is known.
 *
 * @param rows activity of the box from the request on, in any order
 */
export function doorSince(rows: readonly ActivityRow[]): Door {
  let door = untouched;
  let requests = 0;
  let moved = false;
  for (const { action, occurredAt } of rows.toSorted((a, b) => Number(a.position - b.position))) {
    switch (action) {
      case 'link_used':
      case 'unlock':
      case 'emergency_unlock':
        // From the next request on it is somebody else's door.
        if (++requests > 1) return door;
        break;
      case 'unlocked':
        moved = true;
        break;
      case 'door_opened':
        door = { openSince: occurredAt, closedAt: undefined };
        moved = true;
        break;
      case 'door_closed':
        if (moved) door = { openSince: undefined, closedAt: occurredAt };
        break;
      case 'lock':
        if (moved && door.openSince === undefined && door.closedAt === undefined) door = { openSince: undefined, closedAt: occurredAt };
        break;
    }
  }
  return door;
}
