import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvLine, readCsv, type CsvRecord } from '../../src/api/csv.ts';

const LIMITS = { cell: 100, cells: 10 };

async function* bytes(text: string | Uint8Array, size = 3): AsyncGenerator<Uint8Array> {
  const whole = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
}

async function records(text: string | Uint8Array, size?: number): Promise<CsvRecord[]> {
  const found: CsvRecord[] = [];
  for await (const record of readCsv(bytes(text, size), LIMITS)) found.push(record);
  return found;
}
const cells = async (text: string | Uint8Array, size?: number) => (await records(text, size)).map((record) => record.cells);

describe('a CSV file', () => {
  it('is read as spreadsheets write it', async () => {
    const expected = [['a', 'b'], ['1', 'x "y", z'], ['2', 'line 1\nline 2']];
    const text = 'a,b\n1,"x ""y"", z"\n2,"line 1\nline 2"\n';
    expect(await cells(text)).toEqual(expected);
    expect(await cells(`\uFEFF${text}`)).toEqual(expected);
    expect(await cells(text.replaceAll('\n', '\r\n').replace('1\r\nline', '1\nline'))).toEqual(expected);
    expect(await cells('a;b\n1;2,5\n')).toEqual([['a', 'b'], ['1', '2,5']]);
    expect(await cells('a\tb\r1\t2')).toEqual([['a', 'b'], ['1', '2']]);
    expect(await cells('a,"x;y;z"\n1,2')).toEqual([['a', 'x;y;z'], ['1', '2']]);
    expect(await cells('')).toEqual([]);
  });

  it('says on which line each record begins, also after empty lines and cells of several', async () => {
    expect((await records('a\r\n\r\n"1\r\n2"\r\n , \n3\n')).map(({ line, cells: [first] }) => [line, first])).toEqual([[1, 'a'], [3, '1\r\n2'], [6, '3']]);
  });

  it.each([
    ['a,b\n1,"2', 'a quote in line 2 that is never closed'],
    ['a,b\n1,"2"x\n', 'something after a closing quote in line 2'],
    [`a\n${'x'.repeat(101)}`, 'a cell of more than 100 characters in line 2'],
    [','.repeat(10), 'more than 10 columns in line 1'],
    ['x'.repeat(5_000), 'more than 100 characters'],
    [new Uint8Array([0x61, 0xff, 0x0a]), 'not UTF-8'],
    [new Uint8Array([0x61, 0xc3]), 'not UTF-8'],
    [new Uint8Array([0xff, 0xfe, 0x61, 0x00]), 'not UTF-8'],
    ['a\0b\n', 'not UTF-8'],
  ])('that is broken is refused with where: %j', async (text, words) => {
    await expect(records(text)).rejects.toThrow(words);
  });

  it('is the same however its bytes arrive, and what was written is read back', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'ü', '😀', ',', ';', '"', '\n', ' ', '1', '-'), maxLength: 8 }).filter((text) => !/^\s*[-=+@]/.test(text));
    const rows = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 7 }), async (given, size) => {
        const text = `h,h,h,h,h,h,h,h\r\n${given.map((row) => csvLine(row)).join('')}`;
        const expected = given.filter((row) => row.some((each) => each.trim() !== ''));
        expect((await cells(text, size)).slice(1)).toEqual(expected);
      }),
    );
  });

  it('carries out nothing in a spreadsheet', () => {
    for (const evil of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =cmd|calc', '\r=1']) expect(csvLine([evil])).toMatch(/^"?'/);
    expect(csvLine(['=HYPERLINK("x")', 7, null, undefined, 'plain', '{"device_key":"-x"}'])).toBe('"\'=HYPERLINK(""x"")",7,,,plain,"{""device_key"":""-x""}"\r\n');
  });
});
