import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** A reader that takes nothing for so long has gone. */
const STUCK_MS = 30_000;

export function isStream(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}

/** An answer of which only the head was asked for: nothing more is made. */
export async function endPieces(res: ServerResponse, pieces: AsyncIterable<string>): Promise<void> {
  res.end();
  await pieces[Symbol.asyncIterator]().return?.();
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
      if (!res.write(piece)) await drained(res);
    }
    res.end();
  } catch (error) {
    res.destroy();
    throw error;
  }
}

/** Until there is room again, or nobody to send to. */
async function drained(res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const onClose = () => gone.abort();
  res.once('close', onClose);
  try {
    await once(res, 'drain', { signal: AbortSignal.any([gone.signal, AbortSignal.timeout(STUCK_MS)]) });
  } catch (error) {
    if (!res.destroyed) throw error;
  } finally {
    res.off('close', onClose);
  }
}
