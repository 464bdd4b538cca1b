import { openApiDocument } from '../src/api/openapi.ts';

interface Schema {
  readonly $ref?: string;
  readonly description?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly type?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
}
interface Media {
  readonly schema: Schema;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly deprecated?: boolean;
  readonly parameters?: readonly { readonly $ref?: string; readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Schema }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly content?: Readonly<Record<string, Media>> }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const nameOf = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name).replaceAll('"', "'"));
const literal = (value: unknown): string => (typeof value === 'string' ? `'${value.replaceAll(/['\\]/g, '\\$&')}'` : JSON.stringify(value));
const comment = (text: string | undefined, indent: string): string => (text === undefined ? '' : `${indent}/** ${text.replaceAll('*/', '* /').replaceAll(/\s+/g, ' ')} */\n`);

function typeOf(schema: Schema, indent = ''): string {
  if (schema.$ref !== undefined) return `Schemas['${schema.$ref.split('/').at(-1) ?? ''}']`;
  if ('const' in schema) return literal(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ');
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map((each) => typeOf(each, indent)))].join(' | ');
  switch (schema.type) {
    case 'object':
      return objectOf(schema, indent);
    case 'array': {
      const item = typeOf(schema.items ?? {}, indent);
      return `readonly ${/[|\s]/.test(item) && !item.endsWith('}') ? `(${item})` : item}[]`;
    }
    case 'integer':
    case 'number':
      return 'number';
    case 'string':
    case 'boolean':
    case 'null':
      return schema.type;
    default:
      return 'unknown';
  }
}

function objectOf({ properties = {}, patternProperties, additionalProperties, required }: Schema, indent: string): string {
  const names = Object.keys(properties);
  const others = Object.values(patternProperties ?? {})[0] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined);
  if (names.length === 0) {
    if (others !== undefined) return `Readonly<Record<string, ${typeOf(others, indent)}>>`;
    return additionalProperties === false ? 'Readonly<Record<string, never>>' : 'Readonly<Record<string, unknown>>';
  }
  const inner = `${indent}  `;
  const must = new Set(required);
  const lines = names.map((name) => {
    const member = properties[name] ?? {};
    return `${comment(member.description, inner)}${inner}readonly ${nameOf(name)}${must.has(name) ? '' : '?'}: ${typeOf(member, inner)};\n`;
  });
  return `{\n${lines.join('')}${indent}}`;
}

function operationOf(method: string, path: string, operation: Operation): string {
  const inner = '    ';
  const parameters = (where: string) => (operation.parameters ?? []).filter((each) => each.in === where);
  const members = (where: string): string => {
    const each = parameters(where);
    return objectOf({ properties: Object.fromEntries(each.map(({ name, schema }) => [name, schema])), required: each.filter(({ required }) => required).map(({ name }) => name) }, inner);
  };
  const sent = Object.entries(operation.requestBody?.content ?? {})[0];
  const replies = Object.entries(operation.responses)
    .filter(([, { $ref }]) => $ref === undefined)
    .map(([status, { content = {} }]) => `${inner}  ${status}: ${content['application/json'] === undefined ? 'string' : typeOf(content['application/json'].schema, `${inner}  `)};\n`);
  const parts = [
    ...(parameters('path').length === 0 ? [] : [`${inner}readonly params: ${members('path')};\n`]),
    ...(parameters('query').length === 0 ? [] : [`${inner}readonly query${parameters('query').some(({ required }) => required) ? '' : '?'}: ${members('query')};\n`]),
    ...(sent === undefined ? [] : [`${inner}readonly body${operation.requestBody?.required === true ? '' : '?'}: ${typeOf(sent[1].schema, inner)};\n`]),
    `${inner}readonly replies: {\n${replies.join('')}${inner}};\n`,
  ];
  return `${comment(`${operation.summary}: ${method} ${path}`, '  ')}  readonly ${operation.operationId}: {\n${parts.join('')}  };\n`;
}

/** TypeScript of the description: a type for each schema, and what each operation takes and answers. Older names are left out. */
export function clientSchema(): string {
  const document = JSON.parse(JSON.stringify(openApiDocument({ name: 'Loqey', version: '1' }))) as Document;
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]) => {
      // What is served at the root as well is one operation all the same.
      const twice = document.paths[`/api/v1${path}`]?.[method] !== undefined;
      return operation.deprecated === true || twice ? [] : [{ method: method.toUpperCase(), path, operation }];
    }),
  );
  const schemas = Object.entries(document.components.schemas).map(([name, schema]) => `${comment(schema.description, '  ')}  readonly ${name}: ${typeOf(schema, '  ')};\n`);
  const table = operations.map(({ method, path, operation }) => {
    const type = Object.keys(operation.requestBody?.content ?? {})[0] ?? 'application/json';
    return `  ${operation.operationId}: { method: '${method}', path: '${path}'${type === 'application/json' ? '' : `, sends: '${type}'`} },\n`;
  });
  return [
    '// Made from the description of the API by scripts/client.ts: `npm run client:print > src/client/schema.ts`.\n\n',
    `export interface Schemas {\n${schemas.join('')}}\n\n`,
    `/** What each operation takes and answers. */\nexport interface Operations {\n${operations.map(({ method, path, operation }) => operationOf(method, path, operation)).join('')}}\n\n`,
    `export const operations = {\n${table.join('')}} as const;\n`,
  ].join('');
}

if (import.meta.main) process.stdout.write(clientSchema());
