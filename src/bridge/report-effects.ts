import type { DeviceCommand, DeviceReport, JournalStatus, UnlockAnswer } from '../domain/device/commands.ts';
import type { LiveDevice } from './live-devices.ts';
import type { Via } from './relay-messages.ts';
import type { ResponseReport, SignedReport, StatusReport, UnsignedReport, WillReport } from './protocol/reports.ts';

/** What one report asks for. Pure: the same report on the same row asks for the same. */
export interface ReportEffects {
  readonly device: LiveDevice;
  readonly commands: readonly DeviceCommand[];
  /** The report is kept and repeated by the box until its number is acknowledged. */
  readonly ack: number | undefined;
  /** It asks for the time, on a connection that said hello: no other one is sent anything. */
  readonly timeChallenge: string | undefined;
  /** What the box says of its journal: settles unlocks whose outcome is unknown. */
  readonly journal: JournalStatus | undefined;
  /** Most boxes say each minute that nothing changed: then a look at what is at hand is enough. */
  readonly routine: boolean;
  /** It was silent for so long that somebody may be recording that it is offline at this very moment. */
  readonly returning: boolean;
  /** An old firmware's answer: it names no command, so it is held against the one in flight. */
  readonly unsignedAnswer: Omit<UnlockAnswer, 'unlockId'> | undefined;
  /** The settings that the box runs on, where it has just said so. */
  readonly configVersion: number | undefined;
  /** The key that it signs with, told at a moment when nothing else goes on: a good one to give it another. */
  readonly quietKeyVersion: number | undefined;
}

const nothing = {
  commands: [],
  ack: undefined,
  timeChallenge: undefined,
  journal: undefined,
  routine: true,
  returning: false,
  unsignedAnswer: undefined,
  configVersion: undefined,
  quietKeyVersion: undefined,
} as const;

/** Silence after which a box counts as returning; a little less than what makes it offline. */
const RETURNING_MS = 240_000;
const FIRST_KEY_VERSION = 1;
/** Device protocol, section 7: two connections that alternate more often than that. */
const TURNS_ALLOWED = 5;
const TURNS_WITHIN_MS = 600_000;

/** A verified report of level 1 (device protocol, sections 6 and 7). `receivedAt` is an instant. */
export function signedEffects(before: LiveDevice, report: SignedReport, receivedAt: string, via: Via = 'mqtt'): ReportEffects {
  const effects = ofSigned({ ...before, level: 1 }, before, report, receivedAt, via);
  // The log learns of it with the first signed report, also where that changes no fact.
  const pin: readonly DeviceCommand[] = before.level === 1 ? [] : [{ type: 'PinProtocol', data: { deviceId: before.deviceId } }];
  const commands = [...pin, ...newKey(effects.device, before, report, receivedAt), ...effects.commands, ...senders(effects.device, before, report, receivedAt)];
  return { ...effects, commands, returning: isReturning(before, receivedAt) };
}

/** It signs with a newer key than before: it has it, and whatever was said before of an older one is over. */
function newKey(device: LiveDevice, before: LiveDevice, report: SignedReport, receivedAt: string): readonly DeviceCommand[] {
  const { keyVersion } = report;
  if (keyVersion <= (before.keyVersion ?? FIRST_KEY_VERSION)) return [];
  // With the old password ends this connection: until the hello of the next one nothing is sent to it that must arrive.
  if (!isHello(report) && device.via === undefined) device.goneAt = receivedAt;
  return [{ type: 'CompleteKeyRotation', data: { deviceId: before.deviceId, keyVersion, by: 'device' } }];
}

function isHello(report: SignedReport): report is StatusReport {
  return report.kind === 'status' && report.reason === 'hello';
}

/**
 * One box goes from connection to connection and never back. Reports of a connection that is not the newest, or a hello with
 * a number that was passed already, are those of a second one that has the same keys; or were held up on their way, which
 * happens, but not time and again. Reports that are repeated until they arrive say nothing here.
 */
function senders(device: LiveDevice, before: LiveDevice, report: SignedReport, receivedAt: string): readonly DeviceCommand[] {
  if (!isSentOnce(report)) return [];
  const { connectId } = report;
  const known = report.keyVersion === before.keyVersion ? before.senders : undefined;
  const isNext = isHello(report) && compareOrder(before, report.keyVersion, report.reportSeq, before.helloSeq) === 'newer';
  if (known === undefined || connectId === known.last || isNext) {
    if (known === undefined || connectId !== known.last) device.senders = { last: connectId, turns: known?.turns ?? [] };
    return [];
  }
  const since = Date.parse(receivedAt) - TURNS_WITHIN_MS;
  const turns = [...known.turns.filter((at) => Date.parse(at) > since), receivedAt];
  const suspicious = turns.length > TURNS_ALLOWED;
  device.senders = { last: connectId, turns: suspicious ? [] : turns };
  return suspicious ? [{ type: 'RecordCloneSuspicion', data: { deviceId: before.deviceId, connectIds: [known.last, connectId] } }] : [];
}

function isSentOnce(report: SignedReport): boolean {
  switch (report.kind) {
    case 'heartbeat':
    case 'battery':
      return true;
    case 'status':
      return report.reason === 'hello' || report.reason === 'periodic' || report.reason === 'requested';
    case 'responses':
      return false;
  }
}

function ofSigned(device: LiveDevice, before: LiveDevice, report: SignedReport, receivedAt: string, via: Via): ReportEffects {
  const order = compareOrder(before, report.keyVersion, report.reportSeq, before.reportSeq);
  if (report.kind === 'status' && (report.reason === 'will' || report.reason === 'bye')) return goodbye(device, report, receivedAt, order);

  if (report.keyVersion > (before.keyVersion ?? 0)) {
    // A box that was flashed anew counts from the beginning.
    delete device.statusSeq;
    delete device.helloSeq;
  }
  device.lastHeardAt = later(receivedAt, before.lastHeardAt);
  if (report.timestamp !== undefined) device.trustedTime = later(report.timestamp, before.trustedTime);
  // The newest hello names the connection. One that comes late, after a newer connection's, does not bring the old one back.
  if (report.kind === 'status' && report.reason === 'hello' && compareOrder(before, report.keyVersion, report.reportSeq, before.helloSeq) === 'newer') {
    device.connectId = report.connectId;
    device.helloSeq = report.reportSeq;
    // From now on commands go this way, and no other.
    if (via === 'mqtt') delete device.via;
    else device.via = via;
    delete device.goneAt;
    delete device.connectHeardAt;
  }
  if (report.connectId === device.connectId) device.connectHeardAt = later(receivedAt, device.connectHeardAt);
  if (order === 'newer') remember(device, report);

  switch (report.kind) {
    case 'status':
      return statusEffects(device, before, report);
    case 'heartbeat': {
      if (order !== 'newer') return { ...nothing, device };
      const facts = changedFacts(device, { online: report.online, battery: report.battery });
      const commands = recordReport(device, facts, { evidence: 'signed', reportSeq: report.reportSeq });
      return { ...nothing, device, commands, timeChallenge: challengeOf(device, report), configVersion: report.configVersion, quietKeyVersion: report.keyVersion };
    }
    case 'battery': {
      const facts = order === 'newer' ? changedFacts(device, { battery: report.battery }) : undefined;
      return { ...nothing, device, commands: recordReport(device, facts, { evidence: 'signed', reportSeq: report.reportSeq }) };
    }
    case 'responses':
      return responseEffects(device, report);
  }
}

/**
 * A report of old firmware: believed as far as it goes, marked as unsigned, proof of nothing. Over HTTP it makes no box
 * reachable: what such a box would fetch it would obey however late, so it fetches nothing.
 */
export function unsignedEffects(before: LiveDevice, report: UnsignedReport, receivedAt: string, via: Via = 'mqtt'): ReportEffects {
  const heardAt = later(receivedAt, before.lastHeardAt);
  const device: LiveDevice = { ...before, lastHeardAt: heardAt, ...(via === 'mqtt' ? { connectHeardAt: heardAt } : {}) };
  const online = 'online' in report ? report.online : true;
  if (online) delete device.goneAt;
  else device.goneAt = receivedAt;
  if (report.battery !== undefined) device.battery = report.battery;
  if ('signalStrength' in report && report.signalStrength !== undefined) device.signalStrength = report.signalStrength;
  const status = report.kind === 'status' ? report.status : report.kind === 'responses' ? report.newStatus : undefined;
  const facts = changedFacts(device, {
    online,
    ...(report.battery === undefined ? {} : { battery: report.battery }),
    ...(status === undefined ? {} : { lockStatus: status }),
    ...(report.kind === 'status' && report.firmwareVersion !== undefined ? { firmwareVersion: report.firmwareVersion } : {}),
  });
  const commands = recordReport(device, facts, { evidence: 'unsigned' });
  const returning = online && isReturning(before, receivedAt);
  const answer = { phase: 'final', evidence: 'unsigned', signed: false, ...(status === undefined ? {} : { newStatus: status }) } as const;
  if (report.kind === 'responses' && (report.command === undefined || report.command === 'unlock')) {
    const result = report.success ? ({ result: 'opened' } as const) : ({ result: 'failed', reason: 'reported' } as const);
    return { ...nothing, device, commands, returning, unsignedAnswer: { ...answer, ...result } };
  }
  // This family has no topic for answers. Where it says that it is open, open it is, whichever command did it.
  if (before.profile === 'transisttag' && status === 'unlocked') {
    return { ...nothing, device, commands, returning, unsignedAnswer: { ...answer, result: 'opened' } };
  }
  return { ...nothing, device, commands, returning };
}

/** Answered without its hello, a box would stop saying hello and stay unreachable until its next connection. */
function challengeOf({ connectId }: LiveDevice, report: Pick<StatusReport, 'connectId' | 'timeChallenge'>): string | undefined {
  return report.connectId === connectId ? report.timeChallenge : undefined;
}

function isReturning({ lastHeardAt }: LiveDevice, receivedAt: string): boolean {
  return lastHeardAt !== undefined && Date.parse(receivedAt) - Date.parse(lastHeardAt) >= RETURNING_MS;
}

/** Reports that were held up on their way do not turn back the clock. */
function later(instant: string, known: string | undefined): string {
  return known === undefined || instant > known ? instant : known;
}

type Order = 'newer' | 'same' | 'older';

function compareOrder(before: LiveDevice, keyVersion: number, reportSeq: number, known: number | undefined): Order {
  const knownVersion = before.keyVersion ?? 0;
  if (known === undefined || keyVersion > knownVersion) return 'newer';
  if (keyVersion < knownVersion || reportSeq < known) return 'older';
  return reportSeq === known ? 'same' : 'newer';
}

function goodbye(device: LiveDevice, report: StatusReport | WillReport, receivedAt: string, order: Order): ReportEffects {
  // They count by their connection alone: the will of an older one is the past.
  if (report.connectId === device.connectId) device.goneAt = receivedAt;
  // A will was written at connect time: only a bye is a word of now.
  if (report.reason === 'bye' && order === 'newer') {
    device.lastHeardAt = later(receivedAt, device.lastHeardAt);
    remember(device, report);
  }
  return { ...nothing, device };
}

function remember(device: LiveDevice, report: SignedReport): void {
  device.keyVersion = report.keyVersion;
  device.reportSeq = report.reportSeq;
  if ('journalId' in report) {
    if (device.journalId !== report.journalId) delete device.lastSeq;
    device.journalId = report.journalId;
    device.lastSeq = Math.max(report.lastSeq, device.lastSeq ?? 0);
  }
  if (report.kind === 'status' || report.kind === 'heartbeat') {
    device.configVersion = report.configVersion;
    if (report.signalStrength !== undefined) device.signalStrength = report.signalStrength;
  }
  if (report.kind === 'heartbeat') device.uptime = report.uptime;
  if (report.battery !== undefined) device.battery = report.battery;
}

function statusEffects(device: LiveDevice, before: LiveDevice, report: StatusReport | WillReport): ReportEffects {
  if (report.reason === 'will') return { ...nothing, device };
  const mustArrive = report.reason === 'changed' || report.reason === 'tamper' || report.reason === 'parcel';
  const ack = mustArrive ? report.reportSeq : undefined;
  const order = compareOrder(before, report.keyVersion, report.reportSeq, before.statusSeq);
  if (order === 'same') return { ...nothing, device, ack };
  if (order === 'older') {
    // History: the live state stays. An opening that nobody asked for is still one, however late it is told.
    const opening = report.reason === 'changed' && report.status === 'unlocked' ? [pastOpening(device, report)] : [];
    return { ...nothing, device, commands: opening, ack };
  }
  device.statusSeq = report.reportSeq;
  const facts = changedFacts(
    device,
    {
      online: report.online,
      battery: report.battery,
      lockStatus: report.status,
      ...(report.doorOpen === undefined ? {} : { doorOpen: report.doorOpen }),
      ...(report.parcelPresent === undefined ? {} : { parcelPresent: report.parcelPresent }),
      ...(report.tamper === undefined ? {} : { tamper: report.tamper }),
      ...(report.firmwareVersion === undefined ? {} : { firmwareVersion: report.firmwareVersion }),
      ...(report.capabilities === undefined ? {} : { capabilities: report.capabilities }),
      ...(report.protocols === undefined ? {} : { protocols: report.protocols }),
    },
    report.reason === 'changed',
  );
  const journal: JournalStatus = {
    reportSeq: report.reportSeq,
    journalId: report.journalId,
    lastSeq: report.lastSeq,
    lastExecuted: report.lastExecuted.map(({ commandId, seq, result }) => ({ commandId, seq, result })),
    timeOk: report.timeOk,
    ...(report.timestamp === undefined ? {} : { timestamp: report.timestamp }),
  };
  return {
    ...nothing,
    device,
    commands: recordReport(device, facts, {
      evidence: 'signed',
      reportSeq: report.reportSeq,
      ...(report.cause === undefined ? {} : { cause: report.cause }),
      ...(report.commandId === undefined ? {} : { commandId: report.commandId }),
    }),
    ack,
    timeChallenge: challengeOf(device, report),
    journal,
    routine: report.reason === 'periodic',
    configVersion: report.configVersion,
    quietKeyVersion: report.reason === 'hello' || report.reason === 'periodic' ? report.keyVersion : undefined,
  };
}

function pastOpening(device: LiveDevice, report: StatusReport): DeviceCommand {
  return {
    type: 'RecordReport',
    data: {
      deviceId: device.deviceId,
      evidence: 'signed',
      past: true,
      reportSeq: report.reportSeq,
      lockStatus: report.status,
      ...(report.cause === undefined ? {} : { cause: report.cause }),
      ...(report.commandId === undefined ? {} : { commandId: report.commandId }),
    },
  };
}

function responseEffects(device: LiveDevice, report: ResponseReport): ReportEffects {
  const ack = report.phase === 'final' ? report.reportSeq : undefined;
  const { deviceId } = device;
  if (report.command === 'unlock') return { ...nothing, device, commands: [{ type: 'RecordUnlockAnswer', data: { deviceId, ...answerOf(report) } }], ack };
  if (report.command === 'config' && report.result === 'applied') {
    const configVersion = report.configVersion ?? report.seq;
    if (configVersion === undefined) return { ...nothing, device, ack };
    device.configVersion = configVersion;
    const data = { deviceId, configVersion, ...(report.rejected === undefined ? {} : { rejected: report.rejected }) };
    return { ...nothing, device, commands: [{ type: 'ReportSettingsVersion', data }], ack };
  }
  return { ...nothing, device, ack };
}

function answerOf(report: ResponseReport): UnlockAnswer {
  const { commandId, phase, result, reason, executed, evidence, newStatus, journalId, seq, durationMs } = report;
  return {
    unlockId: commandId,
    phase,
    // A final answer always has one of these: the parser saw to it. `applied` is no answer to an unlock.
    result: phase === 'accepted' ? 'accepted' : result === undefined || result === 'applied' ? 'refused' : result,
    signed: true,
    journalId,
    ...(reason === undefined ? {} : { reason }),
    ...(executed === undefined ? {} : { executed }),
    ...(evidence === undefined ? {} : { evidence }),
    ...(newStatus === undefined ? {} : { newStatus }),
    ...(seq === undefined ? {} : { seq }),
    ...(durationMs === undefined ? {} : { durationMs }),
  };
}

type Facts = Partial<Pick<DeviceReport, 'online' | 'battery' | 'lockStatus' | 'doorOpen' | 'parcelPresent' | 'tamper' | 'firmwareVersion' | 'capabilities' | 'protocols'>>;

/** The facts that are worth a command: all of them when one differs from what was last told, or when it must be told. */
function changedFacts(device: LiveDevice, facts: Facts, mustTell = false): Facts | undefined {
  const known = device.facts;
  const differs = Object.entries(facts).some(([name, value]) => !same(known[name], value));
  if (!differs && !mustTell) return undefined;
  device.facts = { ...known, ...facts };
  return facts;
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, index) => item === b[index]));
}

function recordReport(device: LiveDevice, facts: Facts | undefined, about: Pick<DeviceReport, 'evidence' | 'reportSeq' | 'cause' | 'commandId'>): readonly DeviceCommand[] {
  if (facts === undefined) return [];
  return [{ type: 'RecordReport', data: { deviceId: device.deviceId, ...about, ...facts } }];
}
