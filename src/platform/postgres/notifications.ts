import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import { clientConfig } from './db.ts';

export interface NotificationsOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly logger: Logger;
}

/**
 * LISTEN for the whole process on one connection. A notification is a hint and may be missed while the connection is
 * away: `onGap` runs after each (re)connect, for whoever keeps a cache to drop it.
 */
export interface Notifications extends Component {
  /** Before `start`. Handlers must not throw; payloads come in commit order. */
  on(channel: string, handler: (payload: string) => void): void;
  onGap(handler: () => void): void;
}

/** How often a silent connection is asked whether it still lives. */
const PROBE_EVERY_MS = 10_000;

export function createNotifications({ url, applicationName, logger: parent }: NotificationsOptions): Notifications {
  const logger = parent.child({ component: 'notifications' });
  const handlers = new Map<string, Set<(payload: string) => void>>();
  const gapHandlers = new Set<() => void>();
  let stopping = new AbortController();
  let running: Promise<void> | undefined;

  async function listenOnce(signal: AbortSignal, onListening: () => void): Promise<void> {
    const client = new pg.Client(clientConfig(url, applicationName, { query: 5_000, idleInTransaction: 0 }));
    const lost = new Promise<never>((_, fail) => {
      client.on('error', fail);
      client.on('end', () => fail(new Error('The connection ended')));
    });
    lost.catch(() => undefined); // awaited below, but not from the first moment on
    client.on('notification', ({ channel, payload }) => {
      for (const handler of handlers.get(channel) ?? []) handler(payload ?? '');
    });
    try {
      await client.connect();
      await client.query([...handlers.keys()].map((channel) => `LISTEN ${client.escapeIdentifier(channel)}`).join('; '));
      onListening();
      while (!signal.aborted) {
        await Promise.race([pause(PROBE_EVERY_MS, signal), lost]);
        if (!signal.aborted) await client.query('SELECT 1');
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async function run(signal: AbortSignal, onFirst: () => void): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await listenOnce(signal, () => {
          attempt = 0;
          for (const handler of gapHandlers) handler();
          onFirst();
        });
      } catch (error) {
        logger.warn({ err: error }, 'Notifications of the database are away; caches fall back on their age');
      }
      await pause(fullJitter(attempt, { baseMs: 100, capMs: 5_000 }), signal);
    }
  }

  const lifecycle = component(
    async () => {
      stopping = new AbortController();
      await new Promise<void>((listening) => {
        running = run(stopping.signal, listening);
        // A database that is away now is not a reason not to start: it is tried on and on.
        void pause(5_000, stopping.signal).then(listening);
      });
    },
    async () => {
      stopping.abort();
      await running;
    },
  );

  return {
    ...lifecycle,
    on(channel, handler) {
      const known = handlers.get(channel) ?? new Set();
      handlers.set(channel, known.add(handler));
    },
    onGap: (handler) => void gapHandlers.add(handler),
  };
}
