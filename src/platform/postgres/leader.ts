import pg from 'pg';
import { fullJitter, pause } from '../backoff.ts';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';
import { clientConfig } from './db.ts';

/** How often a process that is not the leader asks again. */
const ASK_EVERY_MS = 2_000;

/**
 * Runs `work` in at most one process at a time: whoever holds the session's advisory lock of that name. `work` ends when
 * its signal aborts; it may overlap with the next leader's for a moment after a lost connection, so it must be idempotent.
 */
export function whileLeader(name: string, url: string, logger: Logger, work: (signal: AbortSignal) => Promise<void>): Component {
  let abort = new AbortController();
  let running: Promise<void> | undefined;

  async function lead(signal: AbortSignal): Promise<void> {
    const client = new pg.Client(clientConfig(url, `loqey-${name}`));
    const term = new AbortController();
    const end = () => term.abort();
    client.on('error', end);
    client.on('end', end);
    signal.addEventListener('abort', end, { once: true });
    try {
      await client.connect();
      while (!term.signal.aborted) {
        const { rows } = await client.query<{ mine: boolean }>("SELECT pg_try_advisory_lock(hashtextextended('loqey.' || $1, 0)) AS mine", [name]);
        // Stopped while it asked: work that begins then would never hear of it.
        if (term.signal.aborted) return;
        if (rows[0]?.mine === true) {
          logger.debug({ leader: name }, 'Leading');
          await work(term.signal);
          return;
        }
        await pause(ASK_EVERY_MS, term.signal);
      }
    } finally {
      signal.removeEventListener('abort', end);
      await client.end().catch(() => undefined); // closing is all that is left to do with a broken connection
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await lead(signal);
        attempt = 0;
      } catch (error) {
        logger.warn({ err: error, leader: name }, 'Leadership was lost; asking again');
      }
      await pause(fullJitter(attempt), signal);
    }
  }

  return component(
    async () => {
      abort = new AbortController();
      running = run(abort.signal);
    },
    async () => {
      abort.abort();
      await running;
    },
  );
}
