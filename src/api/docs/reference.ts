import { createHash } from 'node:crypto';

/**
 * Descriptions as one page to read: no script, nothing loaded. OpenAPI and AsyncAPI alike, as far as this program writes them.
 */

type Json = Readonly<Record<string, unknown>>;
interface Schema extends Json {
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}
interface Media {
  readonly schema: Schema;
  readonly example?: unknown;
}
interface Response {
  readonly $ref?: string;
  readonly description: string;
  readonly content?: Readonly<Record<string, Media>>;
}
interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}
interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly deprecated?: boolean;
  readonly security: readonly Json[];
  readonly 'x-permission'?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, Response>>;
}
interface Info {
  readonly title: string;
  readonly version: string;
  readonly description: string;
}
export interface OpenApi {
  readonly info: Info;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly responses: Readonly<Record<string, Response>>;
    readonly schemas: Readonly<Record<string, Schema>>;
  };
}
interface Ref {
  readonly $ref: string;
}
export interface AsyncApi {
  readonly info: Info;
  readonly channels: Readonly<Record<string, { readonly address: string; readonly title: string; readonly servers: readonly Ref[]; readonly parameters?: Readonly<Record<string, { readonly description?: string }>> }>>;
  readonly operations: Readonly<Record<string, { readonly action: 'send' | 'receive'; readonly channel: Ref; readonly messages: readonly Ref[] }>>;
  readonly components: {
    readonly messages: Readonly<Record<string, { readonly title: string; readonly summary?: string; readonly payload: { readonly schema: Schema }; readonly examples?: readonly { readonly name: string; readonly payload: unknown }[] }>>;
    readonly schemas: Readonly<Record<string, Schema>>;
  };
}

const styles = `
:root{color-scheme:light dark;--line:light-dark(#d7dbe0,#3a4048);--soft:light-dark(#f4f5f7,#1d2126);--dim:light-dark(#57606a,#9aa4af);--link:light-dark(#0b57d0,#8ab4f8)}
*{box-sizing:border-box}html{scroll-behavior:smooth}body{margin:0;font:16px/1.5 system-ui,sans-serif;background:light-dark(#fff,#14171a);color:light-dark(#1b1f24,#e6e9ec)}
a{color:var(--link);text-decoration:none}a:hover,main a{text-decoration:underline}code,pre{font:14px/1.45 ui-monospace,monospace}
body>div{display:grid;grid-template-columns:minmax(14rem,20rem) minmax(0,1fr)}nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:14px}
nav{overflow-wrap:anywhere}nav ul{list-style:none;margin:0 0 1rem;padding:0}nav a{display:block;padding:.15rem 0;min-height:24px}nav strong a{color:inherit}main{padding:1.5rem 2rem 6rem;max-width:62rem}h1{margin:0 0 .5rem}h2{margin:3rem 0 .5rem;border-bottom:1px solid var(--line)}h3{margin:2rem 0 .25rem;font-size:1.1rem}h4{margin:1rem 0 .25rem;font-size:.95rem;color:var(--dim)}
pre{background:var(--soft);padding:.75rem 1rem;border-radius:6px;overflow:auto;max-height:26rem;white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:600}code,td,th,h1,h2,h3{overflow-wrap:anywhere}td:first-child{white-space:nowrap}
p{margin:.35rem 0}small,.dim{color:var(--dim)}.verb{display:inline-block;min-width:4.2rem;font:600 13px/1.6 ui-monospace,monospace}summary{cursor:pointer;color:var(--link)}
@media(max-width:50rem){body>div{display:block}nav{position:static;height:auto;border:0}main{padding:1rem}td:first-child{white-space:normal}}@media print{nav{display:none}}`;

/** The one inline style of these pages, as a content security policy names it. */
export const styleHash = `'sha256-${createHash('sha256').update(styles).digest('base64')}'`;

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const text = (value: unknown): string => String(value).replaceAll(/[&<>"]/g, (sign) => escapes[sign] ?? '');
const code = (value: unknown): string => `<code>${text(value)}</code>`;
/** Text with `code` in it. */
const prose = (value: string | undefined): string => text(value ?? '').replaceAll(/`([^`]+)`/g, '<code>$1</code>');
const last = (pointer: string): string => pointer.split('/').at(-1) ?? '';
const anchor = (...parts: readonly string[]): string => parts.join('-').replaceAll(/[^A-Za-z0-9]+/g, '-');

interface Section {
  readonly title: string;
  readonly description?: string;
  readonly entries: readonly { readonly id: string; readonly label: string; readonly html: string }[];
}

function page(info: Info, source: string, sections: readonly Section[]): string {
  const nav = sections.map(({ title, entries }) => `<strong><a href="#${anchor('s', title)}">${text(title)}</a></strong><ul>${entries.map(({ id, label }) => `<li><a href="#${id}">${text(label)}</a></li>`).join('')}</ul>`);
  const body = sections.map(
    ({ title, description, entries }) => `<section><h2 id="${anchor('s', title)}">${text(title)}</h2><p>${prose(description)}</p>${entries.map(({ id, html }) => `<article id="${id}">${html}</article>`).join('')}</section>`,
  );
  const intro = info.description.split('\n\n').map((paragraph) => `<p>${prose(paragraph)}</p>`).join('');
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${text(info.title)}</title><style>${styles}</style></head><body><div><nav aria-label="Contents">${nav.join('')}</nav><main><h1>${text(info.title)}</h1><p class="dim">Version ${text(info.version)} · <a href="${source}">${text(source)}</a></p>${intro}${body.join('')}</main></div></body></html>`;
}

/** The type of a value in a few words, with links to what has a name. */
function typeOf(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.includes('/$defs/') ? undefined : last(schema.$ref);
    return name === undefined ? code(last(schema.$ref)) : `<a href="#${anchor('t', name)}">${text(name)}</a>`;
  }
  if ('const' in schema) return code(JSON.stringify(schema.const));
  if (schema.enum !== undefined) return schema.enum.map((each) => code(each)).join(' ');
  const several = schema.anyOf ?? schema.oneOf;
  if (several !== undefined) return several.map(typeOf).join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  return text(schema.format ?? schema.type ?? 'anything');
}

function limitsOf({ minimum, maximum, minLength, maxLength, type }: Schema): string {
  const [low, high, unit] = type === 'string' ? [minLength, maxLength, ' characters'] : [minimum, maximum, ''];
  if (low === undefined && high === undefined) return '';
  return ` <small>${[...(low === undefined ? [] : [`from ${low}`]), ...(high === undefined ? [] : [`to ${high}`])].join(' ')}${unit}</small>`;
}

function members(schema: Schema): string {
  const properties = schema.properties ?? {};
  if (Object.keys(properties).length === 0) return '';
  const required = new Set(schema.required);
  const rows = Object.entries(properties).map(([name, inner]) => {
    const nested = inner.properties === undefined ? '' : `<details><summary>members</summary>${members(inner)}</details>`;
    return `<tr><td>${code(name)}${required.has(name) ? '' : ' <small>optional</small>'}</td><td>${typeOf(inner)}${limitsOf(inner)}</td><td>${prose(inner.description)}${nested}</td></tr>`;
  });
  return `<table><thead><tr><th>member</th><th>type</th><th>meaning</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** What a body is: a name to follow, or its members. */
function described(schema: Schema): string {
  const table = members(schema);
  return table === '' ? `<p>${typeOf(schema)}</p>` : table;
}

function example(value: unknown, label = 'Example'): string {
  return value === undefined ? '' : `<details><summary>${text(label)}</summary><pre>${text(JSON.stringify(value, null, 2))}</pre></details>`;
}

function types(schemas: Readonly<Record<string, Schema>>, skip: (name: string) => boolean = () => false): Section {
  const entries = Object.entries(schemas)
    .filter(([name]) => !skip(name))
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, schema]) => ({ id: anchor('t', name), label: name, html: `<h3>${text(name)}</h3><p>${prose(schema.description)}</p>${described(schema)}` }));
  return { title: 'Types', entries };
}

export function openApiPage(document: OpenApi, source: string): string {
  const operations = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
  const current = operations.filter(({ operation }) => operation.deprecated !== true);
  const older = (id: string) => operations.filter(({ operation }) => operation.deprecated === true && operation.operationId.startsWith(`${id}_`));
  const sections = document.tags.map(({ name, description }) => ({
    title: name,
    description,
    entries: current
      .filter(({ operation }) => operation.tags.includes(name))
      .map(({ path, method, operation }) => ({
        id: anchor('o', method, path),
        label: operation.summary,
        html: operationHtml(document, method, path, operation, older(operation.operationId)),
      })),
  }));
  return page(document.info, source, [...sections.filter(({ entries }) => entries.length > 0), types(document.components.schemas)]);
}

function operationHtml(document: OpenApi, method: string, path: string, operation: Operation, older: readonly { readonly method: string; readonly path: string }[]): string {
  const { components } = document;
  const parameters = (operation.parameters ?? []).map((each) => (each.$ref === undefined ? each : (components.parameters[last(each.$ref)] ?? each)));
  const rows = parameters.map((each) => `<tr><td>${code(each.name)}${each.required === true ? '' : ' <small>optional</small>'}</td><td>${typeOf(each.schema)}${limitsOf(each.schema)}</td><td><small>${text(each.in)}</small> ${prose(each.description ?? each.schema.description)}</td></tr>`);
  const body = Object.entries(operation.requestBody?.content ?? {}).map(([type, media]) => `<h4>Body <small>${text(type)}${operation.requestBody?.required === true ? '' : ', optional'}</small></h4>${described(media.schema)}${example(media.example)}`);
  const answers = Object.entries(operation.responses).filter(([, response]) => response.$ref === undefined);
  const errors = Object.entries(operation.responses).filter(([, response]) => response.$ref !== undefined);
  const who = operation['x-permission'] ?? (operation.security.some((each) => 'device' in each) ? 'the box itself' : operation.security.length > 0 ? 'a signed-in account' : 'anyone');
  return [
    `<h3>${text(operation.summary)}</h3><p><span class="verb">${method}</span>${code(path)}</p>`,
    `<p class="dim">For ${operation['x-permission'] === undefined ? text(who) : `administrators with ${code(who)}`}${older.length === 0 ? '' : `. Older names: ${older.map((each) => code(`${each.method} ${each.path}`)).join(', ')}`}</p>`,
    rows.length === 0 ? '' : `<table><thead><tr><th>parameter</th><th>type</th><th>meaning</th></tr></thead><tbody>${rows.join('')}</tbody></table>`,
    ...body,
    ...answers.flatMap(([status, response]) => Object.entries(response.content ?? {}).map(([type, media]) => `<h4>${status} <small>${text(type)}</small></h4>${described(media.schema)}${example(media.example)}`)),
    `<p class="dim">Errors: ${errors.map(([status]) => code(status)).join(' ')}, each an <a href="#t-Error">Error</a></p>`,
  ].join('');
}

export function asyncApiPage(document: AsyncApi, source: string): string {
  const { channels, operations, components } = document;
  const messages = (refs: readonly Ref[]) => refs.map(({ $ref }) => `<a href="#${anchor('m', last($ref))}">${text(components.messages[last($ref)]?.title ?? last($ref))}</a>`).join(', ');
  const sectionOf = (title: string, server: string, ours: Readonly<Record<'send' | 'receive', string>>): Section => ({
    title,
    entries: Object.entries(channels)
      .filter(([, channel]) => last(channel.servers[0]?.$ref ?? '') === server)
      .map(([id, channel]) => {
        const said = Object.values(operations).filter((operation) => last(operation.channel.$ref) === id);
        const names = Object.entries(channel.parameters ?? {}).flatMap(([name, { description }]) => (description === undefined ? [] : [`${code(`{${name}}`)} ${prose(description)}`]));
        return {
          id: anchor('c', id),
          label: channel.address,
          html: `<h3>${code(channel.address)}</h3><p>${text(channel.title)}. ${names.join(' ')}</p>${said.map(({ action, messages: refs }) => `<p>${ours[action]}: ${messages(refs)}</p>`).join('')}`,
        };
      }),
  });
  const entries = Object.entries(components.messages).map(([name, { title, summary, payload, examples = [] }]) => ({
    id: anchor('m', name),
    label: title,
    html: `<h3>${text(title)}</h3><p>${prose(summary)}</p>${described(components.schemas[last(payload.schema.$ref ?? '')] ?? payload.schema)}${examples.map((each) => example(each.payload, each.name)).join('')}`,
  }));
  return page(document.info, source, [
    sectionOf('WebSockets', 'websocket', { send: 'You hear', receive: 'You may say first' }),
    sectionOf('MQTT', 'mqtt', { send: 'The box gets', receive: 'The box says' }),
    { title: 'Messages', entries },
  ]);
}
