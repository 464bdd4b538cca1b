import { openApiDocument } from '../../src/api/openapi.ts';
import type { Schema } from '../schema.ts';

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly deprecated: boolean;
  readonly security: 'none' | 'bearer' | 'device';
  readonly isAdmin: boolean;
  readonly query: readonly { readonly name: string; readonly required: boolean; readonly schema: Schema }[];
  readonly parameters: Readonly<Record<string, Schema>>;
  readonly body: { readonly type: string; readonly schema: Schema; readonly required: boolean } | undefined;
  readonly takesKey: boolean;
}

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly schema: Schema;
}

interface Described {
  readonly operationId: string;
  readonly deprecated?: boolean;
  readonly security: readonly Readonly<Record<string, unknown>>[];
  readonly 'x-permission'?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

/** Every operation of the published description, older names included. */
export function operations(): { readonly all: readonly Operation[]; readonly schemas: Readonly<Record<string, Schema>> } {
  const document = JSON.parse(JSON.stringify(openApiDocument({ name: 'Loqey', version: '0' }))) as {
    paths: Record<string, Record<string, Described>>;
    components: { schemas: Record<string, Schema> };
  };
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, described]): Operation => {
      const parameters = described.parameters ?? [];
      const [body] = Object.entries(described.requestBody?.content ?? {});
      const [scheme] = described.security.map((each) => Object.keys(each)[0]);
      return {
        id: described.operationId,
        method: method.toUpperCase(),
        path,
        deprecated: described.deprecated === true,
        security: scheme === undefined ? 'none' : scheme === 'device' ? 'device' : 'bearer',
        isAdmin: described['x-permission'] !== undefined,
        query: parameters.filter((each) => each.in === 'query').map(({ name, required, schema }) => ({ name, required, schema })),
        parameters: Object.fromEntries(parameters.filter((each) => each.in === 'path').map(({ name, schema }) => [name, schema])),
        body: body === undefined ? undefined : { type: body[0], schema: body[1].schema, required: described.requestBody?.required === true },
        takesKey: parameters.some(({ $ref }) => $ref !== undefined),
      };
    }),
  );
  return { all, schemas: document.components.schemas };
}
