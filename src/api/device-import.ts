import type { Static } from 'typebox';
import type { DeviceRegistration } from '../commands/port.ts';
import { present } from '../domain/kernel.ts';
import type { Api } from './api.ts';
import type { Call } from './call.ts';
import { csvLine } from './csv.ts';
import type { DeviceFile, DeviceFileRow } from './device-file.ts';
import { refusalWords, toApiError } from './errors.ts';
import type { ImportedRow, ImportSummary } from './schemas/admin.ts';

export type ImportRow = Static<typeof ImportedRow>;
type Registered = Extract<Awaited<ReturnType<DeviceRegistration['register']>>, { kind: 'registered' }>;

/** Boxes that are registered side by side. */
const SIDE_BY_SIDE = 8;
/** So many in a row that our own fault kept from it: the rest is not tried. */
const GIVE_UP_AFTER = 3;

/**
 * Registers each row of a file and tells what became of it, in order, as it goes. A box that there is already stays as it
 * is, so the same file again registers nothing twice; with the same Idempotency-Key it tells the same secrets again.
 */
export async function* importDevices(api: Api, call: Call, { rows }: DeviceFile, dryRun: boolean): AsyncGenerator<ImportRow> {
  const underWay: Promise<ImportRow>[] = [];
  let next = 0;
  let failures = 0;
  while (next < rows.length || underWay.length > 0) {
    while (next < rows.length && underWay.length < SIDE_BY_SIDE) {
      const row = rows[next++] as DeviceFileRow;
      underWay.push(failures >= GIVE_UP_AFTER ? Promise.resolve(reportOf(row, 'not_tried', { message: 'Not tried: what came before failed' })) : outcomeOf(api, call, row, dryRun));
    }
    const done = await (underWay.shift() as Promise<ImportRow>);
    failures = done.result === 'failed' ? failures + 1 : done.result === 'not_tried' ? failures : 0;
    yield done;
  }
}

async function outcomeOf(api: Api, call: Call, row: DeviceFileRow, dryRun: boolean): Promise<ImportRow> {
  if (row.kind === 'invalid') return reportOf(row, 'invalid', { message: row.message, details: row.details });
  if (row.kind === 'duplicate') return reportOf(row, 'duplicate', { message: `The same serial number as in line ${row.of}` });
  const { registration, reads, isTransient } = api.deps;
  const { device_model: model, profile, hardware_id: hardwareId } = row.device;
  try {
    // A repeat of this very request may have registered it: then the registration answers as it did.
    const known = call.seenBefore ? undefined : await reads.devices.bySerial(row.serialNumber);
    if (known !== undefined) return reportOf(row, 'exists', { device_id: known.deviceId, message: refusalWords.device_exists.message });
    if (dryRun) return reportOf(row, 'would_register', {});
    const reply = await registration.register(present({ serialNumber: row.serialNumber, model, profile, hardwareId }), call.context(`import:${row.serialNumber}`));
    if (reply.kind === 'registered') return reportOf(row, 'registered', secretsOf(reply));
    const { message, field } = refusalWords[reply.refusal.code];
    if (field !== undefined) return reportOf(row, 'invalid', { message, details: { [field[0]]: field[1] } });
    return reportOf(row, reply.refusal.code === 'device_exists' ? 'exists' : 'failed', { message });
  } catch (error) {
    api.deps.logger.warn({ err: error, line: row.line }, 'A box of a file could not be registered');
    return reportOf(row, 'failed', { message: toApiError(error, isTransient).message });
  }
}

function secretsOf({ deviceId, pin, provisioning }: Registered): Pick<ImportRow, 'device_id' | 'pin' | 'provisioning'> {
  return { device_id: deviceId, pin, provisioning };
}

function reportOf(row: DeviceFileRow, result: ImportRow['result'], more: Partial<ImportRow>): ImportRow {
  return { row: row.line, serial_number: row.serialNumber, result, ...more };
}

/** The report as JSON, written row by row. */
export async function* asJson(rows: AsyncIterable<ImportRow>, dryRun: boolean): AsyncGenerator<string> {
  const summary: Static<typeof ImportSummary> = { rows: 0, registered: 0, would_register: 0, exists: 0, duplicate: 0, invalid: 0, failed: 0, not_tried: 0 };
  yield `{"dry_run":${dryRun},"rows":[`;
  for await (const row of rows) {
    yield `${summary.rows === 0 ? '' : ','}\n${JSON.stringify(row)}`;
    summary.rows++;
    summary[row.result]++;
  }
  yield `\n],"summary":${JSON.stringify(summary)}}`;
}

/** The report as a spreadsheet opens it. What is flashed is JSON in one cell: it survives unchanged. */
export async function* asCsv(rows: AsyncIterable<ImportRow>): AsyncGenerator<string> {
  yield csvLine(['row', 'serial_number', 'result', 'device_id', 'pin', 'message', 'provisioning']);
  for await (const { row, serial_number: serial, result, device_id: deviceId, pin, message, details, provisioning } of rows) {
    const said = [message, ...Object.entries(details ?? {}).map(([name, text]) => `${name} ${text}`)].filter(Boolean).join(': ');
    yield csvLine([row, serial, result, deviceId, pin, said, provisioning === undefined ? undefined : JSON.stringify(provisioning)]);
  }
}
