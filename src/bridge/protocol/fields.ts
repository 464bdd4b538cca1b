import type { JsonObject } from './json.ts';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const hex16Pattern = /^[0-9a-f]{16}$/;
const hex32Pattern = /^[0-9a-f]{32}$/;
const timePattern = /^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const controlPattern = /[\u0000-\u001f\u007f]/;

export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && uuidPattern.test(value);
}

export function isHex16(value: unknown): value is string {
  return typeof value === 'string' && hex16Pattern.test(value);
}

export function isHex32(value: unknown): value is string {
  return typeof value === 'string' && hex32Pattern.test(value);
}

/** Exactly `YYYY-MM-DDTHH:MM:SS.mmmZ`, a moment that exists, of the year 2000 or later. */
export function isTime(value: unknown): value is string {
  if (typeof value !== 'string' || !timePattern.test(value)) return false;
  const ms = Date.parse(value);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === value;
}

/** Text that any store and any log line can hold: bounded, no control characters, no lone surrogates. */
export function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength && !controlPattern.test(value) && value.isWellFormed();
}

/**
 * Reads members of one parsed object and remembers the first that is not as it must be; the caller looks at `problem`
 * once at the end. Values returned after a problem are placeholders. `null` counts as absent.
 */
export class Fields {
  /** The name of the first member that was wrong or missing. */
  problem: string | undefined;
  readonly #object: JsonObject;

  constructor(object: JsonObject) {
    this.#object = object;
  }

  fail(name: string): void {
    this.problem ??= name;
  }

  raw(name: string): unknown {
    return this.#object[name] ?? undefined;
  }

  integer(name: string, min: number, max: number): number {
    return this.optionalInteger(name, min, max) ?? (this.fail(name), 0);
  }

  optionalInteger(name: string, min: number, max: number): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
    this.fail(name);
    return undefined;
  }

  boolean(name: string): boolean {
    return this.optionalBoolean(name) ?? (this.fail(name), false);
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'boolean') return value;
    this.fail(name);
    return undefined;
  }

  oneOf<T extends string>(name: string, allowed: ReadonlySet<T>): T {
    return this.optionalOneOf(name, allowed) ?? (this.fail(name), '' as T);
  }

  optionalOneOf<T extends string>(name: string, allowed: ReadonlySet<T>): T | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === 'string' && (allowed as ReadonlySet<string>).has(value)) return value as T;
    this.fail(name);
    return undefined;
  }

  /** A string that passes `test`: `isUuid`, `isHex16`, `isHex32`, `isTime`. */
  string(name: string, test: (value: unknown) => value is string): string {
    return this.optionalString(name, test) ?? (this.fail(name), '');
  }

  optionalString(name: string, test: (value: unknown) => value is string): string | undefined {
    const value = this.raw(name);
    if (value === undefined || test(value)) return value;
    this.fail(name);
    return undefined;
  }

  text(name: string, maxLength: number): string {
    return this.optionalText(name, maxLength) ?? (this.fail(name), '');
  }

  optionalText(name: string, maxLength: number): string | undefined {
    const value = this.raw(name);
    if (value === undefined || isText(value, maxLength)) return value;
    this.fail(name);
    return undefined;
  }
}
