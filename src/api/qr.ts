import { crc32, deflateSync } from 'node:zlib';
import encodeQR from 'qr';

/** Light modules around the symbol: readers need four. */
const BORDER = 4;
/** Pixels of one module, so that a symbol is about 300 pixels wide. */
const SCALE = 8;

/** A symbol of `text` as rows of modules, true = dark, its border included. Medium correction: 15 % may be unreadable. */
function modulesOf(text: string): readonly (readonly boolean[])[] {
  return encodeQR(text, 'raw', { ecc: 'medium', border: BORDER });
}

/** Dark on white whatever is behind it: on a dark page a transparent symbol could not be read. */
export function qrSvg(text: string): string {
  const modules = modulesOf(text);
  const size = modules.length;
  const runs = modules.flatMap((row, y) => [...row.map((dark) => (dark ? '#' : ' ')).join('').matchAll(/#+/g)].map((run) => `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size * SCALE}" height="${size * SCALE}" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges">` +
    `<path fill="#fff" d="M0 0h${size}v${size}h-${size}z"/><path d="${runs.join('')}"/></svg>`
  );
}

/** One bit for each pixel, no palette. */
export function qrPng(text: string): Buffer {
  const modules = modulesOf(text);
  const width = modules.length * SCALE;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(width, 4);
  header[8] = 1; // bits of a sample; all else is 0: greyscale, deflated, rows one after another
  const lines = modules.flatMap((row) => {
    // Filter 0, then a byte for each module: SCALE is the number of its bits.
    const line = Buffer.from([0, ...row.map((dark) => (dark ? 0x00 : 0xff))]);
    return Array.from({ length: SCALE }, () => line);
  });
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(lines))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'ascii'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
