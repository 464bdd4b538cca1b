import type { Dice } from './dice.ts';

/** Texts on which programs break, each for another reason. */
export const texts: readonly string[] = [
  '', ' ', '\t\r\n', '\u0000', 'a\u0000b', '\u001b[31m', '\u007f', '\u0085', '\ufeff', '\ufffe', '\uffff',
  '\ud800', 'a\udfffb', '\ud83d', '👩‍👩‍👧‍👦', '🇹🇷', 'e\u0301'.repeat(50), '\u202eevil\u202c', 'שלום', 'مرحبا', '\u200b\u200d\u2066', 'İıĞğŞş', 'ﬃ', 'ß', 'K', '𝕏',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '$ref', '$s', 'null', 'undefined', 'NaN', 'true', '[object Object]',
  "' OR 1=1 --", "'; DROP TABLE x; --", '%', '_', '%%', '\\', '\\u0000', "\\'", '$1', '${1+1}', '{{1}}', '<script>alert(1)</script>', '"><img src=x>', '&amp;', '../../etc/passwd', '..\\', 'file:///', 'http://x/', '//x',
  '%00', '%0d%0aX-Injected: 1', 'a\r\nX-Injected: 1', '=1+1', '@SUM(1)', '-1', '0', '1e309', '0x10', '١٢٣', '１２３４５６', '123456', '12345678901234567890',
  '2026-02-30', '0000-00-00', '9999-12-31T23:59:59.999Z', '2026-11-21T10:00:00+23:59', '2026-11-21T24:00:00Z', '2026-11-21T23:59:60Z', '-000001-01-01T00:00:00Z', '+275760-09-13T00:00:00.000Z', '10000-01-01', '2026-W01',
  '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'FFFFFFFF-FFFF-4FFF-8FFF-FFFFFFFFFFFF', '00000000-0000-4000-8000-00000000000g', 'Europe/Istanbul', 'europe/istanbul', 'Etc/GMT+12', '+03:00', 'a@b', 'a@b.c', 'ü@example.com', '"a b"@example.com', 'a@例え.jp',
];

const numbers: readonly number[] = [
  0, -0, 1, -1, 0.5, -0.1, 1e-7, 2, 7, 8, 99, 100, 101, 127, 128, 255, 256, 1_000, 1_001, 32_767, 32_768, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1e21, 1e308, -1e308, 5e-324, 180.000_000_1, -90.5,
];

export function text(dice: Dice): string {
  if (dice.chance(0.1)) return dice.pick(['a', 'é', '👍', '\u0000', ' ', '"', '\\']).repeat(dice.pick([36, 64, 100, 101, 255, 256, 500, 501, 2_000, 8_000]));
  if (dice.chance(0.1)) return dice.bytes(dice.int(40)).toString('latin1');
  return dice.chance(0.2) ? dice.pick(texts) + dice.pick(texts) : dice.pick(texts);
}

/** Anything that JSON can say. */
export function value(dice: Dice, depth = 0): unknown {
  switch (dice.int(depth > 3 ? 5 : 8)) {
    case 0:
      return null;
    case 1:
      return dice.chance(0.5);
    case 2:
      return dice.pick(numbers);
    case 3:
    case 4:
      return text(dice);
    case 5:
      return Array.from({ length: dice.int(4) }, () => value(dice, depth + 1));
    case 6:
      return Object.fromEntries(Array.from({ length: dice.int(4) }, () => [text(dice), value(dice, depth + 1)]));
    default:
      return nested(dice.pick([5, 31, 32, 33, 100]), dice.chance(0.5));
  }
}

function nested(depth: number, asObject: boolean): unknown {
  let inner: unknown = 1;
  for (let i = 0; i < depth; i++) inner = asObject ? { a: inner } : [inner];
  return inner;
}

/** Members that a merge or a lookup by name stumbles over. Written as text: an object literal would set its prototype. */
const extraMembers: readonly string[] = [
  '"__proto__":{"admin":true}', '"__proto__":null', '"constructor":{"prototype":{"admin":true}}', '"toString":1', '"hasOwnProperty":true', '"length":-1', '"role":"super_admin"', '"permissions":["admins:manage"]', '"userId":"x"',
  '"owner_id":"00000000-0000-4000-8000-000000000000"', '"is_admin":true', '"":1', '"a.b":1', '"$where":"1"', '"x-invalid":{}', '"\\ud800":1', '"\\u0000":1', '"then":{}', '"toJSON":1',
];

/** Changes one thing about JSON, as a value. */
export function mutated(given: unknown, dice: Dice): unknown {
  if (typeof given !== 'object' || given === null || dice.chance(0.12)) return changed(given, dice);
  if (Array.isArray(given)) {
    if (given.length === 0 || dice.chance(0.3)) return dice.chance(0.5) ? [...(given as unknown[]), value(dice)] : Array.from({ length: dice.pick([2, 51, 1_001]) }, () => (given as unknown[])[0] ?? null);
    const at = dice.int(given.length);
    return given.map((each: unknown, index) => (index === at ? mutated(each, dice) : each));
  }
  const entries = Object.entries(given);
  if (entries.length === 0) return dice.chance(0.5) ? value(dice) : { [text(dice)]: value(dice) };
  const at = dice.int(entries.length);
  if (dice.chance(0.15)) return Object.fromEntries(entries.filter((_entry, index) => index !== at));
  if (dice.chance(0.08)) return Object.fromEntries([...entries, [text(dice), value(dice)]]);
  return Object.fromEntries(entries.map(([name, each], index) => [name, index === at ? mutated(each, dice) : each]));
}

function changed(given: unknown, dice: Dice): unknown {
  if (typeof given === 'number' && dice.chance(0.7)) return dice.pick([given + 1, given - 1, given + 0.5, -given, `${given}`, dice.pick(numbers)]);
  if (typeof given === 'boolean' && dice.chance(0.6)) return dice.pick([!given, `${given}`, given ? 1 : 0, null]);
  if (typeof given === 'string' && dice.chance(0.8)) {
    const at = dice.int(given.length + 1);
    switch (dice.int(9)) {
      case 0:
        return given.slice(0, at) + dice.pick(texts) + given.slice(at);
      case 1:
        return given.slice(0, at);
      case 2:
        return given + given;
      case 3:
        return given.toUpperCase();
      case 4:
        return ` ${given} `;
      case 5:
        return [given];
      case 6:
        return Number(given);
      case 7:
        return given.repeat(dice.pick([3, 20, 200]));
      default:
        return text(dice);
    }
  }
  return value(dice);
}

/** JSON text with what JSON.stringify would never write. */
export function jsonText(given: unknown, dice: Dice, hostile: boolean): Buffer {
  let json = JSON.stringify(given) ?? 'null';
  if (!hostile) return Buffer.from(json);
  const object = json.startsWith('{') && json.length > 2;
  switch (dice.int(22)) {
    case 0:
      if (object) json = `{${dice.pick(extraMembers)},${json.slice(1)}`;
      break;
    case 1:
      if (object) json = `${json.slice(0, -1)},${dice.pick(extraMembers)}}`;
      break;
    case 2:
      // Which of two members of one name counts would be a guess.
      if (object) json = `{${json.slice(1, -1)},${json.slice(1, -1).split(',', 1)[0] ?? ''}}`;
      break;
    case 3:
      return Buffer.from(json).subarray(0, dice.int(json.length));
    case 4:
      json += dice.pick(['x', ',', '}', ']', json, '\u0000', ' '.repeat(500)]);
      break;
    case 5:
      json = `\ufeff${json}`;
      break;
    case 6:
      return Buffer.concat([Buffer.from(json.slice(0, -1)), dice.pick([Buffer.from([0xff]), Buffer.from([0xc3]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0])]), Buffer.from('}')]);
    case 7:
      json = dice.pick(['', 'null', '[]', '{}', '1', '"x"', 'true', '{', '[', '"', "{'a':1}", '{a:1}', '{"a":1,}', 'NaN', 'undefined', '-', '1e', '01', '// x', '{"a":0x1}', '\ud800', '[[[[[[']);
      break;
    case 8:
      json = '['.repeat(dice.pick([33, 1_000, 30_000]));
      break;
    case 9:
      json = `{"a":${'{"a":'.repeat(40)}1${'}'.repeat(41)}`;
      break;
    case 10:
      json = json.replaceAll(/\d+/g, () => dice.pick(['1e400', '-1e400', '1e-400', '9007199254740993', '1.0000000000000000000001', '-0', '00', '1'.repeat(300)]));
      break;
    case 11:
      json = json.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
      break;
    case 12:
      json = json.replace(/":"/, '":"\\ud800');
      break;
    case 13:
      if (object && dice.chance(0.3)) json = `${json.slice(0, -1)},"padding":"${'x'.repeat(dice.pick([31_000, 33_000, 70_000, 1_100_000]))}"}`;
      break;
    case 14:
      return Buffer.from(json, 'utf16le');
    default:
  }
  return Buffer.from(json);
}
