import { accept, present, quiet, type Instant } from '../kernel.ts';
import { addMs } from '../time.ts';
import type { DeviceCommandOf, DeviceReport } from './commands.ts';
import type { DeviceEvent } from './events.ts';
import type { DeviceDecision } from './rules.ts';
import type { RegisteredDevice } from './state.ts';
import { mayHaveOpened } from './unlock.ts';

/** What the box says of itself. Only what changes a fact is an event; the rest is telemetry. */

/** Battery: steps of so many points are news, and so is crossing the level of the alert. */
const BATTERY_STEP = 5;
const BATTERY_LOW = 20;
const CLONE_AGAIN_MS = 24 * 3_600_000;

export function recordReport(device: RegisteredDevice, { data }: DeviceCommandOf<'RecordReport'>, now: Instant): DeviceDecision {
  const signed = data.evidence === 'signed';
  // Anyone who may publish there can forge an unsigned report: from the first signed one on, none counts.
  if (!signed && device.protocol.level === 1) return quiet;
  const events: DeviceEvent[] = [];
  if (signed && device.protocol.level === 0) events.push({ type: 'DeviceProtocolPinned', data: { level: 1 } });
  if (data.past === true) return accept(...events, ...unexplained(device, data, false));
  return accept(...events, ...presence(device, data, now), ...lock(device, data), ...firmware(device, data), ...sensors(device, data));
}

/** Any report is a sign of life. A box's own "offline" is believed only of old firmware: the others are judged by silence. */
function presence({ reported }: RegisteredDevice, report: DeviceReport, now: Instant): readonly DeviceEvent[] {
  if (report.online !== false) return reported.online ? [] : [{ type: 'DeviceWentOnline', data: { evidence: report.evidence } }];
  return reported.online && report.evidence === 'unsigned' ? [{ type: 'DeviceWentOffline', data: { lastHeardAt: now } }] : [];
}

function lock(device: RegisteredDevice, report: DeviceReport): readonly DeviceEvent[] {
  const { lockStatus, cause, commandId, evidence, reportSeq } = report;
  if (lockStatus === undefined) return [];
  const changed = lockStatus !== device.reported.lockStatus;
  const told: readonly DeviceEvent[] = changed
    ? [{ type: 'LockStateReported', data: present({ lockStatus, cause, commandId, evidence, reportSeq }) }]
    : [];
  return [...told, ...unexplained(device, report, changed)];
}

/** A change to open that nothing here accounts for. One opening, one alert, however often the box repeats its report. */
function unexplained(device: RegisteredDevice, report: DeviceReport, changed: boolean): readonly DeviceEvent[] {
  const { lockStatus, cause, commandId, evidence, reportSeq } = report;
  if (lockStatus !== 'unlocked' || cause === undefined || isExplained(device, report)) return [];
  const key = openingKey(report);
  const news = key === undefined ? changed : !device.reported.unexplained.includes(key);
  return news ? [{ type: 'UnexplainedOpening', data: present({ reportedCause: cause, commandId, reportSeq, evidence }) }] : [];
}

/** By a command that the box was sent, or by something that needs none: a key, the keypad, the start. */
function isExplained(device: RegisteredDevice, { cause, commandId }: DeviceReport): boolean {
  if (cause === 'command') return commandId !== undefined && mayHaveOpened(device, commandId);
  return cause !== 'unknown';
}

export function openingKey({ commandId, reportSeq }: { readonly commandId?: string; readonly reportSeq?: number }): string | undefined {
  return commandId ?? (reportSeq === undefined ? undefined : `report:${reportSeq}`);
}

function firmware({ reported }: RegisteredDevice, report: DeviceReport): readonly DeviceEvent[] {
  const version = report.firmwareVersion ?? reported.firmwareVersion ?? undefined;
  const { capabilities, protocols, evidence } = report;
  if (version === undefined) return [];
  const same =
    version === reported.firmwareVersion &&
    (capabilities === undefined || sameItems(capabilities, reported.capabilities)) &&
    (protocols === undefined || sameItems(protocols, reported.protocols));
  return same ? [] : [{ type: 'FirmwareReported', data: present({ version, capabilities, protocols, evidence }) }];
}

function sensors({ reported }: RegisteredDevice, report: DeviceReport): readonly DeviceEvent[] {
  const { battery, doorOpen, parcelPresent, tamper, evidence, reportSeq } = report;
  const events: DeviceEvent[] = [];
  if (battery !== undefined && isBatteryNews(reported.battery, battery)) {
    events.push({ type: 'BatteryLevelChanged', data: { level: battery, evidence } });
  }
  if (doorOpen !== undefined && doorOpen !== reported.doorOpen) {
    events.push({ type: 'DoorStateReported', data: present({ doorOpen, evidence, reportSeq }) });
  }
  // What anyone may have written raises an alarm and ends none.
  if (tamper !== undefined && tamper !== reported.tampered && (tamper || evidence === 'signed')) {
    events.push({ type: tamper ? 'DeviceTampered' : 'DeviceTamperCleared', data: present({ evidence, reportSeq }) });
  }
  // An empty compartment is a fact only where a parcel was seen in it.
  if (parcelPresent !== undefined && parcelPresent !== (reported.parcelPresent ?? false)) {
    events.push({ type: parcelPresent ? 'ParcelDetected' : 'ParcelRemoved', data: present({ evidence, reportSeq }) });
  }
  return events;
}

function isBatteryNews(known: number | null, level: number): boolean {
  if (known === null) return true;
  const crossed = known < BATTERY_LOW !== level < BATTERY_LOW;
  return crossed || Math.abs(known - level) >= BATTERY_STEP;
}

export function recordOffline({ reported }: RegisteredDevice, { data }: DeviceCommandOf<'RecordOffline'>): DeviceDecision {
  return reported.online ? accept({ type: 'DeviceWentOffline', data: { lastHeardAt: data.lastHeardAt } }) : quiet;
}

/** Two that take turns go on doing so: once a day is an alert, each time would be noise. */
export function recordCloneSuspicion({ reported }: RegisteredDevice, { data }: DeviceCommandOf<'RecordCloneSuspicion'>, now: Instant): DeviceDecision {
  const { cloneSuspectedAt } = reported;
  if (cloneSuspectedAt !== null && now < addMs(cloneSuspectedAt, CLONE_AGAIN_MS)) return quiet;
  return accept({ type: 'DeviceCloneSuspected', data: { connectIds: data.connectIds } });
}

function sameItems<T>(some: readonly T[], others: readonly T[]): boolean {
  return some.length === others.length && some.every((item, index) => item === others[index]);
}
