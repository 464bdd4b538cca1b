import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';

interface Document {
  readonly channels: Readonly<Record<string, { readonly address: string; readonly messages: Readonly<Record<string, unknown>> }>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

/** Answers what is wrong with a message that came over a WebSocket, held against the published description. */
export function liveConformance(): (path: string, message: unknown) => readonly string[] {
  const document = JSON.parse(readFileSync(new URL('../../contracts/asyncapi.json', import.meta.url), 'utf8')) as Document;
  const ajv = new Ajv2020({ strict: false });
  (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
  ajv.addSchema({ $id: 'messages', components: { schemas: document.components.schemas } });
  const channels = Object.values(document.channels)
    .filter(({ address }) => address.startsWith('/ws/'))
    .map(({ address, messages }) => ({ pattern: new RegExp(`^(?:/api(?:/v1)?)?${address.replaceAll(/\{\w+\}/g, '[^/]+')}/?$`), messages: Object.keys(messages) }));
  const validators = new Map<string, ValidateFunction>();
  const validator = (name: string): ValidateFunction => {
    const made = validators.get(name) ?? ajv.compile({ $ref: `messages#/components/schemas/${name}` });
    validators.set(name, made);
    return made;
  };

  return (path, message) => {
    const channel = channels.find(({ pattern }) => pattern.test(path.split('?', 1)[0] ?? ''));
    if (channel === undefined) return [`${path} is not described`];
    if (channel.messages.some((name) => validator(name)(message))) return [];
    const { type } = message as { type?: unknown };
    const likely = channel.messages.filter((name) => (document.components.schemas[name] as { properties: { type: { const: unknown } } }).properties.type.const === type);
    return likely.length === 0 ? [`${String(type)} is not heard on ${path}`] : likely.map((name) => `not ${name}: ${(validator(name)(message), ajv.errorsText(validator(name).errors))}`);
  };
}
