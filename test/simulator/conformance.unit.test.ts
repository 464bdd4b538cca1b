import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deriveKeys, mqttPassword } from '../../src/bridge/protocol/keys.ts';
import { signCommand } from '../../src/bridge/protocol/signature.ts';
import { DeviceCore } from '../../src/simulator/core.ts';
import type { PowerCutStep } from '../../src/simulator/firmware/options.ts';
import { fileFlash } from '../../src/simulator/flash.ts';
import { Hardware } from '../../src/simulator/hardware.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import { FakeTime } from '../../src/simulator/time.ts';
import { vectorDeviceId, vectorKeys, vectorMasterKey, vectorPayload } from '../bridge/protocol/vectors.ts';
import { FakeBroker, Rig } from './rig.ts';

const SECOND = 1000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A box at the moment that V1 is issued, its clock known. */
function atV1(options: ConstructorParameters<typeof Rig>[0] = {}): Rig {
  return new Rig({ time: new FakeTime(Date.parse('2026-11-21T10:29:59.000Z')), ...options }).online();
}

function body(payload: Buffer): Record<string, unknown> {
  const { signature: _, ...rest } = JSON.parse(payload.toString()) as Record<string, unknown>;
  return rest;
}

/** Docs: device-protocol.md, "Conformance". Each test has the number of its check; 1 to 26 are the box's. */
describe('conformance of the simulated lockbox', () => {
  it('1: the vectors are carried out, what must fail is met with silence', () => {
    const rig = atV1();
    rig.time.advance(901);
    expect(rig.carryOut(vectorPayload('V1'))).toMatchObject({ result: 'opened', evidence: 'sensor', newStatus: 'unlocked' });
    expect(rig.box.movements).toMatchObject([{ to: 'unlocked', cause: 'command', commandId: '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50' }]);

    const before = rig.reports.length;
    const v1 = vectorPayload('V1').toString();
    for (const bad of [v1.slice(0, -66) + v1.slice(-66, -2).toUpperCase() + '"}', `${v1.slice(0, -1)} }`, `${v1.slice(0, -80)}}`]) rig.send(Buffer.from(bad));
    rig.send(signCommand(body(vectorPayload('V1')), vectorKeys.rpt));
    rig.send(vectorPayload('V3'));
    rig.time.advance(SECOND);
    expect(rig.reports.length).toBe(before);
    expect(rig.box.state?.rejects.bad_signature).toBe(5);
  });

  it('1: V4 gives the box the key of version 2, V5 its configuration', () => {
    const rig = new Rig({ time: new FakeTime(Date.parse('2026-11-21T10:30:59.000Z')) }).online();
    rig.time.advance(901);
    rig.pendingKeys = deriveKeys(Buffer.from('fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0', 'hex'), vectorDeviceId, 2);
    expect(rig.carryOut(vectorPayload('V4'))).toMatchObject({ result: 'applied', keyVersion: 2 });
    expect(rig.box.state?.keyVersion).toBe(2);

    const other = new Rig({ time: new FakeTime(Date.parse('2026-11-21T10:39:59.000Z')) }).online();
    other.time.advance(901);
    expect(other.carryOut(vectorPayload('V5'))).toMatchObject({ result: 'applied', configVersion: 7 });
    expect(other.box.state).toMatchObject({ configVersion: 7, config: body(vectorPayload('V5'))['config'] });
  });

  it('2: every single-bit flip of V1 is refused in silence and counted', () => {
    const rig = atV1();
    rig.time.advance(901);
    const before = rig.reports.length;
    const v1 = vectorPayload('V1');
    for (let bit = 0; bit < v1.length * 8; bit++) {
      const changed = Buffer.from(v1);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      rig.send(changed);
    }
    rig.time.advance(SECOND);
    expect(rig.reports.length).toBe(before);
    expect(rig.box.state?.rejects).toEqual({ bad_signature: v1.length * 8, retained: 0, too_large: 0, malformed: 0 });
    expect(rig.openings).toBe(0);
  });

  it('3: V1 at another device is met with silence, also under the same key', () => {
    const foreign = randomUUID();
    for (const masterKey of [randomBytes(32), vectorMasterKey]) {
      const time = new FakeTime(Date.parse('2026-11-21T10:30:00.000Z'));
      const broker = new FakeBroker(time);
      const box = createLockbox({ provisioning: provision({ deviceId: foreign, masterKey, url: 'mqtt://nowhere' }), connect: broker.connect, time, firstConnectWithinMs: 0 });
      box.powerOn();
      time.advance(100);
      const before = broker.published.length;
      broker.deliver(vectorPayload('V1'));
      time.advance(SECOND);
      expect(broker.published.length).toBe(before);
      expect(box.movements).toEqual([]);
    }
    // Signed with the box's own key, but naming another one.
    const rig = new Rig().online();
    const before = rig.reports.length;
    rig.send(rig.unlock({ deviceId: foreign }));
    rig.time.advance(SECOND);
    expect(rig.reports.length).toBe(before);
    expect(rig.box.state?.rejects.bad_signature).toBe(1);
  });

  it('4: V1 three times within 30 s: one movement, three equal answers', () => {
    const rig = atV1({ acks: false });
    rig.time.advance(901);
    const before = rig.payloads.length;
    for (let times = 0; times < 3; times++) rig.carryOut(vectorPayload('V1'));
    const answers = rig.payloads.slice(before).filter((_, n) => rig.reports[before + n]?.kind === 'responses');
    expect(answers.length).toBe(3);
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(rig.openings).toBe(1);
  });

  it('4: while the bolt still moves, a repeat is answered with "accepted"', () => {
    const rig = new Rig({ boltMs: 900 }).online();
    const command = rig.unlock();
    rig.send(command);
    rig.time.advance(310);
    expect(rig.responses().map(({ phase }) => phase)).toEqual(['accepted']);
    rig.send(command);
    rig.time.advance(SECOND);
    expect(rig.responses().map(({ phase }) => phase)).toEqual(['accepted', 'accepted', 'final']);
    expect(rig.openings).toBe(1);
  });

  it('5: V1 again after a restart within 30 s: no movement, the stored answer', () => {
    const rig = atV1();
    rig.time.advance(901);
    rig.carryOut(vectorPayload('V1'));
    const first = rig.payloads.find((_, n) => rig.reports[n]?.kind === 'responses');
    rig.box.powerOff();
    rig.time.advance(2 * SECOND);
    rig.online();
    const before = rig.payloads.length;
    rig.carryOut(vectorPayload('V1'));
    expect(rig.payloads.slice(before)).toEqual([first]);
    expect(rig.openings).toBe(1);
  });

  it('6: power cut between the commit and the motor: no movement after boot, "interrupted" is reported', () => {
    const rig = new Rig().online();
    const command = rig.unlock();
    rig.box.faults.cutPowerAt('started_committed', 3 * SECOND);
    rig.carryOut(command, 10 * SECOND);
    expect(rig.openings).toBe(0);
    expect(rig.responses()).toMatchObject([{ result: 'interrupted', executed: undefined, success: false, newStatus: 'locked' }]);
    expect(rig.carryOut(command)).toMatchObject({ result: 'interrupted' });
    expect(rig.openings).toBe(0);
    expect(rig.statuses('hello').at(-1)?.lastExecuted).toMatchObject([{ result: 'interrupted' }]);
  });

  it('7: power cut between the movement and its result: "interrupted", one movement in all', () => {
    const rig = new Rig().online();
    const command = rig.unlock();
    rig.box.faults.cutPowerAt('bolt_moved', 3 * SECOND);
    rig.carryOut(command, 10 * SECOND);
    expect(rig.responses()).toMatchObject([{ result: 'interrupted', newStatus: 'unlocked' }]);
    rig.carryOut(command);
    expect(rig.openings).toBe(1);
  });

  it('7: power cut after the result was committed: the result is reported after boot', () => {
    const rig = new Rig().online();
    rig.box.faults.cutPowerAt('result_committed', 3 * SECOND);
    rig.carryOut(rig.unlock(), 10 * SECOND);
    expect(rig.responses()).toMatchObject([{ result: 'opened' }]);
    expect(rig.statuses('changed')).toMatchObject([{ cause: 'command', status: 'unlocked' }]);
    expect(rig.openings).toBe(1);
  });

  it('8: the flash commit fails: no movement', () => {
    const rig = new Rig().online();
    rig.box.faults.failCommits(1);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'refused', reason: 'storage_failed', executed: undefined });
    expect(rig.openings).toBe(0);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
  });

  it('8: a commit that takes long makes the command late: refused, no movement, not in the journal', () => {
    const rig = new Rig().online();
    const command = rig.unlock({ expiresAt: new Date(rig.time.now() + SECOND).toISOString() });
    rig.box.faults.onCommit(() => {
      rig.box.faults.onCommit(undefined);
      rig.time.advance(2 * SECOND);
    });
    expect(rig.carryOut(command)).toMatchObject({ result: 'refused', reason: 'expired', executed: false });
    expect(rig.openings).toBe(0);
    expect(rig.box.state?.ring).toEqual([]);
  });

  it('9: a command 31 s old is expired, and stays so when the clock is set back', () => {
    const rig = new Rig().online();
    const command = rig.unlock();
    rig.time.advance(31 * SECOND);
    const answer = rig.carryOut(command);
    expect(answer).toMatchObject({ result: 'refused', reason: 'expired', executed: false });
    expect(answer?.lastSeq).toBe(answer?.seq);

    // A server whose clock is an hour behind sets the time: the number stays taken.
    rig.timeAnswer = false;
    rig.broker.break();
    rig.time.advance(3 * SECOND);
    rig.send(rig.timeFor(rig.statuses('hello').at(-1)!.timeChallenge!, { issuedAt: new Date(rig.time.now() - 35 * SECOND).toISOString() }));
    expect(rig.carryOut(command)).toMatchObject({ result: 'refused', reason: 'stale_seq' });
    expect(rig.openings).toBe(0);
  });

  it('10: no time yet: time_untrusted, whatever RTC or NTP say', () => {
    const rig = new Rig().online();
    rig.box.powerOff();
    rig.timeAnswer = false;
    rig.box.faults.setRtcSkew(0);
    rig.online();
    expect(rig.statuses('hello').at(-1)).toMatchObject({ timeOk: false, timestamp: undefined });
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'refused', reason: 'time_untrusted', executed: false });
    expect(rig.openings).toBe(0);
  });

  it('10: trust ends eight hours after the last answer, and is asked for anew after four', () => {
    const rig = new Rig().online();
    rig.timeAnswer = false;
    rig.time.advance(3.9 * HOUR);
    expect(rig.heartbeats().every(({ timeChallenge }) => timeChallenge === undefined)).toBe(true);
    rig.time.advance(0.2 * HOUR);
    expect(rig.heartbeats().at(-1)?.timeChallenge).toBeDefined();
    rig.time.advance(3.8 * HOUR);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
    rig.time.advance(0.2 * HOUR);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ reason: 'time_untrusted' });
    rig.timeAnswer = 20;
    rig.time.advance(70 * SECOND);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
  });

  it('11: unsolicited, replayed, late or foreign time leaves the clock as it was', () => {
    const rig = new Rig({ timeAnswer: false }).online();
    const challenge = rig.statuses('hello')[0]!.timeChallenge!;
    const wrong = { issuedAt: '2030-01-01T00:00:00.000Z' };

    rig.send(rig.timeFor(randomBytes(16).toString('hex'), wrong));
    expect(rig.box.state?.now).toBeUndefined();

    const answer = rig.timeFor(challenge);
    rig.send(answer);
    const known = rig.box.state?.now;
    expect(known).toBeDefined();
    rig.send(answer);
    rig.send(rig.timeFor(challenge, wrong));
    expect(rig.box.state?.now).toBe(known);

    rig.broker.break();
    rig.time.advance(2.5 * SECOND);
    const late = rig.statuses('hello').at(-1)!.timeChallenge!;
    expect(late).not.toBe(challenge);
    const expected = rig.box.state!.now! + 5001;
    rig.time.advance(5001);
    rig.send(rig.timeFor(late, wrong));
    expect(rig.box.state?.now).toBeCloseTo(expected, 0);
  });

  it('11: trusted time is never behind the server and at most the round trip ahead', () => {
    const rig = new Rig({ timeAnswer: false }).online();
    const challenge = rig.statuses('hello')[0]!.timeChallenge!;
    rig.time.advance(2 * SECOND);
    const answer = rig.timeFor(challenge);
    rig.time.advance(1.5 * SECOND);
    rig.send(answer);
    expect(rig.box.state!.now! - rig.time.now()).toBeGreaterThanOrEqual(0);
    expect(rig.box.state!.now! - rig.time.now()).toBeLessThanOrEqual(5 * SECOND);
  });

  it('11: a time that goes back is not believed for a quarter of an hour; an honest error is', () => {
    const rig = new Rig({ timeAnswer: false }).online();
    const answered = (offsetMs: number): number => {
      rig.time.advance(90 * SECOND);
      const hellos = rig.statuses('hello').length;
      rig.broker.break();
      while (rig.statuses('hello').length === hellos) rig.time.advance(SECOND / 2);
      const challenge = rig.statuses('hello').at(-1)!.timeChallenge!;
      rig.send(rig.timeFor(challenge, { issuedAt: new Date(rig.time.now() + offsetMs).toISOString() }));
      return rig.box.state!.now! - rig.time.now();
    };
    rig.send(rig.timeFor(rig.statuses('hello')[0]!.timeChallenge!));
    const ahead = answered(4 * SECOND);
    expect(Math.abs(answered(0) - (ahead - 4 * SECOND))).toBeLessThan(SECOND);

    for (let told = 0; told < 9; told++) expect(answered(-HOUR)).toBeGreaterThan(-SECOND);
    let offset = 0;
    for (let told = 0; told < 3; told++) offset = answered(-HOUR);
    expect(offset).toBeLessThan(-HOUR + 10 * SECOND);
  });

  it('12: a clock one day behind or ahead before the answer: no late movement', () => {
    for (const skew of [-DAY, DAY]) {
      const rig = new Rig({ rtcSkewMs: skew }).online();
      const command = rig.unlock();
      rig.time.advance(31 * SECOND);
      expect(rig.carryOut(command)).toMatchObject({ reason: 'expired' });
      expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
      expect(rig.openings).toBe(1);
    }
  });

  it('12: a command of the future is refused', () => {
    const rig = new Rig().online();
    const at = (ms: number): string => new Date(rig.time.now() + ms).toISOString();
    expect(rig.carryOut(rig.unlock({ issuedAt: at(6 * SECOND), expiresAt: at(36 * SECOND) }), 100)).toMatchObject({ reason: 'not_yet_valid', executed: false });
    expect(rig.openings).toBe(0);
  });

  it('13: an equal or lower number with a new id is stale', () => {
    const rig = new Rig().online();
    const seq = rig.nextSeq();
    rig.carryOut(rig.unlock({ seq }));
    for (const lower of [seq, seq - 1, 1]) {
      expect(rig.carryOut(rig.unlock({ seq: lower }))).toMatchObject({ result: 'refused', reason: 'stale_seq', executed: undefined });
    }
    expect(rig.openings).toBe(1);
    expect(rig.box.state?.lastSeq).toBe(seq);
  });

  it('14: journal erased, an older command replayed: before_journal', () => {
    const rig = new Rig().online();
    const command = rig.unlock();
    rig.carryOut(command);
    const journalId = rig.box.state?.journalId;
    rig.time.advance(31 * SECOND);
    rig.box.powerOff();
    rig.box.faults.eraseJournal();
    rig.time.advance(2 * SECOND);
    rig.online();
    expect(rig.box.state?.journalId).not.toBe(journalId);
    expect(rig.carryOut(command)).toMatchObject({ reason: 'before_journal', executed: undefined });
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
    expect(rig.openings).toBe(2);
  });

  it('14: a journal that never knew the time takes no command at all', () => {
    const rig = new Rig({ timeAnswer: false }).online();
    expect(rig.carryOut(rig.unlock())).toMatchObject({ reason: 'before_journal', executed: undefined });
    expect(rig.openings).toBe(0);
  });

  it('15: a window of 61 s is bad, one of 60 s is not', () => {
    const rig = new Rig().online();
    const until = (ms: number): { expiresAt: string } => ({ expiresAt: new Date(rig.time.now() + ms).toISOString() });
    expect(rig.carryOut(rig.unlock(until(61 * SECOND)))).toMatchObject({ reason: 'bad_window', executed: false });
    expect(rig.carryOut(rig.unlock(until(60 * SECOND)))).toMatchObject({ result: 'opened' });
  });

  it('16: a retained command is met with silence and counted', () => {
    const rig = new Rig().online();
    const before = rig.reports.length;
    rig.send(rig.unlock(), true);
    rig.time.advance(SECOND);
    expect(rig.reports.length).toBe(before);
    expect(rig.box.state?.rejects.retained).toBe(1);
    expect(rig.openings).toBe(0);
  });

  it('17: oversized, deep, invalid, empty, unsigned payloads, 100,000 of them: silence, no restart, nothing left behind', () => {
    const rig = new Rig().online();
    const deep = signCommand(`{"v":1,"x":${'['.repeat(20)}${']'.repeat(20)}}`, vectorKeys.cmd);
    const kinds = [
      Buffer.alloc(2049, 0x7b),
      deep,
      Buffer.concat([Buffer.from([0xff, 0xfe]), vectorPayload('V1')]),
      signCommand(Buffer.from('{"v":1,"x":"\u00ff"}', 'latin1').toString('latin1'), vectorKeys.cmd).fill(0xff, 12, 13),
      Buffer.alloc(0),
      Buffer.from('{}'),
      Buffer.from('{"action":"unlock"}'),
      signCommand('{"v":1,"action":"unlock","action":"unlock"}', vectorKeys.cmd),
      signCommand('{"v":1e0}', vectorKeys.cmd),
      randomBytes(200),
    ];
    const before = { reports: rig.reports.length, timers: rig.time.waiting, events: rig.events.length };
    const booted = rig.box.state?.bootCount;
    rig.events.length = 0;
    for (let n = 0; n < 100_000; n++) rig.send(kinds[n % kinds.length]!);
    const { bad_signature, malformed, too_large } = rig.box.state!.rejects;
    expect(bad_signature + malformed + too_large).toBe(100_000);
    expect(too_large).toBe(10_000);
    expect(malformed).toBeGreaterThanOrEqual(20_000);
    expect(rig.reports.length).toBe(before.reports);
    expect(rig.time.waiting).toBe(before.timers);
    expect(rig.box.state).toMatchObject({ outbox: 0, bootCount: booted });
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened' });
  });

  it('18: connects clean, looks at every SUBACK code, says hello last', () => {
    const rig = new Rig({ seed: 3 });
    rig.broker.grant = (filters) => filters.map((_, n) => (n === 1 ? 0x80 : 1));
    rig.box.powerOn();
    rig.time.advance(50);
    expect(rig.broker.requests[0]).toMatchObject({ clean: true, clientId: `device_${vectorDeviceId}`, username: vectorDeviceId, password: rig.password(), keepaliveSeconds: 30 });
    expect(rig.broker.subscriptions).toEqual(['unlock', 'config', 'system'].map((name) => `loqey/devices/${vectorDeviceId}/commands/${name}`));
    expect(rig.broker.published).toEqual([]);
    expect(rig.broker.ended).toEqual(['disconnect']);
    expect(rig.box.connected).toBe(false);

    rig.broker.grant = (filters) => filters.map(() => 1);
    rig.time.advance(10 * SECOND);
    expect(rig.broker.requests.length).toBe(2);
    expect(rig.box.connected).toBe(true);
    expect(rig.reports[0]).toMatchObject({ kind: 'status', reason: 'hello', protocols: [1] });
  });

  it('18: a SUBACK that never comes, or with too few codes, ends the connection too', () => {
    for (const codes of [undefined, [1, 1]]) {
      const rig = new Rig();
      if (codes === undefined) rig.broker.grant = () => [];
      else rig.broker.grant = () => codes;
      rig.box.powerOn();
      rig.time.advance(11 * SECOND);
      expect(rig.broker.ended).toContain('disconnect');
      expect(rig.broker.published).toEqual([]);
    }
  });

  it('19: the will has the connect_id of its own connection', () => {
    const rig = new Rig().online();
    rig.broker.break();
    rig.time.advance(10 * SECOND);
    const wills = rig.broker.requests.map(({ will }) => body(will.payload));
    const hellos = rig.statuses('hello').filter((hello, n, all) => all.findIndex(({ connectId }) => connectId === hello.connectId) === n);
    expect(wills.length).toBe(2);
    expect(wills.map((will) => will['connect_id'])).toEqual(hellos.map(({ connectId }) => connectId));
    expect(wills[0]).toMatchObject({ reason: 'will', online: false });
    expect(rig.broker.requests[0]?.will.topic).toBe(`loqey/devices/${vectorDeviceId}/status`);
    expect(new Set(hellos.map(({ connectId }) => connectId)).size).toBe(2);
  });

  it('20: without ack the final response is repeated at 5, 15, 60 s and then each 60 s, the same bytes', () => {
    const rig = new Rig({ acks: false, boltMs: 0 }).online();
    const start = rig.time.monotonic();
    rig.send(rig.unlock());
    rig.time.advance(185 * SECOND);
    const answers = rig.broker.published.filter(({ topic }) => topic.endsWith('responses'));
    expect(answers.map(({ at }) => Math.round((at - start) / SECOND))).toEqual([0, 5, 15, 60, 120, 180]);
    expect(new Set(answers.map(({ payload }) => payload.toString())).size).toBe(1);
  });

  it('20: also over a restart and at each hello; with ack never again', () => {
    const rig = new Rig({ acks: false }).online();
    rig.carryOut(rig.unlock());
    const answer = rig.responses()[0]!;
    rig.box.powerOff();
    rig.time.advance(SECOND);
    rig.online();
    expect(rig.responses().length).toBe(2);
    rig.broker.break();
    rig.time.advance(3 * SECOND);
    expect(rig.responses().length).toBe(3);
    expect(rig.responses().every(({ reportSeq }) => reportSeq === answer.reportSeq)).toBe(true);

    const changed = rig.statuses('changed').at(-1)!;
    rig.send(rig.ack(answer.reportSeq, changed.reportSeq));
    const before = rig.broker.published.length;
    rig.box.powerOff();
    rig.time.advance(SECOND);
    rig.online();
    rig.time.advance(300 * SECOND);
    expect(rig.broker.published.slice(before).some(({ topic }) => topic.endsWith('responses'))).toBe(false);
    expect(rig.box.state?.outbox).toBe(0);
  });

  it('20: a full outbox gives up statuses first, and never the only proof of a refusal', () => {
    const rig = new Rig({ acks: false }).online();
    for (let n = 0; n < 10; n++) {
      rig.box.hands.openAtBox('manual');
      rig.time.advance(100);
    }
    rig.box.hands.setServiceMode(true);
    for (let n = 0; n < 40; n++) rig.carryOut(rig.unlock(), 100);
    expect(rig.box.state?.outbox).toBe(32);
    const proofs = rig.flash.read()!.outbox;
    expect(proofs.every(({ kind, executed }) => kind === 'responses' && executed === false)).toBe(true);
    expect(rig.responses().filter(({ reason }) => reason === 'service_mode').length).toBeGreaterThanOrEqual(32);
  });

  it('21: report_seq grows over restarts', () => {
    const rig = new Rig();
    for (let restart = 0; restart < 4; restart++) {
      rig.online();
      rig.carryOut(rig.unlock());
      rig.box.powerOff();
      rig.time.advance(SECOND);
    }
    const numbers = rig.reports.map(({ reportSeq }) => reportSeq);
    expect(numbers.every((number, n) => n === 0 || number > numbers[n - 1]!)).toBe(true);
    expect(Math.floor(numbers.at(-1)! / 1_000_000)).toBe(4);
  });

  it('21: and when the numbers of one boot run out', () => {
    const { time, flash } = new Rig();
    const core = new DeviceCore({
      deviceId: vectorDeviceId,
      provisioned: { version: 1, master: vectorMasterKey.toString('hex') },
      flash,
      hardware: new Hardware({ time, random: () => 0.5, boltMs: 0, boltSensor: true, jam: 0, battery: 85, drainPerHour: 0, drainPerMovement: 0 }),
      time,
      random: () => 0.5,
      firmwareVersion: '1.0.0',
      lowBattery: 5,
      signalStrength: -61,
      reportsPerBoot: 3,
      publish: () => undefined,
      reconnect: () => undefined,
      emit: () => undefined,
      step: () => undefined,
    });
    const numbers = Array.from({ length: 5 }, () => (JSON.parse(core.heartbeat().toString()) as { report_seq: number }).report_seq);
    expect(numbers).toEqual([1_000_001, 1_000_002, 2_000_001, 2_000_002, 3_000_001]);
    expect(flash.read()?.bootCount).toBe(3);
  });

  it('22: the broker gone for 10 minutes: back-off with jitter, 200 boxes come back spread over 2 s or more', () => {
    const time = new FakeTime();
    const broker = new FakeBroker(time);
    const boxes = Array.from({ length: 200 }, (_, n) =>
      createLockbox({ provisioning: provision({ deviceId: randomUUID(), masterKey: randomBytes(32), url: 'mqtt://nowhere' }), connect: broker.connect, time, seed: n }),
    );
    for (const box of boxes) box.powerOn();
    time.advance(6 * SECOND);
    const first = broker.requests.map(({ at }) => at);
    expect(first.length).toBe(200);
    expect(Math.max(...first) - Math.min(...first)).toBeGreaterThanOrEqual(2 * SECOND);

    broker.accept = () => 'unreachable';
    for (const box of boxes) box.dropConnection();
    const gone = time.monotonic();
    time.advance(600 * SECOND);
    const attempts = broker.requests.filter(({ at, clientId }) => at > gone && clientId === broker.requests[0]?.clientId).map(({ at }) => at - gone);
    expect(attempts.length).toBeGreaterThan(4);
    expect(attempts.length).toBeLessThan(60);
    expect(broker.requests.length - 200).toBeLessThan(200 * 40);

    broker.accept = () => 'accepted';
    const back = time.monotonic();
    time.advance(125 * SECOND);
    expect(boxes.every(({ connected }) => connected)).toBe(true);
    const returns = broker.requests.filter(({ at }) => at > back).map(({ at }) => at);
    expect(Math.max(...returns) - Math.min(...returns)).toBeGreaterThanOrEqual(2 * SECOND);
  });

  it('22: after "not authorised" it waits one to five minutes', () => {
    const rig = new Rig();
    rig.broker.accept = () => 'refused';
    rig.box.powerOn();
    rig.time.advance(20 * 60 * SECOND);
    const gaps = rig.broker.requests.map(({ at }, n, all) => (n === 0 ? undefined : at - all[n - 1]!.at)).filter((gap) => gap !== undefined);
    expect(gaps.length).toBeGreaterThanOrEqual(3);
    expect(gaps.every((gap) => gap >= 60 * SECOND && gap <= 301 * SECOND)).toBe(true);
  });

  it('23: config: higher applied, equal answered again, lower ignored, unknown keys named, version reported', () => {
    const rig = new Rig().online();
    expect(rig.carryOut(rig.config(3, { auto_lock_delay: 10, colour: 'red', heartbeat_seconds: 5 }))).toMatchObject({
      result: 'applied',
      configVersion: 3,
      rejected: ['heartbeat_seconds', 'colour'],
    });
    expect(rig.box.state?.config).toMatchObject({ auto_lock_delay: 10, heartbeat_seconds: 60 });
    expect(rig.carryOut(rig.config(3, { auto_lock_delay: 20 }))).toMatchObject({ result: 'applied', configVersion: 3, rejected: ['heartbeat_seconds', 'colour'] });
    expect(rig.box.state?.config.auto_lock_delay).toBe(10);
    expect(rig.carryOut(rig.config(2, { auto_lock_delay: 20 }))).toBeUndefined();
    rig.box.powerOff();
    rig.time.advance(SECOND);
    rig.online();
    expect(rig.statuses('hello').at(-1)?.configVersion).toBe(3);
    rig.time.advance(70 * SECOND);
    expect(rig.heartbeats().at(-1)?.configVersion).toBe(3);
  });

  it('24: rotation: the new key works, the old one does not any more', () => {
    const rig = new Rig().online();
    const old = rig.keys;
    const known = [mqttPassword(old)];
    rig.broker.accept = ({ password }) => (known.includes(password) ? 'accepted' : 'refused');
    const command = rig.rotate(randomBytes(32));
    known.push(mqttPassword(rig.pendingKeys!));
    expect(rig.carryOut(command)).toMatchObject({ command: 'rotate_key', result: 'applied', keyVersion: 2 });
    known.shift();
    expect(rig.box.state).toMatchObject({ keyVersion: 2, pendingKeyVersion: undefined });
    expect(rig.broker.requests.at(-1)?.password).toBe(known[0]);
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened', keyVersion: 2 });
    rig.send(rig.unlock({ keyVersion: 1 }, old));
    expect(rig.box.state?.rejects.bad_signature).toBe(1);
  });

  it('24: with anything unacknowledged, "applied" waits', () => {
    const rig = new Rig({ acks: false }).online();
    rig.carryOut(rig.unlock());
    const [answer] = rig.responses();
    const [changed] = rig.statuses('changed');
    rig.carryOut(rig.rotate(randomBytes(32)));
    expect(rig.responses().length).toBe(1);
    expect(rig.box.state).toMatchObject({ keyVersion: 1, pendingKeyVersion: 2 });
    rig.acks = true;
    rig.send(rig.ack(answer!.reportSeq, changed!.reportSeq));
    rig.time.advance(SECOND);
    expect(rig.responses().at(-1)).toMatchObject({ result: 'applied', keyVersion: 2 });
    expect(rig.box.state).toMatchObject({ keyVersion: 2, pendingKeyVersion: undefined });
  });

  it('24: the same key in another command, after its answer: nothing is taken back', () => {
    const rig = new Rig().online();
    const master = randomBytes(32);
    const first = rig.rotate(master);
    rig.time.advance(1);
    const again = rig.rotate(master);
    rig.acks = false;
    rig.send(first);
    rig.send(again);
    expect(rig.box.state).toMatchObject({ keyVersion: 1, pendingKeyVersion: 2 });
    expect(rig.responses()).toHaveLength(2);
    expect(rig.payloads.at(-1)).toEqual(rig.payloads.at(-2));
    rig.acks = true;
    rig.time.advance(60 * SECOND);
    expect(rig.box.state).toMatchObject({ keyVersion: 2, pendingKeyVersion: undefined, outbox: 0 });
  });

  const rotationSteps: readonly PowerCutStep[] = ['rotation_received', 'rotation_stored', 'rotation_answered', 'rotation_connected', 'rotation_finished'];
  it.each(rotationSteps.flatMap((step) => [true, false].map((brokerKnowsBoth) => ({ step, brokerKnowsBoth }))))(
    '24: rotation with a power cut at $step (broker knows both keys: $brokerKnowsBoth): it comes back with one of the two',
    ({ step, brokerKnowsBoth }) => {
      const rig = new Rig().online();
      const [old, master] = [rig.keys, randomBytes(32)];
      const next = deriveKeys(master, vectorDeviceId, 2);
      // The server tells the broker of the new password when it has seen the new key, or knew both from the start.
      rig.broker.accept = ({ password }) => {
        const serverHasNew = rig.keys.version === 2;
        const good = brokerKnowsBoth ? [mqttPassword(old), mqttPassword(next)] : [mqttPassword(serverHasNew ? next : old)];
        return good.includes(password) ? 'accepted' : 'refused';
      };
      rig.box.faults.cutPowerAt(step, 2 * SECOND);
      rig.send(rig.rotate(master));
      rig.time.advance(30 * SECOND);
      expect(rig.box.stats.powerCuts).toBe(1);
      expect(rig.box.connected).toBe(true);
      if (step === 'rotation_received') {
        expect(rig.box.state?.keyVersion).toBe(1);
        rig.send(rig.rotate(master));
      }
      rig.time.advance(60 * SECOND);
      if (rig.box.state?.keyVersion === 1) {
        rig.broker.break();
        rig.time.advance(60 * SECOND);
      }
      expect(rig.box.state).toMatchObject({ keyVersion: 2, pendingKeyVersion: undefined });
      expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'opened', keyVersion: 2 });
    },
  );

  it('25: jam: failed, jammed, the true state of the bolt', () => {
    const rig = new Rig().online();
    rig.box.faults.bolt('jammed_midway', 'jammed_midway');
    expect(rig.carryOut(rig.unlock())).toMatchObject({ result: 'failed', reason: 'jammed', executed: true, evidence: 'sensor', newStatus: 'jammed', success: false });
    expect(rig.statuses('changed').at(-1)).toMatchObject({ status: 'jammed', cause: 'command' });

    const other = new Rig().online();
    other.box.faults.bolt('no_movement', 'no_movement');
    expect(other.carryOut(other.unlock())).toMatchObject({ result: 'failed', reason: 'no_movement', newStatus: 'locked', evidence: 'sensor' });
    expect(other.openings).toBe(0);
    other.box.faults.bolt('motor_fault');
    expect(other.carryOut(other.unlock())).toMatchObject({ result: 'opened' });
  });

  it('25: auto-relock is reported as itself, not as the command', () => {
    const rig = new Rig().online();
    rig.carryOut(rig.unlock());
    rig.time.advance(31 * SECOND);
    expect(rig.box.movements.map(({ to, cause }) => [to, cause])).toEqual([['unlocked', 'command'], ['locked', 'auto_relock']]);
    expect(rig.statuses('changed').map(({ status, cause, commandId }) => [status, cause, commandId === undefined])).toEqual([
      ['unlocked', 'command', false],
      ['locked', 'auto_relock', true],
    ]);
  });

  it('26: unknown members are ignored, an unknown action and another version are answered', () => {
    const rig = new Rig().online();
    const signed = (over: object): Buffer => signCommand({ ...body(rig.unlock()), ...over }, rig.keys.cmd);
    expect(rig.carryOut(signed({ colour: { of: ['green'] } }))).toMatchObject({ result: 'opened' });
    expect(rig.carryOut(signed({ command_id: randomUUID(), action: 'ota', command: 'ota' }))).toMatchObject({ result: 'refused', reason: 'unknown_action', executed: undefined, command: 'ota' });
    expect(rig.carryOut(signed({ v: 2 }))).toMatchObject({ reason: 'wrong_version' });
    expect(rig.carryOut(signed({ command: 'config' }))).toMatchObject({ reason: 'malformed' });
    expect(rig.carryOut(signed({ request_id: randomUUID() }))).toMatchObject({ reason: 'malformed' });
    expect(rig.carryOut(signed({ key_version: 2 }))).toMatchObject({ reason: 'malformed' });
    expect(rig.openings).toBe(1);
  });
});

describe('the flash of the simulated lockbox', () => {
  it('a file survives the process, a torn write leaves the image before it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'loqey-flash-'));
    try {
      const path = join(folder, 'box');
      const rig = new Rig({ flash: fileFlash(path) }).online();
      const command = rig.unlock();
      rig.carryOut(command);
      rig.box.powerOff();
      const { openSync, writeSync, closeSync, readFileSync } = await import('node:fs');
      const again = new Rig({ flash: fileFlash(path), time: rig.time }).online();
      expect(again.box.state?.journalId).toBe(rig.flash.read()?.journal.id);
      again.carryOut(command);
      expect(again.openings).toBe(0);

      const before = again.flash.read();
      again.box.powerOff();
      const slots = [0, 1].map((n) => ({ file: `${path}.${n}`, text: readFileSync(`${path}.${n}`, 'utf8') }));
      const newest = slots.find(({ text }) => JSON.stringify(JSON.parse(text.slice(65)).image) === JSON.stringify(before))!;
      const file = openSync(newest.file, 'r+');
      writeSync(file, 'xxxx', 200);
      closeSync(file);
      const survivor = fileFlash(path).read();
      expect(survivor?.journal.id).toBe(before?.journal.id);
      expect(survivor).not.toEqual(before);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
