import type { Dice } from './dice.ts';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly uniqueItems?: boolean;
  readonly pattern?: string;
  readonly format?: string;
}

/** What of this name is known from earlier answers. */
export type Known = (name: string) => string | undefined;

const samples: readonly string[] = [
  'a', 'Ana', 'Front door', '12:30', '00:00', '23:59', '123456', '35', '0', '1', '20', '100', '+90 555 123 45 67', '2026-11-21', '2026-11-21T10:00:00Z', 'LB-2026-0042', 'ana@example.com', 'unlock_opened', 'a_b', '1.0.0', 'cleanup', 'abcdefgh', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '0'.repeat(64), 'é ü ñ', 'Ğ', '🙂 hello',
];

/** A value that the schema allows, at its edges more often than not. */
export function valid(schema: Schema, dice: Dice, schemas: Readonly<Record<string, Schema>>, known: Known, name = ''): unknown {
  if (schema.$ref !== undefined) return valid(schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}, dice, schemas, known, name);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return dice.pick(schema.enum);
  if (schema.anyOf !== undefined) return valid(dice.pick(schema.anyOf), dice, schemas, known, name);
  const type = typeof schema.type === 'object' ? dice.pick(schema.type) : schema.type;
  switch (type) {
    case 'null':
      return null;
    case 'boolean':
      return dice.chance(0.5);
    case 'integer':
    case 'number':
      return numberOf(schema, dice, type === 'integer');
    case 'array': {
      const least = schema.minItems ?? 0;
      const count = least + dice.int(Math.min(schema.maxItems ?? 3, least + 3) - least + 1);
      const items = Array.from({ length: count }, () => valid(schema.items ?? {}, dice, schemas, known, name));
      return schema.uniqueItems === true ? [...new Set(items)] : items;
    }
    case 'string':
      return stringOf(schema, dice, known, name);
    default:
      return objectOf(schema, dice, schemas, known);
  }
}

function objectOf(schema: Schema, dice: Dice, schemas: Readonly<Record<string, Schema>>, known: Known): Record<string, unknown> {
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required);
  const lazy = dice.chance(0.3);
  const chosen = properties.filter(([name]) => required.has(name) || dice.chance(lazy ? 0.1 : 0.6));
  const least = schema.minProperties ?? 0;
  const all = chosen.length < least ? properties.slice(0, Math.max(least, 1)) : chosen;
  const made = Object.fromEntries(all.map(([name, each]) => [name, valid(each, dice, schemas, known, name)]));
  for (const [pattern, each] of Object.entries(schema.patternProperties ?? {})) {
    for (let count = dice.int(3); count > 0; count--) made[fitting({ pattern }, dice)] = valid(each, dice, schemas, known);
  }
  return made;
}

function numberOf({ minimum = -1_000, maximum = 1_000_000 }: Schema, dice: Dice, whole: boolean): number {
  if (dice.chance(0.3)) return dice.chance(0.5) ? minimum : maximum;
  const made = minimum + dice.roll() * (Math.min(maximum, minimum + 1_000) - minimum);
  return whole ? Math.round(made) : made;
}

function stringOf(schema: Schema, dice: Dice, known: Known, name: string): string {
  const before = known(name);
  if (before !== undefined && dice.chance(0.9)) return before;
  if (schema.format === 'date-time' || name.endsWith('_at')) return new Date(Date.now() + (dice.int(200) - 60) * 3_600_000).toISOString();
  if (schema.format === 'date') return new Date(Date.now() + (dice.int(60) - 30) * 86_400_000).toISOString().slice(0, 10);
  if (schema.format === 'email' || name === 'email') return `fuzz.${dice.uuid()}@example.com`;
  if (/uuid|0-9a-fA-F\]\{8\}/.test(`${schema.format} ${schema.pattern}`)) return dice.uuid();
  if (name === 'time_zone' || name === 'tz') return dice.pick(['Europe/Istanbul', 'UTC', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Apia']);
  return fitting(schema, dice);
}

function fitting({ pattern, minLength = 0, maxLength = 500 }: Schema, dice: Dice): string {
  const fits = (text: string): boolean => [...text].length >= minLength && [...text].length <= maxLength && (pattern === undefined || new RegExp(pattern, 'u').test(text));
  if (dice.chance(0.15)) {
    const edge = 'a'.repeat(dice.chance(0.5) ? Math.min(maxLength, 2_000) : Math.max(1, minLength));
    if (fits(edge)) return edge;
  }
  const fit = samples.filter(fits);
  return fit.length > 0 ? dice.pick(fit) : '1'.repeat(Math.max(1, minLength));
}
