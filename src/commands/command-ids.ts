import type { Uuid } from '../domain/kernel.ts';
import { derivedCommandId } from '../platform/ids.ts';

/** The command that a request with this Idempotency-Key is: the same each time it comes. */
export function commandIdOfKey(principal: string, route: string, key: string): Uuid {
  return derivedCommandId(principal, route, key);
}

/** The unlock that a request to open makes. */
export function unlockIdOf(commandId: Uuid): Uuid {
  return derivedCommandId('unlock', commandId);
}
