import { EventStoreDBClient } from '@eventstore/db-client';

const CLOSE_TIMEOUT_MS = 1_000;
const DISPOSE_TIMEOUT_MS = 200;

/**
 * Two clients in one process share a table of pending appends: when one loses its connection, the other's hang. So the
 * stores of one process share one client, and a second server is refused.
 */
export interface SharedClient {
  readonly client: EventStoreDBClient;
  readonly connectionString: string;
  users: number;
}

let current: SharedClient | undefined;

export function acquire(connectionString: string): SharedClient {
  if (current !== undefined && current.connectionString !== connectionString) {
    throw new Error('One process can talk to one EventStoreDB only; stop the store of the other first');
  }
  current ??= { client: EventStoreDBClient.connectionString(withKeepAlive(connectionString)), connectionString, users: 0 };
  current.users++;
  return current;
}

/** A connection that has gone silent is noticed after at most 13 s instead of 20, unless the operator says otherwise. */
function withKeepAlive(connectionString: string): string {
  if (/[?&]keepAliveTimeout=/i.test(connectionString)) return connectionString;
  return `${connectionString}${connectionString.includes('?') ? '&' : '?'}keepAliveTimeout=3000`;
}

export async function release(shared: SharedClient): Promise<void> {
  if (--shared.users > 0) return;
  current = undefined;
  // Without it the process never ends. It cancels at once, and then waits for an end that the append stream never tells.
  await settled(shared.client.dispose(), DISPOSE_TIMEOUT_MS);
}

/** The work goes on, but nobody waits for it any longer. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`No answer within ${Math.round(ms)} ms`)), Math.max(0, ms));
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** A tidying-up must not hang with the server that it says goodbye to. */
export async function settled(work: Promise<unknown>, ms = CLOSE_TIMEOUT_MS): Promise<void> {
  await within(ms, work).catch(() => undefined);
}
