import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deviceIdOfSerial } from '../../src/platform/ids.ts';
import { readCsv } from '../../src/api/csv.ts';
import { readDeviceFile } from '../../src/api/device-file.ts';
import { deviceRow, startApi, type TestApi } from '../support/api.ts';
import { until } from '../support/until.ts';

let api: TestApi;
let token: string;
beforeEach(async () => {
  api = await startApi();
  ({ token } = api.signIn({ adminRole: 'admin' }));
});
afterEach(() => api.stop());

interface Report {
  readonly dry_run: boolean;
  readonly rows: readonly { readonly row: number; readonly serial_number: string; readonly result: string; readonly pin?: string; readonly message?: string; readonly details?: object }[];
  readonly summary: Readonly<Record<string, number>>;
}

async function upload(csv: string | Uint8Array<ArrayBuffer>, query = '', headers: Record<string, string> = {}) {
  const answer = await api.ask('POST', `/api/v1/admin/devices/import${query}`, { token, raw: csv, headers: { 'content-type': 'text/csv', ...headers } });
  return { ...answer, body: answer.body as unknown as Report };
}
const results = ({ body }: { body: Report }) => body.rows.map(({ row, serial_number, result }) => [row, serial_number, result]);

describe('a file of boxes', () => {
  test('is registered row by row, each with its secrets, and what is wrong is named', async () => {
    api.world.devices.set('x', deviceRow({ serialNumber: 'LB-OLD' }));
    const answer = await upload('Serial Number;Model;Profile\nlb-1;LoqeyBox-V2;\nLB-2;;smartlock\nLB-1;;\n\n!;;\nLB-3;;fax\nLB-OLD;;\nLB-4;a;b;c\n6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10;;\n');
    expect(answer.status).toBe(200);
    expect(results(answer)).toEqual([
      [2, 'LB-1', 'registered'],
      [3, 'LB-2', 'registered'],
      [4, 'LB-1', 'duplicate'],
      [6, '!', 'invalid'],
      [7, 'LB-3', 'invalid'],
      [8, 'LB-OLD', 'exists'],
      [9, 'LB-4', 'invalid'],
      [10, '6F1C2A4E-0B5D-4C7E-9A31-2D8E5F7A9B10', 'invalid'],
    ]);
    expect(answer.body.rows[0]).toMatchObject({ device_id: deviceIdOfSerial('LB-1'), pin: '123456', provisioning: { protocol: 1, profile: 'loqey' } });
    expect(answer.body.rows[2]).toMatchObject({ message: 'The same serial number as in line 2' });
    expect(answer.body.rows[4]).toMatchObject({ details: { profile: 'must be one of: loqey, loqey_serial, smartlock, transisttag' } });
    expect(answer.body.summary).toEqual({ rows: 8, registered: 2, would_register: 0, exists: 1, duplicate: 1, invalid: 4, failed: 0, not_tried: 0 });
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  test('is tried without doing anything', async () => {
    const answer = await upload('serial_number\nLB-1\nLB-2\n', '?dry_run=true');
    expect([answer.body.dry_run, ...results(answer)]).toEqual([true, [2, 'LB-1', 'would_register'], [3, 'LB-2', 'would_register']]);
    expect(api.world.registrations).toEqual([]);
    expect(answer.text).not.toContain('pin');
  });

  test('comes back as a file that a spreadsheet opens without carrying anything out', async () => {
    const answer = await upload('serial_number,device_model\nLB-1,=cmd\n"=HYPERLINK(""x"")",\n', '?format=csv');
    expect([answer.headers.get('content-type'), answer.headers.get('content-disposition')]).toEqual(['text/csv; charset=utf-8', 'attachment; filename="devices.csv"']);
    const rows: (readonly string[])[] = [];
    for await (const { cells } of readCsv(ReadableStream.from([new TextEncoder().encode(answer.text)]) as AsyncIterable<Uint8Array>, { cell: 2_000, cells: 10 })) rows.push(cells);
    expect(rows[0]).toEqual(['row', 'serial_number', 'result', 'device_id', 'pin', 'message', 'provisioning']);
    expect(rows[1]?.slice(0, 5)).toEqual(['2', 'LB-1', 'registered', deviceIdOfSerial('LB-1'), '123456']);
    expect(JSON.parse(rows[1]?.[6] ?? '')).toMatchObject({ protocol: 1, device_key: expect.any(String) as string });
    expect(rows[2]?.slice(0, 3)).toEqual(['3', `'=HYPERLINK("X")`, 'invalid']);
  });

  test('sent again registers nothing twice; with the same Idempotency-Key it says the same again', async () => {
    const csv = 'serial_number\nLB-1\nLB-2\n';
    const key = { 'idempotency-key': 'file-1' };
    const first = await upload(csv, '', key);
    for (const serial of ['LB-1', 'LB-2']) api.world.devices.set(serial, deviceRow({ serialNumber: serial }));
    expect(results(await upload(csv))).toEqual([[2, 'LB-1', 'exists'], [3, 'LB-2', 'exists']]);
    expect((await upload(csv, '', key)).body).toEqual(first.body);
    expect(api.world.registrations.slice(0, 2)).toEqual(api.world.registrations.slice(-2));
    expect(await upload('serial_number\nLB-3\n', '', key)).toMatchObject({ status: 422, body: { error: 'unprocessable' } });
  });

  test('that cannot be read is refused as a whole', async () => {
    for (const [csv, words] of [
      ['', 'is empty'],
      ['name\nx\n', 'has a column "name"'],
      ['device_model\nx\n', 'has no column serial_number'],
      ['serial,serial_number\nx,y\n', 'names a column twice'],
      ['serial_number\n"LB-1', 'never closed'],
      [new Uint8Array([0xff, 0xfe, 0x73, 0x00]), 'UTF-8'],
    ] as const) {
      const { status, body } = await upload(csv);
      expect([status, body], words).toMatchObject([400, { error: 'validation_error', details: { file: expect.stringContaining(words) as string } }]);
    }
    expect(await upload('serial_number\n', '', { 'content-type': 'application/json' })).toMatchObject({ status: 415, body: { error: 'unsupported_media_type' } });
    expect(await upload('serial_number\n', '?format=xml')).toMatchObject({ status: 400 });
    const { token: support } = api.signIn({ adminRole: 'support' });
    token = support;
    expect((await upload('serial_number\nLB-1\n')).status).toBe(403);
  });

  test('that is too large is refused before anything is done', async () => {
    const many = `serial_number\n${Array.from({ length: 10_001 }, (_, i) => `LB-${i}-X`).join('\n')}`;
    expect(await upload(many)).toMatchObject({ status: 413, body: { error: 'payload_too_large' } });
    expect(await upload(`serial_number\n${' '.repeat(3 * 1_024 * 1_024)}`)).toMatchObject({ status: 413 });
    // Without an announced length it is counted as it comes.
    const piece = Buffer.alloc(64 * 1_024, '\n');
    const endless = ReadableStream.from((async function* () { yield Buffer.from('serial_number\n'); for (let i = 0; i < 40; i++) yield piece; })());
    const response = await fetch(`${api.url}/api/v1/admin/devices/import`, { method: 'POST', body: endless, duplex: 'half', headers: { authorization: `Bearer ${token}`, 'content-type': 'text/csv' } } as RequestInit);
    expect(response.status).toBe(413);
    expect(api.world.registrations).toEqual([]);
  });

  test('is given up where our own fault keeps from it, and says what was not tried', async () => {
    api.world.registerThrows = new Error('connection terminated');
    const answer = await upload(`serial_number\n${Array.from({ length: 40 }, (_, i) => `LB-F${i}`).join('\n')}`);
    const { failed, not_tried: notTried } = answer.body.summary;
    expect(failed).toBeLessThan(20);
    expect((failed ?? 0) + (notTried ?? 0)).toBe(40);
    expect(answer.body.rows[0]).toMatchObject({ result: 'failed', message: 'The service is not available right now. Try again' });
  });

  test('that ends in the middle is the fault of whoever sends it', async () => {
    const headers = { 'content-type': 'text/csv', 'content-length': '1000' };
    async function* sent() {
      yield Buffer.from('serial_number\nLB-1\n');
      throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    }
    const request = Object.assign(Readable.from(sent()), { headers, complete: false }) as unknown as IncomingMessage;
    await expect(readDeviceFile(request)).rejects.toMatchObject({ status: 400, details: { body: 'ended before its announced length' } });
  });

  test('one at a time; whoever goes away stops it', async () => {
    let release = (): void => undefined;
    api.world.registerWaits = new Promise<void>((resolve) => (release = resolve));
    const csv = `serial_number\n${Array.from({ length: 200 }, (_, i) => `LB-G${i}`).join('\n')}`;
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    socket.write(`POST /api/v1/admin/devices/import HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: text/csv\r\nContent-Length: ${csv.length}\r\n\r\n${csv}`);
    await until('the first boxes are on their way', () => api.world.registrations.length >= 8);
    expect(await upload('serial_number\nLB-1\n')).toMatchObject({ status: 409, body: { error: 'conflict' } });
    socket.destroy();
    // What is answered later was received later.
    await api.ask('GET', '/health/live');
    release();
    await until('the place is free again', async () => (await upload('serial_number\nLB-1\n', '?dry_run=true')).status === 200);
    expect(api.world.registrations.length).toBeLessThan(100);
  });
});
