import type { Database } from './db.ts';

/**
 * Runs `work` while no other process runs any of the same name: whoever comes second waits. It holds one connection of the
 * pool, and `work` may need others: callers in one process take turns before they come here.
 *
 * A lost connection gives the lock up in the middle of `work`, so it decides nothing that would be unsafe then.
 *
 * @throws what PostgreSQL says when the lock was not to be had within the pool's lock timeout
 */
export async function exclusively<T>(db: Database, name: string, work: () => Promise<T>): Promise<T> {
  const client = await db.pool.connect();
  let lost: Error | undefined;
  try {
    await client.query("SELECT pg_advisory_lock(hashtextextended('loqey.' || $1, 0))", [name]);
    return await work();
  } finally {
    await client.query("SELECT pg_advisory_unlock(hashtextextended('loqey.' || $1, 0))", [name]).catch((error: unknown) => {
      lost = error as Error;
    });
    // A connection that may still hold the lock is closed: that gives it up.
    client.release(lost);
  }
}
