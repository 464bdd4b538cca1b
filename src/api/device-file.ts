import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Static } from 'typebox';
import { normaliseSerial } from '../platform/ids.ts';
import { readBytes } from './body.ts';
import { CsvError, readCsv, type CsvRecord } from './csv.ts';
import { ApiError, invalid } from './errors.ts';
import { NewDevice } from './schemas/admin.ts';
import { bodyCheck } from './validate.ts';

/** A file of boxes to register, as far as it can be judged without asking anybody. */
export interface DeviceFile {
  /** Of its bytes: the same file is known by it. */
  readonly sha256: string;
  readonly rows: readonly DeviceFileRow[];
}

export type DeviceFileRow = {
  /** Where it is in the file, from 1. */
  readonly line: number;
  readonly serialNumber: string;
} & (
  | { readonly kind: 'good'; readonly device: Static<typeof NewDevice> }
  | { readonly kind: 'invalid'; readonly message: string; readonly details: Readonly<Record<string, string>> }
  | { readonly kind: 'duplicate'; readonly of: number }
);

const MAX_FILE_BYTES = 2 * 1_024 * 1_024;
const MAX_FILE_ROWS = 10_000;
const LIMITS = { cell: 300, cells: 20 };

/** What people call the columns → what they are. */
const columns: Readonly<Record<string, keyof Static<typeof NewDevice>>> = {
  serial_number: 'serial_number',
  serial: 'serial_number',
  device_model: 'device_model',
  model: 'device_model',
  profile: 'profile',
  hardware_id: 'hardware_id',
};
const UUID = /^[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}$/;
const check = bodyCheck(NewDevice);

/** @throws ApiError 400 for a file that cannot be read as a whole · 413 · 415 */
export async function readDeviceFile(req: IncomingMessage): Promise<DeviceFile> {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = req.headers;
  if (!/^text\/csv\s*(?:;|$)/i.test(type) || encoding !== 'identity') {
    throw new ApiError('unsupported_media_type', 'The body must be a CSV file: Content-Type: text/csv');
  }
  const tooLarge = `The file must have at most ${MAX_FILE_BYTES / 1_024 / 1_024} MiB and ${MAX_FILE_ROWS.toLocaleString('en')} rows`;
  const bytes = await readBytes(req, MAX_FILE_BYTES, tooLarge);
  const rows: DeviceFileRow[] = [];
  const lines = new Map<string, number>();
  let names: readonly (keyof Static<typeof NewDevice>)[] | undefined;
  try {
    for await (const record of readCsv(Readable.from([bytes]), LIMITS)) {
      if (names === undefined) {
        names = namesOf(record);
        continue;
      }
      if (rows.length >= MAX_FILE_ROWS) throw new ApiError('payload_too_large', tooLarge);
      const row = rowOf(record, names);
      const first = lines.get(row.serialNumber);
      if (first !== undefined) rows.push({ line: row.line, serialNumber: row.serialNumber, kind: 'duplicate', of: first });
      else {
        if (row.kind === 'good') lines.set(row.serialNumber, row.line);
        rows.push(row);
      }
    }
  } catch (error) {
    if (error instanceof CsvError) throw invalid('file', error.message);
    throw error;
  }
  if (names === undefined) throw invalid('file', 'is empty: its first line names the columns');
  return { sha256: createHash('sha256').update(bytes).digest('hex'), rows };
}

function namesOf({ cells }: CsvRecord): readonly (keyof Static<typeof NewDevice>)[] {
  const names = cells.map((cell) => {
    const name = columns[cell.trim().toLowerCase().replaceAll(/[\s-]+/g, '_')];
    // A column that is passed over in silence would be a box of another model than was meant.
    if (name === undefined) throw invalid('file', `has a column "${cell.trim().slice(0, 40)}": there are serial_number, device_model, profile and hardware_id`);
    return name;
  });
  if (!names.includes('serial_number')) throw invalid('file', 'has no column serial_number');
  if (new Set(names).size < names.length) throw invalid('file', 'names a column twice');
  return names;
}

function rowOf({ line, cells }: CsvRecord, names: readonly (keyof Static<typeof NewDevice>)[]): DeviceFileRow {
  const device: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const value = cells[index]?.trim() ?? '';
    if (value !== '') device[name] = value;
  }
  const serialNumber = normaliseSerial(device['serial_number'] ?? '');
  const bad = (message: string, details: Readonly<Record<string, string>>): DeviceFileRow => ({ line, serialNumber, kind: 'invalid', message, details });
  if (cells.length > names.length) return bad('Too many cells', { row: `has ${cells.length} cells, the first line ${names.length}` });
  try {
    check(device);
  } catch (error) {
    if (error instanceof ApiError) return bad(error.message, { ...(error.details as Record<string, string>) });
    throw error;
  }
  if (UUID.test(serialNumber)) return bad('Invalid serial_number', { serial_number: 'must not have the form of a UUID' });
  return { line, serialNumber, kind: 'good', device: device as Static<typeof NewDevice> };
}
