import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { statusOfCode, type ErrorCode } from '../../src/api/errors.ts';
import { openApiDocument } from '../../src/api/openapi.ts';

interface Media {
  readonly schema: object;
}
interface Response {
  readonly headers?: Readonly<Record<string, { readonly required?: boolean; readonly schema: object } | { readonly $ref: string }>>;
  readonly content?: Readonly<Record<string, Media>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>> }>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly responses: Readonly<Record<string, Response>>;
    readonly headers: Readonly<Record<string, { readonly required?: boolean; readonly schema: object }>>;
  };
}

/** One answer of the API as it came over the wire. */
export interface Exchange {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Answers what is wrong with an answer, held against the published description of the API; nothing when it is as declared. */
export function conformance(): (exchange: Exchange) => readonly string[] {
  const document = JSON.parse(JSON.stringify(openApiDocument({ name: 'Loqey', version: '0' }))) as Document;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
  ajv.addSchema({ $id: 'api', components: document.components });
  const compiled = new Map<object, ValidateFunction>();
  const validator = (schema: object): ValidateFunction => {
    let validate = compiled.get(schema);
    if (validate === undefined) {
      validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('#/components/', 'api#/components/')) as object);
      compiled.set(schema, validate);
    }
    return validate;
  };
  const patterns = Object.entries(document.paths)
    .map(([path, operations]) => ({ operations, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}/?$`), parameters: path.split('{').length }))
    .sort((a, b) => a.parameters - b.parameters);

  function declared({ method, path, status }: Exchange): Response | 'undeclared' | 'no such route' {
    const bare = (path.split('?', 1)[0] ?? '').replace(/^\/api\/(?!v1\/)/, '/api/v1/');
    const name = method === 'HEAD' ? 'get' : method.toLowerCase();
    const operation = patterns.find(({ pattern, operations }) => operations[name] !== undefined && pattern.test(bare))?.operations[name];
    if (operation === undefined) return 'no such route';
    const response = operation.responses[`${status}`];
    if (response === undefined) return 'undeclared';
    return '$ref' in response ? (document.components.responses[response.$ref.split('/').at(-1) ?? ''] ?? 'undeclared') : response;
  }

  function bodyProblems(content: Readonly<Record<string, Media>>, { status, headers, body }: Exchange): readonly string[] {
    const type = (headers.get('content-type') ?? '').split(';', 1)[0] ?? '';
    const media = content[type];
    if (media === undefined) return [`has the type "${type}", not ${Object.keys(content).join(' or ')}`];
    // An export of nothing has no lines.
    if (type !== 'application/json') return body.length > 0 || type === 'application/x-ndjson' ? [] : ['is empty'];
    const validate = validator(media.schema);
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as { readonly error?: ErrorCode } | null;
    if (status >= 400 && value?.error !== undefined && statusOfCode[value.error] !== status) return [`has the code ${value.error}`];
    return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`);
  }

  function headerProblems(response: Response, { headers }: Exchange): readonly string[] {
    return Object.entries(response.headers ?? {}).flatMap(([name, header]) => {
      const { required, schema } = '$ref' in header ? document.components.headers[header.$ref.split('/').at(-1) ?? '']! : header;
      const text = headers.get(name);
      if (text === null) return required === true ? [`lacks the header ${name}`] : [];
      const value = (schema as { type?: string }).type === 'integer' ? Number(text) : text;
      return validator(schema)(value) ? [] : [`has ${name}: ${text}`];
    });
  }

  return (exchange) => {
    const response = declared(exchange);
    if (response === 'undeclared') return [`has a status that its route does not declare`];
    if (response === 'no such route') {
      // A page for people, the description itself, or an error: whatever its reason is, it comes in the envelope.
      const isJson = (exchange.headers.get('content-type') ?? '').startsWith('application/json');
      if (!isJson || exchange.method === 'HEAD' || exchange.method === 'OPTIONS' || /\/(?:open|async)api\.json\/?$/.test(exchange.path)) return [];
      const envelope = { schema: { $ref: '#/components/schemas/Error' } };
      return exchange.status < 400 ? ['is of no route that is described'] : bodyProblems({ 'application/json': envelope }, exchange);
    }
    if (exchange.method === 'HEAD') return exchange.body.length === 0 ? headerProblems(response, exchange) : ['has a body'];
    return [...headerProblems(response, exchange), ...bodyProblems(response.content ?? {}, exchange)];
  };
}
