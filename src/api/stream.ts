import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** A reader that takes nothing for so long has gone. */
const STUCK_MS = 30_000;

export function isStream(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}

/**
 * Sends an answer piece by piece, no faster than it is taken; its head has been written. Whoever goes away ends what makes
 * the pieces. Where one fails the connection is cut: only that still says that the answer is not whole.
 *
 * @throws what the pieces throw
 */
export async function sendPieces(res: ServerResponse, pieces: AsyncIterable<string>): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (res.destroyed) return;
      if (!res.write(piece)) await once(res, 'drain', { signal: AbortSignal.timeout(STUCK_MS) });
    }
    res.end();
  } catch (error) {
    res.destroy();
    throw error;
  }
}
