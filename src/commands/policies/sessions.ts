import type { Reactor } from './reactor.ts';

/** Where the tokens of sessions are checked. */
export interface SessionVault {
  /** Can be repeated. */
  end(sessionId: string): Promise<void>;
}

/**
 * A session that the log ended ends in the vault. Who ends one there at once does not wait for this; it makes good what a
 * crash between the two left: tokens that could still be renewed.
 */
export function sessionReactor(vault: SessionVault): Reactor {
  return {
    name: 'sessions-to-vault',
    eventTypes: ['SessionEnded'],
    startFrom: 'start',
    sideBySide: 8,
    async react(event) {
      if (event.type === 'SessionEnded') await vault.end(event.data.sessionId);
    },
  };
}
