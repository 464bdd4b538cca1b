import type { Aggregates } from '../commands/handle.ts';
import type { CommandContext } from '../commands/port.ts';
import { deviceAggregate } from '../domain/registry.ts';
import type { DeviceCommand } from '../domain/device/commands.ts';
import type { DeviceState } from '../domain/device/state.ts';
import { currentUnlock } from '../domain/device/unlock.ts';
import { AppendOutcomeUnknown, EventStoreUnavailable } from '../platform/event-store/port.ts';
import { deviceIdOfSerial, derivedCommandId, newId } from '../platform/ids.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import { isTransient } from '../platform/postgres/db.ts';
import type { Relay, RelayConsumer, RelayMessage } from '../platform/relay/port.ts';
import { traced } from '../platform/tracing.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { DeviceKeys as DeviceKeyStore } from '../platform/vault/device-keys.ts';
import { createHeldPublications } from './held-publications.ts';
import type { BoxKeys, Keyring } from './keyring.ts';
import type { DeviceProvisioner } from './provisioning.ts';
import type { LiveDevice, LiveDevices, TelemetryRow } from './live-devices.ts';
import { isUuid } from './protocol/fields.ts';
import type { Report, ReportProblem, SignedReport } from './protocol/reports.ts';
import { looksSigned, type ReportKind } from './protocol/signature.ts';
import { openReport, type ReportKey } from './protocol/signed-reports.ts';
import { parseUnsigned } from './protocol/unsigned-reports.ts';
import { createReconciliation } from './reconciliation.ts';
import { edgeReasons, type RejectedMessages } from './rejected-messages.ts';
import { decodeUp, type PublishedMessage, type RejectedMessage, type ReportMessage } from './relay-messages.ts';
import { signedEffects, unsignedEffects, type ReportEffects } from './report-effects.ts';
import { parseUpTopic, type Profile } from './topics.ts';
import type { UnlockTraces } from './unlock-traces.ts';
import { createUnsettled, type Heard } from './unsettled.ts';

/** Boxes whose commands run side by side in one batch. */
const SIDE_BY_SIDE = 32;
const MAX_ACKED = 16;

export interface IngestDeps {
  readonly bus: Aggregates;
  readonly live: LiveDevices;
  readonly keyring: Keyring;
  readonly relay: Relay;
  readonly dispatcher: Pick<Dispatcher, 'sendTime' | 'sendAck' | 'sendConfig' | 'sendRotation' | 'askForStatus'>;
  readonly deviceKeys: Pick<DeviceKeyStore, 'promote'>;
  readonly provisioner: Pick<DeviceProvisioner, 'followKeys'>;
  readonly rejected: Pick<RejectedMessages, 'add'>;
  readonly traces?: UnlockTraces;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

type Problem = ReportProblem | 'unknown_device' | 'wrong_family' | 'unsigned_from_pinned' | 'malformed_relay' | 'undecided';

/** A message whose box is known by name; whether the box exists is not yet. */
interface Addressed {
  readonly deviceId: string;
  readonly profile: Profile;
  readonly kind: ReportKind;
  readonly message: ReportMessage;
}

interface Box {
  device: LiveDevice;
  keys: BoxKeys | undefined;
  readonly reports: Addressed[];
  /** Of what must arrive: acknowledged once it is durable. */
  readonly acked: number[];
  /** The newest question for the time: answered once the hello that it belongs to is durable. */
  challenge: string | undefined;
  /** Its broker is being told of its new password: no acknowledgement before. */
  known: Promise<void> | undefined;
  returning: boolean;
  heard: Heard | undefined;
}

/**
 * Relay → facts. A batch is verified, what changed a fact becomes commands, then one statement keeps the rest. Only then
 * is the batch handled: so a PUBACK that waits for it, and every signed `ack`, stand for something durable.
 */
export function createIngest(deps: IngestDeps): RelayConsumer {
  const { bus, live, keyring, relay, dispatcher, deviceKeys, provisioner, rejected, traces, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'ingest' });
  const accepted = metrics.counter('loqey_device_reports_total', 'Reports of devices that counted', ['kind', 'evidence']);
  const dropped = metrics.counter('loqey_device_reports_dropped_total', 'Reports of devices that had no effect', ['problem']);
  const latency = metrics.histogram('loqey_ingest_seconds', 'From the bridge to durable', ['kind']);
  const unsettled = createUnsettled({ clock });
  const publications = createHeldPublications({ bus, traces, clock, logger });
  const reconciliation = createReconciliation({ bus, dispatcher, clock, logger });
  let unsignedCounter = 0;

  async function handle(batch: readonly RelayMessage[]): Promise<void> {
    const published: PublishedMessage[] = [];
    const reports: ReportMessage[] = [];
    for (const message of batch) {
      const decoded = decodeUp(message);
      if (decoded === undefined) dropped.inc({ problem: 'malformed_relay' });
      else if (decoded.kind === 'published') published.push(decoded);
      else if (decoded.kind === 'rejected') rejectedBefore(decoded);
      else reports.push(decoded);
    }
    publications.hold(published);
    await ingest(reports);
  }

  /** Refused at the edge, where nobody knows the boxes: of one that did not prove who it is, the topic says whose it may be. */
  function rejectedBefore({ reason, deviceId, ...message }: RejectedMessage): void {
    dropped.inc({ problem: edgeReasons.has(reason) ? reason : 'other' });
    rejected.add({ ...message, reason, deviceId: deviceId !== undefined && isUuid(deviceId) ? deviceId : undefined });
  }

  /** A report that no box of ours can have sent. */
  function fromStranger(problem: Problem, { topic, via, payload, receivedAt }: ReportMessage, claimed?: string): void {
    dropped.inc({ problem });
    rejected.add({ reason: problem, via, deviceId: undefined, topic, claimed, size: payload.length, payload, receivedAt });
  }

  async function ingest(messages: readonly ReportMessage[]): Promise<void> {
    if (messages.length === 0) return;
    const addressed = await address(messages);
    const deviceIds = [...new Set(addressed.map(({ deviceId }) => deviceId))];
    const [rows, keys] = await Promise.all([live.load(deviceIds), keyring.ofMany(deviceIds)]);
    const boxes = new Map<string, Box>();
    for (const each of addressed) {
      const device = rows.get(each.deviceId);
      if (device === undefined) {
        fromStranger('unknown_device', each.message, each.deviceId);
        continue;
      }
      let box = boxes.get(each.deviceId);
      if (box === undefined) boxes.set(each.deviceId, (box = { device, keys: keys.get(each.deviceId), reports: [], acked: [], challenge: undefined, known: undefined, returning: false, heard: undefined }));
      box.reports.push(each);
    }
    const telemetry: TelemetryRow[] = [];
    await sideBySide([...boxes.values()], async (box) => {
      for (const report of box.reports) await takeIn(box, report, telemetry);
    });
    // A row that no report of this batch changed stays as it is: another batch may be at work on it.
    const changed = [...boxes.values()].filter(({ device }) => device !== rows.get(device.deviceId));
    await live.save(changed.map(({ device }) => device), telemetry);
    countAccepted(telemetry);
    const now = clock.now();
    for (const { kind, message } of addressed) latency.labels(kind).observe(Math.max(0, now - message.receivedAt) / 1_000);
    for (const { device, acked, challenge, known, returning, heard } of changed) {
      // To a box its time is the sign that its hello was heard: it stops saying hello (docs/decisions/0094).
      if (challenge !== undefined) background(() => dispatcher.sendTime(device, challenge), 'The time could not be sent');
      if (returning) await sayBack(device);
      // After its row is kept, as well: an outcome that becomes unknown at this moment finds it there, or is seen here.
      if (heard !== undefined) askIfUnsettled(device, heard);
      if (acked.length > 0) {
        const whenKnown = async (): Promise<void> => {
          await known;
          await acknowledge(device, acked);
        };
        background(whenKnown, 'An acknowledgement could not be sent');
      }
    }
  }

  /** By kind, not one after the other: with its labels a count costs as much as parsing a topic. */
  function countAccepted(telemetry: readonly TelemetryRow[]): void {
    for (const rows of Map.groupBy(telemetry, ({ kind, keyVersion }) => `${kind} ${keyVersion > 0}`).values()) {
      const { kind, keyVersion } = rows[0]!;
      accepted.inc({ kind, evidence: keyVersion > 0 ? 'signed' : 'unsigned' }, rows.length);
    }
  }

  /**
   * Once more after its row is kept: whoever records a silent box as offline looks at the row last, so one of the two sees
   * the other.
   */
  async function sayBack(device: LiveDevice): Promise<void> {
    const { deviceId, level } = device;
    const commandId = newId();
    const command: DeviceCommand = { type: 'RecordReport', data: { deviceId, evidence: level === 1 ? 'signed' : 'unsigned' } };
    await bus.execute(command, { commandId, correlationId: commandId, actor: { kind: 'device', id: deviceId }, source: 'mqtt_device' });
  }

  /** Whose each report is, by its topic alone; `transisttag` names the box in the payload, unproven. */
  async function address(messages: readonly ReportMessage[]): Promise<Addressed[]> {
    const found: Addressed[] = [];
    const byHardware: { readonly key: string; readonly kind: ReportKind; readonly message: ReportMessage }[] = [];
    for (const message of messages) {
      const topic = parseUpTopic(message.topic);
      if (topic === undefined) {
        fromStranger('wrong_family', message);
        continue;
      }
      const { profile, kind } = topic;
      const key = topic.key ?? nameInPayload(kind, message.payload);
      if (key === undefined) fromStranger('unknown_device', message);
      else if (profile === 'smartlock') byHardware.push({ key, kind, message });
      else found.push({ deviceId: isUuid(key) ? key : deviceIdOfSerial(key), profile, kind, message });
    }
    if (byHardware.length > 0) {
      const ids = await live.byTopicKey('smartlock', [...new Set(byHardware.map(({ key }) => key))]);
      for (const { key, kind, message } of byHardware) {
        const deviceId = ids.get(key);
        if (deviceId === undefined) fromStranger('unknown_device', message, key);
        else found.push({ deviceId, profile: 'smartlock', kind, message });
      }
    }
    return found;
  }

  /** One report of one box. What concerns this box alone must not hold up the others: it is dropped and not acknowledged. */
  async function takeIn(box: Box, { kind, profile, message }: Addressed, telemetry: TelemetryRow[]): Promise<void> {
    const { device, keys } = box;
    const receivedAt = instant(message.receivedAt);
    const reject = (problem: Problem, field?: string): void => {
      dropped.inc({ problem });
      const { topic, via, payload } = message;
      rejected.add({ reason: problem, via, deviceId: device.deviceId, topic, field, size: payload.length, payload, receivedAt: message.receivedAt });
    };
    // A message counts only on the family of the box's own profile.
    if (profile !== device.profile) return reject('wrong_family');
    const signed = looksSigned(message.payload);
    if (!signed && device.level === 1) return reject('unsigned_from_pinned');
    const parsed = signed ? openReport(kind, message.payload, device.deviceId, reportKeys(keys)) : parseUnsigned(kind, message.payload);
    if (!parsed.ok) return reject(parsed.problem, parsed.field);

    const { report } = parsed;
    const effects = report.level === 1 ? signedEffects(device, report, receivedAt, message.via) : unsignedEffects(device, report, receivedAt, message.via);
    try {
      if (!(await ownsItsKey(box, report))) return reject('bad_signature');
      // The commands first: if they fail, the row must not say that their facts were told.
      await carryOut(report, effects, receivedAt);
    } catch (error) {
      if (concernsAll(error)) throw error;
      logger.warn({ err: error, deviceId: device.deviceId, kind }, 'A report could not be taken in; a box repeats what must arrive');
      return reject('undecided');
    }
    box.device = effects.device;
    box.returning ||= effects.returning;
    if (effects.ack !== undefined) box.acked.push(effects.ack);
    box.challenge = effects.timeChallenge ?? box.challenge;
    box.heard = heardIn(report) ?? box.heard;
    telemetry.push(telemetryOf(report, effects.device, kind, message, receivedAt));
  }

  /**
   * The first report signed with the new key: from here on the old one is worth nothing, and what is sent to the box is
   * signed with the new one. Before anything that the report says: a crash in between leaves a report that comes again.
   * False: the key ended while the report was on its way.
   */
  async function ownsItsKey(box: Box, report: Report): Promise<boolean> {
    const pending = box.keys?.pending;
    if (report.level === 0 || pending === undefined || report.keyVersion !== pending.version) return true;
    if (!(await deviceKeys.promote(box.device.deviceId, pending.version))) return false;
    box.keys = { current: pending, pending: undefined };
    // Before the acknowledgement, after which the box comes back with the new password: refused with that and, a moment later,
    // with the old one too, it would stay away for minutes. The other boxes do not wait for the broker; where it does not work
    // now, the reactor of the event does it.
    box.known = provisioner.followKeys(box.device.deviceId).catch((error: unknown) => {
      logger.warn({ err: error, deviceId: box.device.deviceId }, 'The broker does not know the new password of a box yet');
    });
    return true;
  }

  async function carryOut(report: Report, effects: ReportEffects, receivedAt: string): Promise<void> {
    const { device, commands, unsignedAnswer } = effects;
    const look = reconciliation.isWorthALook(effects);
    if (commands.length === 0 && unsignedAnswer === undefined && !look) return;
    const answered = commands.find((command) => command.type === 'RecordUnlockAnswer')?.data.unlockId;
    const parent = answered === undefined ? undefined : await traces?.of(device.deviceId, answered);
    if (traces === undefined || parent === undefined) return decide(effects, look, contextOf(report, device, receivedAt));
    const attributes = { 'loqey.device_id': device.deviceId, 'loqey.report': report.kind };
    await traced(traces.tracing, `report ${report.kind}`, 'consumer', parent, attributes, (next) =>
      decide(effects, look, { ...contextOf(report, device, receivedAt), ...(next === undefined ? {} : { traceparent: next }) }),
    );
  }

  async function decide(effects: ReportEffects, look: boolean, context: CommandContext): Promise<void> {
    const { commands, unsignedAnswer } = effects;
    for (const [index, command] of commands.entries()) {
      await bus.execute(publications.joinedWith(command), { ...context, commandId: commandIdOf(context, command, index) });
    }
    if (unsignedAnswer !== undefined) await answerUnsigned(effects, context);
    if (look) await reconciliation.compare(effects, context);
  }

  /** It names no command, so it counts for the one in flight, where there is exactly one. */
  async function answerUnsigned({ device, unsignedAnswer }: ReportEffects, context: CommandContext): Promise<void> {
    const { state } = await bus.load<DeviceState>(deviceAggregate, device.deviceId);
    const current = currentUnlock(state);
    if (current === undefined || unsignedAnswer === undefined) return;
    const data = { deviceId: device.deviceId, unlockId: current.unlockId, ...unsignedAnswer };
    await bus.execute({ type: 'RecordUnlockAnswer', data }, { ...context, commandId: newId(), lane: 'urgent' });
  }

  /** By what is at hand: there it is where an outcome became unknown in this process, and where a status was compared. */
  function askIfUnsettled(device: LiveDevice, heard: Heard): void {
    if (!unsettled.isWorthAsking(device, bus.peek<DeviceState>(deviceAggregate, device.deviceId), heard)) return;
    background(() => dispatcher.askForStatus(device.deviceId), 'A box could not be asked for its status');
  }

  async function acknowledge(device: LiveDevice, acked: readonly number[]): Promise<void> {
    for (let from = 0; from < acked.length; from += MAX_ACKED) await dispatcher.sendAck(device, acked.slice(from, from + MAX_ACKED));
  }

  /** Best effort by design: the box asks or reports again. Never awaited, because the way down leads back here. */
  function background(send: () => Promise<void>, failure: string): void {
    send().catch((error: unknown) => logger.warn({ err: error }, failure));
  }

  function telemetryOf(report: Report, device: LiveDevice, kind: ReportKind, message: ReportMessage, receivedAt: string): TelemetryRow {
    if (report.level === 1) {
      const { keyVersion, reportSeq, timestamp } = report;
      return { deviceId: device.deviceId, keyVersion, reportSeq, kind, receivedAt, deviceTime: timestamp, body: message.payload.toString('utf8') };
    }
    // Unsigned reports have no number: the time they came, made unique in this process.
    unsignedCounter = (unsignedCounter + 1) % 1_000;
    const reportSeq = message.receivedAt * 1_000 + unsignedCounter;
    return { deviceId: device.deviceId, keyVersion: 0, reportSeq, kind, receivedAt, deviceTime: undefined, body: message.payload.toString('utf8') };
  }

  const consumer = relay.consume({ topic: 'device-reports', group: 'ingest', maxBatch: 500, concurrency: 4, handle });
  return {
    ...consumer,
    async stop() {
      await consumer.stop();
      await publications.flush();
    },
  };
}

function reportKeys(keys: BoxKeys | undefined): readonly ReportKey[] {
  if (keys === undefined) return [];
  return keys.pending === undefined ? [keys.current] : [keys.current, keys.pending];
}

function nameInPayload(kind: ReportKind, payload: Buffer): string | undefined {
  const parsed = parseUnsigned(kind, payload);
  return parsed.ok && parsed.report.level === 0 ? parsed.report.deviceKey : undefined;
}

function contextOf(report: Report, device: LiveDevice, receivedAt: string): CommandContext {
  const signed = report.level === 1;
  // A report that comes again makes the same command id.
  const commandId = signed ? derivedCommandId('report', device.deviceId, `${report.keyVersion}`, `${report.reportSeq}`) : newId();
  return {
    commandId,
    correlationId: commandId,
    actor: { kind: 'device', id: device.deviceId },
    source: 'mqtt_device',
    receivedAt,
    // What the box did, it did because of that command.
    ...(signed && causeOf(report) !== undefined ? { causationId: causeOf(report)! } : {}),
    ...(signed && report.timestamp !== undefined ? { deviceTime: report.timestamp } : {}),
    ...(report.kind === 'responses' ? { lane: 'urgent' as const } : {}),
  };
}

/** After which a box is asked what became of an opening. A hello comes without a trusted time, which most settlements need. */
function heardIn(report: Report): Heard | undefined {
  if (report.level === 0) return undefined;
  if (report.kind === 'heartbeat') return { kind: 'heartbeat' };
  if (report.kind === 'responses') return report.phase === 'final' ? { kind: 'answer', commandId: report.commandId } : undefined;
  return report.kind === 'status' && report.reason === 'hello' ? { kind: 'hello' } : undefined;
}

function causeOf(report: SignedReport): string | undefined {
  return 'commandId' in report ? report.commandId : undefined;
}

function commandIdOf({ commandId }: CommandContext, command: DeviceCommand, index: number): string {
  return derivedCommandId(command.type, commandId, `${index}`);
}

/** The log or the database cannot be written or read: nothing of this batch may be answered. Anything else is the matter of one box. */
function concernsAll(error: unknown): boolean {
  return error instanceof EventStoreUnavailable || error instanceof AppendOutcomeUnknown || isTransient(error);
}

/** At most `SIDE_BY_SIDE` at once; the first failure fails the batch, which then comes again. */
async function sideBySide<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length && !failed; index = next++) {
      await work(items[index]!).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  await allOf(Array.from({ length: Math.min(SIDE_BY_SIDE, items.length) }, lane));
}

/** Fails only when all have come to their end: a batch that comes again must not meet its own first attempt. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work.filter((each) => each !== undefined))).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
