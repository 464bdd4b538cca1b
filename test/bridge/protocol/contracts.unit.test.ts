import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandActions } from '../../../src/bridge/protocol/commands.ts';
import { openReport } from '../../../src/bridge/protocol/signed-reports.ts';
import { parseUnsigned } from '../../../src/bridge/protocol/unsigned-reports.ts';
import { reportKinds, signReport, verifyCommand, type ReportKind } from '../../../src/bridge/protocol/signature.ts';
import { readCommand } from '../../../src/simulator/received.ts';
import { vectorDeviceId, vectorKeys, vectors } from './vectors.ts';

const root = new URL('../../../contracts/mqtt/', import.meta.url);
const read = (path: string): Buffer => readFileSync(new URL(path, root));
const examples = readdirSync(new URL('examples/', root)).map((file) => ({ file, payload: read(`examples/${file}`) }));

const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true });
const schemas = readdirSync(new URL('schemas/', root)).map((file) => ({ name: file.replace('.schema.json', ''), schema: JSON.parse(read(`schemas/${file}`).toString()) as { $id: string } }));
for (const { schema } of schemas) ajv.addSchema(schema);

function validator(name: string): ValidateFunction {
  const found = schemas.find((schema) => schema.name === name);
  return ajv.getSchema(found?.schema.$id ?? name)!;
}

/** `report.status.hello.json` → `report.status` */
function messageOf(file: string): string {
  const [family = '', name = ''] = file.replace('.json', '').split('.');
  return family === 'provisioning' ? family : `${family}.${name}`;
}

const rptKeys = [{ version: 1, rpt: vectorKeys.rpt }];

describe('the contract of the device messages', () => {
  it('has a schema and an example for every message', () => {
    const wanted = ['provisioning', ...commandActions.map((action) => `command.${action}`), ...reportKinds.flatMap((kind) => [`report.${kind}`, `level0.${kind}`])];
    expect(schemas.map(({ name }) => name).filter((name) => name !== 'definitions').sort()).toEqual(wanted.sort());
    expect([...new Set(examples.map(({ file }) => messageOf(file)))].sort()).toEqual(wanted);
  });

  it.each(examples)('$file is what its schema says', ({ file, payload }) => {
    const validate = validator(messageOf(file));
    expect(validate(JSON.parse(payload.toString())), JSON.stringify(validate.errors)).toBe(true);
  });

  it.each(examples.filter(({ file }) => file.startsWith('report.')))('$file is signed and understood', ({ file, payload }) => {
    const kind = file.split('.')[1] as ReportKind;
    expect(openReport(kind, payload, vectorDeviceId, rptKeys)).toMatchObject({ ok: true, report: { kind } });
  });

  it.each(examples.filter(({ file }) => file.startsWith('command.')))('$file is signed and understood', ({ file, payload }) => {
    expect(verifyCommand(payload, vectorKeys.cmd)).toBe(true);
    expect(readCommand(payload, vectorDeviceId, 1)).toMatchObject({ action: file.split('.')[1] });
  });

  it.each(examples.filter(({ file }) => file.startsWith('level0.')))('$file is understood', ({ file, payload }) => {
    const kind = file.split('.')[1] as ReportKind;
    expect(parseUnsigned(kind, payload)).toMatchObject({ ok: true, report: { kind } });
  });

  it('the examples of the vectors are the vectors', () => {
    const files = { V1: 'command.unlock', V2: 'command.time', V3: 'report.responses', V4: 'command.rotate_key', V5: 'command.config' } as const;
    for (const [name, file] of Object.entries(files)) expect(read(`examples/${file}.json`).toString()).toBe(vectors.vectors[name as 'V1'].payload);
  });

  it('whatever the parser takes, the schema takes', () => {
    const values = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(null, 0, -1, 100, 101, true, '', 'locked', 'command', 'will', 'hello', 'final', 'refused', 'expired', 'stale_seq', 'opened', '2026-11-21T10:30:00.900Z'));
    const reports = examples.filter(({ file }) => file.startsWith('report.'));
    fc.assert(
      fc.property(fc.constantFrom(...reports), fc.nat(40), values, fc.boolean(), ({ file, payload }, at, value, drop) => {
        const kind = file.split('.')[1] as ReportKind;
        const { signature: _, ...body } = JSON.parse(payload.toString()) as Record<string, unknown>;
        const name = Object.keys(body)[at % Object.keys(body).length]!;
        if (drop) delete body[name];
        else body[name] = value;
        const changed = signReport(kind, body, vectorKeys.rpt);
        if (!openReport(kind, changed, vectorDeviceId, rptKeys).ok) return;
        const validate = validator(`report.${kind}`);
        expect(validate(JSON.parse(changed.toString())), `${changed.toString()} ${JSON.stringify(validate.errors)}`).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
