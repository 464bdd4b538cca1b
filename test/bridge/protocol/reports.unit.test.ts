import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedReport, SignedReport } from '../../../src/bridge/protocol/reports.ts';
import { openReport } from '../../../src/bridge/protocol/signed-reports.ts';
import { parseUnsigned } from '../../../src/bridge/protocol/unsigned-reports.ts';
import { reportKinds, signReport, type ReportKind } from '../../../src/bridge/protocol/signature.ts';
import { vectorDeviceId, vectorKeys, vectorPayload } from './vectors.ts';

const base = {
  v: 1,
  device_id: vectorDeviceId,
  report_seq: 7_000_001,
  key_version: 1,
  connect_id: 'a1b2c3d4e5f60718',
  time_ok: true,
  timestamp: '2026-11-21T10:30:00.900Z',
};
const journal = { journal_id: '5f0c9a1b2c3d4e5f', last_seq: 12 };
const status = { ...base, reason: 'periodic', status: 'locked', online: true, battery: 85, ...journal, last_executed: [], config_version: 6 };
const hello = { ...status, reason: 'hello', firmware_version: '1.0.0', protocols: [1], capabilities: ['bolt_sensor'] };
const heartbeat = { ...base, online: true, battery: 85, signal_strength: -61, uptime: 12, ...journal, config_version: 6, rejects: { bad_signature: 1, retained: 2, too_large: 3, malformed: 4 } };
const response = {
  ...base,
  command: 'unlock',
  command_id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  request_id: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  seq: 12,
  ...journal,
  phase: 'final',
  success: true,
  result: 'opened',
  executed: true,
  evidence: 'sensor',
  new_status: 'unlocked',
  message: 'ok',
  battery_level: 85,
};

const keys = [{ version: 1, rpt: vectorKeys.rpt }];
const open = (kind: ReportKind, body: object | string): ParsedReport<SignedReport> => openReport(kind, signReport(kind, body, vectorKeys.rpt), vectorDeviceId, keys);
const without = (body: Record<string, unknown>, name: string): object => Object.fromEntries(Object.entries(body).filter(([key]) => key !== name));

describe('reports of level 1', () => {
  it('V3 is an opening, measured', () => {
    expect(openReport('responses', vectorPayload('V3'), vectorDeviceId, keys)).toEqual({
      ok: true,
      report: {
        level: 1,
        kind: 'responses',
        deviceId: vectorDeviceId,
        reportSeq: 7_000_012,
        keyVersion: 1,
        connectId: 'a1b2c3d4e5f60718',
        timeOk: true,
        timestamp: '2026-11-21T10:30:00.900Z',
        journalId: '5f0c9a1b2c3d4e5f',
        lastSeq: 1_795_257_000_000,
        command: 'unlock',
        commandId: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
        seq: 1_795_257_000_000,
        phase: 'final',
        success: true,
        result: 'opened',
        executed: true,
        evidence: 'sensor',
        newStatus: 'unlocked',
        message: 'Device unlocked successfully',
        battery: 85,
      },
    });
  });

  it('each kind is read', () => {
    expect(open('status', hello)).toMatchObject({ ok: true, report: { kind: 'status', reason: 'hello', status: 'locked', capabilities: ['bolt_sensor'] } });
    expect(open('heartbeat', heartbeat)).toMatchObject({ ok: true, report: { kind: 'heartbeat', uptime: 12, rejects: { badSignature: 1, retained: 2, tooLarge: 3, malformed: 4 } } });
    expect(open('battery', { ...base, level: 0 })).toMatchObject({ ok: true, report: { kind: 'battery', battery: 0 } });
    expect(open('status', without({ ...status, reason: 'will' }, 'status'))).toMatchObject({ ok: true, report: { kind: 'status', reason: 'will' } });
    expect(open('responses', { ...without(response, 'result'), phase: 'accepted', executed: null })).toMatchObject({ ok: true, report: { phase: 'accepted' } });
  });

  it('a pending key verifies, and the report must name that key', () => {
    const pending = { version: 2, rpt: Buffer.alloc(32, 7) };
    const signed = signReport('battery', { ...base, key_version: 2, level: 5 }, pending.rpt);
    expect(openReport('battery', signed, vectorDeviceId, [...keys, pending])).toMatchObject({ ok: true, report: { keyVersion: 2 } });
    const lying = signReport('battery', { ...base, key_version: 1, level: 5 }, pending.rpt);
    expect(openReport('battery', lying, vectorDeviceId, [...keys, pending])).toEqual({ ok: false, problem: 'wrong_key_version' });
  });

  it.each<[string, ReportKind, object | string, object]>([
    ['another version', 'status', { ...status, v: 2 }, { problem: 'wrong_version' }],
    ['no version', 'status', without(status, 'v'), { problem: 'wrong_version' }],
    ['another device', 'status', { ...status, device_id: vectorDeviceId.replace('6', '7') }, { problem: 'wrong_device' }],
    ['a battery above its range', 'status', { ...status, battery: 101 }, { problem: 'invalid', field: 'battery' }],
    ['a battery as text', 'status', { ...status, battery: '85' }, { problem: 'invalid', field: 'battery' }],
    ['a fraction', 'status', { ...status, battery: 85.5 }, { problem: 'number' }],
    ['an exponent', 'battery', `{${JSON.stringify(base).slice(1, -1)},"level":8e1}`, { problem: 'number' }],
    ['a fraction in an unknown member', 'battery', { ...base, level: 8, extra: [-0.5] }, { problem: 'number' }],
    ['an integer beyond 2^53', 'status', `${JSON.stringify(status).slice(0, -1)},"x":1}`.replace('7000001', '9007199254740993'), { problem: 'invalid', field: 'report_seq' }],
    ['a negative number', 'status', { ...status, last_seq: -1 }, { problem: 'invalid', field: 'last_seq' }],
    ['a duplicate member', 'battery', `{${JSON.stringify(base).slice(1, -1)},"level":8,"level":9}`, { problem: 'duplicate_member' }],
    ['a duplicate inside', 'heartbeat', JSON.stringify(heartbeat).replace('"retained":2', '"retained":2,"retained":3'), { problem: 'duplicate_member' }],
    ['seven levels', 'battery', { ...base, level: 8, x: [[[[[[]]]]]] }, { problem: 'too_deep' }],
    ['a time without milliseconds', 'battery', { ...base, level: 8, timestamp: '2026-11-21T10:30:00Z' }, { problem: 'invalid', field: 'timestamp' }],
    ['a day that does not exist', 'battery', { ...base, level: 8, timestamp: '2026-02-30T10:30:00.000Z' }, { problem: 'invalid', field: 'timestamp' }],
    ['trusted time without a time', 'battery', { ...without(base, 'timestamp'), level: 8 }, { problem: 'invalid', field: 'timestamp' }],
    ['a hello without firmware', 'status', without(hello, 'firmware_version'), { problem: 'invalid', field: 'firmware_version' }],
    ['a change without cause', 'status', { ...status, reason: 'changed' }, { problem: 'invalid', field: 'cause' }],
    ['a change by a command that it does not name', 'status', { ...status, reason: 'changed', cause: 'command' }, { problem: 'invalid', field: 'command_id' }],
    ['an unknown reason', 'status', { ...status, reason: 'mood' }, { problem: 'invalid', field: 'reason' }],
    ['nine executed commands', 'status', { ...status, last_executed: Array.from({ length: 9 }, () => ({ command_id: response.command_id, seq: 1, result: 'opened' })) }, { problem: 'invalid', field: 'last_executed' }],
    ['an executed command without number', 'status', { ...status, last_executed: [{ command_id: response.command_id, result: 'opened' }] }, { problem: 'invalid', field: 'last_executed' }],
    ['control characters in text', 'status', { ...hello, firmware_version: '1\u0000' }, { problem: 'invalid', field: 'firmware_version' }],
    ['a lone surrogate', 'responses', { ...response, message: '\ud800' }, { problem: 'invalid', field: 'message' }],
    ['a long message', 'responses', { ...response, message: 'x'.repeat(121) }, { problem: 'invalid', field: 'message' }],
    ['another request id', 'responses', { ...response, request_id: vectorDeviceId }, { problem: 'invalid', field: 'request_id' }],
    ['opened without evidence', 'responses', without(response, 'evidence'), { problem: 'invalid', field: 'evidence' }],
    ['opened, but not executed', 'responses', { ...response, executed: false }, { problem: 'invalid', field: 'executed' }],
    ['a success that failed', 'responses', { ...response, result: 'failed', reason: 'jammed' }, { problem: 'invalid', field: 'success' }],
    ['a final refusal that does not say it is one', 'responses', { ...response, success: false, result: 'refused', reason: 'expired', executed: null }, { problem: 'invalid', field: 'executed' }],
    ['a stale number said to be proof', 'responses', { ...response, success: false, result: 'refused', reason: 'stale_seq', executed: false }, { problem: 'invalid', field: 'executed' }],
    ['an array', 'status', '[1,{}', { problem: 'not_json' }],
  ])('%s is dropped', (_, kind, body, expected) => {
    const payload = typeof body === 'string' && body.startsWith('[') ? `${body}}` : body;
    expect(open(kind, payload)).toEqual({ ok: false, ...expected });
  });

  it('too large, not UTF-8, unsigned', () => {
    expect(open('battery', { ...base, level: 8, x: 'x'.repeat(4096) })).toEqual({ ok: false, problem: 'too_large' });
    expect(openReport('battery', Buffer.from(JSON.stringify({ ...base, level: 8 })), vectorDeviceId, keys)).toEqual({ ok: false, problem: 'bad_signature' });
    expect(openReport('battery', Buffer.alloc(0), vectorDeviceId, keys)).toEqual({ ok: false, problem: 'bad_signature' });
    expect(parseUnsigned('battery', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toEqual({ ok: false, problem: 'not_utf8' });
  });

  it('unknown members are ignored, null is absent', () => {
    expect(open('status', { ...status, signal_strength: null, colour: { of: 'green', __proto__: 1 } })).toMatchObject({ ok: true, report: { signalStrength: undefined } });
    expect(open('status', { ...status, battery: null })).toEqual({ ok: false, problem: 'invalid', field: 'battery' });
    expect(open('battery', `{${JSON.stringify(base).slice(1, -1)},"level":8,"__proto__":{"battery":1}}`)).toMatchObject({ ok: true });
  });

  it('a clock that is not trusted says no time', () => {
    expect(open('battery', { ...base, time_ok: false, level: 8 })).toMatchObject({ ok: true, report: { timeOk: false, timestamp: undefined } });
  });

  it('only refusals whose number was written first are final', () => {
    const isProof = (reason: string) => open('responses', { ...response, success: false, result: 'refused', reason, executed: false }).ok;
    expect(['expired', 'not_yet_valid', 'bad_window', 'time_untrusted', 'busy', 'low_battery', 'service_mode'].every(isProof)).toBe(true);
    expect(['stale_seq', 'before_journal', 'storage_failed', 'malformed', 'unknown_action', 'wrong_version', 'jammed'].some(isProof)).toBe(false);
  });

  it('no bytes make the parser throw', () => {
    fc.assert(
      fc.property(fc.constantFrom(...reportKinds), fc.uint8Array({ maxLength: 300 }), fc.json({ maxDepth: 8 }), (kind, bytes, json) => {
        for (const payload of [Buffer.from(bytes), Buffer.from(json)]) {
          expect(openReport(kind, payload, vectorDeviceId, keys).ok).toBe(false);
          parseUnsigned(kind, payload);
        }
        if (json.startsWith('{') && json.length > 2) open(kind, json);
      }),
    );
  });

  it('no member of another type makes the parser throw or lie about its type', () => {
    const bodies = { status: hello, heartbeat, battery: { ...base, level: 8 }, responses: response };
    fc.assert(
      fc.property(fc.constantFrom(...reportKinds), fc.nat(30), fc.jsonValue({ maxDepth: 2 }), (kind, at, value) => {
        const body = bodies[kind];
        const name = Object.keys(body)[at % Object.keys(body).length]!;
        const parsed = open(kind, { ...body, [name]: value });
        if (parsed.ok) for (const number of [parsed.report.reportSeq, 'battery' in parsed.report ? (parsed.report.battery ?? 0) : 0]) expect(Number.isSafeInteger(number)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('reports of level 0', () => {
  const parse = (kind: ReportKind, body: object): unknown => parseUnsigned(kind, Buffer.from(JSON.stringify(body)));

  it.each<[string, ReportKind, object, object]>([
    ['status, first style', 'status', { device_id: 'box-1', status: 'locked', battery: 85, online: true, timestamp: '2026-11-21T10:30:00Z', firmware_version: '1.0.0' }, { deviceKey: 'box-1', status: 'locked', battery: 85, online: true, firmwareVersion: '1.0.0' }],
    ['status, second style', 'status', { status: 'unlocked', timestamp: 1, battery_level: '85' }, { status: 'unlocked', battery: 85, online: true }],
    ['status, third style', 'status', { online: false, battery: 12, lock_status: 'LOCKED', signal_strength: '-61', temperature: 21.5 }, { status: 'locked', battery: 12, online: false, signalStrength: -61, temperature: 22 }],
    ['response with new_status', 'responses', { device_id: 'box-1', command: 'unlock', success: true, message: 'ok', new_status: 'unlocked', battery_level: 85 }, { command: 'unlock', success: true, newStatus: 'unlocked', battery: 85 }],
    ['response with request_id', 'responses', { request_id: vectorDeviceId, success: 'true', status: 'unlocked' }, { commandId: vectorDeviceId, success: true, newStatus: 'unlocked' }],
    ['heartbeat, first style', 'heartbeat', { device_id: 'box-1', online: true, battery: 85, signal_strength: -61 }, { online: true, battery: 85, signalStrength: -61 }],
    ['heartbeat, second style', 'heartbeat', { timestamp: 'now', status: 'online', uptime: 12 }, { online: true, uptime: 12 }],
    ['battery as level', 'battery', { level: 85 }, { battery: 85 }],
    ['battery as battery', 'battery', { battery: '85' }, { battery: 85 }],
    ['battery as battery_level, null before it', 'battery', { level: null, battery_level: 0 }, { battery: 0 }],
  ])('%s', (_, kind, body, expected) => {
    expect(parse(kind, body)).toMatchObject({ ok: true, report: { level: 0, kind, ...expected } });
  });

  it('what is out of range or missing drops the payload', () => {
    expect(parse('battery', { level: 101 })).toEqual({ ok: false, problem: 'invalid', field: 'level' });
    expect(parse('battery', {})).toEqual({ ok: false, problem: 'invalid', field: 'level' });
    expect(parse('status', { status: 'locked', battery: -1 })).toEqual({ ok: false, problem: 'invalid', field: 'battery' });
    expect(parse('status', { status: 'locked', battery: true })).toEqual({ ok: false, problem: 'invalid', field: 'battery' });
    expect(parse('responses', { new_status: 'unlocked' })).toEqual({ ok: false, problem: 'invalid', field: 'success' });
    expect(parse('responses', { success: 'yes' })).toEqual({ ok: false, problem: 'invalid', field: 'success' });
  });

  it('a word that is no state of a bolt says nothing of it', () => {
    expect(parse('status', { status: 'open-ish' })).toMatchObject({ ok: true, report: { status: undefined } });
  });
});
