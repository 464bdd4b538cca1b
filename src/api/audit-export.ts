import type { AuditRow } from '../projections/read-models.ts';
import { csvLine } from './csv.ts';
import { tooMany, unavailable } from './errors.ts';
import type { PositionTokens } from './position.ts';
import { auditView } from './views.ts';

export const exportFormats = ['csv', 'ndjson'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export const contentTypeOf: Readonly<Record<ExportFormat, string>> = {
  csv: 'text/csv; charset=utf-8',
  ndjson: 'application/x-ndjson; charset=utf-8',
};

/** Names of columns, for ever: whoever reads these files goes by them. New ones come at the end. */
const columns = [
  'timestamp', 'summary', 'action', 'outcome', 'actor_kind', 'actor_id', 'actor_email', 'source', 'ip_address', 'user_agent', 'serial_number',
  'device_id', 'link_id', 'user_id', 'unlock_id', 'type', 'event_id', 'correlation_id', 'causation_id', 'command_id', 'stream', 'revision', 'recorded_at', 'position', 'details',
] as const;

/** A spreadsheet takes a file without it for one in its own country's letters. */
const MARK = '\u{feff}';

/**
 * Entries as they are read, in pieces. CSV begins with the mark of UTF-8 and a line of names, and nothing in it is a
 * formula; NDJSON has one entry of the API on each line.
 */
export async function* auditExport(pages: AsyncIterable<readonly AuditRow[]>, format: ExportFormat, positions: PositionTokens): AsyncGenerator<string> {
  if (format === 'csv') yield MARK + csvLine(columns);
  for await (const rows of pages) {
    let piece = '';
    for (const row of rows) {
      const { actor, details, ...view } = auditView(row, positions.encode(row.position));
      if (format === 'ndjson') piece += `${JSON.stringify({ ...view, actor, details })}\n`;
      else {
        const cells: Readonly<Record<(typeof columns)[number], string | null>> = {
          ...view, actor_kind: actor.kind, actor_id: actor.id, actor_email: actor.email, details: JSON.stringify(details),
        };
        piece += csvLine(columns.map((column) => cells[column]));
      }
    }
    yield piece;
  }
}

const MOST_EXPORTS = 4;
const MOST_OF_ONE = 2;

/** Exports under way in this process: each reads as fast as it is taken, beside what people wait for. */
export interface Exports {
  /** @throws ApiError 429 · 503 @returns what ends it; a second time does nothing */
  take(userId: string): () => void;
}

export function createExports(): Exports {
  const running: string[] = [];
  return {
    take(userId) {
      if (running.filter((each) => each === userId).length >= MOST_OF_ONE) throw tooMany(`${MOST_OF_ONE} exports of yours are under way: wait for one of them`, 10);
      if (running.length >= MOST_EXPORTS) throw unavailable('Too many exports are under way', 10);
      running.push(userId);
      let ended = false;
      return () => {
        if (!ended) running.splice(running.indexOf(userId), 1);
        ended = true;
      };
    },
  };
}

/** The same pieces; `release` is called when they are over, also where nobody asked for the first one. */
export function releasing(pieces: AsyncGenerator<string>, release: () => void): AsyncIterable<string> {
  const ended = async (result: Promise<IteratorResult<string>>): Promise<IteratorResult<string>> => {
    try {
      const piece = await result;
      if (piece.done === true) release();
      return piece;
    } catch (error) {
      release();
      throw error;
    }
  };
  return { [Symbol.asyncIterator]: () => ({ next: () => ended(pieces.next()), return: () => ended(pieces.return(undefined)) }) };
}
