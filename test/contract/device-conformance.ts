import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { deriveKeys } from '../../src/bridge/protocol/keys.ts';
import { signCommand } from '../../src/bridge/protocol/signature.ts';
import type { PowerCutStep } from '../../src/simulator/firmware/options.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { provision } from '../../src/simulator/provisioning.ts';
import type { RigOptions } from '../simulator/rig.ts';
import { vectorDeviceId, vectorKeys, vectorMasterKey, vectorPayload } from '../bridge/protocol/vectors.ts';
import { breathe, WireRig, type MakeWire } from '../support/wire-rig.ts';
import { until } from '../support/until.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ISSUED = '2026-11-21T10:29:59.000Z';

/**
 * Docs: device-protocol.md, "Conformance", 1 to 26, with everything between box and server real. The unit tests ask more of
 * the box, without a wire; these show that what carries the messages takes nothing from it.
 */
export function deviceConformance(name: string, make: MakeWire, limits: { readonly flips: number; readonly rubbish: number }): void {
  describe(`conformance of the box over ${name}`, () => {
    const open: { stop(): Promise<unknown> }[] = [];
    afterEach(async () => {
      for (const each of open.splice(0).reverse()) await each.stop();
    });

    async function rigOf(options: RigOptions & { readonly at?: string } = {}): Promise<WireRig> {
      const rig = await WireRig.on(make, options);
      open.push(rig);
      return rig;
    }
    const ready = async (options: RigOptions & { readonly at?: string } = {}) => (await rigOf(options)).started();
    /** A box at the moment that V1 is issued. */
    async function atV1(options: RigOptions = {}): Promise<WireRig> {
      const rig = await ready({ ...options, deviceId: vectorDeviceId, at: ISSUED });
      rig.time.advance(Date.parse('2026-11-21T10:30:00.001Z') - rig.time.now());
      return rig;
    }
    const bodyOf = (payload: Buffer): Record<string, unknown> => {
      const { signature: _, ...rest } = JSON.parse(payload.toString()) as Record<string, unknown>;
      return rest;
    };

    it('1: V1 is carried out; what must fail is met with silence', async () => {
      const rig = await atV1();
      expect(await rig.carriesOut(vectorPayload('V1'))).toMatchObject({ result: 'opened', evidence: 'sensor', newStatus: 'unlocked' });
      const before = rig.reports.length;
      const v1 = vectorPayload('V1').toString();
      for (const bad of [v1.slice(0, -66) + v1.slice(-66, -2).toUpperCase() + '"}', `${v1.slice(0, -1)} }`, `${v1.slice(0, -80)}}`]) rig.send(Buffer.from(bad));
      rig.send(signCommand(bodyOf(vectorPayload('V1')), vectorKeys.rpt));
      rig.send(vectorPayload('V3'));
      await rig.settle();
      rig.expectSilence(before, { bad_signature: 5 });
    });

    it('2: flipped bits of V1 are met with silence and counted', async () => {
      const rig = await atV1();
      const before = rig.reports.length;
      const v1 = vectorPayload('V1');
      const every = Math.max(1, Math.floor((v1.length * 8) / limits.flips));
      let sent = 0;
      for (let bit = 0; bit < v1.length * 8; bit += every) {
        const changed = Buffer.from(v1);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        rig.send(changed);
        if (++sent % 200 === 0) await rig.settle();
      }
      await rig.settle();
      rig.expectSilence(before, { bad_signature: sent });
      expect(rig.openings).toBe(0);
    });

    it('3: V1 at another box, with its own key and with the same: silence', async () => {
      const rig = await ready({ at: '2026-11-21T10:30:00.000Z' });
      const before = rig.reports.length;
      rig.send(vectorPayload('V1'));
      rig.send(rig.unlock({ deviceId: randomUUID() }));
      await rig.settle();
      rig.expectSilence(before, { bad_signature: 2 });
      expect(rig.openings).toBe(0);
    });

    it('4: V1 three times: one movement, three equal answers', async () => {
      const rig = await atV1({ acks: false });
      const before = rig.payloads.length;
      for (let times = 0; times < 3; times++) await rig.carriesOut(vectorPayload('V1'));
      const answers = rig.payloads.slice(before).filter((_, n) => rig.reports[before + n]?.kind === 'responses');
      expect(new Set(answers.map(String)).size).toBe(1);
      expect(answers.length).toBeGreaterThanOrEqual(3);
      expect(rig.openings).toBe(1);
    });

    it('5: V1 again after a restart: no movement, the stored answer', async () => {
      const rig = await atV1();
      await rig.carriesOut(vectorPayload('V1'));
      const first = rig.payloads.find((_, n) => rig.reports[n]?.kind === 'responses');
      await rig.restarted();
      const before = rig.reports.length;
      await rig.carriesOut(vectorPayload('V1'));
      expect(rig.payloads.slice(before).filter((_, n) => rig.reports[before + n]?.kind === 'responses')).toEqual([first]);
      expect(rig.openings).toBe(1);
    });

    it.each([
      ['6: power cut before the motor: no movement after boot', 'started_committed', 0, 'interrupted'],
      ['7: power cut between movement and result: one movement in all', 'bolt_moved', 1, 'interrupted'],
      ['7: power cut after the result: it is reported after boot', 'result_committed', 1, 'opened'],
    ] as const)('%s', async (_, step, openings, result) => {
      const rig = await ready();
      const command = rig.unlock();
      rig.box.faults.cutPowerAt(step, 3 * SECOND);
      rig.send(command);
      await rig.passUntil('the result is reported', () => rig.responses().some((response) => response.result === result), 60_000);
      await rig.settle();
      expect(await rig.carriesOut(command)).toMatchObject({ result });
      expect(rig.openings).toBe(openings);
    });

    it('8: a failing commit: no movement', async () => {
      const rig = await ready();
      rig.box.faults.failCommits(1);
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'refused', reason: 'storage_failed', executed: undefined });
      expect(rig.openings).toBe(0);
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened' });
    });

    it('9: a command 31 s old is expired, and stays so when the clock is set back', async () => {
      const rig = await ready();
      const command = rig.unlock();
      rig.time.advance(31 * SECOND);
      expect(await rig.carriesOut(command)).toMatchObject({ result: 'refused', reason: 'expired', executed: false });
      rig.timeAnswer = false;
      await rig.reconnected();
      rig.send(rig.timeFor(rig.statuses('hello').at(-1)!.timeChallenge!, { issuedAt: new Date(rig.time.now() - 35 * SECOND).toISOString() }));
      expect(await rig.carriesOut(command)).toMatchObject({ result: 'refused', reason: 'stale_seq' });
      expect(rig.openings).toBe(0);
    });

    it('10: no time yet: time_untrusted, whatever the box’s own clock says', async () => {
      const rig = await ready();
      rig.timeAnswer = false;
      await rig.restarted();
      expect(rig.statuses('hello').at(-1)).toMatchObject({ timeOk: false, timestamp: undefined });
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ reason: 'time_untrusted', executed: false });
      expect(rig.openings).toBe(0);
    });

    it('11: a time that nobody asked for, again, or to another question leaves the clock; a late one too', async () => {
      const rig = await ready({ timeAnswer: false });
      const challenge = rig.statuses('hello')[0]!.timeChallenge!;
      const wrong = { issuedAt: '2030-01-01T00:00:00.000Z' };
      const early = Math.abs(Date.parse('2030-01-01') - rig.time.now()) - HOUR;
      rig.send(rig.timeFor(randomBytes(16).toString('hex'), wrong));
      await rig.settle();
      expect(rig.box.state?.now).toBeUndefined();
      rig.send(rig.timeFor(challenge));
      await rig.settle();
      for (const again of [rig.timeFor(challenge), rig.timeFor(challenge, wrong)]) rig.send(again);
      await rig.settle();
      expect(Math.abs(rig.box.state!.now! - rig.time.now())).toBeLessThan(5 * SECOND);
      await rig.reconnected();
      const late = rig.statuses('hello').at(-1)!.timeChallenge!;
      rig.time.advance(5_001);
      rig.send(rig.timeFor(late, wrong));
      await rig.settle();
      expect(Math.abs(rig.box.state!.now! - rig.time.now())).toBeLessThan(early);
    });

    it('12: a clock a day behind or ahead before the answer: no late movement', async () => {
      for (const rtcSkewMs of [-DAY, DAY]) {
        const rig = await ready({ rtcSkewMs });
        const command = rig.unlock();
        rig.time.advance(31 * SECOND);
        expect(await rig.carriesOut(command)).toMatchObject({ reason: 'expired' });
        expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened' });
        expect(rig.openings).toBe(1);
      }
    });

    it('13: an equal or lower number with a new id is stale', async () => {
      const rig = await ready();
      const seq = rig.nextSeq();
      await rig.carriesOut(rig.unlock({ seq }));
      for (const lower of [seq, seq - 1, 1]) expect(await rig.carriesOut(rig.unlock({ seq: lower }))).toMatchObject({ reason: 'stale_seq', executed: undefined });
      expect(rig.openings).toBe(1);
    });

    it('14: the journal erased, an older command again: before_journal', async () => {
      const rig = await ready();
      const command = rig.unlock();
      await rig.carriesOut(command);
      rig.time.advance(31 * SECOND);
      rig.box.powerOff();
      rig.box.faults.eraseJournal();
      await rig.restarted();
      expect(await rig.carriesOut(command)).toMatchObject({ reason: 'before_journal', executed: undefined });
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened' });
      expect(rig.openings).toBe(2);
    });

    it('15: a window of 61 s is bad', async () => {
      const rig = await ready();
      expect(await rig.carriesOut(rig.unlock({ expiresAt: new Date(rig.time.now() + 61 * SECOND).toISOString() }))).toMatchObject({ reason: 'bad_window', executed: false });
      expect(rig.openings).toBe(0);
    });

    it('16: a retained command: nobody can leave one, and one with the flag is met with silence', async () => {
      const rig = await ready();
      await rig.wire.broker?.retain(rig.deviceId, rig.unlock());
      await rig.reconnected();
      expect(rig.openings).toBe(0);
      const before = rig.reports.length;
      rig.box.deliver(rig.unlock(), true);
      rig.time.advance(SECOND);
      rig.expectSilence(before, { retained: 1 });
      expect(rig.openings).toBe(0);
    });

    it('17: too large, too deep, no UTF-8, empty, unsigned: silence, no restart, nothing left behind', async () => {
      const rig = await ready();
      const deep = signCommand(`{"v":1,"x":${'['.repeat(20)}${']'.repeat(20)}}`, rig.keys.cmd);
      const kinds = [
        Buffer.alloc(2_049, 0x7b),
        deep,
        Buffer.concat([Buffer.from([0xff, 0xfe]), vectorPayload('V1')]),
        Buffer.alloc(0),
        Buffer.from('{}'),
        Buffer.from('{"action":"unlock"}'),
        signCommand('{"v":1,"action":"unlock","action":"unlock"}', rig.keys.cmd),
        signCommand('{"v":1e0}', rig.keys.cmd),
        randomBytes(200),
      ];
      const [before, booted, timers] = [rig.reports.length, rig.box.state?.bootCount, rig.time.waiting];
      for (let n = 0; n < limits.rubbish; n++) {
        rig.send(kinds[n % kinds.length]!);
        if (n % 500 === 499) {
          await rig.settle();
          rig.events.length = 0;
        }
      }
      await rig.settle();
      const { bad_signature, malformed, too_large } = rig.box.state!.rejects;
      expect(bad_signature + malformed + too_large).toBe(limits.rubbish);
      expect(rig.reports.filter(({ kind }, n) => n >= before && kind === 'responses')).toEqual([]);
      expect(rig.time.waiting).toBe(timers);
      expect(rig.box.state).toMatchObject({ outbox: 0, bootCount: booted });
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened' });
    });

    it('18: connects clean and says hello last; a subscription that is not granted ends the connection', async ({ skip }) => {
      const rig = await rigOf();
      if (rig.wire.broker === undefined) return skip('there is nothing to subscribe to');
      await rig.wire.register(rig.deviceId, [rig.keys], { deaf: true });
      rig.box.powerOn();
      await rig.passUntil('it gave up and came again', () => rig.requests.length >= 2, 60_000);
      expect(rig.reports).toEqual([]);
      expect(rig.box.connected).toBe(false);
      expect(rig.requests[0]).toMatchObject({ clean: true, clientId: `device_${rig.deviceId}`, username: rig.deviceId, password: rig.password() });
      await rig.wire.register(rig.deviceId, [rig.keys]);
      await rig.passUntil('it is heard', () => rig.statuses('hello').length > 0, 400_000);
      expect(rig.reports[0]).toMatchObject({ kind: 'status', reason: 'hello', protocols: [1] });
    });

    it('19: the will has the connect_id of its connection; nothing comes retained', async ({ skip }) => {
      const rig = await ready();
      if (rig.wire.broker === undefined) return skip('there is nobody to publish one');
      const { connectId } = rig.statuses('hello')[0]!;
      rig.box.dropConnection();
      await until('its will came', () => rig.wills.length === 1);
      expect(rig.wills[0]).toMatchObject({ reason: 'will', connect_id: connectId, online: false });
      await rig.passUntil('it is back', () => rig.statuses('hello').length > 1, 400_000);
      expect(rig.statuses('hello').at(-1)!.connectId).not.toBe(connectId);
      expect(rig.retained).toBe(0);
    });

    it('20: without ack the final response comes on schedule and over a restart, the same bytes; with it never again', async () => {
      const rig = await ready({ acks: false, boltMs: 0 });
      await rig.carriesOut(rig.unlock(), 0);
      const [first] = rig.responses();
      for (const [at, count] of [[4 * SECOND, 1], [2 * SECOND, 2], [10 * SECOND, 3], [45 * SECOND, 4]] as const) {
        rig.time.advance(at);
        await rig.settle();
        expect(rig.responses().length).toBe(count);
      }
      await rig.restarted();
      expect(rig.responses().length).toBeGreaterThanOrEqual(5);
      const bytes = rig.payloads.filter((_, n) => rig.reports[n]?.kind === 'responses').map(String);
      expect(new Set(bytes).size).toBe(1);
      rig.send(rig.ack(...new Set([first!, ...rig.statuses('changed')].map(({ reportSeq }) => reportSeq))));
      await rig.settle();
      const before = rig.responses().length;
      await rig.restarted();
      rig.time.advance(70 * SECOND);
      await rig.settle();
      expect(rig.responses().length).toBe(before);
      expect(rig.box.state?.outbox).toBe(0);
    });

    it('21: report_seq grows over restarts', async () => {
      const rig = await ready();
      for (let restart = 0; restart < 3; restart++) {
        await rig.carriesOut(rig.unlock());
        await rig.restarted();
      }
      const numbers = rig.reports.map(({ reportSeq }) => reportSeq);
      expect(numbers.every((number, n) => n === 0 || number > numbers[n - 1]!)).toBe(true);
    });

    it('22: away for ten minutes: back-off with jitter; 200 boxes come back over two seconds or more', async ({ skip }) => {
      const rig = await rigOf();
      const { broker } = rig.wire;
      if (broker === undefined) return skip('the API is not the test’s to stop');
      const attempts: { readonly at: number; readonly clientId: string }[] = [];
      const boxes = await Promise.all(
        Array.from({ length: 200 }, async (_, seed) => {
          const deviceId = randomUUID();
          await rig.wire.register(deviceId, [deriveKeys(vectorMasterKey, deviceId, 1)]);
          return createLockbox({
            provisioning: provision({ deviceId, masterKey: vectorMasterKey, url: 'mqtt://wire' }),
            time: rig.time,
            seed,
            connect: (request, handlers) => {
              attempts.push({ at: rig.time.monotonic(), clientId: request.clientId });
              return rig.wire.connector(request, handlers);
            },
          });
        }),
      );
      open.push({ stop: async () => boxes.forEach((box) => box.powerOff()) });
      for (const box of boxes) box.powerOn();
      await rig.passUntil('all are connected', () => boxes.every(({ connected }) => connected), 400_000, 100);
      await broker.down();
      await until('all know', () => boxes.every(({ connected }) => !connected));
      const gone = rig.time.monotonic();
      attempts.length = 0;
      for (let left = 600; left > 0; left -= 5) {
        rig.time.advance(5 * SECOND);
        await breathe(2);
      }
      const first = attempts.filter(({ clientId }) => clientId === `device_${boxes[0]!.deviceId}`);
      expect(first.length).toBeGreaterThan(4);
      expect(first.length).toBeLessThan(60);
      await broker.up();
      attempts.length = 0;
      await rig.passUntil('all are back', () => boxes.every(({ connected }) => connected), 600_000, 500);
      const returns = attempts.map(({ at }) => at);
      expect(Math.max(...returns) - Math.min(...returns)).toBeGreaterThanOrEqual(2 * SECOND);
      expect(rig.time.monotonic()).toBeGreaterThan(gone);
    });

    it('23: settings: higher applied, equal answered again, lower ignored, unknown named, version reported', async () => {
      const rig = await ready();
      expect(await rig.carriesOut(rig.config(3, { auto_lock_delay: 10, colour: 'red', heartbeat_seconds: 5 }))).toMatchObject({ result: 'applied', configVersion: 3, rejected: ['heartbeat_seconds', 'colour'] });
      expect(await rig.carriesOut(rig.config(3, { auto_lock_delay: 20 }))).toMatchObject({ result: 'applied', configVersion: 3 });
      expect(await rig.carriesOut(rig.config(2, { auto_lock_delay: 20 }))).toBeUndefined();
      expect(rig.box.state?.config).toMatchObject({ auto_lock_delay: 10, heartbeat_seconds: 60 });
      await rig.restarted();
      expect(rig.statuses('hello').at(-1)?.configVersion).toBe(3);
    });

    const rotationSteps: readonly PowerCutStep[] = ['rotation_received', 'rotation_stored', 'rotation_answered', 'rotation_connected', 'rotation_finished'];
    it.each(rotationSteps.flatMap((step) => [false, true].map((bothKnown) => ({ step, bothKnown }))))(
      '24: a rotation with a power cut at $step (both keys known: $bothKnown): it comes back with one of the two',
      async ({ step, bothKnown }) => {
        const rig = await ready();
        if (bothKnown && rig.wire.broker?.knowsTwoKeys === false) return; // it has room for one
        const [old, master] = [rig.keys, randomBytes(32)];
        const next = deriveKeys(master, rig.deviceId, 2);
        if (bothKnown) await rig.wire.register(rig.deviceId, [old, next]);
        rig.box.faults.cutPowerAt(step, 2 * SECOND);
        rig.send(rig.rotate(master));
        await rig.passUntil('the power went', () => rig.box.stats.powerCuts === 1 || rig.box.state?.keyVersion === 2, 120_000);
        await rig.passUntil('it is back', () => rig.box.connected, 1_200_000, 500);
        if (step === 'rotation_received') rig.send(rig.rotate(master));
        await rig.passUntil('the new key is in use', () => rig.box.connected && rig.box.state?.keyVersion === 2 && rig.box.state.now !== undefined && rig.keys.version === 2, 2_400_000, 500);
        await rig.settle();
        expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened', keyVersion: 2 });
        rig.send(rig.unlock({ keyVersion: 1 }, old));
        await rig.settle();
        expect(rig.openings).toBe(1);
      },
    );

    it('25: a jam: failed, jammed, the true state; a relock is never reported as the command', async () => {
      const rig = await ready();
      rig.box.faults.bolt('jammed_midway', 'jammed_midway');
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'failed', reason: 'jammed', executed: true, evidence: 'sensor', newStatus: 'jammed' });
      expect(await rig.carriesOut(rig.unlock())).toMatchObject({ result: 'opened' });
      rig.time.advance(31 * SECOND);
      await rig.settle();
      expect(rig.statuses('changed').map(({ status, cause, commandId }) => [status, cause, commandId === undefined])).toEqual([
        ['jammed', 'command', false],
        ['unlocked', 'command', false],
        ['locked', 'auto_relock', true],
      ]);
    });

    it('26: unknown members are ignored, an unknown action is answered', async () => {
      const rig = await ready();
      const signed = (over: object): Buffer => signCommand({ ...bodyOf(rig.unlock()), ...over }, rig.keys.cmd);
      expect(await rig.carriesOut(signed({ colour: 'red', nested: { a: [1] } }))).toMatchObject({ result: 'opened' });
      expect(await rig.carriesOut(signed({ action: 'dance', command: 'dance' }))).toMatchObject({ result: 'refused', reason: 'unknown_action', executed: undefined });
      expect(rig.openings).toBe(1);
    });
  });
}
