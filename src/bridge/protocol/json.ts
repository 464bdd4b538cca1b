import { isUtf8 } from 'node:buffer';

export const MAX_COMMAND_BYTES = 2048;
export const MAX_REPORT_BYTES = 4096;
const MAX_DEPTH = 6;

export type JsonProblem = 'too_large' | 'not_utf8' | 'too_deep' | 'number' | 'not_json' | 'duplicate_member';
export type JsonObject = Readonly<Record<string, unknown>>;
export type JsonResult = { readonly ok: true; readonly value: JsonObject } | { readonly ok: false; readonly problem: JsonProblem };

export interface JsonRules {
  readonly maxBytes: number;
  /** The protocol's numbers are integers written without fraction or exponent; the old payloads' are not. */
  readonly integersOnly: boolean;
}

/**
 * One JSON object under the protocol's rules. The bytes are looked over once before the parser sees them: nesting and
 * number forms, and how many members there are. Fewer members in the parsed value than were written means that a
 * duplicate was swallowed.
 */
export function parseObject(payload: Buffer, rules: JsonRules): JsonResult {
  if (payload.length > rules.maxBytes) return { ok: false, problem: 'too_large' };
  if (!isUtf8(payload)) return { ok: false, problem: 'not_utf8' };
  const members = scan(payload, rules.integersOnly);
  if (typeof members === 'string') return { ok: false, problem: members };
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    return { ok: false, problem: 'not_json' };
  }
  if (!isObject(value)) return { ok: false, problem: 'not_json' };
  if (countMembers(value) !== members) return { ok: false, problem: 'duplicate_member' };
  return { ok: true, value };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The number of members in all objects, or what forbids parsing. Says nothing about well-formedness. */
function scan(bytes: Buffer, integersOnly: boolean): number | JsonProblem {
  let members = 0;
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
    } else if (byte === 0x3a /* : */) {
      members++;
    } else if (byte === 0x7b /* { */ || byte === 0x5b /* [ */) {
      if (++depth > MAX_DEPTH) return 'too_deep';
    } else if (byte === 0x7d /* } */ || byte === 0x5d /* ] */) {
      depth--;
    } else if (integersOnly && (byte === 0x2d /* - */ || isDigit(byte))) {
      while (isDigit(bytes[i + 1])) i++;
      const next = bytes[i + 1];
      if (next === 0x2e /* . */ || next === 0x65 /* e */ || next === 0x45 /* E */) return 'number';
    }
  }
  return members;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) {
    let inside = 0;
    for (const item of value) inside += countMembers(item);
    return inside;
  }
  let members = 0;
  for (const name of Object.keys(value)) {
    members += 1 + countMembers((value as Record<string, unknown>)[name]);
  }
  return members;
}
