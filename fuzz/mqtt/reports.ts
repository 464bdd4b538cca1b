import type { DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { signReport, type ReportKind } from '../../src/bridge/protocol/signature.ts';
import { reportTopic, type TopicOwner } from '../../src/bridge/topics.ts';
import type { Dice } from '../dice.ts';
import { jsonText, mutated, text, texts } from '../hostile.ts';

/** What a box of the fuzzer is to the server, and so what may come of what it sends. */
export type Part =
  /** Signs rightly whatever it says. */
  | 'liar'
  /** Old firmware: never signs. */
  | 'old'
  /** Said hello once, and is only imitated from then on: with its password, and without its key. */
  | 'victim';

export interface FuzzBox {
  readonly part: Part;
  readonly owner: TopicOwner;
  readonly keys: DeviceKeys;
  readonly connectId: string;
  readonly journalId: string;
  reportSeq: number;
  /** The last that was sent, to be sent again. */
  last: Buffer;
}

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly dup: boolean;
}

type Body = Readonly<Record<string, unknown>>;

const kinds: readonly ReportKind[] = ['status', 'heartbeat', 'battery', 'responses'];

export function helloOf(box: FuzzBox): Buffer {
  return signReport('status', { ...base(box), ...statusBody(box, 'hello', 'locked'), firmware_version: '1.0.0', protocols: [1], capabilities: ['bolt_sensor'] }, box.keys.rpt);
}

function base(box: FuzzBox): Body {
  return {
    v: 1, device_id: box.owner.deviceId, report_seq: ++box.reportSeq, key_version: box.keys.version, connect_id: box.connectId, time_ok: true, timestamp: new Date().toISOString(),
  };
}

function statusBody(box: FuzzBox, reason: string, status: string): Body {
  return { reason, status, online: true, battery: 85, journal_id: box.journalId, last_seq: 0, last_executed: [], config_version: 0 };
}

/** As a box says it that is well. */
function honest(box: FuzzBox, kind: ReportKind, dice: Dice, uuid: string): Body {
  switch (kind) {
    case 'status':
      return {
        ...statusBody(box, dice.pick(['hello', 'change', 'report', 'boot', 'manual']), dice.pick(['locked', 'unlocked', 'jammed', 'unknown', 'error'])),
        ...(dice.chance(0.3) ? { door: dice.pick(['open', 'closed']), door_open: dice.chance(0.5) } : {}),
        ...(dice.chance(0.3) ? { last_executed: [{ command_id: uuid, seq: Date.now(), result: dice.pick(['opened', 'failed', 'interrupted']) }] } : {}),
        firmware_version: dice.pick(['1.0.0', '1.0.1']), protocols: [1], capabilities: dice.pick([[], ['bolt_sensor'], ['door_sensor', 'x']]),
      };
    case 'heartbeat':
      return { online: true, battery: dice.int(101), uptime: dice.int(100_000), journal_id: box.journalId, last_seq: dice.pick([0, 0, Date.now()]), config_version: dice.pick([0, 0, 5]), rejects: { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 }, signal_strength: -dice.int(120) };
    case 'battery':
      return { level: dice.int(101), battery: dice.int(101) };
    case 'responses':
      return {
        command: dice.pick(['unlock', 'config', 'rotate_key', 'report']), command_id: uuid, request_id: uuid, seq: Date.now(), journal_id: box.journalId, last_seq: dice.pick([0, Date.now()]), phase: dice.pick(['final', 'accepted', 'executing']),
        success: dice.chance(0.5), result: dice.pick(['opened', 'refused', 'failed', 'expired', 'already_open']), reason: dice.pick(['expired', 'busy', 'jammed', 'low_battery', 'bad_signature']), executed: dice.pick([true, false, null]), evidence: dice.pick(['sensor', 'motor', 'none']),
        new_status: dice.pick(['locked', 'unlocked']), message: '', battery_level: dice.int(101),
      };
  }
}

/** What one box sends next, to its own topic or another one's. `uuids`: ids of commands that others were given. */
export function nextMessage(box: FuzzBox, others: readonly FuzzBox[], dice: Dice, uuids: readonly string[]): Message {
  const kind = dice.pick(kinds);
  const topic = topicOf(box, kind, others, dice);
  return { topic, payload: payloadOf(box, kind, others, dice, uuids), qos: dice.chance(0.85) ? 1 : dice.chance(0.8) ? 0 : 2, retain: dice.chance(0.02), dup: dice.chance(0.05) };
}

function topicOf(box: FuzzBox, kind: ReportKind, others: readonly FuzzBox[], dice: Dice): string {
  const own = reportTopic(box.owner, kind) ?? reportTopic(box.owner, 'status') ?? '';
  const roll = dice.roll();
  if (roll < 0.86) return own;
  if (roll < 0.92) return reportTopic(dice.pick(others).owner, kind) ?? own;
  if (roll < 0.94) return own.replace(/[^/]+$/, dice.pick(['commands/unlock', 'command', 'commands/system', 'commands/config', 'ota', 'status/x', 'STATUS', '']));
  return dice.pick(['$SYS/x', '$share/g/loqey', 'loqey/devices/status', 'loqey', '/', '//', 'smartlock/x/ota', '/topic/transisttag/status', '/topic/transisttag/command', 'loqey/devices/../status', `loqey/devices/${'x'.repeat(2_000)}/status`, 'ü/👍', `${own}/`, own.toUpperCase()]);
}

function payloadOf(box: FuzzBox, kind: ReportKind, others: readonly FuzzBox[], dice: Dice, uuids: readonly string[]): Buffer {
  const uuid = uuids.length > 0 && dice.chance(0.5) ? dice.pick(uuids) : dice.uuid();
  const roll = dice.roll();
  if (roll < 0.02) return Buffer.alloc(0);
  if (roll < 0.06) return dice.bytes(dice.pick([1, 2, 79, 80, 81, 200, 4_096]));
  if (roll < 0.09) return Buffer.from(text(dice).toWellFormed());
  if (roll < 0.11) return Buffer.from(`{"a":"${'x'.repeat(dice.pick([4_000, 4_096, 5_000, 30_000]))}"}`);
  if (roll < 0.14) return box.last;
  if (roll < 0.17) return dice.pick(others).last;
  const body: Body = { ...base(box), ...honest(box, kind, dice, uuid) };
  const unsigned = { ...(dice.chance(0.5) ? body : honest(box, kind, dice, uuid)), ...(dice.chance(0.3) ? { deviceId: box.owner.deviceId, serial: box.owner.serialNumber } : {}) };
  if (box.part === 'old') return dice.chance(0.3) ? Buffer.from(JSON.stringify(unsigned)) : jsonText(spoilt(unsigned, dice), dice, dice.chance(0.4));
  if (roll < 0.25) return jsonText(dice.chance(0.5) ? unsigned : spoilt(unsigned, dice), dice, dice.chance(0.3));
  const signed = rightlySigned(box, kind, roll < 0.4 ? body : spoilt(body, dice), dice);
  const wrong = box.part === 'victim' || dice.chance(0.25);
  const made = wrong ? falsified(box, kind, signed, body, others, dice) : signed;
  if (!wrong) box.last = made;
  return made;
}

/** Its numbering stays most of the time: a box that skips ahead has nothing more to say. */
function spoilt(body: Body, dice: Dice): unknown {
  let changed: unknown = body;
  for (let i = 1 + dice.int(2); i > 0; i--) changed = mutated(changed, dice);
  const isObject = typeof changed === 'object' && changed !== null && !Array.isArray(changed);
  return isObject && dice.chance(0.9) ? { ...(changed as Body), v: 1, report_seq: body['report_seq'], device_id: body['device_id'], key_version: body['key_version'] } : changed;
}

function rightlySigned(box: FuzzBox, kind: ReportKind, body: unknown, dice: Dice): Buffer {
  const json = dice.chance(0.25) ? jsonText(body, dice, true).toString('utf8') : (JSON.stringify(body) ?? 'null');
  // Only what ends like an object can be signed at all.
  return json.endsWith('}') && json.length > 2 ? signReport(kind, json, box.keys.rpt) : Buffer.from(json);
}

function falsified(box: FuzzBox, kind: ReportKind, signed: Buffer, body: Body, others: readonly FuzzBox[], dice: Dice): Buffer {
  switch (dice.int(7)) {
    case 0:
      return signReport(kind, body, dice.pick(others.filter((each) => each !== box)).keys.rpt);
    case 1:
      return signReport(dice.pick(kinds.filter((each) => each !== kind)), body, box.keys.rpt);
    case 2:
      return signReport(kind, body, box.keys.cmd);
    case 3:
      return signed.subarray(0, signed.length - 1 - dice.int(signed.length));
    case 4: {
      const flipped = Buffer.from(signed);
      const at = dice.int(flipped.length);
      flipped[at] = flipped[at]! ^ (1 << dice.int(8));
      return flipped;
    }
    case 5:
      return Buffer.from(signed.toString('latin1').replace(/[0-9a-f]{64}"\}$/, (end) => end.toUpperCase()), 'latin1');
    default: {
      const at = dice.int(signed.length);
      return Buffer.concat([signed.subarray(0, at), Buffer.from(dice.pick(texts).toWellFormed() || 'x'), signed.subarray(at)]);
    }
  }
}
