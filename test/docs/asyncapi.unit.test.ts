import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { asyncApiDocument } from '../../scripts/asyncapi.ts';
import { commandActions } from '../../src/bridge/protocol/commands.ts';
import { commandFilters, downTopics, topicFor, uplinkFilters, type TopicOwner } from '../../src/bridge/topics.ts';

interface Ref {
  readonly $ref: string;
}
interface Document {
  readonly channels: Record<string, { address: string; servers: Ref[]; messages: Record<string, Ref> }>;
  readonly operations: Record<string, { action: 'send' | 'receive'; channel: Ref; messages: Ref[] }>;
  readonly components: { messages: Record<string, { examples?: { name: string; payload: unknown }[]; payload: { schema: Ref } }>; schemas: Record<string, object> };
}
const document = JSON.parse(JSON.stringify(asyncApiDocument())) as Document;
const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as object;

describe('contracts/asyncapi.json', () => {
  /** `npx vitest run test/docs/asyncapi -u` writes it anew. */
  it('is what this code makes', async () => {
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot('../../contracts/asyncapi.json');
  });

  it('is AsyncAPI 3', () => {
    const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false });
    (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
    const validate = ajv.compile(read('node_modules/@asyncapi/specs/schemas/3.0.0.json'));
    validate(document);
    expect((validate.errors ?? []).slice(0, 5)).toEqual([]);
  });

  it('refers to nothing that is not there', () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, pointer = '']) => pointer);
    const broken = refs.filter((pointer) => pointer.split('/').reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document) === undefined);
    expect(broken).toEqual([]);
  });

  it('has examples of every message of the boxes, as their schemas say', () => {
    const ajv = new Ajv2020({ strict: false });
    (ajvFormats as unknown as typeof ajvFormats.default)(ajv);
    ajv.addSchema({ $id: 'doc', components: document.components });
    for (const [name, { examples = [], payload }] of Object.entries(document.components.messages)) {
      const validate = ajv.compile(JSON.parse(JSON.stringify(payload.schema).replace('#/', 'doc#/')) as object);
      if (name.includes('.')) expect(examples.length, name).toBeGreaterThan(0);
      for (const example of examples) expect(validate(example.payload), `${example.name} ${JSON.stringify(validate.errors)}`).toBe(true);
    }
  });

  it('names the topics of the code, and no other', () => {
    const mqtt = Object.fromEntries(Object.entries(document.channels).filter(([, { servers }]) => servers[0]?.$ref === '#/servers/mqtt'));
    const addresses = (action: string): string[] =>
      Object.values(document.operations).flatMap((operation) => (operation.action === action ? (mqtt[operation.channel.$ref.split('/').at(-1) ?? '']?.address ?? []) : []));
    const wild = (action: string) => [...new Set(addresses(action).map((address) => address.replace(/\{\w+\}/, '+')))].sort();
    expect(wild('receive')).toEqual([...uplinkFilters].sort());
    expect(wild('send')).toEqual([...commandFilters].sort());

    const owner = (profile: TopicOwner['profile']): TopicOwner => ({ profile, deviceId: 'DEVICE', serialNumber: 'SERIAL', hardwareId: 'HARDWARE' });
    const down = (['loqey', 'loqey_serial', 'smartlock', 'transisttag'] as const).flatMap((profile) => downTopics(owner(profile)));
    const named = addresses('send').map((address) => address.replace('{device_id}', 'DEVICE').replace('{serial_number}', 'SERIAL').replace('{hardware_id}', 'HARDWARE'));
    expect([...new Set(named)].sort()).toEqual(down.sort());
    for (const action of commandActions) {
      const at = Object.values(mqtt).filter(({ messages, address }) => `command.${action}` in messages && address.startsWith('loqey/devices/{device_id}'));
      expect(at.map(({ address }) => address.replace('{device_id}', 'DEVICE'))).toEqual([topicFor(owner('loqey'), action)]);
    }
  });
});
