import type { Uuid } from '../domain/kernel.ts';
import { isCovered, leafHash } from './merkle.ts';
import type { LoggedEvent } from './verify.ts';

/** The name of the format, in the first line of an export. For ever. */
export const EXPORT_FORMAT = 'loqey-log-export-1';

function exportHeader(logId: Uuid): string {
  return JSON.stringify({ format: EXPORT_FORMAT, logId });
}

/**
 * An event as it is stored, sealed values sealed, with the number and the hash of its leaf where the tree covers it.
 *
 * @param index covered events before it
 */
function exportLine(event: LoggedEvent & { readonly recordedAt: string }, index: number): string {
  const { position, stream, revision, eventId, type, data, metadata, recordedAt } = event;
  const leaf = isCovered(stream) ? { index, leaf: leafHash(event).toString('hex') } : {};
  return JSON.stringify({ position: String(position), stream, revision: String(revision), eventId, type, recordedAt, data, metadata, ...leaf });
}

/** Characters that are written at once. */
const CHUNK = 64 * 1_024;

/** An export of these events, some lines at a time. */
export async function* exportChunks(logId: Uuid, events: AsyncIterable<LoggedEvent & { readonly recordedAt: string }>): AsyncGenerator<string> {
  let chunk = `${exportHeader(logId)}\n`;
  let covered = 0;
  for await (const event of events) {
    chunk += `${exportLine(event, covered)}\n`;
    if (isCovered(event.stream)) covered++;
    if (chunk.length < CHUNK) continue;
    yield chunk;
    chunk = '';
  }
  yield chunk;
}

/** No export, or one that was damaged. */
export class NotAnExport extends Error {
  override readonly name = 'NotAnExport';
}

/**
 * The log that an export is of, and its events, read line by line.
 *
 * @throws NotAnExport naming the line
 */
export async function readExport(lines: AsyncIterable<string>): Promise<{ readonly logId: Uuid; readonly events: AsyncGenerator<LoggedEvent> }> {
  const iterator = lines[Symbol.asyncIterator]();
  const first = parsed<{ format?: string; logId?: Uuid }>((await iterator.next()).value as string | undefined, 1);
  if (first.format !== EXPORT_FORMAT || first.logId === undefined) throw new NotAnExport(`The first line must say "format":"${EXPORT_FORMAT}" and the log's id`);
  async function* events(): AsyncGenerator<LoggedEvent> {
    for (let number = 2; ; number++) {
      const { value, done } = await iterator.next();
      if (done === true) return;
      if (value === '') continue;
      const { leaf, position, revision, ...event } = parsed<Record<'position' | 'revision' | 'stream' | 'eventId' | 'type', string> & { data: unknown; metadata: unknown; leaf?: string; index?: number }>(value, number);
      yield { ...event, position: BigInt(position), revision: BigInt(revision), leaf: leaf === undefined ? undefined : Buffer.from(leaf, 'hex') };
    }
  }
  return { logId: first.logId, events: events() };
}

function parsed<T>(line: string | undefined, number: number): T {
  try {
    return JSON.parse(line ?? '') as T;
  } catch {
    throw new NotAnExport(`Line ${number} is no JSON`);
  }
}
