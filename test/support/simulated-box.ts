import { randomBytes } from 'node:crypto';
import type { DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { signReport, type ReportKind } from '../../src/bridge/protocol/signature.ts';
import { reportTopic, type TopicOwner } from '../../src/bridge/topics.ts';
import { instant, type Clock } from '../../src/platform/clock.ts';

type Body = Readonly<Record<string, unknown>>;

/** Hand-written reports of one box, correctly signed: for what a real one would never say, or not at that moment. */
export class SimulatedBox {
  readonly deviceId: string;
  readonly owner: TopicOwner;
  keys: DeviceKeys;
  readonly stream: string;
  connectId = randomBytes(8).toString('hex');
  journalId = randomBytes(8).toString('hex');
  reportSeq = 1_000_000;
  lastSeq = 0;
  executed: { command_id: string; seq: number; result: string }[] = [];
  configVersion = 0;
  status = 'locked';
  readonly #send: (topic: string, payload: Buffer, receivedAt?: number) => Promise<void>;
  readonly #clock: Clock;

  constructor(owner: TopicOwner, keys: DeviceKeys, send: (topic: string, payload: Buffer, receivedAt?: number) => Promise<void>, clock: Clock) {
    this.deviceId = owner.deviceId;
    this.owner = owner;
    this.keys = keys;
    this.stream = `device-${owner.deviceId}`;
    this.#send = send;
    this.#clock = clock;
  }

  /** The bytes of a report, without sending it. */
  make(kind: ReportKind, body: Body): Buffer {
    return signReport(
      kind,
      {
        v: 1,
        device_id: this.deviceId,
        report_seq: ++this.reportSeq,
        key_version: this.keys.version,
        connect_id: this.connectId,
        time_ok: true,
        timestamp: instant(this.#clock.now()),
        ...body,
      },
      this.keys.rpt,
    );
  }

  send(kind: ReportKind, payload: Buffer, receivedAt?: number): Promise<void> {
    return this.#send(reportTopic(this.owner, kind)!, payload, receivedAt);
  }

  statusBody(reason: string, body: Body = {}): Body {
    return {
      reason,
      status: this.status,
      online: true,
      battery: 85,
      journal_id: this.journalId,
      last_seq: this.lastSeq,
      last_executed: this.executed.slice(-8),
      config_version: this.configVersion,
      ...(reason === 'hello' ? { firmware_version: '1.0.0', protocols: [1], capabilities: ['bolt_sensor'] } : {}),
      ...body,
    };
  }

  makeStatus(reason: string, body: Body = {}): Buffer {
    return this.make('status', this.statusBody(reason, body));
  }

  tell(reason: string, body: Body = {}): Promise<void> {
    return this.send('status', this.makeStatus(reason, body));
  }

  /** A new connection. */
  hello(body: Body = {}): Promise<void> {
    this.connectId = randomBytes(8).toString('hex');
    return this.tell('hello', body);
  }

  makeHeartbeat(body: Body = {}): Buffer {
    return this.make('heartbeat', {
      online: true,
      battery: 85,
      uptime: 60,
      journal_id: this.journalId,
      last_seq: this.lastSeq,
      config_version: this.configVersion,
      rejects: { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 },
      ...body,
    });
  }

  heartbeat(body: Body = {}): Promise<void> {
    return this.send('heartbeat', this.makeHeartbeat(body));
  }

  /** A final answer to this command, as a box that carried it out gives it; `body` for every other answer. */
  makeAnswer(command: Body, body: Body = {}): Buffer {
    const answer = {
      command: command['action'],
      command_id: command['command_id'],
      request_id: command['command_id'],
      seq: command['seq'],
      journal_id: this.journalId,
      last_seq: this.lastSeq,
      phase: 'final',
      success: true,
      result: 'opened',
      executed: true,
      evidence: 'sensor',
      new_status: 'unlocked',
      message: '',
      battery_level: 85,
      ...body,
    };
    return this.make('responses', answer);
  }

  /** Carries a command out, as far as the server can tell. */
  opens(command: Body, body: Body = {}): Promise<void> {
    this.lastSeq = command['seq'] as number;
    this.executed.push({ command_id: command['command_id'] as string, seq: this.lastSeq, result: 'opened' });
    return this.send('responses', this.makeAnswer(command, body));
  }

  refuses(command: Body, reason: string, final: boolean, body: Body = {}): Promise<void> {
    if (final) this.lastSeq = command['seq'] as number;
    const said = { success: false, result: 'refused', reason, executed: final ? false : null, evidence: undefined, new_status: 'locked' };
    return this.send('responses', this.makeAnswer(command, { ...said, ...body }));
  }

  unsigned(kind: ReportKind, body: Body): Promise<void> {
    return this.send(kind, Buffer.from(JSON.stringify(body)));
  }
}
