import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import ajvFormats from 'ajv-formats';
import type { TObject, TSchema } from 'typebox';
import { invalid, type ApiError } from './errors.ts';

/** `x-invalid` of a schema: the words for whoever broke it. */
export interface InvalidWords {
  /** Default: `Invalid <field>`. */
  readonly message?: string;
  readonly text: string;
}

const shared = { strict: true, allErrors: false, removeAdditional: false, useDefaults: true, verbose: true } as const;
const bodies = withFormats(new Ajv({ ...shared, coerceTypes: false }));
/** Queries and paths are text: `20` is a number there. */
const texts = withFormats(new Ajv({ ...shared, coerceTypes: true }));

function withFormats(ajv: Ajv): Ajv {
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv, ['email', 'date-time', 'date', 'uri']);
  const { validate: isRfc3339 } = ajv.formats['date-time'] as { readonly validate: (text: string) => boolean };
  // RFC 3339 has leap seconds; a Date has none.
  ajv.addFormat('date-time', (text: string) => isRfc3339(text) && !Number.isNaN(Date.parse(text)));
  ajv.addKeyword({ keyword: 'x-invalid', schemaType: 'object' });
  return ajv;
}

export type Check = (value: unknown) => void;

/** @throws ApiError 400 that names the member */
export function bodyCheck(schema: TSchema): Check {
  return checkOf(bodies.compile(schema));
}

/** Converts text in place to the types that the schema names. `open`: what it does not name is passed over. */
export function textCheck(schema: TObject, open = false): Check {
  const check = checkOf(texts.compile({ ...schema, additionalProperties: open }));
  const names = Object.keys(schema.properties);
  return (value) => {
    check(value);
    for (const name of names) {
      const each = (value as Readonly<Record<string, unknown>>)[name];
      // Four hundred digits become Infinity, which the library takes for a number and then holds against no limit.
      if (typeof each === 'number' && !Number.isFinite(each)) throw invalid(name, 'is too large');
      // Nothing that is kept has one, and PostgreSQL fails at the question.
      if (typeof each === 'string' && each.includes('\0')) throw invalid(name, 'must not contain a NUL');
    }
  };
}

function checkOf(validate: ValidateFunction): Check {
  return (value) => {
    if (!validate(value)) throw explain(validate.errors ?? []);
  };
}

function explain(errors: readonly ErrorObject[]): ApiError {
  // Of a failed union the first error is of its first member: the union's own words say more.
  const error = errors.find((candidate) => wordsOf(candidate) !== undefined) ?? errors.at(-1);
  if (error === undefined) return invalid('body', 'is not valid');
  const words = wordsOf(error);
  const field = fieldOf(error);
  const text = words?.text ?? textOf(error);
  return invalid(field, text, words?.message ?? `Invalid ${field}`);
}

function wordsOf({ keyword, parentSchema }: ErrorObject): InvalidWords | undefined {
  // A missing or unknown member is a mistake of the object around it.
  if (keyword === 'required' || keyword === 'additionalProperties') return undefined;
  return (parentSchema as { 'x-invalid'?: InvalidWords } | undefined)?.['x-invalid'];
}

function fieldOf({ instancePath, keyword, params }: ErrorObject): string {
  const path = instancePath.split('/').slice(1);
  if (keyword === 'required') path.push((params as { missingProperty: string }).missingProperty);
  if (keyword === 'additionalProperties') path.push((params as { additionalProperty: string }).additionalProperty);
  return path.length === 0 ? 'body' : path.join('.');
}

function textOf({ keyword, params, message = 'is not valid' }: ErrorObject): string {
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'additionalProperties':
      return 'is not known here';
    case 'type':
      return `must be of type ${String((params as { type: unknown }).type)}`;
    case 'enum':
      return `must be one of: ${(params as { allowedValues: unknown[] }).allowedValues.join(', ')}`;
    case 'format':
      return `must be a valid ${(params as { format: string }).format}`;
    case 'minLength':
    case 'maxLength': {
      const { limit } = params as { limit: number };
      return keyword === 'minLength' ? `must have at least ${limit} characters` : `must have at most ${limit} characters`;
    }
    case 'minProperties':
      return 'must have at least one member';
    case 'pattern':
      return 'has a form that is not accepted';
    default:
      return message;
  }
}
