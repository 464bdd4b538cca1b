import { readdirSync, readFileSync } from 'node:fs';
import { liveChannels, Auth } from '../src/api/schemas/live.ts';
import { commandActions } from '../src/bridge/protocol/commands.ts';
import { reportKinds } from '../src/bridge/protocol/signature.ts';
import { reportTopic, topicFor, type Profile, type TopicOwner } from '../src/bridge/topics.ts';

type Json = Record<string, unknown>;

const contracts = new URL('../contracts/mqtt/', import.meta.url);
const read = (path: string): Json => JSON.parse(readFileSync(new URL(path, contracts), 'utf8')) as Json;
const schemaFormat = 'application/schema+json;version=draft-2020-12';

/** The families of topics: what a topic is made of, whether its boxes sign, and the name of its one variable level. */
const families: readonly { readonly profile: Profile; readonly signed: boolean; readonly parameter?: string; readonly means: string }[] = [
  { profile: 'loqey', signed: true, parameter: 'device_id', means: 'The id of the box, a lower-case UUID.' },
  { profile: 'loqey_serial', signed: true, parameter: 'serial_number', means: 'The serial number of the box.' },
  { profile: 'smartlock', signed: false, parameter: 'hardware_id', means: 'The name that the firmware knows itself by.' },
  { profile: 'transisttag', signed: false, means: 'One set of topics for all boxes: the payload names the box.' },
];

const PLACE = 'PLACE';
const addressOf = (topic: string, parameter: string | undefined) => (parameter === undefined ? topic : topic.replace(PLACE, `{${parameter}}`));

/** AsyncAPI 3 of all that is said over MQTT and WebSockets, from the topics, schemas and examples that the code is held against. */
export function asyncApiDocument(): Json {
  const channels: Record<string, Json> = {};
  const operations: Record<string, Json> = {};
  const messages: Record<string, Json> = {};
  const schemas: Record<string, unknown> = {};

  for (const file of readdirSync(new URL('schemas/', contracts)).sort()) {
    const { $id: _id, $schema: _schema, ...schema } = read(`schemas/${file}`);
    const name = file.replace('.schema.json', '');
    schemas[name] = relative(schema, name);
  }
  const examples = readdirSync(new URL('examples/', contracts)).sort();
  const mqttMessage = (name: string): Json => {
    const { title, description } = schemas[name] as { title: string; description?: string };
    messages[name] ??= {
      name,
      title,
      ...(description === undefined ? {} : { summary: description }),
      contentType: 'application/json',
      payload: { schemaFormat, schema: { $ref: `#/components/schemas/${name}` } },
      examples: examples.filter((file) => file.startsWith(`${name}.`)).map((file) => ({ name: file.replace('.json', ''), payload: read(`examples/${file}`) })),
    };
    return { $ref: `#/components/messages/${name}` };
  };

  function mqttChannel(family: (typeof families)[number], address: string, action: 'send' | 'receive', title: string, names: readonly string[]): void {
    const id = `${family.profile}_${(address.split('/').at(-1) ?? '').replace(/\W/g, '_')}${action === 'send' ? '_down' : ''}`;
    channels[id] ??= {
      address,
      title,
      servers: [{ $ref: '#/servers/mqtt' }],
      ...(family.parameter === undefined ? { description: family.means } : { parameters: { [family.parameter]: { description: family.means } } }),
      messages: {},
    };
    const channel = channels[id] as { messages: Record<string, Json> };
    for (const name of names) channel.messages[name] = mqttMessage(name);
    operations[`${action}_${id}`] = {
      action,
      channel: { $ref: `#/channels/${id}` },
      title,
      bindings: { mqtt: { qos: 1, retain: false, bindingVersion: '0.2.0' } },
      messages: Object.keys(channel.messages).map((name) => ({ $ref: `#/channels/${id}/messages/${name}` })),
    };
  }

  for (const family of families) {
    const owner: TopicOwner = { profile: family.profile, deviceId: PLACE, serialNumber: PLACE, hardwareId: PLACE };
    for (const kind of reportKinds) {
      const topic = reportTopic(owner, kind);
      if (topic === undefined) continue;
      mqttChannel(family, addressOf(topic, family.parameter), 'receive', `${kind} of a box`, [...(family.signed ? [`report.${kind}`] : []), `level0.${kind}`]);
    }
    for (const action of family.signed ? commandActions : (['unlock'] as const)) {
      mqttChannel(family, addressOf(topicFor(owner, action), family.parameter), 'send', 'Commands to a box', [`command.${action}`]);
    }
  }

  for (const each of liveChannels) {
    const { id, path, summary, bearer, messages: heard } = each;
    const filters = 'query' in each ? (JSON.parse(JSON.stringify(each.query)) as Record<string, unknown>) : {};
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
    const said = [...(bearer ? [Auth] : []), ...('commands' in each ? each.commands : [])];
    const all = [...heard, ...said];
    const resumes = 'resumes' in each ? each.resumes : true;
    for (const schema of all) {
      const { title, description } = schema;
      schemas[title] = JSON.parse(JSON.stringify(schema));
      messages[title] = { name: title, title, summary: description, contentType: 'application/json', payload: { schemaFormat, schema: { $ref: `#/components/schemas/${title}` } } };
    }
    const channel = `ws_${id}`;
    channels[channel] = {
      address: path,
      title: summary,
      servers: [{ $ref: '#/servers/websocket' }],
      ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters.map((name) => [name, {}])) }),
      messages: Object.fromEntries(all.map(({ title }) => [title, { $ref: `#/components/messages/${title}` }])),
      bindings: {
        ws: {
          method: 'GET',
          query: { type: 'object', properties: { ...filters, ...(resumes ? { after: { type: 'string', description: 'The `position` of the last message that was heard: what was missed since comes first.' } } : {}) } },
          ...(bearer ? { headers: { type: 'object', properties: { Authorization: { type: 'string', description: 'Bearer <token>; or the subprotocols `loqey, bearer.<token>`; or the message Auth.' } } } } : {}),
          bindingVersion: '0.1.0',
        },
      },
    };
    operations[`send_${channel}`] = { action: 'send', channel: { $ref: `#/channels/${channel}` }, summary, messages: heard.map(({ title }) => ({ $ref: `#/channels/${channel}/messages/${title}` })) };
    if (said.length > 0) operations[`receive_${channel}`] = { action: 'receive', channel: { $ref: `#/channels/${channel}` }, messages: said.map(({ title }) => ({ $ref: `#/channels/${channel}/messages/${title}` })) };
  }

  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Loqey: messages',
      version: '1.0.0',
      description: 'What is said between the backend and the lockboxes over MQTT, and what apps, couriers and consoles hear over WebSockets. "send" and "receive" are as the backend sees it. Nothing is ever retained. The rules of the boxes are in docs/device-protocol.md.',
    },
    defaultContentType: 'application/json',
    servers: {
      mqtt: { host: 'localhost:1883', protocol: 'mqtt', description: 'As the registration of a box names it; with TLS in production.', security: [{ $ref: '#/components/securitySchemes/device' }] },
      websocket: { host: 'localhost:8000', protocol: 'ws', description: 'The port of the API; every path is served below /api/v1 and /api too.' },
    },
    channels,
    operations,
    components: { securitySchemes: { device: { type: 'userPassword', description: 'Name and password from the registration of the box.' } }, messages, schemas },
  };
}

/** The schemas refer to each other by file; in one document they are neighbours. */
function relative(value: unknown, self: string): unknown {
  if (Array.isArray(value)) return value.map((each) => relative(each, self));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (key !== '$ref' || typeof inner !== 'string') return [key, relative(inner, self)];
      const [file = '', pointer = ''] = inner.split('#', 2);
      return [key, `#/components/schemas/${file === '' ? self : file.replace('.schema.json', '')}${pointer}`];
    }),
  );
}
