/** Signs that are not taken for one another: no 0 and O, no 1 and I. */
const SIGNS = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ';

/** Six signs of an id (hexadecimal, with or without hyphens), short enough to say on the telephone: its last 30 bits. */
export function referenceOf(id: string): string {
  let bits = Number.parseInt(id.replaceAll('-', '').slice(-8), 16) % 2 ** 30;
  let reference = '';
  for (let sign = 0; sign < 6; sign++) {
    reference = (SIGNS[bits % 32] ?? '') + reference;
    bits = Math.floor(bits / 32);
  }
  return reference;
}
